/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sys/openat2.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

int open_beneath(int dir_fd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	long fd;

	/* EAGAIN: something was renamed meanwhile, so that the kernel could not prove that the walk stayed below */
	do {
		fd = syscall(SYS_openat2, dir_fd, *path ? path : ".", &how, sizeof(how));
	} while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd < 0 ? -errno : (int)fd;
}
