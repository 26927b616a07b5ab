/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A picture of a run of notify_latency: latencies by scenario, throughput by clients and by the share of blocking calls. Needs gnuplot.
 */
#ifndef SLUICE_BENCH_PLOT_H
#define SLUICE_BENCH_PLOT_H

#include "scenario.h"

/* Write @png. Panels of which nothing was measured are left out. 0, or -1 after a message on stderr. */
int plot(const char *png, const struct rows *rows, const json_t *meta);

#endif
