/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls without libc: no errno, no thread-local storage, no cancellation. For code that runs in a process which shares its parent's memory
 * (between clone and exec) and must not leave a trace there. They return the kernel's value: a negative errno on failure.
 */
#ifndef SLUICE_SYS_RAW_H
#define SLUICE_SYS_RAW_H

#include <linux/sched.h>
#include <stdint.h>
#include <sys/syscall.h>

#define RAW_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)

RAW_INLINE long raw_call6(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/* clone(2) into @fn(@arg) on the stack that ends at @stack_top (16-byte aligned); the child ends with fn's value. */
RAW_INLINE long raw_clone(unsigned long flags, void *stack_top, int *parent_tid, void *child_tid,
			  int (*fn)(void *), void *arg)
{
	long ret;
	void **sp = stack_top;
	register void *r10 __asm__("r10") = child_tid;
	register long r8 __asm__("r8") = 0;

	*--sp = arg;
	*--sp = (void *)(uintptr_t)fn;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "pop %%rax\n\t"
			 "pop %%rdi\n\t"
			 "call *%%rax\n\t"
			 "mov %%eax, %%edi\n\t"
			 "mov %[exit], %%eax\n\t"
			 "syscall\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(ret)
			 : "a"((long)SYS_clone), "D"(flags), "S"(sp), "d"(parent_tid), "r"(r10),
			   "r"(r8), [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	return ret;
}

/* The same by clone3(2): @args with the lowest address of the stack and its size, @size that of @args. @fn and @arg are put at the stack's upper end. */
RAW_INLINE long raw_clone3(struct clone_args *args, int (*fn)(void *), void *arg)
{
	long ret;
	void **sp = (void **)(uintptr_t)(args->stack + args->stack_size);

	*--sp = arg;
	*--sp = (void *)(uintptr_t)fn;
	args->stack_size -= 2 * sizeof(*sp);
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "pop %%rax\n\t"
			 "pop %%rdi\n\t"
			 "call *%%rax\n\t"
			 "mov %%eax, %%edi\n\t"
			 "mov %[exit], %%eax\n\t"
			 "syscall\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(ret)
			 : "a"((long)SYS_clone3), "D"(args),
			   "S"(sizeof(*args)), [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	return ret;
}

#elif defined(__aarch64__)

RAW_INLINE long raw_call6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}

RAW_INLINE long raw_clone(unsigned long flags, void *stack_top, int *parent_tid, void *child_tid,
			  int (*fn)(void *), void *arg)
{
	void **sp = stack_top;
	register long x8 __asm__("x8") = SYS_clone;
	register long x0 __asm__("x0") = (long)flags;
	register void **x1 __asm__("x1") = sp - 2;
	register int *x2 __asm__("x2") = parent_tid;
	register long x3 __asm__("x3") = 0;
	register void *x4 __asm__("x4") = child_tid;

	sp[-2] = (void *)(uintptr_t)fn;
	sp[-1] = arg;
	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t"
			 "mov x30, xzr\n\t"
			 "ldp x1, x0, [sp], #16\n\t"
			 "blr x1\n\t"
			 "mov x8, %[exit]\n\t"
			 "svc #0\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), [exit] "i"(SYS_exit)
			 : "memory");
	return x0;
}

RAW_INLINE long raw_clone3(struct clone_args *args, int (*fn)(void *), void *arg)
{
	void **sp = (void **)(uintptr_t)(args->stack + args->stack_size);
	register long x8 __asm__("x8") = SYS_clone3;
	register struct clone_args *x0 __asm__("x0") = args;
	register long x1 __asm__("x1") = sizeof(*args);

	sp[-2] = (void *)(uintptr_t)fn;
	sp[-1] = arg;
	args->stack_size -= 2 * sizeof(*sp);
	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t"
			 "mov x30, xzr\n\t"
			 "ldp x1, x0, [sp], #16\n\t"
			 "blr x1\n\t"
			 "mov x8, %[exit]\n\t"
			 "svc #0\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), [exit] "i"(SYS_exit)
			 : "memory");
	return (long)x0;
}

#else
#error "sluice runs on x86_64 and aarch64"
#endif

#define RAW_ARG(x) ((long)(x))
#define raw_call(nr, a, b, c, d, e) \
	raw_call6(nr, RAW_ARG(a), RAW_ARG(b), RAW_ARG(c), RAW_ARG(d), RAW_ARG(e), 0)

#endif
