/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A root directory for tests of a tree of one's own: the test's program, a shell and some tools, with the libraries that they need; and directories beside it that
 * are mounted there or that must not be seen.
 *
 *	TOP/root	"/": /bin, libraries, /tmp (granted for writing), /etc/hello, /links (to what is outside, by every way)
 *	TOP/ro		/ro, read-only
 *	TOP/rw		/rw, writable
 *	TOP/as		/as, as granted: not for writing
 *	TOP/deep	/ro/deep, writable, on a mount; its mount point does not exist
 *	TOP/file	/etc/file, one file
 *	TOP/out		outside: nothing of it is ever seen
 */
#ifndef SLUICE_TESTS_SUPPORT_ROOT_H
#define SLUICE_TESTS_SUPPORT_ROOT_H

#include <stddef.h>

#include <sluice/sluice.h>

struct test_root {
	char top[4096];
};

/* Make all of it. The test fails when it can't be made. */
void root_make(struct test_root *r);
void root_remove(const struct test_root *r);
/* TOP/NAME, in one of a few buffers that are used in turn. */
const char *root_path(const struct test_root *r, const char *name);
/* As above: chroot, mounts, reading everywhere, writing in /tmp; what is written and mounted there is emptied. */
struct sluice_policy *root_policy(const struct test_root *r);
/* Run program @argv there; its exit code. */
int root_run(struct sluice_policy *p, const char *const argv[]);
/* The role of the test's own program (guest.h) there. */
int root_inside(struct sluice_policy *p, const char *role, const char *arg);

/* For roles: say what does not hold, and fail. */
#define ROOT_CHECK(holds)                                                                     \
	do {                                                                                  \
		if (!(holds)) {                                                               \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __func__, __LINE__, #holds, \
				errno);                                                       \
			return 1;                                                             \
		}                                                                             \
	} while (0)

#endif
