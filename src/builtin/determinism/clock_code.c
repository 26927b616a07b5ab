/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of the vDSO go on answering without a call. clock_gettime begins with a jump to code of ours, which for the time of day asks the original for
 * CLOCK_MONOTONIC and adds to it. That has the advantage that the original, where it cannot answer by itself (a machine without a usable TSC), makes a system call that is not trapped.
 * The code lies where gettimeofday was, which it replaces too: no other function jumps into the middle of that. The first instructions of the original were moved behind it.
 *
 *	clock_gettime:	jmp wall		gettimeofday:	... call wall ...
 *	rest:		...			time:		... call wall ...
 *						wall:		... call original; add ...
 *						original:	the first instructions; jmp rest
 *
 * Where the original begins with an instruction that cannot be moved, where a function is missing or too short, and on arm64, each of them makes its system call, which is trapped: the same answers, for microseconds
 * instead of nanoseconds.
 */
#define _GNU_SOURCE
#include "builtin/determinism/clock_code.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

#include "builtin/determinism/start.h"
#include "builtin/determinism/vdso.h"

#define NS_PER_S 1000000000

static void add_part(struct clock_code *c, uint64_t offset, const void *code, size_t size)
{
	struct clock_code_part *p = &c->parts[c->n++];

	p->offset = offset;
	p->size = size;
	memcpy(p->code, code, size);
}

/* ---- plain calls ---- */

/* A function that there is not is none that tells the time. */
static int add_call(struct clock_code *c, const char *name, int nr)
{
	struct vdso_function f = vdso_find(name);
	unsigned char code[VDSO_CALL_BYTES_MAX];
	size_t size = vdso_call(nr, code);

	if (!f.code)
		return 0;
	if (f.size < size)
		return -EOPNOTSUPP;
	add_part(c, f.offset, code, size);
	return 0;
}

static int make_calls(struct clock_code *c)
{
	int r = add_call(c, "clock_gettime", SYS_clock_gettime);

	if (r == 0 && !c->n && getauxval(AT_SYSINFO_EHDR)) /* they must be under other names */
		return -EOPNOTSUPP;
	if (r == 0)
		r = add_call(c, "gettimeofday", SYS_gettimeofday);
#ifdef SYS_time
	if (r == 0)
		r = add_call(c, "time", SYS_time);
#endif
	return r;
}

#if defined(__x86_64__)

/* ---- code of our own ---- */

