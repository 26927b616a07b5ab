/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "task/procfs.h"
#include "tree/denial.h"
#include "tree/walk_internal.h"

int tree_cwd(const struct tree *tr, const struct task *t)
{
	return tr->cwds ? cwd_get(tr->cwds, t->tid) : task_open_dirfd(t, AT_FDCWD);
}

/* A listing of procfs stands for the real thing. */
static void base_as_shown(const struct tree *tr, struct tree_base *b)
{
	int real = tr->proc ? tr->proc->stands_for(tr->proc, b->fd) : -ENODATA;

	if (real == -ENODATA)
		return;
	close(b->fd);
	b->fd = real;
	b->is_open = false;
}

void tree_base_peek(const struct tree *tr, const struct task *t, int dirfd, const char *path,
		    struct tree_base *ret)
{
	*ret = (struct tree_base){ .dirfd = dirfd, .fd = -1, .place = -1 };
	if (path[0] == '/')
		return;
	if (dirfd == AT_FDCWD)
		ret->fd = tr->cwds ? cwd_borrow(tr->cwds, t->tid, &ret->place)
				   : task_open_dirfd(t, AT_FDCWD);
	else
		ret->fd = task_peek_dirfd(t, dirfd, &ret->is_open);
	if (ret->fd >= 0 && ret->place < 0)
		base_as_shown(tr, ret);
	ret->error = ret->fd < 0 ? ret->fd : 0;
}

void tree_base_drop(const struct tree *tr, struct tree_base *b)
{
	if (b->place >= 0)
		cwd_return(tr->cwds, b->place);
	else if (b->fd >= 0)
		close(b->fd);
}

int tree_walk_from(const struct tree *tr, const struct task *t, struct tree_base *base,
		   const char *path, uint32_t flags, const struct tree_how *how,
		   struct walk_end *ret)
{
	const struct walk_from from = {
		.view = tr->view,
		.dirfd = base->dirfd,
		.base = base->fd,
		.base_is_open = base->is_open,
		.path = path,
		.flags = flags | (tr->proc_granted ? WALK_PROC : 0),
		.resolve = how->resolve,
		.open = how->open,
		.cwds = tr->cwds,
		.proc = tr->proc,
		.exe_of = tr->exe_of,
	};

	ret->fd = ret->dir = -1;
	if (!*path &&
	    !(flags & WALK_EMPTY)) /* which the kernel says before it looks at the descriptor */
		return -ENOENT;
	if (base->error)
		return base->error;
	if (!*path && base->is_open && flags & WALK_BRIEF && flags & WALK_EMPTY)
		base->fd = -1; /* it is what is at the end */
	return walk(t, &from, ret);
}

int tree_walk(const struct tree *tr, const struct task *t, int dirfd, const char *path,
	      uint32_t flags, uint64_t resolve, struct walk_end *ret)
{
	const struct tree_how how = { .resolve = resolve };
	struct tree_base base;
	int r;

	ret->fd = ret->dir = -1;
	tree_base_peek(tr, t, dirfd, path, &base);
	r = path[0] != '/' && task_check(t) < 0
		    ? -ESRCH
		    : tree_walk_from(tr, t, &base, path, flags, &how, ret);
	tree_base_drop(tr, &base);
	return r;
}

int tree_walk_grant(const struct tree *tr, const char *path, struct walk_end *ret)
{
	const struct walk_from from = {
		.view = tr->view,
		.dirfd = AT_FDCWD,
		.base = tr->here,
		.path = path,
		.flags = WALK_PROC,
	};

	int r = walk(NULL, &from, ret);

	if (r == 0 && ret->fd >= 0) /* the caller's directory may be a denied one */
		ret->denied = denial_above(tr->view, ret->fd);
	if (!ret->denied)
		return r;
	walk_end_close(ret);
	return -EACCES;
}

bool tree_is_read_only(const struct tree *tr, const struct walk_end *end)
{
	int m = end->mount;

	if (!tr->view)
		return false;
	if (m < 0)
		m = view_mount_of(tr->view, end->dir >= 0 ? end->dir : end->fd);
	return m < 0 || view_mount(tr->view, m)->read_only;
}

static struct branch *branch_at(const struct tree *tr, int mount, int fd)
{
	if (!tr->view || !view_has_branches(tr->view))
		return NULL;
	if (mount < 0)
		mount = view_mount_of(tr->view, fd);
	return mount < 0 ? NULL : view_mount(tr->view, mount)->branch;
}

bool tree_is_in_branch(const struct tree *tr, int mount, int fd)
{
	return branch_at(tr, mount, fd);
}

void tree_show(const struct tree *tr, int mount, int fd, struct stat *st)
{
	struct branch *b = tr->view && view_is_changed(tr->view) ? branch_at(tr, mount, fd) : NULL;

	if (b)
		branch_show(b, st);
}

int tree_access(const struct tree *tr, int mount, int fd, int mode, int flags)
{
	struct branch *b = tr->view && view_is_changed(tr->view) ? branch_at(tr, mount, fd) : NULL;

	return b ? branch_access(b, fd, mode, flags)
	       : syscall(SYS_faccessat2, fd, "", mode, flags | AT_EMPTY_PATH) < 0 ? -errno
										  : 0;
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

	if (!tr->view)
		return SLUICE_LAYER_HOST;
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
