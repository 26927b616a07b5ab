/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/handoff.h"

#include <ck_ring.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "sys/futex.h"
#include "sys/tsan.h"

struct handoff {
	pthread_mutex_t
		producers; /* nearly always one: the receiver; it never waits for a consumer */
	ck_ring_t ring;
	_Atomic uint32_t parked; /* workers asleep or about to be, that no push has claimed yet */
	_Atomic uint32_t claims; /* futex word: workers claimed by a push that have not left yet */
	_Atomic bool closed;
	size_t bytes; /* of the mapping */
	ck_ring_buffer_t slots[];
};

/* A mapping, of which only as much takes memory as was ever used. */
struct handoff *handoff_new(unsigned slots)
{
	size_t bytes = sizeof(struct handoff) + slots * sizeof(ck_ring_buffer_t);
	struct handoff *h = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (h == MAP_FAILED)
		return NULL;
	h->bytes = bytes;
	pthread_mutex_init(&h->producers, NULL);
	ck_ring_init(&h->ring, slots);
	return h;
}

struct handoff *handoff_free(struct handoff *h)
{
	if (h) {
		pthread_mutex_destroy(&h->producers);
		munmap(h, h->bytes);
	}
	return NULL;
}

static bool decrement_unless_zero(_Atomic uint32_t *word)
{
	uint32_t n = atomic_load(word);

	while (n) {
		if (atomic_compare_exchange_weak(word, &n, n - 1))
			return true;
	}
	return false;
}

bool handoff_push(struct handoff *h, struct sluice_request *req)
{
	tsan_release(req);
	pthread_mutex_lock(&h->producers);
	tsan_ignore_begin();
	ck_ring_enqueue_spmc(&h->ring, h->slots, req);
	tsan_ignore_end();
	pthread_mutex_unlock(&h->producers);
	/* orders the push before the look at parked; pairs with the increment in handoff_park */
	atomic_thread_fence(memory_order_seq_cst);
	if (!decrement_unless_zero(&h->parked))
		return false;
	atomic_fetch_add(&h->claims, 1);
	futex_wake(&h->claims, 1);
	return true;
}

struct sluice_request *handoff_pop(struct handoff *h)
{
	void *req = NULL;
	bool got;

	tsan_ignore_begin();
	got = ck_ring_dequeue_spmc(&h->ring, h->slots, &req);
	tsan_ignore_end();
	if (!got)
		return NULL;
	tsan_acquire(req);
	return req;
}

/*
 * Leave the parked state. A claim goes first, whoever it was meant for: were it left behind and `parked` lowered instead, a worker that still sleeps
 * would be counted as one that was woken, and no push would wake it while the others find work. Returns whether there was one: then
 * some push counts on this worker.
 */
static bool handoff_unpark(struct handoff *h)
{
	for (;;) {
		if (decrement_unless_zero(&h->claims))
			return true;
		if (decrement_unless_zero(&h->parked))
			return false;
		sched_yield(); /* the claiming push is between its two steps */
	}
}

int handoff_park(struct handoff *h, int64_t timeout_ms)
{
	int r = 0;

	atomic_fetch_add(&h->parked,
			 1); /* full fence: published before the last look at the ring */
	while (r == 0 && !handoff_length(h) && !atomic_load(&h->closed)) {
		if (decrement_unless_zero(&h->claims))
			return 0;
		r = futex_wait(&h->claims, 0, timeout_ms);
	}
	return handoff_unpark(h) ? 0 : r;
}

void handoff_close(struct handoff *h)
{
	atomic_store(&h->closed, true);
	/* more claims than there can be workers: also one that is just about to sleep finds the word changed */
	atomic_fetch_add(&h->claims, 1u << 20);
	futex_wake(&h->claims, INT32_MAX);
}

unsigned handoff_length(struct handoff *h)
{
	unsigned n;

	tsan_ignore_begin();
	n = ck_ring_size(&h->ring);
	tsan_ignore_end();
	return n;
}
