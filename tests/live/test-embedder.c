/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sandboxes in the life of a program with an event loop, threads and forks of its own.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "recorder.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MANY 60
#else
#define MANY 300
#endif
#define LONG_MS 60000

/* ---- guests ---- */

/* Sends back what comes, to its end; then exits with @arg. */
static int role_echo(const char *arg)
{
	char buf[256];
	ssize_t n;

	while ((n = read(0, buf, sizeof(buf))) > 0) {
		if (write(1, buf, (size_t)n) != n)
			return 250;
	}
	if (write(2, "end", 3) != 3)
		return 251;
	return atoi(arg);
}

static int role_exit(const char *arg)
{
	return atoi(arg);
}

static volatile sig_atomic_t got;

static void on_signal(int sig)
{
	got = sig;
}

/* Exits with the number of the first signal that it is sent. */
static int role_await_signal(const char *arg)
{
	sigset_t all, none;

	(void)arg;
	sigfillset(&all);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGTERM, on_signal);
	signal(SIGUSR1, on_signal);
	if (write(1, "r", 1) != 1)
		return 250;
	sigsuspend(&none);
	return got;
}

/* Three processes, a daemon among them, that ignore what can be ignored; each writes a byte to stdout and keeps it open. */
static int role_tree(const char *arg)
{
	(void)arg;
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			if (i == 0 && (setsid() < 0 || fork() > 0))
				_exit(0);
			break;
		}
	}
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	if (write(1, "r", 1) != 1)
		return 250;
	for (;;)
		pause();
	return 0;
}

static int role_can_write(const char *arg)
{
	int fd = open(arg, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	return fd < 0 ? errno : 0;
}

static int role_env(const char *arg)
{
	const char *v = getenv(arg);

	return v ? atoi(v) : 255;
}

static const struct guest_role roles[] = {
	{ "echo", role_echo },
	{ "exit", role_exit },
	{ "await-signal", role_await_signal },
	{ "tree", role_tree },
	{ "can-write", role_can_write },
	{ "env", role_env },
	{ "getpriority", role_getpriority },
	{ NULL, NULL },
};

/* ---- helpers ---- */

static const struct sluice_spawn_options all_pipes = {
	.size = sizeof(all_pipes),
	.stdio = { SLUICE_STDIO_PIPE, SLUICE_STDIO_PIPE, SLUICE_STDIO_PIPE },
};
static const struct sluice_spawn_options out_pipe = {
	.size = sizeof(out_pipe),
	.stdio = { SLUICE_STDIO_NULL, SLUICE_STDIO_PIPE, SLUICE_STDIO_INHERIT },
};

static struct sluice_result wait_for(struct sluice_sandbox *s)
{
	struct sluice_result r;

	assert_int_equal(sluice_sandbox_wait(s, LONG_MS, &r), 0);
	return r;
}

static int finish(struct sluice_sandbox *s)
{
	struct sluice_result r = wait_for(s);

	assert_null(sluice_sandbox_free(s));
	return r.exit_code;
}

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

/* Read @n bytes, or up to the end of file with @n 0, with a limit in time. Returns how many came. */
static size_t read_bytes(int fd, size_t n)
{
	size_t done = 0;
	char c;

	while (n == 0 || done < n) {
		if (!readable(fd, 20000))
			fail_msg("nothing comes any more");
		if (read(fd, &c, 1) != 1)
			break;
		done++;
	}
	return done;
}

/* A tree that runs; its end shows as the end of the returned pipe. */
static struct sluice_sandbox *spawn_tree(struct sluice_policy *p, int *ret_pipe)
{
	struct sluice_sandbox *s = guest_spawn(p, &out_pipe, "tree", "");

	*ret_pipe = sluice_sandbox_pipe(s, 1);
	assert_true(*ret_pipe >= 0);
	assert_int_equal(read_bytes(*ret_pipe, 3), 3);
	return s;
}

/* ---- one sandbox ---- */

static void test_spawn_poll_wait(void **state)
{
	struct sluice_sandbox *s = guest_spawn(NULL, &all_pipes, "echo", "7");
	int in = sluice_sandbox_pipe(s, 0), out = sluice_sandbox_pipe(s, 1),
	    err = sluice_sandbox_pipe(s, 2), fd = sluice_sandbox_fd(s);
	struct sluice_result r;
	char buf[8] = "";

	(void)state;
	assert_true(in >= 0 && out >= 0 && err >= 0 && fd >= 0);
	assert_int_equal(sluice_sandbox_pipe(s, 0), -EBADF); /* once */
	assert_int_equal(sluice_sandbox_pipe(s, 3), -EBADF);
	assert_int_equal(sluice_sandbox_pipe(s, -1), -EBADF);
	assert_int_equal(sluice_sandbox_wait(s, 0, &r), -EAGAIN);
	assert_false(readable(fd, 0));
	assert_int_equal(kill(sluice_sandbox_pid(s), 0), 0);
	assert_int_equal(write(in, "hello", 5), 5);
	assert_true(readable(out, LONG_MS));
	assert_int_equal(read(out, buf, sizeof(buf)), 5);
	assert_string_equal(buf, "hello");
	close(in);
	assert_true(readable(fd, LONG_MS));
	assert_true(readable(fd, 0)); /* and it stays so */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sluice_sandbox_wait(s, 0, &r), 0);
		assert_int_equal(r.end, SLUICE_ENDED_EXIT);
		assert_int_equal(r.exit_code, 7);
	}
	assert_int_equal(sluice_sandbox_wait(s, -1, NULL), 0);
	assert_int_equal(read_bytes(out, 0), 0);
	assert_int_equal(read_bytes(err, 0), 3);
	assert_int_equal(sluice_sandbox_kill(s, SIGTERM), -ESRCH);
	assert_int_equal(sluice_sandbox_kill(s, SIGKILL), -ESRCH);
	sluice_sandbox_free(s);
	close(out);
	close(err);
}

