/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sandbox/cow.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "sandbox/sandbox.h"
#include "tree/branch.h"
#include "tree/export.h"
#include "util/fail.h"

struct sluice_cow {
	struct branch *branch;
	char name[256];
};

struct sluice_cow *cow_new(struct branch *branch, const char *name)
{
	struct sluice_cow *cow = calloc(1, sizeof(*cow));

	if (!cow)
		return NULL;
	cow->branch = branch;
	snprintf(cow->name, sizeof(cow->name), "%s", name);
	return cow;
}

struct branch *cow_branch(const struct sluice_cow *cow)
{
	return cow->branch;
}

int sluice_cow_open(const char *storage, const char *name, struct sluice_cow **ret,
		    struct sluice_error *err)
{
	char place[PATH_MAX];
	const struct branch_spec spec = { .storage = place, .name = name, .durable = true };
	struct branch *b = NULL;
	int r = name ? storage_path(storage, place, err) : fail(err, -EINVAL, "branch: no name");

	if (r == 0)
		r = branch_open(&spec, &b, err);
	if (r < 0)
		return r;
	*ret = cow_new(b, name);
	if (*ret)
		return 0;
	branch_close(b);
	return fail_errno(err, -ENOMEM, "branch: %s", name);
}

struct sluice_cow *sluice_cow_close(struct sluice_cow *cow)
{
	if (!cow)
		return NULL;
	branch_close(cow->branch);
	free(cow);
	return NULL;
}

int sluice_cow_abort(struct sluice_cow *cow, struct sluice_error *err)
{
	int r = branch_abort(cow->branch);

	if (r < 0)
		fail_errno(err, r, "branch: %s: removing it", cow->name);
	free(cow);
	return r;
}

int sluice_cow_open_original(struct sluice_cow *cow, const char *path)
{
	return branch_open_lower(cow->branch, path);
}

int sluice_cow_set_durability(struct sluice_cow *cow, enum sluice_durability durability)
{
	if (durability != SLUICE_DURABILITY_COMMIT && durability != SLUICE_DURABILITY_NONE)
		return -EINVAL;
	branch_set_durable(cow->branch, durability == SLUICE_DURABILITY_COMMIT);
	return 0;
}

const char *sluice_cow_name(const struct sluice_cow *cow)
{
	return cow->name;
}

/* ---- changes ---- */

struct telling {
	sluice_cow_change_fn changed;
	sluice_cow_commit_fn committed;
	void *userdata;
	const char *name;
	struct sluice_error *err; /* of the first change that is kept */
};

static struct sluice_cow_change shown(const struct branch_change *c)
{
	return (struct sluice_cow_change){
		.kind = (char)c->kind,
		.mode = c->st.st_mode,
		.size = (uint64_t)c->st.st_size,
		.path = c->path,
	};
}

static int tell_change(const struct branch_change *c, void *arg)
{
	const struct telling *t = arg;
	const struct sluice_cow_change change = shown(c);

	return t->changed(&change, t->userdata);
}

int sluice_cow_changes(struct sluice_cow *cow, sluice_cow_change_fn fn, void *userdata)
{
	struct telling t = { .changed = fn, .userdata = userdata };

	return branch_diff(cow->branch, tell_change, &t);
}

static void tell_commit(const struct branch_change *c, int error, void *arg)
{
	struct telling *t = arg;
	const struct sluice_cow_change change = shown(c);

	if (t->committed)
		t->committed(&change, error, t->userdata);
	if (error == 0 || !t->err)
		return;
	fail_errno(t->err, error, "commit: %s: %s", t->name, c->path);
	if (error == -ESTALE)
		fail_hint(t->err, error,
			  "it was changed by somebody else meanwhile; the branch is kept");
	t->err = NULL;
}

int sluice_cow_commit(struct sluice_cow *cow, sluice_cow_commit_fn fn, void *userdata,
		      struct sluice_error *err)
{
	struct telling t = {
		.committed = fn,
		.userdata = userdata,
		.name = cow->name,
		.err = err,
	};
	int r = branch_commit(cow->branch, tell_commit, &t);

