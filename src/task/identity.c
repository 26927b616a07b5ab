/* SPDX-License-Identifier: Apache-2.0 */
#include "task/identity.h"

#include <errno.h>

#include "sys/pidfd.h"

static _Atomic uint64_t *slot_of(struct identity_cache *c, pid_t tid)
{
	return &c->slots[(uint32_t)tid % IDENTITY_SLOTS];
}

/* The process id that was found for @tid last; its own id where nothing is known. */
static pid_t guess(struct identity_cache *c, pid_t tid)
{
	uint64_t word = atomic_load_explicit(slot_of(c, tid), memory_order_relaxed);

	return (pid_t)(word >> 32) == tid ? (pid_t)(uint32_t)word : tid;
}

pid_t identity_process(struct identity_cache *c, const struct task *t)
{
	pid_t process = guess(c, t->tid);

	if (thread_is_of(t->tid, process))
		return task_check(t) < 0 ? -ESRCH : process;
	process = task_lookup_process(t);
	if (process > 0)
		atomic_store_explicit(slot_of(c, t->tid),
				      (uint64_t)(uint32_t)t->tid << 32 | (uint32_t)process,
				      memory_order_relaxed);
	return process;
}
