/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sandbox/memory_group.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/policy.h"
#include "sys/cgroup.h"
#include "sys/fd.h"
#include "util/path.h"

/* The control thread is in a domain that could not open them. */
enum group_file {
	GROUP_PROCS,
	GROUP_CURRENT,
	GROUP_PEAK,
	GROUP_STAT,
	GROUP_EVENTS,
	GROUP_FILES
};
static const char *const names[GROUP_FILES] = { "cgroup.procs", "memory.current", "memory.peak",
						"memory.stat", "memory.events" };

struct memory_group {
	struct cgroup group;
	int files[GROUP_FILES];
};

/* What was swapped out counts as memory where memory is sampled, so here there is none of it. */
static int bound(struct memory_group *g, uint64_t bytes)
{
	char text[24];
	int r;

	snprintf(text, sizeof(text), "%" PRIu64, bytes);
	r = cgroup_set(&g->group, "memory.max", text);
	if (r == 0)
		cgroup_set(&g->group, "memory.swap.max", "0"); /* not there without swap */
	for (int i = 0; r == 0 && i < GROUP_FILES; i++) {
		g->files[i] = fd_above_stdio(
			cgroup_open(&g->group, names[i], i == GROUP_PROCS ? O_WRONLY : O_RDONLY));
		if (g->files[i] < 0)
			r = g->files[i];
	}
	return r;
}

/* Is one of @path and the hierarchy in the other, on the host or, taken as text, in a root of the command's own? */
static bool meets_groups(const char *path)
{
	static const char groups[] = "/sys/fs/cgroup";

	return path_is_within(groups, path) || path_is_within(path, groups);
}

static bool leads_to_groups(const char *path, bool not_root)
{
	char real[PATH_MAX];

	if (!realpath(path, real))
		return meets_groups(path);
	if (not_root && !strcmp(real, "/"))
		return false;
	return meets_groups(path) || meets_groups(real);
}

/* Who may write there leaves its group, or raises the limit. */
static bool is_in_reach(const struct sluice_policy *p)
{
	for (size_t i = 0; i < p->n_grants; i++) {
		if (p->grants[i].access == POLICY_WRITE &&
		    leads_to_groups(p->grants[i].path, p->grants[i].not_root))
			return true;
	}
	for (size_t i = 0; i < p->n_mounts; i++) {
		if (p->mounts[i].mode != SLUICE_MOUNT_READ_ONLY &&
		    leads_to_groups(p->mounts[i].host, false))
			return true;
	}
	return false;
}

struct memory_group *memory_group_new(const struct sluice_policy *p)
{
	struct memory_group *g = is_in_reach(p) ? NULL : malloc(sizeof(*g));
	char own[CGROUP_PATH_BYTES];

	if (!g)
		return NULL;
	g->group = (struct cgroup)CGROUP_NONE;
	for (int i = 0; i < GROUP_FILES; i++)
		g->files[i] = -1;
	if (cgroup_own(own, sizeof(own)) && cgroup_make(&g->group, own, "memory") == 0 &&
	    bound(g, p->max_memory) == 0)
		return g;
	return memory_group_free(g);
}

struct memory_group *memory_group_free(struct memory_group *g)
{
	if (!g)
		return NULL;
	for (int i = 0; i < GROUP_FILES; i++) {
		if (g->files[i] >= 0)
			close(g->files[i]);
	}
	cgroup_drop(&g->group);
	free(g);
	return NULL;
}

int memory_group_entrance(const struct memory_group *g)
{
	return g ? g->files[GROUP_PROCS] : -1;
}

uint64_t memory_group_used(const struct memory_group *g)
{
	uint64_t all = cgroup_number(g->files[GROUP_CURRENT], NULL);
	uint64_t file = cgroup_number(g->files[GROUP_STAT], "file");
	uint64_t shared = cgroup_number(g->files[GROUP_STAT], "shmem");
	uint64_t cached = file > shared ? file - shared : 0;

	return all > cached ? all - cached : 0;
}

uint64_t memory_group_peak(const struct memory_group *g)
{
	return cgroup_number(g->files[GROUP_PEAK], NULL);
}

uint64_t memory_group_kills(const struct memory_group *g)
{
	return cgroup_number(g->files[GROUP_EVENTS], "oom_kill");
}
