/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Observers: told what became of every call of their number, able to change nothing. (Of what built-ins refuse: test-order.)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "recorder.h"

/* A call, and then nothing more until it is killed. */
static int role_pause(const char *arg)
{
	if (role_value(arg) == 0)
		pause();
	return 200;
}

static int role_open(const char *arg)
{
	int fd = open(arg, O_RDONLY);

	return fd < 0 ? errno : fd;
}

static const struct guest_role roles[] = {
	{ "getpriority", role_getpriority },
	{ "value", role_value },
	{ "open", role_open },
	{ "pause", role_pause },
	{ NULL, NULL },
};

struct heard {
	_Atomic int calls, kind;
	_Atomic int64_t result;
	_Atomic uint64_t elapsed_ns;
	char by[64];
	struct sluice_verdict returned;
	long sleep_ms;
	int fd;		  /* returned: INJECT_FD of a copy of this */
	const char *path; /* only calls of this path */
};

static struct sluice_verdict hear_handle(struct sluice_request *req, void *userdata)
{
	struct heard *h = userdata;
	struct timespec ts = { h->sleep_ms / 1000, h->sleep_ms % 1000 * 1000000 };
	struct sluice_outcome out;
	const char *path;

	if (h->path && (sluice_request_path(req, 0, &path) < 0 || strcmp(path, h->path) != 0))
		return sluice_continue();
	sluice_request_outcome(req, &out);
	h->kind = (int)out.kind;
	h->result = out.result;
	h->elapsed_ns = out.elapsed_ns;
	snprintf(h->by, sizeof(h->by), "%s", out.by ? out.by : "(null)");
	if (h->sleep_ms)
		nanosleep(&ts, NULL);
	atomic_fetch_add(&h->calls, 1);
	if (h->fd > 0)
		return sluice_inject_fd(fcntl(h->fd, F_DUPFD_CLOEXEC, 3), 0);
	return h->returned;
}

static struct sluice_handler hears(int nr, struct heard *h)
{
	struct sluice_handler s = sluice_handler_make("ear", nr, hear_handle, h);

	s.flags = SLUICE_OBSERVER;
	return s;
}

/* What the statistics say of the handlers of call @nr, in order. */
static json_t *handlers_of(struct sluice_sandbox *s, int nr)
{
	char *text = sluice_sandbox_stats_json(s);
	json_t *all = json_loads(text, 0, NULL), *list = json_array(), *one;
	size_t i;

	assert_non_null(all);
	json_array_foreach(json_object_get(all, "handlers"), i, one) {
		if (json_integer_value(json_object_get(one, "nr")) == nr)
			json_array_append(list, one);
	}
	json_decref(all);
	free(text);
	return list;
}

static json_int_t number_of(const json_t *handlers, size_t i, const char *key)
{
	return json_integer_value(json_object_get(json_array_get(handlers, i), key));
}

static void test_told_of_every_verdict(void **state)
{
	const struct {
		struct sluice_verdict verdict;
		int kind;
		int64_t result;
	} cases[] = {
		{ sluice_errno(EDOM), SLUICE_ERRNO, -EDOM },
		{ sluice_value(4242), SLUICE_VALUE, 4242 },
		{ sluice_value(INT64_MAX), SLUICE_VALUE, INT64_MAX },
		{ sluice_verdict_make(0, 0, 0), SLUICE_DENY, -EPERM },
		{ sluice_verdict_make(77, 0, 0), 77, -EPERM },
		{ sluice_kill(0), SLUICE_KILL, -EPERM },
		{ sluice_as_seen(), SLUICE_AS_SEEN, -EOPNOTSUPP },
		{ sluice_errno(0), SLUICE_ERRNO, -EPERM },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct record record = { 0 };
		struct answer a = { &record, 1, cases[i].verdict };
		struct heard heard = { .returned = sluice_continue() };
		/* registered before the one that decides, told after it all the same */
		struct sluice_handler h[] = { hears(SYS_getpriority, &heard),
					      answers(SYS_getpriority, &a) };

		guest_run(NULL, h, 2, "getpriority", "");
		assert_int_equal(heard.calls, 1);
		assert_int_equal(heard.kind, cases[i].kind);
		assert_true(heard.result == cases[i].result);
		assert_string_equal(heard.by, "answer");
		assert_in_range(heard.elapsed_ns, 1, 60000000000);
	}
}

static void test_told_of_a_call_that_the_kernel_runs(void **state)
{
	struct heard heard = { .returned = sluice_continue() };
	struct sluice_handler h = hears(SYS_getpriority, &heard);

	(void)state;
	assert_int_equal(guest_run(NULL, &h, 1, "getpriority", "3").exit_code, 0);
	assert_int_equal(heard.calls, 3);
	assert_int_equal(heard.kind, SLUICE_CONTINUE);
	assert_string_equal(heard.by, "sluice");
}

