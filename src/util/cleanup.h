/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Release at the end of a scope, for straight-line functions:
 *
 *	_cleanup_close_ int fd = open(...);
 *	...
 *	*ret = TAKE_FD(fd);
 *
 * errno is kept. A function uses these or a goto ladder, never both.
 */
#ifndef SLUICE_UTIL_CLEANUP_H
#define SLUICE_UTIL_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))

/* The value of @var, which is left empty: its owner is now somebody else. */
#define TAKE_PTR(var)                           \
	({                                      \
		__typeof__(var) taken_ = (var); \
		(var) = NULL;                   \
		taken_;                         \
	})
#define TAKE_FD(var)                \
	({                          \
		int taken_ = (var); \
		(var) = -1;         \
		taken_;             \
	})

static inline void cleanup_free(void *pointer_to_pointer)
{
	free(*(void **)pointer_to_pointer);
}

static inline void cleanup_close(const int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

#define _cleanup_free_ _cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)

#endif
