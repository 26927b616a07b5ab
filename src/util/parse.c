/* SPDX-License-Identifier: Apache-2.0 */
#include "util/parse.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Digits after a decimal point that are looked at; the rest only says whether to round up. */
#define FRACTION_DIGITS 9

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits at *@text, at least one; *@text is moved behind all of them, also on -ERANGE. */
static int take_digits(const char **text, uint64_t *ret)
{
	const char *p = *text;
	bool overflow = false;
	uint64_t v = 0;

	if (!is_digit(*p))
		return -EINVAL;
	for (; is_digit(*p); p++)
		overflow |= __builtin_mul_overflow(v, 10, &v) ||
			    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v);
	*text = p;
	if (overflow)
		return -ERANGE;
	*ret = v;
	return 0;
}

int parse_u64(const char *text, uint64_t *ret)
{
	uint64_t v = 0;
	int r = take_digits(&text, &v);

	if (r == -EINVAL || *text)
		return -EINVAL;
	if (r == 0)
		*ret = v;
	return r;
}

int parse_uint(const char *text, unsigned max, unsigned *ret)
{
	uint64_t v = 0;
	int r = parse_u64(text, &v);

	if (r < 0)
		return r;
	if (v > max)
		return -ERANGE;
	*ret = (unsigned)v;
	return 0;
}

/* Power of 1024 that @letter stands for, or -1. */
static int size_power(char letter)
{
	static const char letters[] = "KMGTPE";
	char upper = letter >= 'a' && letter <= 'z' ? (char)(letter - 'a' + 'A') : letter;
	const char *p = upper ? strchr(letters, upper) : NULL;

	return p ? (int)(p - letters) + 1 : -1;
}

int parse_size(const char *text, uint64_t *ret)
{
	uint64_t v = 0;
	int r = take_digits(&text, &v), power = 0;

	if (r == -EINVAL)
		return r;
	if (*text) {
		power = size_power(*text++);
		if (power < 0)
			return -EINVAL;
		if (*text && strcmp(text, "B") && strcmp(text, "iB"))
			return -EINVAL;
	}
	if (r < 0)
		return r;
	if (v > UINT64_MAX >> (10 * power))
		return -ERANGE;
	*ret = v << (10 * power);
	return 0;
}

/* ".NNN" at *@text, if it is there, in units of 10^-FRACTION_DIGITS, rounded up. */
static int take_fraction(const char **text, uint64_t *ret)
{
	const char *p = *text;
	bool more = false;
	uint64_t v = 0;
	int n = 0;

	*ret = 0;
	if (*p != '.')
		return 0;
	if (!is_digit(*++p))
		return -EINVAL;
	for (; is_digit(*p); p++) {
		if (n < FRACTION_DIGITS) {
			v = v * 10 + (uint64_t)(*p - '0');
			n++;
		} else {
			more |= *p != '0';
		}
	}
	for (; n < FRACTION_DIGITS; n++)
		v *= 10;
	*text = p;
	*ret = v + more;
	return 0;
}

static int unit_ms(const char *unit, uint64_t *ret)
{
	static const struct {
		char name[3];
		uint64_t ms;
	} units[] = {
		{ "", 1000 },	{ "ms", 1 },	  { "s", 1000 },
		{ "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!strcmp(unit, units[i].name)) {
			*ret = units[i].ms;
			return 0;
		}
	}
	return -EINVAL;
}

int parse_duration_ms(const char *text, uint64_t *ret)
{
	uint64_t whole = 0, fraction, unit, v;
	int r = take_digits(&text, &whole);

	if (r == -EINVAL || take_fraction(&text, &fraction) < 0 || unit_ms(text, &unit) < 0)
		return -EINVAL;
	/* fraction <= 10^9 and unit < 10^8, so their product fits */
	fraction = (fraction * unit + 999999999) / 1000000000;
	if (r < 0 || __builtin_mul_overflow(whole, unit, &v) ||
	    __builtin_add_overflow(v, fraction, &v))
		return -ERANGE;
	*ret = v;
	return 0;
}

int parse_pair(const char *text, unsigned max, unsigned *ret_a, unsigned *ret_b)
{
	uint64_t a = 0, b = 0;
	int r = take_digits(&text, &a), r2;

	if (r == -EINVAL || *text++ != ':')
		return -EINVAL;
	r2 = parse_u64(text, &b);
	if (r2 == -EINVAL)
		return r2;
	if (r < 0 || r2 < 0 || a > max || b > max)
		return -ERANGE;
	*ret_a = (unsigned)a;
	*ret_b = (unsigned)b;
	return 0;
}

static unsigned take_number(const char *digits, unsigned n)
{
	unsigned v = 0;

	for (unsigned i = 0; i < n; i++)
		v = 10 * v + (unsigned)(digits[i] - '0');
	return v;
}

/* Days from 1970-01-01 to the first of the month, in the calendar of 400 years of 146097 days. Years begin in March, so that the leap day is the last. */
static uint64_t days_before(unsigned year, unsigned month)
{
	unsigned y = month > 2 ? year : year - 1, m = (month + 9) % 12;

	return (uint64_t)y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 - 719468;
}

int parse_utc(const char *text, uint64_t *ret)
{
	static const char form[] = "0000-00-00T00:00:00Z";
	unsigned year, month, day, hour, minute, second;
	uint64_t first, next;

	for (size_t i = 0; i < sizeof(form); i++) {
		if (form[i] == '0' ? !is_digit(text[i]) : text[i] != form[i])
			return -EINVAL;
	}
	year = take_number(text, 4);
	month = take_number(text + 5, 2);
	day = take_number(text + 8, 2);
	hour = take_number(text + 11, 2);
	minute = take_number(text + 14, 2);
	second = take_number(text + 17, 2);
	if (year < 1970 || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59)
		return -EINVAL;
	first = days_before(year, month);
	next = month < 12 ? days_before(year, month + 1) : days_before(year + 1, 1);
	if (day < 1 || day > next - first)
		return -EINVAL;
	*ret = (first + day - 1) * 86400 + hour * 3600 + minute * 60 + second;
	return 0;
}
