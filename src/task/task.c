/* SPDX-License-Identifier: Apache-2.0 */
#include "task/task.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/memory.h"
#include "sys/notif.h"
#include "sys/pidfd.h"
#include "task/pidfds.h"
#include "util/cleanup.h"

#define PAGE_BYTES \
	4096u /* smallest page of any architecture: reading up to such a border never crosses a mapping's end */

int task_check(const struct task *t)
{
	return notif_id_valid(t->listener, t->id) < 0 ? -ESRCH : 0;
}

static int task_memory_error(ssize_t n)
{
	switch (n) {
	case -ESRCH:
		return -ESRCH;
	case -EPERM:
	case -EACCES:
		return -EACCES;
	case -EMFILE: /* our own limit, not the task's */
	case -ENFILE:
		return -ENFILE;
	default:
		return -EFAULT;
	}
}

int task_read(const struct task *t, uint64_t addr, void *buf, size_t size)
{
	size_t done = 0;
	int r = 0;

	while (done < size) {
		ssize_t n = memory_read(t->tid, addr + done, (char *)buf + done, size - done,
					t->by_proc);

		if (n <= 0) {
			r = task_memory_error(n);
			break;
		}
		done += (size_t)n;
	}
	if (task_check(t) < 0)
		r = -ESRCH;
	if (r < 0)
		memset(buf, 0, size);
	return r;
}

int task_write(const struct task *t, uint64_t addr, const void *buf, size_t size)
{
	size_t done = 0;

	/* before the first byte: a reused thread id must not be written to */
	if (task_check(t) < 0)
		return -ESRCH;
	while (done < size) {
		ssize_t n = memory_write(t->tid, addr + done, (const char *)buf + done, size - done,
					 t->by_proc);

		if (n <= 0)
			return task_memory_error(n);
		done += (size_t)n;
	}
	return 0;
}

/*
 * Most paths are short: the first read takes at most FIRST_READ bytes, and none crosses a page border, because a read that runs into
 * an unmapped page comes back short or fails.
 */
#define FIRST_READ 256u

ssize_t task_peek_string(const struct task *t, uint64_t addr, char *buf, size_t size)
{
	size_t done = 0, want = FIRST_READ;

	while (done < size) {
		size_t room = PAGE_BYTES - (size_t)((addr + done) % PAGE_BYTES);
		char *nul;
		ssize_t n;

		if (want > room)
			want = room;
		if (want > size - done)
			want = size - done;
		n = memory_read(t->tid, addr + done, buf + done, want, t->by_proc);
		if (n <= 0)
			return task_memory_error(n);
		nul = memchr(buf + done, '\0', (size_t)n);
		if (nul)
			return nul - buf;
		done += (size_t)n;
		want = PAGE_BYTES;
	}
	return -ENAMETOOLONG;
}

ssize_t task_read_string(const struct task *t, uint64_t addr, char *buf, size_t size)
{
	ssize_t n = task_peek_string(t, addr, buf, size);

	if (task_check(t) < 0)
		n = -ESRCH;
	if (n < 0 && size)
		buf[0] = '\0';
	return n;
}

static int task_proc_error(int error)
{
	switch (error) {
	case ENOENT:
		return -ESRCH;
	case EPERM:
		return -EACCES;
	case EMFILE: /* our own limit, not the task's */
		return -ENFILE;
	default:
		return -error;
	}
}

static int task_proc_open(const struct task *t, const char *name, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)t->tid, name);
	fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? task_proc_error(errno) : fd;
}

static ssize_t task_proc_read(const struct task *t, const char *name, char *buf, size_t size)
{
	int fd = task_proc_open(t, name, O_RDONLY);
	size_t done = 0;
	ssize_t n = 0;

	if (fd < 0)
		return fd;
	while (done < size) {
		n = read(fd, buf + done, size - done);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (n < 0)
		n = task_proc_error(errno);
	close(fd);
	if (task_check(t) < 0)
		return -ESRCH;
	return n < 0 ? n : (ssize_t)done;
}

ssize_t task_status(const struct task *t, char *buf, size_t size)
{
	ssize_t n = task_proc_read(t, "status", buf, size - 1);

	buf[n > 0 ? n : 0] = '\0';
	return n;
}

/* The number after @key at the start of a line of /proc/TID/status, in @base. */
static long task_status_number(const struct task *t, const char *key, int base)
{
	char text[4096];
	ssize_t n = task_status(t, text, sizeof(text));
	char *at;

	if (n < 0)
		return n;
	at = strstr(text, key);
	return at ? strtol(at + strlen(key), NULL, base) : -EIO;
}

/* The set of signals after @key; none if there is no such line. */
static uint64_t signal_set(const char *status, const char *key)
{
	const char *at = strstr(status, key);

	return at ? strtoull(at + strlen(key), NULL, 16) : 0;
}

bool task_is_signalled(const struct task *t)
{
	char text[4096];
	uint64_t pending;

	if (task_status(t, text, sizeof(text)) < 0)
		return false;
	pending = signal_set(text, "\nSigPnd:") | signal_set(text, "\nShdPnd:");
	return pending & ~signal_set(text, "\nSigBlk:") & ~signal_set(text, "\nSigIgn:");
}

pid_t task_lookup_process(const struct task *t)
{
	int pidfd = pidfd_open_thread(t->tid);
	pid_t tgid = -ENOTTY;

	if (pidfd >= 0) {
		tgid = pidfd_tgid(pidfd);
		close(pidfd);
	}
	if (tgid == -ENOTTY || tgid == -EINVAL) /* older than 6.13 */
		return (pid_t)task_status_number(t, "\nTgid:", 10);
	if (task_check(t) < 0)
		return -ESRCH;
	return tgid;
}

int task_umask(const struct task *t)
{
	return (int)task_status_number(t, "\nUmask:", 8);
}

ssize_t task_readlink(const struct task *t, const char *name, char *buf, size_t size)
{
	char path[64];
	ssize_t n;

	if (!size)
		return -ENAMETOOLONG;
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)t->tid, name);
	n = readlink(path, buf, size);
	if (n < 0)
		n = task_proc_error(errno);
	else if ((size_t)n == size)
		n = -ENAMETOOLONG;
	if (task_check(t) < 0)
		n = -ESRCH;
	buf[n < 0 ? 0 : n] = '\0';
	return n;
}

