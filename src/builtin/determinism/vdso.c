/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/determinism/vdso.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include "builtin/determinism/start.h"

#if defined(__x86_64__)
#define PREFIX "__vdso_"
#elif defined(__aarch64__)
#define PREFIX "__kernel_"
#endif

#define PUT_BYTES_MAX 1024

/* What is needed of an image to find its symbols; NULL where it has none. */
struct symbols {
	const char *strings;
	const ElfW(Sym) * list;
	const uint32_t *hash;
};

static struct symbols symbols_of(const char *image)
{
	const ElfW(Ehdr) *header = (const void *)image;
	const ElfW(Phdr) *segment = (const void *)(image + header->e_phoff);
	const ElfW(Dyn) *dynamic = NULL;
	struct symbols s = { NULL, NULL, NULL };

	for (int i = 0; i < header->e_phnum; i++) {
		if (segment[i].p_type == PT_DYNAMIC)
			dynamic = (const void *)(image + segment[i].p_offset);
	}
	for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
		if (dynamic->d_tag == DT_STRTAB)
			s.strings = image + dynamic->d_un.d_ptr;
		else if (dynamic->d_tag == DT_SYMTAB)
			s.list = (const void *)(image + dynamic->d_un.d_ptr);
		else if (dynamic->d_tag == DT_HASH)
			s.hash = (const void *)(image + dynamic->d_un.d_ptr);
	}
	return s;
}

struct vdso_function vdso_find(const char *name)
{
	const char *image = (const char *)getauxval(AT_SYSINFO_EHDR);
	struct symbols s = { NULL, NULL, NULL };
	char full[64];

	snprintf(full, sizeof(full), PREFIX "%s", name);
	if (image)
		s = symbols_of(image);
	/* the second word of a hash table is how many symbols there are */
	for (uint32_t i = 0; s.strings && s.list && s.hash && i < s.hash[1]; i++) {
		const ElfW(Sym) *symbol = &s.list[i];

		if (!strcmp(s.strings + symbol->st_name, full))
			return (struct vdso_function){ symbol->st_value, symbol->st_size,
						       (const unsigned char *)image +
							       symbol->st_value };
	}
	return (struct vdso_function){ .code = NULL };
}

#if defined(__x86_64__)
size_t vdso_call(int nr, unsigned char code[VDSO_CALL_BYTES_MAX])
{
	/* mov $nr, %eax; syscall; ret */
	const unsigned char call[] = { 0xb8, nr & 0xff, nr >> 8 & 0xff, 0, 0, 0x0f, 0x05, 0xc3 };

	memcpy(code, call, sizeof(call));
	return sizeof(call);
}
#elif defined(__aarch64__)
size_t vdso_call(int nr, unsigned char code[VDSO_CALL_BYTES_MAX])
{
	/* mov x8, #nr; svc #0; ret */
	const uint32_t call[] = { 0xd2800008u | (uint32_t)nr << 5, 0xd4000001u, 0xd65f03c0u };

	memcpy(code, call, sizeof(call));
	return sizeof(call);
}
#endif

int vdso_put(const struct start *s, uint64_t offset, const void *code, size_t size)
{
	unsigned char now[PUT_BYTES_MAX];

	if (size > sizeof(now) || start_read(s, s->vdso + offset, now, size) < 0)
		return -EIO;
	if (!memcmp(now, code, size))
		return 1;
	return start_write(s, s->vdso + offset, code, size);
}
