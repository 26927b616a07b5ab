/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the file system a policy grants. Paths are kept as given: they are looked up when a sandbox is started.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "util/fail.h"

const char *const policy_devices[POLICY_DEVICES] = {
	"/dev/null",	"/dev/zero", "/dev/full", "/dev/random",
	"/dev/urandom", "/dev/tty",  "/dev/ptmx", "/dev/pts",
};

int policy_grant(struct sluice_policy *p, const struct policy_grant *grant,
		 struct sluice_error *err)
{
	const char *what = grant->access == POLICY_WRITE ? "write grant" : "read grant";
	struct policy_grant copy = *grant, *grants;

	if (!grant->path || !*grant->path)
		return fail(err, -EINVAL, "%s: empty path", what);
	if (strnlen(grant->path, PATH_MAX) >= PATH_MAX)
		return fail_errno(err, -ENAMETOOLONG, "%s: %s", what, grant->path);
	grants = policy_grow(p->grants, p->n_grants, sizeof(*grants));
	if (grants)
		p->grants = grants;
	copy.path = grants ? strdup(grant->path) : NULL;
	if (!copy.path)
		return fail_errno(err, -ENOMEM, "%s: %s", what, grant->path);
	p->grants[p->n_grants++] = copy;
	p->generation++;
	return 0;
}

/* The grant takes a path that it does not change: struct policy_grant owns its path elsewhere, so that member is not const. */
static int grant_path(struct sluice_policy *p, const char *path, enum policy_access access,
		      struct sluice_error *err)
{
	const struct policy_grant g = {
		.path = (char *)(uintptr_t)path,
		.access = access,
	};

	return policy_grant(p, &g, err);
}

int sluice_policy_allow_read(struct sluice_policy *p, const char *path, struct sluice_error *err)
{
	return grant_path(p, path, POLICY_READ, err);
}

int sluice_policy_allow_write(struct sluice_policy *p, const char *path, struct sluice_error *err)
{
	return grant_path(p, path, POLICY_WRITE, err);
}

/* git gives up when it may not read these where they exist; the rest of the home directory stays closed. */
static int grant_git_settings(struct sluice_policy *p, struct sluice_error *err)
{
	static const char *const names[] = { ".gitconfig", ".config/git" };
	const char *home = getenv("HOME");
	int r = 0;

	for (size_t i = 0; r == 0 && home && *home == '/' && i < sizeof(names) / sizeof(names[0]);
	     i++) {
		char path[PATH_MAX];
		struct policy_grant g = { path, POLICY_READ, true, false };

		if (snprintf(path, sizeof(path), "%s/%s", home, names[i]) < (int)sizeof(path))
			r = policy_grant(p, &g, err);
	}
	return r;
}

int sluice_policy_allow_system(struct sluice_policy *p, struct sluice_error *err)
{
	static char root[] = "/", here[] = ".", usr[] = "/usr", bin[] = "/bin", sbin[] = "/sbin",
		    lib[] = "/lib", lib32[] = "/lib32", lib64[] = "/lib64", libx32[] = "/libx32",
		    etc[] = "/etc", opt[] = "/opt", proc[] = "/proc", sys[] = "/sys",
		    tmp[] = "/tmp", var_tmp[] = "/var/tmp";
	const struct policy_grant grants[] = {
		{ root, POLICY_LIST, true, false },	{ usr, POLICY_READ, true, false },
		{ bin, POLICY_READ, true, false },	{ sbin, POLICY_READ, true, false },
		{ lib, POLICY_READ, true, false },	{ lib32, POLICY_READ, true, false },
		{ lib64, POLICY_READ, true, false },	{ libx32, POLICY_READ, true, false },
		{ etc, POLICY_READ, true, false },	{ opt, POLICY_READ, true, false },
		{ proc, POLICY_READ, true, false },	{ sys, POLICY_READ, true, false },
		{ here, POLICY_WRITE, true, true },	{ tmp, POLICY_WRITE, true, false },
		{ var_tmp, POLICY_WRITE, true, false },
	};

	for (size_t i = 0; i < sizeof(grants) / sizeof(grants[0]); i++) {
		int r = policy_grant(p, &grants[i], err);

		if (r < 0)
			return r;
	}
	return grant_git_settings(p, err);
}
