/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts that fail: the right errno, a sentence that names what is wrong, and nothing left behind, at whatever point it happened.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "recorder.h"

static int role_exit(const char *arg)
{
	return atoi(arg);
}

static const struct guest_role roles[] = { { "exit", role_exit }, { NULL, NULL } };

/* Threads of a process that has run no sandbox yet: a sanitizer has one of its own. */
static int threads_at_first;

/* Descriptors, threads and children of ours. */
struct traces {
	int fds, threads;
};

static struct traces look(void)
{
	return (struct traces){ open_descriptors(), guest_threads_left(threads_at_first) };
}

static void assert_nothing_left(const struct traces *before)
{
	assert_int_equal(guest_threads_left(before->threads), before->threads);
	assert_int_equal(open_descriptors(), before->fds);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	assert_int_equal(errno, ECHILD);
}

/* Start @argv under @p (consumed): it must fail with @wanted and say @needle, and the hint (where one is expected) @hint. */
static void assert_fails(struct sluice_policy *p, const char *const argv[],
			 const struct sluice_spawn_options *o, int wanted, const char *needle,
			 const char *hint)
{
	struct sluice_sandbox *s = (void *)1;
	struct traces before = look();
	struct sluice_error err = { 0 };
	int r = sluice_spawn(p, argv, o, &s, &err), r2;

	if (r != wanted || !strstr(err.text, needle) || (hint && !strstr(err.hint, hint)))
		fail_msg("%d, not %d: '%s' ('%s'): where is '%s'?", r, wanted, err.text, err.hint,
			 needle);
	assert_int_equal(err.code, -wanted);
	assert_null(strchr(err.text, '\n'));
	assert_ptr_equal(s, (void *)1);		 /* written on success only */
	r2 = sluice_spawn(p, argv, o, &s, NULL); /* nobody asks why */
	assert_int_equal(r2, wanted);
	sluice_policy_unref(p);
	assert_nothing_left(&before);
}

static void assert_command_fails(const char *command, int wanted, const char *needle,
				 const char *hint)
{
	const char *const argv[] = { command, NULL };
	struct sluice_policy *p = guest_policy();

	/* ours may have places that an ordinary user can't look into */
	assert_int_equal(sluice_policy_set_env(p, "PATH=/usr/bin:/bin", NULL), 0);
	assert_fails(p, argv, NULL, wanted, needle, hint);
}

/* A file in @dir with these bytes and mode; the name is the caller's until the next call. */
static const char *file_in(const char *dir, const char *name, const char *bytes, mode_t mode)
{
	static char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
	close(fd);
	return path;
}

/* ---- the command ---- */

static void test_no_such_command(void **state)
{
	(void)state;
	assert_command_fails("no-such-command", -ENOENT, "exec: no-such-command: not found in PATH",
			     NULL);
	assert_command_fails("/no/such/command", -ENOENT, "exec: /no/such/command: No such file",
			     NULL);
	assert_command_fails("/etc/passwd/x", -ENOTDIR, "exec: /etc/passwd/x: Not a directory",
			     NULL);
	assert_command_fails("", -ENOENT, "exec: \"\"", NULL);
	assert_command_fails(NULL, -EINVAL, "nothing to run", NULL);
	assert_fails(guest_policy(), NULL, NULL, -EINVAL, "nothing to run", NULL);
}

static void test_a_command_that_may_not_be_run(void **state)
{
	const char *const self[] = { guest_program(), "--inside", "exit", "0", NULL };
	const char *dir = guest_dir();
	struct sluice_policy *p;

	(void)state;
	assert_command_fails(file_in(dir, "plain", "#!/bin/sh\n", 0644), -EACCES,
			     "/plain: Permission denied", "granted");
	assert_command_fails(dir, -EACCES, "Permission denied", NULL);
	assert_command_fails(file_in(dir, "interpreter", "#!/no/such/interpreter\n", 0755), -ENOENT,
			     "/interpreter: No such file", NULL);
	/* not granted: the same file runs where it is */
	assert_int_equal(guest_inside(NULL, "exit", "3"), 3);
	p = sluice_policy_new();
	assert_int_equal(sluice_policy_allow_read(p, "/etc", NULL), 0);
	assert_fails(p, self, NULL, -EACCES, "Permission denied", "-r PATH");
	guest_remove(dir);
}

/* As execvp: a file that the kernel can't execute is a shell script. */
static void test_a_script_without_a_first_line(void **state)
{
	const char *dir = guest_dir();
	const char *const argv[] = { file_in(dir, "script", "exit $1\n", 0755), "7", NULL };
	struct sluice_policy *p = guest_policy();
	struct sluice_result r;

	(void)state;
	assert_int_equal(sluice_run(p, argv, &r, NULL), 0);
	assert_int_equal(r.exit_code, 7);
	sluice_policy_unref(p);
	guest_remove(dir);
}

