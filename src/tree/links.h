/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lower files with several names stay one file.
 *
 * Model, as overlayfs has it with index=on: the first name that is copied up leaves a hard link of the copy in work/index/, named by the lower file's handle. A name that still lies in a
 * lower tree then shows that copy. It gets a name of its own in upper/ (is linked up) when it is moved or linked; writing and changing attributes needs none. How many names are shown is
 * the copy's own number of links and a difference, kept in user.overlay.nlink: "U<n>" to the upper inode's number, "L<n>" to the lower one's. Before
 * a link is made or taken away it is in the first form, before a name is linked up in the second, so that a crash between leaves the right number.
 *
 * Taking away a name of a lower file that was not copied up copies nothing (overlayfs does): its other names go on showing the lower number until one of them is.
 *
 * A group is open while lower names may exist that were not linked up; then no path is known to be unchanged. Names in the same directory are looked for at once, others by
 * links_complete. Names outside of the lower trees keep the lower content for good.
 *
 * Only regular files: others have no attributes to keep the number in, and the kernel mounts no index (index=on) that names one without its origin. All under the branch's lock for writing but where it says otherwise.
 */
#ifndef SLUICE_TREE_LINKS_H
#define SLUICE_TREE_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct branch;

struct link_group {
	struct link_group *next;
	dev_t dev; /* of the lower file */
	uint64_t ino;
	nlink_t lower_nlink;
	uint64_t upper_ino; /* 0: nothing was copied, and `hidden` is all that is known */
	int diff;	    /* names shown - links of the upper inode */
	char form;	    /* of what is stored: 'U', 'L', or 0 when it is not what it should be */
	unsigned hidden;    /* names that were taken away before there was a copy */
	bool complete;	    /* no lower name shows it any more */
	char *name;	    /* in the index */
};

struct links {
	struct link_group **table;
	size_t n_buckets, n;
	size_t n_open;
};

void links_fini(struct links *l);
/* The copy of a lower file, or NULL. With the lock for reading. */
struct link_group *links_of_lower(const struct branch *b, const struct stat *lower);
/* What an upper inode is the copy of, or NULL. With the lock for reading. */
struct link_group *links_of_upper(const struct branch *b, uint64_t upper_ino);
/* The copy itself, real. With the lock for reading. */
int links_stat(const struct branch *b, const struct link_group *g, struct stat *ret);
int links_open(const struct branch *b, const struct link_group *g);

/* A copy that was just made (@fd; "work/@name") of a lower file of several names becomes a group. NULL and an error, or the group. */
int links_begin(struct branch *b, const char *name, int fd, int lower, const struct stat *st,
		struct link_group **ret);
/* It came to nothing. NULL is fine. */
void links_cancel(struct branch *b, struct link_group *g);
/* Its first name is in place. */
void links_placed(struct branch *b, struct link_group *g, const char *path);
/* Link the lower name @path up where it is still one that shows a group's copy. */
int links_up(struct branch *b, const char *path);

/* A link of an upper inode will be made or taken away. NULL is fine. */
int links_will_change(struct branch *b, struct link_group *g);
/* One was taken away. True: that was the last name, and the inode is gone. NULL is fine. */
bool links_dropped(struct branch *b, struct link_group *g);
/* A lower name, not linked up, is hidden from now on. */
void links_hidden(struct branch *b, const struct stat *lower);

/* Link up all names that are left in the lower trees, by a walk of them if need be. */
int links_complete(struct branch *b);
/* Groups that are complete are ordinary upper files from now on. */
void links_dissolve(struct branch *b);

/* A file that is in the index already, of the lower file so named. When the branch is opened, with all nodes. */
int links_restore(struct branch *b, const char *name, const struct stat *st, dev_t dev,
		  uint64_t ino, nlink_t nlink);

#endif
