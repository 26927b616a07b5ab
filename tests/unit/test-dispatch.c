/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dispatch table: order, bounds, what is refused, and when a chain moves to the pool.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "engine/chain.h"
#include "engine/dispatch.h"
#include "sys/notif.h"

#include "../support/cmocka.h"

static struct sluice_verdict go_on(struct sluice_request *req, void *userdata)
{
	(void)req;
	(void)userdata;
	return sluice_continue();
}

static struct sluice_handler named(const char *name, int nr)
{
	return (struct sluice_handler){ .name = name, .nr = nr, .fn = go_on };
}

static void test_builtins_first_then_insertion_order(void **state)
{
	struct dispatch *d = dispatch_new();
	struct sluice_handler b1 = named("b1", SYS_uname), b2 = named("b2", SYS_uname),
			      x1 = named("x1", SYS_uname), x2 = named("x2", SYS_uname);
	static const char *const wanted[] = { "b1", "b2", "x1", "x2" };
	struct chain *c;

	(void)state;
	assert_int_equal(dispatch_add(d, &b1, true), 0);
	assert_int_equal(dispatch_add(d, &b2, true), 0);
	assert_int_equal(dispatch_add(d, &x1, false), 0);
	assert_int_equal(dispatch_add(d, &b2, true), -EINVAL); /* never after an extra */
	assert_int_equal(dispatch_add(d, &x2, false), 0);
	c = dispatch_chain(d, SYS_uname);
	assert_int_equal(c->n_handlers, 4);
	for (uint32_t i = 0; i < 4; i++) {
		assert_string_equal(c->handlers[i].name, wanted[i]);
		assert_int_equal(c->handlers[i].builtin, i < 2);
	}
	dispatch_free(d);
}

static void test_observers_stand_apart(void **state)
{
	struct dispatch *d = dispatch_new();
	struct sluice_handler o = named("o", SYS_uname), x = named("x", SYS_uname);
	struct chain *c;

	(void)state;
	o.flags = SLUICE_OBSERVER;
	assert_int_equal(dispatch_add(d, &o, false), 0);
	assert_int_equal(dispatch_add(d, &x, false), 0);
	c = dispatch_chain(d, SYS_uname);
	assert_int_equal(c->n_handlers, 1);
	assert_int_equal(c->n_observers, 1);
	assert_string_equal(c->observers[0].name, "o");
	dispatch_free(d);
}

static void test_numbers_once_each_and_sorted(void **state)
{
	static const int nrs[] = { SYS_uname, SYS_openat, SYS_uname, SYS_getpriority, SYS_openat };
	struct dispatch *d = dispatch_new();
	int numbers[8] = { 0 };

	(void)state;
	assert_int_equal(dispatch_numbers(d, numbers, 8), 0);
	for (size_t i = 0; i < N_OF(nrs); i++) {
		struct sluice_handler h = named("h", nrs[i]);

		assert_int_equal(dispatch_add(d, &h, false), 0);
	}
	assert_int_equal(dispatch_numbers(d, numbers, 8), 3);
	assert_true(numbers[0] < numbers[1] && numbers[1] < numbers[2]);
	numbers[2] = -7;
	assert_int_equal(dispatch_numbers(d, numbers, 2), 3);
	assert_int_equal(numbers[2], -7);
	assert_null(dispatch_chain(d, SYS_getpid));
	assert_null(dispatch_chain(d, -1));
	assert_null(dispatch_chain(d, INT_MAX));
	dispatch_free(d);
}

static void test_numbers_with_an_argument(void **state)
{
	struct sluice_handler h = named("a", SYS_sendto), refused = named("b", SYS_sendto),
			      extra = named("extra", SYS_sendto);
	struct dispatch *d = dispatch_new();
	int numbers[2] = { 0 };

	(void)state;
	assert_int_equal(dispatch_add(d, &h, true), 0);
	dispatch_trap_only_with(d, SYS_sendto, 4);
	assert_int_equal(dispatch_numbers(d, numbers, 2), 1);
	assert_int_equal(NOTIF_NR(numbers[0]), SYS_sendto);
	assert_int_equal(NOTIF_ARG(numbers[0]), 4);
	/* who wants what would be refused wants no more of the rest */
	assert_int_equal(dispatch_add_where_refused(d, &refused), 0);
	assert_int_equal(dispatch_numbers(d, numbers, 2), 2);
	assert_int_equal(numbers[0], SYS_sendto | NOTIF_WITH(4));
	assert_int_equal(numbers[1], SYS_sendto | NOTIF_WHERE_REFUSED);
	/* who comes second wants all of them */
	dispatch_trap_only_with(d, SYS_sendto, 0);
	assert_int_equal(dispatch_numbers(d, numbers, 2), 2);
	assert_int_equal(NOTIF_ARG(numbers[0]), 4);
	assert_int_equal(dispatch_add(d, &extra, false), 0);
	assert_int_equal(dispatch_numbers(d, numbers, 2), 2);
	assert_int_equal(numbers[0], SYS_sendto);
	assert_int_equal(NOTIF_ARG(numbers[0]), -1);
	dispatch_free(d);
}

