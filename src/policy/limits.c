/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings of what a sandbox may use up: time, descriptors, memory, processes, processors.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "util/fail.h"

/* A timer counts nanoseconds in a signed 64-bit number. */
#define TIMEOUT_MAX_MS ((uint64_t)INT64_MAX / 1000000)
/* No kernel lets fs.nr_open be larger. */
#define OPEN_FILES_LIMIT ((uint64_t)INT_MAX)
/* PID_MAX_LIMIT of the kernel. */
#define PROCESSES_LIMIT (UINT64_C(1) << 22)
/* Less than that and not even a shell starts. */
#define MEMORY_LEAST (UINT64_C(1) << 20)

int sluice_policy_set_timeout_ms(struct sluice_policy *p, uint64_t ms)
{
	if (ms > TIMEOUT_MAX_MS)
		return -EINVAL;
	p->timeout_ms = ms;
	p->generation++;
	return 0;
}

int sluice_policy_set_max_open_files(struct sluice_policy *p, uint64_t n, struct sluice_error *err)
{
	if (n > OPEN_FILES_LIMIT) {
		fail(err, -EINVAL, "open files: %llu: more than any kernel allows",
		     (unsigned long long)n);
		return fail_hint(err, -EINVAL, "`ulimit -Hn` shows what is allowed here");
	}
	p->max_open_files = n;
	p->generation++;
	return 0;
}

int sluice_policy_set_max_memory(struct sluice_policy *p, uint64_t bytes, struct sluice_error *err)
{
	if (bytes && bytes < MEMORY_LEAST) {
		fail(err, -EINVAL, "memory: %llu bytes: no program starts with that",
		     (unsigned long long)bytes);
		return fail_hint(err, -EINVAL, "1M is the least; 0 is no limit");
	}
	p->max_memory = bytes;
	p->generation++;
	return 0;
}

int sluice_policy_set_max_processes(struct sluice_policy *p, uint64_t n, struct sluice_error *err)
{
	if (n > PROCESSES_LIMIT) {
		fail(err, -EINVAL, "processes: %llu: more than any kernel allows",
		     (unsigned long long)n);
		return fail_hint(err, -EINVAL, "at most %llu; 0 is no limit",
				 (unsigned long long)PROCESSES_LIMIT);
	}
	p->max_processes = n;
	p->generation++;
	return 0;
}

int sluice_policy_set_cpu_percent(struct sluice_policy *p, unsigned percent,
				  struct sluice_error *err)
{
	if (percent > 100 * CPU_SETSIZE) {
		fail(err, -EINVAL, "CPU: %u %%: more than any machine has", percent);
		return fail_hint(err, -EINVAL,
				 "100 is one processor, 250 two and a half; 0 is no limit");
	}
	p->cpu_percent = percent;
	p->generation++;
	return 0;
}

/* A number at *@text, which is moved behind it. -1: none, or too large. */
static int take_core(const char **text)
{
	int n = 0;

	if (**text < '0' || **text > '9')
		return -1;
	for (; **text >= '0' && **text <= '9'; (*text)++) {
		n = 10 * n + (**text - '0');
		if (n >= CPU_SETSIZE)
			return -1;
	}
	return n;
}

/* "0-3,6" as a set; the column of what is wrong, or 0. */
static size_t parse_cores(const char *text, cpu_set_t *ret)
{
	const char *at = text;

	CPU_ZERO(ret);
	for (;;) {
		const char *begin = at;
		int first = take_core(&at), last = first;

		if (first >= 0 && *at == '-') {
			at++;
			last = take_core(&at);
		}
		if (first < 0 || last < first)
			return (size_t)(begin - text) + 1;
		for (int i = first; i <= last; i++)
			CPU_SET(i, ret);
		if (!*at)
			return 0;
		if (*at++ != ',')
			return (size_t)(at - text);
	}
}

int sluice_policy_set_cpu_cores(struct sluice_policy *p, const char *list, struct sluice_error *err)
{
	cpu_set_t set, *copy = NULL;
	size_t column = 0;

	if (list)
		column = parse_cores(list, &set);
	if (column) {
		fail(err, -EINVAL, "CPU cores: %s: column %zu: not a processor's number", list,
		     column);
		return fail_hint(err, -EINVAL, "numbers and ranges below %d, e.g. 0-3,6",
				 CPU_SETSIZE);
	}
	if (list) {
		copy = malloc(sizeof(*copy));
		if (!copy)
			return fail_errno(err, -ENOMEM, "CPU cores");
		*copy = set;
	}
	free(p->cores);
	p->cores = copy;
	p->generation++;
	return 0;
}
