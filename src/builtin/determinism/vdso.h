/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of the vDSO, which is the same image in every process: where they lie is found in ours. It is not writable, but for who writes as a debugger does; a page that was
 * written to becomes the process's own. Pure but for vdso_put; any thread.
 */
#ifndef SLUICE_BUILTIN_DETERMINISM_VDSO_H
#define SLUICE_BUILTIN_DETERMINISM_VDSO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct start;

struct vdso_function {
	uint64_t offset; /* in the image; 0: there is none */
	size_t size;
	const unsigned char *code; /* in our own image */
};

/* Function @name ("gettimeofday"; the prefix is the architecture's). */
struct vdso_function vdso_find(const char *name);

#define VDSO_CALL_BYTES_MAX 16
/* Code of a function that makes system call @nr with its own arguments. Returns its size. */
size_t vdso_call(int nr, unsigned char code[VDSO_CALL_BYTES_MAX]);

/* Put @code at @offset of the program's image. 0; 1: it is there already; -EIO. */
int vdso_put(const struct start *s, uint64_t offset, const void *code, size_t size);

#endif
