/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox's tree of its own: the view that its policy asks for, and the private directory that it needs on disk.
 *
 *	PRIVATE/exec	the working directory that the kernel knows of every task, and what it executes in place of the tree's programs
 *	PRIVATE/skel	empty directories on the way to mount points
 *
 * Made by the thread that starts the sandbox, before anything is forked; removed when the sandbox is freed.
 */
#ifndef SLUICE_SANDBOX_TREE_H
#define SLUICE_SANDBOX_TREE_H

#include <limits.h>
#include <stdbool.h>

#include <sluice/error.h>

#include "tree/private.h"
#include "tree/tree.h"

struct sluice_policy;

struct sandbox_tree {
	struct tree tree;
	char *exec_path; /* of PRIVATE/exec */
	struct private_dir private;
	int dir, exec, skel;	/* O_PATH descriptors; -1 */
	struct sluice_cow *cow; /* owned; NULL: no copy-on-write, or taken */
	bool cow_was_there;	/* it is from an earlier sandbox */
	int start; /* O_PATH descriptor of the directory where the command starts, in the view */
	int branch_dir; /* O_PATH descriptor of its directory; -1 */
};

/* Where branches are kept, NUL-terminated: @storage, or (NULL) the user's own place, which is made. */
int storage_path(const char *storage, char buf[PATH_MAX], struct sluice_error *err);
/* @name: of the sandbox, by which a branch is called. -ENOENT, -ENOTDIR ... with @err, which names what can't be used. */
int sandbox_tree_new(const struct sluice_policy *p, const char *name, struct sandbox_tree **ret,
		     struct sluice_error *err);
/* A branch that nobody has taken is removed, if it was made for this sandbox. */
struct sandbox_tree *sandbox_tree_free(struct sandbox_tree *t);

#endif
