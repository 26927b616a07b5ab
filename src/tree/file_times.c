/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/file_times.h"

#include <stdbool.h>

#include "util/clock.h"

#define NS_PER_S INT64_C(1000000000)

/* Seconds beyond which a time is no file's that a run could have made. Nanoseconds of it fit. */
#define LAST_S INT64_C(9000000000)

/*
 * What is set to this far ahead of now was counted from now: "tomorrow", a server's clock that goes wrong. Beyond it is a date of its own, which means the same outside.
 */
#define AHEAD_NS (7 * 24 * 3600 * NS_PER_S)

/* ---- files that are older than the run, and younger than its clock ---- */

/*
 * All of them are shown within this time before the run's begin, in their order. A place there stands for an age: of younger than AGE_EXACT nanoseconds each has one of its own, of older ones those that agree in their
 * first AGE_BITS + 1 bits share one, so the youngest are told apart best: what is an hour old by a millisecond, a year by eight seconds.
 */
#define SQUEEZED_NS (NS_PER_S / 5)
#define AGE_BITS 22
#define AGE_EXACT (INT64_C(1) << AGE_BITS)

_Static_assert((63 - AGE_BITS) * AGE_EXACT + AGE_EXACT <= SQUEEZED_NS,
	       "the longest age has a place");

/* @age from 1 on. */
static int64_t place_of_age(int64_t age)
{
	int shift;

	if (age < AGE_EXACT)
		return age;
	shift = 63 - __builtin_clzll((uint64_t)age) - AGE_BITS;
	return (shift + 1) * AGE_EXACT + ((age >> shift) & (AGE_EXACT - 1));
}

/* The shortest age of a place; one that no age has: INT64_MAX. */
static int64_t age_of_place(int64_t place)
{
	int64_t shift = place / AGE_EXACT - 1;

	if (place < AGE_EXACT)
		return place;
	if (shift > 62 - AGE_BITS)
		return INT64_MAX;
	return (AGE_EXACT + place % AGE_EXACT) << shift;
}

/* ---- one time ---- */

int64_t file_times_shown_ns(const struct file_times *t, int64_t now_ns, int64_t kept_ns)
{
	if (kept_ns >= t->host_ns)
		return kept_ns <= now_ns + AHEAD_NS ? kept_ns + t->shift_ns : kept_ns;
	if (kept_ns <= t->start_ns)
		return kept_ns;
	return t->begin_ns - place_of_age(t->host_ns - kept_ns);
}

int64_t file_times_kept_ns(const struct file_times *t, int64_t now_ns, int64_t shown_ns)
{
	int64_t age;

	if (shown_ns >= t->begin_ns)
		return shown_ns <= now_ns + t->shift_ns + AHEAD_NS ? shown_ns - t->shift_ns
								   : shown_ns;
	if (shown_ns <= t->start_ns)
		return shown_ns;
	age = age_of_place(t->begin_ns - shown_ns);
	return age < t->host_ns - t->start_ns ? t->host_ns - age : shown_ns;
}

/* ---- those of a file ---- */

static int64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* By the host's clock; when that was set back, as late as it would be. */
static int64_t host_now_ns(const struct file_times *t)
{
	int64_t now = clock_ns(CLOCK_REALTIME);
	int64_t steady = (int64_t)clock_now_ns() + t->monotonic_ns;

	return now > steady ? now : steady;
}

static bool is_time(int64_t s, int64_t ns)
{
	return s >= 0 && s <= LAST_S && ns >= 0 && ns < NS_PER_S;
}

static void show(const struct file_times *t, int64_t now_ns, struct timespec *ts)
{
	int64_t ns;

	if (!is_time(ts->tv_sec, ts->tv_nsec))
		return;
	ns = file_times_shown_ns(t, now_ns, ts->tv_sec * NS_PER_S + ts->tv_nsec);
	*ts = (struct timespec){ ns / NS_PER_S, ns % NS_PER_S };
}

void file_times_show_stat(const struct file_times *t, struct stat *st)
{
	const int64_t now = host_now_ns(t);

	show(t, now, &st->st_atim);
	show(t, now, &st->st_mtim);
	show(t, now, &st->st_ctim);
}

void file_times_show_statx(const struct file_times *t, struct statx *stx)
{
	const int64_t now = host_now_ns(t);
	struct statx_timestamp *const times[] = { &stx->stx_atime, &stx->stx_btime, &stx->stx_ctime,
						  &stx->stx_mtime };

	/* one that the file has not, or nobody asked for, is 0, and stays so */
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct timespec ts = { times[i]->tv_sec, times[i]->tv_nsec };

		show(t, now, &ts);
		times[i]->tv_sec = ts.tv_sec;
		times[i]->tv_nsec = (uint32_t)ts.tv_nsec;
	}
}

void file_times_keep(const struct file_times *t, struct timespec *ts)
{
	int64_t ns;

	if (!is_time(ts->tv_sec, ts->tv_nsec))
		return;
	ns = file_times_kept_ns(t, host_now_ns(t), ts->tv_sec * NS_PER_S + ts->tv_nsec);
	*ts = (struct timespec){ ns / NS_PER_S, ns % NS_PER_S };
}

/* ---- the begin ---- */

void file_times_begin(struct file_times *t, int64_t start_s)
{
	/* in this order: the command's clock is then behind no file that it has just written */
	const int64_t monotonic = (int64_t)clock_now_ns(), now = clock_ns(CLOCK_REALTIME);

	t->start_ns = start_s * NS_PER_S;
	t->host_ns = clock_ns(CLOCK_REALTIME_COARSE); /* which files are given */
	t->begin_ns = t->start_ns + (t->start_ns < t->host_ns ? SQUEEZED_NS : 0);
	t->shift_ns = t->begin_ns - t->host_ns;
	t->monotonic_ns = now - monotonic;
}

int64_t file_times_clock_shift_ns(const struct file_times *t)
{
	return t->shift_ns + t->monotonic_ns;
}
