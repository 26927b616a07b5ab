/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `sluice run` says at the end: the status line, and the statistics as text or JSON.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/run.h"
#include "util/cleanup.h"
#include "util/fail.h"
#include "util/jsontext.h"
#include "util/quote.h"

#define STATUS_BYTES 2048
#define PROCESS_LINES 40

static double to_ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

const char *report_end(const struct sluice_result *result)
{
	switch (result->end) {
	case SLUICE_ENDED_EXIT:
		return "exit";
	case SLUICE_ENDED_SIGNAL:
		return "signal";
	case SLUICE_ENDED_TIMEOUT:
		return "timeout";
	case SLUICE_ENDED_KILLED:
		return "killed";
	case SLUICE_ENDED_QUOTA:
		return "quota";
	default:
		return "fault";
	}
}

/* All of @text; the reader may be gone. */
static int write_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

/* The members that say how it ended, without braces. */
static int end_members(const char *name, const struct sluice_result *r, char *buf, size_t size)
{
	char quoted[512];

	quote_json(name, strlen(name), quoted, sizeof(quoted));
	return snprintf(buf, size,
			"\"name\":\"%s\",\"end\":\"%s\",\"exit_code\":%d,\"signal\":%d,"
			"\"core_dumped\":%s,\"wall_ms\":%.3f,\"user_ms\":%.3f,\"system_ms\":%.3f,"
			"\"max_rss_kib\":%llu,\"memory_peak\":%llu,\"memory_kills\":%llu,"
			"\"stopped_ms\":%.3f,\"notifications\":%llu,\"denied\":%llu",
			quoted, report_end(r), r->exit_code, r->signal,
			r->core_dumped ? "true" : "false", to_ms(r->wall_ns),
			(double)r->user_us / 1e3, (double)r->system_us / 1e3,
			(unsigned long long)r->max_rss_kib, (unsigned long long)r->memory_peak,
			(unsigned long long)r->memory_kills, (double)r->stopped_us / 1e3,
			(unsigned long long)r->notifications, (unsigned long long)r->denied);
}

void report_status(const struct run *r, const char *name, const struct sluice_result *result)
{
	char members[STATUS_BYTES], line[STATUS_BYTES + 4];
	int n;

	if (r->status_fd < 0)
		return;
	end_members(name, result, members, sizeof(members));
	n = snprintf(line, sizeof(line), "{%s}\n", members);
	(void)write_all(r->status_fd, line, (size_t)n); /* the exit status says it too */
}

void report_failure(const struct run *r, int status, const struct sluice_error *err)
{
	char name[512], text[SLUICE_ERROR_TEXT_SIZE * 2], hint[SLUICE_ERROR_HINT_SIZE * 2];
	char line[STATUS_BYTES + sizeof(text) + sizeof(hint)];
	int n;

	if (r->status_fd < 0)
		return;
	quote_json(r->name ? r->name : "", r->name ? strlen(r->name) : 0, name, sizeof(name));
	quote_json(err->text, strlen(err->text), text, sizeof(text));
	quote_json(err->hint, strlen(err->hint), hint, sizeof(hint));
	n = snprintf(line, sizeof(line),
		     "{\"name\":\"%s\",\"end\":\"failed\",\"exit_code\":%d,\"signal\":0,"
		     "\"wall_ms\":0,\"error\":\"%s\",\"hint\":\"%s\"}\n",
		     name, status, text, hint);
	(void)write_all(r->status_fd, line, (size_t)n);
}

/* ---- statistics ---- */

static void text_calls(const json_t *calls, double wall_us, FILE *out)
{
	size_t i;
	json_t *c;

	fprintf(out, "%-20s %9s %9s %9s %9s %9s %10s %7s\n", "call", "count", "errno", "p50 us",
		"p99 us", "max us", "total ms", "share");
	json_array_foreach(calls, i, c) {
		if (jsontext_number(c, "count") == 0)
			continue;
		fprintf(out, "%-20s %9.0f %9.0f %9.1f %9.1f %9.1f %10.3f %6.2f%%\n",
			jsontext_text(c, "name"), jsontext_number(c, "count"),
			jsontext_number(c, "errno"), jsontext_number(c, "p50_us"),
			jsontext_number(c, "p99_us"), jsontext_number(c, "max_us"),
			jsontext_number(c, "supervised_us") / 1e3,
			wall_us > 0 ? 100 * jsontext_number(c, "supervised_us") / wall_us : 0);
	}
}

static void text_handlers(const json_t *handlers, FILE *out)
{
	size_t i;
	json_t *h;

	fprintf(out, "%-20s %-20s %9s %9s %9s %6s\n", "handler", "call", "calls", "mean us",
		"max us", "late");
	json_array_foreach(handlers, i, h) {
		const char *call = sluice_syscall_name((int)jsontext_number(h, "nr"));

		if (jsontext_number(h, "calls") == 0)
			continue;
		fprintf(out, "%-20s %-20s %9.0f %9.1f %9.1f %6.0f%s\n", jsontext_text(h, "name"),
			call ? call : "?", jsontext_number(h, "calls"),
			jsontext_number(h, "mean_us"), jsontext_number(h, "max_us"),
			jsontext_number(h, "late"),
			json_is_true(json_object_get(h, "slow")) ? "  slow: moved to the pool"
								 : "");
	}
}

