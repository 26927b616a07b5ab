/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which directories of a tree the kernel could not list, and their listings: those that a branch has changed, and those that hold a mount point whose name they lack.
 *
 * Their positions (dirents.h) are told from the kernel's by where they lie: a directory that was being read when it was first changed is read to its end by the kernel. Any
 * engine thread.
 */
#ifndef SLUICE_TREE_LIST_H
#define SLUICE_TREE_LIST_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct branch;
struct tree;

struct list_place {
	struct stat st;	       /* of the directory, as the tree shows it */
	struct branch *branch; /* NULL: it lies in none */
	char path[PATH_MAX];   /* in the branch */
};

/*
 * Is the directory behind @fd, to be read from position @pos, not the kernel's to list? Returns 1 and where it is, 0, or -ENOENT: it was removed.
 */
int list_differs(const struct tree *tr, int fd, int64_t pos, struct list_place *ret);
/*
 * Entries from *@pos on into @buf, as getdents64(2) has them, or (@old) as getdents(2) has. Returns the bytes, 0 at the end, or a negative errno (-EINVAL: not
 * even one fits), and moves *@pos.
 */
ssize_t list_read(const struct tree *tr, int fd, const struct list_place *p, int64_t *pos,
		  void *buf, size_t size, bool old);

#endif
