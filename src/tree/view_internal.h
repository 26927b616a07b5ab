/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a view consists of: made by view_make.c, read by view.c.
 */
#ifndef SLUICE_TREE_VIEW_INTERNAL_H
#define SLUICE_TREE_VIEW_INTERNAL_H

#include <stdatomic.h>

#include "tree/view.h"

/* A directory that is known: on the way to a mount point, or the top of a part of a branch. */
struct above {
	dev_t dev;
	ino_t ino;
};

/* What becomes of directories above mount points. Any thread. */
struct view_moves {
	_Atomic unsigned
		renamed; /* by the command; counted before it is done. Relaxed: who was told of a rename comes after it */
	_Atomic bool elsewhere;	    /* one was found in another place than it was in */
	_Atomic uint64_t looked_ns; /* when that was last looked for */
};

struct view {
	struct view_mount *mounts; /* [0] is the root */
	size_t n;
	struct view_moves *moves;
	struct above *above;
	size_t n_above;
	struct above *tops; /* of the branches: upper directory, index, further lower trees */
	size_t n_tops;
	struct denials *denials; /* NULL: none */
	int links;		 /* fd_links_open */
	int skeleton;		 /* borrowed, while it is made */
	bool has_branches, has_missing;
	unsigned n_skeletons;
};

/* Is @path at or below @top? Then its length, else 0; "/" counts as 1. */
size_t view_prefix(const char *path, const char *top);

#endif
