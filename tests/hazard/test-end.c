/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a sandbox: nothing of it goes on, whoever ends it and whenever, and nothing is left in the embedder.
 *
 * Every process of a tree holds the writing end of a pipe that it inherited; the test sees the end of the last one as the end of the file.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "as_seen.h"

#define GONE_MS 5000 /* on a busy machine; a moment otherwise */
#define PIPE_FD 99   /* what the tree inherits */

/* ---- guests ---- */

static void ignore_signals(void)
{
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_IGN);
}

static void wait_for_ever(void)
{
	for (;;)
		pause();
}

/* A daemon by the book, deaf to signals. */
static void daemonise(void)
{
	if (fork())
		return;
	setsid();
	if (fork())
		_exit(0);
	ignore_signals();
	wait_for_ever();
}

static void stopped(void)
{
	if (fork())
		return;
	raise(SIGSTOP);
	wait_for_ever();
}

/* One that is another process at every moment. */
static void runaway(void)
{
	if (fork())
		return;
	for (;;) {
		if (fork())
			_exit(0);
		setsid();
	}
}

static void crowd(int n)
{
	for (int i = 0; i < n; i++) {
		if (!fork()) {
			if (i % 2)
				setsid();
			wait_for_ever();
		}
	}
}

/* ARG: d daemon, s stopped, r runaway, c crowd; "x" at the end: exit, else wait. Writes a byte when all are there. */
static int guest_tree(const char *arg)
{
	for (; *arg && *arg != 'x'; arg++) {
		if (*arg == 'd')
			daemonise();
		if (*arg == 's')
			stopped();
		if (*arg == 'r')
			runaway();
		if (*arg == 'c')
			crowd(200);
	}
	if (write(PIPE_FD, "r", 1) != 1)
		return 1;
	if (*arg != 'x')
		wait_for_ever();
	return 0;
}

/* A child for each call in the tree of descriptors to be looked at. */
static int guest_family(const char *arg)
{
	(void)arg;
	for (int i = 0; i < 3; i++) {
		if (!fork())
			wait_for_ever();
	}
	daemonise();
	if (write(PIPE_FD, "r", 1) != 1)
		return 1;
	wait_for_ever();
	return 0;
}

static int guest_open(const char *path)
{
	return open(path, O_RDONLY) < 0 ? errno : 0;
}

#define THREADS 1300

static void *hold(void *refused)
{
	errno = 0;
	if (syscall(SYS_getpriority, 0, 0) < 0 && errno == EAGAIN)
		atomic_fetch_add((atomic_int *)refused, 1);
	return NULL;
}

/* THREADS threads in one call each. 0: some were refused with EAGAIN, and all came back. */
static int guest_threads(const char *arg)
{
	static pthread_t threads[THREADS];
	atomic_int refused = 0;
	pthread_attr_t attr;

	(void)arg;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 32768);
	for (int i = 0; i < THREADS; i++) {
		if (pthread_create(&threads[i], &attr, hold, &refused))
			return 200;
	}
	/* all that can be held are: let them go */
	while (!atomic_load(&refused))
		usleep(1000);
	syscall(SYS_getpgid, 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return atomic_load(&refused) < THREADS ? 0 : 201;
}

static const struct guest_role roles[] = {
	{ "tree", guest_tree }, { "family", guest_family },
	{ "open", guest_open }, { "hold", guest_threads },
	{ NULL, NULL },
};

/* ---- our own children ---- */

static size_t children_text(char text[4096])
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, 4095);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static pid_t first_child(void)
{
	char text[4096];

	return children_text(text) ? atoi(text) : 0;
}

static int children(void)
{
	char text[4096];
	size_t len = children_text(text);
	int n = 0;

	for (size_t i = 0; i < len; i++)
		n += text[i] == ' ';
	return n;
}

/* ---- the pipe ---- */

