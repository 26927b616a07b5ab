/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a path as the stopped task would, from an engine thread.
 *
 * The path is resolved once, by the kernel, from the task's own directory. Only what differs between the task and us is walked by hand, component by
 * component on O_PATH descriptors: /proc/self and /proc/thread-self (which must mean the task) and magic links
 * (/proc/PID/{cwd,root,exe,fd/N}, /dev/fd/N, /dev/stdin). The calling thread's Landlock domain bounds every open. Any engine thread.
 */
#ifndef SLUICE_TASK_RESOLVE_H
#define SLUICE_TASK_RESOLVE_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "task/task.h"

struct procfs_view;

/* What open(2) and openat(2) honour; they ignore other bits, openat2 refuses them. */
#define RESOLVE_FLAGS_KNOWN                                                                   \
	(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | \
	 O_ASYNC | O_DIRECT | 0100000 | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC |    \
	 O_PATH | O_TMPFILE)

struct resolve_open {
	int dirfd;	  /* the task's */
	const char *path; /* private copy */
	uint64_t flags;	  /* O_*, as given */
	uint64_t mode;	  /* of what is created, less the calling thread's umask */
	mode_t umask;	  /* of the task; what the thread's is made while it opens */
	uint64_t resolve; /* RESOLVE_* */
	bool proc_granted; /* the policy lets the task read /proc; else anything on procfs is EACCES */
	bool proc_writable; /* and write it */
	/* what the task sees of procfs: an open of a file there, or of another that it stands for, gives what that shows; NULL: the host's */
	const struct procfs_view *view;
	bool check_credentials; /* the task's may differ from ours: then the open is EACCES */
};

/*
 * Returns a descriptor (CLOEXEC, O_NOCTTY, the caller's), and in *ret what it names, or the errno that the task's own open would have given.
 */
int resolve_open(const struct task *t, const struct resolve_open *how, struct stat *ret);

/*
 * Do these go together, whatever is opened? 0 or -EINVAL. @strict: as openat2 has it; else as the others do, which ignore bits that they don't know. Takes no
 * call of the kernel for what most programs ask.
 */
int resolve_check_flags(uint64_t flags, uint64_t mode, uint64_t resolve, bool strict);

#endif
