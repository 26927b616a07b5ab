/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Something constant that many threads read and one thread replaces now and then. Readers take no lock, wait for nobody and allocate nothing; who replaces it waits
 * until nobody reads the old one any more.
 *
 * A reader counts itself in one of two counters before it takes the pointer, and out when it is done. Who has taken the old one was counted before it was replaced, so both
 * counters having been 0 at some moment after that says that it is done with. Turning those who come from one counter to the other lets each get to 0 however many they are.
 */
#ifndef SLUICE_UTIL_VERSIONED_H
#define SLUICE_UTIL_VERSIONED_H

#include <stdatomic.h>
#include <time.h>

#define VERSIONED_LOOK_NS 50000 /* between two looks whether a counter is 0 */

/* All 0 is one that holds NULL. */
struct versioned {
	_Atomic(void *) now;
	atomic_uint turn;	/* its last bit: the counter of who comes */
	atomic_uint readers[2]; /* each decrement pairs with versioned_replace's look */
};

/* The present one, the caller's to read until versioned_done with the same *ret_turn. Any thread. */
static inline const void *versioned_read(struct versioned *v, unsigned *ret_turn)
{
	*ret_turn = atomic_load(&v->turn) & 1;
	atomic_fetch_add(&v->readers[*ret_turn], 1);
	return atomic_load(&v->now);
}

static inline void versioned_done(struct versioned *v, unsigned turn)
{
	atomic_fetch_sub(&v->readers[turn], 1);
}

/* Put @next in its place. Returns the old one, the caller's. One thread at a time, and none that reads. */
static inline void *versioned_replace(struct versioned *v, void *next)
{
	const struct timespec look = { .tv_nsec = VERSIONED_LOOK_NS };
	void *old = atomic_exchange(&v->now, next);

	for (unsigned i = 0; i < 2; i++) {
		unsigned turn = atomic_fetch_xor(&v->turn, 1) & 1;

		while (atomic_load(&v->readers[turn]))
			nanosleep(&look, NULL);
	}
	return old;
}

#endif
