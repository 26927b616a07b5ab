/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sandbox with a tree of its own keeps: its view and the working directories in it. Shared by the built-ins that work on files.
 * The pointers are constant while the sandbox runs; any engine thread.
 *
 * Without a view it is the host's tree, of which the kernel knows everything: what is asked here is then what the kernel would say.
 */
#ifndef SLUICE_TREE_TREE_H
#define SLUICE_TREE_TREE_H

#include <sluice/handler.h>

#include "tree/branch.h"
#include "tree/cwd.h"
#include "tree/view.h"
#include "tree/walk.h"

struct exec;

struct tree {
	struct view *view; /* NULL: the host's own tree */
	struct dirents *dirents;
	struct cwd_table *cwds; /* NULL: the kernel knows where processes are */
	int here; /* O_PATH descriptor of the directory that relative paths of the policy start from */
	const struct file_times *times; /* how the command sees those of files; NULL: as they are */
	const struct procfs_view *proc; /* what the command sees of procfs; NULL: the host's */
	walk_exe_fn exe_of;
	struct exec *exec; /* by which its programs are executed; NULL: by the kernel alone */
	bool engine_only; /* nothing of the tree is granted to the command itself, not even where it is the host's */
	const char *private_path; /* the working directory that the kernel knows of every task */
	bool proc_granted,
		proc_writable; /* the policy lets the command read procfs, and write there */
};

/*
 * What @path starts from, where it is relative: the task's @dirfd (AT_FDCWD: its virtual working directory). Nothing is checked: task_check must have said 0 before
 * the first walk from there. tree_base_drop in every case, before the task goes on.
 */
struct tree_base {
	int dirfd;
	int fd;	      /* -1: none */
	int place;    /* in tree->cwds, which fd is borrowed from; -1: fd is ours */
	bool is_open; /* the task's own open file */
	int error;    /* why there is none, for the walk to say */
};
void tree_base_peek(const struct tree *tr, const struct task *t, int dirfd, const char *path,
		    struct tree_base *ret);
void tree_base_drop(const struct tree *tr, struct tree_base *b);
/* As in walk_from. */
struct tree_how {
	uint64_t resolve, open;
};
/* @flags as for walk. */
int tree_walk_from(const struct tree *tr, const struct task *t, struct tree_base *base,
		   const char *path, uint32_t flags, const struct tree_how *how,
		   struct walk_end *ret);
/* All of that. */
int tree_walk(const struct tree *tr, const struct task *t, int dirfd, const char *path,
	      uint32_t flags, uint64_t resolve, struct walk_end *ret);
/* O_PATH descriptor (the caller's) of the task's working directory. */
int tree_cwd(const struct tree *tr, const struct task *t);
/* The policy's @path, looked up in the tree before anything runs there. */
int tree_walk_grant(const struct tree *tr, const char *path, struct walk_end *ret);
/*
 * Where a file lies in a branch: name @name in directory @dir, or (@dir -1) the file behind @fd by whatever name it has. *ret NULL: in none, or nothing of the
 * branch's names leads to it any more, and changing it by its descriptor changes no lower tree. -EROFS: a file of the lower tree that no name leads to.
 */
int tree_branch_of(const struct tree *tr, int mount, int dir, const char *name, int fd,
		   struct branch **ret, char path[PATH_MAX]);
/*
 * Where a file lies, as tree_branch_of takes it; @fd -1: it is to be made. An enum sluice_layer. Takes some calls of the kernel.
 */
enum sluice_layer tree_layer(const struct tree *tr, int mount, int dir, int fd);
/* What fstat said of @fd, as the tree shows it. @mount: that it lies in, -1: not known. */
void tree_show(const struct tree *tr, int mount, int fd, struct stat *st);
/* Does the file behind @fd belong to a branch? */
bool tree_is_in_branch(const struct tree *tr, int mount, int fd);
/* As faccessat2(2) of the descriptor @fd, by the rights that tree_show shows. @flags: AT_EACCESS. 0 or -errno. */
int tree_access(const struct tree *tr, int mount, int fd, int mode, int flags);
/* Is what is at the end (or would be) on a mount of the view that may not be changed, or in none at all? */
bool tree_is_read_only(const struct tree *tr, const struct walk_end *end);

#endif
