/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a seccomp program what was asked for? See verify.c.
 */
#ifndef SLUICE_CONFINE_VERIFY_H
#define SLUICE_CONFINE_VERIFY_H

#include <linux/filter.h>
#include <stdint.h>

/* What @prog answers to call @nr of the native ABI with these arguments. 0 (kill) for a broken program. */
uint32_t verify_run(const struct sock_fprog *prog, int nr, const uint64_t args[6]);

#endif
