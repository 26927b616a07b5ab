/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte strings made printable: every byte value, every cut.
 */
#include <string.h>

#include "util/quote.h"

#include "../support/cmocka.h"

static void test_three_styles(void **state)
{
	static const char bytes[] = "a \"b\" \\ \n\x80";
	char buf[64];
	size_t n;

	n = quote_text(bytes, sizeof(bytes) - 1, buf, sizeof(buf));
	assert_string_equal(buf, "a \"b\" \\ \\x0a\\x80");
	assert_int_equal(n, strlen(buf));
	n = quote_bytes(bytes, sizeof(bytes) - 1, buf, sizeof(buf));
	assert_string_equal(buf, "a \\\"b\\\" \\\\ \\x0a\\x80");
	assert_int_equal(n, strlen(buf));
	n = quote_json(bytes, sizeof(bytes) - 1, buf, sizeof(buf));
	assert_string_equal(buf, "a \\\"b\\\" \\\\ \\u000a\\u0080");
	assert_int_equal(n, strlen(buf));
	n = quote_octal(bytes, sizeof(bytes) - 1, buf, sizeof(buf));
	assert_string_equal(buf, "a \\\"b\\\" \\\\ \\012\\200");
	assert_int_equal(n, strlen(buf));
}

static void test_nul_is_a_byte(void **state)
{
	char buf[16];

	quote_bytes("a\0b", 3, buf, sizeof(buf));
	assert_string_equal(buf, "a\\x00b");
	assert_int_equal(quote_bytes(NULL, 0, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "");
}

static void test_no_room(void **state)
{
	char buf[] = "xyz";

	assert_int_equal(quote_bytes("abc", 3, buf, 0), 0);
	assert_string_equal(buf, "xyz");
	assert_int_equal(quote_bytes("abc", 3, buf, 1), 0);
	assert_string_equal(buf, "");
}

/* Whatever the size: in bounds, whole escapes, and a cut text says so. */
static void test_every_cut(void **state)
{
	static const char bytes[] = "ab\ncd\"\\\xff\x01z";
	char whole[64], buf[64];

	quote_bytes(bytes, sizeof(bytes) - 1, whole, sizeof(whole));
	for (size_t size = 1; size < sizeof(buf); size++) {
		size_t n, kept;

		memset(buf, '#', sizeof(buf));
		n = quote_bytes(bytes, sizeof(bytes) - 1, buf, size);
		assert_true(n < size);
		assert_int_equal(strlen(buf), n);
		assert_int_equal(buf[size], '#');
		if (!strcmp(buf, whole)) {
			assert_true(size > strlen(whole));
			continue;
		}
		assert_true(size <= strlen(whole));
		kept = n >= 3 ? n - 3 : 0;
		assert_memory_equal(buf, whole, kept);
		assert_memory_equal(buf + kept, "...", n - kept);
	}
}

static void test_all_bytes(void **state)
{
	unsigned char bytes[256];
	char buf[2048];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)i;
	quote_bytes(bytes, sizeof(bytes), buf, sizeof(buf));
	for (const char *c = buf; *c; c++)
		assert_in_range(*c, 0x20, 0x7e);
	/* 33 + 128 escapes of four, two of two, the rest as it is */
	assert_int_equal(strlen(buf), 161 * 4 + 2 * 2 + 93);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three_styles), cmocka_unit_test(test_nul_is_a_byte),
		cmocka_unit_test(test_no_room),	     cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_all_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
