/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another task's memory by thread id.
 *
 * Two ways: process_vm_readv/writev (needs no descriptor), and /proc/TID/mem where a container profile refuses those. Neither knows
 * whether @tid is still the task that was meant: the caller checks its notification afterwards (task/memory.h does).
 * Any thread.
 */
#ifndef SLUICE_SYS_MEMORY_H
#define SLUICE_SYS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Copy up to @size bytes. Returns how many (short at an unmapped page), -EFAULT when none, -ESRCH, -EPERM. */
ssize_t memory_read(pid_t tid, uint64_t addr, void *buf, size_t size, bool by_proc);
/* The same, to the task. Page protection is honoured in both ways, as in reads. */
ssize_t memory_write(pid_t tid, uint64_t addr, const void *buf, size_t size, bool by_proc);

#endif
