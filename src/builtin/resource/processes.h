/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --max-processes: fork, vfork and clone of a process are refused with EAGAIN while the sandbox has as many as it may have. Threads are not counted.
 */
#ifndef SLUICE_BUILTIN_RESOURCE_PROCESSES_H
#define SLUICE_BUILTIN_RESOURCE_PROCESSES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct dispatch;

/*
 * Traps nothing where @limit is 0. @top: the sandbox's init process, below which its processes are; *@top is set before the first call comes, and lives as long as @d.
 * So is and does @signal_scope: engine threads can signal its processes and no others. 0 or -errno.
 */
int builtin_processes_register(struct dispatch *d, uint64_t limit, const pid_t *top,
			       const bool *signal_scope);

#endif
