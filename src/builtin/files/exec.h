/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execve and execveat under a tree of one's own.
 *
 * The kernel would resolve the path, a script's interpreter and a program's loader in the host's root. So all three are resolved here, and what the kernel
 * executes is the launcher (src/launcher), which is given their descriptors and does the rest inside the task. For that the task's real working
 * directory must be the private directory, which holds
 *
 *	!, a, b, ...	slots: scripts of one line, whose interpreter is an image
 *	e/N		images: a copy of the launcher for each program that was executed, so that /proc/PID/exe tells which one runs
 *
 * and the first two bytes of the path in the task's memory become the slot's name while the kernel reads it. We hold a write lease on the
 * slot: the kernel's own open of it waits for us, so we know when the path has been read, put the two bytes back, and let it go on. A task
 * that shares its memory by vfork is not running yet then; another thread that looks at these very bytes in that window (some ten
 * microseconds) sees the slot's name. Two execs by one address are done one after the other.
 *
 * Where the kernel would find program, interpreters and loader just so (the root is the host's, and nothing that is mounted or changed there is on the way), it
 * executes the program itself: what it reads a second time is bounded by the domain below. That is the only way for execveat with a descriptor, or with a path
 * from one: the slot's name would be looked up from there, in registers that nobody can change.
 *
 * What the kernel lets a task execute is bounded by its Landlock domain, which grants execution in the private directory alone. The
 * engine's own domain must grant reading and writing there, and writing to /proc/PID/mem.
 *
 * Refused: a path in memory that cannot be written (EACCES); execveat by a descriptor of what the kernel would not execute just so (ENOSYS: C libraries then
 * execute /proc/self/fd/N); programs that may be executed but not read (EACCES).
 */
#ifndef SLUICE_BUILTIN_FILES_EXEC_H
#define SLUICE_BUILTIN_FILES_EXEC_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <sluice/error.h>
#include <sluice/handler.h>

struct dispatch;
struct exec;

/*
 * Opens @path (private copy, from the task's @dirfd, AT_FDCWD: its working directory) as a program: a regular file that may be executed, for reading. @flags:
 * AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH. Returns a descriptor (CLOEXEC, the caller's) and in @ret_virtual the path that /proc/self/exe is to show; or the errno that
 * exec would give. *ret_native: the kernel finds the same file on its own. Thread: a runner.
 */
typedef int (*exec_resolve_fn)(void *ctx, struct sluice_request *req, int dirfd, const char *path,
			       int flags, char ret_virtual[PATH_MAX], bool *ret_native);

/*
 * Fill directory @private_path (empty, absolute) and make what the handlers share. Thread: any, outside of every domain. Negative errno.
 */
int exec_new(const char *private_path, exec_resolve_fn resolve, void *ctx, struct exec **ret,
	     struct sluice_error *err);
struct exec *exec_free(struct exec *x);

/* Trap the calls. @x must outlive @d's use. */
int exec_register(struct dispatch *d, struct exec *x);
/* What it registers: @exec is a struct exec. */
struct sluice_verdict exec_handle(struct sluice_request *req, void *exec);

/*
 * Does a process run the program that @st is of? For a file of it that was copied up since, no. Not of what the kernel executes just so, about which it says
 * that itself. Thread: a runner.
 */
bool exec_runs(struct exec *x, const struct stat *st);

/*
 * The virtual path of the program that process @pid runs, as its image tells, NUL-terminated. Returns its length; -ENOEXEC: it runs none of ours;
 * -ENAMETOOLONG; -ESRCH. Any engine thread.
 */
ssize_t exec_path_of(pid_t pid, char *buf, size_t size);

#endif