/* Returns the reading end; PIPE_FD is the writing one, to be inherited. */
static int pipe_new(void)
{
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(dup2(p[1], PIPE_FD), PIPE_FD);
	close(p[1]);
	return p[0];
}

static void await_ready(int fd)
{
	char c;

	assert_int_equal(read(fd, &c, 1), 1);
}

/* Closes our writing end, and waits for the last of the others. */
static void assert_all_gone(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	long long until = guest_now_ms() + GONE_MS;
	char c;

	close(PIPE_FD);
	while (guest_now_ms() < until) {
		if (poll(&p, 1, 100) > 0 && read(fd, &c, 1) == 0) {
			close(fd);
			return;
		}
	}
	fail_msg("somebody is left after %d ms", GONE_MS);
}

/* ---- D2 ---- */

/* Without a sandbox they stay: those that are left become ours, so that they can be ended here. */
static void hazard_D2_control_daemons_stay(void **state)
{
	int fd = pipe_new(), left = 0;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c;

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	assert_int_equal(guest_bare("tree", "dsx"), 0);
	await_ready(fd);
	close(PIPE_FD);
	assert_int_equal(poll(&p, 1, 100), 0);
	for (pid_t pid; (pid = first_child()) > 0; left++) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
	assert_true(left >= 2); /* and the one between a daemon and us */
	assert_int_equal(read(fd, &c, 1), 0);
	close(fd);
}

static struct sluice_policy *without_scope(void)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_disable(p, "signal-scope", NULL), 0);
	return p;
}

static void hazard_D2_the_tree_ends_with_the_command(void **state)
{
	static const char *const trees[] = { "x", "dx", "sx", "rrx", "cx", "dsrcx" };
	struct sluice_policy *p = without_scope();

	(void)state;
	for (size_t i = 0; i < 2 * N_OF(trees); i++) {
		int fd = pipe_new();

		assert_int_equal(guest_inside(i % 2 ? p : NULL, "tree", trees[i / 2]), 0);
		assert_all_gone(fd);
	}
	sluice_policy_unref(p);
}

static void hazard_D2_the_tree_ends_when_killed(void **state)
{
	struct sluice_policy *p = guest_policy();
	int fd = pipe_new();
	struct sluice_sandbox *s = guest_spawn(p, NULL, "tree", "dsrc");
	struct sluice_result res;

	(void)state;
	await_ready(fd);
	assert_int_equal(sluice_sandbox_kill(s, SIGKILL), 0);
	assert_int_equal(sluice_sandbox_wait(s, GONE_MS, &res), 0);
	assert_int_equal(res.end, SLUICE_ENDED_KILLED);
	sluice_sandbox_free(s);
	assert_all_gone(fd);

	fd = pipe_new();
	assert_int_equal(sluice_policy_set_timeout_ms(p, 300), 0);
	res = guest_run(p, NULL, 0, "tree", "dsrc");
	assert_int_equal(res.end, SLUICE_ENDED_TIMEOUT);
	assert_all_gone(fd);
	sluice_policy_unref(p);
}

/* An embedder in a process of its own, with a sandbox that does not end. */
static pid_t embedder(struct sluice_policy *p, const char *tree)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		/* what is killed while it starts may have something to say */
		dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
		guest_run(p, as_seen_opens, N_AS_SEEN_OPENS, "tree", tree);
		_exit(0);
	}
	return pid;
}

static void kill_embedder(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void hazard_D2_the_supervisor_is_killed(void **state)
{
	struct sluice_policy *p = without_scope();

	(void)state;
	for (int i = 0; i < 6; i++) {
		int fd = pipe_new();
		pid_t pid = embedder(i % 2 ? p : NULL, i < 2 ? "d" : "dsrc");

		await_ready(fd);
		kill_embedder(pid);
		assert_all_gone(fd);
	}
	sluice_policy_unref(p);
}

static void hazard_D2_the_supervisor_is_killed_at_any_moment(void **state)
{
	(void)state;
	for (useconds_t i = 0; i < 60; i++) {
		int fd = pipe_new();
		pid_t pid = embedder(NULL, "dsc");

		usleep(i * 200);
		kill_embedder(pid);
		assert_all_gone(fd);
	}
}

/* ---- D5 ---- */

/* How many descriptors of @pid are listeners; -1: it is gone. */
static int listeners_of(pid_t pid)
{
	char path[64], target[128];
	struct dirent *d;
	DIR *dir;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return -1;
	while ((d = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), d->d_name, target, sizeof(target) - 1);

		target[len > 0 ? len : 0] = '\0';
		n += strstr(target, "seccomp") != NULL;
	}
	closedir(dir);
	return n;
}