#define BIG_ARGUMENT (130u << 10) /* one may have 128 KiB */
#define MANY_ARGUMENTS 300

static void test_a_command_line_too_long(void **state)
{
	static const char *argv[MANY_ARGUMENTS + 2];
	char *big = malloc(BIG_ARGUMENT + 1);

	(void)state;
	memset(big, 'x', BIG_ARGUMENT);
	big[BIG_ARGUMENT] = '\0';
	argv[0] = guest_program();
	argv[1] = big;
	assert_fails(guest_policy(), argv, NULL, -E2BIG, "Argument list too long", NULL);
	big[100u << 10] = '\0'; /* each is short enough, all are not */
	for (int i = 1; i <= MANY_ARGUMENTS; i++)
		argv[i] = big;
	assert_fails(guest_policy(), argv, NULL, -E2BIG, "Argument list too long", NULL);
	free(big);
}

/* ---- the policy ---- */

static const char *const self_argv[] = { "/bin/true", NULL };

static void test_a_working_directory_that_is_none(void **state)
{
	static const struct {
		const char *cwd;
		int wanted;
	} cases[] = { { "/no/such/directory", -ENOENT }, { "/etc/passwd", -ENOTDIR } };

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct sluice_policy *p = guest_policy();

		assert_int_equal(sluice_policy_set_cwd(p, cases[i].cwd, NULL), 0);
		assert_fails(p, self_argv, NULL, cases[i].wanted, cases[i].cwd, NULL);
	}
}

static void test_a_grant_that_names_nothing(void **state)
{
	struct sluice_policy *p = guest_policy();

	(void)state;
	assert_int_equal(sluice_policy_allow_write(p, "/no/such/place", NULL), 0);
	assert_fails(p, self_argv, NULL, -ENOENT, "write grant: /no/such/place", "create it");
	p = guest_policy();
	assert_int_equal(sluice_policy_allow_read(p, "/etc/passwd/x", NULL), 0);
	assert_fails(p, self_argv, NULL, -ENOTDIR, "read grant: /etc/passwd/x", NULL);
}

static void test_more_open_files_than_allowed(void **state)
{
	struct sluice_policy *p = guest_policy();

	(void)state;
	assert_int_equal(sluice_policy_set_max_open_files(p, INT_MAX, NULL), 0);
	assert_fails(p, self_argv, NULL, -EPERM, "limit of open files", "hard limit");
}

/* The hard limit can't be taken back, so a child tries. */
static void test_a_limit_that_carries_nothing(void **state)
{
	const struct rlimit hour = { 3600000000u, 3600000000u };
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct sluice_policy *p = guest_policy();
		struct sluice_error err = { 0 };
		struct sluice_result res;
		bool before, after;

		before = sluice_policy_set_chroot(p, ROOT_BY_ANOTHER_NAME, NULL) == 0 &&
			 sluice_run(p, self_argv, &res, NULL) == 0 && res.exit_code == 0;
		after = setrlimit(RLIMIT_RTTIME, &hour) == 0 &&
			sluice_run(p, self_argv, &res, &err) == -EPERM &&
			strstr(err.text, "RLIMIT_RTTIME");
		sluice_policy_unref(p);
		_exit(before && after ? 0 : before ? 1 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_an_unknown_call_in_the_policy(void **state)
{
	struct sluice_policy *p = guest_policy();

	(void)state;
	assert_int_equal(sluice_policy_deny_syscall(p, "frobnicate", NULL), 0);
	assert_fails(p, self_argv, NULL, -EINVAL, "frobnicate", NULL);
}

static void test_bad_arguments(void **state)
{
	struct sluice_sandbox *s = NULL;
	struct sluice_policy *p = guest_policy();
	struct sluice_error err;

	(void)state;
	assert_int_equal(sluice_spawn(NULL, self_argv, NULL, &s, &err), -EINVAL);
	assert_int_equal(sluice_spawn(p, self_argv, NULL, NULL, &err), -EINVAL);
	assert_int_equal(sluice_run(NULL, self_argv, NULL, NULL), -EINVAL);
	sluice_policy_unref(p);
}

static void test_stdio_that_is_none(void **state)
{
	static const struct {
		int which;
		uint32_t option;
		int fd, wanted;
		const char *needle;
	} cases[] = {
		{ 0, SLUICE_STDIO_FD, -1, -EBADF, "stdin" },
		{ 1, SLUICE_STDIO_FD, 9999, -EBADF, "stdout" },
		{ 2, SLUICE_STDIO_FD, -7, -EBADF, "stderr" },
		{ 0, SLUICE_STDIO_STDOUT, 0, -EINVAL, "stdin" },
		{ 1, SLUICE_STDIO_STDOUT, 0, -EINVAL, "stdout" },
		{ 0, 5, 0, -EINVAL, "stdin" },
		{ 2, UINT32_MAX, 0, -EINVAL, "stderr" },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct sluice_spawn_options o = { .size = sizeof(o) };

		for (int k = 0; k < cases[i].which; k++)
			o.stdio[k] = SLUICE_STDIO_PIPE; /* what was made before it is closed */
		o.stdio[cases[i].which] = cases[i].option;
		o.stdio_fd[cases[i].which] = cases[i].fd;
		assert_fails(guest_policy(), self_argv, &o, cases[i].wanted, cases[i].needle, NULL);
	}
}

/* Sandboxes that failed to start do not count as running. */
static void test_a_supervisor_forgets_failed_starts(void **state)
{
	struct sluice_supervisor *v = sluice_supervisor_new(1);
	struct sluice_spawn_options o = { .size = sizeof(o), .supervisor = v };
	const char *const none[] = { "/no/such/command", NULL };
	struct sluice_totals totals;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_fails(guest_policy(), none, &o, -ENOENT, "exec:", NULL);
	sluice_supervisor_totals(v, &totals);
	assert_int_equal(totals.running, 0);
	sluice_supervisor_unref(v);
}

/* ---- descriptors run out ---- */

static void set_descriptor_limit(rlim_t n)
{
	struct rlimit l;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &l), 0);
	l.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &l), 0);
}

