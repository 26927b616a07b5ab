/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sys/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/newer.h"
#include "util/cleanup.h"

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000u /* 5.8 */
#endif

const char *fd_link(int fd, char buf[FD_LINK_BYTES])
{
	snprintf(buf, FD_LINK_BYTES, "/proc/self/fd/%d", fd);
	return buf;
}

int fd_links_open(void)
{
	int fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

ssize_t fd_path_by(int links, int fd, char *buf, size_t size)
{
	char link[FD_LINK_BYTES];
	const char *name = fd_link(fd, link);
	ssize_t n = readlinkat(links, links < 0 ? name : strrchr(name, '/') + 1, buf, size);

	if (n < 0)
		return -errno;
	if ((size_t)n == size)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	return n;
}

ssize_t fd_path(int fd, char *buf, size_t size)
{
	return fd_path_by(-1, fd, buf, size);
}

int fd_path_above(int links, int fd, char *buf, size_t size)
{
	_cleanup_close_ int up = -1;
	ssize_t n = fd_path_by(links, fd, buf, size);

	while (n == -ENAMETOOLONG) {
		int next = openat(up < 0 ? fd : up, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (next < 0)
			return errno == ENOTDIR ? -ENAMETOOLONG : -errno;
		if (up >= 0)
			close(up);
		up = next;
		n = fd_path_by(links, up, buf, size);
	}
	return n < 0 ? (int)n : 0;
}

uint64_t fd_mount_id(int fd)
{
	struct statx stx;

	return statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) == 0 && stx.stx_mask & STATX_MNT_ID
		       ? stx.stx_mnt_id
		       : 0;
}

bool fd_has_default_acl(int fd)
{
	static const char name[] = "system.posix_acl_default";
	struct xattr_args_v0 none = { 0 };
	char link[FD_LINK_BYTES];
	long n = syscall(NR_GETXATTRAT, fd, ".", 0, name, &none, sizeof(none));

	/* by the long way where there is no such call, or it may not be made, or there is no right to search */
	if (n >= 0 || errno == ENODATA || errno == EOPNOTSUPP)
		return n > 0;
	return getxattr(fd_link(fd, link), name, NULL, 0) > 0;
}

int fd_write_all(int fd, const void *data, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = write(fd, (const char *)data + done, size - done);

		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

int fd_memory(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? -errno : fd;
}

int fd_seal(int memory, int flags)
{
	char link[FD_LINK_BYTES];
	int fd = -1;

	if (fchmod(memory, 0444) == 0 &&
	    fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) ==
		    0)
		fd = open(fd_link(memory, link), O_RDONLY | O_CLOEXEC | flags);
	return fd < 0 ? -errno : fd;
}

int fd_sealed(const char *name, const void *data, size_t size)
{
	_cleanup_close_ int memory = fd_memory(name);
	int r = memory < 0 ? memory : fd_write_all(memory, data, size);

	return r < 0 ? r : fd_seal(memory, 0);
}

int fd_above_stdio(int fd)
{
	int high, saved;

	if (fd < 0 || fd > 2)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	saved = errno;
	close(fd);
	return high < 0 ? -saved : high;
}
