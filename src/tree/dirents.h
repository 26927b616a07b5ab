/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directory listings that are merged of several directories, for whoever answers getdents64 in a task's place.
 *
 * Model. Names are ordered by a keyed hash, and then by their bytes. The position of a name is its hash, 41 bits wide, so a position says where to go on whatever has been added or taken
 * away, and nothing has to be remembered for an open directory: the position lies in the task's own descriptor (lseek), and dup, fork, rewinddir, telldir and seekdir work by
 * themselves. Position 0 stands before ".", 1 before "..". The offset of an entry (d_off) is the position after it. Names of one hash (1 in 400 directories of 100,000 names has two
 * such) are given together; their offsets lead back to the first of them.
 *
 * Positions up to 2^41 can be set by lseek(2) on directories of ext4 (up to 2^63-1 with dir_index, else to the largest file: more than 2^42 with extents, less without), tmpfs and
 * overlayfs (any); the kernel keeps them and looks at them only in its own getdents, which nobody calls then. Measured on 6.18, and again by the test of this file. On proc and sysfs
 * 2^31 is too much already: nothing is merged there.
 *
 * A reading from position 0 sees the directories as they are; one that goes on may see them as they were when somebody read from 0 last, which is what
 * POSIX leaves open. So the last few listings are kept, by the identity of their directories, and used again from 0 while times and sizes of all of them are what they were, and older than
 * the clock's tick. A listing is at most so large as dirents_new was told: of a larger directory a part in order of positions is kept, and the next part is read when it is reached.
 *
 * Threads: any, at any time, except dirents_free. Nothing is locked while directories are read.
 */
#ifndef SLUICE_TREE_DIRENTS_H
#define SLUICE_TREE_DIRENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DIRENTS_LAYERS_MAX 17u
#define DIRENTS_POSITION_BITS 41

struct dirents;

/* A name that is there whatever the layers say: a mount point. */
struct dirents_extra {
	const char *name; /* borrowed */
	uint64_t ino;
	uint8_t type; /* DT_* */
};

/* What is listed; all of it borrowed for the call. */
struct dirents_source {
	/* topmost first; any descriptors of directories, none is moved. One that is opaque ends the list, 0:0 devices hide what is below. */
	const int *layers;
	size_t n_layers;
	const struct dirents_extra *extras; /* before all layers */
	size_t n_extras;
	uint64_t self_ino, parent_ino; /* of "." and ".." */
	/* the number that stat shows for the name; NULL: as it is */
	uint64_t (*shown_ino)(void *arg, size_t layer, uint64_t ino);
	/* Is the name a whiteout of the layer? Asked where the directory may not be searched; NULL: there is none. */
	bool (*hides)(void *arg, size_t layer, const char *name);
	void *arg;
	uint64_t
		version; /* of whatever else decides; a listing of another one is not used from 0 */
	bool old;	 /* the records of getdents(2), not getdents64(2) */
};

#define DIRENTS_LISTINGS 8u /* that are kept */
#define DIRENTS_BYTES (8u << 20)

/* One for each sandbox; it holds up to DIRENTS_LISTINGS of @listing_bytes (0: DIRENTS_BYTES). NULL without memory or random numbers. */
struct dirents *dirents_new(size_t listing_bytes);
/* Names are to be in an order that is the same in every run. Before anything is read. */
void dirents_set_order(struct dirents *d);
/* NULL is fine. Returns NULL. */
struct dirents *dirents_free(struct dirents *d);

/*
 * Records from *@position on into @buf. Returns their bytes and moves *@position behind them; 0 at the end; -EINVAL when not even one fits or the position is none,
 * or what opening and reading a layer gave.
 */
ssize_t dirents_read(struct dirents *d, const struct dirents_source *s, int64_t *position,
		     void *buf, size_t size);

#endif
