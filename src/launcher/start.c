/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher's first instructions: see start.h.
 */
#include "launcher/start.h"

#if defined(__x86_64__)

__asm__(".text\n"
	".globl _start\n"
	".hidden _start\n"
	"_start:\n\t"
	"xor %ebp, %ebp\n\t"
	"mov %rsp, %rdi\n\t"
	"sub $256, %rsp\n\t"
	"and $-16, %rsp\n\t"
	"call launcher_main\n\t"
	"hlt\n");

#elif defined(__aarch64__)

__asm__(".text\n"
	".globl _start\n"
	".hidden _start\n"
	"_start:\n\t"
	"mov x29, xzr\n\t"
	"mov x30, xzr\n\t"
	"mov x0, sp\n\t"
	"sub sp, sp, #256\n\t"
	"bl launcher_main\n\t"
	"udf #0\n");

#endif
