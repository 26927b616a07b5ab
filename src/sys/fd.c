/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sys/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

const char *fd_link(int fd, char buf[FD_LINK_BYTES])
{
	snprintf(buf, FD_LINK_BYTES, "/proc/self/fd/%d", fd);
	return buf;
}

ssize_t fd_path(int fd, char *buf, size_t size)
{
	char link[FD_LINK_BYTES];
	ssize_t n = readlink(fd_link(fd, link), buf, size);

	if (n < 0)
		return -errno;
	if ((size_t)n == size)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	return n;
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

int fd_sealed(const char *name, const void *data, size_t size, int flags)
{
	char link[FD_LINK_BYTES];
	int rw = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), ro;

	if (rw < 0)
		return -errno;
	ro = fd_write_all(rw, data, size);
	if (ro == 0) {
		fchmod(rw, 0444);
		fcntl(rw, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
		ro = open(fd_link(rw, link), O_RDONLY | O_CLOEXEC | flags);
		if (ro < 0)
			ro = -errno;
	}
	close(rw);
	return ro;
}