ssize_t task_cmdline(const struct task *t, char *buf, size_t size)
{
	return task_proc_read(t, "cmdline", buf, size);
}

/* Unchecked. */
static int dirfd_by_proc(const struct task *t, int dirfd)
{
	char name[24];
	int fd;

	if (dirfd == AT_FDCWD)
		snprintf(name, sizeof(name), "cwd");
	else if (dirfd >= 0)
		snprintf(name, sizeof(name), "fd/%d", dirfd);
	else
		return -EBADF;
	fd = task_proc_open(t, name, O_PATH);
	return fd == -ESRCH ? (dirfd == AT_FDCWD ? -ENOENT : -EBADF) : fd;
}

int task_open_dirfd(const struct task *t, int dirfd)
{
	_cleanup_close_ int fd = dirfd_by_proc(t, dirfd);

	return task_check(t) < 0 ? -ESRCH : TAKE_FD(fd);
}

bool task_fd_is_path(const struct task *t, int fd)
{
	char name[32], text[256];
	const char *flags;
	ssize_t n;

	snprintf(name, sizeof(name), "fdinfo/%d", fd);
	n = task_proc_read(t, name, text, sizeof(text) - 1);
	if (n < 0)
		return false;
	text[n] = '\0';
	flags = strstr(text, "flags:");
	return flags && strtoul(flags + strlen("flags:"), NULL, 8) & O_PATH;
}

int task_peek_dirfd(const struct task *t, int dirfd, bool *ret_own)
{
	int fd = dirfd < 0 ? -EINVAL : pidfd_cache_get_fd(t->pidfds, t->tid, dirfd);

	*ret_own = fd >= 0;
	return fd >= 0 || fd == -EBADF ? fd : dirfd_by_proc(t, dirfd);
}

/*
 * Before 6.9 there is only the descriptor table of the whole process, and a thread may have another one: what was got must be what the thread's own link
 * names.
 */
static bool is_the_threads(const struct task *t, int fd, int got)
{
	struct stat mine, its;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)t->tid, fd);
	return fstat(got, &mine) == 0 && stat(path, &its) == 0 && mine.st_dev == its.st_dev &&
	       mine.st_ino == its.st_ino;
}

static int get_fd_of_process(const struct task *t, int fd)
{
	_cleanup_close_ int pidfd = pidfd_open_thread(t->tid);
	_cleanup_close_ int got = -1;
	bool by_process = pidfd == -EINVAL;

	if (by_process)
		pidfd = pidfd_open_thread(task_lookup_process(t));
	if (pidfd < 0)
		return task_proc_error(-pidfd);
	got = pidfd_get_fd(pidfd, fd);
	if (got < 0)
		return task_proc_error(-got);
	return by_process && !is_the_threads(t, fd, got) ? -EACCES : TAKE_FD(got);
}

static int get_fd(const struct task *t, int fd)
{
	int got = pidfd_cache_get_fd(t->pidfds, t->tid, fd);

	if (got == -EINVAL)
		return get_fd_of_process(t, fd);
	return got < 0 ? task_proc_error(-got) : got;
}

int task_get_fd(const struct task *t, int fd)
{
	_cleanup_close_ int got = fd < 0 ? -EBADF : get_fd(t, fd);

	if (got == -EACCES) { /* perhaps of one that is not there */
		_cleanup_close_ int named = task_open_dirfd(t, fd);

		if (named == -EBADF)
			got = named;
	}
	if (task_check(t) < 0)
		return -ESRCH;
	return TAKE_FD(got);
}
