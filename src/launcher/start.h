/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two things of the launcher that are not C: where it begins, and how it leaves.
 *
 * At its start the kernel gives the stack pointer at argc. START_GAP bytes below stay untouched, so that a table of arguments that
 * grows by a few words can grow downwards in place. At the end every register is zero, as the kernel leaves them.
 */
#ifndef SLUICE_LAUNCHER_START_H
#define SLUICE_LAUNCHER_START_H

#include <stddef.h>
#include <stdint.h>

#define START_GAP 256

/* Where the program begins. */
struct start {
	uint64_t entry, sp;
};

__attribute__((noreturn, used)) void launcher_main(uint64_t *sp);

#if defined(__x86_64__)

#define START_ET_DYN_BASE 0x555555554000ull
#define START_RANDOM_PAGES_BITS 28
#define START_MACHINE EM_X86_64

static inline __attribute__((noreturn, always_inline)) void start_program(const struct start *s)
{
	uint64_t *sp = (uint64_t *)s->sp;

	sp[-1] = s->entry;
	__asm__ volatile("lea -8(%0), %%rsp\n\t"
			 "xor %%eax, %%eax\n\t"
			 "xor %%ebx, %%ebx\n\t"
			 "xor %%ecx, %%ecx\n\t"
			 "xor %%edx, %%edx\n\t"
			 "xor %%esi, %%esi\n\t"
			 "xor %%edi, %%edi\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "xor %%r8d, %%r8d\n\t"
			 "xor %%r9d, %%r9d\n\t"
			 "xor %%r10d, %%r10d\n\t"
			 "xor %%r11d, %%r11d\n\t"
			 "xor %%r12d, %%r12d\n\t"
			 "xor %%r13d, %%r13d\n\t"
			 "xor %%r14d, %%r14d\n\t"
			 "xor %%r15d, %%r15d\n\t"
			 "ret"
			 :
			 : "r"(sp)
			 : "memory");
	__builtin_unreachable();
}

/* From low to high addresses. */
static inline void start_copy(unsigned char *to, const unsigned char *from, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

/* A fault and not a signal: it can be neither blocked nor ignored. */
static inline __attribute__((noreturn, always_inline)) void start_die(void)
{
	for (;;)
		__asm__ volatile("hlt");
}

#elif defined(__aarch64__)

#define START_ET_DYN_BASE 0xaaaaaaaa0000ull
#define START_RANDOM_PAGES_BITS 18
#define START_MACHINE EM_AARCH64

static inline __attribute__((noreturn, always_inline)) void start_program(const struct start *s)
{
	register uint64_t x16 __asm__("x16") = s->entry;

	/* the branch needs one register: x16 is for linkage, which no entry code looks at */
	__asm__ volatile("mov sp, %1\n\t"
			 "mov x0, xzr\n\t"
			 "mov x1, xzr\n\t"
			 "mov x2, xzr\n\t"
			 "mov x3, xzr\n\t"
			 "mov x4, xzr\n\t"
			 "mov x5, xzr\n\t"
			 "mov x6, xzr\n\t"
			 "mov x7, xzr\n\t"
			 "mov x8, xzr\n\t"
			 "mov x29, xzr\n\t"
			 "mov x30, xzr\n\t"
			 "br %0"
			 :
			 : "r"(x16), "r"(s->sp)
			 : "memory");
	__builtin_unreachable();
}

static inline void start_copy(unsigned char *to, const unsigned char *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = from[i];
}

static inline __attribute__((noreturn, always_inline)) void start_die(void)
{
	for (;;)
		__asm__ volatile("udf #0");
}

#else
#error "the launcher runs on x86_64 and aarch64"
#endif

#endif