static void test_wait_with_a_time_limit(void **state)
{
	struct sluice_sandbox *s = guest_spawn(NULL, &all_pipes, "echo", "0");
	long long start = guest_now_ms();

	(void)state;
	assert_int_equal(sluice_sandbox_wait(s, 60, NULL), -EAGAIN);
	assert_in_range(guest_now_ms() - start, 59, 20000);
	close(sluice_sandbox_pipe(s, 0));
	assert_int_equal(sluice_sandbox_wait(s, INT_MAX, NULL), 0);
	sluice_sandbox_free(s);
}

static void test_signals_reach_the_command(void **state)
{
	static const int sent[] = { SIGTERM, SIGUSR1 };

	(void)state;
	for (size_t i = 0; i < N_OF(sent); i++) {
		struct sluice_sandbox *s = guest_spawn(NULL, &out_pipe, "await-signal", "");
		int out = sluice_sandbox_pipe(s, 1);

		assert_int_equal(read_bytes(out, 1), 1);
		assert_int_equal(sluice_sandbox_kill(s, 0), 0);
		assert_int_equal(sluice_sandbox_kill(s, 1000), -EINVAL);
		assert_int_equal(sluice_sandbox_kill(s, sent[i]), 0);
		assert_int_equal(finish(s), sent[i]);
		close(out);
	}
}

static void test_kill_ends_the_tree(void **state)
{
	struct sluice_result r;
	struct sluice_sandbox *s;
	int out;

	(void)state;
	s = spawn_tree(NULL, &out);
	assert_int_equal(sluice_sandbox_kill(s, SIGKILL), 0);
	assert_int_equal(read_bytes(out, 0), 0);
	r = wait_for(s);
	assert_int_equal(r.end, SLUICE_ENDED_KILLED);
	assert_int_equal(r.exit_code, 128 + SIGKILL);
	sluice_sandbox_free(s);
	close(out);
}

