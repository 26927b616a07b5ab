/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From samples to figures: one summary a round, and over the rounds the median of each figure (the maximum of the maxima).
 * Pure but for the area it reads; call it between rounds.
 */
#ifndef SLUICE_BENCH_STATS_H
#define SLUICE_BENCH_STATS_H

#include <stdint.h>

#include "area.h"

#define STATS_ROUNDS_MAX 64u

/* Times of the prompt calls in microseconds. */
struct summary {
	double p50_us, p90_us, p99_us, p999_us, max_us;
	double max_median_us; /* of the rounds' maxima; in one round the same as max_us */
	double ops_s;	      /* calls of all clients, blocking ones too, per second of the round */
	double cpu_us_per_call; /* supervisor and guest */
	double blocked_p50_us;	/* of the calls that block; 0: there were none */
	double delayed;		/* prompt calls that took longer than STATS_DELAYED_US */
	double wrong;		/* calls with a wrong answer */
};

#define STATS_DELAYED_US 1000.0

/* The round that has just ended in @a; @cpu_ns is what the supervisor used. Sorts the samples. */
struct summary stats_round(struct area *a, uint64_t cpu_ns);
/* Of 1 to STATS_ROUNDS_MAX rounds. */
struct summary stats_median(const struct summary *rounds, unsigned n);
/* Sorts @values. */
double stats_median_of(double *values, unsigned n);
/* The same for the smallest value that @fraction of all do not exceed; 0 where there are none. */
double stats_quantile_of(double *values, unsigned n, double fraction);
/* @a / @b; 0 where nothing was measured. */
double stats_ratio(double a, double b);

#endif
