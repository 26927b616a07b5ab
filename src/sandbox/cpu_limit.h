/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox's limit of processor time: stops all of its processes when they have used up what the time gave them, and lets them go on when it has given more. Thread: the control thread.
 */
#ifndef SLUICE_SANDBOX_CPU_LIMIT_H
#define SLUICE_SANDBOX_CPU_LIMIT_H

#include <sluice/error.h>

struct sluice_sandbox;

/* The command runs. 0, also where there is no limit; -ENOMEM. */
int cpu_limit_start(struct sluice_sandbox *s, struct sluice_error *err);
/* Nothing runs any more. */
void cpu_limit_stop(struct sluice_sandbox *s);

#endif
