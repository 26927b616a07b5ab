/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handlers that fail: late, slow, stuck, crashing. The call is denied, others are not held up, and nothing is left running.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "recorder.h"

/* What the calls of other tasks may wait for one handler that is stuck. */
#define HELD_UP_MAX_US (2000 * GUEST_SLOW)
#define STUCK_MS 50
#define GOOD_ROUNDS 4
#define ROUNDS_MAX 200

static void sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

/* ---- guests ---- */

static _Atomic bool done;

static void *one_getpriority(void *arg)
{
	syscall(SYS_getpriority, 0, 0);
	atomic_store(&done, true);
	return arg;
}

/* The longest getpgid until getpriority is answered (@until) or @ms have gone. */
static long long longest_call_us(const _Atomic bool *until, long ms)
{
	long long end = guest_now_us() + ms * 1000, longest = 0;

	while (until ? !atomic_load(until) : guest_now_us() < end) {
		long long start = guest_now_us(), took;

		syscall(SYS_getpgid, 0);
		took = guest_now_us() - start;
		longest = took > longest ? took : longest;
	}
	return longest;
}

/* What a neighbour's calls took at the longest, in us. */
struct neighbour {
	long long alone;  /* for as long as the handler will be stuck, before it is */
	long long beside; /* while another thread's getpriority is answered */
	bool named; /* the role was taken over, and the statistics name the handler; not known inside */
};

/* A struct neighbour goes to descriptor @arg. */
static int role_neighbour(const char *arg)
{
	struct neighbour n = { 0 };
	pthread_t t;

	n.alone = longest_call_us(NULL, STUCK_MS);
	pthread_create(&t, NULL, one_getpriority, NULL);
	n.beside = longest_call_us(&done, 0);
	pthread_join(t, NULL);
	return write(atoi(arg), &n, sizeof(n)) == sizeof(n) ? 0 : 200;
}

/* A tree with a daemon in it, all of which hold a copy of descriptor @arg; then one call. */
static int role_tree(const char *arg)
{
	int fd = atoi(arg), here[2];
	char c;

	if (pipe(here) < 0)
		return 200;
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 200;
		if (pid == 0) {
			if (i == 0 && (setsid() < 0 || fork() > 0))
				_exit(0);
			signal(SIGTERM, SIG_IGN);
			signal(SIGHUP, SIG_IGN);
			if (write(fd, "r", 1) < 0 || write(here[1], "r", 1) < 0)
				_exit(1);
			for (;;)
				pause();
		}
	}
	/* all are there */
	for (int i = 0; i < 3; i++) {
		if (read(here[0], &c, 1) != 1)
			return 201;
	}
	if (write(fd, "r", 1) < 0)
		return 202;
	syscall(SYS_getpriority, 0, 0);
	for (;;)
		pause();
	return 203;
}

static const struct guest_role roles[] = {
	{ "getpriority", role_getpriority },
	{ "neighbour", role_neighbour },
	{ "tree", role_tree },
	{ NULL, NULL },
};

/* ---- late ---- */

struct sleepy {
	long ms;
	int times; /* the first calls only */
	int fd;	   /* then: INJECT_FD of a copy of this */
	_Atomic int calls;
};

static struct sluice_verdict sleepy_handle(struct sluice_request *req, void *userdata)
{
	struct sleepy *s = userdata;
	int call = atomic_fetch_add(&s->calls, 1);

	(void)req;
	if (!s->times || call < s->times)
		sleep_ms(s->ms);
	if (s->fd > 0)
		return sluice_inject_fd(fcntl(s->fd, F_DUPFD_CLOEXEC, 3), 0);
	return sluice_continue();
}

static struct sluice_handler sleeps(struct sleepy *s)
{
	struct sluice_handler h = sluice_handler_make("sleepy", SYS_getpriority, sleepy_handle, s);

	h.deadline_ms = 20;
	h.deadline_errno = ETIME;
	return h;
}

static void test_past_the_deadline_is_a_denial(void **state)
{
	static const enum sluice_dispatch modes[] = { SLUICE_DISPATCH_ADAPTIVE,
						      SLUICE_DISPATCH_POOL,
						      SLUICE_DISPATCH_INLINE };

	(void)state;
	for (size_t i = 0; i < 2 * N_OF(modes); i++) {
		struct sleepy sleepy = { .ms = 200 };
		struct sluice_handler h = sleeps(&sleepy);
		struct sluice_policy *p = guest_policy();

		assert_int_equal(sluice_policy_set_dispatch(p, modes[i / 2]), 0);
		h.flags = i % 2 ? SLUICE_MAY_BLOCK : 0;
		assert_int_equal(guest_run(p, &h, 1, "getpriority", "").exit_code, ETIME);
		h.deadline_errno = 0;
		assert_int_equal(guest_run(p, &h, 1, "getpriority", "").exit_code, EPERM);
		sluice_policy_unref(p);
	}
}