static void test_numbers_where_refused_come_last(void **state)
{
	struct sluice_handler h[] = { named("a", SYS_getpriority), named("b", SYS_uname),
				      named("c", SYS_openat), named("extra", SYS_getpriority) };
	const int expected[] = { SYS_uname, SYS_getpriority, SYS_openat | NOTIF_WHERE_REFUSED,
				 SYS_getpriority | NOTIF_WHERE_REFUSED };
	struct dispatch *d = dispatch_new();
	int numbers[8] = { 0 };

	(void)state;
	assert_int_equal(dispatch_add_where_refused(d, &h[0]), 0);
	assert_int_equal(dispatch_add(d, &h[1], true), 0);
	assert_int_equal(dispatch_add_where_refused(d, &h[2]), 0);
	assert_int_equal(dispatch_numbers(d, numbers, 8), 3);
	assert_int_equal(dispatch_add(d, &h[3], false), 0);
	assert_int_equal(dispatch_add_where_refused(d, &h[2]), -EINVAL);
	assert_int_equal(dispatch_numbers(d, numbers, 8), N_OF(expected));
	for (size_t i = 0; i < N_OF(expected); i++) {
		bool found = false;

		for (size_t k = 0; k < N_OF(expected); k++)
			found |= numbers[k] == expected[i];
		assert_true(found);
	}
	assert_true(numbers[0] < numbers[1] && numbers[1] < numbers[2] && numbers[2] < numbers[3]);
	assert_int_equal(dispatch_chain(d, SYS_getpriority)->n_handlers, 2);
	dispatch_free(d);
}

static void test_what_is_refused(void **state)
{
	static const struct sluice_handler bad[] = {
		{ .nr = -1, .fn = go_on },
		{ .nr = INT_MIN, .fn = go_on },
		{ .nr = DISPATCH_MAX_NR, .fn = go_on },
		{ .nr = INT_MAX, .fn = go_on },
		{ .nr = SYS_uname },
		{ .nr = SYS_uname, .fn = go_on, .flags = 1u << 3 },
		{ .nr = SYS_uname, .fn = go_on, .flags = UINT32_MAX },
		{ .nr = SYS_uname, .fn = go_on, .deadline_ms = 3600001 },
		{ .nr = SYS_uname, .fn = go_on, .deadline_errno = -1 },
		{ .nr = SYS_uname, .fn = go_on, .deadline_errno = 4096 },
	};
	struct dispatch *d = dispatch_new();
	int number;

	(void)state;
	for (size_t i = 0; i < N_OF(bad); i++)
		assert_int_equal(dispatch_add(d, &bad[i], false), -EINVAL);
	assert_int_equal(dispatch_numbers(d, &number, 1), 0);
	dispatch_free(d);
}

static void test_sixty_four_and_no_more(void **state)
{
	struct dispatch *d = dispatch_new();
	struct sluice_handler h = named("h", SYS_uname), o = named("o", SYS_uname);

	(void)state;
	o.flags = SLUICE_OBSERVER;
	for (int i = 0; i < DISPATCH_MAX_CHAIN; i++)
		assert_int_equal(dispatch_add(d, i % 2 ? &h : &o, false), 0);
	assert_int_equal(dispatch_add(d, &h, false), -E2BIG);
	assert_int_equal(dispatch_add(d, &o, false), -E2BIG);
	h.nr = SYS_openat; /* another call has its own room */
	assert_int_equal(dispatch_add(d, &h, false), 0);
	dispatch_free(d);
}

static void test_names_and_defaults(void **state)
{
	struct dispatch *d = dispatch_new();
	char name[] = "mine";
	struct sluice_handler h = named(name, SYS_uname), none = named(NULL, SYS_uname);
	struct chain *c;

	(void)state;
	assert_int_equal(dispatch_add(d, &h, false), 0);
	name[0] = 'X'; /* copied */
	none.deadline_ms = 20000;
	none.deadline_errno = ETIME;
	assert_int_equal(dispatch_add(d, &none, false), 0);
	c = dispatch_chain(d, SYS_uname);
	assert_string_equal(c->handlers[0].name, "mine");
	assert_string_equal(c->handlers[1].name, "extra-2");
	assert_int_equal(c->handlers[0].deadline_ms, SLUICE_DEADLINE_DEFAULT_MS);
	assert_int_equal(c->handlers[0].deadline_errno, EPERM);
	assert_int_equal(c->handlers[1].deadline_errno, ETIME);
	assert_int_equal(c->deadline_ms, 20000);
	dispatch_free(d);
}

static struct chain *chain_with(struct dispatch *d, uint32_t flags)
{
	struct sluice_handler h = named("h", SYS_uname);

