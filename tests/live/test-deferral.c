/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answering later: once, from anywhere, and never after somebody else has.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "recorder.h"

#define TEXT_OF(n) #n
#define TEXT(n) TEXT_OF(n)
#define CROWD 1040 /* more than can be deferred at a time */
#define DEFERRALS 1024
#define THRONG 2100 /* more than can be under way at a time */
#define REQUESTS 2048

/* ---- guests ---- */

static int role_pause(const char *arg)
{
	(void)arg;
	syscall(SYS_getpriority, 0, 0);
	pause();
	return 0;
}

/* A child makes two calls and does not survive the second; then the parent makes one. */
static int role_killed_child(const char *arg)
{
	pid_t pid = fork();
	int status;

	(void)arg;
	if (pid == 0) {
		syscall(SYS_getpriority, 0, 0);
		syscall(SYS_getpriority, 0, 0);
		_exit(200);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		return 201;
	return role_value("55");
}

static void *one_call(void *arg)
{
	_Atomic int *failed = arg;

	if (syscall(SYS_getpriority, 0, 0) != 55)
		atomic_fetch_add(failed, 1);
	return NULL;
}

/* How many of @arg calls, all at the same time, did not return 55. */
static int role_crowd(const char *arg)
{
	static pthread_t threads[THRONG];
	_Atomic int failed = 0;
	int n = atoi(arg);
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (int i = 0; i < n; i++) {
		if (pthread_create(&threads[i], &attr, one_call, &failed) != 0)
			return 200;
	}
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	return failed > 199 ? 199 : failed;
}

static const struct guest_role roles[] = {
	{ "getpriority", role_getpriority },   { "value", role_value }, { "pause", role_pause },
	{ "killed-child", role_killed_child }, { "crowd", role_crowd }, { NULL, NULL },
};

/* ---- one deferral at a time ---- */

struct later {
	pthread_mutex_t lock; /* of d, where it is taken again and again */
	struct sluice_deferral d;
	struct sluice_verdict verdict;	/* to answer with */
	struct sluice_verdict returned; /* by the handler; DEFER */
	bool in_handler;		/* answered before the handler returns */
	bool twice;			/* taken twice */
	int fd;				/* INJECT_FD: of a copy of this */
	int taken_fd;			/* eventfd: the right was taken */
	_Atomic pid_t tid;		/* who called last */
	_Atomic int taken, first, second, retaken, calls_after;
};

static void later_init(struct later *l)
{
	memset(l, 0, sizeof(*l));
	pthread_mutex_init(&l->lock, NULL);
	l->verdict = sluice_value(55);
	l->returned = sluice_defer();
	l->fd = -1;
	l->taken_fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	l->first = l->second = l->retaken = 1;
	assert_true(l->taken_fd >= 0);
}

/* Wait until the right was taken once more. */
static void later_await(struct later *l)
{
	struct pollfd p = { .fd = l->taken_fd, .events = POLLIN };
	eventfd_t n;

	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_int_equal(eventfd_read(l->taken_fd, &n), 0);
}

/* The right that was taken last. */
static struct sluice_deferral later_right(struct later *l)
{
	struct sluice_deferral d;

	pthread_mutex_lock(&l->lock);
	d = l->d;
	pthread_mutex_unlock(&l->lock);
	return d;
}

static struct sluice_verdict later_verdict(const struct later *l)
{
	if (l->fd < 0)
		return l->verdict;
	return sluice_inject_fd(fcntl(l->fd, F_DUPFD_CLOEXEC, 3), O_CLOEXEC);
}

static struct sluice_verdict later_handle(struct sluice_request *req, void *userdata)
{
	struct later *l = userdata;
	int r;

	pthread_mutex_lock(&l->lock);
	r = sluice_request_defer(req, &l->d);
	pthread_mutex_unlock(&l->lock);
	if (r < 0)
		return sluice_errno(EAGAIN);
	if (l->twice)
		l->retaken = sluice_request_defer(req, &(struct sluice_deferral){ 0 });
	if (l->in_handler) {
		l->first = sluice_deferral_answer(&l->d, later_verdict(l));
		l->second = sluice_deferral_answer(&l->d, later_verdict(l));
	}
	l->tid = sluice_request_tid(req);
	atomic_fetch_add(&l->taken, 1);
	eventfd_write(l->taken_fd, 1);
	return l->returned;
}

static struct sluice_handler defers(struct later *l)
{
	return sluice_handler_make("later", SYS_getpriority, later_handle, l);
}

static struct sluice_sandbox *spawn_deferring(const struct sluice_handler *h, size_t n,
					      const char *role, const char *arg)
{
	struct sluice_spawn_options o = { .size = sizeof(o), .extras = h, .n_extras = n };

	return guest_spawn(NULL, &o, role, arg);
}

static int finish(struct sluice_sandbox *s)
{
	struct sluice_result r;

	assert_int_equal(sluice_sandbox_wait(s, 20000, &r), 0);
	sluice_sandbox_free(s);
	return r.exit_code;
}

static void test_from_another_thread(void **state)
{
	struct sluice_handler h;
	struct sluice_sandbox *s;
	struct later l;

	(void)state;
	later_init(&l);
	h = defers(&l);
	s = spawn_deferring(&h, 1, "value", "55");
	later_await(&l);
	assert_int_equal(sluice_sandbox_wait(s, 50, NULL), -EAGAIN); /* the task waits */
	assert_int_equal(sluice_deferral_answer(&l.d, l.verdict), 0);
	assert_int_equal(sluice_deferral_answer(&l.d, sluice_value(1)), -EALREADY);
	assert_int_equal(finish(s), 0);
	close(l.taken_fd);
}

static void test_before_the_handler_returns(void **state)
{
	struct sluice_handler h;
	struct later l;

	(void)state;
	later_init(&l);
	l.in_handler = l.twice = true;
	h = defers(&l);
	assert_int_equal(guest_run(NULL, &h, 1, "value", "55").exit_code, 0);
	assert_int_equal(l.first, 0);
	assert_int_equal(l.second, -EALREADY);
	assert_int_equal(l.retaken, -EALREADY);
	close(l.taken_fd);
}

static void test_every_verdict_can_be_given_later(void **state)
{
	const struct {
		struct sluice_verdict verdict;
		int wanted;
	} cases[] = {
		{ sluice_continue(), 0 },
		{ sluice_errno(EDOM), EDOM },
		{ sluice_verdict_make(0, 0, 0), EPERM },
		{ sluice_verdict_make(99, 0, 0), EPERM },
		{ sluice_kill(SIGTERM), 128 + SIGTERM },
		{ sluice_defer(), EPERM },
		{ sluice_inject_bytes("x", 1, 0), 0 },
		{ sluice_inject_fd(-1, 0), EPERM },
		{ sluice_as_seen(), EOPNOTSUPP },
		{ sluice_value(-1), EPERM },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct sluice_handler h;
		struct sluice_sandbox *s;
		struct later l;

		later_init(&l);
		h = defers(&l);
		s = spawn_deferring(&h, 1, "getpriority", "");
		later_await(&l);
		assert_int_equal(sluice_deferral_answer(&l.d, cases[i].verdict), 0);
		assert_int_equal(finish(s), cases[i].wanted);
		close(l.taken_fd);
	}
}

/* CONTINUE opens the rest of the chain, in which others may defer too. */
static void test_continue_goes_on_with_the_chain(void **state)
{
	struct record record = { 0 };
	struct answer last = { &record, 3, sluice_value(77) };
	struct sluice_handler h[3];
	struct sluice_sandbox *s;
	struct later a, b;

	(void)state;
	later_init(&a);
	later_init(&b);
	h[0] = defers(&a);
	h[1] = defers(&b);
	h[2] = answers(SYS_getpriority, &last);
	s = spawn_deferring(h, 3, "value", "77");
	later_await(&a);
	assert_int_equal(b.taken, 0);
	assert_int_equal(sluice_deferral_answer(&a.d, sluice_continue()), 0);
	later_await(&b);
	assert_int_equal(record.calls, 0);
	/* the first right is spent, also now that the call is deferred again */
	assert_int_equal(sluice_deferral_answer(&a.d, sluice_value(1)), -EALREADY);
	assert_int_equal(sluice_deferral_answer(&b.d, sluice_continue()), 0);
	assert_int_equal(finish(s), 0);
	assert_int_equal(record.calls, 1);
	assert_int_equal(a.taken + b.taken, 2);
	close(a.taken_fd);
	close(b.taken_fd);
}

/* ---- twice ---- */

static void test_answered_and_then_another_verdict_is_a_denial(void **state)
{
	const struct sluice_verdict returned[] = { sluice_continue(), sluice_value(1),
						   sluice_errno(EDOM) };

	(void)state;
	for (size_t i = 0; i < N_OF(returned); i++) {
		struct sluice_handler h;
		struct later l;

		later_init(&l);
		l.in_handler = true;
		l.returned = returned[i];
		h = defers(&l);
		assert_int_equal(guest_run(NULL, &h, 1, "getpriority", "").exit_code, EPERM);
		assert_int_equal(l.taken, 1);
		close(l.taken_fd);
	}
}

/* The right was taken and the handler answers all the same: its verdict counts, the right is void. */
static void test_a_verdict_instead_of_the_deferral(void **state)
{
	struct sluice_handler h;
	struct later l;

	(void)state;
	later_init(&l);
	l.returned = sluice_errno(EDOM);
	h = defers(&l);
	assert_int_equal(guest_run(NULL, &h, 1, "getpriority", "").exit_code, EDOM);
	assert_int_equal(sluice_deferral_answer(&l.d, sluice_value(1)), -ENOENT);
	close(l.taken_fd);
}

struct racer {
	struct later *l;
	pthread_barrier_t *start;
	int result;
};

static void *race_answer(void *arg)
{
	struct racer *r = arg;

	pthread_barrier_wait(r->start);
	r->result = sluice_deferral_answer(&r->l->d, sluice_value(55));
	return NULL;
}

static void test_two_threads_at_once(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		pthread_barrier_t start;
		struct racer r[2];
		struct sluice_handler h;
		struct sluice_sandbox *s;
		pthread_t other;
		struct later l;

		later_init(&l);
		h = defers(&l);
		pthread_barrier_init(&start, NULL, 2);
		r[0] = r[1] = (struct racer){ &l, &start, 1 };
		s = spawn_deferring(&h, 1, "value", "55");
		later_await(&l);
		pthread_create(&other, NULL, race_answer, &r[1]);
		race_answer(&r[0]);
		pthread_join(other, NULL);
		assert_int_equal(r[0].result + r[1].result, -EALREADY);
		assert_true(r[0].result == 0 || r[1].result == 0);
		assert_int_equal(finish(s), 0);
		pthread_barrier_destroy(&start);
		close(l.taken_fd);
	}
}

