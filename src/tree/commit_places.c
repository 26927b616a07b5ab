/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a name is in the branch and in the tree that is committed to, and what is taken away there.
 */
#define _GNU_SOURCE
#include "tree/commit_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/openat2.h"
#include "tree/remove.h"

static int open_parent(int root_fd, const char *path)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	memcpy(parent, path, n);
	parent[n] = '\0';
	return open_beneath(root_fd, parent, O_PATH | O_DIRECTORY, 0);
}

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int places_open(struct commit *c, const char *path, struct places *p)
{
	int r;

	p->name = last_name(path);
	p->lower = -1;
	p->upper = r = open_parent(c->b->upper_fd, path);
	if (r >= 0)
		p->lower = r = open_parent(c->b->lower_fds[0], path);
	return r < 0 ? r : 0;
}

void places_close(struct places *p)
{
	if (p->upper >= 0)
		close(p->upper);
	if (p->lower >= 0)
		close(p->lower);
}

void forget_places(struct commit *c)
{
	if (c->last_dir)
		places_close(&c->last);
	free(c->last_dir);
	c->last_dir = NULL;
}

int places_of_file(struct commit *c, const char *path, struct places *ret)
{
	size_t n = (size_t)(last_name(path) - path);
	int r = 0;

	if (!c->last_dir || strlen(c->last_dir) != n || memcmp(c->last_dir, path, n) != 0) {
		forget_places(c);
		r = places_open(c, path, &c->last);
		c->last_dir = r < 0 ? NULL : strndup(path, n);
		if (!c->last_dir) {
			places_close(&c->last);
			return r < 0 ? r : -ENOMEM;
		}
	}
	*ret = c->last;
	ret->name = last_name(path);
	return 0;
}

void forget(struct commit *c, const char *path)
{
	struct nodes_walk w;

	nodes_walk(&c->b->nodes, path, &w);
	if (!w.node || !w.node->parent)
		return;
	if (w.node->ino)
		identity_drop(c->b, w.node->ino);
	nodes_remove(&c->b->nodes, w.node);
}

void temporary_name(const struct branch *b, const char *name, char buf[TEMPORARY_BYTES])
{
	char text[NAME_MAX + 40];
	uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	snprintf(text, sizeof(text), "%" PRIx64 ".%" PRIx64 ".%s", (uint64_t)b->created,
		 (uint64_t)b->nodes.root->ino, name);
	for (const char *c = text; *c; c++)
		h = (h ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	snprintf(buf, TEMPORARY_BYTES, ".sluice-commit.%016" PRIx64, h);
}

void commit_clear(struct branch *b)
{
	char path[PATH_MAX], temporary[TEMPORARY_BYTES];

	for (struct node *n = b->nodes.root; n; n = nodes_next(n)) {
		int dir;

		if (!n->parent || node_path(n, path, sizeof(path)) < 0)
			continue;
		dir = open_parent(b->lower_fds[0], path);
		if (dir < 0)
			continue;
		temporary_name(b, n->name, temporary);
		remove_tree(dir, temporary);
		close(dir);
	}
}

int remove_lower(struct commit *c, const struct places *p, const struct stat *st)
{
	char name[WORK_NAME_BYTES];

	if (!S_ISDIR(st->st_mode))
		return unlinkat(p->lower, p->name, 0) < 0 && errno != ENOENT ? -errno : 0;
	work_name(c->b, name);
	if (renameat(p->lower, p->name, c->b->work_fd, name) == 0) {
		remove_tree(c->b->work_fd, name);
		return 0;
	}
	if (errno == ENOENT)
		return 0;
	remove_tree(p->lower, p->name);
	return faccessat(p->lower, p->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? -ENOTEMPTY : 0;
}

bool is_topmost_dir(const struct lower_hit *hit)
{
	return hit->n_dirs && hit->dirs[0] == 0;
}
