/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line made ready for exec: what would be tried, in execvp's order.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "policy/policy.h"
#include "sandbox/sandbox.h"

#include "../support/cmocka.h"

/* Candidates of @file under the PATH setting @path, joined by blanks. */
static void candidates(const char *path, const char *file, char *buf, size_t size)
{
	const char *const argv[] = { file, "-x", NULL };
	struct sluice_policy *p = sluice_policy_new();
	struct command c;
	size_t n = 0;

	if (path)
		assert_int_equal(sluice_policy_set_env(p, path, NULL), 0);
	assert_int_equal(command_init(&c, p, argv, NULL), 0);
	assert_string_equal(c.argv[0], file);
	assert_string_equal(c.argv[1], "-x");
	assert_null(c.argv[2]);
	buf[0] = '\0';
	for (char **one = c.candidates; *one; one++)
		n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? " " : "", *one);
	command_fini(&c);
	sluice_policy_unref(p);
}

static void test_path_is_searched_in_order(void **state)
{
	static const struct {
		const char *path, *file, *wanted;
	} cases[] = {
		{ "PATH=/a:/b/c", "ls", "/a/ls /b/c/ls" },
		{ "PATH=/a::/b", "ls", "/a/ls ls /b/ls" }, /* empty: the working directory */
		{ "PATH=:/a", "ls", "ls /a/ls" },
		{ "PATH=/a:", "ls", "/a/ls ls" },
		{ "PATH=", "ls", "ls" },
		{ "PATH=:", "ls", "ls ls" },
		{ "PATH=rel", "ls", "rel/ls" },
		{ "PATH=/a", "./ls", "./ls" }, /* a slash: no search */
		{ "PATH=/a", "/bin/ls", "/bin/ls" },
		{ "PATH=/a", "x/", "x/" },
	};
	char got[256];

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		candidates(cases[i].path, cases[i].file, got, sizeof(got));
		assert_string_equal(got, cases[i].wanted);
	}
}

static void test_clean_environment_has_a_path(void **state)
{
	const char *const argv[] = { "ls", NULL };
	struct sluice_policy *p = sluice_policy_new();
	struct command c;

	(void)state;
	sluice_policy_set_clean_env(p, true);
	assert_int_equal(command_init(&c, p, argv, NULL), 0);
	assert_string_equal(c.candidates[0], "/usr/local/sbin/ls");
	assert_null(c.envp[1]);
	command_fini(&c);
	sluice_policy_unref(p);
}

static void test_without_path_the_default(void **state)
{
	char **saved = environ, *none[] = { (char[]){ "A=b" }, NULL };
	char got[256];

	(void)state;
	environ = none;
	candidates(NULL, "ls", got, sizeof(got));
	environ = saved;
	assert_string_equal(got, "/bin/ls /usr/bin/ls");
}

static void test_copies_are_private(void **state)
{
	char name[] = "prog", arg[] = "arg";
	const char *const argv[] = { name, arg, NULL };
	struct sluice_policy *p = sluice_policy_new();
	struct command c;

	(void)state;
	assert_int_equal(sluice_policy_set_cwd(p, "/tmp", NULL), 0);
	assert_int_equal(command_init(&c, p, argv, NULL), 0);
	name[0] = arg[0] = 'X';
	assert_int_equal(sluice_policy_set_cwd(p, "/", NULL), 0);
	assert_string_equal(c.argv[0], "prog");
	assert_string_equal(c.argv[1], "arg");
	assert_string_equal(c.cwd, "/tmp");
	command_fini(&c);
	assert_null(c.argv);
	sluice_policy_unref(p);
}

static void test_nothing_to_run(void **state)
{
	const char *const none[] = { NULL }, *const empty[] = { "", NULL };
	struct sluice_policy *p = sluice_policy_new();
	struct sluice_error err = { 0 };
	struct command c;

	(void)state;
	assert_int_equal(command_init(&c, p, NULL, &err), -EINVAL);
	assert_int_equal(command_init(&c, p, none, &err), -EINVAL);
	assert_string_equal(err.text, "command: nothing to run");
	assert_int_equal(command_init(&c, p, empty, &err), -ENOENT);
	assert_int_equal(strncmp(err.text, "exec:", 5), 0);
	command_fini(&c);
	sluice_policy_unref(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path_is_searched_in_order),
		cmocka_unit_test(test_clean_environment_has_a_path),
		cmocka_unit_test(test_without_path_the_default),
		cmocka_unit_test(test_copies_are_private),
		cmocka_unit_test(test_nothing_to_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
