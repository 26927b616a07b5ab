/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapping an ELF file: see load.h.
 *
 * The file was looked at by the supervisor before (image.h); what is wrong with it beyond that ends the program here, where the kernel's own exec would be
 * past its point of no return. Runs alone in its address space, so nothing can come between two mappings.
 */
#include "launcher/load.h"

#include <elf.h>
#include <errno.h>
#include <stddef.h>

#include "launcher/protocol.h"
#include "launcher/start.h"
#include "sys/raw.h"

#define RAW_PROT_READ 1
#define RAW_PROT_WRITE 2
#define RAW_PROT_EXEC 4
#define RAW_MAP_PRIVATE 0x02
#define RAW_MAP_FIXED 0x10
#define RAW_MAP_ANONYMOUS 0x20
#define RAW_MAP_FIXED_NOREPLACE 0x100000

struct loading {
	const struct load_how *how;
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdrs[LAUNCHER_PHDRS_MAX];
	uint64_t lo, hi, align; /* of the segments' memory: page bounds, largest alignment */
	struct loaded *ret;
};

static bool is_error(long r)
{
	return r < 0 && r >= -4095;
}

static uint64_t page_down(const struct loading *l, uint64_t at)
{
	return at & ~(l->how->page - 1);
}

static uint64_t page_up(const struct loading *l, uint64_t at)
{
	return page_down(l, at + l->how->page - 1);
}

static int read_exactly(int fd, void *buf, size_t size, uint64_t at)
{
	size_t done = 0;

	while (done < size) {
		long n = raw_call(SYS_pread64, fd, (char *)buf + done, size - done, at + done, 0);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		done += (size_t)n;
	}
	return 0;
}

static int read_headers(struct loading *l)
{
	int r = read_exactly(l->how->fd, &l->ehdr, sizeof(l->ehdr), 0);

	if (r < 0)
		return r;
	if (l->ehdr.e_machine != START_MACHINE || l->ehdr.e_phentsize != sizeof(Elf64_Phdr) ||
	    l->ehdr.e_phnum < 1 || l->ehdr.e_phnum > LAUNCHER_PHDRS_MAX)
		return -ENOEXEC;
	return read_exactly(l->how->fd, l->phdrs, l->ehdr.e_phnum * sizeof(Elf64_Phdr),
			    l->ehdr.e_phoff);
}

/* Span and alignment of the segments; what each tells about the whole. */
static int look_at_segments(struct loading *l)
{
	l->lo = UINT64_MAX;
	l->align = l->how->page;
	for (unsigned i = 0; i < l->ehdr.e_phnum; i++) {
		const Elf64_Phdr *p = &l->phdrs[i];

		if (p->p_type == PT_GNU_STACK)
			l->ret->exec_stack = p->p_flags & PF_X;
		if (p->p_type != PT_LOAD)
			continue;
		if (p->p_filesz > p->p_memsz || p->p_memsz > 1ull << 47 || p->p_vaddr > 1ull << 47)
			return -EINVAL;
		if (page_down(l, p->p_vaddr) < l->lo)
			l->lo = page_down(l, p->p_vaddr);
		if (p->p_vaddr + p->p_memsz > l->hi)
			l->hi = p->p_vaddr + p->p_memsz;
		if (p->p_align > l->align && !(p->p_align & (p->p_align - 1)))
			l->align = p->p_align;
	}
	if (l->lo == UINT64_MAX || l->hi <= l->lo)
		return -EINVAL;
	l->hi = page_up(l, l->hi);
	return 0;
}

static int prot_of(const Elf64_Phdr *p)
{
	int prot = 0;

	if (p->p_flags & PF_R)
		prot |= RAW_PROT_READ;
	if (p->p_flags & PF_W)
		prot |= RAW_PROT_WRITE;
	if (p->p_flags & PF_X)
		prot |= RAW_PROT_EXEC;
	return prot;
}

static long map(uint64_t at, uint64_t size, int prot, int flags, int fd, uint64_t offset)
{
	return raw_call6(SYS_mmap, (long)at, (long)size, prot, RAW_MAP_PRIVATE | flags, fd,
			 (long)offset);
}

/* ---- where ET_DYN goes ---- */

/* A span of the program's size at a random place above the kernel's own base for programs. */
static long place_program(const struct loading *l)
{
	uint64_t random = l->how->random & ((1ull << START_RANDOM_PAGES_BITS) - 1);
	uint64_t at = START_ET_DYN_BASE + random * l->how->page;

	return map(at & ~(l->align - 1), l->hi - l->lo, 0,
		   RAW_MAP_ANONYMOUS | RAW_MAP_FIXED_NOREPLACE, -1, 0);
}

/* Anywhere, with the alignment that it wants. */
static long place_anywhere(const struct loading *l)
{
	uint64_t size = l->hi - l->lo, slack = l->align - l->how->page, start, end;
	long at = map(0, size + slack, 0, RAW_MAP_ANONYMOUS, -1, 0);

	if (is_error(at) || !slack)
		return at;
	start = ((uint64_t)at + l->align - 1) & ~(l->align - 1);
	end = (uint64_t)at + size + slack;
	if (start > (uint64_t)at)
		raw_call(SYS_munmap, at, start - (uint64_t)at, 0, 0, 0);
	if (end > start + size)
		raw_call(SYS_munmap, start + size, end - (start + size), 0, 0, 0);
	return (long)start;
}

