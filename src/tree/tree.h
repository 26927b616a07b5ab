/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sandbox with a tree of its own keeps: its view and the working directories in it. Shared by the built-ins that work on files.
 * The pointers are constant while the sandbox runs; any engine thread.
 */
#ifndef SLUICE_TREE_TREE_H
#define SLUICE_TREE_TREE_H

#include "tree/cwd.h"
#include "tree/view.h"
#include "tree/walk.h"

struct tree {
	struct view *view;
	struct cwd_table *cwds;
	int start; /* O_PATH descriptor of the directory where the command starts, and which relative grants start from */
	walk_exe_fn exe_of;
	const char *private_path; /* the working directory that the kernel knows of every task */
	bool proc_granted,
		proc_writable; /* the policy lets the command read procfs, and write there */
};

/* @path from the task's @dirfd (AT_FDCWD: its virtual working directory); @flags as for walk. */
int tree_walk(const struct tree *tr, const struct task *t, int dirfd, const char *path,
	      uint32_t flags, uint64_t resolve, struct walk_end *ret);
/* The policy's @path, looked up in the tree before anything runs there. */
int tree_walk_grant(const struct tree *tr, const char *path, struct walk_end *ret);
/* Is what is at the end (or would be) on a mount that may not be changed, or in no mount at all? */
bool tree_is_read_only(const struct tree *tr, const struct walk_end *end);

#endif
