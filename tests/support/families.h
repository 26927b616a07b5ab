/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One act of each family of calls that take a path, by raw system calls: what tests of ways out of a tree, or into what is denied there, try one after the other.
 */
#ifndef SLUICE_TESTS_SUPPORT_FAMILIES_H
#define SLUICE_TESTS_SUPPORT_FAMILIES_H

#include <limits.h>
#include <stdbool.h>

/* What an act is done with: in @dir, `secret` is a file that is there, `new` is not, `link` is a symbolic link; @dirfd for calls that take a descriptor. */
struct family_target {
	int dirfd;
	char dir[PATH_MAX], file[PATH_MAX], new[PATH_MAX], link[PATH_MAX];
};

/* What an act names, as bits. */
enum family_use {
	FAMILY_USES_FILE = 1,
	FAMILY_USES_DIR = 2,
	FAMILY_USES_NEW = 4,
	FAMILY_USES_LINK = 8,
	FAMILY_TAKES_DIRFD = 16, /* else paths are meant from where the task is */
};

extern const unsigned family_count;
const char *family_name(unsigned family);
unsigned family_uses(unsigned family);
void family_fill(struct family_target *t, int dirfd, const char *dir);
/*
 * -1 and errno, a new descriptor, or less than 3; an act that makes something takes it back. Not every kernel and file system knows all of them: EOPNOTSUPP, ENOSYS.
 */
long family_attempt(unsigned family, const struct family_target *t);
/* The same, and closes what was opened. 0 or errno. */
int family_try(unsigned family, const struct family_target *t);
/* Does a kernel or file system without the call say so? */
bool family_is_unknown(int error);

#endif