/* ---- too late ---- */

static void test_after_the_deadline(void **state)
{
	struct sluice_handler h;
	struct sluice_sandbox *s;
	struct later l;

	(void)state;
	later_init(&l);
	h = defers(&l);
	h.deadline_ms = 30;
	h.deadline_errno = ETIME;
	s = spawn_deferring(&h, 1, "getpriority", "");
	assert_int_equal(sluice_sandbox_wait(s, 20000, NULL), 0);
	assert_int_equal(sluice_deferral_answer(&l.d, l.verdict), -ENOENT);
	assert_int_equal(sluice_deferral_answer(&l.d, l.verdict), -EALREADY);
	assert_int_equal(finish(s), ETIME);
	close(l.taken_fd);
}

/* One task of several: the sandbox runs on, and the others' answers still come. */
static void test_after_the_task_died(void **state)
{
	struct sluice_handler h;
	struct sluice_deferral right;
	struct sluice_sandbox *s;
	struct later l;
	pid_t tid;

	(void)state;
	later_init(&l);
	h = defers(&l);
	s = spawn_deferring(&h, 1, "killed-child", "");
	later_await(&l); /* the child's call */
	right = later_right(&l);
	assert_int_equal(sluice_deferral_answer(&right, sluice_value(1)), 0);
	later_await(&l); /* its second one: now it is killed */
	right = later_right(&l);
	tid = l.tid;
	kill(tid, SIGKILL);
	while (kill(tid, 0) == 0)
		usleep(1000);
	assert_int_equal(sluice_deferral_answer(&right, sluice_value(1)), -ENOENT);
	later_await(&l); /* the parent's */
	right = later_right(&l);
	assert_int_equal(sluice_deferral_answer(&right, sluice_value(55)), 0);
	assert_int_equal(finish(s), 0);
	close(l.taken_fd);
}

