/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slab: one mapping of REQUESTS_MAX requests, touched as far as it was ever used, and a free list in a Concurrency Kit ring.
 *
 * A request keeps its generation over its lives, so that a ticket of an earlier life never claims a later one.
 */
#include <ck_ring.h>
#include <stddef.h>
#include <sys/mman.h>

#include "engine/request_internal.h"
#include "sys/tsan.h"

struct slab {
	ck_ring_t ring;
	_Atomic uint32_t used;
	ck_ring_buffer_t slots[REQUESTS_MAX * 2]; /* a ring of n slots holds n - 1 */
	struct sluice_request requests[REQUESTS_MAX];
};

struct slab *slab_new(void)
{
	struct slab *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (s == MAP_FAILED)
		return NULL;
	ck_ring_init(&s->ring, REQUESTS_MAX * 2);
	return s;
}

struct slab *slab_free(struct slab *s)
{
	if (s)
		munmap(s, sizeof(*s));
	return NULL;
}

static struct sluice_request *slab_take_fresh(struct slab *s)
{
	uint32_t used = atomic_load(&s->used);

	while (used < REQUESTS_MAX) {
		if (atomic_compare_exchange_weak(&s->used, &used, used + 1))
			return &s->requests[used];
	}
	return NULL;
}

struct sluice_request *slab_take(struct slab *s)
{
	struct sluice_request *req;
	void *free_req = NULL;
	bool got;

	tsan_ignore_begin();
	got = ck_ring_dequeue_mpmc(&s->ring, s->slots, &free_req);
	tsan_ignore_end();
	req = got ? free_req : slab_take_fresh(s);
	if (!req)
		return NULL;
	tsan_acquire(req);
	atomic_store(&req->claim, request_ticket(req) + CLAIM_STEP);
	atomic_store_explicit(&req->refs, 1, memory_order_relaxed);
	return req;
}

void slab_give(struct slab *s, struct sluice_request *req)
{
	tsan_release(req);
	tsan_ignore_begin();
	ck_ring_enqueue_mpmc(&s->ring, s->slots, req);
	tsan_ignore_end();
}

uint32_t slab_used(const struct slab *s)
{
	return atomic_load(&s->used);
}

struct sluice_request *slab_at(struct slab *s, uint32_t index)
{
	return &s->requests[index];
}

uint32_t slab_index(const struct slab *s, const struct sluice_request *req)
{
	return (uint32_t)(req - s->requests);
}