static void test_free_ends_the_tree(void **state)
{
	struct sluice_sandbox *s;
	int out;

	(void)state;
	s = spawn_tree(NULL, &out);
	sluice_sandbox_free(s);
	assert_true(readable(out, 0));
	assert_int_equal(read_bytes(out, 0), 0);
	close(out);
	for (int i = 0; i < 10; i++) /* at whatever point of its start */
		sluice_sandbox_free(guest_spawn(NULL, NULL, "exit", "0"));
	assert_null(sluice_sandbox_free(NULL));
}

static void test_time_out_ends_the_tree(void **state)
{
	struct sluice_policy *p = guest_policy();
	struct sluice_result r;
	struct sluice_sandbox *s;
	int out;

	(void)state;
	assert_int_equal(sluice_policy_set_timeout_ms(p, 1500), 0);
	assert_int_equal(guest_inside(p, "exit", "3"), 3);
	s = spawn_tree(p, &out);
	assert_int_equal(read_bytes(out, 0), 0);
	r = wait_for(s);
	assert_int_equal(r.end, SLUICE_ENDED_TIMEOUT);
	assert_int_equal(r.exit_code, 124);
	assert_in_range(r.wall_ns, 1500000000, 20000000000);
	sluice_sandbox_free(s);
	close(out);
	sluice_policy_unref(p);
}

/* ---- stdio ---- */

static void test_stdio(void **state)
{
	struct sluice_spawn_options o = { .size = sizeof(o) };
	struct sluice_sandbox *s;
	int ends[2], out;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	o.stdio[0] = SLUICE_STDIO_NULL;
	o.stdio[1] = SLUICE_STDIO_FD;
	o.stdio_fd[1] = ends[1];
	o.stdio[2] = SLUICE_STDIO_STDOUT;
	assert_int_equal(finish(guest_spawn(NULL, &o, "echo", "4")), 4);
	close(ends[1]); /* borrowed: still ours to close */
	assert_int_equal(read_bytes(ends[0], 0), 3);
	close(ends[0]);
	/* stderr into stdout's pipe */
	o.stdio[1] = SLUICE_STDIO_PIPE;
	s = guest_spawn(NULL, &o, "echo", "4");
	out = sluice_sandbox_pipe(s, 1);
	assert_int_equal(sluice_sandbox_pipe(s, 0), -EBADF);
	assert_int_equal(sluice_sandbox_pipe(s, 2), -EBADF);
	assert_int_equal(read_bytes(out, 0), 3);
	assert_int_equal(finish(s), 4);
	close(out);
}

static void test_options_of_other_sizes(void **state)
{
	const char *const argv[] = { guest_program(), "--inside", "exit", "5", NULL };
	struct sluice_spawn_options o = { .size = sizeof(o) };
	static const size_t bad[] = { 0, 1, sizeof(size_t) - 1, sizeof(o) + 1, SIZE_MAX };
	struct sluice_policy *p = guest_policy();
	struct sluice_error err = { 0 };
	struct sluice_sandbox *s = NULL;

	(void)state;
	for (size_t i = 0; i < N_OF(bad); i++) {
		o.size = bad[i];
		assert_int_equal(sluice_spawn(p, argv, &o, &s, &err), -EINVAL);
		assert_non_null(strstr(err.text, "size"));
	}
	o.size = sizeof(size_t); /* an older, smaller struct */
	o.trace = 99;
	assert_int_equal(sluice_spawn(p, argv, &o, &s, &err), 0);
	assert_int_equal(finish(s), 5);
	o.size = sizeof(o);
	assert_int_equal(sluice_spawn(p, argv, &o, &s, &err), -EINVAL);
	sluice_policy_unref(p);
}

/* ---- many ---- */

static void raise_descriptor_limit(void)
{
	struct rlimit l;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &l), 0);
	l.rlim_cur = l.rlim_max < 16384 ? l.rlim_max : 16384;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &l), 0);
}

struct peer {
	struct sluice_sandbox *s;
	int in, out;
	size_t echoed;
	bool ended;
};