/* The first says "go on" although nobody is left; the second is asked all the same, and hears that too. */
static void test_two_deferring_handlers_and_the_task_dies(void **state)
{
	(void)state;
	for (int died_early = 0; died_early < 2; died_early++) {
		struct sluice_deferral one, two;
		struct sluice_handler h[2];
		struct sluice_sandbox *s;
		struct later a, b;
		pid_t tid;

		later_init(&a);
		later_init(&b);
		h[0] = defers(&a);
		h[1] = defers(&b);
		s = spawn_deferring(h, 2, "killed-child", "");
		later_await(&a); /* the child's first call: both say yes */
		one = later_right(&a);
		assert_int_equal(sluice_deferral_answer(&one, sluice_continue()), 0);
		later_await(&b);
		two = later_right(&b);
		assert_int_equal(sluice_deferral_answer(&two, sluice_continue()), 0);
		later_await(&a); /* its second: killed before or after the first answer */
		one = later_right(&a);
		if (!died_early) {
			assert_int_equal(sluice_deferral_answer(&one, sluice_continue()), 0);
			later_await(&b);
		}
		tid = a.tid;
		kill(tid, SIGKILL);
		while (kill(tid, 0) == 0)
			usleep(1000);
		if (died_early) {
			assert_int_equal(sluice_deferral_answer(&one, sluice_continue()), -ENOENT);
			later_await(&b);
		}
		two = later_right(&b);
		assert_int_equal(sluice_deferral_answer(&two, sluice_value(1)), -ENOENT);
		assert_int_equal(sluice_deferral_answer(&one, sluice_value(1)), -EALREADY);
		assert_int_equal(sluice_deferral_answer(&two, sluice_value(1)), -EALREADY);
		later_await(&a); /* the parent's call */
		one = later_right(&a);
		assert_int_equal(sluice_deferral_answer(&one, sluice_continue()), 0);
		later_await(&b);
		two = later_right(&b);
		assert_int_equal(sluice_deferral_answer(&two, sluice_value(55)), 0);
		assert_int_equal(finish(s), 0);
		close(a.taken_fd);
		close(b.taken_fd);
	}
}

