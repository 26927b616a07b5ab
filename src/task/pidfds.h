/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pidfds of threads that were looked at lately, so that their descriptors can be got without a way through /proc.
 *
 * A pidfd of a thread names that thread for ever, and its number as long as it lives: no other thread has it meanwhile. So what is kept needs no proof of
 * its own. One of a thread that has gone says ESRCH, and is then opened anew. It is of the thread and not of its process (Linux 6.9), because the two may have
 * different tables of descriptors; older kernels get none.
 *
 * Who uses a pidfd takes it out of its slot and puts it back afterwards, so nobody closes one that is in use. Any thread; no lock. At most PIDFD_SLOTS
 * descriptors are kept, and none once pidfd_cache_clear was called when nothing is on its way.
 */
#ifndef SLUICE_TASK_PIDFDS_H
#define SLUICE_TASK_PIDFDS_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#define PIDFD_SLOTS 16u

/* Zeroed is empty. */
struct pidfd_cache {
	_Atomic uint64_t slots[PIDFD_SLOTS]; /* thread id << 32 | pidfd + 1 */
};

/*
 * A duplicate (CLOEXEC, the caller's) of descriptor @fd of thread @tid, which must be stopped. @c may be NULL. -EBADF: it has none; -EINVAL: the kernel is too
 * old; -ESRCH, -EPERM and others: not to be had.
 */
int pidfd_cache_get_fd(struct pidfd_cache *c, pid_t tid, int fd);
void pidfd_cache_clear(struct pidfd_cache *c);

#endif
