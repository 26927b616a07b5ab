/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox's quota for descriptors that are open already: looks at its branch when that asks for it, and keeps its processes from writing while it is full. Thread: the control thread.
 */
#ifndef SLUICE_SANDBOX_QUOTA_H
#define SLUICE_SANDBOX_QUOTA_H

#include <sluice/error.h>

struct sluice_sandbox;

/* Before anything runs. 0, also where there is no quota; -ENOTSUP, -ENOSPC. */
int quota_start(struct sluice_sandbox *s, struct sluice_error *err);
/* Nothing runs any more. */
void quota_stop(struct sluice_sandbox *s);

#endif
