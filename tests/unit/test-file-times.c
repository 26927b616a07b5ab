/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times of files with a clock of the command's own: which are moved and which are not, that their order is kept, and that what is set is what is seen.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tree/file_times.h"

#include "../support/cmocka.h"

#define S INT64_C(1000000000)
#define DAY (86400 * S)
#define HOST (INT64_C(1800000000) * S) /* when the runs begin */
#define ROUNDS 200000

static const int64_t starts_s[] = {
	0, 1, 981173106, 1799999999, 1800000001, 2000000000, 7258118399
};

static struct file_times begun(int64_t start_s)
{
	const bool before = start_s * S < HOST;

	return (struct file_times){
		.start_ns = start_s * S,
		.begin_ns = start_s * S + (before ? S / 5 : 0),
		.host_ns = HOST,
		.shift_ns = start_s * S + (before ? S / 5 : 0) - HOST,
	};
}

static uint64_t next(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return *seed >> 1;
}

/* Mostly near to what matters, on any scale. */
static int64_t some_time(uint64_t *seed, const struct file_times *t, int64_t now)
{
	const int64_t marks[] = { 0, t->start_ns, t->begin_ns, t->host_ns, now, now + t->shift_ns };
	int64_t near = (int64_t)(next(seed) >> (next(seed) % 60 + 3));
	int64_t ns = marks[next(seed) % 6] + (next(seed) & 1 ? near : -near);

	return ns < 0 || ns > INT64_C(9000000000) * S ? (int64_t)(next(seed) % (uint64_t)now) : ns;
}

static void test_what_was_written_in_the_run_goes_with_the_clock(void **state)
{
	for (size_t i = 0; i < sizeof(starts_s) / sizeof(starts_s[0]); i++) {
		const struct file_times t = begun(starts_s[i]);
		const int64_t now = HOST + 100 * S;

		(void)state;
		for (int64_t at = HOST; at <= now; at += S / 8)
			assert_int_equal(file_times_shown_ns(&t, now, at), t.begin_ns + at - HOST);
		assert_true(t.begin_ns / S == starts_s[i]);
	}
}

static void test_older_times_than_the_start_stay(void **state)
{
	const struct file_times past = begun(981173106), future = begun(2000000000);

	(void)state;
	assert_int_equal(file_times_shown_ns(&past, HOST + S, 0), 0);
	assert_int_equal(file_times_shown_ns(&past, HOST + S, 981173106 * S), 981173106 * S);
	assert_int_equal(file_times_shown_ns(&future, HOST + S, HOST - 1), HOST - 1);
}

static void test_nothing_from_before_is_in_the_future(void **state)
{
	const struct file_times t = begun(981173106);

	(void)state;
	for (int64_t at = t.start_ns + 1; at < HOST; at += 1 + (HOST - at) / 7) {
		int64_t shown = file_times_shown_ns(&t, HOST, at);

		assert_true(shown > t.start_ns && shown < t.begin_ns);
	}
	assert_int_equal(file_times_shown_ns(&t, HOST, HOST - 1), t.begin_ns - 1);
}

static void test_the_order_is_kept(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		const struct file_times t = begun(starts_s[(unsigned)i % 5]);
		const int64_t now = HOST + (int64_t)(next(&seed) % (uint64_t)DAY);
		int64_t a = some_time(&seed, &t, now), b = some_time(&seed, &t, now);

		if (a > now || b > now || a > b)
			continue;
		if (file_times_shown_ns(&t, now, a) > file_times_shown_ns(&t, now, b))
			fail_msg("from %lld: %lld, %lld", (long long)t.start_ns, (long long)a,
				 (long long)b);
	}
}

/* Two seconds apart are seen apart for two weeks and more. */
static void test_what_is_made_after_another_is_newer(void **state)
{
	const struct file_times t = begun(0);

	(void)state;
	for (int64_t age = 2 * S; age < 90 * DAY; age += age / 100 + S)
		assert_true(file_times_shown_ns(&t, HOST, HOST - age - 2 * S) <
			    file_times_shown_ns(&t, HOST, HOST - age));
}

/* What is seen is set to the same by who copies it; on disk, too, but where several look alike. */
static void test_copies_of_what_is_seen(void **state)
{
	uint64_t seed = 2;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		const struct file_times t = begun(starts_s[(unsigned)i % 7]);
		const int64_t now = HOST + (int64_t)(next(&seed) % (uint64_t)DAY);
		const int64_t at = some_time(&seed, &t, now);
		const int64_t shown = file_times_shown_ns(&t, now, at);
		const int64_t kept = file_times_kept_ns(&t, now, shown);

		if (at > now)
			continue;
		if (file_times_shown_ns(&t, now, kept) != shown)
			fail_msg("from %lld: %lld is seen as %lld, its copy as %lld",
				 (long long)t.start_ns, (long long)at, (long long)shown,
				 (long long)file_times_shown_ns(&t, now, kept));
		if (at > t.start_ns && at < HOST)
			assert_true(kept >= at && kept - at <= (HOST - at) >> 22);
		else if (at <= t.start_ns && at < t.begin_ns)
			assert_int_equal(kept, at);
	}
}

