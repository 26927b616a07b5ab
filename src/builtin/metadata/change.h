/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One change of a file's metadata, decoded from any of its spellings, and how it is made. Thread: a runner.
 */
#ifndef SLUICE_BUILTIN_METADATA_CHANGE_H
#define SLUICE_BUILTIN_METADATA_CHANGE_H

#include <linux/limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "engine/request.h"

struct tree;

enum change_kind {
	CHANGE_MODE,
	CHANGE_OWNER,
	CHANGE_TIMES,
	CHANGE_SET_XATTR,
	CHANGE_REMOVE_XATTR,
};

/* A private copy of what the call asks for, but for an attribute's value, which is read when it is set: nothing is decided by it. */
struct change {
	enum change_kind kind;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	struct timespec times[2];
	char name[XATTR_NAME_MAX + 1];
	uint64_t value, size;
	int flags;
	const struct tree *tree; /* of the command; NULL: the host's */
};

/* Which file is meant. */
struct change_target {
	bool by_fd; /* fd alone; else path from dirfd */
	int fd;
	const char *path;
	bool nofollow;
};

/* change_decode: there is nothing to set, and the kernel would look at no file. */
#define CHANGE_NOTHING 1

/*
 * Decode @req. Returns 0, CHANGE_NOTHING, or the negative errno that the call fails with: -EFAULT, -EINVAL, -ENOSYS ...
 */
int change_decode(struct sluice_request *req, struct change *ret, struct change_target *ret_target);
struct tree;
/* A descriptor (O_PATH, the caller's) of the target in @tree (NULL: the host's), or the negative errno. */
int change_open(struct sluice_request *req, const struct tree *tree,
		const struct change_target *target);
/* Make the change to the plan's first file: a request_act_fn. */
struct request_act change_make(struct sluice_request *req, const void *change);

/* The calls; -1 ends the list. */
extern const int change_calls[];
/* Does call @nr set times? */
bool change_sets_times(int nr);

#endif