	h.flags = flags;
	assert_int_equal(dispatch_add(d, &h, false), 0);
	return dispatch_chain(d, SYS_uname);
}

static void test_what_may_block_is_for_the_pool(void **state)
{
	struct dispatch *d = dispatch_new();
	struct chain *c = chain_with(d, 0);

	(void)state;
	assert_false(c->to_pool);
	c = chain_with(d, SLUICE_MAY_BLOCK);
	assert_true(c->to_pool);
	dispatch_free(d);
}

static void test_slow_on_average_moves_to_the_pool(void **state)
{
	struct dispatch *d = dispatch_new();
	struct chain *c = chain_with(d, 0);
	struct chain_handler *h = &c->handlers[0];
	int n = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		chain_account(c, h, 20000);
	assert_false(c->to_pool);
	/* one call in which the thread was held up says little */
	chain_account(c, h, UINT64_C(5000000000));
	for (int i = 0; i < 100; i++)
		chain_account(c, h, 20000);
	assert_false(c->to_pool);
	assert_int_equal(h->max_ns, UINT64_C(5000000000));
	assert_int_equal(h->calls, 1101);
	while (!c->to_pool && n < 1000) {
		chain_account(c, h, 400000);
		n++;
	}
	assert_true(n > 1 && n < 100);
	assert_true(h->demoted);
	dispatch_free(d);
}

/* Calls of 20 us until @h is out of the pool; 0: it does not come out. */
static unsigned calls_until_back(struct chain *c, struct chain_handler *h)
{
	for (unsigned n = 1; n < 10000; n++) {
		chain_account(c, h, 20000);
		if (!c->to_pool)
			return n;
	}
	return 0;
}

static void test_a_builtin_comes_back_from_the_pool(void **state)
{
	const struct sluice_handler h = { .name = "a", .nr = SYS_getpriority, .fn = go_on };
	const struct sluice_handler blocking = {
		.name = "b", .nr = SYS_uname, .fn = go_on, .flags = SLUICE_MAY_BLOCK
	};
	struct dispatch *d = dispatch_new();
	struct chain_handler *a, *b;
	struct chain *c;

	(void)state;
	assert_int_equal(dispatch_add(d, &h, true), 0);
	assert_int_equal(dispatch_add(d, &h, true), 0);
	c = dispatch_chain(d, SYS_getpriority);
	a = &c->handlers[0];
	b = &c->handlers[1];
	chain_demote(c, a);
	chain_demote(c, a);
	assert_true(c->to_pool && a->demoted);
	for (unsigned i = 0; i < CHAIN_PROMPT_AGAIN - 1; i++)
		chain_account(c, a, 20000);
	chain_account(c, a, CHAIN_SLOW_MEAN_NS + 1); /* it begins again */
	assert_int_equal(calls_until_back(c, a), CHAIN_PROMPT_AGAIN);
	assert_false(a->demoted);
	/* each time it takes twice as long */
	chain_demote(c, a);
	assert_int_equal(calls_until_back(c, a), 2 * CHAIN_PROMPT_AGAIN);
	chain_demote(c, a);
	assert_int_equal(calls_until_back(c, a), 4 * CHAIN_PROMPT_AGAIN);
	/* all of a chain must be prompt */
	chain_demote(c, a);
	chain_demote(c, b);
	assert_int_equal(calls_until_back(c, a), 0);
	assert_false(a->demoted);
	assert_int_equal(calls_until_back(c, b), CHAIN_PROMPT_AGAIN);
	/* and none of those that may block, which is said and not found out */
	assert_int_equal(dispatch_add(d, &blocking, true), 0);
	c = dispatch_chain(d, SYS_uname);
	chain_demote(c, c->handlers);
	assert_int_equal(calls_until_back(c, c->handlers), 0);
	dispatch_free(d);
}

static void test_an_extra_stays_in_the_pool(void **state)
{
	struct dispatch *d = dispatch_new();
	struct chain *c = chain_with(d, 0);

	(void)state;
	chain_demote(c, c->handlers);
	assert_int_equal(calls_until_back(c, c->handlers), 0);
	assert_true(c->to_pool && c->handlers[0].demoted);
	dispatch_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_builtins_first_then_insertion_order),
		cmocka_unit_test(test_observers_stand_apart),
		cmocka_unit_test(test_numbers_once_each_and_sorted),
		cmocka_unit_test(test_numbers_with_an_argument),
		cmocka_unit_test(test_numbers_where_refused_come_last),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_sixty_four_and_no_more),
		cmocka_unit_test(test_names_and_defaults),
		cmocka_unit_test(test_what_may_block_is_for_the_pool),
		cmocka_unit_test(test_slow_on_average_moves_to_the_pool),
		cmocka_unit_test(test_a_builtin_comes_back_from_the_pool),
		cmocka_unit_test(test_an_extra_stays_in_the_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
