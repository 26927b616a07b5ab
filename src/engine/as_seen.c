/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AS_SEEN for the open family: the open is made here, with the path that the handler saw, and the descriptor is injected.
 *
 * Whose rights: those of the runner's Landlock domain, which are the policy's; the task's umask and mode; its working directory
 * and descriptors. A FIFO's open may have to wait for its other end: it is first opened without blocking to learn what it is, and then
 * waited for in this runner, which is left out of the pool's count meanwhile; the control thread frees it when the task goes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <unistd.h>

#include "engine/engine_internal.h"
#include "task/resolve.h"

#define FIFO_WAITS_MAX 48u /* below RUNNERS_SPARE, so that takeovers stay possible */

/* What open(2) and openat(2) honour; they ignore other bits, openat2 refuses them. */
#define OPEN_FLAGS_KNOWN                                                                      \
	(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | \
	 O_ASYNC | O_DIRECT | 0100000 | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC |    \
	 O_PATH | O_TMPFILE)
#define OPEN_FLAGS_OF_PATH (O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC)

static bool creates(uint64_t flags)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

static int as_seen_how(struct sluice_request *req, struct resolve_open *how)
{
	struct sluice_open_args args;
	int r = sluice_request_open_args(req, &args);

	if (r < 0)
		return r;
	r = sluice_request_dirfd(req, 0);
	if (r < 0 && r != AT_FDCWD && r != -EBADF)
		return r;
	how->dirfd = r;
	how->flags = args.flags;
	how->mode = args.mode;
	how->resolve = args.resolve;
	how->proc_granted = req->engine->config.proc_granted;
	if (!args.openat2) {
		how->flags &= OPEN_FLAGS_KNOWN;
		if (how->flags & O_PATH)
			how->flags &= OPEN_FLAGS_OF_PATH;
		how->mode = creates(how->flags) ? how->mode & 07777 : 0;
	}
	if (creates(how->flags)) {
		r = task_umask(&req->task);
		if (r < 0)
			return r;
		how->mode &= ~(uint64_t)r;
	}
	/* a descriptor of O_PATH can't be injected: the nearest that can is one for reading */
	if (how->flags & O_PATH)
		how->flags = (how->flags & ~(uint64_t)O_PATH) | O_RDONLY;
	return 0;
}

/* Take the descriptor back; the control thread holds FIFO_IN_USE in its place while it uses it. */
static void fifo_release(struct runner *r, int fd)
{
	int expected = fd;

	while (!atomic_compare_exchange_weak(&r->fifo, &expected, -1)) {
		expected = fd;
		sched_yield();
	}
}

/* Open what @fd (O_PATH, of a FIFO) names, and wait for the other end as long as the task does. */
static int fifo_wait(struct runner *r, int fd, uint64_t flags)
{
	struct engine *e = r->engine;
	char path[32];
	int got;

	if (atomic_fetch_add(&e->n_blocked, 1) >= FIFO_WAITS_MAX) {
		atomic_fetch_sub(&e->n_blocked, 1);
		return -EAGAIN;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	atomic_store(&r->fifo, fd);
	/* once the control thread could see it: it frees what waits when the engine stops */
	if (atomic_load(&e->stopping)) {
		got = -EINTR;
	} else {
		got = open(path, (int)(flags & ~(uint64_t)O_NOFOLLOW) | O_CLOEXEC | O_NOCTTY);
		if (got < 0)
			got = -errno;
	}
	fifo_release(r, fd);
	atomic_fetch_sub(&e->n_blocked, 1);
	return got;
}

static int fifo_open(struct runner *r, const struct resolve_open *how, const struct task *t)
{
	struct resolve_open path_how = *how;
	struct stat st;
	int fd, got;

	path_how.flags = O_PATH | (how->flags & O_NOFOLLOW);
	path_how.mode = 0;
	fd = resolve_open(t, &path_how);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		got = -ENXIO; /* a device that said so itself */
	else
		got = fifo_wait(r, fd, how->flags & ~(uint64_t)(O_CREAT | O_EXCL | O_TRUNC));
	close(fd);
	return got;
}

/* /dev/tty is the opener's controlling terminal: ours is the task's only within one session. */
static bool tty_of_another_session(const struct stat *st, pid_t tid)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(5, 0) && getsid(tid) != getsid(0);
}

int as_seen_open(struct runner *r, struct sluice_request *req, uint32_t *ret_flags)
{
	struct resolve_open how = { 0 }, first;
	struct stat st;
	ssize_t n = sluice_request_path(req, 0, &how.path);
	int fd = n < 0 ? (int)n : as_seen_how(req, &how);

	if (fd < 0)
		return fd;
	*ret_flags = how.flags & O_CLOEXEC;
	first = how;
	first.flags |= O_NONBLOCK;
	fd = resolve_open(&req->task, &first);
	if (how.flags & O_NONBLOCK)
		return fd;
	if (fd == -ENXIO && (how.flags & O_ACCMODE) == O_WRONLY)
		return fifo_open(r, &how, &req->task);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fd;
	if (S_ISFIFO(st.st_mode) && (how.flags & O_ACCMODE) == O_RDONLY) {
		close(fd);
		return fifo_open(r, &how, &req->task);
	}
	if (tty_of_another_session(&st, req->task.tid)) {
		close(fd);
		return -ENXIO;
	}
	fcntl(fd, F_SETFL,
	      (int)(how.flags & ~(uint64_t)O_NONBLOCK)); /* ours alone until it is injected */
	return fd;
}
