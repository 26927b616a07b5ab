/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sandboxes of one process share: a bound on their number and totals over all of them.
 *
 * Optional: a sandbox without a supervisor stands alone. All calls may come from any thread.
 */
#ifndef SLUICE_SUPERVISOR_H
#define SLUICE_SUPERVISOR_H

#include <stdint.h>

#include <sluice/export.h>

SLUICE_BEGIN_DECLS

struct sluice_supervisor;

/* NULL when memory is short. @max_sandboxes: running at a time, 0 = 4096; one more is refused with -EAGAIN. */
SLUICE_API struct sluice_supervisor *sluice_supervisor_new(unsigned max_sandboxes);
SLUICE_API struct sluice_supervisor *sluice_supervisor_ref(struct sluice_supervisor *v);
SLUICE_API struct sluice_supervisor *sluice_supervisor_unref(struct sluice_supervisor *v);

struct sluice_totals {
	uint64_t running;	/* sandboxes now */
	uint64_t started;	/* ever */
	uint64_t notifications; /* of those that ended */
	uint64_t denied;
};
SLUICE_API void sluice_supervisor_totals(struct sluice_supervisor *v, struct sluice_totals *ret);

SLUICE_END_DECLS

#endif
