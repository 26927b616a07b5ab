/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

/* /proc/TID/@name */
static int proc_open(pid_t tid, const char *name, int flags)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)tid, name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	return errno == ENOENT ? -ESRCH : errno == EACCES ? -EPERM : -errno;
}

/* Of linux/fs.h from 6.11 on. */
struct procmap_query {
	uint64_t size, query_flags, query_addr;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};
#define PROCMAP_QUERY_NOW _IOWR('f', 17, struct procmap_query)
#define PROCMAP_READABLE 1u
#define PROCMAP_WRITABLE 2u

/* Where the part of [at, end) that @flag allows ends, by one question a mapping. -ENOTTY before 6.11. */
static int maps_query(int maps, uint64_t *at, uint64_t end, uint64_t flag)
{
	while (*at < end) {
		struct procmap_query q = { .size = sizeof(q), .query_addr = *at };

		if (ioctl(maps, PROCMAP_QUERY_NOW, &q) < 0)
			return errno == ENOENT ? 0 : -errno;
		if (!(q.vma_flags & flag))
			return 0;
		*at = q.vma_end;
	}
	return 0;
}

/* The same from the text. @fd is consumed. */
static int maps_scan(int fd, uint64_t *at, uint64_t end, uint64_t flag)
{
	FILE *maps = fdopen(fd, "r");
	char line[512], perms[8];
	unsigned long long lo, hi;
	bool begins =
		true; /* a line; a long file name goes on in the next piece, and says what its owner likes */

	if (!maps) {
		close(fd);
		return -ENOMEM;
	}
	while (*at < end && fgets(line, sizeof(line), maps)) {
		bool skip = !begins;

		begins = strchr(line, '\n') != NULL;
		if (skip)
			continue;
		if (sscanf(line, "%llx-%llx %7s", &lo, &hi, perms) != 3 || hi <= *at)
			continue;
		if (lo > *at || (flag == PROCMAP_READABLE ? perms[0] != 'r' : perms[1] != 'w'))
			break;
		*at = hi;
	}
	fclose(maps);
	return 0;
}

/*
 * How many of @size bytes from @addr on may the task itself read or write? /proc/PID/mem goes through page protection, where the kernel would say
 * EFAULT to the task. -EFAULT: none.
 */
static ssize_t memory_allowed(pid_t tid, uint64_t addr, size_t size, uint64_t flag)
{
	uint64_t at = addr, end = addr + size;
	int r, maps;

	if (end < addr)
		return -EFAULT;
	maps = proc_open(tid, "maps", O_RDONLY);
	if (maps < 0)
		return maps;
	r = maps_query(maps, &at, end, flag);
	if (r == -ENOTTY)
		r = maps_scan(maps, &at, end, flag);
	else
		close(maps);
	if (r < 0)
		return r;
	if (at >= end)
		return (ssize_t)size;
	return at > addr ? (ssize_t)(at - addr) : -EFAULT;
}

static ssize_t memory_read_proc(pid_t tid, uint64_t addr, void *buf, size_t size)
{
	ssize_t n = memory_allowed(tid, addr, size, PROCMAP_READABLE);
	int fd;

	if (n <= 0)
		return n;
	size = (size_t)n;
	fd = proc_open(tid, "mem", O_RDONLY);
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

static ssize_t memory_write_proc(pid_t tid, uint64_t addr, const void *buf, size_t size)
{
	ssize_t n = memory_allowed(tid, addr, size, PROCMAP_WRITABLE);
	int fd;

	if (n < 0)
		return n;
	if ((size_t)n < size) /* all or nothing */
		return -EFAULT;
	fd = proc_open(tid, "mem", O_WRONLY);
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
