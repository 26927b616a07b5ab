/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vDSO is the same image in every process, so where its getrandom lies is found in ours. It is not writable, but through /proc/PID/mem, which goes past the protection as a debugger does;
 * the page becomes the process's own.
 */
#define _GNU_SOURCE
#include "builtin/determinism/start.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/determinism/streams.h"
#include "engine/request.h"
#include "task/task.h"

#define AUXV_MAX 64
#define RANDOM_BYTES 16

#if defined(__x86_64__)
/* mov $SYS_getrandom, %eax; syscall; ret */
static const unsigned char call_code[] = {
	0xb8, SYS_getrandom & 0xff, SYS_getrandom >> 8, 0, 0, 0x0f, 0x05, 0xc3
};
#define GETRANDOM_NAME "__vdso_getrandom"
#elif defined(__aarch64__)
/* mov x8, #SYS_getrandom; svc #0; ret */
static const uint32_t call_code[] = { 0xd2800008u | (uint32_t)SYS_getrandom << 5, 0xd4000001u,
				      0xd65f03c0u };
#define GETRANDOM_NAME "__kernel_getrandom"
#endif

/* Offset of the vDSO's getrandom in its image, or 0: it has none that is long enough. */
static uint64_t find_getrandom(void)
{
	const char *image = (const char *)getauxval(AT_SYSINFO_EHDR), *strings = NULL;
	const ElfW(Ehdr) *header = (const void *)image;
	const ElfW(Sym) *symbols = NULL;
	const ElfW(Dyn) *dynamic = NULL;
	const uint32_t *hash = NULL;
	const ElfW(Phdr) * segment;

	if (!image)
		return 0;
	segment = (const void *)(image + header->e_phoff);
	for (int i = 0; i < header->e_phnum; i++) {
		if (segment[i].p_type == PT_DYNAMIC)
			dynamic = (const void *)(image + segment[i].p_offset);
	}
	for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
		if (dynamic->d_tag == DT_STRTAB)
			strings = image + dynamic->d_un.d_ptr;
		else if (dynamic->d_tag == DT_SYMTAB)
			symbols = (const void *)(image + dynamic->d_un.d_ptr);
		else if (dynamic->d_tag == DT_HASH)
			hash = (const void *)(image + dynamic->d_un.d_ptr);
	}
	/* the second word of a hash table is how many symbols there are */
	for (uint32_t i = 0; strings && symbols && hash && i < hash[1]; i++) {
		if (!strcmp(strings + symbols[i].st_name, GETRANDOM_NAME) &&
		    symbols[i].st_size >= sizeof(call_code))
			return symbols[i].st_value;
	}
	return 0;
}

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

/* 0, also where there is nothing to replace; 1: it is replaced already. -EIO. */
static int replace_getrandom(int mem, uint64_t vdso)
{
	unsigned char now[sizeof(call_code)];
	uint64_t offset = vdso ? find_getrandom() : 0;

	if (!offset)
		return 0;
	if (pread(mem, now, sizeof(now), (off_t)(vdso + offset)) != sizeof(now))
		return -EIO;
	if (!memcmp(now, call_code, sizeof(now)))
		return 1;
	return pwrite(mem, call_code, sizeof(call_code), (off_t)(vdso + offset)) ==
			       sizeof(call_code)
		       ? 0
		       : -EIO;
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

int start_prepare(struct sluice_request *req, struct streams *streams)
{
	const struct task *t = request_task(req);
	unsigned char bytes[RANDOM_BYTES];
	ElfW(auxv_t) auxv[AUXV_MAX];
	uint64_t random;
	size_t n = 0;
	int mem, r;

	r = read_auxv(t, auxv, &n);
	if (r < 0)
		return r;
	mem = open_of(t->tid, "mem", O_RDWR);
	if (mem < 0)
		return mem;
	/* from here on it is this task's memory that we have, or nobody's */
	r = task_check(t);
	if (r == 0)
		r = replace_getrandom(mem, value_of(auxv, n, AT_SYSINFO_EHDR));
	random = value_of(auxv, n, AT_RANDOM);
	if (r == 0 && random)
		r = streams_take(streams, req, bytes, sizeof(bytes));
	if (r == 0 && random && pwrite(mem, bytes, sizeof(bytes), (off_t)random) != sizeof(bytes))
		r = -EIO;
	close(mem);
	return r < 0 ? r : 0;
}
