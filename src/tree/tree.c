/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/tree.h"

#include <fcntl.h>
#include <unistd.h>

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
		.cwd = tr->start,
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
