/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hand-off: nothing lost, nothing twice, nobody left asleep.
 *
 * A wake-up that was lost shows as a test that does not end. Pointers are only carried, so numbers stand in for requests.
 */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "engine/handoff.h"
#include "util/clock.h"

#include "../support/cmocka.h"

#define SLOTS 4096

static struct sluice_request *item(uintptr_t n)
{
	return (struct sluice_request *)(n + 1);
}

static uintptr_t number(const struct sluice_request *req)
{
	return (uintptr_t)req - 1;
}

static void test_first_in_first_out(void **state)
{
	struct handoff *h = handoff_new(SLOTS);

	(void)state;
	assert_non_null(h);
	assert_null(handoff_pop(h));
	for (uintptr_t i = 0; i < 1000; i++)
		assert_false(handoff_push(h, item(i))); /* nobody is parked */
	assert_int_equal(handoff_length(h), 1000);
	for (uintptr_t i = 0; i < 1000; i++)
		assert_int_equal(number(handoff_pop(h)), i);
	assert_null(handoff_pop(h));
	handoff_free(h);
}

static void test_park_ends_at_once_or_in_time(void **state)
{
	struct handoff *h = handoff_new(SLOTS);
	uint64_t start = clock_now_ns();

	(void)state;
	assert_int_equal(handoff_park(h, 20), -ETIMEDOUT);
	assert_true(clock_now_ns() - start >= 19000000);
	handoff_push(h, item(0));
	assert_int_equal(handoff_park(h, -1), 0);
	assert_int_equal(number(handoff_pop(h)), 0);
	handoff_close(h);
	for (int i = 0; i < 3; i++)
		assert_int_equal(handoff_park(h, -1), 0);
	handoff_free(h);
}

struct sleeper {
	struct handoff *h;
	_Atomic int left, popped;
};

static void *sleep_once(void *arg)
{
	struct sleeper *s = arg;

	while (handoff_park(s->h, -1) == 0) {
		if (handoff_pop(s->h))
			atomic_fetch_add(&s->popped, 1);
		break;
	}
	atomic_fetch_add(&s->left, 1);
	return NULL;
}

/* One push claims one sleeper: a second push finds nobody left. */
static void test_a_push_claims_one_sleeper(void **state)
{
	struct sleeper s = { .h = handoff_new(SLOTS) };
	pthread_t thread;

	(void)state;
	pthread_create(&thread, NULL, sleep_once, &s);
	while (!handoff_push(s.h, item(1))) { /* until it is parked */
		handoff_pop(s.h);
		usleep(100);
	}
	assert_false(handoff_push(s.h, item(2)));
	pthread_join(thread, NULL);
	handoff_free(s.h);
}

static void test_close_wakes_all(void **state)
{
	struct sleeper s = { .h = handoff_new(SLOTS) };
	pthread_t threads[8];

	(void)state;
	for (size_t i = 0; i < N_OF(threads); i++)
		pthread_create(&threads[i], NULL, sleep_once, &s);
	usleep(2000); /* some asleep, some not yet: both must come back */
	handoff_close(s.h);
	for (size_t i = 0; i < N_OF(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(s.left, N_OF(threads));
	handoff_free(s.h);
}

/* ---- many on both sides ---- */

#define PRODUCERS 2
#define CONSUMERS 3
#define ITEMS 40000 /* of one producer */

static struct handoff *shared;
static _Atomic unsigned char got[PRODUCERS * ITEMS];
static _Atomic uint32_t taken, pushed;
static _Atomic bool finished;

static void *produce(void *arg)
{
	uintptr_t base = (uintptr_t)arg * ITEMS;

	for (uintptr_t i = 0; i < ITEMS; i++) {
		/* the ring never overflows in the engine: here neither */
		while (atomic_load(&pushed) - atomic_load(&taken) > SLOTS / 2)
			usleep(50);
		atomic_fetch_add(&pushed, 1);
		handoff_push(shared, item(base + i));
		/* now and then let them fall asleep */
		if (i % 1000 == 0)
			usleep(100);
	}
	return NULL;
}

static void *consume(void *arg)
{
	(void)arg;
	for (;;) {
		struct sluice_request *req = handoff_pop(shared);

		if (req) {
			atomic_fetch_add(&got[number(req)], 1);
			atomic_fetch_add(&taken, 1);
		} else if (atomic_load(&finished)) {
			return NULL;
		} else {
			handoff_park(shared, -1);
		}
	}
}

static void test_nothing_is_lost_between_many(void **state)
{
	pthread_t producers[PRODUCERS], consumers[CONSUMERS];
	int wrong = 0;

	(void)state;
	shared = handoff_new(SLOTS);
	for (size_t i = 0; i < CONSUMERS; i++)
		pthread_create(&consumers[i], NULL, consume, NULL);
	for (size_t i = 0; i < PRODUCERS; i++)
		pthread_create(&producers[i], NULL, produce, (void *)i);
	for (size_t i = 0; i < PRODUCERS; i++)
		pthread_join(producers[i], NULL);
	/* no push comes any more: every item must have somebody awake for it */
	while (atomic_load(&taken) < PRODUCERS * ITEMS)
		usleep(100);
	atomic_store(&finished, true);
	handoff_close(shared);
	for (size_t i = 0; i < CONSUMERS; i++)
		pthread_join(consumers[i], NULL);
	for (size_t i = 0; i < N_OF(got); i++)
		wrong += got[i] != 1;
	assert_int_equal(wrong, 0);
	handoff_free(shared);
}

/* ---- one item at a time: the park and the push meet at every offset ---- */

#define MEETINGS 30000

static void test_every_push_is_taken_without_another(void **state)
{
	pthread_t consumer;

	(void)state;
	shared = handoff_new(SLOTS);
	atomic_store(&finished, false);
	atomic_store(&taken, 0);
	pthread_create(&consumer, NULL, consume, NULL);
	for (uint32_t i = 0; i < MEETINGS; i++) {
		handoff_push(shared, item(i));
		for (unsigned spins = 0; atomic_load(&taken) <= i; spins++) {
			if (spins > 1000)
				sched_yield();
		}
	}
	atomic_store(&finished, true);
	handoff_close(shared);
	pthread_join(consumer, NULL);
	assert_int_equal(taken, MEETINGS);
	handoff_free(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_in_first_out),
		cmocka_unit_test(test_park_ends_at_once_or_in_time),
		cmocka_unit_test(test_a_push_claims_one_sleeper),
		cmocka_unit_test(test_close_wakes_all),
		cmocka_unit_test(test_nothing_is_lost_between_many),
		cmocka_unit_test(test_every_push_is_taken_without_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