/* The limit is raised one by one until the start succeeds: each failure on the way is a clean one. */
static void test_descriptors_run_out_at_every_point(void **state)
{
	const char *const argv[] = { guest_program(), "--inside", "exit", "3", NULL };
	struct sluice_spawn_options o = {
		.size = sizeof(o),
		.stdio = { SLUICE_STDIO_PIPE, SLUICE_STDIO_PIPE, SLUICE_STDIO_NULL },
	};
	struct traces before = look();
	struct rlimit saved;
	int failures = 0, r = -1;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	for (rlim_t limit = (rlim_t)before.fds; r < 0 && limit < 200; limit++) {
		struct sluice_policy *p = guest_policy();
		struct sluice_sandbox *s = NULL;
		struct sluice_error err = { 0 };
		struct sluice_result res;

		/* the command itself shall have enough */
		assert_int_equal(sluice_policy_set_max_open_files(p, 64, NULL), 0);
		set_descriptor_limit(limit);
		r = sluice_spawn(p, argv, &o, &s, &err);
		set_descriptor_limit(saved.rlim_cur);
		if (r < 0) {
			failures++;
			if (r != -EMFILE || !err.text[0] || err.code != EMFILE)
				fail_msg("limit %d: %d: '%s'", (int)limit, r, err.text);
		} else {
			assert_int_equal(sluice_sandbox_wait(s, 20000, &res), 0);
			assert_int_equal(res.exit_code, 3);
			sluice_sandbox_free(s);
		}
		sluice_policy_unref(p);
		assert_nothing_left(&before);
	}
	assert_int_equal(r, 0);
	assert_true(failures >= 8);
}

/* One good start first: what the C library or a sanitizer keeps for good is there from then on. */
static int warm_up(void **state)
{
	(void)state;
	return guest_inside(NULL, "exit", "0");
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_such_command),
		cmocka_unit_test(test_a_command_that_may_not_be_run),
		cmocka_unit_test(test_a_script_without_a_first_line),
		cmocka_unit_test(test_a_command_line_too_long),
		cmocka_unit_test(test_a_working_directory_that_is_none),
		cmocka_unit_test(test_a_grant_that_names_nothing),
		cmocka_unit_test(test_more_open_files_than_allowed),
		cmocka_unit_test(test_a_limit_that_carries_nothing),
		cmocka_unit_test(test_an_unknown_call_in_the_policy),
		cmocka_unit_test(test_bad_arguments),
		cmocka_unit_test(test_stdio_that_is_none),
		cmocka_unit_test(test_a_supervisor_forgets_failed_starts),
		cmocka_unit_test(test_descriptors_run_out_at_every_point),
	};

	guest_begin(argc, argv, roles);
	threads_at_first = guest_threads_left(INT_MAX);
	return cmocka_run_group_tests(tests, warm_up, NULL);
}
