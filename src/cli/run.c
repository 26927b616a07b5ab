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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "util/fail.h"

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

static int execute(struct run *r, const char *const *argv, struct sluice_error *err)
{
	struct sluice_spawn_options o = { .size = sizeof(o) };
	struct sluice_sandbox *s = NULL;
	struct sluice_result result;
	int e;

	if (!r->grants) {
		e = sluice_policy_allow_system(r->policy, err);
		if (e < 0)
			return e;
	}
	e = sluice_spawn(r->policy, argv, &o, &s, err);
	if (e < 0)
		return e;
	sluice_sandbox_wait(s, -1, &result);
	sluice_sandbox_free(s);
	return result.exit_code;
}

/* The status of a start that failed with @e. */
static int failure_status(int e, const struct sluice_error *err)
{
	if (strncmp(err->text, "exec:", 5) != 0)
		return CLI_FAILURE;
	return e == -ENOENT ? CLI_NOT_FOUND : CLI_NOT_EXECUTABLE;
}

int cli_run(int argc, char *argv[])
{
	struct sluice_error err = { 0 };
	const char *const *command = NULL;
	const char *shell[4] = { NULL };
	struct run r;
	int e = run_init(&r, &err);

	if (e == 0)
		e = options_parse(&run_options, argc, argv, &r, &err);
	if (e >= 0)
		e = choose_command(&r, argv + e, shell, &command, &err);
	if (e == 0)
		e = execute(&r, command, &err);
	if (e < 0) {
		cli_print_error(&err, !r.quiet);
		e = failure_status(e, &err);
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
	      "Exit status: CMD's; 128+N when signal N ended it; 124 timeout; 125 sluice itself\n"
	      "failed; 126 CMD could not be executed; 127 CMD was not found.\n",
	      stdout);
}
