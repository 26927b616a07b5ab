/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a path of the stopped task to the file that it names, in the host's tree or in a view.
 *
 * Resolved once, to descriptors; everything is then done by these. A path that meets no symbolic link, no ".." and no mount point is left to the kernel in one
 * call. Any other is walked component by component on O_PATH descriptors: what the kernel would do for us differs from what it
 * does for the task at the root, at mount points, at /proc/self and at magic links. Any engine thread; nothing is kept.
 */
#ifndef SLUICE_TREE_WALK_H
#define SLUICE_TREE_WALK_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "task/task.h"

struct cwd_table;
struct procfs_view;
struct view;

enum walk_flags {
	WALK_NOFOLLOW = 1u << 0, /* a symbolic link at the end is meant itself */
	WALK_NAME =
		1u
		<< 1, /* the directory and the name at the end are wanted too, also where nothing is there */
	WALK_LAST =
		WALK_NAME |
		1u << 4, /* so, and the last component is neither followed nor looked at, whatever slashes it has */
	WALK_EMPTY = 1u << 2, /* an empty path names the base itself */
	WALK_CREATE =
		1u
		<< 5, /* with WALK_NAME: a link with slashes behind it is not followed either: nothing can be created so */
	WALK_PROC = 1u << 3, /* the policy lets the task read procfs; else all there is EACCES */
	WALK_BRIEF =
		1u
		<< 6, /* what is at the end is closed before the task goes on: with an empty path it may be walk_from.base itself, where base_is_open, and is then the caller's no more */
	WALK_STAT =
		1u
		<< 7, /* nothing but st is wanted: fd may be -1 although a file is there, where plain is set */
};

/*
 * The path, in the view, of the program that process @pid runs; -ENOEXEC: the one that the kernel names. -ESRCH, -ENAMETOOLONG.
 */
typedef ssize_t (*walk_exe_fn)(pid_t pid, char *buf, size_t size);

struct walk_from {
	const struct view *view; /* NULL: the host's own tree */
	int dirfd;		 /* the task's descriptor, or AT_FDCWD */
	int base; /* what a relative path starts from, borrowed; -1: what the kernel knows @dirfd to be */
	bool base_is_open; /* it is the task's own open file, which nothing at the end may keep; else O_PATH */
	const char *path; /* private copy */
	uint32_t flags;	  /* enum walk_flags */
	uint64_t resolve; /* RESOLVE_* of openat2 */
	/* O_* to open the end with, at once, where the kernel walks there by itself; it then has no name. For reading only: nothing else may be done to what turns out to be procfs. 0: O_PATH */
	uint64_t open;
	struct cwd_table *cwds;		/* of all processes; NULL: the kernel knows them */
	const struct procfs_view *proc; /* what the task sees of procfs; NULL: the host's */
	walk_exe_fn exe_of;		/* NULL: the kernel names all programs */
};

/* What is at the end. Descriptors are O_PATH and the caller's: walk_end_close. */
struct walk_end {
	int fd;	 /* the file; -1: nothing is there, which only WALK_NAME allows */
	int dir; /* with WALK_NAME: the directory that holds it, -1 where the end has no name (a root, "..", a magic link) */
	char name[NAME_MAX + 1]; /* in that directory */
	bool slash; /* a slash follows the name, which then may yet be no directory: each call has its own errno for that */
	int mount; /* of the view, of what is at the end (or would be); -1: outside of it, no view, or nobody had to know */
	struct stat st; /* of fd */
	bool plain; /* the kernel walked there by itself: st is what fstat said, and not what a branch shows */
	bool opened; /* as walk_from.open asks */
	const char *
		denied; /* with -EACCES: the view's denial that was in the way, NULL where it was none, or nobody had to know */
};

/* Returns 0 or the errno that the task's own call would have given. */
int walk(const struct task *t, const struct walk_from *from, struct walk_end *ret);
void walk_end_close(struct walk_end *e);

#endif
