/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of a chain: built-ins, then extras as given; the first verdict that is not CONTINUE ends it.
 *
 * This program brings its own set of built-ins (builtin_register_all below stands in for the library's): the real uname, and a gate on
 * getpriority that does what a test tells it.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "builtin/builtin.h"
#include "builtin/uname/uname.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "recorder.h"

#define GATE_ID 100

static struct record record;
static struct answer gate = { &record, GATE_ID, { .kind = SLUICE_CONTINUE } };
static long gate_sleep_ms;
static bool gate_replies; /* plan: getpriority returns 33 */

static struct sluice_verdict gate_handle(struct sluice_request *req, void *userdata)
{
	struct timespec ts = { gate_sleep_ms / 1000, gate_sleep_ms % 1000 * 1000000 };

	if (gate_sleep_ms)
		nanosleep(&ts, NULL);
	if (gate_replies && request_plan_reply(req, "gate", 33, 0, NULL, 0) < 0)
		return sluice_errno(EIO);
	return answer_handle(req, userdata);
}

int builtin_register_all(struct dispatch *d, struct sluice_policy *p,
			 const struct builtin_context *c, struct sluice_error *err)
{
	struct sluice_handler h = sluice_handler_make("gate", SYS_getpriority, gate_handle, &gate);
	int r = builtin_uname_register(d);

	(void)p;
	(void)c;
	(void)err;
	h.deadline_ms = 50;
	h.deadline_errno = ETIME;
	return r < 0 ? r : dispatch_add(d, &h, true);
}

static int reset(void **state)
{
	(void)state;
	memset(&record, 0, sizeof(record));
	gate.verdict = sluice_continue();
	gate_sleep_ms = 0;
	gate_replies = false;
	return 0;
}

/* ---- guests ---- */

/* Node name is @arg: 0; the call's errno; 200 another name. */
static int role_uname(const char *arg)
{
	struct utsname u;

	if (uname(&u) < 0)
		return errno;
	return strcmp(u.nodename, arg) ? 200 : 0;
}

/* Errno of uname, 0 when it succeeded; 201 when it wrote a byte. */
static int role_uname_untouched(const char *arg)
{
	unsigned char buf[sizeof(struct utsname)];
	int error;

	(void)arg;
	memset(buf, 0x5a, sizeof(buf));
	error = syscall(SYS_uname, buf) < 0 ? errno : 0;
	for (size_t i = 0; i < sizeof(buf); i++) {
		if (buf[i] != 0x5a)
			return 201;
	}
	return error;
}

static const struct guest_role roles[] = {
	{ "getpriority", role_getpriority },
	{ "value", role_value },
	{ "uname", role_uname },
	{ "uname-untouched", role_uname_untouched },
	{ NULL, NULL },
};

/* ---- among extras ---- */

static void test_insertion_order(void **state)
{
	struct answer a = { &record, 1, sluice_continue() }, b = { &record, 2, sluice_continue() },
		      c = { &record, 3, sluice_continue() };
	struct sluice_handler abc[] = { answers(SYS_getpriority, &a), answers(SYS_getpriority, &b),
					answers(SYS_getpriority, &c) };
	struct sluice_handler cab[] = { abc[2], abc[0], abc[1] };
	static const int wanted[] = { GATE_ID, 1, 2, 3, GATE_ID, 3, 1, 2 };

	(void)state;
	assert_int_equal(guest_run(NULL, abc, 3, "getpriority", "").exit_code, 0);
	assert_int_equal(guest_run(NULL, cab, 3, "getpriority", "").exit_code, 0);
	assert_int_equal(record.calls, N_OF(wanted));
	for (size_t i = 0; i < N_OF(wanted); i++)
		assert_int_equal(record.order[i], wanted[i]);
}

static void test_handlers_of_other_calls_do_not_run(void **state)
{
	struct answer a = { &record, 1, sluice_errno(EDOM) };
	struct sluice_handler h = answers(SYS_getpgid, &a);

	(void)state;
	assert_int_equal(guest_run(NULL, &h, 1, "getpriority", "").exit_code, 0);
	assert_int_equal(record.calls, 1); /* the gate */
}

static void test_the_first_verdict_ends_the_chain(void **state)
{
	const struct sluice_verdict verdicts[] = { sluice_errno(EDOM), sluice_value(7),
						   sluice_verdict_make(SLUICE_DENY, 0, 0),
						   sluice_kill(0), sluice_verdict_make(99, 0, 0) };

	(void)state;
	for (size_t i = 0; i < N_OF(verdicts); i++) {
		struct answer a = { &record, 1, sluice_continue() },
			      b = { &record, 2, verdicts[i] },
			      c = { &record, 3, sluice_continue() };
		struct sluice_handler h[] = { answers(SYS_getpriority, &a),
					      answers(SYS_getpriority, &b),
					      answers(SYS_getpriority, &c) };

		reset(NULL);
		guest_run(NULL, h, 3, "getpriority", "");
		assert_int_equal(record.calls, 3);
		assert_int_equal(record.order[2], 2);
	}
}

/* ---- after the built-ins ---- */

static void test_a_builtin_runs_before_every_extra(void **state)
{
	struct answer a = { &record, 1, sluice_value(5) };
	struct sluice_handler h = answers(SYS_getpriority, &a);

	(void)state;
	assert_int_equal(guest_run(NULL, &h, 1, "value", "5").exit_code, 0);
	assert_int_equal(record.calls, 2);
	assert_int_equal(record.order[0], GATE_ID);
	assert_int_equal(record.order[1], 1);
}

static void test_an_extra_cannot_undo_a_builtin_refusal(void **state)
{
	struct answer a = { &record, 1, sluice_value(5) };
	struct sluice_handler h = answers(SYS_getpriority, &a);

	(void)state;
	gate.verdict = sluice_errno(ENOLCK);
	assert_int_equal(guest_run(NULL, NULL, 0, "getpriority", "").exit_code, ENOLCK);
	assert_int_equal(guest_run(NULL, &h, 1, "getpriority", "").exit_code, ENOLCK);
	h.flags = SLUICE_MAY_BLOCK;
	assert_int_equal(guest_run(NULL, &h, 1, "getpriority", "").exit_code, ENOLCK);
	assert_int_equal(record.calls, 3); /* the gate each time, the extra never */
}

static void test_a_plan_is_carried_out_when_all_continue(void **state)
{
	struct answer a = { &record, 1, sluice_continue() };
	struct sluice_handler h = answers(SYS_getpriority, &a);

	(void)state;
	gate_replies = true;
	assert_int_equal(guest_run(NULL, NULL, 0, "value", "33").exit_code, 0);
	assert_int_equal(guest_run(NULL, &h, 1, "value", "33").exit_code, 0);
	a.verdict = sluice_as_seen(); /* the same to a call that a built-in answers */
	assert_int_equal(guest_run(NULL, &h, 1, "value", "33").exit_code, 0);
	a.verdict = sluice_errno(EDOM);
	assert_int_equal(guest_run(NULL, &h, 1, "getpriority", "").exit_code, EDOM);
}

/* ---- the view after the built-ins ---- */

struct view {
	_Atomic int calls, as_planned;
	char node[sizeof(((struct utsname *)0)->nodename)];
	struct sluice_verdict verdict;
};

static struct sluice_verdict view_handle(struct sluice_request *req, void *userdata)
{
	struct view *v = userdata;
	struct sluice_plan plan;

	sluice_request_plan(req, &plan);
	atomic_fetch_add(&v->calls, 1);
	if (plan.kind == SLUICE_PLAN_REPLY && plan.builtin && !strcmp(plan.builtin, "uname") &&
	    plan.value == 0 && plan.addr == sluice_request_arg(req, 0) &&
	    plan.size == sizeof(struct utsname) && !plan.host_path && !plan.host_path2) {
		const struct utsname *u = plan.data;

		atomic_fetch_add(&v->as_planned, 1);
		memcpy(v->node, u->nodename, sizeof(v->node));
	}
	return v->verdict;
}

static void test_an_extra_sees_what_a_builtin_planned(void **state)
{
	struct view view = { .verdict = sluice_continue() };
	struct sluice_handler h = sluice_handler_make("view", SYS_uname, view_handle, &view);
	struct sluice_policy *p = guest_policy();

	(void)state;
	assert_int_equal(sluice_policy_set_name(p, "the-box", NULL), 0);
	assert_int_equal(guest_inside(p, "uname", "the-box"), 0);
	assert_int_equal(guest_run(p, &h, 1, "uname", "the-box").exit_code, 0);
	assert_int_equal(view.as_planned, 1);
	assert_string_equal(view.node, "the-box");
	h.flags = SLUICE_OBSERVER;
	assert_int_equal(guest_run(p, &h, 1, "uname", "the-box").exit_code, 0);
	assert_int_equal(view.as_planned, 2);
	sluice_policy_unref(p);
}

static void test_a_refused_plan_has_no_side_effect(void **state)
{
	static const struct {
		uint32_t kind;
		int error, wanted;
	} cases[] = {
		{ SLUICE_ERRNO, EDOM, EDOM },
		{ SLUICE_VALUE, 0, 0 },
		{ SLUICE_DENY, 0, EPERM },
		{ 1234, 0, EPERM },
	};

	(void)state;
	assert_int_equal(guest_inside(NULL, "uname-untouched", ""), 201);
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct view view = { .verdict = sluice_verdict_make(cases[i].kind, cases[i].error,
								    0) };
		struct sluice_handler h =
			sluice_handler_make("view", SYS_uname, view_handle, &view);

		assert_int_equal(guest_run(NULL, &h, 1, "uname-untouched", "").exit_code,
				 cases[i].wanted);
		assert_int_equal(view.as_planned, 1);
	}
}

