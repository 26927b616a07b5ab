/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "launcher/image.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "launcher/protocol.h"

#if defined(__x86_64__)
#define IMAGE_MACHINE EM_X86_64
#else
#define IMAGE_MACHINE EM_AARCH64
#endif

/* ---- sources ---- */

static ssize_t read_fd(const struct image_source *s, void *buf, size_t size, uint64_t at)
{
	ssize_t n;

	if (at > INT64_MAX)
		return 0;
	n = pread(s->fd, buf, size, (off_t)at);
	return n < 0 ? -errno : n;
}

static ssize_t read_memory(const struct image_source *s, void *buf, size_t size, uint64_t at)
{
	if (at >= s->size)
		return 0;
	if (size > s->size - at)
		size = s->size - at;
	memcpy(buf, (const char *)s->data + at, size);
	return (ssize_t)size;
}

struct image_source image_source_fd(int fd)
{
	return (struct image_source){ .read = read_fd, .fd = fd };
}

struct image_source image_source_memory(const void *data, size_t size)
{
	return (struct image_source){ .read = read_memory, .fd = -1, .data = data, .size = size };
}

/* Exactly @size bytes: -EIO where the file ends before, as the kernel says. */
static int read_exactly(const struct image_source *s, void *buf, size_t size, uint64_t at)
{
	ssize_t n = s->read(s, buf, size, at);

	if (n < 0)
		return (int)n;
	return (size_t)n == size ? 0 : -EIO;
}

/* ---- scripts ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* First byte of [@first, @last] that is no blank, or NULL. The last one counts. */
static const char *next_word(const char *first, const char *last)
{
	for (; first <= last; first++) {
		if (!is_blank(*first))
			return first;
	}
	return NULL;
}

/* First blank or NUL of [@first, @last], or NULL. */
static const char *next_end(const char *first, const char *last)
{
	for (; first <= last; first++) {
		if (is_blank(*first) || !*first)
			return first;
	}
	return NULL;
}

/* Where the line ends. NULL: it has no newline within the head, and its interpreter may have been cut. */
static const char *line_end(const char *head)
{
	const char *last = head + IMAGE_HEAD_BYTES - 1;
	size_t n = strnlen(head, IMAGE_HEAD_BYTES);
	const char *end = memchr(head, '\n', n), *word;

	if (end)
		return end;
	word = next_word(head + 2, last);
	return word && next_end(word, last) ? last : NULL;
}

/* A string that ends at @end, at a NUL before it, or with the buffer. */
static void take(char *to, size_t size, const char *from, const char *end)
{
	size_t n = strnlen(from, (size_t)(end - from));

	if (n >= size)
		n = size - 1;
	memcpy(to, from, n);
	to[n] = '\0';
}

int image_parse_script(const char *head, struct image *ret)
{
	const char *end, *name, *separator, *argument = NULL;

	if (head[0] != '#' || head[1] != '!')
		return -ENOEXEC;
	end = line_end(head);
	if (!end)
		return -ENOEXEC;
	while (is_blank(end[-1]))
		end--;
	name = next_word(head + 2, end);
	if (!name || name == end)
		return -ENOEXEC;
	separator = next_end(name, end);
	if (separator && *separator)
		argument = next_word(separator, end);
	ret->has_argument = argument;
	if (!argument)
		argument = end;
	if (!separator)
		separator = end;
	ret->kind = IMAGE_SCRIPT;
	take(ret->interp, sizeof(ret->interp), name, separator);
	take(ret->argument, sizeof(ret->argument), argument, end);
	/* to the kernel an empty name is the working directory, which is no program */
	return *ret->interp ? 0 : -EACCES;
}

/* ---- ELF ---- */

/* Of program and loader alike. */
static bool header_ok(const Elf64_Ehdr *e)
{
	return !memcmp(e->e_ident, ELFMAG, SELFMAG) && e->e_machine == IMAGE_MACHINE &&
	       e->e_phentsize == sizeof(Elf64_Phdr) && e->e_phnum >= 1 &&
	       e->e_phnum <= LAUNCHER_PHDRS_MAX;
}

static int phdrs_read(const struct image_source *s, const Elf64_Ehdr *e,
		      Elf64_Phdr phdrs[LAUNCHER_PHDRS_MAX])
{
	return read_exactly(s, phdrs, e->e_phnum * sizeof(Elf64_Phdr), e->e_phoff);
}

static int interp_read(const struct image_source *s, const Elf64_Phdr *p, char interp[PATH_MAX])
{
	int r;

	if (p->p_filesz > PATH_MAX || p->p_filesz < 2)
		return -ENOEXEC;
	r = read_exactly(s, interp, p->p_filesz, p->p_offset);
	if (r < 0)
		return r;
	return interp[p->p_filesz - 1] ? -ENOEXEC : 0;
}

static int elf_read(const struct image_source *s, const Elf64_Ehdr *e, struct image *ret)
{
	Elf64_Phdr phdrs[LAUNCHER_PHDRS_MAX];

	if ((e->e_type != ET_EXEC && e->e_type != ET_DYN) || !header_ok(e) ||
	    phdrs_read(s, e, phdrs) < 0)
		return -ENOEXEC;
	ret->kind = IMAGE_ELF;
	for (unsigned i = 0; i < e->e_phnum; i++) {
		if (phdrs[i].p_type == PT_INTERP)
			return interp_read(s, &phdrs[i], ret->interp);
	}
	return 0;
}

int image_read(const struct image_source *s, struct image *ret)
{
	union {
		char bytes[IMAGE_HEAD_BYTES];
		Elf64_Ehdr ehdr;
	} head;
	ssize_t n;

	memset(&head, 0, sizeof(head));
	ret->interp[0] = ret->argument[0] = '\0';
	ret->has_argument = false;
	n = s->read(s, head.bytes, sizeof(head.bytes), 0);
	if (n < 0)
		return (int)n;
	if (!memcmp(head.bytes, ELFMAG, SELFMAG))
		return elf_read(s, &head.ehdr, ret);
	return image_parse_script(head.bytes, ret);
}

int image_check_loader(const struct image_source *s)
{
	Elf64_Phdr phdrs[LAUNCHER_PHDRS_MAX];
	Elf64_Ehdr e;
	int r = read_exactly(s, &e, sizeof(e), 0);

	if (r < 0)
		return r;
	if (!header_ok(&e) || (e.e_type != ET_EXEC && e.e_type != ET_DYN) ||
	    phdrs_read(s, &e, phdrs) < 0)
		return -ELIBBAD;
	return 0;
}
