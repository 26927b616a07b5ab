/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every worker that sleeps is woken for what the others cannot take.
 *
 * Workers are threads that take one request and hold it until they are let go, as a handler does that blocks.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "../support/cmocka.h"

#include "engine/handoff.h"

#define WORKERS 4
#define PATIENCE_S 10
#define IDLE_MS (PATIENCE_S * 1000)

struct crew {
	struct handoff *handoff;
	pthread_t threads[WORKERS];
	_Atomic bool stop;
	sem_t took, go;
};

static void *worker(void *arg)
{
	struct crew *c = arg;

	while (!atomic_load(&c->stop)) {
		if (handoff_pop(c->handoff)) {
			sem_post(&c->took);
			sem_wait(&c->go);
		} else {
			handoff_park(c->handoff, IDLE_MS);
		}
	}
	return NULL;
}

/* Whether @n more requests were taken. */
static bool taken(struct crew *c, int n)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	while (n--) {
		if (sem_timedwait(&c->took, &until) < 0)
			return false;
	}
	return true;
}

static void push(struct crew *c, int n)
{
	static char requests[2 * WORKERS];

	for (int i = 0; i < n; i++)
		handoff_push(c->handoff, (struct sluice_request *)(void *)&requests[i]);
}

static void let_go(struct crew *c, int n)
{
	for (int i = 0; i < n; i++)
		sem_post(&c->go);
}

static void crew_begin(struct crew *c)
{
	c->handoff = handoff_new(64);
	assert_non_null(c->handoff);
	atomic_init(&c->stop, false);
	sem_init(&c->took, 0, 0);
	sem_init(&c->go, 0, 0);
	for (int i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&c->threads[i], NULL, worker, c), 0);
}

static void crew_end(struct crew *c)
{
	atomic_store(&c->stop, true);
	handoff_close(c->handoff);
	let_go(c, 2 * WORKERS);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(c->threads[i], NULL);
	handoff_free(c->handoff);
}

/* Half of the crew is held; what comes then is for the other half. */
static void test_who_sleeps_is_woken_while_others_are_held(void **state)
{
	struct crew c;
	bool first = true, second = true;

	(void)state;
	crew_begin(&c);
	for (int i = 0; i < 200 && first && second; i++) {
		push(&c, WORKERS / 2);
		first = taken(&c, WORKERS / 2);
		push(&c, WORKERS / 2);
		second = first && taken(&c, WORKERS / 2);
		let_go(&c, second ? WORKERS : 0);
	}
	crew_end(&c);
	assert_true(first);
	assert_true(second);
}

static void test_all_are_taken_one_by_one(void **state)
{
	struct crew c;
	bool all = true;

	(void)state;
	crew_begin(&c);
	for (int i = 0; i < 1000 && all; i++) {
		push(&c, 1);
		all = taken(&c, 1);
		let_go(&c, all);
	}
	crew_end(&c);
	assert_true(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_sleeps_is_woken_while_others_are_held),
		cmocka_unit_test(test_all_are_taken_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
