/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kind of program a file is, as the kernel's exec would find it: ELF (fs/binfmt_elf.c) or script (fs/binfmt_script.c).
 *
 * The supervisor looks before the launcher is started, because a failure after that kills the program instead of failing its exec. The errno is the one
 * that the kernel's own exec gives. What the kernel itself finds only past its point of no return (segments that overlap or cannot be mapped) is not looked
 * for: the launcher dies there as the kernel lets the program die. Programs of other architectures, of 32 bits, and what binfmt_misc would
 * run are ENOEXEC. Pure but for the source's own read; any thread.
 */
#ifndef SLUICE_LAUNCHER_IMAGE_H
#define SLUICE_LAUNCHER_IMAGE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* BINPRM_BUF_SIZE: how much of a file the kernel looks at to tell what it is. */
#define IMAGE_HEAD_BYTES 256u
/* Scripts that may stand one behind the other; the next one is ELOOP. */
#define IMAGE_SCRIPTS_MAX 5u

/* A file's bytes: as pread(2), -errno. Short only at the end. */
struct image_source {
	ssize_t (*read)(const struct image_source *s, void *buf, size_t size, uint64_t at);
	int fd;
	const void *data;
	size_t size;
};
struct image_source image_source_fd(int fd);
struct image_source image_source_memory(const void *data, size_t size);

enum image_kind {
	IMAGE_ELF,
	IMAGE_SCRIPT,
};

struct image {
	enum image_kind kind;
	char interp[PATH_MAX];		     /* PT_INTERP or the script's; "": none (static) */
	char argument[IMAGE_HEAD_BYTES + 1]; /* of a script, which may be "" */
	bool has_argument;
};

/*
 * 0, -ENOEXEC (also: nearly anything that is wrong with an ELF header or a script's first line), -EACCES (a script whose interpreter has an empty name),
 * -EIO (the name of the loader lies behind the file's end), or the source's own error.
 */
int image_read(const struct image_source *s, struct image *ret);
/* Is it an ELF file that can be another's PT_INTERP? 0, -EIO (shorter than a header), -ELIBBAD, or the source's error. */
int image_check_loader(const struct image_source *s);
/* The first line alone: @head has IMAGE_HEAD_BYTES, zeroes behind the file's end. */
int image_parse_script(const char *head, struct image *ret);

#endif
