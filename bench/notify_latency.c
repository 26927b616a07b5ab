/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a trapped call takes until its handler's answer is back, against the kernel's floor in the same run.
 *
 * The floor is the shortest supervisor there can be: one thread, RECV and SEND with SYNC_WAKE_UP, no library. A subject is a sandbox made
 * through the public interface. Both serve the same guest code, take turns round by round, and each figure is the median over the rounds.
 * Exit status 1 when something could not be measured or a call had a wrong answer. A missed target is reported, not punished: it
 * says something about the machine too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plot.h"
#include "report.h"
#include "scenario.h"

#define ROUND_NS_FULL 150000000
#define ROUND_NS_QUICK 15000000

#define ONE_CLIENT .clients = 1, .sandboxes = 1, .chain = 1
#define CLIENTS(n) .clients = (n), .sandboxes = 1, .chain = 1
#define HAND_WRITTEN (OTHER(FLOOR_PINNED) | OTHER(FLOOR_URING) | OTHER(FLOOR_BATCH))

static const struct scenario scenarios[] = {
	{ "noop", AREA_PROMPT, MODES_ALL, HAND_WRITTEN, ONE_CLIENT },
	{ "path", AREA_REFUSED, MODES_ALL, OTHER(FLOOR_READ), ONE_CLIENT,
	  .file = SUBJECT_FILE_REFUSE },
	{ "chain", AREA_PROMPT, MODES_ADAPTIVE, 0, 1, 1, .chain = 1 },
	{ "chain", AREA_PROMPT, MODES_ADAPTIVE, 0, 1, 1, .chain = 2 },
	{ "chain", AREA_PROMPT, MODES_ADAPTIVE, 0, 1, 1, .chain = 8 },
	{ "busy", AREA_PROMPT, MODES_ALL, 0, ONE_CLIENT, .handler_us = 1 },
	{ "busy", AREA_PROMPT, MODES_ALL, 0, ONE_CLIENT, .handler_us = 10 },
	{ "busy", AREA_PROMPT, MODES_ALL, 0, ONE_CLIENT, .handler_us = 100 },
	{ "blocking", AREA_PROMPT, MODES_ALL, 0, CLIENTS(32), .blocking_pct = 0 },
	{ "blocking", AREA_PROMPT, MODES_ALL, 0, CLIENTS(32), .blocking_pct = 1 },
	{ "blocking", AREA_PROMPT, MODES_ALL, 0, CLIENTS(32), .blocking_pct = 5 },
	{ "blocking", AREA_PROMPT, MODES_ALL, 0, CLIENTS(32), .blocking_pct = 25 },
	{ "clients", AREA_PROMPT, MODES_ALL, 0, CLIENTS(1) },
	{ "clients", AREA_PROMPT, MODES_ALL, 0, CLIENTS(2) },
	{ "clients", AREA_PROMPT, MODES_ALL, 0, CLIENTS(4) },
	{ "clients", AREA_PROMPT, MODES_ALL, OTHER(FLOOR_URING) | OTHER(FLOOR_BATCH), CLIENTS(8) },
	{ "clients", AREA_PROMPT, MODES_ALL, 0, CLIENTS(16) },
	{ "clients", AREA_PROMPT, MODES_ALL, OTHER(FLOOR_URING) | OTHER(FLOOR_BATCH), CLIENTS(32) },
	{ "clients", AREA_PROMPT, MODES_ALL, 0, CLIENTS(64) },
	{ "sandboxes", AREA_PROMPT, MODES_ALL, 0, .clients = 8, .sandboxes = 8, .chain = 1 },
	{ "sandboxes", AREA_PROMPT, MODES_ALL, 0, .clients = 32, .sandboxes = 8, .chain = 1 },
	{ "as_seen", AREA_OPEN, MODES_ALL, 0, ONE_CLIENT, .file = SUBJECT_FILE_AS_SEEN,
	  .native = FLOOR_BARE },
	{ "inject_fd", AREA_OPEN, MODES_ALL, 0, ONE_CLIENT, .file = SUBJECT_FILE_INJECT_FD,
	  .native = FLOOR_BARE },
	{ "inject_bytes", AREA_OPEN, MODES_ADAPTIVE, 0, ONE_CLIENT,
	  .file = SUBJECT_FILE_INJECT_BYTES, .native = FLOOR_BARE },
	{ "untrapped", AREA_GETPPID, MODES_ADAPTIVE, 0, ONE_CLIENT, .native = FLOOR_EMPTY },
	{ "stuck", AREA_STUCK, MODES_ADAPTIVE, 0, CLIENTS(2) },
};

static const char *const names[] = { "noop",	  "path",	  "chain",     "busy",
				     "blocking",  "clients",	  "sandboxes", "as_seen",
				     "inject_fd", "inject_bytes", "untrapped", "stuck",
				     NULL };

