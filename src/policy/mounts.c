/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree that the command sees. Paths are kept as given: they are looked up when a sandbox is started.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "util/fail.h"

static int check_path(const char *what, const char *path, struct sluice_error *err)
{
	if (!path || !*path)
		return fail(err, -EINVAL, "%s: empty path", what);
	if (strnlen(path, PATH_MAX) >= PATH_MAX)
		return fail_errno(err, -ENAMETOOLONG, "%s: %s", what, path);
	return 0;
}

int policy_keep_path(struct sluice_policy *p, char **place, const char *what, const char *path,
		     struct sluice_error *err)
{
	int r = check_path(what, path, err);
	char *copy = r < 0 ? NULL : strdup(path);

	if (r < 0)
		return r;
	if (!copy)
		return fail_errno(err, -ENOMEM, "%s: %s", what, path);
	free(*place);
	*place = copy;
	p->generation++;
	return 0;
}

int sluice_policy_set_chroot(struct sluice_policy *p, const char *dir, struct sluice_error *err)
{
	return policy_keep_path(p, &p->root, "chroot", dir, err);
}

int sluice_policy_set_workdir(struct sluice_policy *p, const char *dir, struct sluice_error *err)
{
	return policy_keep_path(p, &p->workdir, "copy-on-write", dir, err);
}

int sluice_policy_add_lower(struct sluice_policy *p, const char *dir, struct sluice_error *err)
{
	char **lowers;
	int r = check_path("lower tree", dir, err);

	if (r < 0)
		return r;
	if (p->n_lowers == POLICY_LOWERS_MAX)
		return fail(err, -EINVAL, "lower tree: %s: at most %u of them", dir,
			    POLICY_LOWERS_MAX);
	lowers = policy_grow(p->lowers, p->n_lowers, sizeof(*lowers));
	if (lowers)
		p->lowers = lowers;
	if (!lowers || !(lowers[p->n_lowers] = strdup(dir)))
		return fail_errno(err, -ENOMEM, "lower tree: %s", dir);
	p->n_lowers++;
	p->generation++;
	return 0;
}

int sluice_policy_set_storage(struct sluice_policy *p, const char *dir, struct sluice_error *err)
{
	return policy_keep_path(p, &p->storage, "branch storage", dir, err);
}

int sluice_policy_set_branch(struct sluice_policy *p, const char *name, struct sluice_error *err)
{
	if (!name || !*name)
		return fail(err, -EINVAL, "branch: empty name");
	if (*name == '.' || strchr(name, '/') || strlen(name) > POLICY_BRANCH_BYTES) {
		fail(err, -EINVAL, "branch: %.64s: not a name", name);
		return fail_hint(err, -EINVAL,
				 "up to %u bytes without a slash, and no dot in front",
				 POLICY_BRANCH_BYTES);
	}
	return policy_keep_path(p, &p->branch, "branch", name, err);
}

enum sluice_cow_action policy_on_end(const struct sluice_policy *p, bool success)
{
	const int said = success ? p->on_exit : p->on_error;

	if (said >= 0)
		return (enum sluice_cow_action)said;
	if (p->branch)
		return SLUICE_COW_KEEP;
	return success ? SLUICE_COW_COMMIT : SLUICE_COW_ABORT;
}

static int set_action(struct sluice_policy *p, int *place, enum sluice_cow_action action)
{
	if (action != SLUICE_COW_COMMIT && action != SLUICE_COW_ABORT && action != SLUICE_COW_KEEP)
		return -EINVAL;
	*place = (int)action;
	p->generation++;
	return 0;
}

int sluice_policy_set_on_exit(struct sluice_policy *p, enum sluice_cow_action action)
{
	return set_action(p, &p->on_exit, action);
}

int sluice_policy_set_on_error(struct sluice_policy *p, enum sluice_cow_action action)
{
	return set_action(p, &p->on_error, action);
}

int sluice_policy_set_durability(struct sluice_policy *p, enum sluice_durability durability)
{
	if (durability != SLUICE_DURABILITY_COMMIT && durability != SLUICE_DURABILITY_NONE)
		return -EINVAL;
	p->durability = durability;
	p->generation++;
	return 0;
}

int sluice_policy_set_max_disk(struct sluice_policy *p, uint64_t bytes)
{
	p->max_disk = bytes;
	p->generation++;
	return 0;
}

static int check_virtual(const char *at, struct sluice_error *err)
{
	int r = check_path("mount", at, err);

	if (r == 0 && *at != '/') {
		fail(err, -EINVAL, "mount: %s: not an absolute path", at);
		return fail_hint(err, -EINVAL,
				 "a mount is written VIRTUAL:HOST, e.g. /work:build/work");
	}
	return r;
}

int sluice_policy_add_mount(struct sluice_policy *p, const char *at, const char *host,
			    enum sluice_mount_mode mode, struct sluice_error *err)
{
	struct policy_mount *mounts;
	struct policy_mount m = { .mode = mode };
	int r = check_virtual(at, err);

	if (r == 0)
		r = check_path("mount", host, err);
	if (r == 0 && mode != SLUICE_MOUNT_AS_GRANTED && mode != SLUICE_MOUNT_READ_ONLY &&
	    mode != SLUICE_MOUNT_READ_WRITE)
		r = fail(err, -EINVAL, "mount: %s: mode %d", at, (int)mode);
	if (r < 0)
		return r;
	mounts = policy_grow(p->mounts, p->n_mounts, sizeof(*mounts));
	if (mounts)
		p->mounts = mounts;
	m.at = mounts ? strdup(at) : NULL;
	m.host = m.at ? strdup(host) : NULL;
	if (!m.host) {
		free(m.at);
		return fail_errno(err, -ENOMEM, "mount: %s", at);
	}
	p->mounts[p->n_mounts++] = m;
	p->generation++;
	return 0;
}

int sluice_policy_deny_path(struct sluice_policy *p, const char *path, struct sluice_error *err)
{
	int r = check_path("denial", path, err);
	char **denials, *copy;

	if (r < 0)
		return r;
	denials = policy_grow(p->denials, p->n_denials, sizeof(*denials));
	if (denials)
		p->denials = denials;
	copy = denials ? strdup(path) : NULL;
	if (!copy)
		return fail_errno(err, -ENOMEM, "denial: %s", path);
	p->denials[p->n_denials++] = copy;
	p->generation++;
	return 0;
}
