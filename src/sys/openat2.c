/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sys/openat2.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/fd.h"

#define TRIES 100u

int open_at_how(int dir_fd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve };
	unsigned tries = 0;
	long fd;

	do {
		fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || (errno == EAGAIN && resolve && tries++ < TRIES)));
	return fd < 0 ? -errno : (int)fd;
}

/* The directory itself: "." would ask for the right to search it. */
static int open_itself(int dir_fd, int flags)
{
	char link[FD_LINK_BYTES];
	int fd = flags & O_PATH ? fcntl(dir_fd, F_DUPFD_CLOEXEC, 3)
				: open(fd_link(dir_fd, link), (flags & ~O_NOFOLLOW) | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int open_beneath(int dir_fd, const char *path, int flags, mode_t mode)
{
	const uint64_t all_flags = (uint64_t)(unsigned)(flags | O_NOFOLLOW);
	int fd;

	if (!*path)
		return open_itself(dir_fd, flags);
	do {
		fd = open_at_how(dir_fd, path, all_flags, mode,
				 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	} while (fd == -EAGAIN);
	return fd;
}