/* ---- rows for people and for programs ---- */

static double over(double a, double b)
{
	return b > 0 ? a / b : 0;
}

static void print_row(const struct row *r)
{
	const struct scenario *s = r->scenario;

	printf("%-12s %-9s %3u %3u %3u %4u %3u %8.2f %8.2f %9.2f %9.2f %9.0f %8.1f %7.2f %7.2f "
	       "%7.2f\n",
	       s->name, r->mode, s->clients, s->sandboxes, s->chain, s->handler_us, s->blocking_pct,
	       r->sum.p50_us, r->sum.p90_us, r->sum.p99_us, r->sum.p999_us, r->sum.max_us,
	       r->sum.ops_s / 1000, r->sum.cpu_us_per_call, over(r->sum.p50_us, r->floor.p50_us),
	       over(r->sum.ops_s, r->floor.ops_s));
}

static void print_header(void)
{
	printf("%-12s %-9s %3s %3s %3s %4s %3s %8s %8s %9s %9s %9s %8s %7s %7s %7s\n", "name",
	       "mode", "cl", "sb", "ch", "busy", "bl%", "p50 us", "p90", "p99", "p99.9", "max",
	       "k/s", "cpu us", "ratio", "ops r.");
}

static void add_summary(json_t *o, const struct summary *s)
{
	json_object_update_new(o, json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
					    "p50_us", s->p50_us, "p90_us", s->p90_us, "p99_us",
					    s->p99_us, "p999_us", s->p999_us, "max_us", s->max_us,
					    "max_median_us", s->max_median_us, "ops_s", s->ops_s,
					    "cpu_us_per_call", s->cpu_us_per_call, "blocked_p50_us",
					    s->blocked_p50_us, "delayed", s->delayed));
}

static json_t *row_json(const struct row *r)
{
	const struct scenario *s = r->scenario;
	json_t *o =
		json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i}", "name", s->name, "mode", r->mode,
			  "clients", s->clients, "sandboxes", s->sandboxes, "chain", s->chain,
			  "handler_us", s->handler_us, "blocking_pct", s->blocking_pct);

	add_summary(o, &r->sum);
	json_object_update_new(
		o, json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "floor_p50_us",
			     r->floor.p50_us, "floor_p99_us", r->floor.p99_us, "floor_ops_s",
			     r->floor.ops_s, "floor_cpu_us_per_call", r->floor.cpu_us_per_call,
			     "floor_max_median_us", r->floor.max_median_us, "floor_delayed",
			     r->floor.delayed, "floor1_p50_us", r->floor1.p50_us, "floor1_ops_s",
			     r->floor1.ops_s, "ratio", over(r->sum.p50_us, r->floor.p50_us),
			     "ops_ratio", over(r->sum.ops_s, r->floor.ops_s)));
	if (s->native != FLOOR_RAW)
		json_object_set_new(o, "native_p50_us", json_real(r->native.p50_us));
	if (s->native == FLOOR_EMPTY)
		json_object_set_new(o, "bare_p50_us", json_real(r->bare.p50_us));
	return o;
}

static json_t *rows_json(const struct rows *rows)
{
	json_t *list = json_array();

	for (size_t i = 0; i < rows->n; i++)
		json_array_append_new(list, row_json(&rows->row[i]));
	return list;
}

/* ---- targets ---- */

static const struct row *find(const struct rows *rows, const char *name, const char *mode,
			      uint32_t clients, uint32_t blocking_pct)
{
	for (size_t i = 0; i < rows->n; i++) {
		const struct scenario *s = rows->row[i].scenario;

		if (!strcmp(s->name, name) && !strcmp(rows->row[i].mode, mode) &&
		    s->clients == clients && s->blocking_pct == blocking_pct)
			return &rows->row[i];
	}
	return NULL;
}

static void reach(struct target *t, const struct row *needed, double value)
{
	t->measured = needed != NULL;
	t->reached = value;
}

#define FIELD(row, member) ((row) ? (row)->member : 0)

/* An open on behalf against three answers and the open itself. */
static double open_ratio(const struct row *r)
{
	return r ? over(r->sum.p50_us, 3 * r->floor.p50_us + r->native.p50_us) : 0;
}