/* The beginning of /proc/PID/@name; empty where there is none. */
static const char *proc_text(pid_t pid, const char *name, char *buf, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, size - 1);
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static pid_t parent_of(pid_t pid)
{
	char text[1024];
	const char *at = strstr(proc_text(pid, "status", text, sizeof(text)), "\nPPid:");

	return at ? atoi(at + 6) : 0;
}

static bool descends(pid_t pid, pid_t from)
{
	for (int depth = 0; pid > 1 && depth < 20; depth++) {
		pid = parent_of(pid);
		if (pid == from)
			return true;
	}
	return false;
}

static bool is_init(pid_t pid)
{
	char name[32];

	return !strcmp(proc_text(pid, "comm", name, sizeof(name)), "sluice-init\n");
}

/* Looks at each process below us; how many have been seen, or -1: one holds a listener. Our own init has it until it is told that the command runs: 0. */
static int look_for_listeners(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	int seen = 0;

	assert_non_null(proc);
	while (seen >= 0 && (d = readdir(proc))) {
		pid_t pid = atoi(d->d_name);
		int n;

		if (pid <= 1 || !descends(pid, getpid()))
			continue;
		n = listeners_of(pid);
		if (n > 0 && is_init(pid)) {
			seen = 0;
			break;
		}
		if (n > 0)
			seen = -1;
		else
			seen += n == 0; /* what just ended has none */
	}
	closedir(proc);
	return seen;
}

static void hazard_D5_the_listener_is_in_no_task(void **state)
{
	const struct sluice_spawn_options o = {
		.size = sizeof(o),
		.extras = as_seen_opens,
		.n_extras = N_AS_SEEN_OPENS,
	};
	int fd = pipe_new(), seen;
	struct sluice_sandbox *s = guest_spawn(NULL, &o, "family", "");
	long long until = guest_now_ms() + GONE_MS;

	(void)state;
	await_ready(fd);
	/* what we look for can be found */
	assert_int_equal(listeners_of(getpid()), 1);
	/* init, command, three children, and the daemon once it is there */
	do
		seen = look_for_listeners();
	while (seen >= 0 && seen < 6 && guest_now_ms() < until);
	assert_true(seen >= 6);
	sluice_sandbox_free(s);
	assert_all_gone(fd);
}

/* ---- D7 ---- */

struct held {
	pthread_mutex_t lock;
	struct sluice_deferral all[2048];
	int n, refused;
	bool open; /* nobody is held any more */
};

static struct sluice_verdict hold_back(struct sluice_request *req, void *userdata)
{
	struct held *h = userdata;
	struct sluice_verdict v = sluice_defer();

	pthread_mutex_lock(&h->lock);
	if (h->open) {
		v = sluice_value(0);
	} else if (h->n == 2048 || sluice_request_defer(req, &h->all[h->n]) < 0) {
		h->refused++;
		v = sluice_errno(EAGAIN);
	} else {
		h->n++;
	}
	pthread_mutex_unlock(&h->lock);
	return v;
}

static struct sluice_verdict let_all_go(struct sluice_request *req, void *userdata)
{
	struct held *h = userdata;

	(void)req;
	pthread_mutex_lock(&h->lock);
	h->open = true;
	for (int i = 0; i < h->n; i++)
		sluice_deferral_answer(&h->all[i], sluice_value(0));
	pthread_mutex_unlock(&h->lock);
	return sluice_value(0);
}

