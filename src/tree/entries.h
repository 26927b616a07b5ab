/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listings that the kernel could not give: of directories that a branch has changed, and of those that hold a mount point whose name they lack.
 *
 * Entries have an order of their own, by a hash of the name, and a position in it is a number that means the same whatever else comes and goes. So the
 * position can live where it always does, in the open file (lseek works on the directories of all file systems that a branch can be on), and dup,
 * fork, rewinddir and seekdir need nothing from us. Our positions are told from the kernel's: a directory that was being read when it was first changed is read
 * to its end by the kernel.
 *
 * A listing is made when a directory is read from its start, and kept for the next calls; the last few are. Any engine thread.
 */
#ifndef SLUICE_TREE_ENTRIES_H
#define SLUICE_TREE_ENTRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct entries;
struct entries_cache;
struct tree;

struct entries_cache *entries_cache_new(void);
struct entries_cache *entries_cache_free(struct entries_cache *c);

/*
 * The listing of the directory behind @fd (open for reading), to be read from position @pos. Returns 1 and a reference, or 0: the kernel's own is right, or
 * -ENOENT: the directory was removed; -ENOMEM ...
 */
int entries_get(const struct tree *tr, int fd, int64_t pos, struct entries **ret);
void entries_unref(struct entries *e);

/*
 * Entries from @pos on into @buf, as getdents64(2) has them, or (@old) as getdents(2) has. Returns the bytes, 0 at the end, -EINVAL when not even one fits;
 * *ret_pos is where to go on.
 */
ssize_t entries_read(const struct entries *e, int64_t pos, void *buf, size_t size, bool old,
		     int64_t *ret_pos);

#endif