static void peer_start(struct peer *p, struct sluice_policy *policy, int i)
{
	char code[16], line[32];
	int n = snprintf(line, sizeof(line), "this is %d\n", i);

	snprintf(code, sizeof(code), "%d", i % 100);
	p->s = guest_spawn(policy, &all_pipes, "echo", code);
	p->in = sluice_sandbox_pipe(p->s, 0);
	p->out = sluice_sandbox_pipe(p->s, 1);
	assert_int_equal(write(p->in, line, (size_t)n), n);
}

/* What @p's descriptors have for us. */
static void peer_turn(struct peer *p, int i, short out, short end)
{
	char buf[64], wanted[32];
	ssize_t n;

	if (out) {
		n = read(p->out, buf + p->echoed, sizeof(buf) - p->echoed);
		assert_true(n >= 0);
		p->echoed += (size_t)n;
		if (n > 0 && buf[p->echoed - 1] == '\n') {
			snprintf(wanted, sizeof(wanted), "this is %d\n", i);
			assert_int_equal(p->echoed, strlen(wanted));
			assert_memory_equal(buf, wanted, p->echoed);
			close(p->in); /* it ends now */
		} else if (n == 0) {
			close(p->out);
			p->out = -1;
		}
	}
	if (end) {
		struct sluice_result r;

		assert_int_equal(sluice_sandbox_wait(p->s, 0, &r), 0);
		assert_int_equal(r.exit_code, i % 100);
		p->s = sluice_sandbox_free(p->s);
		p->ended = true;
	}
}

static void test_many_at_once_in_one_poll_loop(void **state)
{
	static struct peer peers[MANY];
	static struct pollfd fds[2 * MANY];
	struct sluice_policy *p = guest_policy();
	int left = MANY, before;

	(void)state;
	raise_descriptor_limit();
	guest_inside(p, "exit", "0");
	before = open_descriptors();
	for (int i = 0; i < MANY; i++)
		peer_start(&peers[i], p, i);
	while (left) {
		for (int i = 0; i < MANY; i++) {
			fds[2 * i] = (struct pollfd){ peers[i].out, POLLIN, 0 };
			fds[2 * i + 1] = (struct pollfd){
				peers[i].ended ? -1 : sluice_sandbox_fd(peers[i].s), POLLIN, 0
			};
		}
		assert_true(poll(fds, 2 * MANY, LONG_MS) > 0);
		left = 0;
		for (int i = 0; i < MANY; i++) {
			peer_turn(&peers[i], i, fds[2 * i].revents, fds[2 * i + 1].revents);
			left += !peers[i].ended || peers[i].out >= 0;
		}
	}
	assert_int_equal(open_descriptors(), before);
	sluice_policy_unref(p);
}

struct spawner {
	struct sluice_policy *policy;
	struct sluice_supervisor *supervisor;
	int failed;
};

static void *spawn_some(void *arg)
{
	struct spawner *w = arg;
	const char *const argv[] = { guest_program(), "--inside", "getpriority", "", NULL };
	struct record record = { 0 };
	struct answer a = { &record, 1, sluice_errno(EDOM) };
	struct sluice_handler h = answers(SYS_getpriority, &a);

	for (int i = 0; i < 10; i++) {
		struct sluice_spawn_options o = {
			.size = sizeof(o),
			.extras = &h,
			.n_extras = (size_t)i % 2,
			.supervisor = w->supervisor,
		};
		struct sluice_sandbox *s = NULL;
		struct sluice_result r = { 0 };

		if (sluice_spawn(w->policy, argv, &o, &s, NULL) < 0) {
			w->failed++;
			continue;
		}
		w->failed += sluice_sandbox_wait(s, LONG_MS, &r) != 0 ||
			     r.exit_code != (i % 2 ? EDOM : 0);
		sluice_sandbox_free(s);
	}
	w->failed += record.calls != 5;
	return NULL;
}

