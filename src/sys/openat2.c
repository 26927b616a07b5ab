/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sys/openat2.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

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

int open_beneath(int dir_fd, const char *path, int flags, mode_t mode)
{
	const uint64_t all_flags = (uint64_t)(unsigned)(flags | O_NOFOLLOW);
	int fd;

	do {
		fd = open_at_how(dir_fd, *path ? path : ".", all_flags, mode,
				 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	} while (fd == -EAGAIN);
	return fd;
}