static void test_dates_of_their_own_are_kept_as_they_are(void **state)
{
	const struct file_times past = begun(981173106), future = begun(2000000000);
	const int64_t now = HOST + S, tomorrow = DAY + S;

	(void)state;
	assert_int_equal(file_times_kept_ns(&past, now, 0), 0);
	assert_int_equal(file_times_kept_ns(&past, now, past.start_ns), past.start_ns);
	assert_int_equal(file_times_kept_ns(&past, now, HOST - DAY), HOST - DAY);
	assert_int_equal(file_times_kept_ns(&past, now, HOST + 30 * DAY), HOST + 30 * DAY);
	assert_int_equal(file_times_shown_ns(&past, now, HOST + 30 * DAY), HOST + 30 * DAY);
	assert_int_equal(file_times_kept_ns(&future, now, HOST - DAY), HOST - DAY);
	assert_int_equal(file_times_kept_ns(&past, now, past.begin_ns + tomorrow), HOST + tomorrow);
	assert_int_equal(file_times_shown_ns(&past, now, HOST + tomorrow),
			 past.begin_ns + tomorrow);
}

static void check_kept(const struct file_times *t, int64_t s, int64_t ns)
{
	struct timespec ts = { s, ns };

	file_times_keep(t, &ts);
	assert_true(ts.tv_sec == s && ts.tv_nsec == ns);
}

static void test_what_is_no_time_stays(void **state)
{
	const struct file_times t = begun(981173106);
	struct stat st = { .st_mtim = { -5, 7 }, .st_atim = { INT64_MAX, 0 } };
	struct statx stx = { .stx_mtime = { .tv_sec = INT64_MIN, .tv_nsec = 9 } };

	(void)state;
	check_kept(&t, -1, 0);
	check_kept(&t, INT64_MIN, 0);
	check_kept(&t, INT64_MAX, 999999999);
	check_kept(&t, 981173107, -1);
	check_kept(&t, 981173107, S);
	file_times_show_stat(&t, &st);
	assert_true(st.st_mtim.tv_sec == -5 && st.st_mtim.tv_nsec == 7);
	assert_true(st.st_atim.tv_sec == INT64_MAX && st.st_ctim.tv_sec == 0);
	file_times_show_statx(&t, &stx);
	assert_true(stx.stx_mtime.tv_sec == INT64_MIN && stx.stx_mtime.tv_nsec == 9);
	assert_true(stx.stx_btime.tv_sec == 0 && stx.stx_btime.tv_nsec == 0);
}

/* When the host's clock is set back, what was written before is still of the run. */
static void test_a_begin(void **state)
{
	struct file_times t;
	struct timespec mono, real;

	(void)state;
	for (size_t i = 0; i < sizeof(starts_s) / sizeof(starts_s[0]); i++) {
		struct stat st = { 0 };

		file_times_begin(&t, starts_s[i]);
		clock_gettime(CLOCK_REALTIME_COARSE, &st.st_mtim);
		file_times_show_stat(&t, &st);
		clock_gettime(CLOCK_MONOTONIC, &mono);
		assert_true(st.st_mtim.tv_sec >= starts_s[i]);
		assert_true(st.st_mtim.tv_sec * S + st.st_mtim.tv_nsec <=
			    mono.tv_sec * S + mono.tv_nsec + file_times_clock_shift_ns(&t));
		clock_gettime(CLOCK_REALTIME, &real);
		t.monotonic_ns += 100 * DAY; /* as if it had been */
		st.st_mtim = (struct timespec){ real.tv_sec + 99 * 86400, 0 };
		file_times_show_stat(&t, &st);
		assert_true(llabs(st.st_mtim.tv_sec - starts_s[i] - 99 * 86400) < 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_written_in_the_run_goes_with_the_clock),
		cmocka_unit_test(test_older_times_than_the_start_stay),
		cmocka_unit_test(test_nothing_from_before_is_in_the_future),
		cmocka_unit_test(test_the_order_is_kept),
		cmocka_unit_test(test_what_is_made_after_another_is_newer),
		cmocka_unit_test(test_copies_of_what_is_seen),
		cmocka_unit_test(test_dates_of_their_own_are_kept_as_they_are),
		cmocka_unit_test(test_what_is_no_time_stays),
		cmocka_unit_test(test_a_begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
