/* SPDX-License-Identifier: Apache-2.0 */
#include "stats.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static int compare_samples(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int compare_doubles(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The smallest sample that @fraction of all do not exceed, in microseconds. */
static double quantile_us(const uint32_t *sorted, size_t n, double fraction, double unit)
{
	size_t at;

	if (n == 0)
		return 0;
	at = (size_t)(fraction * (double)n);
	if (at >= n)
		at = n - 1;
	return (double)(sorted[at] & ~AREA_SAMPLE_BLOCKING) / unit / 1000.0;
}

/* Move the samples of all clients together at the beginning. Returns how many there are. */
static size_t gather(struct area *a)
{
	size_t n = 0;

	for (uint32_t i = 0; i < a->active; i++) {
		size_t count = a->clients[i].n_samples;

		memmove(a->samples + n, area_samples(a, a->active, i), count * sizeof(*a->samples));
		n += count;
	}
	return n;
}

struct summary stats_round(struct area *a, uint64_t cpu_ns)
{
	const double unit = a->op == AREA_GETPPID ? AREA_BATCH : 1;
	uint64_t calls = 0;
	size_t n = gather(a), n_prompt = 0;
	const uint32_t *blocked;
	struct summary s = { 0 };

	for (uint32_t i = 0; i < a->active; i++) {
		const struct area_client *c = &a->clients[i];

		calls += c->calls;
		s.ops_s += c->calls_s * unit;
		cpu_ns += c->cpu_ns;
		s.wrong += (double)c->wrong;
	}
	/* by the mark in the top bit, prompt calls come first */
	qsort(a->samples, n, sizeof(*a->samples), compare_samples);
	while (n_prompt < n && !(a->samples[n_prompt] & AREA_SAMPLE_BLOCKING))
		n_prompt++;
	blocked = a->samples + n_prompt;
	s.p50_us = quantile_us(a->samples, n_prompt, 0.5, unit);
	s.p90_us = quantile_us(a->samples, n_prompt, 0.9, unit);
	s.p99_us = quantile_us(a->samples, n_prompt, 0.99, unit);
	s.p999_us = quantile_us(a->samples, n_prompt, 0.999, unit);
	s.max_us = quantile_us(a->samples, n_prompt, 1, unit);
	s.max_median_us = s.max_us;
	s.blocked_p50_us = quantile_us(blocked, n - n_prompt, 0.5, unit);
	for (size_t i = n_prompt; i > 0 && a->samples[i - 1] / 1000.0 > STATS_DELAYED_US; i--)
		s.delayed++;
	s.cpu_us_per_call = calls ? (double)cpu_ns / 1000.0 / unit / (double)calls : 0;
	return s;
}

double stats_median_of(double *values, unsigned n)
{
	qsort(values, n, sizeof(*values), compare_doubles);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double stats_quantile_of(double *values, unsigned n, double fraction)
{
	unsigned at = (unsigned)(fraction * n);

	qsort(values, n, sizeof(*values), compare_doubles);
	return n ? values[at < n ? at : n - 1] : 0;
}

double stats_ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}

static double median_field(const struct summary *rounds, unsigned n, size_t offset)
{
	double values[STATS_ROUNDS_MAX];

	for (unsigned i = 0; i < n; i++)
		memcpy(&values[i], (const char *)&rounds[i] + offset, sizeof(values[i]));
	return stats_median_of(values, n);
}

struct summary stats_median(const struct summary *rounds, unsigned n)
{
	static const size_t medians[] = {
		offsetof(struct summary, p50_us),	  offsetof(struct summary, p90_us),
		offsetof(struct summary, p99_us),	  offsetof(struct summary, p999_us),
		offsetof(struct summary, ops_s),	  offsetof(struct summary, cpu_us_per_call),
		offsetof(struct summary, blocked_p50_us), offsetof(struct summary, delayed),
		offsetof(struct summary, max_median_us),
	};
	struct summary s = { 0 };

	for (size_t i = 0; i < sizeof(medians) / sizeof(medians[0]); i++) {
		double value = median_field(rounds, n, medians[i]);

		memcpy((char *)&s + medians[i], &value, sizeof(value));
	}
	for (unsigned i = 0; i < n; i++) {
		s.max_us = rounds[i].max_us > s.max_us ? rounds[i].max_us : s.max_us;
		s.wrong += rounds[i].wrong;
	}
	return s;
}
