/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose part of procfs a directory is, and what of procfs a sandbox sees.
 *
 * The kernel lets a thread look into every file of its own process, and an engine thread into those of init, which shares the process's
 * memory. The task may not. So before anything on procfs is opened for it, the way up to procfs's root tells whose directory it is; the text of a path
 * would not, since a task may start from a descriptor in there.
 *
 * With a view of the sandbox's own a file is known by the name that the kernel prints for a descriptor of it, below the root of the one procfs that the view
 * is of: a piece of it that is mounted elsewhere, or another procfs, has no such name and is not seen. What is neither a process of the sandbox nor a
 * general file that is listed here is not there. Any engine thread.
 */
#ifndef SLUICE_TASK_PROCFS_H
#define SLUICE_TASK_PROCFS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct stat;
struct task;

#define PROCFS_ROOT_INO 1 /* PROC_ROOT_INO of the kernel */
/* Longest name of a file on procfs that anybody is shown; longer ones do not exist to the sandbox. */
#define PROCFS_NAME_BYTES 512

/* What a sandbox sees, where that is not simply the host's. Constant once the command runs. */
struct procfs_view {
	int root; /* O_PATH descriptor of the procfs; owned; -1 */
	dev_t dev;
	char path[64]; /* of root, as the kernel prints it */
	_Atomic pid_t
		init; /* of the sandbox, which is no process of it; set before the first call is answered */
	_Atomic bool
		signal_scope; /* the calling thread can signal what belongs to the sandbox, and nothing else but us; set with init */
	/*
	 * A new descriptor for what the task is to get in place of the file behind @fd (borrowed, O_PATH or open; @st is of it) when it opens that with
	 * @flags; -ENODATA: that file itself; or the errno that the open fails with. Called on engine threads.
	 */
	int (*open)(const struct procfs_view *v, const struct task *t, int fd,
		    const struct stat *st, uint64_t flags);
	/*
	 * The directory behind @fd stands for one on procfs (or in sysfs), which that is a listing of: an O_PATH descriptor of the latter, the caller's; -ENODATA: it
	 * is what it is.
	 */
	int (*stands_for)(const struct procfs_view *v, int fd);
};

/* A name on procfs taken apart: /proc/PROCESS/task/THREAD/REST. */
struct procfs_name {
	pid_t process;	  /* 0: a general file */
	pid_t thread;	  /* 0: no task directory is in the name */
	const char *rest; /* points into the text */
};

enum procfs_place {
	PROCFS_ROOT,
	PROCFS_GENERAL, /* of no process */
	PROCFS_PROCESS, /* of a process that is neither ours nor an init of ours */
};

bool procfs_has(int fd);
bool procfs_is_root(int fd);
/* Does this procfs (@root) count processes as we do? Else its numbers are not ours to write or read. */
bool procfs_counts_as_we(int root);
/*
 * @dir: a directory on procfs. -EACCES: the supervisor's or its init's, or it can't be told; -ENOENT: the process is gone, or not one that @v shows. @v: NULL: the
 * host's.
 */
int procfs_place(const struct procfs_view *v, int dir);
/* The process (or thread) that a directory on procfs is about. -ESRCH. */
pid_t procfs_process(int dir);

/* ---- a view ---- */

/* The procfs at /proc. -ENOENT, -EOPNOTSUPP: it is none, or does not count processes as we do. */
int procfs_view_init(struct procfs_view *v);
void procfs_view_fini(struct procfs_view *v);
/* The name of the file behind @fd below the view's root, "" for that. -EXDEV: it lies elsewhere; -ENOENT: its process is gone. */
int procfs_name_of(const struct procfs_view *v, int fd, char name[PROCFS_NAME_BYTES]);
void procfs_name_parse(const char *name, struct procfs_name *ret);
/* Is there such a file to the sandbox? 0 or -ENOENT. To be asked (again) once a process's file was opened: only then it is about that process. */
int procfs_sees(const struct procfs_view *v, const char *name);
int procfs_sees_process(const struct procfs_view *v, pid_t pid);
/* The same for the file behind @fd, which lies on a procfs. -EACCES: on another one, or mounted elsewhere. */
int procfs_sees_file(const struct procfs_view *v, int fd);
/* General names in procfs's root that are shown; NULL ends the list. */
extern const char *const procfs_general[];
/* Call @fn for each process of the sandbox, in rising order, until it returns another value than 0, which is returned. -errno: they can't be listed. */
int procfs_each_process(const struct procfs_view *v, int (*fn)(pid_t pid, void *arg), void *arg);

#endif
