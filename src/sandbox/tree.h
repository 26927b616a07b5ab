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

#include <stdbool.h>

#include <sluice/error.h>

#include "tree/tree.h"

struct sluice_policy;

struct sandbox_tree {
	struct tree tree;
	char *exec_path;     /* of PRIVATE/exec */
	char *path;	     /* of PRIVATE */
	int dir, exec, skel; /* O_PATH descriptors; -1 */
};

bool policy_has_tree(const struct sluice_policy *p);
/* -ENOENT, -ENOTDIR ... with @err, which names what can't be used. */
int sandbox_tree_new(const struct sluice_policy *p, struct sandbox_tree **ret,
		     struct sluice_error *err);
struct sandbox_tree *sandbox_tree_free(struct sandbox_tree *t);

#endif