static struct sluice_verdict bytes_handle(struct sluice_request *req, void *userdata)
{
	const char *path;

	if (sluice_request_path(req, 0, &path) < 0 || strcmp(path, userdata) != 0)
		return sluice_continue();
	return sluice_inject_bytes("x", 1, 0);
}

static void test_told_the_number_of_an_injected_descriptor(void **state)
{
	static char path[] = "/virtual";
	struct heard heard = { .path = path, .returned = sluice_continue() };
	struct sluice_handler h[] = { sluice_handler_make("bytes", SYS_openat, bytes_handle, path),
				      hears(SYS_openat, &heard) };
	int fd = guest_run(NULL, h, 2, "open", path).exit_code;

	(void)state;
	assert_int_equal(heard.calls, 1);
	assert_int_equal(heard.kind, SLUICE_INJECT_BYTES);
	assert_true(fd > 2);
	assert_int_equal(heard.result, fd);
}

static void test_what_it_returns_changes_nothing(void **state)
{
	const struct sluice_verdict returned[] = { sluice_errno(EXDEV), sluice_value(9),
						   sluice_kill(SIGKILL), sluice_defer(),
						   sluice_verdict_make(99, 0, 0) };

	(void)state;
	for (size_t i = 0; i < N_OF(returned); i++) {
		struct heard heard = { .returned = returned[i] };
		struct sluice_handler h = hears(SYS_getpriority, &heard);
		struct sluice_result r = guest_run(NULL, &h, 1, "getpriority", "2");

		assert_int_equal(r.end, SLUICE_ENDED_EXIT);
		assert_int_equal(r.exit_code, 0);
		assert_int_equal(r.denied, 0);
		assert_int_equal(heard.calls, 2);
	}
}

static void test_a_descriptor_it_returns_is_closed(void **state)
{
	struct heard heard = { .fd = memfd_create("test", MFD_CLOEXEC) };
	struct sluice_handler h = hears(SYS_getpriority, &heard);
	struct sluice_policy *p = guest_policy();
	int before;

	(void)state;
	guest_run(p, &h, 1, "getpriority", "");
	before = open_descriptors();
	guest_run(p, &h, 1, "getpriority", "10");
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(heard.calls, 11);
	close(heard.fd);
	sluice_policy_unref(p);
}

