/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What denials consist of: made by denial_make.c, read by denial.c.
 */
#ifndef SLUICE_TREE_DENIAL_INTERNAL_H
#define SLUICE_TREE_DENIAL_INTERNAL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "tree/denial.h"

struct denial {
	char *at;	  /* virtual path when it was made, without links on the way */
	const char *name; /* the last one of it */
	int fd; /* O_PATH descriptor, which keeps the inode's number from being used again; -1: nothing was there */
	dev_t dev; /* identity of fd */
	ino_t ino;
	bool directory;
	int in_fd; /* O_PATH descriptor of the directory that holds it; -1: that was not there */
	dev_t in_dev;
	ino_t in_ino;
	bool mounted; /* it is the root of a mount of the view: the directory need not have an entry of the name */
};

#define DENIAL_CLEAN 1024u

struct denials {
	struct denial *list;
	size_t n;
	uint64_t names; /* a bit for each name's hash */
	bool has_directories;
	bool has_missing; /* some were not there */
	/*
	 * Files that were found to have a place at or below no denial, by device and number, 32 bits each; 0: none. They stay so, whatever a task does: it moves nothing there, and a number that is used
	 * again is that of a file which it has no descriptor of. Relaxed: each is a fact of its own.
	 */
	_Atomic uint64_t clean[DENIAL_CLEAN];
	bool folded; /* a denied directory has other spellings of its name: names say nothing */
};

/* The bit of a name of @n bytes. */
uint64_t denial_name_bit(const char *name, size_t n);
/* As denial_above, for what lies above alone, by the directories; @all: up to the host's root, whatever is mounted on the way. */
const char *denial_on_the_way_up(const struct view *v, int fd, bool all);

#endif