static void test_within_the_deadline_it_is_not(void **state)
{
	struct sleepy sleepy = { .ms = 50 };
	struct sluice_handler h = sleeps(&sleepy);

	(void)state;
	h.deadline_ms = 10000;
	assert_int_equal(guest_run(NULL, &h, 1, "getpriority", "").exit_code, 0);
}

static void test_the_task_does_not_wait_for_a_late_handler(void **state)
{
	struct sleepy sleepy = { .ms = 700, .times = 1 };
	struct sluice_handler h = sleeps(&sleepy);
	struct sluice_spawn_options o = { .size = sizeof(o), .extras = &h, .n_extras = 1 };
	struct sluice_sandbox *s = guest_spawn(NULL, &o, "getpriority", "");
	struct sluice_result r;

	(void)state;
	assert_int_equal(sluice_sandbox_wait(s, 20000, &r), 0);
	assert_int_equal(r.exit_code, ETIME);
	assert_true(r.wall_ns < 600000000);
	sluice_sandbox_free(s);
	assert_int_equal(sleepy.calls, 1);
}

static void test_the_engine_goes_on_after_it(void **state)
{
	struct sleepy sleepy = { .ms = 60, .times = 3 };
	struct sluice_handler h = sleeps(&sleepy);
	struct sluice_result r;

	(void)state;
	r = guest_run(NULL, &h, 1, "getpriority", "20");
	assert_int_equal(r.exit_code, 0);
	assert_int_equal(r.denied, 3);
	assert_int_equal(sleepy.calls, 20);
}

static void test_what_a_late_handler_returns_is_dropped(void **state)
{
	struct sleepy sleepy = { .ms = 60, .fd = memfd_create("test", MFD_CLOEXEC) };
	struct sluice_handler h = sleeps(&sleepy);
	struct sluice_policy *p = guest_policy();
	int before;

	(void)state;
	assert_int_equal(guest_run(p, &h, 1, "getpriority", "").exit_code, ETIME);
	before = open_descriptors();
	assert_int_equal(guest_run(p, &h, 1, "getpriority", "3").exit_code, ETIME);
	assert_int_equal(open_descriptors(), before);
	close(sleepy.fd);
	sluice_policy_unref(p);
}

/* ---- stuck ---- */

static json_t *stats_of(struct sluice_sandbox *s)
{
	char *text = sluice_sandbox_stats_json(s);
	json_t *all = json_loads(text, 0, NULL);

	assert_non_null(all);
	free(text);
	return all;
}

static json_t *handler_of(json_t *stats, const char *name)
{
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(stats, "handlers"), i, one) {
		if (!strcmp(json_string_value(json_object_get(one, "name")), name))
			return one;
	}
	fail_msg("no handler %s in the statistics", name);
	return NULL;
}

/* One round: a handler is stuck for STUCK_MS, and a neighbour has its calls answered meanwhile. */
static struct neighbour stuck_round(enum sluice_dispatch mode)
{
	struct record record = { 0 };
	struct answer prompt = { &record, 1, sluice_continue() };
	struct sleepy sleepy = { .ms = STUCK_MS };
	struct sluice_handler h[] = { sleeps(&sleepy), answers(SYS_getpgid, &prompt) };
	struct sluice_spawn_options o = { .size = sizeof(o), .extras = h, .n_extras = 2 };
	struct sluice_policy *p = guest_policy();
	struct sluice_sandbox *s;
	struct sluice_result r;
	struct neighbour n;
	json_t *stats;
	char arg[16];
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	snprintf(arg, sizeof(arg), "%d", ends[1]);
	assert_int_equal(sluice_policy_set_dispatch(p, mode), 0);
	h[0].deadline_ms = 100000;
	s = guest_spawn(p, &o, "neighbour", arg);
	assert_int_equal(sluice_sandbox_wait(s, 60000, &r), 0);
	assert_int_equal(r.exit_code, 0);
	assert_int_equal(read(ends[0], &n, sizeof(n)), sizeof(n));
	stats = stats_of(s);
	n.named = json_integer_value(json_object_get(stats, "takeovers")) >= 1 &&
		  json_is_true(json_object_get(handler_of(stats, "sleepy"), "slow"));
	json_decref(stats);
	sluice_sandbox_free(s);
	sluice_policy_unref(p);
	close(ends[0]);
	close(ends[1]);
	return n;
}

/*
 * An unflagged handler sleeps while another thread's calls go on: they are held up once and by 2 ms at most, the engine takes over, and the statistics
 * name the culprit.
 *
 * A machine that is doing something else holds up calls by itself. How long, the same thread measures right before, for the same time: a round whose
 * own noise is large is no evidence and does not count, what there is of it otherwise is granted on top. Threads that must wake up for a takeover
 * see noise that this does not show, so not each round can be asked for; but one good round would prove nothing either: an engine that looks every
 * 7 ms has one in twenty by luck. So GOOD_ROUNDS of them, and a tenth of all that count, are. Inline, where nobody takes over, the whole sleep
 * must show. Where hardly a round counts, nothing can be said.
 */
