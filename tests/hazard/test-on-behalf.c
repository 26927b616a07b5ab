/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Acts on behalf: with the task's own credentials, umask, terminal and limits, and without holding up anybody. Each act is first shown
 * to do the same without a supervisor.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "as_seen.h"

#define ORDINARY 65534
#define LONG_MS 20000 /* nothing here takes that long unless it hangs */

static int as_seen(struct sluice_policy *p, const char *role, const char *arg)
{
	return guest_run(p, as_seen_opens, N_AS_SEEN_OPENS, role, arg).exit_code;
}

static int open2(const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t)flags };

	return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

/* @fn(@arg) in a process of its own: its value, or 254 for a signal. */
static int apart(int (*fn)(const char *), const char *arg)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(fn(arg));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 254;
}

/* A policy under which all may be read and @dir written. */
static struct sluice_policy *writable(const char *dir)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_allow_write(p, dir, NULL), 0);
	return p;
}

/* ---- C9: credentials ---- */

/* Become an ordinary user for good. 0, or 100 + errno. */
static int become_ordinary(void)
{
	if (setresgid(ORDINARY, ORDINARY, ORDINARY) < 0 ||
	    setresuid(ORDINARY, ORDINARY, ORDINARY) < 0)
		return 100 + errno;
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* so that the supervisor may look */
	return 0;
}

/* ARG: a file that only root may read. */
static int guest_as_ordinary(const char *path)
{
	int r = become_ordinary();

	if (r)
		return r;
	return open2(path, O_RDONLY) < 0 ? errno : 0;
}

/* ARG: a file of root's. */
static int guest_chmod_as_ordinary(const char *path)
{
	int r = become_ordinary();

	if (r)
		return r;
	return chmod(path, 0644) < 0 ? errno : 0;
}

/* ARG: a socket that only root may connect to. */
static int guest_connect_as_ordinary(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r = become_ordinary();

	if (r)
		return r;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? errno : 0;
}

static int guest_open2(const char *path)
{
	return open2(path, O_RDONLY) < 0 ? errno : 0;
}

static const struct sluice_handler openat2_alone = { .nr = SYS_openat2, .fn = as_seen_verdict };

/* An embedder whose real user is an ordinary one, as a set-user-id program's is: its command may become that user without any capability. */
static int mixed_embedder(const char *path)
{
	struct sluice_result res;

	if (setgroups(0, NULL) < 0 || setresgid(ORDINARY, 0, 0) < 0 ||
	    setresuid(ORDINARY, 0, 0) < 0)
		return 250;
	res = guest_run(NULL, &openat2_alone, 1, "ordinary", path);
	return res.exit_code;
}

static const char *mixed_role, *mixed_dir;

/* The same with built-ins alone: writing below mixed_dir is granted. */
static int mixed_builtins(const char *path)
{
	if (setgroups(0, NULL) < 0 || setresgid(ORDINARY, 0, 0) < 0 ||
	    setresuid(ORDINARY, 0, 0) < 0)
		return 250;
	return guest_run(writable(mixed_dir), NULL, 0, mixed_role, path).exit_code;
}

static int listen_for_root(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(chmod(path, 0600), 0);
	return fd;
}

/* What built-ins do on behalf is done as us, so it is not done for a task that is somebody else. */
static void hazard_C9_built_ins_and_the_tasks_credentials(void **state)
{
	const char *dir = guest_dir(), *path = guest_in(dir, "s");
	int fd = listen_for_root(path);
	struct stat st;

	(void)state;
	assert_int_equal(chmod(dir, 0755), 0);
	mixed_dir = dir;
	if (geteuid() == 0) {
		mixed_role = "ordinary-connect";
		assert_int_equal(guest_bare(mixed_role, path), EACCES);
		assert_int_equal(apart(mixed_builtins, path), EACCES);
		assert_int_equal(accept4(fd, NULL, NULL, SOCK_CLOEXEC), -1);
		mixed_role = "ordinary-chmod";
		assert_int_equal(guest_bare(mixed_role, path), EPERM);
		assert_int_equal(apart(mixed_builtins, path), EACCES);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	} else { /* who stays the same all along */
		struct sluice_policy *p = writable(dir);

		assert_int_equal(guest_inside(p, "ordinary-chmod", path), 0);
		sluice_policy_unref(p);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0644);
	}
	close(fd);
	guest_remove(dir);
}

