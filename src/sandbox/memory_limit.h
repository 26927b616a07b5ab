/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox's limit of memory: samples what its processes have, and kills the one that has most while it is too much. Thread: the control thread, but where it says otherwise.
 */
#ifndef SLUICE_SANDBOX_MEMORY_LIMIT_H
#define SLUICE_SANDBOX_MEMORY_LIMIT_H

#include <stdint.h>

#include <sluice/error.h>

struct sluice_sandbox;

/* The command runs. 0, also where there is no limit; -ENOMEM. */
int memory_limit_start(struct sluice_sandbox *s, struct sluice_error *err);
/* Bytes that the last look found, for a sandbox with a limit. Any thread. */
uint64_t memory_limit_used(void *sandbox);
/* Nothing runs any more. */
void memory_limit_stop(struct sluice_sandbox *s);

#endif
