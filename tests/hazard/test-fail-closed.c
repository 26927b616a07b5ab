/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel lacks stops the start, unless exactly that was allowed to miss. Older kernels are played by a sandbox around the embedder, whose handler
 * answers when Landlock's version is asked for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

#define ASKS_VERSION 1u /* LANDLOCK_CREATE_RULESET_VERSION */
#define NR_LANDLOCK_CREATE_RULESET 444

/* Each feature, and the version that brought it. */
static const struct {
	const char *feature;
	int abi;
} features[] = {
	{ "fs-refer", 2 },     { "fs-truncate", 3 },  { "net-tcp", 4 },
	{ "fs-ioctl-dev", 5 }, { "signal-scope", 6 }, { "abstract-unix-socket-scope", 6 },
};

/* ---- the guest is an embedder ---- */

enum {
	STARTED = 0,
	LACKS = 100, /* + index of the feature that the error names */
	NO_LANDLOCK = 120,
	NESTED = 121, /* got as far as the filter: there is a listener already */
	OTHER = 122,
};

/* "d" each feature that is missing at version N may be missing, "x" is not used at all; "-": neither. Then the version, "s": all but the last. */
static void allow(struct sluice_policy *p, const char *arg)
{
	int abi = atoi(arg + 2);
	size_t n = arg[1] == 's' ? N_OF(features) - 1 : N_OF(features);

	for (size_t i = 0; i < n; i++) {
		if (features[i].abi <= abi)
			continue;
		if (*arg == 'd')
			sluice_policy_allow_degraded(p, features[i].feature, NULL);
		if (*arg == 'x')
			sluice_policy_disable(p, features[i].feature, NULL);
	}
}

static int guest_embed(const char *arg)
{
	const char *const argv[] = { "/bin/true", NULL };
	struct sluice_policy *p = sluice_policy_new();
	struct sluice_error err = { 0 };
	int r;

	sluice_policy_allow_read(p, "/", NULL);
	sluice_policy_set_proc(
		p, SLUICE_PROC_HOST); /* here is no directory that it could write listings to */
	allow(p, arg);
	r = sluice_run(p, argv, NULL, &err);
	if (r == 0)
		return STARTED;
	if (r == -EBUSY && strstr(err.text, "filter"))
		return NESTED;
	if (r == -EOPNOTSUPP && strstr(err.text, "not there"))
		return NO_LANDLOCK;
	for (int i = 0; i < (int)N_OF(features); i++) {
		if (r == -EOPNOTSUPP &&
		    !strncmp(err.text, features[i].feature, strlen(features[i].feature)) &&
		    strstr(err.hint, features[i].feature))
			return LACKS + i;
	}
	print_error("%d: %s (%s)\n", r, err.text, err.hint);
	return OTHER;
}

static const struct guest_role roles[] = {
	{ "embed", guest_embed },
	{ NULL, NULL },
};

/* ---- the kernel ---- */

static struct sluice_verdict old_kernel(struct sluice_request *req, void *userdata)
{
	int abi = *(const int *)userdata;

	if (sluice_request_arg(req, 2) != ASKS_VERSION)
		return sluice_continue();
	return abi ? sluice_value(abi) : sluice_errno(EOPNOTSUPP);
}

static int embed(int abi, char how, char but)
{
	const struct sluice_handler h = {
		.nr = NR_LANDLOCK_CREATE_RULESET,
		.fn = old_kernel,
		.userdata = &abi,
	};
	char arg[16];

	snprintf(arg, sizeof(arg), "%c%c%d", how, but, abi);
	return guest_run(NULL, &h, 1, "embed", arg).exit_code;
}

/* The first feature that version @abi lacks. */
static int first_lack(int abi)
{
	for (int i = 0; i < (int)N_OF(features); i++) {
		if (features[i].abi > abi)
			return LACKS + i;
	}
	return NESTED;
}

static void hazard_D1_a_missing_feature_stops_the_run(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("embed", "--9"), STARTED);
	assert_int_equal(embed(0, '-', '-'), NO_LANDLOCK);
	assert_int_equal(embed(0, 'd', '-'), NO_LANDLOCK);
	for (int abi = 1; abi <= 7; abi++) {
		assert_int_equal(embed(abi, '-', '-'), first_lack(abi));
		assert_int_equal(embed(abi, 'd', '-'), NESTED);
		assert_int_equal(embed(abi, 'x', '-'), NESTED);
		/* one that was not named is still missed */
		if (abi < 6)
			assert_int_equal(embed(abi, 'd', 's'), LACKS + (int)N_OF(features) - 1);
	}
}

/* What was granted is looked up at each start; one that went is an error, not a sandbox without it. */
static void hazard_D1_a_grant_that_is_gone(void **state)
{
	const char *const argv[] = { "/bin/true", NULL };
	struct sluice_policy *p = guest_policy();
	struct sluice_error err = { 0 };
	const char *dir = guest_dir();

	(void)state;
	assert_int_equal(sluice_policy_allow_write(p, dir, NULL), 0);
	assert_int_equal(sluice_run(p, argv, NULL, &err), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(sluice_run(p, argv, NULL, &err), -ENOENT);
	assert_non_null(strstr(err.text, dir));
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(sluice_run(p, argv, NULL, &err), 0);
	sluice_policy_unref(p);
	guest_remove(dir);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_D1_a_missing_feature_stops_the_run),
		cmocka_unit_test(hazard_D1_a_grant_that_is_gone),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("fail-closed", tests, NULL, NULL);
}