static void hazard_C9_the_tasks_credentials(void **state)
{
	const char *dir = guest_dir();
	const char *path = guest_in(dir, "secret");
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(guest_run(NULL, &openat2_alone, 1, "open2", path).exit_code, 0);
	if (geteuid() == 0) {
		assert_int_equal(guest_bare("ordinary", path), EACCES);
		/* no capability is left to a root sandbox, so it stays who it is */
		assert_int_equal(guest_run(NULL, &openat2_alone, 1, "ordinary", path).exit_code,
				 100 + EPERM);
		assert_int_equal(apart(mixed_embedder, path), EACCES);
	} else {
		assert_int_equal(guest_run(NULL, &openat2_alone, 1, "ordinary", path).exit_code, 0);
	}
	guest_remove(dir);
}

/* ---- C11: terminals ---- */

/* "s": in a session of its own; "n": without blocking. Opens /dev/tty. */
static int guest_tty(const char *how)
{
	if (strchr(how, 's')) {
		pid_t pid = fork(); /* a leader of a group can't begin a session */
		int status;

		if (pid == 0) {
			setsid();
			_exit(open("/dev/tty", O_RDWR | (strchr(how, 'n') ? O_NONBLOCK : 0)) < 0
				      ? errno
				      : 0);
		}
		waitpid(pid, &status, 0);
		return WEXITSTATUS(status);
	}
	return open("/dev/tty", O_RDWR | (strchr(how, 'n') ? O_NONBLOCK : 0)) < 0 ? errno : 0;
}

static int terminal_new(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		return -1;
	return master;
}

/* In a session whose terminal is a new one: 0, or what went wrong. */
static int with_terminal(const char *arg)
{
	static const char *const hows[] = { "-", "n", "s", "sn" };
	int master = terminal_new();

	(void)arg;
	if (master < 0 || setsid() < 0 || open(ptsname(master), O_RDWR | O_CLOEXEC) < 0)
		return 250;
	for (size_t i = 0; i < N_OF(hows); i++) {
		int want = *hows[i] == 's' ? ENXIO : 0;

		if (guest_bare("tty", hows[i]) != want)
			return 10 + (int)i;
		if (as_seen(NULL, "tty", hows[i]) != want)
			return 20 + (int)i;
	}
	return 0;
}

static void hazard_C11_dev_tty_is_the_tasks(void **state)
{
	(void)state;
	assert_int_equal(apart(with_terminal, NULL), 0);
}

/* Open the terminal ARG without O_NOCTTY. */
static int guest_open_terminal(const char *path)
{
	return open(path, O_RDWR) < 0 ? errno : 0;
}

/* As the leader of a session without a terminal: does an open on behalf give us one? */
static int without_terminal(const char *control)
{
	int master = terminal_new();

	if (master < 0 || setsid() < 0)
		return 250;
	if (control) /* the open that does */
		open(ptsname(master), O_RDWR | O_CLOEXEC);
	else if (as_seen(NULL, "terminal", ptsname(master)))
		return 251;
	return open("/dev/tty", O_RDWR | O_CLOEXEC) >= 0 ? 1 : 0;
}

static void hazard_C11_no_terminal_for_the_supervisor(void **state)
{
	(void)state;
	assert_int_equal(apart(without_terminal, "control"), 1);
	assert_int_equal(apart(without_terminal, NULL), 0);
}

/* An unnamed file: its mode and that it has no name. */
static int guest_tmpfile(const char *dir)
{
	struct stat st;
	int fd;

	umask(027);
	fd = open(dir, O_TMPFILE | O_RDWR, 0666);
	if (fd < 0)
		return errno;
	if (fstat(fd, &st) < 0 || (st.st_mode & 07777) != 0640 || st.st_nlink != 0)
		return 200;
	return st.st_uid == geteuid() && st.st_gid == getegid() ? 0 : 201;
}

