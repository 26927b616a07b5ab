/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/determinism/start.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/request.h"
#include "task/task.h"

#define AUXV_MAX 64
#define SET_FS 0x1002 /* asm/prctl.h */

static uint64_t value_of(const ElfW(auxv_t) * auxv, size_t n, uint64_t type)
{
	for (size_t i = 0; i < n && auxv[i].a_type != AT_NULL; i++) {
		if (auxv[i].a_type == type)
			return auxv[i].a_un.a_val;
	}
	return 0;
}

static int open_of(pid_t tid, const char *name, int flags)
{
	char path[48];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)tid, name);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int read_auxv(const struct task *t, ElfW(auxv_t) * auxv, size_t *ret_n)
{
	int fd = open_of(t->tid, "auxv", O_RDONLY), r = 0;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, auxv, AUXV_MAX * sizeof(*auxv));
	if (n < 0)
		r = -errno;
	close(fd);
	*ret_n = n < 0 ? 0 : (size_t)n / sizeof(*auxv);
	return r;
}

int start_open(struct sluice_request *req, struct start *ret)
{
	const struct task *t = request_task(req);
	ElfW(auxv_t) auxv[AUXV_MAX];
	size_t n = 0;
	int r;

#ifdef SYS_arch_prctl
	if (sluice_request_arg(req, 0) != SET_FS)
		return -ENOENT;
#endif
	r = read_auxv(t, auxv, &n);
	if (r < 0)
		return r;
	*ret = (struct start){
		.mem = open_of(t->tid, "mem", O_RDWR),
		.vdso = value_of(auxv, n, AT_SYSINFO_EHDR),
		.random = value_of(auxv, n, AT_RANDOM),
	};
	if (ret->mem < 0)
		return ret->mem;
	/* from here on it is this task's memory that we have, or nobody's */
	r = task_check(t);
	if (r < 0)
		start_close(ret);
	return r;
}

void start_close(struct start *s)
{
	close(s->mem);
	s->mem = -1;
}

int start_read(const struct start *s, uint64_t addr, void *to, size_t size)
{
	return pread(s->mem, to, size, (off_t)addr) == (ssize_t)size ? 0 : -EIO;
}

int start_write(const struct start *s, uint64_t addr, const void *from, size_t size)
{
	return pwrite(s->mem, from, size, (off_t)addr) == (ssize_t)size ? 0 : -EIO;
}
