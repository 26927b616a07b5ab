/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a scenario: all that is compared in it is started, warmed up, and then takes turns, each round in another order, so that what
 * the machine does meanwhile meets all alike.
 */
#include "scenario.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LANES_MAX 12u
#define WARM_UP_DIVISOR 2

/* Somebody who takes a turn in each round. */
struct lane {
	const char *name;
	struct subject *subject; /* or */
	struct floor *floor;	 /* (borrowed when `shares`) */
	bool shares;
	struct area *area;
	uint32_t active;
	enum area_op op;
	struct summary rounds[STATS_ROUNDS_MAX];
	struct summary median;
};

struct lanes {
	struct lane lane[LANES_MAX];
	unsigned n;
	struct lane *floor, *floor1, *native, *bare; /* may be NULL */
};

static const char *const floor_names[FLOOR_KINDS] = {
	[FLOOR_RAW] = "recv-send", [FLOOR_PINNED] = "pinned", [FLOOR_URING] = "io_uring",
	[FLOOR_BATCH] = "batched", [FLOOR_READ] = "read",     [FLOOR_EMPTY] = "empty",
	[FLOOR_BARE] = "bare",
};

static uint64_t process_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- one turn ---- */

static int lane_round(struct lane *l, const struct scenario *s, uint64_t ns, struct summary *ret)
{
	uint64_t cpu;

	l->area->op = l->op;
	l->area->blocking_permille = l->subject ? s->blocking_pct * 10 : 0;
	l->area->duration_ns = ns;
	cpu = process_cpu_ns();
	if (area_round(l->area, l->active) < 0) {
		report_failure("%s, %s: the guest does not come to an end", s->name, l->name);
		return -1;
	}
	*ret = stats_round(l->area, process_cpu_ns() - cpu);
	if (ret->wrong > 0) {
		report_failure("%s, %s: %.0f calls had a wrong answer", s->name, l->name,
			       ret->wrong);
		return -1;
	}
	return 0;
}

static int run_rounds(struct lanes *ls, const struct scenario *s, const struct timing *t)
{
	struct summary warm_up;

	for (unsigned i = 0; i < ls->n; i++) {
		if (lane_round(&ls->lane[i], s, t->round_ns / WARM_UP_DIVISOR, &warm_up) < 0)
			return -1;
	}
	for (unsigned r = 0; r < t->rounds; r++) {
		for (unsigned i = 0; i < ls->n; i++) {
			struct lane *l = &ls->lane[(i + r) % ls->n];

			if (lane_round(l, s, t->round_ns, &l->rounds[r]) < 0)
				return -1;
		}
	}
	for (unsigned i = 0; i < ls->n; i++)
		ls->lane[i].median = stats_median(ls->lane[i].rounds, t->rounds);
	return 0;
}

/* ---- who takes part ---- */

static struct lane *add_floor(struct lanes *ls, const struct scenario *s, enum floor_kind kind,
			      uint32_t clients, enum area_op op, const char *path)
{
	struct lane *l = &ls->lane[ls->n];
	int r = floor_start(kind, clients, &l->floor);

	if (r < 0) {
		report_failure("%s, %s: %s", s->name, floor_names[kind], strerror(-r));
		return NULL;
	}
	ls->n++;
	l->name = floor_names[kind];
	l->area = floor_area(l->floor);
	l->active = clients;
	l->op = op;
	strncpy(l->area->path, path, sizeof(l->area->path) - 1);
	return l;
}

/* The floor with one client; where there are more, also with as many. */
static int add_floors(struct lanes *ls, const struct scenario *s, const char *path)
{
	ls->floor = add_floor(ls, s, FLOOR_RAW, s->clients, AREA_PROMPT, path);
	if (!ls->floor)
		return -1;
	ls->floor1 = ls->floor;
	if (s->clients > 1) {
		struct lane *l = &ls->lane[ls->n++];

		*l = *ls->floor;
		l->shares = true;
		l->active = 1;
		ls->floor1 = l;
	}
	if (s->native != FLOOR_RAW) {
		ls->native = add_floor(ls, s, s->native, s->clients, s->op, path);
		if (!ls->native)
			return -1;
	}
	if (s->native == FLOOR_EMPTY) {
		ls->bare = add_floor(ls, s, FLOOR_BARE, s->clients, s->op, path);
		if (!ls->bare)
			return -1;
	}
	for (enum floor_kind kind = FLOOR_PINNED; kind < FLOOR_KINDS; kind++) {
		enum area_op op = kind == FLOOR_READ ? s->op : AREA_PROMPT;

		if (s->others & OTHER(kind) && !add_floor(ls, s, kind, s->clients, op, path))
			return -1;
	}
	return 0;
}