static json_t *judge(const struct rows *rows)
{
	struct target t[] = {
		{ "no-op, adaptive: p50 / floor", 1.15, false },
		{ "no-op, adaptive: calls per second / floor", 0.85, true },
		{ "path decoded, adaptive: p50 / floor", 1.4, false },
		{ "32 clients, 5 % block 1 ms: calls per second, adaptive / inline", 3, true },
		{ "32 clients, 5 % block 1 ms: calls per second, adaptive / pool", 1.5, true },
		{ "32 clients, 5 % block 1 ms: p99 of prompt calls / p50 of the floor", 60, false },
		{ "stuck unflagged handler: longest delay of others, ms", 2, false },
		{ "stuck unflagged handler: calls of others that were delayed", 1, false },
		{ "open as seen: p50 / (3 floors + native open)", 1, false },
		{ "open with an injected descriptor: p50 / (3 floors + native open)", 1, false },
		{ "untrapped: (p50 - empty filter) / native getppid", 0.10, false },
	};
	const struct row *noop = find(rows, "noop", "adaptive", 1, 0);
	const struct row *path = find(rows, "path", "adaptive", 1, 0);
	const struct row *adaptive = find(rows, "blocking", "adaptive", 32, 5);
	const struct row *pool = find(rows, "blocking", "pool", 32, 5);
	const struct row *in_line = find(rows, "blocking", "inline", 32, 5);
	const struct row *stuck = find(rows, "stuck", "adaptive", 2, 0);
	const struct row *seen = find(rows, "as_seen", "adaptive", 1, 0);
	const struct row *inject = find(rows, "inject_fd", "adaptive", 1, 0);
	const struct row *untrapped = find(rows, "untrapped", "adaptive", 1, 0);

	reach(&t[0], noop, over(FIELD(noop, sum.p50_us), FIELD(noop, floor.p50_us)));
	reach(&t[1], noop, over(FIELD(noop, sum.ops_s), FIELD(noop, floor.ops_s)));
	reach(&t[2], path, over(FIELD(path, sum.p50_us), FIELD(path, floor.p50_us)));
	reach(&t[3], adaptive, over(FIELD(adaptive, sum.ops_s), FIELD(in_line, sum.ops_s)));
	reach(&t[4], adaptive, over(FIELD(adaptive, sum.ops_s), FIELD(pool, sum.ops_s)));
	reach(&t[5], adaptive, over(FIELD(adaptive, sum.p99_us), FIELD(adaptive, floor1.p50_us)));
	if (stuck)
		printf("\nstuck: in rounds as long as those the floor's longest call took %.2f ms, %.0f of its calls "
		       "more than %.0f ms\n",
		       stuck->floor.max_median_us / 1000, stuck->floor.delayed,
		       STATS_DELAYED_US / 1000);
	reach(&t[6], stuck, FIELD(stuck, sum.max_median_us) / 1000);
	reach(&t[7], stuck, FIELD(stuck, sum.delayed));
	reach(&t[8], seen, open_ratio(seen));
	reach(&t[9], inject, open_ratio(inject));
	reach(&t[10], untrapped,
	      over(FIELD(untrapped, sum.p50_us) - FIELD(untrapped, native.p50_us),
		   FIELD(untrapped, bare.p50_us)));
	return report_targets(t, sizeof(t) / sizeof(t[0]));
}

/* ---- the run ---- */

static int run_all(const struct options *o, const struct timing *t, struct rows *rows)
{
	print_header();
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		const struct scenario *s = &scenarios[i];
		size_t seen = rows->n;
		int r;

		if (!options_wants(o, s->name))
			continue;
		if (s->op == AREA_STUCK)
			r = scenario_run_stuck(s, t, rows);
		else
			r = scenario_run(s, t, rows);
		if (r < 0)
			return r;
		for (; seen < rows->n; seen++)
			print_row(&rows->row[seen]);
		fflush(stdout);
	}
	return 0;
}

/* A file of a few bytes that any sandbox may read. */
static int make_file(char *path, size_t size)
{
	const char *dir = getenv("TMPDIR");
	int fd;

	snprintf(path, size, "%s/sluice-bench.XXXXXX", dir ? dir : "/tmp");
	fd = mkstemp(path);
	if (fd < 0)
		return -1;
	if (write(fd, "small\n", 6) != 6) {
		close(fd);
		unlink(path);
		return -1;
	}
	return close(fd);
}

int main(int argc, char *argv[])
{
	struct rows rows = { 0 };
	struct timing timing;
	struct options o;
	char path[256];
	json_t *meta;
	int r;

	floor_be_guest(argc, argv);
	options_parse(&o, argc, argv, names, true);
	if (make_file(path, sizeof(path)) < 0)
		return report_failure("%s: can't make a small file", path);
	timing = (struct timing){ o.quick ? ROUND_NS_QUICK : ROUND_NS_FULL, o.rounds, path };
	meta = report_meta(&o);
	report_heading(meta);
	r = run_all(&o, &timing, &rows);
	unlink(path);
	if (r == 0)
		r = report_write(&o, json_incref(meta), rows_json(&rows), judge(&rows));
	if (r == 0 && o.plot)
		r = plot(o.plot, &rows, meta);
	json_decref(meta);
	free(rows.row);
	return r == 0 ? 0 : 1;
}