static void test_after_all_tasks_died(void **state)
{
	struct sluice_handler h;
	struct sluice_sandbox *s;
	struct later l;

	(void)state;
	later_init(&l);
	h = defers(&l);
	s = spawn_deferring(&h, 1, "pause", "");
	later_await(&l);
	assert_int_equal(sluice_sandbox_kill(s, SIGKILL), 0);
	assert_int_equal(sluice_sandbox_wait(s, 20000, NULL), 0);
	assert_int_equal(sluice_deferral_answer(&l.d, l.verdict), -ENOENT);
	sluice_sandbox_free(s);
	close(l.taken_fd);
}

static void test_after_the_sandbox_was_freed(void **state)
{
	struct sluice_handler h;
	struct later l;

	(void)state;
	later_init(&l);
	h = defers(&l);
	sluice_sandbox_free(spawn_deferring(&h, 1, "pause", ""));
	if (l.taken)
		assert_int_equal(sluice_deferral_answer(&l.d, l.verdict), -ENOENT);
	close(l.taken_fd);
}

/* A verdict's descriptor is closed in every case. */
static void test_no_descriptor_is_left(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC), before = 0;

	(void)state;
	for (int round = 0; round < 3; round++) {
		struct sluice_handler h;
		struct sluice_sandbox *s;
		struct later l;

		later_init(&l);
		l.fd = fd;
		l.in_handler = true; /* answered twice there: the second is closed */
		h = defers(&l);
		assert_int_equal(guest_run(NULL, &h, 1, "getpriority", "").exit_code, 0);
		assert_int_equal(l.second, -EALREADY);
		l.in_handler = false;
		s = spawn_deferring(&h, 1, "pause", "");
		later_await(&l);
		later_await(&l);
		sluice_sandbox_kill(s, SIGKILL);
		assert_int_equal(sluice_sandbox_wait(s, 20000, NULL), 0);
		assert_int_equal(sluice_deferral_answer(&l.d, later_verdict(&l)), -ENOENT);
		sluice_sandbox_free(s);
		close(l.taken_fd);
		if (round == 0)
			before = open_descriptors();
	}
	assert_int_equal(open_descriptors(), before);
	close(fd);
}

/* ---- bounded ---- */

struct crowd {
	pthread_mutex_t lock;
	struct sluice_deferral d[CROWD];
	int n, refused; /* guarded by lock */
};

static struct sluice_verdict crowd_handle(struct sluice_request *req, void *userdata)
{
	struct crowd *c = userdata;
	struct sluice_deferral d;
	int r = sluice_request_defer(req, &d);

	pthread_mutex_lock(&c->lock);
	if (r == 0)
		c->d[c->n++] = d;
	else
		c->refused += r == -EAGAIN;
	pthread_mutex_unlock(&c->lock);
	return r == 0 ? sluice_defer() : sluice_value(55);
}

static void test_the_engine_goes_on_after_a_missed_deadline(void **state)
{
	static struct crowd c = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct sluice_handler h = sluice_handler_make("late", SYS_getpriority, crowd_handle, &c);
	struct sluice_result r;

	(void)state;
	h.deadline_ms = 20;
	r = guest_run(NULL, &h, 1, "getpriority", "5");
	assert_int_equal(r.exit_code, EPERM);
	assert_int_equal(r.denied, 5);
	assert_int_equal(c.n, 5);
	for (int i = 0; i < c.n; i++)
		assert_int_equal(sluice_deferral_answer(&c.d[i], sluice_value(1)), -ENOENT);
}

