/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that people write. Hazard D6: what overflows is an error, not zero and not a wrap.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "util/parse.h"

#include "../support/cmocka.h"

#define K UINT64_C(1024)
#define UNTOUCHED UINT64_C(0xdeadbeef)

struct sample {
	const char *text;
	int result;
	uint64_t value;
};

static void check(const struct sample *s, size_t n, int (*parse)(const char *, uint64_t *))
{
	for (size_t i = 0; i < n; i++) {
		uint64_t v = UNTOUCHED;
		int r = parse(s[i].text, &v);

		if (r != s[i].result || v != (r ? UNTOUCHED : s[i].value))
			fail_msg("\"%s\": %d, %llu", s[i].text, r, (unsigned long long)v);
	}
}

static void test_u64(void **state)
{
	static const struct sample samples[] = {
		{ "0", 0, 0 },
		{ "007", 0, 7 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "99999999999999999999999999", -ERANGE, 0 },
		{ "99999999999999999999999999x", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
		{ "1.0", -EINVAL, 0 },
		{ "\xd9\xa1", -EINVAL, 0 }, /* an Arabic digit */
	};

	check(samples, N_OF(samples), parse_u64);
}

static void test_hazard_D6_size(void **state)
{
	static const struct sample samples[] = {
		{ "0", 0, 0 },
		{ "512", 0, 512 },
		{ "512M", 0, 512 * K * K },
		{ "512m", 0, 512 * K * K },
		{ "1k", 0, K },
		{ "1KB", 0, K },
		{ "1KiB", 0, K },
		{ "3G", 0, 3 * K * K * K },
		{ "2T", 0, 2 * K * K * K * K },
		{ "1P", 0, K * K * K * K * K },
		{ "15E", 0, 15 * K * K * K * K * K * K },
		{ "0E", 0, 0 },
		{ "16E", -ERANGE, 0 },
		{ "16384P", -ERANGE, 0 },
		{ "17179869184G", -ERANGE, 0 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551615K", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "18446744073709551616E", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "M", -EINVAL, 0 },
		{ "-1M", -EINVAL, 0 },
		{ "1 M", -EINVAL, 0 },
		{ "1MM", -EINVAL, 0 },
		{ "1Mb", -EINVAL, 0 },
		{ "1B", -EINVAL, 0 },
		{ "1iB", -EINVAL, 0 },
		{ "1Z", -EINVAL, 0 },
		{ "1.5G", -EINVAL, 0 },
	};

	check(samples, N_OF(samples), parse_size);
}

static void test_duration(void **state)
{
	static const struct sample samples[] = {
		{ "0", 0, 0 },
		{ "10", 0, 10000 },
		{ "10s", 0, 10000 },
		{ "250ms", 0, 250 },
		{ "1.5", 0, 1500 },
		{ "1.5m", 0, 90000 },
		{ "2h", 0, 7200000 },
		{ "1d", 0, 86400000 },
		{ "0.001", 0, 1 },
		{ "0.0000000000001", 0, 1 },
		{ "0.5ms", 0, 1 },
		{ "0.000000000", 0, 0 },
		{ "1.9999999999999999999999", 0, 2000 },
		{ "18446744073709551615ms", 0, UINT64_MAX },
		{ "18446744073709551615.1ms", -ERANGE, 0 },
		{ "18446744073709551616ms", -ERANGE, 0 },
		{ "18446744073709551615", -ERANGE, 0 },
		{ "18446744073709552s", -ERANGE, 0 },
		{ "213503982335d", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ ".5", -EINVAL, 0 },
		{ "1.", -EINVAL, 0 },
		{ "1.s", -EINVAL, 0 },
		{ "1..5", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "1 s", -EINVAL, 0 },
		{ "1S", -EINVAL, 0 },
		{ "1sec", -EINVAL, 0 },
		{ "nan", -EINVAL, 0 },
		{ "inf", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
		{ "99999999999999999999x", -EINVAL, 0 },
	};

	check(samples, N_OF(samples), parse_duration_ms);
}

static void test_uint(void **state)
{
	unsigned v = 7;

	assert_int_equal(parse_uint("256", 256, &v), 0);
	assert_int_equal(v, 256);
	assert_int_equal(parse_uint("257", 256, &v), -ERANGE);
	assert_int_equal(parse_uint("4294967296", UINT32_MAX, &v), -ERANGE);
	assert_int_equal(parse_uint("x", 256, &v), -EINVAL);
	assert_int_equal(v, 256);
}

static void test_pair(void **state)
{
	static const char *const bad[] = {
		"", ":", "1", "1:", ":1", "1:2:3", "a:1", "1:b", "1 :2"
	};
	unsigned a = 5, b = 6;

	for (size_t i = 0; i < N_OF(bad); i++)
		assert_int_equal(parse_pair(bad[i], 256, &a, &b), -EINVAL);
	assert_int_equal(parse_pair("257:1", 256, &a, &b), -ERANGE);
	assert_int_equal(parse_pair("1:257", 256, &a, &b), -ERANGE);
	assert_int_equal(parse_pair("18446744073709551616:1", 256, &a, &b), -ERANGE);
	assert_int_equal(parse_pair("18446744073709551616:x", 256, &a, &b), -EINVAL);
	assert_int_equal(a, 5);
	assert_int_equal(b, 6);
	assert_int_equal(parse_pair("0:256", 256, &a, &b), 0);
	assert_int_equal(a, 0);
	assert_int_equal(b, 256);
}

/* Against the C library's calendar: the first and last day of each month, and what is just outside of it. */
static void test_utc(void **state)
{
	static const char *const bad[] = { "",
					   "2001",
					   "2001-02-03",
					   "2001-02-03T04:05:06",
					   "2001-02-03 04:05:06Z",
					   "2001-02-03T04:05:06ZZ",
					   " 2001-02-03T04:05:06Z",
					   "2001-2-03T04:05:06Z",
					   "1969-12-31T23:59:59Z",
					   "2001-00-03T04:05:06Z",
					   "2001-13-03T04:05:06Z",
					   "2001-02-00T04:05:06Z",
					   "2001-02-03T24:05:06Z",
					   "2001-02-03T04:60:06Z",
					   "2001-02-03T04:05:60Z" };
	uint64_t v = 5;

	(void)state;
	for (size_t i = 0; i < N_OF(bad); i++)
		assert_int_equal(parse_utc(bad[i], &v), -EINVAL);
	assert_int_equal(v, 5);
	assert_int_equal(parse_utc("2001-02-03T04:05:06Z", &v), 0);
	assert_int_equal(v, 981173106);
	for (int month = 0; month < 12 * (2200 - 1970); month++) {
		struct tm first = { .tm_year = 70 + month / 12,
				    .tm_mon = month % 12,
				    .tm_mday = 1 };
		struct tm last = { .tm_year = 70, .tm_mon = month + 1, .tm_sec = 86399 };
		time_t begin = timegm(&first), end = timegm(&last);
		char text[64];

		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &first);
		assert_int_equal(parse_utc(text, &v), 0);
		assert_int_equal(v, begin);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &last);
		assert_int_equal(parse_utc(text, &v), 0);
		assert_int_equal(v, end);
		snprintf(text, sizeof(text), "%04d-%02d-%02dT00:00:00Z", last.tm_year + 1900,
			 last.tm_mon + 1, last.tm_mday + 1);
		assert_int_equal(parse_utc(text, &v), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_u64),	 cmocka_unit_test(test_hazard_D6_size),
		cmocka_unit_test(test_duration), cmocka_unit_test(test_uint),
		cmocka_unit_test(test_pair),	 cmocka_unit_test(test_utc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
