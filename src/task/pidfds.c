/* SPDX-License-Identifier: Apache-2.0 */
#include "task/pidfds.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "sys/pidfd.h"

static _Atomic uint64_t *slot_of(struct pidfd_cache *c, pid_t tid)
{
	return &c->slots[(uint32_t)tid % PIDFD_SLOTS];
}

static void drop(uint64_t word)
{
	if (word)
		close((int)(uint32_t)word - 1);
}

/* What is kept for @tid, which is the caller's now; -1. */
static int take(struct pidfd_cache *c, pid_t tid)
{
	uint64_t word = c ? atomic_exchange(slot_of(c, tid), 0) : 0;

	if (word && (pid_t)(word >> 32) == tid)
		return (int)(uint32_t)word - 1;
	drop(word);
	return -1;
}

/* Keep @pidfd (consumed) in place of what is there. */
static void put(struct pidfd_cache *c, pid_t tid, int pidfd)
{
	uint64_t word = (uint64_t)(uint32_t)tid << 32 | ((uint32_t)pidfd + 1);

	drop(c ? atomic_exchange(slot_of(c, tid), word) : word);
}

int pidfd_cache_get_fd(struct pidfd_cache *c, pid_t tid, int fd)
{
	int pidfd = take(c, tid);
	int got = pidfd < 0 ? -ESRCH : pidfd_get_fd(pidfd, fd);

	if (got == -ESRCH) {
		if (pidfd >= 0) /* of a thread that had the number before */
			close(pidfd);
		pidfd = pidfd_open_thread_only(tid);
		if (pidfd < 0)
			return pidfd;
		got = pidfd_get_fd(pidfd, fd);
	}
	put(c, tid, pidfd);
	return got;
}

void pidfd_cache_clear(struct pidfd_cache *c)
{
	for (size_t i = 0; i < PIDFD_SLOTS; i++)
		drop(atomic_exchange(&c->slots[i], 0));
}