static void hazard_D7_held_calls_are_bounded(void **state)
{
	static struct held h = { .lock = PTHREAD_MUTEX_INITIALIZER };
	const struct sluice_handler extras[] = {
		{ .nr = SYS_getpriority, .fn = hold_back, .userdata = &h, .deadline_ms = 60000 },
		{ .nr = SYS_getpgid, .fn = let_all_go, .userdata = &h },
	};

	(void)state;
	assert_int_equal(guest_run(NULL, extras, 2, "hold", "").exit_code, 0);
	assert_int_equal(h.n, 1024);
	assert_true(h.refused > 0);
}

/* ---- D8 ---- */

static int entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *d;
	int n = 0;

	assert_non_null(dir);
	while ((d = readdir(dir)))
		n += *d->d_name != '.';
	closedir(dir);
	return n;
}

struct left {
	int fds, threads, children, files;
};

/* A thread that was joined is listed until the kernel has taken it down. */
static int threads(void)
{
	const long long until = guest_now_ms() + 5000;
	int n;

	while ((n = entries("/proc/self/task")) > 1 && guest_now_ms() < until)
		sched_yield();
	return n;
}

static struct left count(const char *tmp)
{
	return (struct left){ entries("/proc/self/fd"), threads(), children(), entries(tmp) };
}

static void one_of_each_end(int i)
{
	const struct sluice_spawn_options o = {
		.size = sizeof(o),
		.extras = as_seen_opens,
		.n_extras = N_AS_SEEN_OPENS,
		.stdio = { SLUICE_STDIO_NULL, SLUICE_STDIO_PIPE, SLUICE_STDIO_STDOUT },
		.stats = 1,
	};
	const char *const nothing[] = { "/nonexistent/command", NULL };
	struct sluice_policy *p = guest_policy();
	struct sluice_sandbox *s;

	switch (i % 4) {
	case 0:
		assert_int_equal(guest_run(p, as_seen_opens, N_AS_SEEN_OPENS, "open", "/etc/passwd")
					 .exit_code,
				 0);
		break;
	case 1:
		assert_int_equal(sluice_run(p, nothing, NULL, NULL), -ENOENT);
		break;
	case 2:
		sluice_sandbox_free(guest_spawn(p, &o, "tree", "dsc"));
		break;
	default:
		s = guest_spawn(p, &o, "open", "/etc/passwd");
		sluice_sandbox_wait(s, -1, NULL);
		sluice_sandbox_free(s);
	}
	sluice_policy_unref(p);
}

static void hazard_D8_nothing_is_left(void **state)
{
	const char *tmp = getenv("TMPDIR") ? getenv("TMPDIR") : guest_dir();
	int fd = pipe_new();
	struct left before, after;

	(void)state;
	for (int i = 0; i < 4; i++) /* what is made once */
		one_of_each_end(i);
	before = count(tmp);
	for (int i = 0; i < 100; i++)
		one_of_each_end(i);
	after = count(tmp);
	assert_int_equal(after.fds, before.fds);
	assert_int_equal(after.threads, before.threads);
	assert_int_equal(after.children, before.children);
	assert_int_equal(after.files, before.files);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_all_gone(fd);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_D2_control_daemons_stay),
		cmocka_unit_test(hazard_D2_the_tree_ends_with_the_command),
		cmocka_unit_test(hazard_D2_the_tree_ends_when_killed),
		cmocka_unit_test(hazard_D2_the_supervisor_is_killed),
		cmocka_unit_test(hazard_D2_the_supervisor_is_killed_at_any_moment),
		cmocka_unit_test(hazard_D5_the_listener_is_in_no_task),
		cmocka_unit_test(hazard_D7_held_calls_are_bounded),
		cmocka_unit_test(hazard_D8_nothing_is_left),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("end", tests, NULL, NULL);
}
