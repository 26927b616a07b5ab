/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this kernel and container allow, found by trying it, not by reading a version.
 */
#ifndef SLUICE_CHECK_H
#define SLUICE_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include <sluice/export.h>

SLUICE_BEGIN_DECLS

enum sluice_probe_state {
	SLUICE_PROBE_YES = 1, /* there, and it works */
	SLUICE_PROBE_NO = 2,  /* not there; a policy can do without it, or falls back */
	SLUICE_PROBE_REQUIRED =
		3, /* not there, and nothing runs without it (or without --allow-degraded) */
};

/* name: a stable word. detail: what was seen, e.g. "ABI 7". remedy: what to do where it is missing, else "". */
struct sluice_probe {
	const char *name;
	uint32_t state; /* enum sluice_probe_state */
	char detail[128];
	const char *remedy;
};

/*
 * Probe everything; blocks for a few milliseconds and forks short-lived children (invisible to wait(-1)).
 * Writes at most @max probes, returns how many there are, or a negative errno.
 */
SLUICE_API int sluice_check(struct sluice_probe *ret, size_t max);

SLUICE_END_DECLS

#endif
