/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An interpreter of seccomp programs, as far as filter.c uses them.
 *
 * The compiled program is the only thing between a command and a denied call, so it is run for each call before it is used. Pure; any thread.
 */
#include "confine/verify.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static bool taken(const struct sock_filter *f, uint32_t a)
{
	switch (BPF_OP(f->code)) {
	case BPF_JEQ:
		return a == f->k;
	case BPF_JGT:
		return a > f->k;
	case BPF_JGE:
		return a >= f->k;
	default: /* BPF_JSET */
		return a & f->k;
	}
}

static uint32_t load(const struct seccomp_data *data, uint32_t at)
{
	uint32_t word = 0;

	if (at <= sizeof(*data) - sizeof(word))
		memcpy(&word, (const char *)data + at, sizeof(word));
	return word;
}

/* Runs @prog as long as it loads nothing of @data from byte @bound on. */
static uint32_t run_below(const struct sock_fprog *prog, const struct seccomp_data *data,
			  size_t bound)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < prog->len; pc++) {
		const struct sock_filter *f = &prog->filter[pc];

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (f->k >= bound)
				return SECCOMP_RET_KILL_THREAD;
			a = load(data, f->k);
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= f->k;
			break;
		case BPF_JMP | BPF_JA:
			pc += f->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
		case BPF_JMP | BPF_JGT | BPF_K:
		case BPF_JMP | BPF_JGE | BPF_K:
		case BPF_JMP | BPF_JSET | BPF_K:
			pc += taken(f, a) ? f->jt : f->jf;
			break;
		case BPF_RET | BPF_K:
			return f->k;
		default:
			return SECCOMP_RET_KILL_THREAD;
		}
	}
	return SECCOMP_RET_KILL_THREAD;
}

uint32_t verify_run(const struct sock_fprog *prog, const struct seccomp_data *data)
{
	return run_below(prog, data, SIZE_MAX);
}

uint32_t verify_run_number(const struct sock_fprog *prog, int nr, uint32_t arch)
{
	struct seccomp_data data = { .nr = nr, .arch = arch };

	return run_below(prog, &data, offsetof(struct seccomp_data, instruction_pointer));
}
