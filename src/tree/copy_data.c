/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of one file: content (a shared extent where the file system can, else in the kernel, else by hand; holes stay holes) and everything that is not
 * content. No branch and no lock is known here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tree/branch_internal.h"
#include "sys/fd.h"

#define CHUNK_BYTES (1u << 20)
#define KERNEL_CHUNK_BYTES (64u << 20)

/* By hand. Returns what was copied; 0 at the end of the source. */
static ssize_t copy_through(int from, int to, off_t at, size_t len, char **buf)
{
	ssize_t n, done = 0;

	if (!*buf)
		*buf = malloc(CHUNK_BYTES);
	if (!*buf)
		return -ENOMEM;
	n = pread(from, *buf, len < CHUNK_BYTES ? len : CHUNK_BYTES, at);
	if (n < 0)
		return -errno;
	while (done < n) {
		ssize_t w = pwrite(to, *buf + done, (size_t)(n - done), at + done);

		if (w < 0)
			return -errno;
		done += w;
	}
	return n;
}

/* Errors of copy_file_range that say "not between these", rather than that something is wrong. */
static bool wants_other_way(int error)
{
	return error == EXDEV || error == EINVAL || error == ENOSYS || error == EOPNOTSUPP ||
	       error == EPERM || error == EBADF || error == ETXTBSY;
}

static int copy_range(int from, int to, off_t at, off_t end, bool *by_hand, char **buf)
{
	while (at < end) {
		size_t len = (size_t)(end - at);
		off_t in = at, out = at;
		ssize_t n = -1;

		if (!*by_hand) {
			n = copy_file_range(from, &in, to, &out,
					    len < KERNEL_CHUNK_BYTES ? len : KERNEL_CHUNK_BYTES, 0);
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0 && !wants_other_way(errno))
				return -errno;
			*by_hand = n <= 0; /* 0: a file of /proc has a size of its own */
		}
		if (*by_hand)
			n = copy_through(from, to, at, len, buf);
		if (n < 0)
			return (int)n;
		if (n == 0) /* it was made shorter while we read */
			return 0;
		at += n;
	}
	return 0;
}

static int copy_extents(int from, int to, off_t size, char **buf)
{
	bool by_hand = false;
	off_t at = 0;

	while (at < size) {
		off_t data = lseek(from, at, SEEK_DATA), hole;
		int r;

		if (data < 0 && errno == ENXIO)
			break; /* nothing but a hole to the end */
		if (data < 0)
			data = at;
		hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0 || hole > size)
			hole = size;
		r = copy_range(from, to, data, hole, &by_hand, buf);
		if (r < 0)
			return r;
		at = hole;
	}
	return ftruncate(to, size) < 0 ? -errno : 0;
}

int copy_data(int from, int to, off_t size)
{
	char *buf = NULL;
	int r;

	if (size == 0 || ioctl(to, FICLONE, from) == 0)
		return 0;
	r = copy_extents(from, to, size, &buf);
	free(buf);
	return r;
}

/* ---- attributes ---- */

/* One that this file system or this user cannot keep is left behind, as cp -a does. */
static bool may_be_lost(int error)
{
	return error == EPERM || error == EOPNOTSUPP || error == EACCES || error == EINVAL;
}

static int copy_xattr(const char *from, const char *to, const char *name)
{
	ssize_t n = getxattr(from, name, NULL, 0);
	char *value;
	int r = 0;

	if (n < 0)
		return errno == ENODATA || may_be_lost(errno) ? 0 : -errno;
	value = malloc((size_t)n + 1);
	if (!value)
		return -ENOMEM;
	n = getxattr(from, name, value, (size_t)n + 1);
	if (n < 0 || setxattr(to, name, value, (size_t)n, 0) < 0)
		r = may_be_lost(errno) || errno == ENODATA ? 0 : -errno;
	free(value);
	return r;
}

static int copy_xattrs(const char *from, const char *to)
{
	ssize_t n = listxattr(from, NULL, 0);
	char *names;
	int r = 0;

	if (n <= 0)
		return n == 0 || may_be_lost(errno) ? 0 : -errno;
	names = malloc((size_t)n);
	if (!names)
		return -ENOMEM;
	n = listxattr(from, names, (size_t)n);
	for (const char *at = names; r == 0 && at < names + n; at += strlen(at) + 1) {
		if (strncmp(at, XATTR_HIDDEN, strlen(XATTR_HIDDEN)) != 0)
			r = copy_xattr(from, to, at);
	}
	free(names);
	return r;
}

int copy_attributes(int from, const struct stat *st, int to)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	char source[FD_LINK_BYTES], target[FD_LINK_BYTES];
	int r;

	fd_link(from, source);
	fd_link(to, target);
	/* an owner that is not ours to give stays ours; before the mode, which a change of owner clears bits of */
	if (fchownat(to, "", st->st_uid, st->st_gid, AT_EMPTY_PATH) < 0 && errno == EPERM &&
	    fchownat(to, "", (uid_t)-1, st->st_gid, AT_EMPTY_PATH) < 0 && !may_be_lost(errno))
		return -errno;
	r = copy_xattrs(source, target);
	if (r < 0)
		return r;
	if (!S_ISLNK(st->st_mode) && chmod(target, st->st_mode & 07777) < 0)
		return -errno;
	return utimensat(to, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}