static struct sluice_verdict kernel_plan_handle(struct sluice_request *req, void *userdata)
{
	struct sluice_plan plan;

	memset(&plan, 0xff, sizeof(plan));
	sluice_request_plan(req, &plan);
	if (plan.kind == SLUICE_PLAN_KERNEL && plan.layer == SLUICE_LAYER_NONE && !plan.builtin &&
	    !plan.host_path && !plan.host_path2 && !plan.data)
		atomic_fetch_add((_Atomic int *)userdata, 1);
	return sluice_continue();
}

/* Nor does a plan of an earlier call linger in a request. */
static void test_without_a_plan_the_kernel_acts(void **state)
{
	_Atomic int good = 0;
	struct sluice_handler h[] = {
		sluice_handler_make("k", SYS_getpriority, kernel_plan_handle, &good),
		sluice_handler_make("k", SYS_getpgid, kernel_plan_handle, &good),
	};

	(void)state;
	assert_int_equal(guest_run(NULL, h, 2, "getpriority", "3").exit_code, 0);
	assert_int_equal(good, 3);
}

/* ---- observers hear of built-ins ---- */

struct heard {
	_Atomic int calls, kind, result, by_gate;
};

static struct sluice_verdict hear_handle(struct sluice_request *req, void *userdata)
{
	struct heard *h = userdata;
	struct sluice_outcome out;