static void test_a_stuck_handler_holds_up_nobody(void **state)
{
	struct neighbour n = stuck_round(SLUICE_DISPATCH_INLINE);
	int rounds = 0, counted = 0, good = 0;

	(void)state;
	assert_true(n.beside > STUCK_MS * 1000 / 2 && !n.named);
	while (rounds++ < ROUNDS_MAX && (good < GOOD_ROUNDS || 10 * good < counted)) {
		n = stuck_round(SLUICE_DISPATCH_ADAPTIVE);
		if (n.alone > HELD_UP_MAX_US / 4)
			continue;
		counted++;
		good += n.named && n.beside <= HELD_UP_MAX_US + n.alone;
		print_message("held up for %lld us (without: %lld us)\n", n.beside, n.alone);
	}
	if (good < GOOD_ROUNDS && counted < 10 * GOOD_ROUNDS)
		skip_because("the machine is too busy: %d of %d rounds count", counted, ROUNDS_MAX);
	assert_true(good >= GOOD_ROUNDS && 10 * good >= counted);
}

/* After the takeover its calls go to the pool: the role is not taken away again. */
static void test_it_is_taken_over_once(void **state)
{
	struct sleepy sleepy = { .ms = 30 };
	struct sluice_handler h = sleeps(&sleepy);
	struct sluice_spawn_options o = { .size = sizeof(o), .extras = &h, .n_extras = 1 };
	struct sluice_sandbox *s;
	struct sluice_result r;
	json_t *stats;

	(void)state;
	h.deadline_ms = 10000;
	s = guest_spawn(NULL, &o, "getpriority", "10");
	assert_int_equal(sluice_sandbox_wait(s, 20000, &r), 0);
	stats = stats_of(s);
	assert_int_equal(r.exit_code, 0);
	assert_int_equal(sleepy.calls, 10);
	assert_int_equal(json_integer_value(json_object_get(stats, "takeovers")), 1);
	json_decref(stats);
	sluice_sandbox_free(s);
}

/* ---- crashing ---- */

static struct sluice_verdict crash_handle(struct sluice_request *req, void *userdata)
{
	int how = *(int *)userdata;

	(void)req;
	if (how == SIGSEGV)
		*(volatile int *)(uintptr_t)(sluice_request_arg(req, 0) + 64) = 1; /* unmapped */
	else if (how == SIGABRT)
		abort();
	else
		kill(getpid(), how);
	sleep_ms(10000);
	return sluice_continue();
}

/* An embedder with a handler for SIGSEGV that would go on, as language runtimes have. */
static void return_from_signal(int sig)
{
	(void)sig;
}

static void crashing_embedder(int how, int fd)
{
	struct sluice_handler h = sluice_handler_make("crash", SYS_getpriority, crash_handle, &how);
	const struct rlimit none = { 0, 0 };
	char arg[16];

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	if (how == SIGABRT)
		signal(SIGABRT, return_from_signal);
	snprintf(arg, sizeof(arg), "%d", fd);
	guest_run(NULL, &h, 1, "tree", arg);
	_exit(0);
}

/* Read until nobody holds the other end any more: the whole tree is gone. */
static int bytes_until_all_are_gone(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = 0;
	char c;

	while (poll(&p, 1, 15000) == 1) {
		if (read(fd, &c, 1) != 1)
			return n;
		n++;
	}
	fail_msg("somebody is still running");
	return -1;
}

static void test_a_crash_ends_embedder_and_sandbox(void **state)
{
	static const int ways[] = { SIGSEGV, SIGABRT, SIGKILL };

	(void)state;
	for (size_t i = 0; i < N_OF(ways); i++) {
		int ends[2], status;
		pid_t pid;

		assert_int_equal(pipe(ends), 0);
		fflush(NULL);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			close(ends[0]);
			crashing_embedder(ways[i], ends[1]);
		}
		close(ends[1]);
		/* all were there: three with a daemon among them, and the command */
		assert_int_equal(bytes_until_all_are_gone(ends[0]), 4);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), ways[i]);
		close(ends[0]);
	}
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_past_the_deadline_is_a_denial),
		cmocka_unit_test(test_within_the_deadline_it_is_not),
		cmocka_unit_test(test_the_task_does_not_wait_for_a_late_handler),
		cmocka_unit_test(test_the_engine_goes_on_after_it),
		cmocka_unit_test(test_what_a_late_handler_returns_is_dropped),
		cmocka_unit_test(test_a_stuck_handler_holds_up_nobody),
		cmocka_unit_test(test_it_is_taken_over_once),
		cmocka_unit_test(test_a_crash_ends_embedder_and_sandbox),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
