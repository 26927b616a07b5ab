/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sluice run: a command in a sandbox, as if we had executed it.
 *
 * Order: flags, files we were told to write, the command, its end, reports. Whatever fails before the command has executed is our failure (125),
 * or its exec's (126, 127).
 */
#define _GNU_SOURCE
#include "cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/answer.h"
#include "cli/cli.h"
#include "cli/signals.h"
#include "util/fail.h"

/* Of struct sluice_spawn_options. */
#define TRACE_LINES 1
#define TRACE_CHROME 2

/* What to execute: the words after the flags, or -e's. */
static int choose_command(const struct run *r, char *const *words, const char *shell[4],
			  const char *const **ret, struct sluice_error *err)
{
	if (r->exec_shell && *words) {
		fail(err, -EINVAL, "--exec-shell: %s: a command was given too", *words);
		return fail_hint(err, -EINVAL, "drop one of the two");
	}
	if (r->exec_shell) {
		shell[0] = "/bin/sh";
		shell[1] = "-c";
		shell[2] = r->exec_shell;
		shell[3] = NULL;
		*ret = shell;
		return 0;
	}
	if (!*words) {
		fail(err, -EINVAL, "run: no command");
		return fail_hint(err, -EINVAL, "sluice run [FLAGS] -- CMD [ARGS...]");
	}
	*ret = (const char *const *)words;
	return 0;
}

/* ---- what we were told to open ---- */

/*
 * The descriptor of --status-fd as one of our own: the command must not be able to write there. One of the standard three stays open for
 * the command all the same, since it is its standard descriptor too.
 */
static int open_status(struct run *r, struct sluice_error *err)
{
	int fd = r->status_number;

	if (fd < 0)
		return 0;
	r->status_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (r->status_fd < 0) {
		int e = fail_errno(err, -errno, "--status-fd: %d", fd);

		return e == -EBADF ? fail_hint(err, e, "open it in the shell: %d>FILE", fd) : e;
	}
	if (fd > STDERR_FILENO)
		close(fd);
	return 0;
}

static int open_output(const char *flag, const char *file, int *ret, struct sluice_error *err)
{
	int fd = file ? open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666)
		      : STDERR_FILENO;

	/* not one of the standard three, if those are closed */
	if (fd >= 0 && fd <= STDERR_FILENO) {
		int low = fd;

		fd = fcntl(low, F_DUPFD_CLOEXEC, 3);
		if (file)
			close(low);
	}
	if (fd < 0)
		return fail_errno(err, -errno, "%s: %s", flag, file ? file : "stderr");
	*ret = fd;
	return 0;
}

static int open_all(struct run *r, struct sluice_error *err)
{
	int e = 0;

	if (r->trace)
		e = open_output("--trace", strcmp(r->trace, "-") != 0 ? r->trace : NULL,
				&r->trace_fd, err);
	if (e == 0 && r->stats)
		e = open_output("--stats", r->stats_file, &r->stats_fd, err);
	for (size_t i = 0; e == 0 && i < r->n_plugin_specs; i++) {
		struct sluice_error inner = { 0 };

		e = plugins_load(&r->plugins, r->plugin_specs[i], &inner);
		if (e < 0) {
			fail(err, e, "--plugin: %s", inner.text);
			if (inner.hint[0])
				fail_hint(err, e, "%s", inner.hint);
		}
	}
	if (e == 0 && !r->grants)
		e = sluice_policy_allow_system(r->policy, err);
	return e;
}

/* ---- the run ---- */

static void say_end(const struct run *r, struct sluice_sandbox *s, const char *command,
		    const struct sluice_result *result)
{
	const char *name = sluice_sandbox_name(s);

	if (r->quiet)
		return;
	if (result->end == SLUICE_ENDED_TIMEOUT)
		fprintf(stderr, "sluice: timeout: %s: not done within %s: killed\n", command,
			r->timeout);
	if (result->end == SLUICE_ENDED_QUOTA)
		fprintf(stderr, "sluice: --max-disk: %s: went on writing past it: killed\n",
			command);
	if (result->memory_kills)
		fprintf(stderr,
			"sluice: --max-memory: %s: %llu killed: together its processes had %llu MiB\n",
			command, (unsigned long long)result->memory_kills,
			(unsigned long long)(result->memory_peak >> 20));
	if (result->end == SLUICE_ENDED_FAULT)
		fprintf(stderr, "sluice: %s: its init process was killed, and so was the rest\n",
			name);
	if (r->verbose)
		fprintf(stderr,
			"sluice: %s: %s, exit status %d, after %.3f s, %llu calls supervised, "
			"%llu denied\n",
			name, report_end(result), result->exit_code, (double)result->wall_ns / 1e9,
			(unsigned long long)result->notifications,
			(unsigned long long)result->denied);
}

/* Signals and questions, until it has ended. */
static void serve(struct signals *g, struct answers *a)
{
	struct pollfd fds[SIGNALS_FDS + ANSWERS_FDS];
	size_t n;

	do {
		n = signals_watch(g, a->sandbox, fds);
		n += answers_watch(a, fds + n);
		if (poll(fds, n, signals_patience_ms(g, a->sandbox)) < 0)
			fds[0].revents = 0; /* EINTR: the handler has written */
		signals_serve(g, a->sandbox);
		answers_serve(a);
	} while (!(fds[0].revents & POLLIN));
}

