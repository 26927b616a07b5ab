/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command's environment.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

#include "../support/cmocka.h"

static int setup(void **state)
{
	*state = sluice_policy_new();
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	sluice_policy_unref(*state);
	return 0;
}

/* @wanted: the strings joined by '|'. */
static void check(const struct sluice_policy *p, const char *const *base, const char *wanted)
{
	char **env = policy_build_env(p, (char *const *)(uintptr_t)base);
	char text[512] = "";

	assert_non_null(env);
	for (size_t i = 0; env[i]; i++) {
		strcat(text, i ? "|" : "");
		strcat(text, env[i]);
	}
	free(env);
	assert_string_equal(text, wanted);
}

static void test_inherited(void **state)
{
	static const char *const base[] = { "A=1", "ODD", "B=", "A=2", NULL };
	static const char *const none[] = { NULL };

	check(*state, base, "A=1|ODD|B=|A=2");
	check(*state, none, "");
	check(*state, NULL, "");
}

static void test_settings_replace(void **state)
{
	static const char *const base[] = { "A=1", "AB=2", "ODD", "B=3", "A=4", NULL };
	struct sluice_policy *p = *state;

	assert_int_equal(sluice_policy_set_env(p, "A=x=y", NULL), 0);
	assert_int_equal(sluice_policy_set_env(p, "ODD=", NULL), 0);
	assert_int_equal(sluice_policy_set_env(p, "C=first", NULL), 0);
	assert_int_equal(sluice_policy_set_env(p, "C=last", NULL), 0);
	check(p, base, "AB=2|ODD|B=3|A=x=y|ODD=|C=last");
}

static void test_clean(void **state)
{
	static const char *const base[] = { "SECRET=1", "PATH=/evil", NULL };
	static const char path[] =
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	struct sluice_policy *p = *state;

	check(p, base, "SECRET=1|PATH=/evil");
	assert_int_equal(sluice_policy_set_clean_env(p, true), 0);
	check(p, base, path);
	assert_int_equal(sluice_policy_set_env(p, "PATH=/bin", NULL), 0);
	check(p, base, "PATH=/bin");
	assert_int_equal(sluice_policy_set_clean_env(p, false), 0);
	check(p, base, "SECRET=1|PATH=/bin");
}

static void test_nonsense(void **state)
{
	static const char *const bad[] = { NULL, "", "A", "=", "=x" };
	struct sluice_policy *p = *state;
	uint64_t generation = p->generation;
	struct sluice_error e;

	for (size_t i = 0; i < N_OF(bad); i++) {
		memset(&e, 0, sizeof(e));
		assert_int_equal(sluice_policy_set_env(p, bad[i], &e), -EINVAL);
		assert_int_equal(e.code, EINVAL);
		assert_ptr_equal(strstr(e.text, "environment: "), e.text);
	}
	assert_int_equal(p->n_env, 0);
	assert_int_equal(p->generation, generation);
}

static void test_many(void **state)
{
	struct sluice_policy *p = *state;
	char entry[48], **env;
	size_t n = 0;

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 300; i++) {
			snprintf(entry, sizeof(entry), "K%d=%d", i, i + round);
			assert_int_equal(sluice_policy_set_env(p, entry, NULL), 0);
		}
	}
	env = policy_build_env(p, NULL);
	assert_non_null(env);
	for (; env[n]; n++) {
		snprintf(entry, sizeof(entry), "K%zu=%zu", n, n + 1);
		assert_string_equal(env[n], entry);
	}
	assert_int_equal(n, 300);
	free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_inherited, setup, teardown),
		cmocka_unit_test_setup_teardown(test_settings_replace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clean, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
