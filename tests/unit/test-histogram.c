/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latency histogram: bounds of its error, its edges, and adding from several threads.
 */
#include <pthread.h>
#include <stdlib.h>

#include "util/histogram.h"

#include "../support/cmocka.h"

static void test_empty(void **state)
{
	struct histogram h = { 0 };

	assert_int_equal(histogram_count(&h), 0);
	assert_int_equal(histogram_percentile(&h, 50.0), 0);
	assert_int_equal(histogram_percentile(&h, 100.0), 0);
}

static void test_memory(void **state)
{
	assert_true(sizeof(struct histogram) <= 2048 + 64);
}

/* One value twice, and a huge one, so that the maximum does not hide the bucket's edge. */
static void check_value(uint64_t ns)
{
	struct histogram h = { 0 };
	uint64_t shown;

	histogram_add(&h, ns);
	histogram_add(&h, ns);
	histogram_add(&h, UINT64_MAX);
	shown = histogram_percentile(&h, 50.0);
	if (shown < ns || shown > ns + ns / 8)
		fail_msg("%llu reads as %llu", (unsigned long long)ns, (unsigned long long)shown);
	assert_int_equal(histogram_percentile(&h, 100.0), UINT64_MAX);
}

static void test_error_bound(void **state)
{
	for (uint64_t ns = 0; ns < 5000; ns++)
		check_value(ns);
	/* around every power of two that has buckets; the last bucket also holds what is too large for it */
	for (unsigned bit = 12; bit < 34; bit++) {
		for (int d = -2; d <= 2; d++)
			check_value((UINT64_C(1) << bit) + (uint64_t)d);
	}
}

static void test_too_large(void **state)
{
	struct histogram h = { 0 };

	histogram_add(&h, HISTOGRAM_TOP_NS * 1000);
	assert_int_equal(histogram_count(&h), 1);
	assert_int_equal(histogram_percentile(&h, 1.0), HISTOGRAM_TOP_NS * 1000);
}

static void test_percentiles(void **state)
{
	struct histogram h = { 0 };
	uint64_t p50, p99;

	for (uint64_t i = 1; i <= 10000; i++)
		histogram_add(&h, i);
	p50 = histogram_percentile(&h, 50.0);
	p99 = histogram_percentile(&h, 99.0);
	assert_in_range(p50, 5000, 5625);
	assert_in_range(p99, 9900, 10000);
	assert_int_equal(histogram_percentile(&h, 0.0), 1);
	assert_int_equal(histogram_percentile(&h, 100.0), 10000);
}

/* Of a handful: the middle one and the last, whichever way the odd one is off. */
static void test_few_values(void **state)
{
	struct histogram quick = { 0 }, slow = { 0 };

	(void)state;
	for (int i = 0; i < 4; i++) {
		histogram_add(&quick, 90);
		histogram_add(&slow, 6480);
	}
	histogram_add(&quick, 6480);
	histogram_add(&slow, 90);
	assert_in_range(histogram_percentile(&quick, 50.0), 90, 101);
	assert_int_equal(histogram_percentile(&quick, 99.0), 6480);
	assert_int_equal(histogram_percentile(&slow, 50.0), 6480);
	assert_in_range(histogram_percentile(&slow, 20.0), 90, 101);
	assert_int_equal(histogram_percentile(&slow, 99.0), 6480);
}

static void test_never_above_the_maximum(void **state)
{
	struct histogram h = { 0 };

	histogram_add(&h, 1025);
	assert_int_equal(histogram_percentile(&h, 50.0), 1025);
}

static void test_merge(void **state)
{
	struct histogram a = { 0 }, b = { 0 }, both = { 0 };

	for (uint64_t i = 0; i < 1000; i++) {
		histogram_add(i % 3 ? &a : &b, i * i);
		histogram_add(&both, i * i);
	}
	histogram_merge(&a, &b);
	assert_int_equal(histogram_count(&a), 1000);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		assert_int_equal(a.buckets[i], both.buckets[i]);
	assert_int_equal(a.max_ns, both.max_ns);
}

#define PER_THREAD 50000u

static void *add_many(void *h)
{
	for (uint64_t i = 0; i < PER_THREAD; i++)
		histogram_add(h, i);
	return NULL;
}

static void test_threads(void **state)
{
	struct histogram h = { 0 };
	pthread_t threads[4];

	for (size_t i = 0; i < N_OF(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, &h), 0);
	for (size_t i = 0; i < N_OF(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(histogram_count(&h), N_OF(threads) * PER_THREAD);
	assert_int_equal(histogram_percentile(&h, 100.0), PER_THREAD - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_error_bound),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_few_values),
		cmocka_unit_test(test_never_above_the_maximum),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
