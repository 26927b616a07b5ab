/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stopped task: its memory, identity and directories, as private copies.
 *
 * Every function looks at the task by its thread id and then asks the listener whether the notification is still there, before the caller
 * sees a byte: a thread id that was reused meanwhile reads as -ESRCH, never as somebody else's data. Any thread; nothing is kept.
 */
#ifndef SLUICE_TASK_TASK_H
#define SLUICE_TASK_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pidfd_cache;

/* Who is stopped, in which notification of which listener. Plain value. */
struct task {
	int listener; /* borrowed */
	pid_t tid;
	uint64_t id;
	bool by_proc;		    /* read memory through /proc/TID/mem */
	struct pidfd_cache *pidfds; /* borrowed; NULL: none is kept */
};

/* Exactly @size bytes or an error: -EFAULT, -ESRCH, -EACCES, -ENFILE (we have no descriptor left to look with). @buf is zeroed on failure. */
int task_read(const struct task *t, uint64_t addr, void *buf, size_t size);
int task_write(const struct task *t, uint64_t addr, const void *buf, size_t size);
/* A NUL-terminated string of less than @size bytes. Returns its length; -EFAULT, -ENAMETOOLONG, -ESRCH, -EACCES. */
ssize_t task_read_string(const struct task *t, uint64_t addr, char *buf, size_t size);
/*
 * For who looks at several things and asks once, after the last of them: what these give may be another task's until task_check has said 0, and must decide on
 * nothing until then but what else to look at.
 */
ssize_t task_peek_string(const struct task *t, uint64_t addr, char *buf, size_t size);
/*
 * What the task's descriptor @dirfd names, to begin a walk from: the task's own open file where that can be had at once, so it is to be closed before the task goes
 * on; else as task_open_dirfd. @ret_own: which of the two.
 */
int task_peek_dirfd(const struct task *t, int dirfd, bool *ret_own);

/* The one check that no look at the task can do without: is it still stopped in this very call? 0 or -ESRCH. */
int task_check(const struct task *t);
/* Process id of the task, by asking for it anew: a microsecond and more. See identity.h. */
pid_t task_lookup_process(const struct task *t);
/* Target of a /proc/TID link ("exe", "cwd", "root", "fd/3"), NUL-terminated. Returns its length or -ENAMETOOLONG, ... */
ssize_t task_readlink(const struct task *t, const char *name, char *buf, size_t size);
ssize_t task_cmdline(const struct task *t, char *buf, size_t size);
/* The start of /proc/TID/status, NUL-terminated. Returns its length. */
ssize_t task_status(const struct task *t, char *buf, size_t size);
/* Has it a signal to act upon, which the call that it is stopped in would return for? Reads /proc: microseconds. */
bool task_is_signalled(const struct task *t);
/* umask of the task, or a negative errno. Reads /proc: microseconds. */
int task_umask(const struct task *t);

/* O_PATH descriptor (CLOEXEC, the caller's) of what the task's @dirfd names; AT_FDCWD: its working directory. -EBADF: it has no such descriptor. */
int task_open_dirfd(const struct task *t, int dirfd);
/* Was its descriptor @fd opened with O_PATH? fchmod(2), fgetxattr(2) and their kind refuse those. Reads /proc. */
bool task_fd_is_path(const struct task *t, int fd);

/*
 * A duplicate (CLOEXEC, the caller's) of the task's descriptor @fd: the same open file, with its own flags and position. -EBADF: it has no such
 * descriptor; -EACCES: the kernel does not let us have it; -ENFILE, -ESRCH.
 */
int task_get_fd(const struct task *t, int fd);

#endif
