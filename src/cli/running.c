/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/running.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "util/cleanup.h"

int running_descriptors(pid_t pid)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int running_pipe(int dir, int number, ino_t inode, int flags)
{
	_cleanup_close_ int found = -1;
	struct statfs fs;
	struct stat st;
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "%d", number);
	found = openat(dir, path, O_PATH | O_CLOEXEC);
	if (found < 0 || fstat(found, &st) < 0 || fstatfs(found, &fs) < 0)
		return -errno;
	/* not one with a name in a file system, which anybody may have made */
	if (!S_ISFIFO(st.st_mode) || fs.f_type != PIPEFS_MAGIC || (inode && st.st_ino != inode))
		return -ENXIO;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", found);
	fd = open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}
