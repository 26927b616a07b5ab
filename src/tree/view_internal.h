/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a view consists of: made by view_make.c, read by view.c.
 */
#ifndef SLUICE_TREE_VIEW_INTERNAL_H
#define SLUICE_TREE_VIEW_INTERNAL_H

#include "tree/view.h"

/* A directory on the way to a mount point. */
struct above {
	dev_t dev;
	ino_t ino;
};

struct view {
	struct view_mount *mounts; /* [0] is the root */
	size_t n;
	struct above *above;
	size_t n_above;
	int skeleton; /* borrowed, while it is made */
	bool has_branches, has_missing;
	unsigned n_skeletons;
};

/* Is @path at or below @top? Then its length, else 0; "/" counts as 1. */
size_t view_prefix(const char *path, const char *top);

#endif
