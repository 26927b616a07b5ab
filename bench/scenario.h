/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenarios of notify_latency: what is measured side by side, round by round.
 */
#ifndef SLUICE_BENCH_SCENARIO_H
#define SLUICE_BENCH_SCENARIO_H

#include <stdbool.h>
#include <stdint.h>

#include "floor.h"
#include "report.h"
#include "stats.h"
#include "subject.h"

/* Bits of scenario.modes. */
#define MODE(m) (1u << (m))
#define MODES_ADAPTIVE MODE(SLUICE_DISPATCH_ADAPTIVE)
#define MODES_ALL \
	(MODE(SLUICE_DISPATCH_ADAPTIVE) | MODE(SLUICE_DISPATCH_POOL) | MODE(SLUICE_DISPATCH_INLINE))

/* Bits of scenario.others: hand-written ones that get a row of their own. */
#define OTHER(kind) (1u << (kind))

struct scenario {
	const char *name;
	enum area_op op;
	uint32_t modes;
	uint32_t others;
	uint32_t clients, sandboxes, chain, handler_us, blocking_pct;
	enum subject_file file;
	enum floor_kind
		native; /* does the same `op` without the library: FLOOR_BARE, FLOOR_EMPTY; FLOOR_RAW: nobody does */
};

/* One line of the table. */
struct row {
	const struct scenario *scenario;
	const char *mode; /* of dispatch, or the name of the hand-written supervisor */
	struct summary sum;
	struct summary floor;  /* FLOOR_RAW with as many clients, interleaved */
	struct summary floor1; /* FLOOR_RAW with one client, interleaved */
	struct summary native; /* zero: none */
	struct summary bare;   /* zero: none */
};

struct rows {
	struct row *row;
	size_t n;
};

struct timing {
	uint64_t round_ns;
	unsigned rounds;
	const char *path; /* a small file */
};

/* Measure @s and append its rows. 0, or -1 after a message on stderr. */
int scenario_run(const struct scenario *s, const struct timing *t, struct rows *rows);
/* The same for one stuck handler: every round needs a sandbox that has not met it. */
int scenario_run_stuck(const struct scenario *s, const struct timing *t, struct rows *rows);

#endif
