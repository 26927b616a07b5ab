/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The assembler: see assemble.h.
 */
#include "confine/assemble.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REACH 255 /* of a conditional jump: its distances have 8 bits */

static struct sock_filter *at_place(struct assembly *a, size_t place)
{
	return &a->code[BPF_MAXINSNS - 1 - place];
}

/* A program that is too long goes on being counted and is refused at its end. */
static size_t put(struct assembly *a, unsigned code, uint32_t k, size_t yes, size_t no)
{
	if (a->n < BPF_MAXINSNS)
		*at_place(a, a->n) =
			(struct sock_filter){ (uint16_t)code, (uint8_t)yes, (uint8_t)no, k };
	return a->n++;
}

/* Instructions between the next one and @place. */
static size_t distance(const struct assembly *a, size_t place)
{
	return a->n - place - 1;
}

/* An equal place that a test can reach although @more instructions may come between. */
static size_t within_reach(struct assembly *a, size_t place, size_t more)
{
	if (distance(a, place) + more <= REACH)
		return place;
	return put(a, BPF_JMP | BPF_JA, (uint32_t)distance(a, place), 0, 0);
}

size_t assemble_return(struct assembly *a, uint32_t k)
{
	size_t n = a->n < BPF_MAXINSNS ? a->n : BPF_MAXINSNS;

	/* one that is there already, and near */
	for (size_t place = n; place-- > 0 && distance(a, place) < REACH - 2;) {
		const struct sock_filter *f = at_place(a, place);

		if (f->code == (BPF_RET | BPF_K) && f->k == k)
			return place;
	}
	return put(a, BPF_RET | BPF_K, k, 0, 0);
}

size_t assemble_test(struct assembly *a, unsigned op, uint32_t k, size_t yes, size_t no)
{
	yes = within_reach(a, yes, 1);
	no = within_reach(a, no, 0);
	return put(a, BPF_JMP | op | BPF_K, k, distance(a, yes), distance(a, no));
}

size_t assemble_load(struct assembly *a, size_t offset)
{
	return put(a, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

size_t assemble_and(struct assembly *a, uint32_t mask)
{
	return put(a, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
}

int assemble_end(const struct assembly *a, struct sock_fprog *ret)
{
	if (a->n > BPF_MAXINSNS)
		return -E2BIG;
	ret->filter = malloc(a->n * sizeof(*ret->filter));
	if (!ret->filter)
		return -ENOMEM;
	memcpy(ret->filter, &a->code[BPF_MAXINSNS - a->n], a->n * sizeof(*ret->filter));
	ret->len = (unsigned short)a->n;
	return 0;
}
