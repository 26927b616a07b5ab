/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that people write, against a second reading of the same text in 128 bits. See fuzz.h.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "fuzz.h"
#include "util/parse.h"

#define UNTOUCHED UINT64_C(0x5a5a5a5a5a5a5a5a)
#define CEILING ((unsigned __int128)1 << 100)

/* Digits at *@text, as far as they go; saturates far above 64 bits. */
static unsigned __int128 digits(const char **text)
{
	unsigned __int128 v = 0;

	for (; **text >= '0' && **text <= '9'; (*text)++)
		v = v > CEILING ? v : v * 10 + (unsigned)(**text - '0');
	return v;
}

static bool begins_with_digit(const char *text)
{
	return *text >= '0' && *text <= '9';
}

static void check_result(int r, uint64_t got, bool valid, unsigned __int128 value)
{
	if (!valid) {
		CHECK(r == -EINVAL);
	} else if (value > UINT64_MAX) {
		CHECK(r == -ERANGE);
	} else {
		CHECK(r == 0);
		CHECK(got == (uint64_t)value);
	}
	CHECK(r == 0 || got == UNTOUCHED);
}

static void fuzz_u64(const char *text)
{
	const char *at = text;
	unsigned __int128 v = digits(&at);
	uint64_t got = UNTOUCHED;
	int r = parse_u64(text, &got);

	check_result(r, got, begins_with_digit(text) && !*at, v);
}

static void fuzz_size(const char *text)
{
	static const char letters[] = "KMGTPE";
	const char *at = text, *letter = NULL;
	unsigned __int128 v = digits(&at);
	uint64_t got = UNTOUCHED;
	int r = parse_size(text, &got);

	if (*at) {
		letter = strchr(letters, *at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
		if (letter) {
			v <<= 10 * (unsigned)(letter - letters + 1) * (v <= UINT64_MAX);
			at++;
			if (!strcmp(at, "B") || !strcmp(at, "iB"))
				at = "";
		}
	}
	check_result(r, got, begins_with_digit(text) && !*at, v);
}

/* Whole numbers have one reading; fractions lie between their neighbours. */
static void fuzz_duration(const char *text)
{
	static const struct {
		const char *name;
		unsigned ms;
	} units[] = { { "", 1000 },   { "ms", 1 },	{ "s", 1000 },
		      { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	const char *at = text;
	unsigned __int128 v = digits(&at);
	uint64_t got = UNTOUCHED;
	int r = parse_duration_ms(text, &got);
	bool fraction = *at == '.', valid = begins_with_digit(text);
	unsigned ms = 0;

	if (fraction) {
		valid &= begins_with_digit(++at);
		digits(&at);
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!strcmp(at, units[i].name))
			ms = units[i].ms;
	}
	if (!valid || !ms || !fraction) {
		check_result(r, got, valid && ms, v * ms);
	} else if (r == 0) {
		CHECK(got >= v * ms && got <= v * ms + ms);
	} else {
		CHECK(r == -ERANGE && (v + 1) * ms > UINT64_MAX);
	}
}

static void fuzz_pair(const char *text)
{
	unsigned a = 77, b = 77;
	int r = parse_pair(text, 1000, &a, &b);

	CHECK(r == 0 || r == -EINVAL || r == -ERANGE);
	if (r == 0) {
		char again[64];

		CHECK(a <= 1000 && b <= 1000);
		snprintf(again, sizeof(again), "%u:%u", a, b);
		CHECK(parse_pair(again, 1000, &a, &b) == 0);
	} else {
		CHECK(a == 77 && b == 77);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	unsigned limited = 77;
	int r;

	CHECK(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	fuzz_u64(text);
	fuzz_size(text);
	fuzz_duration(text);
	fuzz_pair(text);
	r = parse_uint(text, 100, &limited);
	CHECK(r == 0 ? limited <= 100 : limited == 77);
	free(text);
	return 0;
}
