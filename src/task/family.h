/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which arguments of a call are paths: every spelling of every path call, in one table.
 *
 * Pure data; any thread.
 */
#ifndef SLUICE_TASK_FAMILY_H
#define SLUICE_TASK_FAMILY_H

#include <stdint.h>

enum family {
	FAMILY_NONE = 0,
	FAMILY_OPEN,
	FAMILY_STAT,
	FAMILY_ACCESS,
	FAMILY_CHMOD,
	FAMILY_CHOWN,
	FAMILY_RENAME,
	FAMILY_LINK,
	FAMILY_SYMLINK,
	FAMILY_MKNOD,
	FAMILY_MKDIR,
	FAMILY_UNLINK,
	FAMILY_READLINK,
	FAMILY_UTIME,
	FAMILY_XATTR,
	FAMILY_TRUNCATE,
	FAMILY_CHDIR,
	FAMILY_STATFS,
	FAMILY_WATCH,
	FAMILY_EXEC,
	FAMILY_SOCKADDR,
	FAMILY_OTHER,
};

/* Argument positions; -1: none. A path without a dirfd argument is relative to the working directory. */
struct family_call {
	int16_t nr;
	uint8_t family;
	int8_t dirfd, path;
	int8_t dirfd2, path2;
	int8_t no_path; /* flags: with AT_EMPTY_PATH in them `path` may be NULL; 0: it may not */
};

/* The entry of @nr or NULL. */
const struct family_call *family_of(int nr);

#endif
