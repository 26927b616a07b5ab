/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seccomp programs, written from their end to their beginning.
 *
 * Jumps of such a program only go forward, so whoever writes it backwards knows where each goes. A place is named by how many instructions lie
 * behind it. A conditional jump reaches 255 instructions; where that is not enough a second one is put in between. Pure; any thread.
 */
#ifndef SLUICE_CONFINE_ASSEMBLE_H
#define SLUICE_CONFINE_ASSEMBLE_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

struct assembly {
	struct sock_filter code[BPF_MAXINSNS]; /* filled from the end */
	size_t n;			       /* so many of them; more than fit: too long */
};

/* Where a program ends with the answer @k. */
size_t assemble_return(struct assembly *a, uint32_t k);
/* A jump of kind @op (BPF_JEQ ...) on the accumulator and @k, to place @yes or @no. */
size_t assemble_test(struct assembly *a, unsigned op, uint32_t k, size_t yes, size_t no);
/* These go on with what was written last. */
size_t assemble_load(struct assembly *a, size_t offset);
size_t assemble_and(struct assembly *a, uint32_t mask);
/* The whole, on the heap. 0, -E2BIG or -ENOMEM. */
int assemble_end(const struct assembly *a, struct sock_fprog *ret);

#endif
