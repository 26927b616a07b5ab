/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories that merge at one path of a branch, for who lists them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/openat2.h"
#include "tree/branch_internal.h"
#include "tree/dirents.h"

static int layers_open_locked(struct branch *b, const char *path, const struct merged *v, int flags,
			      struct branch_layers *l)
{
	int fd;

	if (v->kind == BRANCH_NONE)
		return -ENOENT;
	if (!S_ISDIR(v->st.st_mode))
		return -ENOTDIR;
	l->ino = v->st.st_ino;
	if (v->kind != BRANCH_LOWER) {
		fd = open_beneath(b->upper_fd, path, flags | O_DIRECTORY, 0);
		if (fd < 0)
			return fd;
		l->fds[l->n++] = fd;
		l->has_upper = true;
	}
	for (size_t i = 0; v->kind != BRANCH_UPPER && i < v->lower.n_dirs; i++) {
		fd = lower_open(b, v->lower.dirs[i], path, flags | O_DIRECTORY);
		if (fd < 0)
			return fd;
		l->fds[l->n++] = fd;
	}
	return 0;
}

static int parent_ino_locked(struct branch *b, const char *path, struct branch_layers *l)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];
	struct merged v;
	int r;

	l->parent_ino = l->ino;
	if (!*path)
		return 0;
	snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) : 0, path);
	r = merged_find_locked(b, parent, &v);
	if (r == 0 && v.kind != BRANCH_NONE)
		l->parent_ino = v.st.st_ino;
	merged_close(&v);
	return r;
}

int branch_layers_open(struct branch *b, const char *path, int flags, struct branch_layers *ret)
{
	struct merged v;
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->b = b;
	ret->path = path;
	branch_rdlock(b);
	r = merged_find_locked(b, path, &v);
	if (r == 0)
		r = layers_open_locked(b, path, &v, flags, ret);
	if (r == 0)
		r = parent_ino_locked(b, path, ret);
	merged_close(&v);
	branch_unlock(b);
	if (r < 0)
		branch_layers_close(ret);
	return r;
}

void branch_layers_close(struct branch_layers *l)
{
	while (l->n)
		close(l->fds[--l->n]);
}

static uint64_t shown_ino(void *layers, size_t layer, uint64_t ino)
{
	const struct branch_layers *l = layers;
	uint64_t shown;
	dev_t dev;
	bool found;

	if (!l->has_upper || layer > 0)
		return ino;
	branch_rdlock(l->b);
	found = identities_get(&l->b->identities, ino, &dev, &shown);
	branch_unlock(l->b);
	return found ? shown : ino;
}

static bool hides(void *layers, size_t layer, const char *name)
{
	const struct branch_layers *l = layers;
	const struct node *n;
	struct nodes_walk w;

	if (!l->has_upper || layer > 0)
		return false;
	branch_rdlock(l->b);
	nodes_walk(&l->b->nodes, l->path, &w);
	n = w.node && !w.missing ? nodes_find(&l->b->nodes, w.node, name, strlen(name)) : NULL;
	branch_unlock(l->b);
	return n && n->type == DT_WHT;
}

struct dirents_source branch_layers_source(struct branch_layers *l)
{
	return (struct dirents_source){
		.layers = l->fds,
		.n_layers = l->n,
		.self_ino = l->ino,
		.parent_ino = l->parent_ino,
		.shown_ino = shown_ino,
		.hides = hides,
		.arg = l,
	};
}
