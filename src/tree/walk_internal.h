/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the ways of a walk: walk_quick.c, in a view, and walk_host.c, in the host's own tree, let the kernel do it in one call where that comes to the same;
 * walk.c goes by components.
 */
#ifndef SLUICE_TREE_WALK_INTERNAL_H
#define SLUICE_TREE_WALK_INTERNAL_H

#include "tree/walk.h"

int walk_open_path(int dirfd, const char *path, uint64_t flags, uint64_t resolve);
int walk_dup(int fd);
/* @path, at most PATH_MAX with its NUL, goes on with @name. */
int walk_append(char path[PATH_MAX], const char *name);
/* No file system of a real device is. */
bool walk_may_be_on_procfs(int fd, const struct stat *st);
/* The directory that the task starts a relative path from. */
int walk_base(const struct task *t, const struct walk_from *from);

/* Both return 1 and the end, 0: not this way, or the negative errno that the call fails with. The first is for a view. */
int walk_quickly(const struct task *t, const struct walk_from *from, struct walk_end *end);
int walk_on_host(const struct task *t, const struct walk_from *from, struct walk_end *end);

#endif