static void test_all_observers_are_told_in_order(void **state)
{
	struct record record = { 0 };
	struct answer a = { &record, 1, sluice_errno(EDOM) }, b = { &record, 2, sluice_value(3) },
		      c = { &record, 3, sluice_continue() };
	struct sluice_handler h[] = { answers(SYS_getpriority, &a), answers(SYS_getpriority, &b),
				      answers(SYS_getpriority, &c) };

	(void)state;
	for (size_t i = 0; i < N_OF(h); i++)
		h[i].flags = SLUICE_OBSERVER;
	assert_int_equal(guest_run(NULL, h, 3, "getpriority", "").exit_code, 0);
	assert_int_equal(record.calls, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(record.order[i], i + 1);
}

static struct sluice_verdict sleep_handle(struct sluice_request *req, void *userdata)
{
	const struct timespec ts = { 0, 200000000 };

	(void)req;
	(void)userdata;
	nanosleep(&ts, NULL);
	return sluice_value(7);
}

static void test_told_of_a_missed_deadline(void **state)
{
	static const uint32_t flags[] = { 0, SLUICE_MAY_BLOCK };

	(void)state;
	for (size_t i = 0; i < N_OF(flags); i++) {
		struct heard heard = { .returned = sluice_continue() };
		struct sluice_handler h[] = {
			sluice_handler_make("sleepy", SYS_getpriority, sleep_handle, NULL),
			hears(SYS_getpriority, &heard),
		};

		h[0].deadline_ms = 20;
		h[0].deadline_errno = ETIME;
		h[0].flags = flags[i];
		assert_int_equal(guest_run(NULL, h, 2, "getpriority", "").exit_code, ETIME);
		assert_int_equal(heard.calls, 1);
		assert_int_equal(heard.result, -ETIME);
		assert_string_equal(heard.by, "sleepy");
	}
}

static struct sluice_verdict defer_handle(struct sluice_request *req, void *userdata)
{
	struct sluice_deferral *d = userdata;

	return sluice_request_defer(req, d) < 0 ? sluice_errno(EAGAIN) : sluice_defer();
}

static void test_told_of_a_deferral_that_nobody_answers(void **state)
{
	struct heard heard = { .returned = sluice_continue() };
	struct sluice_deferral d;
	struct sluice_handler h[] = {
		sluice_handler_make("later", SYS_getpriority, defer_handle, &d),
		hears(SYS_getpriority, &heard),
	};

	(void)state;
	h[0].deadline_ms = 20;
	h[0].deadline_errno = ETIME;
	assert_int_equal(guest_run(NULL, h, 2, "getpriority", "").exit_code, ETIME);
	assert_int_equal(heard.calls, 1);
	assert_int_equal(heard.result, -ETIME);
	assert_string_equal(heard.by, "later");
	assert_int_equal(sluice_deferral_answer(&d, sluice_continue()), -ENOENT);
}

/* One that sleeps past its own deadline does not keep the answer, which stays what it was. */
static void test_a_late_observer_keeps_no_answer(void **state)
{
	struct record record = { 0 };
	struct answer a = { &record, 1, sluice_value(55) };
	struct heard heard = { .sleep_ms = 600 };
	struct sluice_handler h[] = { answers(SYS_getpriority, &a),
				      hears(SYS_getpriority, &heard) };
	struct sluice_spawn_options o = { .size = sizeof(o), .extras = h, .n_extras = 2 };
	struct sluice_result r;
	struct sluice_sandbox *s;

	(void)state;
	h[1].deadline_ms = 20;
	s = guest_spawn(NULL, &o, "value", "55");
	assert_int_equal(sluice_sandbox_wait(s, 20000, &r), 0);
	assert_int_equal(r.exit_code, 0);
	assert_true(r.wall_ns < 500000000);
	sluice_sandbox_free(s);
	assert_int_equal(heard.calls, 1);
	assert_int_equal(heard.kind, SLUICE_VALUE);
}

/* ... and one after it is told all the same, and is late for itself. */
static void test_two_late_observers(void **state)
{
	struct record record = { 0 };
	struct answer a = { &record, 1, sluice_value(55) };
	struct heard heard[] = { { .sleep_ms = 200 }, { .sleep_ms = 200 }, { 0 } };
	struct sluice_handler h[] = { answers(SYS_getpriority, &a),
				      hears(SYS_getpriority, &heard[0]),
				      hears(SYS_getpriority, &heard[1]),
				      hears(SYS_getpriority, &heard[2]) };
	struct sluice_spawn_options o = { .size = sizeof(o), .extras = h, .n_extras = N_OF(h) };
	static const uint32_t flags[] = { 0, SLUICE_MAY_BLOCK };

	(void)state;
	for (size_t i = 0; i < N_OF(flags); i++) {
		struct sluice_sandbox *s;
		json_t *stats;

		h[1].flags = h[2].flags = h[3].flags = SLUICE_OBSERVER | flags[i];
		h[1].deadline_ms = h[2].deadline_ms = 20;
		s = guest_spawn(NULL, &o, "pause", "55");
		for (int k = 0; k < 20000 && heard[2].calls <= (int)i; k++)
			usleep(1000);
		stats = handlers_of(s, SYS_getpriority);
		for (size_t k = 0; k < N_OF(heard); k++)
			assert_int_equal(heard[k].calls, i + 1);
		assert_int_equal(number_of(stats, 0, "late"), 0);
		assert_int_equal(number_of(stats, 1, "late"), 1);
		assert_int_equal(number_of(stats, 2, "late"), 1);
		assert_int_equal(number_of(stats, 3, "late"), 0);
		json_decref(stats);
		assert_int_equal(sluice_sandbox_wait(s, 0, NULL), -EAGAIN);
		sluice_sandbox_free(s);
	}
}

/* An observer that may block: its calls go to the pool, so that one that takes its time holds up no other task. */
static void test_one_that_may_block(void **state)
{
	struct heard heard = { .sleep_ms = 100 };
	struct sluice_handler h = hears(SYS_getpriority, &heard);
	struct sluice_spawn_options o = { .size = sizeof(o), .extras = &h, .n_extras = 1 };
	struct sluice_sandbox *s;
	struct sluice_result r;
	char *text;

	(void)state;
	h.flags |= SLUICE_MAY_BLOCK;
	s = guest_spawn(NULL, &o, "getpriority", "3");
	assert_int_equal(sluice_sandbox_wait(s, 20000, &r), 0);
	assert_int_equal(r.exit_code, 0);
	assert_int_equal(heard.calls, 3);
	assert_int_equal(heard.kind, SLUICE_CONTINUE);
	text = sluice_sandbox_stats_json(s);
	assert_non_null(strstr(text, "\"takeovers\":0"));
	free(text);
	sluice_sandbox_free(s);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_told_of_every_verdict),
		cmocka_unit_test(test_told_of_a_call_that_the_kernel_runs),
		cmocka_unit_test(test_told_the_number_of_an_injected_descriptor),
		cmocka_unit_test(test_what_it_returns_changes_nothing),
		cmocka_unit_test(test_a_descriptor_it_returns_is_closed),
		cmocka_unit_test(test_all_observers_are_told_in_order),
		cmocka_unit_test(test_told_of_a_missed_deadline),
		cmocka_unit_test(test_told_of_a_deferral_that_nobody_answers),
		cmocka_unit_test(test_a_late_observer_keeps_no_answer),
		cmocka_unit_test(test_two_late_observers),
		cmocka_unit_test(test_one_that_may_block),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