/* From its start to its end; returns the exit status. Reports that can't be written are told, and change nothing. */
static int follow(struct run *r, struct signals *g, struct sluice_sandbox *s,
		  const char *const *argv)
{
	struct answers answers = { .policy = r->policy, .argv = argv, .signals = g, .sandbox = s };
	struct sluice_error err = { 0 };
	struct sluice_result result = { 0 };
	const char *command = argv[0];
	int e = answers_begin(&answers);

	if (r->verbose)
		fprintf(stderr, "sluice: %s: %s: process %d\n", sluice_sandbox_name(s), command,
			(int)sluice_sandbox_pid(s));
	if (r->verbose && e < 0)
		fprintf(stderr, "sluice: %s: `sluice ps` won't show it: %s\n",
			sluice_sandbox_name(s), strerror(-e));
	serve(g, &answers);
	answers_end(&answers);
	sluice_sandbox_wait(s, -1, &result);
	say_end(r, s, command, &result);
	if (r->stats && report_stats(r, s, &result, &err) < 0)
		cli_print_error(&err, !r->quiet);
	result.exit_code = report_branch(r, s, &result);
	report_status(r, sluice_sandbox_name(s), &result);
	return result.exit_code;
}

static int execute(struct run *r, const char *const *argv, struct sluice_error *err)
{
	struct sluice_spawn_options o = { .size = sizeof(o) };
	struct sluice_sandbox *s = NULL;
	struct signals g;
	int e = open_all(r, err);

	if (e < 0)
		return e;
	e = signals_init(&g, err);
	if (e < 0)
		return e;
	o.extras = r->plugins.handlers;
	o.n_extras = r->plugins.n_handlers;
	o.trace_fd = r->trace_fd;
	if (r->trace)
		o.trace = strcmp(r->trace, "-") != 0 ? TRACE_CHROME : TRACE_LINES;
	o.stats = r->stats;
	o.stops = 1;
	o.stop_fd = g.stops[1];
	e = sluice_spawn(r->policy, argv, &o, &s, err);
	if (e == 0)
		e = follow(r, &g, s, argv);
	signals_fini(&g);
	sluice_sandbox_free(s);
	return e;
}

/* The status of a start that failed with @e. */
static int failure_status(int e, const struct sluice_error *err)
{
	if (strncmp(err->text, "exec:", 5) != 0)
		return CLI_FAILURE;
	return e == -ENOENT ? CLI_NOT_FOUND : CLI_NOT_EXECUTABLE;
}

/* Flags, status descriptor, command: in this order, so that whatever fails is told on the descriptor if it can be. */
static int prepare(struct run *r, int argc, char *argv[], const char *shell[4],
		   const char *const **ret_command, struct sluice_error *err)
{
	int rest = options_parse(&run_options, argc, argv, r, err);
	int e = open_status(r, rest < 0 ? NULL : err);

	if (rest < 0 || e < 0)
		return rest < 0 ? rest : e;
	if ((r->dry_run || r->json || r->nul) && !r->workdir) {
		fail(err, -EINVAL, "--%s: without --workdir",
		     r->dry_run ? "dry-run"
		     : r->json	? "json"
				: "null");
		return fail_hint(err, -EINVAL, "--workdir DIR makes changes go to a branch");
	}
	if (r->dry_run && r->branch) {
		fail(err, -EINVAL, "--dry-run: with --fs-branch");
		return fail_hint(err, -EINVAL, "the branch is kept: sluice cow show lists it");
	}
	return choose_command(r, argv + rest, shell, ret_command, err);
}

int cli_run(int argc, char *argv[])
{
	struct sluice_error err = { 0 };
	const char *const *command = NULL;
	const char *shell[4] = { NULL };
	struct run r;
	int e = run_init(&r, &err);

	if (e == 0)
		e = prepare(&r, argc, argv, shell, &command, &err);
	if (e == 0 && command)
		e = execute(&r, command, &err);
	if (e < 0) {
		cli_print_error(&err, !r.quiet);
		e = failure_status(e, &err);
		report_failure(&r, e, &err);
	}
	run_fini(&r);
	return e;
}

void cli_run_help(void)
{
	fputs("Usage: sluice run [FLAGS] [--] CMD [ARGS...]\n"
	      "\n"
	      "Run CMD in a sandbox, as if it had been executed in sluice's place: directory,\n"
	      "standard and further descriptors, environment, umask, process group and terminal\n"
	      "are inherited. When CMD ends, whatever it left behind is killed.\n"
	      "\n"
	      "Without -r and -w it may read the system (/usr /bin /sbin /lib* /etc /opt /proc\n"
	      "/sys), list every directory, and read and write the current directory, /tmp and\n"
	      "/var/tmp. With -r or -w it may do what they grant, and no more. There is no\n"
	      "network.\n"
	      "\n"
	      "Flags:\n",
	      stdout);
	options_help(&run_options, stdout);
	fputs("\n"
	      "Signals: SIGTERM, SIGINT and SIGHUP go to CMD; a second one, or 5 seconds, kills\n"
	      "the whole tree. Others go to CMD as they come. What a terminal sends reaches CMD\n"
	      "anyway. When CMD stops (Ctrl-Z), so does sluice.\n"
	      "\n"
	      "Exit status: CMD's; 128+N when signal N ended it; 124 timeout; 125 sluice itself\n"
	      "failed; 126 CMD could not be executed; 127 CMD was not found.\n",
	      stdout);
}