/* Numbers of system calls and clocks: 96 gettimeofday, 228 clock_gettime; 0, 5, 11 the time of day, its coarse form, TAI; 1, 6 monotonic. */
__asm__(".pushsection .rodata\n"
	".balign 16\n"
	"clock_code_begin:\n" /* gettimeofday(rdi: struct timeval, rsi: struct timezone) */
	"	test	%rsi, %rsi\n"
	"	jnz	3f\n"
	"	test	%rdi, %rdi\n"
	"	jz	1f\n"
	"	push	%rdi\n"
	"	mov	%rdi, %rsi\n" /* two numbers of 8 bytes, as a timespec */
	"	xor	%edi, %edi\n"
	"	call	clock_code_wall\n"
	"	pop	%rdi\n"
	"	test	%eax, %eax\n"
	"	jnz	2f\n"
	"	mov	8(%rdi), %rax\n"
	"	xor	%edx, %edx\n"
	"	mov	$1000, %ecx\n"
	"	div	%rcx\n"
	"	mov	%rax, 8(%rdi)\n"
	"1:	xor	%eax, %eax\n"
	"2:	ret\n"
	"3:	mov	$96, %eax\n"
	"	syscall\n"
	"	ret\n"
	".balign 16\n"
	"clock_code_time:\n" /* time(rdi: time_t, or NULL) */
	"	push	%rdi\n"
	"	sub	$16, %rsp\n"
	"	mov	%rsp, %rsi\n"
	"	mov	$5, %edi\n"
	"	call	clock_code_wall\n"
	"	mov	(%rsp), %rax\n"
	"	add	$16, %rsp\n"
	"	pop	%rdi\n"
	"	test	%rdi, %rdi\n"
	"	jz	1f\n"
	"	mov	%rax, (%rdi)\n"
	"1:	ret\n"
	".balign 16\n"
	"clock_code_wall:\n" /* clock_gettime(edi: clock, rsi: struct timespec) */
	"	test	%edi, %edi\n"
	"	jz	2f\n"
	"	cmp	$5, %edi\n"
	"	jz	1f\n"
	"	cmp	$11, %edi\n"
	"	jnz	clock_code_original\n"
	"	mov	$228, %eax\n"
	"	syscall\n"
	"	ret\n"
	"1:	mov	$5, %edi\n" /* and 1 */
	"2:	inc	%edi\n"
	"	push	%rsi\n"
	"	call	clock_code_original\n"
	"	pop	%rsi\n"
	"	test	%eax, %eax\n"
	"	jnz	4f\n"
	"	mov	clock_code_shift(%rip), %rdx\n"
	"	mov	8+clock_code_shift(%rip), %rcx\n"
	"	add	8(%rsi), %rcx\n"
	"	cmp	$1000000000, %rcx\n"
	"	jb	3f\n"
	"	sub	$1000000000, %rcx\n"
	"	inc	%rdx\n"
	"3:	add	%rdx, (%rsi)\n"
	"	mov	%rcx, 8(%rsi)\n"
	"4:	ret\n"
	".balign 8\n"
	"clock_code_shift:\n" /* seconds, nanoseconds */
	"	.quad	0, 0\n"
	"clock_code_original:\n"
	".popsection\n");
extern const unsigned char clock_code_begin[] __attribute__((visibility("hidden")));
extern const unsigned char clock_code_time[] __attribute__((visibility("hidden")));
extern const unsigned char clock_code_wall[] __attribute__((visibility("hidden")));
extern const unsigned char clock_code_shift[] __attribute__((visibility("hidden")));
extern const unsigned char clock_code_original[] __attribute__((visibility("hidden")));

#define JUMP_BYTES 5
#define MOVED_BYTES_MAX (4 * JUMP_BYTES)

static void write_i32(unsigned char *to, uint64_t value)
{
	uint32_t low = (uint32_t)value;

	memcpy(to, &low, sizeof(low));
}

/* jmp from @at to @target. */
static void write_jump(unsigned char *to, uint64_t at, uint64_t target)
{
	*to = 0xe9;
	write_i32(to + 1, target - at - JUMP_BYTES);
}

/* Operations between registers, by their first byte. */
static bool is_of_registers(unsigned char op)
{
	return op == 0x01 || op == 0x09 || op == 0x21 || op == 0x29 || op == 0x31 || op == 0x39 ||
	       op == 0x85 || op == 0x89 || op == 0x8b;
}

/* Size of an instruction that does the same wherever it lies; 0: not known to be one. */
static size_t movable_size(const unsigned char *code)
{
	static const unsigned char endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	size_t rex = *code >= 0x40 && *code <= 0x4f;
	const unsigned char *op = code + rex;
	bool registers;

	if (!memcmp(code, endbr64, sizeof(endbr64)))
		return sizeof(endbr64);
	if (*op >= 0x50 && *op <= 0x57) /* push */
		return rex + 1;
	registers = op[1] >= 0xc0;
	if (is_of_registers(*op) && registers)
		return rex + 2;
	if (*op == 0x83 && registers) /* and a number of 8 bits */
		return rex + 3;
	if (*op == 0x81 && registers) /* ... of 32 */
		return rex + 6;
	return *op >= 0xb8 && *op <= 0xbf && !(rex && *code & 8) ? rex + 5 : 0;
}

