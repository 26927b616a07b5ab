/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Futex wait and wake on a process-private word. Any thread.
 */
#ifndef SLUICE_SYS_FUTEX_H
#define SLUICE_SYS_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/* Sleep while *word == expected, at most @timeout_ms (-1: for ever). 0 woken or changed, -ETIMEDOUT. Spurious returns happen. */
int futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ms);
/* Wake up to @n waiters. Returns how many were woken. */
int futex_wake(_Atomic uint32_t *word, int n);

#endif
