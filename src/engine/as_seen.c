/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AS_SEEN for the open family: the open is made here, with the path that the handler saw, and the descriptor is injected.
 *
 * Whose rights: those of the runner's Landlock domain, which are the policy's; the task's umask and mode; its working directory
 * and descriptors. A FIFO's open may have to wait for its other end: that is done in this runner, which is left out of the pool's count meanwhile.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine_internal.h"
#include "sys/fd.h"
#include "task/resolve.h"

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
	how->proc_writable = req->engine->config.proc_writable;
	how->view = req->engine->config.proc;
	how->check_credentials = req->engine->config.check_credentials;
	if (!args.openat2) {
		how->flags &= RESOLVE_FLAGS_KNOWN;
		if (how->flags & O_PATH)
			how->flags &= OPEN_FLAGS_OF_PATH;
		how->mode = creates(how->flags) ? how->mode & 07777 : 0;
	}
	if (creates(how->flags)) {
		r = request_umask(req);
		if (r < 0)
			return r;
		how->umask = (mode_t)r;
	}
	/* a descriptor of O_PATH can't be injected: the nearest that can is one for reading, which must not wait either */
	if (how->flags & O_PATH)
		how->flags = (how->flags & ~(uint64_t)O_PATH) | O_RDONLY | O_NONBLOCK;
	return 0;
}

/*
 * Waiting for the other end of a FIFO. A blocking open could be ended by nobody (opening the other end may not be granted), so it is asked for again
 * and again, without blocking, until the task or the engine goes.
 */

/*
 * Has a writer opened the FIFO since @fd was? One that wrote or is gone shows in poll; a silent one makes tee, which takes nothing out, say
 * EAGAIN where it would say end of file.
 */
static bool fifo_has_writer(int fd, int scratch, int wait_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	ssize_t n;

	if (poll(&p, 1, wait_ms) > 0)
		return true;
	n = tee(fd, scratch, 1, SPLICE_F_NONBLOCK);
	return n > 0 || (n < 0 && errno == EAGAIN);
}

/* @fd is open for reading: it is what the task gets, once there is a writer. The writer sees a reader from now on, as it would natively. */
static int fifo_await_writer(struct runner *r, const struct task *t, int fd)
{
	int scratch[2], ms = 1, got;

	if (pipe2(scratch, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	got = runner_wait_begin(r);
	if (got == 0) {
		while (!fifo_has_writer(fd, scratch[1], ms) && got == 0) {
			if (runner_wait_is_over(r, t))
				got = -EINTR;
			ms = runner_wait_ms(ms);
		}
		runner_wait_end(r);
	}
	close(scratch[0]);
	close(scratch[1]);
	return got;
}

/* @fd (O_PATH) names the FIFO. Returns a descriptor for writing once there is a reader. */
static int fifo_await_reader(struct runner *r, const struct task *t, int fd, uint64_t flags)
{
	char path[FD_LINK_BYTES];
	int ms = 1, got = runner_wait_begin(r);

	if (got < 0)
		return got;
	fd_link(fd, path);
	flags &= ~(uint64_t)(O_CREAT | O_EXCL | O_TRUNC | O_NOFOLLOW);
	for (;;) {
		struct timespec pause = { .tv_nsec = ms * 1000000L };

		got = open(path, (int)flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
		if (got >= 0 || errno != ENXIO)
			break;
		if (runner_wait_is_over(r, t)) {
			errno = EINTR;
			break;
		}
		nanosleep(&pause, NULL);
		ms = runner_wait_ms(ms);
	}
	got = got < 0 ? -errno : got;
	runner_wait_end(r);
	return got;
}

static int fifo_open_for_writing(struct sluice_request *req, const struct resolve_open *how,
				 request_open_fn open)
{
	struct resolve_open path_how = *how;
	struct stat st;
	int fd, got;

	path_how.flags = O_PATH | (how->flags & O_NOFOLLOW);
	path_how.mode = 0;
	fd = open(req, &path_how, &st);
	if (fd < 0)
		return fd;
	if (!S_ISFIFO(st.st_mode))
		got = -ENXIO; /* a device that said so itself */
	else
		got = fifo_await_reader(req->runner, &req->task, fd, how->flags);
	close(fd);
	return got;
}

/* /dev/tty is the opener's controlling terminal: ours is the task's only within one session. */
static bool tty_of_another_session(const struct stat *st, pid_t tid)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(5, 0) && getsid(tid) != getsid(0);
}

/* What only shows in the file that was opened. Returns 0 or the errno for the task. */
static int opened(struct sluice_request *req, int fd, const struct stat *st, uint64_t flags)
{
	if (tty_of_another_session(st, req->task.tid))
		return -ENXIO;
	if (flags & O_NONBLOCK)
		return 0;
	if (S_ISFIFO(st->st_mode) && (flags & O_ACCMODE) == O_RDONLY)
		return fifo_await_writer(req->runner, &req->task, fd);
	return 0;
}

/*
 * With the task's umask for the thread's own: the kernel knows where it counts, which is not so in a directory with a default ACL. No thread may be made
 * meanwhile, which would share it.
 */
static int open_with_umask(struct sluice_request *req, const struct resolve_open *how,
			   request_open_fn open, struct stat *st)
{
	int fd;

	if (!how->umask)
		return open(req, how, st);
	if (unshare(CLONE_FS) < 0)
		return -errno;
	umask(how->umask);
	fd = open(req, how, st);
	umask(0);
	return fd;
}

/* A descriptor as the task wants it, or a negative errno. */
static int open_as_wanted(struct sluice_request *req, const struct resolve_open *how,
			  request_open_fn open)
{
	struct resolve_open first = *how;
	struct stat st = { 0 };
	int fd, error;

	first.flags |= O_NONBLOCK;
	fd = open_with_umask(req, &first, open, &st);
	if (fd == -ENXIO && (how->flags & (O_ACCMODE | O_NONBLOCK)) == O_WRONLY)
		fd = fifo_open_for_writing(req, how, open);
	if (fd < 0)
		return fd;
	error = opened(req, fd, &st, how->flags);
	if (error < 0) {
		close(fd);
		return error;
	}
	if (!(how->flags & O_NONBLOCK)) /* ours alone until it is injected */
		fcntl(fd, F_SETFL, (int)how->flags);
	return fd;
}

struct request_act request_open_as_task(struct sluice_request *req, request_open_fn open)
{
	struct resolve_open how = { 0 };
	ssize_t n = sluice_request_path(req, 0, &how.path);
	int fd = n < 0 ? (int)n : as_seen_how(req, &how);

	if (fd == 0)
		fd = open_as_wanted(req, &how, open);
	return (struct request_act){
		.value = fd,
		.fd = fd < 0 ? -1 : fd,
		.fd_flags = how.flags & O_CLOEXEC,
	};
}

static int open_on_host(struct sluice_request *req, const struct resolve_open *how,
			struct stat *ret_st)
{
	return resolve_open(&req->task, how, ret_st);
}

struct request_act as_seen_open(struct sluice_request *req)
{
	return request_open_as_task(req, open_on_host);
}
