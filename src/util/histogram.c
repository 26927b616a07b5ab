/* SPDX-License-Identifier: Apache-2.0 */
#include "util/histogram.h"

#define SUB_BITS 3
#define SUB_BUCKETS (1u << SUB_BITS)

/*
 * Values below SUB_BUCKETS have a bucket each. Above, a value of SUB_BITS + 1 + k bits lies in octave k, and its SUB_BITS bits
 * after the leading one choose the bucket.
 */
static unsigned bucket_of(uint64_t ns)
{
	unsigned shift;

	if (ns < SUB_BUCKETS)
		return (unsigned)ns;
	if (ns > HISTOGRAM_TOP_NS)
		ns = HISTOGRAM_TOP_NS;
	shift = 63u - (unsigned)__builtin_clzll(ns) - SUB_BITS;
	return (shift + 1) * SUB_BUCKETS + (unsigned)((ns >> shift) & (SUB_BUCKETS - 1));
}

/* Largest value of bucket @b. */
static uint64_t bucket_top(unsigned b)
{
	unsigned shift;

	if (b < SUB_BUCKETS)
		return b;
	shift = b / SUB_BUCKETS - 1;
	return ((uint64_t)(SUB_BUCKETS + b % SUB_BUCKETS + 1) << shift) - 1;
}

static uint64_t load(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

static void raise_max(struct histogram *h, uint64_t ns)
{
	uint64_t seen = load(&h->max_ns);

	while (ns > seen &&
	       !atomic_compare_exchange_weak_explicit(&h->max_ns, &seen, ns, memory_order_relaxed,
						      memory_order_relaxed))
		;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
	atomic_fetch_add_explicit(&h->buckets[bucket_of(ns)], 1, memory_order_relaxed);
	raise_max(h, ns);
}

uint64_t histogram_count(const struct histogram *h)
{
	uint64_t n = 0;

	for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
		n += load(&h->buckets[b]);
	return n;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
	uint64_t n = histogram_count(h), max = load(&h->max_ns), seen = 0;
	double wanted = (double)n * percent / 100.0;

	if (!n || percent >= 100.0)
		return max;
	for (unsigned b = 0; b < HISTOGRAM_BUCKETS - 1; b++) {
		seen += load(&h->buckets[b]);
		if (seen && (double)seen >= wanted)
			return bucket_top(b) < max ? bucket_top(b) : max;
	}
	return max;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
	for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
		atomic_fetch_add_explicit(&to->buckets[b], load(&from->buckets[b]),
					  memory_order_relaxed);
	raise_max(to, load(&from->max_ns));
}
