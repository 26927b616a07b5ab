/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slab of requests: bounded, no request twice, a new generation for each life.
 */
#include <pthread.h>
#include <stdlib.h>

#include "engine/request_internal.h"

#include "../support/cmocka.h"

static void test_bounded_and_distinct(void **state)
{
	static struct sluice_request *all[REQUESTS_MAX];
	static bool seen[REQUESTS_MAX];
	struct slab *s = slab_new();

	(void)state;
	assert_non_null(s);
	for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
		uint32_t index;

		all[i] = slab_take(s);
		assert_non_null(all[i]);
		index = slab_index(s, all[i]);
		assert_in_range(index, 0, REQUESTS_MAX - 1);
		assert_ptr_equal(slab_at(s, index), all[i]);
		assert_false(seen[index]);
		seen[index] = true;
		assert_int_equal(slab_used(s), i + 1);
	}
	assert_null(slab_take(s));
	slab_give(s, all[77]);
	assert_ptr_equal(slab_take(s), all[77]);
	assert_null(slab_take(s));
	slab_free(s);
}

static void test_used_again_before_fresh(void **state)
{
	struct slab *s = slab_new();
	struct sluice_request *req = slab_take(s);

	(void)state;
	for (int i = 0; i < 1000; i++) {
		slab_give(s, req);
		assert_ptr_equal(slab_take(s), req);
	}
	assert_int_equal(slab_used(s), 1);
	slab_free(s);
}

static void test_a_ticket_of_an_earlier_life_claims_nothing(void **state)
{
	struct slab *s = slab_new();
	struct sluice_request *req = slab_take(s);
	uint64_t first = request_ticket(req), second;

	(void)state;
	assert_true(request_claim(req, first, 0, CLAIM_DECIDED));
	assert_false(request_claim(req, first, 0, CLAIM_DECIDED)); /* once */
	assert_true(request_claim(req, first, CLAIM_DECIDED, CLAIM_BITS));
	assert_false(request_claim(req, first, CLAIM_DECIDED, CLAIM_BITS));
	slab_give(s, req);
	assert_ptr_equal(slab_take(s), req);
	second = request_ticket(req);
	assert_true(second > first);
	assert_false(request_claim(req, first, 0, CLAIM_BITS));
	assert_false(request_claim(req, first, CLAIM_DECIDED, CLAIM_BITS));
	assert_true(request_claim(req, second, 0, CLAIM_BITS));
	slab_free(s);
}

#define THREADS 4
#define ROUNDS 100000
#define HELD 8

static struct slab *shared;
static _Atomic int owned[REQUESTS_MAX];
static _Atomic int doubles, refused;

static void *take_and_give(void *arg)
{
	struct sluice_request *mine[HELD] = { NULL };

	(void)arg;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct sluice_request **slot = &mine[i % HELD];

		if (*slot) {
			atomic_fetch_sub(&owned[slab_index(shared, *slot)], 1);
			slab_give(shared, *slot);
		}
		*slot = slab_take(shared);
		if (!*slot)
			atomic_fetch_add(&refused, 1);
		else if (atomic_fetch_add(&owned[slab_index(shared, *slot)], 1))
			atomic_fetch_add(&doubles, 1);
	}
	for (unsigned i = 0; i < HELD; i++) {
		if (!mine[i])
			continue;
		atomic_fetch_sub(&owned[slab_index(shared, mine[i])], 1);
		slab_give(shared, mine[i]);
	}
	return NULL;
}

static void test_many_threads(void **state)
{
	pthread_t threads[THREADS];
	uint32_t used;

	(void)state;
	shared = slab_new();
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(doubles, 0);
	assert_int_equal(refused, 0);
	/* nothing was lost on the way */
	assert_in_range(slab_used(shared), 1, THREADS * HELD);
	used = slab_used(shared);
	for (uint32_t i = 0; i < used; i++)
		assert_non_null(slab_take(shared));
	assert_int_equal(slab_used(shared), used);
	slab_free(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounded_and_distinct),
		cmocka_unit_test(test_used_again_before_fresh),
		cmocka_unit_test(test_a_ticket_of_an_earlier_life_claims_nothing),
		cmocka_unit_test(test_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
