/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Soak: tasks that make trapped calls of all kinds while they fork, start threads, take a signal every millisecond and are killed at random
 * moments. Afterwards: every call was answered (the run ends by itself), no descriptor, thread or process of ours is left.
 *
 * SLUICE_SOAK_CALLS (default 60000; 1000000 for a long run) and SLUICE_SOAK_SEED; the seed is printed and replays the tasks' choices.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <sluice/sluice.h>

#define TASKS 8
#define CALLS_A_LIFE 40 /* of one forked child */

static char self_path[4096];

static uint64_t next_random(uint64_t *state)
{
	/* xorshift64*, Vigna 2016 */
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717ull;
}

/* ---- inside ---- */

static void nothing(int sig)
{
	(void)sig;
}

static int one_call(uint64_t r)
{
	int fd;

	switch (r % 5) {
	case 0:
		return syscall(SYS_getpriority, 0, 0) == 77 ? 0 : 1;
	case 1:
		fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			close(fd);
		return fd >= 0 ? 0 : 2;
	case 2:
		return access("/etc/nothing-there", F_OK) < 0 && errno == ENOENT ? 0 : 3;
	case 3:
		return syscall(SYS_getsid, 0) == 78 ? 0 : 4;
	default:
		return syscall(SYS_getpgid, 0) == 79 ? 0 : 5;
	}
}

static void *thread_calls(void *arg)
{
	uint64_t state = (uintptr_t)arg | 1;

	for (int i = 0; i < 5; i++) {
		if (one_call(next_random(&state)))
			_exit(9);
	}
	return NULL;
}

static int one_life(uint64_t seed)
{
	struct itimerval every_ms = { { 0, 1000 }, { 0, 1000 } };
	struct sigaction sa = { .sa_handler = nothing, .sa_flags = SA_RESTART };
	uint64_t state = seed | 1;
	pthread_t t;

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &every_ms, NULL);
	for (int i = 0; i < CALLS_A_LIFE; i++) {
		uint64_t r = next_random(&state);
		int bad;

		if (r % 64 == 1 &&
		    pthread_create(&t, NULL, thread_calls, (void *)(uintptr_t)r) == 0)
			pthread_join(t, NULL);
		if (r % 97 == 2)
			kill(getpid(), SIGKILL);
		bad = one_call(r >> 8);
		if (bad)
			return bad;
	}
	return 0;
}

/* A child a life; some are killed from outside, at any point of a call. Calls are counted roughly: lives that end early make fewer. */
static int task(uint64_t seed, long lives)
{
	uint64_t state = seed | 1;

	for (long i = 0; i < lives; i++) {
		uint64_t r = next_random(&state);
		pid_t pid = fork();
		int status;

		if (pid == 0)
			_exit(one_life(r));
		if (pid < 0)
			return 6;
		if (r % 5 == 0) {
			struct timespec ts = { .tv_nsec = (long)(r >> 8) % 2000000 };

			nanosleep(&ts, NULL);
			kill(pid, SIGKILL);
		}
		if (waitpid(pid, &status, 0) != pid)
			return 7;
		if (WIFEXITED(status) && WEXITSTATUS(status))
			return WEXITSTATUS(status);
		if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
			return 8;
	}
	return 0;
}

static int inside(uint64_t seed, long calls)
{
	int bad = 0, status;

	for (int i = 0; i < TASKS; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(task(seed + (uint64_t)i * 7919, calls / TASKS / CALLS_A_LIFE + 1));
	}
	while (wait(&status) > 0)
		bad |= WIFEXITED(status) ? WEXITSTATUS(status) : 10;
	return bad;
}

/* ---- outside ---- */

static struct sluice_verdict answer(struct sluice_request *req, void *userdata)
{
	(void)req;
	return sluice_value((intptr_t)userdata);
}

static struct sluice_verdict as_seen(struct sluice_request *req, void *userdata)
{
	(void)req;
	(void)userdata;
	return sluice_as_seen();
}

static struct sluice_verdict decode(struct sluice_request *req, void *userdata)
{
	const char *path;

	(void)userdata;
	sluice_request_path(req, 0, &path);
	return sluice_continue();
}

static struct sluice_verdict blocking(struct sluice_request *req, void *userdata)
{
	struct timespec ts = { .tv_nsec = 50000 };

	(void)req;
	(void)userdata;
	nanosleep(&ts, NULL);
	return sluice_value(78);
}

