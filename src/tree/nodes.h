/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a branch knows of its upper directory, in memory: one node for each entry of it (whiteouts and the directories above included), and the
 * identities that copied-up files keep showing.
 *
 * Model: a node is found by its parent's address and its name in one hash table, so moving a directory moves one node and not what lies below.
 * A directory without a node lies in the lower trees alone. Paths are relative and canonical; "" is the root, whose node always exists.
 *
 * Nothing here makes a system call or locks: the branch's lock guards it. Memory is taken before the upper directory is changed (node_new,
 * identities_reserve), so that what follows a change cannot fail.
 */
#ifndef SLUICE_TREE_NODES_H
#define SLUICE_TREE_NODES_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NODE_OPAQUE 1u	/* a directory that hides the lower ones of its name */
#define NODE_COUNTED 2u /* while scanning: what it hid is in the number of names */

struct node {
	struct node *hash_next;
	struct node *parent; /* NULL: the root, or not (or no longer) in the tree */
	struct node *child;
	struct node *next;
	struct node **pprev;
	uint64_t ino; /* in the upper directory's file system */
	uint32_t hash;
	uint16_t name_len;
	uint8_t type; /* DT_*; DT_WHT is a whiteout */
	uint8_t flags;
	char name[];
};

struct nodes {
	struct node *root;
	struct node **table;
	size_t n_buckets; /* a power of two */
	size_t n;
};

int nodes_init(struct nodes *t);
void nodes_fini(struct nodes *t);

/* A node outside the tree; NULL without memory. The name is copied. */
struct node *node_new(const char *name, size_t len);
/* One that is outside the tree; NULL is fine. */
void node_free(struct node *n);
void nodes_insert(struct nodes *t, struct node *parent, struct node *n);
/* Take it out, with all below it still attached. */
void nodes_detach(struct nodes *t, struct node *n);
/* Take it out and free it and all below it. */
void nodes_remove(struct nodes *t, struct node *n);
/* All that lies below @from lies below @to from now on. */
void nodes_adopt(struct nodes *t, struct node *from, struct node *to);
struct node *nodes_find(const struct nodes *t, const struct node *parent, const char *name,
			size_t len);

/* What a path is, as far as the upper directory decides. */
struct nodes_walk {
	struct node *node;   /* of the whole path, or NULL */
	struct node *parent; /* of the path without its last name, or NULL; of "": NULL */
	const char *name;    /* the last name, within the path */
	bool hidden;	     /* lower trees do not show through at this name */
	bool missing;	     /* something above is a whiteout or no directory */
};

void nodes_walk(const struct nodes *t, const char *path, struct nodes_walk *ret);
/* Do lower directories of this name show through in the directory @n? */
bool node_merges(const struct node *n);
/* The path of @n in @buf; its length, or -ENAMETOOLONG. */
int node_path(const struct node *n, char *buf, size_t size);
/* The node after @n, parents first; NULL at the end. From the root on these are all. */
struct node *nodes_next(struct node *n);

/* ---- identities: inode in the upper -> what is shown instead ---- */

struct identity_slot {
	uint64_t upper_ino; /* 0: empty */
	uint64_t ino;
	dev_t dev;
};

struct identities {
	struct identity_slot *slots;
	size_t n_slots; /* 0 or a power of two */
	size_t n;
};

void identities_fini(struct identities *t);
/* Room for @more entries. 0 or -ENOMEM. */
int identities_reserve(struct identities *t, size_t more);
/* Needs room that was reserved, or an entry of that inode. */
void identities_set(struct identities *t, uint64_t upper_ino, dev_t dev, uint64_t ino);
void identities_drop(struct identities *t, uint64_t upper_ino);
bool identities_get(const struct identities *t, uint64_t upper_ino, dev_t *dev, uint64_t *ino);

#endif
