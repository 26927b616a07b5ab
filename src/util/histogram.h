/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latencies in fixed memory: eight buckets to each power of two, so a percentile is at most 12.5 % above the truth, and exact below 8 ns.
 *
 * Zeroed memory is an empty histogram. Any number of threads may add while others read; counters are relaxed, since they order nothing, so
 * what a reader sees while others add is some mixture of moments. Values above HISTOGRAM_TOP_NS share the last bucket; the maximum is exact.
 */
#ifndef SLUICE_UTIL_HISTOGRAM_H
#define SLUICE_UTIL_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS 256u
#define HISTOGRAM_TOP_NS ((UINT64_C(1) << 34) - 1) /* 17.2 s */

struct histogram {
	_Atomic uint64_t buckets[HISTOGRAM_BUCKETS]; /* atomic, statistics only */
	_Atomic uint64_t max_ns;		     /* atomic, statistics only */
};

void histogram_add(struct histogram *h, uint64_t ns);
uint64_t histogram_count(const struct histogram *h);
/*
 * The value that @percent (0-100) of the samples do not exceed, in ns: the upper edge of its bucket, never above the maximum. 100: the
 * maximum itself. 0 when the histogram is empty.
 */
uint64_t histogram_percentile(const struct histogram *h, double percent);
/* Add all of @from to @to. */
void histogram_merge(struct histogram *to, const struct histogram *from);

#endif