	return r < 0 ? fail_errno(err, r, "commit: %s", cow->name) : r;
}

int sluice_cow_export(struct sluice_cow *cow, enum sluice_cow_format format, int fd,
		      const int64_t *mtime, struct sluice_error *err)
{
	const struct timespec time = { .tv_sec = mtime ? *mtime : 0 };
	const struct branch_export_spec spec = {
		.format = format == SLUICE_COW_OCI ? BRANCH_EXPORT_OCI : BRANCH_EXPORT_TAR,
		.fd = fd,
		.mtime = mtime ? &time : NULL,
	};

	if (format != SLUICE_COW_OCI && format != SLUICE_COW_TAR)
		return fail(err, -EINVAL, "export: format %d", (int)format);
	return branch_export(cow->branch, &spec, err);
}

/* ---- all of them ---- */

struct listing {
	int (*fn)(const struct sluice_cow_info *info, void *userdata);
	void *userdata;
};

static int tell_branch(const struct branch_info *i, void *arg)
{
	const struct listing *l = arg;
	const struct sluice_cow_info info = {
		.name = i->name,
		.directory = i->lower,
		.created = i->created,
		.live = i->live,
		.committing = i->committing,
		.broken = i->broken,
	};

	return l->fn(&info, l->userdata);
}

int sluice_cow_each(const char *storage,
		    int (*fn)(const struct sluice_cow_info *info, void *userdata), void *userdata,
		    struct sluice_error *err)
{
	struct listing l = { fn, userdata };
	char place[PATH_MAX];
	int r = storage_path(storage, place, err);

	if (r < 0)
		return r;
	r = branch_each(place, tell_branch, &l);
	return r < 0 ? fail_errno(err, r, "branch storage: %s", place) : r;
}

int sluice_cow_storage(const char *storage, char *buf, size_t size, struct sluice_error *err)
{
	char place[PATH_MAX];
	int r = storage_path(storage, place, err);

	if (r == 0 && strlen(place) >= size)
		r = fail_errno(err, -ENAMETOOLONG, "branch storage: %s", place);
	if (r == 0)
		strcpy(buf, place);
	return r;
}

/* ---- of a sandbox ---- */

static bool has_ended(struct sluice_sandbox *s)
{
	bool ended;

	pthread_mutex_lock(&s->lock);
	ended = s->state == SANDBOX_ENDED || s->state == SANDBOX_FAILED;
	pthread_mutex_unlock(&s->lock);
	return ended;
}

struct sluice_cow *sluice_sandbox_cow(struct sluice_sandbox *s)
{
	return s->tree && has_ended(s) ? s->tree->cow : NULL;
}

static int by_policy(const struct sluice_sandbox *s)
{
	if (s->state == SANDBOX_FAILED) /* nothing ran */
		return s->tree->cow_was_there ? SLUICE_COW_KEEP : SLUICE_COW_ABORT;
	return (int)policy_on_end(s->policy,
				  s->result.end == SLUICE_ENDED_EXIT && s->result.exit_code == 0);
}

int sluice_sandbox_settle(struct sluice_sandbox *s, int action, sluice_cow_commit_fn fn,
			  void *userdata, struct sluice_error *err)
{
	struct sluice_cow *cow = s->tree ? s->tree->cow : NULL;
	int kept = 0, r = 0;

	if (!has_ended(s))
		return fail_errno(err, -EAGAIN, "branch: the sandbox still runs");
	if (!cow)
		return 0;
	s->tree->cow = NULL; /* ours from now on: nothing runs in the tree any more */
	if (action < 0)
		action = by_policy(s);
	if (action == SLUICE_COW_COMMIT)
		kept = sluice_cow_commit(cow, fn, userdata, err);
	if (kept != 0 || action == SLUICE_COW_KEEP)
		sluice_cow_close(cow);
	else
		r = sluice_cow_abort(cow, err);
	return kept ? kept : r;
}
