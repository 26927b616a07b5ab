/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which process a stopped thread belongs to, without opening anything.
 *
 * The kernel answers whether thread T is of process P (tgkill with signal 0), in one call and for this very moment. So what is kept is only a
 * guess, one word a thread, and each use of it is proved; a stale guess (the id was reused, or the thread became its process's first one by an
 * exec) fails the proof and is looked up anew. Nothing has to be dropped when a process goes, so there is nothing to reclaim, no descriptor is held, and
 * the cache is a fixed array. Most tasks are first threads, for which the guess is right without any entry.
 *
 * Any thread; entries are single atomic words, and a lost race costs one lookup.
 */
#ifndef SLUICE_TASK_IDENTITY_H
#define SLUICE_TASK_IDENTITY_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "task/task.h"

#define IDENTITY_SLOTS 256u

/* Zeroed is empty. */
struct identity_cache {
	_Atomic uint64_t slots[IDENTITY_SLOTS]; /* tid << 32 | process id */
};

/* Process id of @t, checked against its notification. -ESRCH: it is gone; -EACCES and others: it can't be looked up. */
pid_t identity_process(struct identity_cache *c, const struct task *t);

#endif
