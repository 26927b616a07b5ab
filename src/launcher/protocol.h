/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the launcher and the supervisor say to each other.
 *
 * The kernel executes a copy of the launcher in place of a program that it could not have found by itself. The launcher, alone in its new address space,
 * asks what to load: execveat(LAUNCHER_ASK_FD, "", buffer, size, LAUNCHER_ASK_FLAGS), a call that is trapped anyway and that the kernel itself
 * refuses. Before it answers, the supervisor puts the descriptors of program and loader into the task and writes a plan into the buffer.
 *
 *	value 0			the plan is in the buffer
 *	value > size		it needs that many bytes: nothing was taken or injected, ask again
 *	any error		no plan: the launcher dies of SIGSEGV, as the kernel lets a program whose exec fails past the point of no return
 *
 * It is started as the interpreter of a script whose name is one byte (a slot). So the first two arguments on the stack are the kernel's and make
 * place for the plan's; the sixth argument of the question is that byte, by which the supervisor knows which exec this is.
 *
 * A plan holds offsets from its own start; the strings end with NUL and lie one after the other. Bounds are the kernel's own: an argument of
 * at most 128 KiB, paths below PATH_MAX, six scripts deep at most.
 */
#ifndef SLUICE_LAUNCHER_PROTOCOL_H
#define SLUICE_LAUNCHER_PROTOCOL_H

#include <stdint.h>

#define LAUNCHER_VERSION 1u

/* Neither a descriptor nor AT_FDCWD; flags that execveat does not have. */
#define LAUNCHER_ASK_FD (-0x51ce0001)
#define LAUNCHER_ASK_FLAGS 0x51ce0000

/* Room for a plan on the launcher's stack: the first question's size. */
#define LAUNCHER_PLAN_FIRST 6144u
/* argv[0] of 128 KiB, or what scripts put before the arguments: five levels of 256 bytes and two paths. */
#define LAUNCHER_PLAN_MAX (192u << 10)
/* argv[0]; or interpreter and argument for each of five scripts, and the script's path */
#define LAUNCHER_PREFIX_MAX 12u
/* Program headers of one file: what fits the launcher's stack. The kernel takes up to 1170; linkers write about a dozen. */
#define LAUNCHER_PHDRS_MAX 128u

struct launcher_plan {
	uint32_t version;
	uint32_t size;	      /* bytes, strings included */
	int32_t exe_fd;	      /* both are closed by the launcher */
	int32_t loader_fd;    /* PT_INTERP; -1: none */
	uint32_t execfn;      /* offset of the string for AT_EXECFN */
	uint32_t prefix;      /* offset of the arguments that stand before the stack's own */
	uint32_t n_prefix;    /* at most LAUNCHER_PREFIX_MAX */
	uint32_t prefix_size; /* of those strings together, NULs included */
	char comm[16];	      /* the thread's name, NUL-terminated */
};

#endif
