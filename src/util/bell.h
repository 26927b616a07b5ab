/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An eventfd that wakes a thread.
 */
#ifndef SLUICE_UTIL_BELL_H
#define SLUICE_UTIL_BELL_H

#include <stdint.h>
#include <unistd.h>

/* @fd: non-blocking. */
static inline void bell_ring(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		return; /* it has been rung already */
}

#endif
