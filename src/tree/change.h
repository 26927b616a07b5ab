/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps that changes of names share: what is at a path, whether its directory may be written, that directory in upper/, and a place in work/ where
 * something new is made when a whiteout holds the name. All under the branch's lock for writing.
 */
#ifndef SLUICE_TREE_CHANGE_H
#define SLUICE_TREE_CHANGE_H

#include "tree/branch_internal.h"

struct target {
	struct merged v;
	const char *path;
	const char *name; /* the last one */
	int dir;	  /* O_PATH, the parent in upper/; maybe -1 before target_ready */
	struct node *parent;
	struct stat dir_st;
	struct node *spare; /* for what is going to be there */
};

/* What is at @path and in which directory. Nothing is changed. target_end afterwards, also when it fails. */
int target_begin_locked(struct branch *b, const char *path, struct target *t);
/* The same where something must be: -ENOENT. */
int target_existing_locked(struct branch *b, const char *path, struct target *t);
/* May names of the parent be changed by this thread, and that of what is there be taken away? */
int target_may_change_locked(struct branch *b, struct target *t);
/* The parent is in upper/ and open, and memory for a node is there. */
int target_ready_locked(struct branch *b, struct target *t);
void target_end(struct target *t);

/* Put the whiteout there in the place of a file, or of nothing. */
int put_whiteout_locked(struct branch *b, struct target *t);
/* Take an upper directory that shows as empty out of the way: it becomes a whiteout, or an opaque empty directory. */
int replace_dir_locked(struct branch *b, struct target *t, bool by_whiteout);
/* -ENOTEMPTY when the merged directory shows something. */
int check_empty_locked(struct branch *b, struct target *t);

/* Make @fn's file at the target, which shows nothing; the node follows. */
int create_locked(struct branch *b, struct target *t, branch_make_fn fn, void *arg);

/* What is at the target from now on, in the tree of nodes. */
struct node *set_node_locked(struct branch *b, struct target *t, uint8_t type, uint8_t flags,
			     uint64_t ino);
/* covered.log must know of a lower file before it is hidden. */
int record_hidden(struct branch *b, const struct target *t);

void branch_changed(struct branch *b);
/* Has the calling thread this capability (CAP_FOWNER ...)? */
bool has_capability(unsigned capability);

#endif
