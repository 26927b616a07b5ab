/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One ELF file into the address space, as fs/binfmt_elf.c does it. Inside the launcher: no libc, negative errno.
 */
#ifndef SLUICE_LAUNCHER_LOAD_H
#define SLUICE_LAUNCHER_LOAD_H

#include <stdbool.h>
#include <stdint.h>

struct loaded {
	uint64_t bias, entry;
	uint64_t phdr, phnum;
	uint64_t start_code, end_code, start_data, end_data;
	uint64_t end;	 /* of the last segment's memory */
	bool exec_stack; /* PT_GNU_STACK asks for it */
};

struct load_how {
	int fd;
	bool program;	 /* not a loader: goes where the kernel puts programs */
	uint64_t random; /* where a program of ET_DYN goes; 0: the same place each time */
	uint64_t page;	 /* bytes */
};

int load_elf(const struct load_how *how, struct loaded *ret);

#endif
