/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int memory_open(pid_t tid, int flags)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)tid);
	fd = open(path, flags | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	return errno == ENOENT ? -ESRCH : errno == EACCES ? -EPERM : -errno;
}

static ssize_t memory_read_proc(pid_t tid, uint64_t addr, void *buf, size_t size)
{
	int fd = memory_open(tid, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = pread(fd, buf, size, (off_t)addr);
	if (n < 0)
		n = errno == EIO ? -EFAULT : -errno;
	else if (n == 0 && size)
		n = -ESRCH; /* the address space is gone */
	close(fd);
	return n;
}

ssize_t memory_read(pid_t tid, uint64_t addr, void *buf, size_t size, bool by_proc)
{
	struct iovec local = { buf, size };
	struct iovec remote = { (void *)(uintptr_t)addr, size };
	ssize_t n;

	if (by_proc)
		return memory_read_proc(tid, addr, buf, size);
	n = process_vm_readv(tid, &local, 1, &remote, 1, 0);
	return n < 0 ? -errno : n;
}

/*
 * Is [addr, addr + size) writable by the task itself? /proc/PID/mem writes through page protection, which a result must not.
 * /proc/PID/maps says what the task may do.
 */
static int memory_writable(pid_t tid, uint64_t addr, size_t size)
{
	char path[40], line[512], perms[8];
	unsigned long long lo, hi, at = addr, end = addr + size;
	bool begins =
		true; /* a line; a long file name goes on in the next piece, and says what its owner likes */
	FILE *f;

	if (end < addr)
		return -EFAULT;
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)tid);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -ESRCH : -EPERM;
	while (at < end && fgets(line, sizeof(line), f)) {
		bool skip = !begins;

		begins = strchr(line, '\n') != NULL;
		if (skip)
			continue;
		if (sscanf(line, "%llx-%llx %7s", &lo, &hi, perms) != 3 || hi <= at)
			continue;
		if (lo > at || perms[1] != 'w')
			break;
		at = hi;
	}
	fclose(f);
	return at >= end ? 0 : -EFAULT;
}

static ssize_t memory_write_proc(pid_t tid, uint64_t addr, const void *buf, size_t size)
{
	ssize_t n = memory_writable(tid, addr, size);
	int fd;

	if (n < 0)
		return n;
	fd = memory_open(tid, O_WRONLY);
	if (fd < 0)
		return fd;
	n = pwrite(fd, buf, size, (off_t)addr);
	if (n < 0)
		n = errno == EIO ? -EFAULT : -errno;
	close(fd);
	return n;
}

ssize_t memory_write(pid_t tid, uint64_t addr, const void *buf, size_t size, bool by_proc)
{
	struct iovec local = { (void *)(uintptr_t)buf, size };
	struct iovec remote = { (void *)(uintptr_t)addr, size };
	ssize_t n;

	if (by_proc)
		return memory_write_proc(tid, addr, buf, size);
	n = process_vm_writev(tid, &local, 1, &remote, 1, 0);
	return n < 0 ? -errno : n;
}
