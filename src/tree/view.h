/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree that a sandbox sees: a root directory of the host and host files or directories mounted at virtual paths.
 *
 * Constant once it is made, but for what is remembered of directories that were renamed; so any thread may read it. A mount point need not exist in the tree below it: missing directories on the way to it are
 * taken from an empty skeleton, so that the mount can be reached, and its parent can be listed.
 *
 * Which directory holds a mount point is known by the directory's identity (device, inode) and not by its text, so a mount is found by whatever path
 * leads there, and stays where it is when a directory above it is renamed. Until one is, which is rare, the text of a path tells as much and is what is looked at
 * (view_split).
 */
#ifndef SLUICE_TREE_VIEW_H
#define SLUICE_TREE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <sluice/error.h>

struct branch;
struct view;

struct view_mount {
	char *at;   /* virtual path: absolute, no "..", no trailing slash but for "/" */
	char *host; /* real path of what is mounted, as the kernel prints it */
	int fd;	    /* O_PATH descriptor of it */
	dev_t dev;  /* identity of it */
	ino_t ino;
	bool directory;
	bool read_only; /* every change is EROFS */
	bool writable;	/* may be written without a further grant */
	bool skeleton;	/* made up: not one of the caller's */
	bool implied;	/* nobody asked for it by name */
	bool hides; /* an empty directory in place of what is not seen there: a lower tree, branches */
	/* every change goes there, and host is its lower tree; borrowed; NULL: changes are made in host itself */
	struct branch *branch;
	char *upper;   /* real path of the branch's upper directory; NULL without a branch */
	char **lowers; /* real paths of the branch's further lower trees; n_lowers of them */
	size_t n_lowers;
	char *index; /* and of where its files of several names are, whatever names they have */
	/* the directory that holds the mount point; unused for the root */
	int in_fd;
	dev_t in_dev;
	ino_t in_ino;
	char *in_host;	  /* real path of it, when the view was made */
	const char *name; /* in that directory; points into at */
	bool missing;	  /* the directory had no entry of that name */
	int in_mount;	  /* the mount that it belongs to; -1: this is the root */
};

struct view_spec {
	const char *at;	  /* virtual path */
	const char *host; /* host path, relative ones from the caller's working directory */
	bool read_only;
	bool writable;
	bool optional; /* skipped in silence where @host does not exist */
};

/*
 * Make a view of root @root with @mounts on it, in the order of their virtual paths' depth. @skeleton: an empty directory of ours (borrowed descriptor)
 * where missing parents are made. -ENOENT, -ENOTDIR, -EACCES, -ENOMEM, -EINVAL (a virtual path that is not absolute or has "..", two mounts at one
 * place); @err names the mount.
 */
int view_new(const struct view_spec *root, const struct view_spec *mounts, size_t n, int skeleton,
	     struct view **ret, struct sluice_error *err);
struct view *view_free(struct view *v);

size_t view_count(const struct view *v);
const struct view_mount *view_mount(const struct view *v, int index);

/*
 * From now on changes of the directory at virtual path @at go to @branch (borrowed), whose topmost lower tree is that directory: before anything runs. Its further lower trees are seen there and
 * nowhere else: where the view showed one by itself, an empty directory is from now on, so that a file of theirs has one place. -EINVAL: two of the lower trees, or a mount and one of them, lie in one another.
 */
int view_cover(struct view *v, const char *at, struct branch *branch, struct sluice_error *err);
/*
 * The directory behind @fd is seen at its own place no more: an empty one is there, whatever mount showed it. -EINVAL: one of the mounts lies in it. Before anything runs.
 */
int view_hide(struct view *v, int fd);
/* Is there any branch? */
bool view_has_branches(const struct view *v);
/* Has any been changed? Makes no system call. */
bool view_is_changed(const struct view *v);
/* Is there a mount point whose directory has no entry for it? */
bool view_has_missing_mounts(const struct view *v);

/* The mount at entry @name of the directory with that identity, or -1. */
int view_cross(const struct view *v, dev_t dev, ino_t ino, const char *name);
/* Does the directory lie on the way to a mount point (so that a path below it may cross one)? Only as long as none of these was renamed. */
bool view_leads_to_mounts(const struct view *v, dev_t dev, ino_t ino);
/*
 * Has a directory above a mount point been renamed? Then the text of a path does not tell what it crosses. What the command renames is known at once by
 * view_rename_begins; what others rename on the host, some milliseconds later. A few system calls
 * every so many milliseconds, else none.
 */
bool view_has_moved(const struct view *v);
/*
 * A directory of that identity is about to be renamed: true if it lies above a mount point. Then view_rename_failed must be called if it was not.
 */
bool view_rename_begins(const struct view *v, dev_t dev, ino_t ino);
void view_rename_failed(const struct view *v);
/* The mount that the file behind @fd belongs to, by where it lies; -1: to none. */
int view_mount_of(const struct view *v, int fd);
/* Does the file behind @fd lie in mount @index by its path on the host? It may lie in one that is mounted from below it as well. */
bool view_mount_has(const struct view *v, int index, int fd);
/* Does the file behind @fd lie at or below the directory behind @top, by their virtual paths? */
bool view_is_below(const struct view *v, int fd, int top);
/*
 * The same, and where in that mount: a path without leading slash, "" is the mount itself. -ENOENT: the file was removed, or is one of several names; -EXDEV: it lies outside
 * of the view; -ENAMETOOLONG. What a branch hides by now is not asked. @ret_lower (may be NULL): it lies in the lower tree of a branch.
 */
int view_locate(const struct view *v, int fd, char *buf, size_t size, bool *ret_lower);
/*
 * The virtual path of the file behind @fd, NUL-terminated. Returns its length; -ENOENT it was removed; -EXDEV it lies outside of the view;
 * -ENAMETOOLONG.
 */
ssize_t view_path(const struct view *v, int fd, char *buf, size_t size);
/*
 * The same of a file whose path the kernel prints as @host, which may end in " (deleted)": -EXDEV also where that is no more than a name of the kernel's own (a memory
 * file). @host is not looked at on disk.
 */
ssize_t view_path_of_host(const struct view *v, const char *host, char *buf, size_t size);
/*
 * The mount that a path without "." and ".." and symbolic links leads into, and the rest of it (no leading slash, may be ""). @path is absolute. Only as long as
 * view_has_moved says no.
 */
int view_split(const struct view *v, const char *path, const char **ret_rest);

#endif
