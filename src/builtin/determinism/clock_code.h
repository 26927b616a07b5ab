/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in the vDSO for the functions that tell the time of day. Pure but for clock_code_put; any thread.
 */
#ifndef SLUICE_BUILTIN_DETERMINISM_CLOCK_CODE_H
#define SLUICE_BUILTIN_DETERMINISM_CLOCK_CODE_H

#include <stddef.h>
#include <stdint.h>

struct start;

#define CLOCK_CODE_BYTES 384
#define CLOCK_CODE_PARTS 3

struct clock_code {
	struct clock_code_part {
		uint64_t offset; /* in the image */
		size_t size;
		unsigned char code[CLOCK_CODE_BYTES];
	} parts[CLOCK_CODE_PARTS];
	size_t n;
};

/* The time of day is CLOCK_MONOTONIC and @shift_ns. 0; -EOPNOTSUPP: there is a vDSO whose functions cannot be replaced. */
int clock_code_make(struct clock_code *ret, int64_t shift_ns);
/* Put it into a program that begins. 0 or -EIO. */
int clock_code_put(const struct clock_code *c, const struct start *s);

/*
 * x86-64: copy instructions from the beginning of @code, which lies at @at, to @to, which will lie at @to_at, until @need bytes are copied, so that they do the same there. Returns how many
 * bytes they take in the new place (at most 4 * @need), *ret_taken in the old one; 0: there is one among them that this does not know.
 */
size_t clock_code_move(const unsigned char *code, uint64_t at, size_t need, unsigned char *to,
		       uint64_t to_at, size_t *ret_taken);

#endif
