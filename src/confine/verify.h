/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a seccomp program what was asked for? See verify.c.
 */
#ifndef SLUICE_CONFINE_VERIFY_H
#define SLUICE_CONFINE_VERIFY_H

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>

#if defined(__x86_64__)
#define VERIFY_ARCH AUDIT_ARCH_X86_64
#define VERIFY_OTHER_ARCH AUDIT_ARCH_I386
#define VERIFY_X32_BIT 0x40000000
#else
#define VERIFY_ARCH AUDIT_ARCH_AARCH64
#define VERIFY_OTHER_ARCH AUDIT_ARCH_ARM
#define VERIFY_X32_BIT 0x40000000 /* only an unknown number here */
#endif

/* What @prog answers to the call @data. SECCOMP_RET_KILL_THREAD for a broken program. */
uint32_t verify_run(const struct sock_fprog *prog, const struct seccomp_data *data);
/* The same to a call of this number and ABI whatever its arguments are. SECCOMP_RET_KILL_THREAD if it looks at them. */
uint32_t verify_run_number(const struct sock_fprog *prog, int nr, uint32_t arch);

#endif
