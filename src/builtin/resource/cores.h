/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --cpu-cores: what the command sets its threads' affinity to stays within the processors that the sandbox has.
 */
#ifndef SLUICE_BUILTIN_RESOURCE_CORES_H
#define SLUICE_BUILTIN_RESOURCE_CORES_H

#include <sched.h>
#include <sys/types.h>

struct dispatch;

/* Traps nothing where @cores (copied) is NULL. @top: as in processes.h. 0 or -errno. */
int builtin_cores_register(struct dispatch *d, const cpu_set_t *cores, const pid_t *top);

#endif
