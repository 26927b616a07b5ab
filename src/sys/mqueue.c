/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sys/mqueue.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MQUEUE_MAGIC 0x19800202 /* fs/mqueue, ipc/mqueue.c */

int mqueue_mount(void)
{
	int fd = open("/dev/mqueue", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs s;

	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &s) == 0 && s.f_type == MQUEUE_MAGIC)
		return fd;
	close(fd);
	return -ENOENT;
}