static int add_subject(struct lanes *ls, const struct scenario *s, enum sluice_dispatch mode,
		       const char *path)
{
	const struct subject_config config = {
		.mode = mode,
		.clients = s->clients,
		.sandboxes = s->sandboxes,
		.chain = s->chain,
		.handler_us = s->handler_us,
		.file = s->file,
		.path = path,
		.blocking = s->blocking_pct > 0,
		.stuck = s->op == AREA_STUCK,
	};
	struct lane *l = &ls->lane[ls->n];
	struct sluice_error err = { 0 };
	int r = subject_start(&config, &l->subject, &err);

	if (r < 0) {
		report_failure("%s, %s: %s", s->name, subject_mode_name(mode),
			       err.text[0] ? err.text : strerror(-r));
		return -1;
	}
	ls->n++;
	l->name = subject_mode_name(mode);
	l->area = subject_area(l->subject);
	l->active = s->clients;
	l->op = s->op;
	return 0;
}

static int add_subjects(struct lanes *ls, const struct scenario *s, const char *path)
{
	for (int mode = SLUICE_DISPATCH_ADAPTIVE; mode <= SLUICE_DISPATCH_INLINE; mode++) {
		if (s->modes & MODE(mode) && add_subject(ls, s, mode, path) < 0)
			return -1;
	}
	return 0;
}

static void stop_all(struct lanes *ls)
{
	for (unsigned i = 0; i < ls->n; i++) {
		subject_stop(ls->lane[i].subject);
		if (!ls->lane[i].shares)
			floor_stop(ls->lane[i].floor);
	}
	free(ls);
}

/* ---- rows ---- */

static int append_row(struct rows *rows, const struct row *row)
{
	struct row *more = realloc(rows->row, (rows->n + 1) * sizeof(*more));

	if (!more) {
		report_failure("%s", strerror(ENOMEM));
		return -1;
	}
	rows->row = more;
	more[rows->n++] = *row;
	return 0;
}

/* Are there others that answer the same calls as the floor does? */
static bool compares(const struct scenario *s)
{
	return s->others & ~OTHER(FLOOR_READ);
}

static int append_rows(struct rows *rows, const struct lanes *ls, const struct scenario *s)
{
	for (unsigned i = 0; i < ls->n; i++) {
		const struct lane *l = &ls->lane[i];
		struct row row = { .scenario = s, .mode = l->name, .sum = l->median };

		/* the floor has a row only where it is compared with others of its kind */
		if (l == ls->native || l == ls->bare || (l == ls->floor && !compares(s)) ||
		    l->shares)
			continue;
		row.floor = ls->floor->median;
		row.floor1 = ls->floor1->median;
		if (ls->native)
			row.native = ls->native->median;
		if (ls->bare)
			row.bare = ls->bare->median;
		if (append_row(rows, &row) < 0)
			return -1;
	}
	return 0;
}

int scenario_run(const struct scenario *s, const struct timing *t, struct rows *rows)
{
	struct lanes *ls = calloc(1, sizeof(*ls));
	int r;

	if (!ls)
		return report_failure("%s", strerror(ENOMEM)), -1;
	r = add_floors(ls, s, t->path);
	if (r == 0)
		r = add_subjects(ls, s, t->path);
	if (r == 0)
		r = run_rounds(ls, s, t);
	if (r == 0)
		r = append_rows(rows, ls, s);
	stop_all(ls);
	return r;
}

int scenario_run_stuck(const struct scenario *s, const struct timing *t, struct rows *rows)
{
	struct lanes *ls = calloc(1, sizeof(*ls));
	struct summary floor[STATS_ROUNDS_MAX], subject[STATS_ROUNDS_MAX];
	struct row row = { .scenario = s, .mode = subject_mode_name(SLUICE_DISPATCH_ADAPTIVE) };
	int r;

	if (!ls)
		return report_failure("%s", strerror(ENOMEM)), -1;
	ls->floor = add_floor(ls, s, FLOOR_RAW, 1, AREA_PROMPT, t->path);
	r = ls->floor ? 0 : -1;
	for (unsigned i = 0; i < t->rounds && r == 0; i++) {
		struct lane *l = &ls->lane[ls->n];
		struct summary warm_up;

		r = add_subject(ls, s, SLUICE_DISPATCH_ADAPTIVE, t->path);
		if (r < 0)
			break;
		l->op = AREA_PROMPT;
		r = lane_round(l, s, t->round_ns, &warm_up);
		l->op = AREA_STUCK;
		if (r == 0)
			r = lane_round(ls->floor, s, SUBJECT_STUCK_NS, &floor[i]);
		if (r == 0)
			r = lane_round(l, s, SUBJECT_STUCK_NS, &subject[i]);
		subject_stop(l->subject);
		l->subject = NULL;
		ls->n--;
	}
	if (r == 0) {
		row.sum = stats_median(subject, t->rounds);
		row.floor = row.floor1 = stats_median(floor, t->rounds);
		r = append_row(rows, &row);
	}
	stop_all(ls);
	return r;
}