	sluice_request_outcome(req, &out);
	h->kind = (int)out.kind;
	h->result = (int)out.result;
	h->by_gate = out.by && !strcmp(out.by, "gate");
	atomic_fetch_add(&h->calls, 1);
	return sluice_value(99);
}

static void test_an_observer_hears_of_a_builtin_refusal(void **state)
{
	struct heard heard = { 0 };
	struct answer a = { &record, 1, sluice_continue() };
	struct sluice_handler h[] = {
		sluice_handler_make("ear", SYS_getpriority, hear_handle, &heard),
		answers(SYS_getpriority, &a),
	};

	(void)state;
	h[0].flags = SLUICE_OBSERVER;
	gate.verdict = sluice_errno(ENOLCK);
	assert_int_equal(guest_run(NULL, h, 2, "getpriority", "").exit_code, ENOLCK);
	assert_int_equal(heard.calls, 1);
	assert_int_equal(heard.kind, SLUICE_ERRNO);
	assert_int_equal(heard.result, -ENOLCK);
	assert_int_equal(heard.by_gate, 1);
	assert_int_equal(record.calls, 1);
}

static void test_an_observer_hears_of_a_builtin_that_is_late(void **state)
{
	struct heard heard = { 0 };
	struct sluice_handler h = sluice_handler_make("ear", SYS_getpriority, hear_handle, &heard);

	(void)state;
	h.flags = SLUICE_OBSERVER;
	gate_sleep_ms = 300;
	assert_int_equal(guest_run(NULL, &h, 1, "getpriority", "").exit_code, ETIME);
	assert_int_equal(heard.calls, 1);
	assert_int_equal(heard.result, -ETIME);
	assert_int_equal(heard.by_gate, 1);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_insertion_order, reset),
		cmocka_unit_test_setup(test_handlers_of_other_calls_do_not_run, reset),
		cmocka_unit_test_setup(test_the_first_verdict_ends_the_chain, reset),
		cmocka_unit_test_setup(test_a_builtin_runs_before_every_extra, reset),
		cmocka_unit_test_setup(test_an_extra_cannot_undo_a_builtin_refusal, reset),
		cmocka_unit_test_setup(test_a_plan_is_carried_out_when_all_continue, reset),
		cmocka_unit_test_setup(test_an_extra_sees_what_a_builtin_planned, reset),
		cmocka_unit_test_setup(test_a_refused_plan_has_no_side_effect, reset),
		cmocka_unit_test_setup(test_without_a_plan_the_kernel_acts, reset),
		cmocka_unit_test_setup(test_an_observer_hears_of_a_builtin_refusal, reset),
		cmocka_unit_test_setup(test_an_observer_hears_of_a_builtin_that_is_late, reset),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
