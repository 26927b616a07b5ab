/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The changes of a branch as a list, for those who look at it and those who carry it out.
 */
#ifndef SLUICE_TREE_DIFF_H
#define SLUICE_TREE_DIFF_H

#include "tree/branch_internal.h"

struct change_item {
	char *path;
	enum branch_change_kind kind; /* 0: a directory that only leads to changes */
	struct stat st;		      /* upper's, real; the lower one's for a deletion */
	ino_t lower_ino;	      /* of what is lower there; 0: nothing, or not looked at */
	bool opaque;		      /* a directory that hides a lower one */
	bool made;		      /* by the commit, in the lower tree */
	bool done;		      /* committed */
	mode_t lower_mode; /* of a directory of the lower tree that was given to its owner for the commit; 0: it was not */
};

/* One of the names of an upper file that has several. */
struct change_link {
	uint64_t ino;
	size_t item;
};

struct changes {
	struct change_item *items; /* parents first, siblings by byte order */
	size_t n, room;
	struct change_link *links; /* by inode */
	size_t n_links;
};

/* The caller holds the lock, and links_complete was called. Freed by changes_fini, also when it fails. */
int changes_collect_locked(struct branch *b, struct changes *ret);
void changes_fini(struct changes *c);
/* Where the names of upper file @ino begin in links, and how many there are: 0, it has but one. */
size_t changes_links(const struct changes *c, uint64_t ino, const struct change_link **ret);

#endif
