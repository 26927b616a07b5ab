/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice ps`, `inspect` and `kill` from inside: no command reaches a supervisor, its own or another one, whatever it is granted; and none passes for one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/answer.h"
#include "cli/ask.h"

#include "../support/cmocka.h"
#include "../support/guest.h"

#define DESCRIPTORS 256
/* What `ask` ends with. */
enum outcome {
	ANSWERED = 1,
	SILENT,
	NOT_THERE
};

/* ---- guests ---- */

static bool is_told(int fd)
{
	char byte;

	return read(fd, &byte, 1) == 1;
}

/* Until standard input is at its end. */
static int guest_wait(const char *arg)
{
	(void)arg;
	return is_told(STDIN_FILENO) ? 1 : 0;
}

/* What process @pid is to `sluice ps`; *ret_name (at most 63 bytes) is what it calls its sandbox. */
static enum outcome outcome_of(pid_t pid, char ret_name[64])
{
	enum outcome outcome = NOT_THERE;
	struct running_list l;

	if (ask_everybody(&l, NULL) < 0)
		return NOT_THERE;
	for (size_t i = 0; i < l.n; i++) {
		const json_t *name = json_object_get(l.items[i].summary, "name");

		if (l.items[i].pid != pid)
			continue;
		outcome = l.items[i].summary ? ANSWERED : SILENT;
		if (json_is_string(name))
			snprintf(ret_name, 64, "%s", json_string_value(name));
	}
	running_list_fini(&l);
	return outcome;
}

static int guest_ask(const char *pid)
{
	char name[64];

	return is_told(STDIN_FILENO) ? (int)outcome_of(atoi(pid), name) : 200;
}

/* How many of the descriptors that are not standard ones can be opened, read as links, or asked. */
static int guest_open(const char *pid)
{
	static const char *const forms[] = { "/proc/%s/fd/%d", "/proc/%s/task/%s/fd/%d",
					     "/proc/self/root/proc/%s/fd/%d" };
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR, O_PATH };
	char path[80], link[80];
	int n = 0;

	if (!is_told(STDIN_FILENO))
		return 200;
	for (int i = 0; i < DESCRIPTORS * (int)N_OF(forms); i++) {
		const int number = 3 + i / (int)N_OF(forms);

		if (i % (int)N_OF(forms) == 1)
			snprintf(path, sizeof(path), forms[1], pid, pid, number);
		else
			snprintf(path, sizeof(path), forms[i % (int)N_OF(forms)], pid, number);
		n += readlink(path, link, sizeof(link)) > 0;
		for (size_t m = 0; m < N_OF(modes); m++) {
			int fd = open(path, modes[m] | O_NONBLOCK | O_CLOEXEC);

			n += fd >= 0;
			if (fd >= 0)
				close(fd);
		}
	}
	return n < 100 ? n : 100;
}

/* Answer as a supervisor would, as far as the kernel lets us. */
static void pretend_to(const struct running_request *q)
{
	static const char text[] = "{\"name\":\"fake\"}";
	const struct running_answer header = { RUNNING_MAGIC, sizeof(text) - 1 };
	int dir = running_descriptors(q->pid), fd = running_pipe(dir, q->fd, q->pipe, O_WRONLY);

	if (write(fd, &header, sizeof(header)) > 0 && write(fd, text, sizeof(text) - 1) > 0)
		close(fd);
	if (dir >= 0)
		close(dir);
}

/* Have the mark of a supervisor, and say so, until standard input is at its end. */
static int guest_pretend(const char *arg)
{
	struct pollfd p[2] = { { STDIN_FILENO, POLLIN, 0 }, { -1, POLLIN, 0 } };
	struct running_request q;
	char name[64];
	int ends[2];

	(void)arg;
	if (pipe(ends) < 0)
		return 200;
	snprintf(name, sizeof(name), RUNNING_MARK "%d", ends[0]);
	prctl(PR_SET_NAME, RUNNING_COMM);
	if (memfd_create(name, 0) < 0 || write(STDOUT_FILENO, "+", 1) != 1)
		return 201;
	p[1].fd = ends[0];
	while (poll(p, 2, -1) > 0 && !p[0].revents) {
		if (read(ends[0], &q, sizeof(q)) == sizeof(q))
			pretend_to(&q);
	}
	return 0;
}

static const struct guest_role roles[] = {
	{ "wait", guest_wait },	      { "ask", guest_ask }, { "open", guest_open },
	{ "pretend", guest_pretend }, { NULL, NULL },
};

/* ---- supervisors ---- */

/* A process of its own that is a supervisor as `sluice run` is one. */
struct supervisor {
	pid_t pid;
	int told; /* readable once it can be asked */
};

/* Runs @role with @arg, or with its own number; ends with what the guest ended with. */
static void supervise(struct sluice_policy *p, const char *role, const char *arg, int told)
{
	const char *const argv[] = { role, NULL };
	struct sluice_spawn_options o = { .size = sizeof(o), .stdio = { SLUICE_STDIO_PIPE } };
	struct pollfd fds[SIGNALS_FDS + ANSWERS_FDS];
	struct sluice_result result = { 0 };
	struct answers a = { .policy = p, .argv = argv };
	struct signals g;
	char own[16];
	int in;

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when an assertion fails */
	snprintf(own, sizeof(own), "%d", (int)getpid());
	if (signals_init(&g, NULL) < 0)
		_exit(GUEST_FAILED);
	a.signals = &g;
	a.sandbox = guest_spawn(p, &o, role, arg ? arg : own);
	in = sluice_sandbox_pipe(a.sandbox, 0);
	if (answers_begin(&a) < 0 || write(told, "+", 1) != 1)
		_exit(GUEST_FAILED);
	if (strcmp(role, "wait") != 0 && write(in, "+", 1) != 1)
		_exit(GUEST_FAILED);
	do {
		size_t n = signals_watch(&g, a.sandbox, fds);

		n += answers_watch(&a, fds + n);
		poll(fds, n, signals_patience_ms(&g, a.sandbox));
		answers_serve(&a);
	} while (!(fds[0].revents & POLLIN));
	sluice_sandbox_wait(a.sandbox, -1, &result);
	sluice_sandbox_free(a.sandbox);
	_exit(result.exit_code);
}

static struct supervisor start(struct sluice_policy *p, const char *role, const char *arg)
{
	struct supervisor s;
	int told[2];

	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	fflush(stdout);
	s.pid = fork();
	if (!s.pid)
		supervise(p, role, arg, told[1]);
	close(told[1]);
	s.told = told[0];
	assert_true(is_told(s.told));
	return s;
}

/* Its exit status. */
static int end_of(struct supervisor *s)
{
	int status;

	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	close(s->told);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void stop(struct supervisor *s)
{
	kill(s->pid, SIGKILL);
	end_of(s);
}

/* ---- policies ---- */

static struct sluice_policy *all_files(bool tree, enum sluice_proc proc)
{
	struct sluice_policy *p = sluice_policy_new();

	assert_non_null(p);
	assert_int_equal(sluice_policy_set_name(p, "inner", NULL), 0);
	assert_int_equal(sluice_policy_allow_read(p, "/", NULL), 0);
	assert_int_equal(sluice_policy_allow_write(p, "/", NULL), 0);
	assert_int_equal(sluice_policy_set_proc(p, proc), 0);
	if (tree)
		assert_int_equal(sluice_policy_set_chroot(p, ROOT_BY_ANOTHER_NAME, NULL), 0);
	return p;
}

/* @check with each policy that this kernel and container can have. */
static void with_each_policy(void (*check)(struct sluice_policy *p, void *arg), void *arg)
{
	const int n = guest_descriptors_can_be_got() ? 4 : 1;

	for (int i = 0; i < n; i++) {
		struct sluice_policy *p =
			all_files(i & 2, i & 1 ? SLUICE_PROC_OWN : SLUICE_PROC_HOST);

		check(p, arg);
		sluice_policy_unref(p);
	}
}

/* @role in this process's child, told to go on; @arg as ever. */
static int bare(const char *role, const char *arg)
{
	int in[2], saved = dup(STDIN_FILENO), r;

	assert_int_equal(pipe(in), 0);
	assert_int_equal(write(in[1], "+", 1), 1);
	dup2(in[0], STDIN_FILENO);
	r = guest_bare(role, arg);
	dup2(saved, STDIN_FILENO);
	close(saved);
	close(in[0]);
	close(in[1]);
	return r;
}

/* ---- tests ---- */

static void ask_from_inside(struct sluice_policy *p, void *victim)
{
	const struct supervisor *v = victim;
	struct supervisor s;
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)v->pid);
	s = start(p, "ask", pid);
	assert_int_equal(end_of(&s), NOT_THERE);
	s = start(p, "ask", NULL);
	assert_int_equal(end_of(&s), NOT_THERE);
	s = start(p, "open", pid);
	assert_int_equal(end_of(&s), 0);
	s = start(p, "open", NULL);
	assert_int_equal(end_of(&s), 0);
}

static void hazard_G2_no_supervisor_is_asked_from_inside(void **state)
{
	struct sluice_policy *p = all_files(false, SLUICE_PROC_HOST);
	struct supervisor victim = start(p, "wait", "");
	char pid[16], name[64] = "";

	(void)state;
	snprintf(pid, sizeof(pid), "%d", (int)victim.pid);
	assert_int_equal(bare("ask", pid), ANSWERED);
	assert_true(bare("open", pid) >= 3); /* the mark, and both ends of the pipe */
	with_each_policy(ask_from_inside, &victim);
	/* and it is none the worse for it */
	assert_int_equal(outcome_of(victim.pid, name), ANSWERED);
	assert_string_equal(name, "inner");
	stop(&victim);
	assert_int_equal(outcome_of(victim.pid, name), NOT_THERE);
	sluice_policy_unref(p);
}

static void pretend_inside(struct sluice_policy *p, void *arg)
{
	struct sluice_spawn_options o = {
		.size = sizeof(o),
		.stdio = { SLUICE_STDIO_PIPE, SLUICE_STDIO_PIPE },
	};
	struct sluice_sandbox *s = guest_spawn(p, &o, "pretend", "");
	int in = sluice_sandbox_pipe(s, 0), out = sluice_sandbox_pipe(s, 1);
	struct sluice_error err = { 0 };
	struct running r;
	char pid[16];

	(void)arg;
	assert_true(is_told(out));
	/* it is there, and not taken for one */
	snprintf(pid, sizeof(pid), "%d", (int)sluice_sandbox_pid(s));
	assert_int_equal(ask_for("kill", pid, &r, &err), -ENOENT);
	assert_non_null(strstr(err.hint, pid));
	assert_non_null(strstr(err.hint, "does not answer"));
	close(in);
	close(out);
	sluice_sandbox_free(s);
}

static void hazard_G2_nobody_inside_passes_for_a_supervisor(void **state)
{
	char name[64] = "", pid[16];
	struct running r;
	int in[2], out[2];
	pid_t child;

	(void)state;
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	fflush(stdout);
	child = fork();
	if (!child) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		close(in[1]);
		_exit(guest_pretend(""));
	}
	assert_true(is_told(out[0]));
	assert_int_equal(outcome_of(child, name), ANSWERED);
	assert_string_equal(name, "fake");
	snprintf(pid, sizeof(pid), "%d", (int)child);
	assert_int_equal(ask_for("kill", pid, &r, NULL), 0);
	running_fini(&r);
	for (int i = 0; i < 2; i++) {
		close(in[i]);
		close(out[i]);
	}
	waitpid(child, NULL, 0);
	with_each_policy(pretend_inside, NULL);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_G2_no_supervisor_is_asked_from_inside),
		cmocka_unit_test(hazard_G2_nobody_inside_passes_for_a_supervisor),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
