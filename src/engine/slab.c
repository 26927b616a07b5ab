/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slab: one mapping of REQUESTS_MAX requests, touched as far as it was ever used, and a free list.
 *
 * The list is a stack of indices whose head carries a count of its changes, so that a head that has come back is not taken for one that
 * never went (ABA). A ring would do as well but for one thing: an enqueue into a ring waits for an earlier one whose thread was preempted.
 *
 * A request keeps its generation over its lives, so that a ticket of an earlier life never claims a later one.
 */
#include <stddef.h>
#include <sys/mman.h>

#include "engine/request_internal.h"

struct slab {
	_Atomic uint64_t
		head; /* count of changes << 32 | index + 1 of the first free one, 0 none */
	_Atomic uint32_t used;
	_Atomic uint32_t next[REQUESTS_MAX]; /* index + 1 of the one after it, while free */
	struct sluice_request requests[REQUESTS_MAX];
};

struct slab *slab_new(void)
{
	struct slab *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return s == MAP_FAILED ? NULL : s;
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

static uint64_t head_of(uint64_t old, uint32_t first)
{
	return ((old >> 32) + 1) << 32 | first;
}

static struct sluice_request *slab_pop(struct slab *s)
{
	uint64_t head = atomic_load(&s->head);

	while ((uint32_t)head) {
		uint32_t first = (uint32_t)head;
		uint32_t next = atomic_load_explicit(&s->next[first - 1], memory_order_relaxed);

		if (atomic_compare_exchange_weak(&s->head, &head, head_of(head, next)))
			return &s->requests[first - 1];
	}
	return NULL;
}

struct sluice_request *slab_take(struct slab *s)
{
	struct sluice_request *req = slab_pop(s);

	if (!req)
		req = slab_take_fresh(s);
	if (!req)
		return NULL;
	atomic_store(&req->claim, request_ticket(req) + CLAIM_STEP);
	atomic_store_explicit(&req->refs, 1, memory_order_relaxed);
	return req;
}

void slab_give(struct slab *s, struct sluice_request *req)
{
	uint32_t index = slab_index(s, req);
	uint64_t head = atomic_load(&s->head);

	do
		atomic_store_explicit(&s->next[index], (uint32_t)head, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&s->head, &head, head_of(head, index + 1)));
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
