/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group of cgroup v2 in which the kernel bounds a sandbox's memory, where this user may have one. Else memory_limit.h bounds it.
 */
#ifndef SLUICE_SANDBOX_MEMORY_GROUP_H
#define SLUICE_SANDBOX_MEMORY_GROUP_H

#include <stdint.h>

struct memory_group;
struct sluice_policy;

/* For the limit of @p. NULL: none is to be had, or the command could write there. Thread: that of the caller, as memory_group_free. */
struct memory_group *memory_group_new(const struct sluice_policy *p);
struct memory_group *memory_group_free(struct memory_group *g);
/* Who writes "0" there is in it, and all that it starts. Borrowed; -1 without a group. */
int memory_group_entrance(const struct memory_group *g);
/* Bytes that the kernel could not take back, and most that there were, with those that it could. Any thread. */
uint64_t memory_group_used(const struct memory_group *g);
uint64_t memory_group_peak(const struct memory_group *g);
/* Processes that the kernel has killed for it. */
uint64_t memory_group_kills(const struct memory_group *g);

#endif
