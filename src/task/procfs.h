/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose part of procfs a directory is.
 *
 * The kernel lets a thread look into every file of its own process, and an engine thread into those of init, which shares the process's
 * memory. The task may not. So before anything on procfs is opened for it, the way up to procfs's root tells whose directory it is; the text of a path
 * would not, since a task may start from a descriptor in there. Any engine thread.
 */
#ifndef SLUICE_TASK_PROCFS_H
#define SLUICE_TASK_PROCFS_H

#include <stdbool.h>
#include <sys/types.h>

enum procfs_place {
	PROCFS_ROOT,
	PROCFS_GENERAL, /* of no process */
	PROCFS_PROCESS, /* of a process that is neither ours nor an init of ours */
};

bool procfs_has(int fd);
bool procfs_is_root(int fd);
/* Does this procfs (@root) count processes as we do? Else its numbers are not ours to write or read. */
bool procfs_counts_as_we(int root);
/* @dir: a directory on procfs. -EACCES: the supervisor's or its init's, or it can't be told; -ENOENT: the process is gone. */
int procfs_place(int dir);
/* The process (or thread) that a directory on procfs is about. -ESRCH. */
pid_t procfs_process(int dir);

#endif
