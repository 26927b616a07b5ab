/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree/walk_internal.h"

int tree_walk(const struct tree *tr, const struct task *t, int dirfd, const char *path,
	      uint32_t flags, uint64_t resolve, struct walk_end *ret)
{
	struct walk_from from = {
		.view = tr->view,
		.dirfd = dirfd,
		.cwd = -1,
		.path = path,
		.flags = flags | (tr->proc_granted ? WALK_PROC : 0),
		.resolve = resolve,
		.cwds = tr->cwds,
		.proc = tr->proc,
		.exe_of = tr->exe_of,
	};
	int r;

	ret->fd = ret->dir = -1;
	if (dirfd == AT_FDCWD && path[0] != '/') {
		from.cwd = cwd_get(tr->cwds, t->tid);
		if (from.cwd < 0)
			return from.cwd;
	}
	r = walk(t, &from, ret);
	if (from.cwd >= 0)
		close(from.cwd);
	return r;
}

int tree_walk_grant(const struct tree *tr, const char *path, struct walk_end *ret)
{
	const struct walk_from from = {
		.view = tr->view,
		.dirfd = AT_FDCWD,
		.cwd = tr->here,
		.path = path,
		.flags = WALK_PROC,
	};

	return walk(NULL, &from, ret);
}

bool tree_is_read_only(const struct tree *tr, const struct walk_end *end)
{
	int m = end->mount;

	if (m < 0)
		m = view_mount_of(tr->view, end->dir >= 0 ? end->dir : end->fd);
	return m < 0 || view_mount(tr->view, m)->read_only;
}

static struct branch *branch_at(const struct tree *tr, int mount, int fd)
{
	if (!view_has_branches(tr->view))
		return NULL;
	if (mount < 0)
		mount = view_mount_of(tr->view, fd);
	return mount < 0 ? NULL : view_mount(tr->view, mount)->branch;
}

void tree_show(const struct tree *tr, int mount, int fd, struct stat *st)
{
	struct branch *b = view_is_changed(tr->view) ? branch_at(tr, mount, fd) : NULL;

	if (b)
		branch_show(b, st);
}

/* Does the branch's @path still lead to the file behind @fd? */
static bool still_named(struct branch *b, const char *path, int fd)
{
	struct branch_entry e;
	struct stat st;

	if (branch_stat(b, path, &e) < 0 || e.kind == BRANCH_NONE || fstat(fd, &st) < 0)
		return false;
	branch_show(b, &st);
	return st.st_ino == e.st.st_ino && st.st_dev == e.st.st_dev;
}

static int branch_of_file(const struct tree *tr, struct branch *b, int fd, struct branch **ret,
			  char path[PATH_MAX])
{
	bool lower;
	int m = view_locate(tr->view, fd, path, PATH_MAX, &lower);

	if (m < 0 && m != -ENOENT)
		return m;
	if (m >= 0 && still_named(b, path, fd))
		*ret = b;
	else if (lower)
		return -EROFS;
	return 0;
}

int tree_branch_of(const struct tree *tr, int mount, int dir, const char *name, int fd,
		   struct branch **ret, char path[PATH_MAX])
{
	struct branch *b = branch_at(tr, mount, dir >= 0 ? dir : fd);
	int m;

	*ret = NULL;
	if (!b)
		return 0;
	if (dir < 0)
		return branch_of_file(tr, b, fd, ret, path);
	m = view_locate(tr->view, dir, path, PATH_MAX, NULL);
	if (m < 0)
		return m;
	m = walk_append(path, name);
	if (m == 0)
		*ret = b;
	return m;
}

enum sluice_layer tree_layer(const struct tree *tr, int mount, int dir, int fd)
{
	char path[PATH_MAX];
	bool lower = false;

	if (mount < 0)
		mount = view_mount_of(tr->view, fd >= 0 ? fd : dir);
	if (mount < 0)
		return SLUICE_LAYER_NONE;
	if (!view_mount(tr->view, mount)->branch)
		return mount ? SLUICE_LAYER_MOUNT : SLUICE_LAYER_HOST;
	if (fd >= 0)
		view_locate(tr->view, fd, path, sizeof(path), &lower);
	return lower ? SLUICE_LAYER_LOWER : SLUICE_LAYER_UPPER;
}