/* Map the whole span first: segments are then laid over it, and nothing else can be hit. */
static int place(struct loading *l)
{
	long at;

	if (l->ehdr.e_type == ET_EXEC) {
		at = map(l->lo, l->hi - l->lo, 0, RAW_MAP_ANONYMOUS | RAW_MAP_FIXED_NOREPLACE, -1,
			 0);
		/* a kernel before 4.17 takes NOREPLACE for a hint */
		if (!is_error(at) && (uint64_t)at != l->lo)
			return -EEXIST;
	} else if (l->ehdr.e_type == ET_DYN) {
		at = l->how->program ? place_program(l) : -ENOMEM;
		if (is_error(at))
			at = place_anywhere(l);
	} else {
		at = -ENOEXEC;
	}
	if (is_error(at))
		return (int)at;
	/* what is said in the file counts from 0 */
	l->ret->bias = (uint64_t)at - l->lo;
	return 0;
}

/* ---- segments ---- */

/* What a segment has beyond its file: zeroes to the page's end, then pages of none. */
static int map_bss(struct loading *l, const Elf64_Phdr *p)
{
	uint64_t start = l->ret->bias + p->p_vaddr + p->p_filesz;
	uint64_t end = page_up(l, l->ret->bias + p->p_vaddr + p->p_memsz);
	uint64_t pages = p->p_filesz ? page_up(l, start) : page_down(l, start);
	int prot = RAW_PROT_READ | RAW_PROT_WRITE;
	long at;

	if (p->p_flags & PF_X)
		prot |= RAW_PROT_EXEC;
	if (p->p_filesz && p->p_flags & PF_W) {
		for (volatile unsigned char *byte = (unsigned char *)start;
		     byte < (unsigned char *)pages; byte++)
			*byte = 0;
	}
	if (pages >= end)
		return 0;
	at = map(pages, end - pages, prot, RAW_MAP_FIXED | RAW_MAP_ANONYMOUS, -1, 0);
	return is_error(at) ? (int)at : 0;
}

static int map_segment(struct loading *l, const Elf64_Phdr *p)
{
	uint64_t skew = p->p_vaddr - page_down(l, p->p_vaddr);
	uint64_t start = l->ret->bias + page_down(l, p->p_vaddr);
	long at;

	if (p->p_filesz) {
		at = map(start, page_up(l, p->p_filesz + skew), prot_of(p), RAW_MAP_FIXED,
			 l->how->fd, p->p_offset - skew);
		if (is_error(at))
			return (int)at;
	}
	return p->p_memsz > p->p_filesz ? map_bss(l, p) : 0;
}

static void account(struct loading *l, const Elf64_Phdr *p)
{
	struct loaded *ret = l->ret;
	uint64_t start = p->p_vaddr + ret->bias, end = start + p->p_filesz;

	if (p->p_flags & PF_X && start < ret->start_code)
		ret->start_code = start;
	if (start > ret->start_data)
		ret->start_data = start;
	if (p->p_flags & PF_X && end > ret->end_code)
		ret->end_code = end;
	if (end > ret->end_data)
		ret->end_data = end;
	if (start + p->p_memsz > ret->end)
		ret->end = start + p->p_memsz;
	if (p->p_offset <= l->ehdr.e_phoff && l->ehdr.e_phoff < p->p_offset + p->p_filesz)
		ret->phdr = l->ehdr.e_phoff - p->p_offset + p->p_vaddr + ret->bias;
}

/* Unmap what lies between segments: the span was mapped as one. */
static void open_gap(struct loading *l, uint64_t from, const Elf64_Phdr *p)
{
	uint64_t to = l->ret->bias + page_down(l, p->p_vaddr);

	if (from && to > from)
		raw_call(SYS_munmap, from, to - from, 0, 0, 0);
}

static int map_segments(struct loading *l)
{
	uint64_t done = 0;

	for (unsigned i = 0; i < l->ehdr.e_phnum; i++) {
		const Elf64_Phdr *p = &l->phdrs[i];
		int r;

		if (p->p_type != PT_LOAD)
			continue;
		open_gap(l, done, p);
		r = map_segment(l, p);
		if (r < 0)
			return r;
		account(l, p);
		done = page_up(l, l->ret->bias + p->p_vaddr + p->p_memsz);
	}
	return 0;
}

int load_elf(const struct load_how *how, struct loaded *ret)
{
	struct loading l;
	int r;

	l.how = how;
	l.ret = ret;
	l.hi = 0;
	l.ehdr = (Elf64_Ehdr){ 0 };
	*ret = (struct loaded){ .start_code = UINT64_MAX };
	r = read_headers(&l);
	if (r == 0)
		r = look_at_segments(&l);
	if (r == 0)
		r = place(&l);
	if (r == 0)
		r = map_segments(&l);
	if (r < 0)
		return r;
	if (ret->start_code == UINT64_MAX)
		ret->start_code = 0;
	ret->entry = ret->bias + l.ehdr.e_entry;
	ret->phnum = l.ehdr.e_phnum;
	return 0;
}