static void test_no_more_than_the_bound(void **state)
{
	static struct crowd c = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct sluice_handler h = sluice_handler_make("crowd", SYS_getpriority, crowd_handle, &c);
	struct sluice_sandbox *s;
	int n = 0, refused = 0, wrong = 0;

	(void)state;
	h.deadline_ms = 100000; /* not what is tested: a slow machine needs its time */
	s = spawn_deferring(&h, 1, "crowd", TEXT(CROWD));
	for (int i = 0; i < 30000 && n + refused < CROWD; i++) {
		usleep(1000);
		pthread_mutex_lock(&c.lock);
		n = c.n;
		refused = c.refused;
		pthread_mutex_unlock(&c.lock);
	}
	assert_int_equal(n, DEFERRALS);
	assert_int_equal(refused, CROWD - DEFERRALS);
	for (int i = 0; i < n; i++)
		wrong += sluice_deferral_answer(&c.d[i], sluice_value(55)) != 0;
	assert_int_equal(wrong, 0);
	assert_int_equal(finish(s), 0);
}

/* ---- as many calls at a time as an engine takes ---- */

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t opened;
	bool open; /* guarded by lock */
};

static struct sluice_verdict wait_at_the_gate(struct sluice_request *req, void *userdata)
{
	struct gate *g = userdata;

	(void)req;
	pthread_mutex_lock(&g->lock);
	while (!g->open)
		pthread_cond_wait(&g->opened, &g->lock);
	pthread_mutex_unlock(&g->lock);
	return sluice_value(55);
}

static uint64_t received(struct sluice_sandbox *s)
{
	char *text = sluice_sandbox_stats_json(s);
	const char *at = strstr(text, "\"notifications\":");
	uint64_t n = strtoull(at + strlen("\"notifications\":"), NULL, 10);

	free(text);
	return n;
}

/* All requests of the engine are under way, and more calls wait in the kernel: they are received as the others are answered, and none is lost. */
static void test_all_requests_under_way(void **state)
{
	struct gate g = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };
	struct sluice_handler h =
		sluice_handler_make("gate", SYS_getpriority, wait_at_the_gate, &g);
	struct sluice_spawn_options o = { .size = sizeof(o), .extras = &h, .n_extras = 1 };
	struct sluice_policy *p = guest_policy();
	struct sluice_sandbox *s;
	struct sluice_result r;

	(void)state;
	h.flags = SLUICE_MAY_BLOCK;
	h.deadline_ms = 600000;
	assert_int_equal(sluice_policy_set_workers(p, 0, 4), 0);
	assert_int_equal(sluice_policy_set_proc(p, SLUICE_PROC_HOST),
			 0); /* nothing but the gate is counted */
	s = guest_spawn(p, &o, "crowd", TEXT(THRONG));
	for (int i = 0; i < 60000 && received(s) < REQUESTS; i++)
		usleep(1000);
	assert_int_equal(received(s), REQUESTS);
	assert_int_equal(sluice_sandbox_wait(s, 50, NULL), -EAGAIN);
	assert_int_equal(received(s), REQUESTS); /* its memory is bounded: no more */
	pthread_mutex_lock(&g.lock);
	g.open = true;
	pthread_cond_broadcast(&g.opened);
	pthread_mutex_unlock(&g.lock);
	assert_int_equal(sluice_sandbox_wait(s, 100000, &r), 0);
	assert_int_equal(r.exit_code, 0);
	assert_int_equal(r.notifications, THRONG);
	sluice_sandbox_free(s);
	sluice_policy_unref(p);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_from_another_thread),
		cmocka_unit_test(test_before_the_handler_returns),
		cmocka_unit_test(test_every_verdict_can_be_given_later),
		cmocka_unit_test(test_continue_goes_on_with_the_chain),
		cmocka_unit_test(test_answered_and_then_another_verdict_is_a_denial),
		cmocka_unit_test(test_a_verdict_instead_of_the_deferral),
		cmocka_unit_test(test_two_threads_at_once),
		cmocka_unit_test(test_after_the_deadline),
		cmocka_unit_test(test_the_engine_goes_on_after_a_missed_deadline),
		cmocka_unit_test(test_after_the_task_died),
		cmocka_unit_test(test_two_deferring_handlers_and_the_task_dies),
		cmocka_unit_test(test_after_all_tasks_died),
		cmocka_unit_test(test_after_the_sandbox_was_freed),
		cmocka_unit_test(test_no_descriptor_is_left),
		cmocka_unit_test(test_no_more_than_the_bound),
		cmocka_unit_test(test_all_requests_under_way),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
