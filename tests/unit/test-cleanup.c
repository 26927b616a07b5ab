/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scope cleanup: released once, taken values survive, errno is kept; and time does not go back.
 */
#include <fcntl.h>
#include <stdbool.h>

#include "util/cleanup.h"
#include "util/clock.h"

#include "../support/cmocka.h"

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int open_and_drop(void)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	errno = EXDEV;
	return fd;
}

static int open_and_keep(void)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int taken = TAKE_FD(fd);

	assert_int_equal(fd, -1);
	return taken;
}

static void test_close(void **state)
{
	int fd = open_and_keep();

	assert_true(is_open(fd));
	close(fd);
	fd = open_and_drop();
	assert_int_equal(errno, EXDEV);
	assert_false(is_open(fd));
}

static void test_pointers(void **state)
{
	_cleanup_free_ char *dropped = malloc(16);
	_cleanup_free_ char *kept = malloc(16);
	char *taken = TAKE_PTR(kept);

	assert_null(kept);
	assert_non_null(dropped);
	free(taken);
}

static void test_clock(void **state)
{
	uint64_t before = clock_now_ns();

	for (int i = 0; i < 1000; i++) {
		uint64_t now = clock_now_ns();

		assert_true(now >= before);
		before = now;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_pointers),
		cmocka_unit_test(test_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
