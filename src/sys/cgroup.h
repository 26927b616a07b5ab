/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups of cgroup v2 below the one that this process is in. Any thread outside of a Landlock domain.
 */
#ifndef SLUICE_SYS_CGROUP_H
#define SLUICE_SYS_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CGROUP_PATH_BYTES 512

/* A group of ours. */
struct cgroup {
	int parent, dir; /* descriptors; -1: there is none */
	char name[40];	 /* in parent */
};
#define CGROUP_NONE                     \
	{                               \
		.parent = -1, .dir = -1 \
	}

/* The directory of this process's group, or the one above where cgroup_make has moved it down. False: the unified hierarchy is not mounted. */
bool cgroup_own(char *ret, size_t size);
/*
 * Make an empty group below @own (cgroup_own) in which @controller counts. What groups that are gone have left there is removed first. -EOPNOTSUPP: @controller does not get as far as @own; -EPERM: @own
 * is not handed over to this user (systemd's Delegate=); -EBUSY: other processes are in @own, and a group with processes hands down nothing. Where this process is the only one
 * there, it moves to a group "sluice-supervisor" below. Else -errno.
 */
int cgroup_make(struct cgroup *c, const char *own, const char *controller);
/* Removed as well, which fails in silence while somebody is in it: the next cgroup_make of this user removes it. */
void cgroup_drop(struct cgroup *c);
/* Write @value to its file @file. 0 or -errno. */
int cgroup_set(const struct cgroup *c, const char *file, const char *value);
/* Its file @file; a descriptor for cgroup_number, any thread. -errno. */
int cgroup_open(const struct cgroup *c, const char *file, int flags);
/* The number that @file says, or the line of it that begins with @key (NULL: there is but one); 0 where there is none. */
uint64_t cgroup_number(int file, const char *key);

#endif