/* Deferrals are answered by a thread of the embedder. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t some;
	struct sluice_deferral list[1024];
	unsigned n;
	bool stop;
} later = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, { { 0 } }, 0, false };

static struct sluice_verdict defer(struct sluice_request *req, void *userdata)
{
	struct sluice_deferral d;

	(void)userdata;
	if (sluice_request_defer(req, &d) < 0)
		return sluice_value(79);
	pthread_mutex_lock(&later.lock);
	later.list[later.n++] = d;
	pthread_cond_signal(&later.some);
	pthread_mutex_unlock(&later.lock);
	return sluice_defer();
}

static void *answer_later(void *arg)
{
	struct sluice_deferral d;

	(void)arg;
	for (;;) {
		pthread_mutex_lock(&later.lock);
		while (!later.n && !later.stop)
			pthread_cond_wait(&later.some, &later.lock);
		if (!later.n) {
			pthread_mutex_unlock(&later.lock);
			return NULL;
		}
		d = later.list[--later.n];
		pthread_mutex_unlock(&later.lock);
		sluice_deferral_answer(&d, sluice_value(79));
	}
}

static int count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void soak(enum sluice_dispatch mode, uint64_t seed, uint64_t calls)
{
	const struct sluice_handler extras[] = {
		{ .nr = SYS_getpriority, .fn = answer, .userdata = (void *)(intptr_t)77 },
		{ .nr = SYS_openat, .fn = as_seen },
		{ .nr = SYS_access, .fn = decode },
		{ .nr = SYS_getsid, .fn = blocking, .flags = SLUICE_MAY_BLOCK },
		{ .nr = SYS_getpgid, .fn = defer },
	};
	struct sluice_policy *p = sluice_policy_new();
	struct sluice_error err = { 0 };
	struct sluice_result res;
	char seed_text[32], calls_text[32];
	const char *const argv[] = { self_path, "--inside", seed_text, calls_text, NULL };
	int r;

	snprintf(seed_text, sizeof(seed_text), "%llu", (unsigned long long)seed);
	snprintf(calls_text, sizeof(calls_text), "%llu", (unsigned long long)calls);
	assert_int_equal(sluice_policy_allow_read(p, "/", NULL), 0);
	assert_int_equal(sluice_policy_set_dispatch(p, mode), 0);
	r = sluice_run_with_extra_handlers(p, argv, extras, 5, &res, &err);
	if (r < 0)
		fail_msg("run: %d: %s", r, err.text);
	sluice_policy_unref(p);
	print_message("mode %d seed %s: exit %d, %llu notifications, %.1f s\n", mode, seed_text,
		      res.exit_code, (unsigned long long)res.notifications,
		      (double)res.wall_ns / 1e9);
	assert_int_equal(res.exit_code, 0);
	assert_true(res.notifications > calls / 4);
}

static void test_soak(void **state)
{
	uint64_t seed = env_number("SLUICE_SOAK_SEED", (uint64_t)time(NULL));
	uint64_t calls = env_number("SLUICE_SOAK_CALLS", 60000);
	int fds, threads;
	pthread_t t;

	(void)state;
	print_message("SLUICE_SOAK_SEED=%llu\n", (unsigned long long)seed);
	fds = count_entries("/proc/self/fd");
	later.stop = false;
	assert_int_equal(pthread_create(&t, NULL, answer_later, NULL), 0);
	threads = count_entries("/proc/self/task") - 1; /* without the one just made */
	soak(SLUICE_DISPATCH_ADAPTIVE, seed, calls);
	soak(SLUICE_DISPATCH_POOL, seed + 1, calls / 3);
	soak(SLUICE_DISPATCH_INLINE, seed + 2, calls / 3);
	pthread_mutex_lock(&later.lock);
	later.stop = true;
	pthread_cond_signal(&later.some);
	pthread_mutex_unlock(&later.lock);
	pthread_join(t, NULL);
	assert_int_equal(count_entries("/proc/self/fd"), fds);
	/* a joined thread is still listed for a moment */
	for (int i = 0; i < 2000 && count_entries("/proc/self/task") != threads; i++)
		poll(NULL, 0, 1);
	assert_int_equal(count_entries("/proc/self/task"), threads);
	assert_int_equal(waitpid(-1, NULL, __WALL | WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_soak),
	};

	if (argc == 4 && !strcmp(argv[1], "--inside"))
		_exit(inside(strtoull(argv[2], NULL, 10), atol(argv[3])));
	if (readlink("/proc/self/exe", self_path, sizeof(self_path) - 1) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