static void hazard_C11_unnamed_files(void **state)
{
	const char *dir = guest_dir();
	struct sluice_policy *p = writable(dir);

	(void)state;
	assert_int_equal(guest_bare("tmpfile", dir), 0);
	assert_int_equal(as_seen(p, "tmpfile", dir), 0);
	sluice_policy_unref(p);
	guest_remove(dir);
}

/* ---- C6: descriptors ---- */

/* How many descriptors can be had, and what the next one fails with. */
static int guest_fill(const char *arg)
{
	struct rlimit lim = { 32, 32 };
	int fd, last = -1;

	(void)arg;
	setrlimit(RLIMIT_NOFILE, &lim);
	while ((fd = open("/dev/null", O_RDONLY)) >= 0)
		last = fd;
	return errno == EMFILE && last == 31 ? 0 : errno;
}

static void hazard_C6_the_tasks_own_limit(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("fill", ""), 0);
	assert_int_equal(as_seen(NULL, "fill", ""), 0);
}

static struct rlimit before;

/* Take all descriptors from this process at the first call, and give them back at the second. */
static struct sluice_verdict starve(struct sluice_request *req, void *userdata)
{
	struct rlimit none = { 3, before.rlim_max };
	atomic_int *calls = userdata;

	(void)req;
	setrlimit(RLIMIT_NOFILE, atomic_fetch_add(calls, 1) ? &before : &none);
	return sluice_as_seen();
}

static int guest_twice(const char *path)
{
	int first = open2(path, O_RDONLY) < 0 ? errno : 0;

	return open2(path, O_RDONLY) < 0 ? 200 : first;
}

static void hazard_C6_our_limit_is_not_the_tasks(void **state)
{
	atomic_int calls = 0;
	struct sluice_handler h = { .nr = SYS_openat2, .fn = starve, .userdata = &calls };

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(guest_run(NULL, &h, 1, "twice", "/etc/passwd").exit_code, ENFILE);
	assert_int_equal(calls, 2);
}

/* ---- C4: what blocks ---- */

/* ROUNDS times: a child writes and is gone at once, we read what it wrote. The FIFO is ARG. */
#define ROUNDS 300
static int guest_short_writers(const char *fifo)
{
	for (int i = 0; i < ROUNDS; i++) {
		char text[8] = "";
		pid_t pid = fork();
		int fd, status;

		if (pid == 0) {
			fd = open(fifo, O_WRONLY);
			_exit(fd >= 0 && write(fd, "x", 1) == 1 ? 0 : 1);
		}
		fd = open(fifo, O_RDONLY);
		if (fd < 0 || read(fd, text, sizeof(text)) != 1)
			return 1;
		close(fd);
		if (waitpid(pid, &status, 0) != pid || status)
			return 2;
	}
	return 0;
}

/* The same when the reader alone is late or early, and the writer stays silent: its open is enough. */
static int guest_silent_writer(const char *fifo)
{
	pid_t pid = fork();
	int fd;

	if (pid == 0) {
		open(fifo, O_WRONLY);
		pause();
	}
	fd = open(fifo, O_RDONLY);
	kill(pid, SIGKILL);
	return fd < 0 || waitpid(pid, NULL, 0) != pid ? 1 : 0;
}

static void hazard_C4_fifo_that_is_written_and_closed_at_once(void **state)
{
	const char *dir = guest_dir();
	struct sluice_policy *p = writable(dir);
	const char *fifo = guest_in(dir, "fifo");

	(void)state;
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(guest_bare("short", fifo), 0);
	assert_int_equal(sluice_policy_set_timeout_ms(p, LONG_MS), 0);
	assert_int_equal(as_seen(p, "short", fifo), 0);
	assert_int_equal(guest_bare("silent", fifo), 0);
	assert_int_equal(as_seen(p, "silent", fifo), 0);
	sluice_policy_unref(p);
	guest_remove(dir);
}