static void test_eight_threads_with_one_policy(void **state)
{
	struct sluice_policy *p = guest_policy();
	struct sluice_supervisor *v = sluice_supervisor_new(0);
	struct spawner w[8];
	pthread_t t[8];
	struct sluice_totals totals;

	(void)state;
	for (int i = 0; i < 8; i++) {
		w[i] = (struct spawner){ p, v, 0 };
		assert_int_equal(pthread_create(&t[i], NULL, spawn_some, &w[i]), 0);
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(w[i].failed, 0);
	}
	sluice_supervisor_totals(v, &totals);
	assert_int_equal(totals.running, 0);
	assert_int_equal(totals.started, 80);
	assert_int_equal(totals.denied, 40);
	assert_true(totals.notifications >= 40);
	sluice_supervisor_unref(v);
	sluice_policy_unref(p);
}

static void test_supervisor_bounds_how_many(void **state)
{
	const char *const argv[] = { guest_program(), "--inside", "exit", "0", NULL };
	struct sluice_supervisor *v = sluice_supervisor_new(2);
	struct sluice_spawn_options o = all_pipes;
	struct sluice_policy *p = guest_policy();
	struct sluice_sandbox *s[2], *third = NULL;
	struct sluice_error err = { 0 };
	struct sluice_totals totals;

	(void)state;
	o.supervisor = v;
	for (int i = 0; i < 2; i++)
		s[i] = guest_spawn(p, &o, "echo", "0");
	sluice_supervisor_unref(v); /* they hold references of their own */
	assert_int_equal(sluice_spawn(p, argv, &o, &third, &err), -EAGAIN);
	assert_null(third);
	assert_non_null(strstr(err.text, "2 sandboxes"));
	sluice_supervisor_totals(v, &totals);
	assert_int_equal(totals.running, 2);
	assert_int_equal(totals.started, 2);
	sluice_sandbox_free(s[0]);
	assert_int_equal(sluice_spawn(p, argv, &o, &third, &err), 0);
	assert_int_equal(finish(third), 0);
	sluice_sandbox_free(s[1]);
	sluice_policy_unref(p);
}

/* ---- threads and forks of the embedder ---- */

static void *spawn_and_leave(void *arg)
{
	*(struct sluice_sandbox **)arg = guest_spawn(NULL, &all_pipes, "echo", "9");
	return NULL;
}

static void test_the_spawning_thread_may_end_first(void **state)
{
	struct sluice_sandbox *s = NULL;
	char text[64];
	pthread_t t;
	int in, out;

	(void)state;
	pthread_create(&t, NULL, spawn_and_leave, &s);
	pthread_join(t, NULL);
	assert_non_null(s);
	in = sluice_sandbox_pipe(s, 0);
	out = sluice_sandbox_pipe(s, 1);
	assert_int_equal(sluice_sandbox_wait(s, 100, NULL), -EAGAIN);
	assert_int_equal(write(in, "x", 1), 1);
	assert_true(readable(out, LONG_MS));
	assert_int_equal(read(out, text, sizeof(text)), 1);
	close(in);
	assert_int_equal(finish(s), 9);
	close(out);
}

static void test_the_embedder_forks_meanwhile(void **state)
{
	struct sluice_sandbox *s = guest_spawn(NULL, &all_pipes, "echo", "6");
	int in = sluice_sandbox_pipe(s, 0), hold[2], status;
	pid_t pids[4];

	(void)state;
	assert_int_equal(pipe(hold), 0);
	fflush(NULL);
	for (size_t i = 0; i < N_OF(pids); i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) { /* with a copy of all that we hold, until we let it go */
			char c;

			close(in);
			close(hold[1]);
			_exit(read(hold[0], &c, 1) == 0 ? 0 : 1);
		}
	}
	close(hold[0]);
	assert_int_equal(sluice_sandbox_wait(s, 50, NULL), -EAGAIN);
	close(in);
	assert_int_equal(finish(s), 6);
	close(hold[1]);
	for (size_t i = 0; i < N_OF(pids); i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
}