/* Those that took most come first. */
static int compare_cpu(const void *a, const void *b)
{
	double x = jsontext_number(*(json_t *const *)a, "cpu_us"),
	       y = jsontext_number(*(json_t *const *)b, "cpu_us");

	return (x < y) - (x > y);
}

static void text_process(const json_t *p, FILE *out)
{
	char name[64], quoted[80];

	if (jsontext_number(p, "processes") == 1)
		snprintf(name, sizeof(name), "%s", jsontext_text(p, "name"));
	else
		snprintf(name, sizeof(name), "%.0f others", jsontext_number(p, "processes"));
	quote_bytes(name, strlen(name), quoted, sizeof(quoted));
	fprintf(out, "%-20s %9.0f %9.0f %10.1f %9.1f %9.1f %9.1f %9.0f %10.1f%s\n", quoted,
		jsontext_number(p, "pid"), jsontext_number(p, "parent"),
		jsontext_number(p, "cpu_us") / 1e3, jsontext_number(p, "peak_kib") / 1024,
		jsontext_number(p, "read_bytes") / 1e6, jsontext_number(p, "written_bytes") / 1e6,
		jsontext_number(p, "calls"), jsontext_number(p, "supervised_us") / 1e3,
		json_is_true(json_object_get(p, "whole")) ? "" : "  ended early");
}

static int text_processes(const json_t *processes, FILE *out)
{
	size_t n = json_array_size(processes);
	_cleanup_free_ json_t **sorted = n ? calloc(n, sizeof(json_t *)) : NULL;

	if (!n)
		return 0;
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = json_array_get(processes, i);
	qsort(sorted, n, sizeof(json_t *), compare_cpu);
	fprintf(out, "%-20s %9s %9s %10s %9s %9s %9s %9s %10s\n", "process", "pid", "parent",
		"cpu ms", "peak MiB", "read MB", "write MB", "calls", "total ms");
	for (size_t i = 0; i < n && i < PROCESS_LINES; i++)
		text_process(sorted[i], out);
	if (n > PROCESS_LINES)
		fprintf(out, "... and %zu more: --stats=FILE.json has all\n", n - PROCESS_LINES);
	return 0;
}

static double supervised_us(const json_t *calls)
{
	double sum = 0;
	size_t i;
	json_t *c;

	json_array_foreach(calls, i, c)
		sum += jsontext_number(c, "supervised_us");
	return sum;
}

static int write_text(const struct run *r, const json_t *stats, const struct sluice_result *result)
{
	const json_t *calls = json_object_get(stats, "calls");
	double wall_us = (double)result->wall_ns / 1e3, spent_us = supervised_us(calls);
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int e;

	if (!out)
		return -errno;
	fprintf(out,
		"sluice: %s: %llu calls supervised, %llu denied, in %.3f of %.3f ms (%.2f %%)\n",
		jsontext_text(stats, "name"), (unsigned long long)result->notifications,
		(unsigned long long)result->denied, spent_us / 1e3, wall_us / 1e3,
		wall_us > 0 ? 100 * spent_us / wall_us : 0);
	text_calls(calls, wall_us, out);
	text_handlers(json_object_get(stats, "handlers"), out);
	e = text_processes(json_object_get(stats, "processes"), out);
	if (fclose(out) != 0 || e < 0)
		return -ENOMEM;
	return write_all(r->stats_fd, text, size);
}

/* The library's object, with how the run ended before its members. */
static int write_json(const struct run *r, const char *name, const char *stats,
		      const struct sluice_result *result)
{
	_cleanup_free_ char *text = NULL;
	char members[STATUS_BYTES];
	int n;

	end_members(name, result, members, sizeof(members));
	n = asprintf(&text, "{\"run\":{%s},%s\n", members, stats + 1);
	return n < 0 ? -ENOMEM : write_all(r->stats_fd, text, (size_t)n);
}

static bool wants_json(const struct run *r)
{
	size_t n = r->stats_file ? strlen(r->stats_file) : 0;

	return n >= 5 && !strcmp(r->stats_file + n - 5, ".json");
}

int report_stats(const struct run *r, struct sluice_sandbox *s, const struct sluice_result *result,
		 struct sluice_error *err)
{
	_cleanup_free_ char *text = sluice_sandbox_stats_json(s);
	json_t *stats;
	int e;

	if (!text)
		return fail_errno(err, -ENOMEM, "--stats");
	if (wants_json(r)) {
		e = write_json(r, sluice_sandbox_name(s), text, result);
	} else {
		stats = json_loads(text, 0, NULL);
		e = stats ? write_text(r, stats, result) : -EPROTO;
		json_decref(stats);
	}
	return e < 0 ? fail_errno(err, e, "--stats: %s", r->stats_file ? r->stats_file : "stderr")
		     : 0;
}