/* Children wait in opens of a FIFO that nobody else opens; meanwhile other opens go on. Then the children are killed. */
#define WAITERS 16
static int guest_waiters(const char *fifo)
{
	struct timespec a, b;
	pid_t pids[WAITERS];
	int ready[2];
	char c;

	if (pipe(ready) < 0)
		return 200;
	for (int i = 0; i < WAITERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			if (write(ready[1], "x", 1) != 1)
				_exit(1);
			open(fifo, O_RDONLY);
			_exit(2);
		}
		if (read(ready[0], &c, 1) != 1)
			return 201;
	}
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < 200; i++) {
		int fd = open("/etc/passwd", O_RDONLY);

		if (fd < 0)
			return errno;
		close(fd);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	for (int i = 0; i < WAITERS; i++) {
		int status;

		kill(pids[i], SIGKILL);
		if (waitpid(pids[i], &status, 0) != pids[i] || !WIFSIGNALED(status))
			return 202;
	}
	return b.tv_sec - a.tv_sec > 5 ? 203 : 0;
}

static void hazard_C4_waiting_for_a_fifo_holds_up_nobody(void **state)
{
	const char *dir = guest_dir();
	struct sluice_policy *p = writable(dir);
	const char *fifo = guest_in(dir, "fifo");

	(void)state;
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(guest_bare("waiters", fifo), 0);
	assert_int_equal(sluice_policy_set_timeout_ms(p, LONG_MS), 0);
	assert_int_equal(as_seen(p, "waiters", fifo), 0);
	/* read-only: the supervisor can't open the other end to let anybody go */
	assert_int_equal(as_seen(NULL, "waiters", fifo), 0);
	sluice_policy_unref(p);
	guest_remove(dir);
}

/* Wait in an open until killed. */
static int guest_wait_for_fifo(const char *fifo)
{
	if (!fork()) {
		open(fifo, O_RDONLY);
		_exit(0);
	}
	open(fifo, O_RDONLY);
	return 1;
}

static void hazard_C4_end_while_a_fifo_is_waited_for(void **state)
{
	const struct sluice_spawn_options o = {
		.size = sizeof(o),
		.extras = as_seen_opens,
		.n_extras = N_AS_SEEN_OPENS,
	};
	const char *dir = guest_dir();
	const char *fifo = guest_in(dir, "fifo");
	long long start;

	(void)state;
	assert_int_equal(mkfifo(fifo, 0600), 0);
	for (int i = 0; i < 20; i++) {
		struct sluice_sandbox *s = guest_spawn(NULL, &o, "fifo", fifo);

		usleep((useconds_t)i * 500); /* any moment will do */
		start = guest_now_ms();
		sluice_sandbox_free(s);
		assert_true(guest_now_ms() - start < 5000);
	}
	guest_remove(dir);
}

static const struct guest_role roles[] = {
	{ "ordinary", guest_as_ordinary },
	{ "ordinary-chmod", guest_chmod_as_ordinary },
	{ "ordinary-connect", guest_connect_as_ordinary },
	{ "open2", guest_open2 },
	{ "tty", guest_tty },
	{ "terminal", guest_open_terminal },
	{ "tmpfile", guest_tmpfile },
	{ "fill", guest_fill },
	{ "twice", guest_twice },
	{ "short", guest_short_writers },
	{ "silent", guest_silent_writer },
	{ "waiters", guest_waiters },
	{ "fifo", guest_wait_for_fifo },
	{ NULL, NULL },
};

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_C9_the_tasks_credentials),
		cmocka_unit_test(hazard_C9_built_ins_and_the_tasks_credentials),
		cmocka_unit_test(hazard_C11_dev_tty_is_the_tasks),
		cmocka_unit_test(hazard_C11_no_terminal_for_the_supervisor),
		cmocka_unit_test(hazard_C11_unnamed_files),
		cmocka_unit_test(hazard_C6_the_tasks_own_limit),
		cmocka_unit_test(hazard_C6_our_limit_is_not_the_tasks),
		cmocka_unit_test(hazard_C4_fifo_that_is_written_and_closed_at_once),
		cmocka_unit_test(hazard_C4_waiting_for_a_fifo_holds_up_nobody),
		cmocka_unit_test(hazard_C4_end_while_a_fifo_is_waited_for),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("on-behalf", tests, NULL, NULL);
}
