/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quota: bytes of the upper directory, counted as they are added and taken away, by blocks.
 *
 * What is written through a descriptor after the open is not seen as it happens. Files that were opened for writing are measured again when something asks for
 * room (branch_measure), so such writes can pass the quota until the next operation that needs room, and by no more than was written in between.
 */
#define _GNU_SOURCE
#include <errno.h>

#include "tree/branch_internal.h"

int room_take(struct branch *b, uint64_t more)
{
	uint64_t used = atomic_load_explicit(&b->used_bytes, memory_order_relaxed);

	do {
		if (b->max_bytes && (used >= b->max_bytes || more > b->max_bytes - used))
			return -ENOSPC;
	} while (!atomic_compare_exchange_weak_explicit(
		&b->used_bytes, &used, used + more, memory_order_relaxed, memory_order_relaxed));
	return 0;
}

void room_give(struct branch *b, uint64_t bytes)
{
	uint64_t used = atomic_load_explicit(&b->used_bytes, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(&b->used_bytes, &used,
						      used > bytes ? used - bytes : 0,
						      memory_order_relaxed, memory_order_relaxed))
		;
}
