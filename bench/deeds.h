/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What copy-on-write costs where a single call moves much data or a command many names, each against the plain way to the same end:
 *
 *	copy_up		the first open for writing of a large file; `cp --reflink=auto` of it. And the p99 of opens of another file meanwhile, and without
 *	commit		`sluice cow commit` of many new small files; `mv` and `sync -f` of as many
 *	rm		`rm -rf` of many files that are new in the branch; of as many in a plain directory
 */
#ifndef SLUICE_BENCH_DEEDS_H
#define SLUICE_BENCH_DEEDS_H

#include <stdbool.h>
#include <stddef.h>

#include "stats.h"

struct deed_place;

struct deed {
	const char *name;
	/* One round, in a directory that is made before and emptied afterwards. 0, or -1 after a message. */
	int (*run)(const struct deed_place *p, struct deed *d, unsigned round);
	double bound; /* of ms over reference_ms */
	double ms[STATS_ROUNDS_MAX], reference_ms[STATS_ROUNDS_MAX];
	/* copy_up only */
	double idle_p99_us[STATS_ROUNDS_MAX], busy_p99_us[STATS_ROUNDS_MAX];
};

#define DEEDS 3
extern struct deed deeds[DEEDS];

struct deed_place {
	const char *self, *command; /* this program and sluice */
	const char *dir;	    /* empty, ours */
	bool quick;
};

/* One round of @d. 0, or -1 after a message. */
int deed_round(const struct deed_place *p, struct deed *d, unsigned round);
/* Where main finds itself started by a deed: its exit status, or -1. */
int deed_be_guest(int argc, char *argv[]);

#endif
