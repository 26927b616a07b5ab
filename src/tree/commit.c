/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commit: the changes go into the topmost lower tree, and the branch is what is left.
 *
 * Each step moves one thing from upper/ to the lower tree (or takes it away there, and its whiteout here) such that the merged tree never changes. So the branch itself is the journal
 * (but for the modes that wide.c changes): after a crash at any moment the branch shows the same tree, and committing it again goes on where it stopped. Files move by rename where both are one file system, else by a temporary
 * file beside the target, synced and renamed: whoever reads the lower tree sees the old file or the new one. Order: directories and files parents first, then deletions, last the attributes and
 * times of directories, deepest first.
 *
 * A file of several names is committed name by name, and is one file again when the last one is there. Between file systems each name but the first is linked to
 * the one before; a commit that was stopped in between makes the names that are left a file of their own.
 *
 * What the lower tree has at a path must be what the path covered when it was changed first (covered.log); where somebody has changed it since, the entry is reported
 * with -ESTALE and stays in the branch, as does one whose step fails.
 */
#define _GNU_SOURCE
#include "tree/commit_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"

static void report(struct commit *c, const struct change_item *i, int error)
{
	struct branch_change change = { i->kind, i->path, i->st };

	c->kept += error != 0;
	if (c->fn && (error || i->kind != BRANCH_SAME))
		c->fn(&change, error, c->arg);
}

static int carry_out(struct commit *c, struct change_item *i, struct lower_hit *hit)
{
	if (is_copied(c, i, hit))
		return drop_copied(c, i);
	if (is_conflict(c, i, hit))
		return -ESTALE;
	if (i->kind == BRANCH_DELETED)
		return commit_deletion(c, i);
	return S_ISDIR(i->st.st_mode) ? commit_dir(c, i, hit) : commit_file(c, i, hit);
}

static void commit_one(struct commit *c, struct change_item *i)
{
	struct lower_hit hit;
	int r = lower_find(c->b, i->path, &hit);

	if (i->kind == BRANCH_DELETED || S_ISDIR(i->st.st_mode))
		forget_places(c);
	if (r == 0)
		r = carry_out(c, i, &hit);
	lower_close(&hit);
	i->done = r == 0;
	report(c, i, r);
}

/* A copy that was never changed is just dropped: the lower file is the same, or newer. */
static void drop_copy(struct commit *c, const struct change_item *i)
{
	int r = unlinkat(c->b->upper_fd, i->path, 0) < 0 ? -errno : 0;

	if (r == 0)
		forget(c, i->path);
	else
		report(c, i, r);
}

static void commit_all(struct commit *c)
{
	struct changes *all = &c->changes;

	for (size_t n = 0; n < all->n; n++) {
		struct change_item *i = &all->items[n];

		if (i->kind == BRANCH_SAME && !S_ISDIR(i->st.st_mode))
			drop_copy(c, i);
		else if (i->kind != BRANCH_DELETED)
			commit_one(c, i);
	}
	for (size_t n = 0; n < all->n; n++) {
		if (all->items[n].kind == BRANCH_DELETED)
			commit_one(c, &all->items[n]);
	}
	forget_places(c);
	for (size_t n = all->n; n > 0; n--) {
		const struct change_item *i = &all->items[n - 1];
		int r = i->kind != BRANCH_DELETED && S_ISDIR(i->st.st_mode) ? finish_dir(c, i) : 0;

		if (r < 0)
			report(c, i, r);
	}
}

static int sync_layer(const struct branch *b, int dir_fd)
{
	_cleanup_close_ int fd = -1;

	if (!b->durable)
		return 0;
	fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || syncfs(fd) < 0 ? -errno : 0;
}

static int set_committing(struct branch *b, bool committing)
{
	b->committing = committing;
	return branch_write_meta(b);
}

static int commit_locked(struct commit *c)
{
	struct branch *b = c->b;
	int r = links_complete(b);

	if (r == 0)
		r = covered_each(b, cover_add, c);
	if (r == 0)
		r = cover_ready(c);
	if (r == 0)
		r = changes_collect_locked(b, &c->changes);
	/* one sync of the file system instead of one for each file: all is on disk before the first name appears */
	if (r == 0)
		r = sync_layer(b, b->upper_fd);
	if (r == 0)
		r = set_committing(b, true);
	if (r < 0)
		return r;
	links_dissolve(b);
	if (c->resumed)
		commit_clear(b);
	commit_all(c);
	branch_changed(b);
	r = sync_layer(b, b->lower_fds[0]);
	if (r == 0 && c->kept == 0 && ftruncate(b->log_fd, 0) < 0)
		r = -errno;
	if (r == 0 && c->kept == 0)
		r = set_committing(b, false);
	return r < 0 ? r : (int)c->kept;
}

bool branch_is_committing(const struct branch *b)
{
	return b->committing;
}

int branch_commit(struct branch *b, branch_commit_fn fn, void *arg)
{
	struct commit c = { .b = b, .fn = fn, .arg = arg };
	int r;

	branch_wrlock(b);
	c.resumed = b->committing;
	r = wide_begin_locked(b, R_OK | W_OK | X_OK);
	if (r == 0)
		r = commit_locked(&c);
	wide_end_locked(b);
	branch_unlock(b);
	changes_fini(&c.changes);
	cover_fini(&c);
	return r;
}
