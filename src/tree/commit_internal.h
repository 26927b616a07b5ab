/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a commit, for the files commit*.c alone. All is called with the branch locked for writing. What returns int: 0 or -errno, where nothing else is said.
 */
#ifndef SLUICE_TREE_COMMIT_INTERNAL_H
#define SLUICE_TREE_COMMIT_INTERNAL_H

#include "tree/change.h"
#include "tree/diff.h"
#include "tree/life.h"

/* Where one name is, or is to be. */
struct places {
	int upper, lower; /* O_PATH, parents */
	const char *name;
};

/* What the lower tree had at a path when it was changed first. */
struct cover {
	char *path;
	struct covered was;
	size_t order;
};

struct commit {
	struct branch *b;
	struct changes changes;
	struct cover *covers; /* by path, then order */
	size_t n_covers, room_covers;
	bool no_memory;
	bool resumed; /* an earlier commit did not come to its end */
	/* parents of the file that was committed last: many lie side by side */
	struct places last;
	char *last_dir;	      /* their path; NULL: none */
	const char *replaced; /* the directory that was made anew last, with all below it */
	unsigned kept;
	branch_commit_fn fn;
	void *arg;
};

/* ---- commit_cover.c: what was covered, and whether it still is there ---- */

/* A covered_fn: one record of the log. */
void cover_add(void *commit, const char *path, const struct covered *was);
/* After the last cover_add. -ENOMEM: some are missing. */
int cover_ready(struct commit *c);
void cover_fini(struct commit *c);
/* The record that a commit leaves before it makes a directory anew, so that the next one does not take its work for somebody else's. */
int cover_replace(struct commit *c, const char *path);
/* Has this commit made a directory above @path anew? */
bool is_replaced(const struct commit *c, const char *path);
/* Has somebody else changed what the lower tree has there? */
bool is_conflict(const struct commit *c, const struct change_item *i, const struct lower_hit *hit);
/* Did an earlier commit copy it to another file system, and was killed before it could take it out of the branch? A copy has the times too. */
bool is_copied(const struct commit *c, const struct change_item *i, const struct lower_hit *hit);

/* ---- commit_places.c: names in both trees ---- */

#define TEMPORARY_BYTES 40

int places_open(struct commit *c, const char *path, struct places *p);
void places_close(struct places *p);
/* As places_open; they are closed by forget_places, before any directory is made, moved or taken away. */
int places_of_file(struct commit *c, const char *path, struct places *ret);
void forget_places(struct commit *c);
/* @path is in the branch no more. */
void forget(struct commit *c, const char *path);
/* Of a file beside @name of the lower tree: always the same one, so that a later commit finds what one that was killed has left, and another branch's is another. */
void temporary_name(const struct branch *b, const char *name, char buf[TEMPORARY_BYTES]);
/* What is at @p in the lower tree goes. A directory goes in one step where work/ is on its file system. */
int remove_lower(struct commit *c, const struct places *p, const struct stat *st);
/* Of the tree that is committed to, not of a deeper one. */
bool is_topmost_dir(const struct lower_hit *hit);

/* ---- commit_file.c, commit_dir.c: one step each ---- */

int commit_deletion(struct commit *c, const struct change_item *i);
int commit_file(struct commit *c, const struct change_item *i, struct lower_hit *hit);
/* Of what is_copied. */
int drop_copied(struct commit *c, const struct change_item *i);
/* Afterwards the topmost lower directory is there, and the upper one merges with it. */
int commit_dir(struct commit *c, struct change_item *i, struct lower_hit *hit);
/* All in it is committed: the lower one gets its attributes and its times, and it is removed. */
int finish_dir(struct commit *c, const struct change_item *i);

#endif
