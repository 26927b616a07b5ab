/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors are one safe line that keeps its reason, whatever is formatted into them.
 */
#include <errno.h>
#include <string.h>

#include "util/fail.h"

#include "../support/cmocka.h"

static void assert_printable(const char *text)
{
	for (; *text; text++)
		assert_in_range((unsigned char)*text, 0x20, 0x7e);
}

static void test_text_and_code(void **state)
{
	struct sluice_error e;

	memset(&e, 'x', sizeof(e));
	assert_int_equal(fail(&e, -EINVAL, "--workers: %s: %d too many", "a", 3), -EINVAL);
	assert_int_equal(e.code, EINVAL);
	assert_string_equal(e.text, "--workers: a: 3 too many");
	assert_string_equal(e.hint, "");
}

static void test_errno_appends_the_reason(void **state)
{
	struct sluice_error e;

	assert_int_equal(fail_errno(&e, -ENOENT, "exec: %s", "/nowhere"), -ENOENT);
	assert_string_equal(e.text, "exec: /nowhere: No such file or directory");
	assert_int_equal(fail_errno(&e, -4000, "odd"), -4000);
	assert_string_equal(e.text, "odd: errno 4000");
}

static void test_hint_keeps_the_text(void **state)
{
	struct sluice_error e;

	fail(&e, -EPERM, "what");
	assert_int_equal(fail_hint(&e, -EPERM, "do %s", "this"), -EPERM);
	assert_string_equal(e.text, "what");
	assert_string_equal(e.hint, "do this");
	fail(&e, -EPERM, "next");
	assert_string_equal(e.hint, "");
}

static void test_nobody_listens(void **state)
{
	assert_int_equal(fail(NULL, -EIO, "x"), -EIO);
	assert_int_equal(fail_errno(NULL, -EIO, "x"), -EIO);
	assert_int_equal(fail_hint(NULL, -EIO, "x"), -EIO);
}

static void test_hostile_bytes(void **state)
{
	struct sluice_error e;

	fail(&e, -EINVAL, "path: %s", "a\nsluice: ok\r\033[2J\xff\x7f");
	assert_string_equal(e.text, "path: a\\x0asluice: ok\\x0d\\x1b[2J\\xff\\x7f");
	fail_hint(&e, -EINVAL, "\t%%n%s", "\n");
	assert_string_equal(e.hint, "\\x09%n\\x0a");
}

/* Lengths around every limit, of bytes that take one and four characters. */
static void test_long_text_keeps_the_reason(void **state)
{
	static const char why[] = ": No such file or directory";
	static const char bytes[] = { 'a', 1 };
	char path[3000];
	struct sluice_error e;

	for (size_t i = 0; i < N_OF(bytes); i++) {
		for (size_t n = 0; n < sizeof(path) - 1; n++) {
			memset(path, bytes[i], n);
			path[n] = '\0';
			fail_errno(&e, -ENOENT, "%s", path);
			assert_in_range(strlen(e.text), strlen(why), sizeof(e.text) - 1);
			assert_string_equal(e.text + strlen(e.text) - strlen(why), why);
			assert_printable(e.text);
			fail(&e, -ENOENT, "%s", path);
			assert_true(strlen(e.text) < sizeof(e.text));
			assert_printable(e.text);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_and_code),
		cmocka_unit_test(test_errno_appends_the_reason),
		cmocka_unit_test(test_hint_keeps_the_text),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_hostile_bytes),
		cmocka_unit_test(test_long_text_keeps_the_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