static void test_kill_of_the_embedder_ends_the_tree(void **state)
{
	long long start;
	int ends[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct sluice_spawn_options o = {
			.size = sizeof(o),
			.stdio = { SLUICE_STDIO_NULL, SLUICE_STDIO_FD, 0 },
			.stdio_fd = { -1, ends[1], -1 },
		};

		close(ends[0]);
		wait_for(guest_spawn(NULL, &o, "tree", ""));
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(read_bytes(ends[0], 3), 3);
	start = guest_now_ms();
	kill(pid, SIGKILL);
	assert_int_equal(read_bytes(ends[0], 0), 0);
	assert_in_range(guest_now_ms() - start, 0, 2000);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(ends[0]);
}

/* ---- policies ---- */

static void test_a_policy_is_changed_and_used_again(void **state)
{
	struct sluice_policy *p = guest_policy();
	const char *dir = guest_dir();
	char file[4200];
	struct sluice_sandbox *s;

	(void)state;
	snprintf(file, sizeof(file), "%s/f", dir);
	assert_int_equal(guest_bare("can-write", file), 0);
	assert_int_equal(guest_inside(p, "can-write", file), EACCES);
	s = guest_spawn(p, &all_pipes, "echo", "1"); /* runs across the change */
	assert_int_equal(sluice_policy_allow_write(p, dir, NULL), 0);
	assert_int_equal(guest_inside(p, "can-write", file), 0);
	assert_int_equal(guest_inside(p, "env", "SLUICE_TEST"), 255);
	assert_int_equal(sluice_policy_set_env(p, "SLUICE_TEST=41", NULL), 0);
	assert_int_equal(guest_inside(p, "env", "SLUICE_TEST"), 41);
	assert_int_equal(sluice_policy_set_env(p, "SLUICE_TEST=42", NULL), 0);
	assert_int_equal(guest_inside(p, "env", "SLUICE_TEST"), 42);
	sluice_policy_unref(p); /* the running one holds it */
	close(sluice_sandbox_pipe(s, 0));
	assert_int_equal(finish(s), 1);
	guest_remove(dir);
}

/* The directory behind a grant is replaced: the next start looks it up again. */
static void test_a_granted_path_names_another_directory(void **state)
{
	struct sluice_policy *p = guest_policy();
	const char *dir = guest_dir();
	char granted[4200], moved[4200], file[4300];

	(void)state;
	snprintf(granted, sizeof(granted), "%s/d", dir);
	snprintf(moved, sizeof(moved), "%s/e", dir);
	snprintf(file, sizeof(file), "%s/f", granted);
	assert_int_equal(mkdir(granted, 0700), 0);
	assert_int_equal(sluice_policy_allow_write(p, granted, NULL), 0);
	assert_int_equal(guest_inside(p, "can-write", file), 0);
	assert_int_equal(rename(granted, moved), 0);
	assert_int_equal(mkdir(granted, 0700), 0);
	assert_int_equal(guest_inside(p, "can-write", file), 0);
	snprintf(file, sizeof(file), "%s/g", moved);
	assert_int_equal(guest_inside(p, "can-write", file), EACCES);
	sluice_policy_unref(p);
	guest_remove(dir);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spawn_poll_wait),
		cmocka_unit_test(test_wait_with_a_time_limit),
		cmocka_unit_test(test_signals_reach_the_command),
		cmocka_unit_test(test_kill_ends_the_tree),
		cmocka_unit_test(test_free_ends_the_tree),
		cmocka_unit_test(test_time_out_ends_the_tree),
		cmocka_unit_test(test_stdio),
		cmocka_unit_test(test_options_of_other_sizes),
		cmocka_unit_test(test_many_at_once_in_one_poll_loop),
		cmocka_unit_test(test_eight_threads_with_one_policy),
		cmocka_unit_test(test_supervisor_bounds_how_many),
		cmocka_unit_test(test_the_spawning_thread_may_end_first),
		cmocka_unit_test(test_the_embedder_forks_meanwhile),
		cmocka_unit_test(test_kill_of_the_embedder_ends_the_tree),
		cmocka_unit_test(test_a_policy_is_changed_and_used_again),
		cmocka_unit_test(test_a_granted_path_names_another_directory),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
