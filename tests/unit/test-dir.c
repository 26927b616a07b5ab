/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "sys/dir.h"

static void test_next(void **state)
{
	const char *dir = guest_dir();
	int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *e;
	DIR *d;

	(void)state;
	assert_int_equal(mkdirat(at, "...", 0700), 0);
	assert_int_equal(dir_open(at, ".", 0, &d), 0);
	e = dir_next(d);
	assert_non_null(e);
	assert_string_equal(e->d_name, "...");
	assert_null(dir_next(d));
	closedir(d);
	assert_int_equal(dir_open(at, "none", 0, &d), -ENOENT);
	assert_int_equal(dir_take(-EACCES, &d), -EACCES);
	close(at);
	guest_remove(dir);
}

/* As a file system without types in its listings gives them. */
static void test_type_that_is_not_told(void **state)
{
	const char *dir = guest_dir();
	int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct dirent e = { .d_type = DT_UNKNOWN };
	DIR *d;

	(void)state;
	assert_int_equal(mkdirat(at, "d", 0700), 0);
	assert_int_equal(mknodat(at, "f", S_IFREG | 0600, 0), 0);
	assert_int_equal(symlinkat("d", at, "l"), 0);
	assert_int_equal(dir_open(at, ".", 0, &d), 0);
	strcpy(e.d_name, "d");
	assert_int_equal(dir_type(d, &e), DT_DIR);
	strcpy(e.d_name, "f");
	assert_int_equal(dir_type(d, &e), DT_REG);
	strcpy(e.d_name, "l");
	assert_int_equal(dir_type(d, &e), DT_LNK);
	strcpy(e.d_name, "gone");
	assert_int_equal(dir_type(d, &e), DT_UNKNOWN);
	e.d_type = DT_FIFO; /* what is told is not asked for */
	assert_int_equal(dir_type(d, &e), DT_FIFO);
	closedir(d);
	close(at);
	guest_remove(dir);
}

int main(int argc, char *argv[])
{
	static const struct guest_role roles[] = { { NULL, NULL } };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_type_that_is_not_told),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