/* Size of a conditional jump, and to where it goes from @at; 0: it is none. */
static size_t jump_size(const unsigned char *code, uint64_t at, uint64_t *ret_target)
{
	int32_t far;

	if (code[0] >= 0x70 && code[0] <= 0x7f) {
		*ret_target = at + 2 + (uint64_t)(int64_t)(signed char)code[1];
		return 2;
	}
	if (code[0] != 0x0f || code[1] < 0x80 || code[1] > 0x8f)
		return 0;
	memcpy(&far, code + 2, sizeof(far));
	*ret_target = at + 6 + (uint64_t)(int64_t)far;
	return 6;
}

size_t clock_code_move(const unsigned char *code, uint64_t at, size_t need, unsigned char *to,
		       uint64_t to_at, size_t *ret_taken)
{
	size_t taken = 0, n = 0;

	while (taken < need) {
		size_t size = movable_size(code + taken);
		uint64_t target;

		if (size) {
			memcpy(to + n, code + taken, size);
			n += size;
		} else {
			size = jump_size(code + taken, at + taken, &target);
			if (!size || (target > at && target < at + need))
				return 0;
			to[n] = 0x0f;
			to[n + 1] = size == 2 ? code[taken] + 0x10 : code[taken + 1];
			write_i32(to + n + 2, target - (to_at + n + 6));
			n += 6;
		}
		taken += size;
	}
	*ret_taken = taken;
	return n;
}

static void write_shift(unsigned char *code, int64_t shift_ns)
{
	int64_t parts[2] = { shift_ns / NS_PER_S, shift_ns % NS_PER_S };

	if (parts[1] < 0) {
		parts[0]--;
		parts[1] += NS_PER_S;
	}
	memcpy(code + (clock_code_shift - clock_code_begin), parts, sizeof(parts));
}

static void add_jump(struct clock_code *c, uint64_t at, uint64_t target)
{
	unsigned char code[JUMP_BYTES];

	write_jump(code, at, target);
	add_part(c, at, code, sizeof(code));
}

static bool make_own(struct clock_code *c, int64_t shift_ns)
{
	struct vdso_function wall = vdso_find("clock_gettime"), day = vdso_find("gettimeofday"),
			     seconds = vdso_find("time");
	size_t size = (size_t)(clock_code_original - clock_code_begin), moved, taken;
	unsigned char code[CLOCK_CODE_BYTES] = { 0 };

	if (size + MOVED_BYTES_MAX + JUMP_BYTES > sizeof(code) ||
	    day.size < size + MOVED_BYTES_MAX + JUMP_BYTES || seconds.size < JUMP_BYTES ||
	    wall.size < MOVED_BYTES_MAX)
		return false;
	memcpy(code, clock_code_begin, size);
	write_shift(code, shift_ns);
	moved = clock_code_move(wall.code, wall.offset, JUMP_BYTES, code + size, day.offset + size,
				&taken);
	if (!moved)
		return false;
	size += moved;
	write_jump(code + size, day.offset + size, wall.offset + taken);
	add_part(c, day.offset, code, size + JUMP_BYTES);
	add_jump(c, seconds.offset, day.offset + (uint64_t)(clock_code_time - clock_code_begin));
	add_jump(c, wall.offset, day.offset + (uint64_t)(clock_code_wall - clock_code_begin));
	return true;
}

int clock_code_make(struct clock_code *ret, int64_t shift_ns)
{
	ret->n = 0;
	return make_own(ret, shift_ns) ? 0 : make_calls(ret);
}

#else

int clock_code_make(struct clock_code *ret, int64_t shift_ns)
{
	(void)shift_ns;
	ret->n = 0;
	return make_calls(ret);
}

#endif

int clock_code_put(const struct clock_code *c, const struct start *s)
{
	int r = 0;

	for (size_t i = 0; s->vdso && r >= 0 && i < c->n; i++)
		r = vdso_put(s, c->parts[i].offset, c->parts[i].code, c->parts[i].size);
	return r < 0 ? r : 0;
}
