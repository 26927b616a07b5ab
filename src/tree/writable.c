/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/writable.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/policy.h"
#include "sys/fd.h"
#include "tree/tree.h"
#include "util/cleanup.h"
#include "util/path.h"

/* One place where files may be written. What a path leads to can change from one sandbox of a policy to the next. */
struct root {
	const char *path; /* as the grant has it; of the policy, or static */
	bool not_root;	  /* does not count where it is "/" */
	char *real;	  /* as the kernel prints it for a descriptor; owned; NULL: not counted */
};

/* All of them. Made once per policy, kept inside it, shared by its sandboxes; for a tree, once a sandbox. Constant. */
struct writable {
	atomic_uint refs;
	uint64_t generation; /* of the policy */
	dev_t root_dev;	     /* what "/" was */
	ino_t root_ino;
	size_t n;
	struct root roots[];
};

void writable_unref(void *data)
{
	struct writable *w = data;

	/* acquire-release: the last one sees what all others did */
	if (atomic_fetch_sub_explicit(&w->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < w->n; i++)
		free(w->roots[i].real);
	free(w);
}

static bool has_path(const struct writable *w, const char *path)
{
	for (size_t i = 0; i < w->n; i++) {
		if (w->roots[i].real && path_is_within(path, w->roots[i].real))
			return true;
	}
	return false;
}

/* The path of @fd, or of what it lies below as surely as roots go; false: it can't be had. */
static bool look(int fd, char buf[PATH_MAX])
{
	int r = fd_path_above(-1, fd, buf, PATH_MAX);

	if (r == -ENAMETOOLONG) /* a file: all that is known is that it lies below "/" */
		strcpy(buf, "/");
	return r == 0 || r == -ENAMETOOLONG;
}

bool writable_has(const struct writable *w, int fd)
{
	char buf[PATH_MAX];

	return look(fd, buf) && buf[0] == '/' && has_path(w, buf);
}

bool writable_has_or_nameless(const struct writable *w, int fd)
{
	char buf[PATH_MAX];
	struct stat st;

	if (!look(fd, buf))
		return false;
	if (buf[0] != '/' || (fstat(fd, &st) == 0 && st.st_nlink == 0))
		return true;
	return has_path(w, buf);
}

/* ---- from a policy ---- */

static bool is_root(const struct writable *w, const struct stat *st)
{
	return st->st_dev == w->root_dev && st->st_ino == w->root_ino;
}

/* What a grant's path names, in the tree that it is meant for. */
static int grant_open(const struct tree *tree, const char *path)
{
	struct walk_end end;
	int r = tree ? tree_walk_grant(tree, path, &end) : open(path, O_PATH | O_CLOEXEC);

	if (!tree)
		return r < 0 ? -errno : r;
	return r < 0 ? r : end.fd;
}

/* What @root's path is the name of now, in @buf: its length, 0 if that does not count, -errno. */
static ssize_t root_look(const struct writable *w, const struct tree *tree, const struct root *root,
			 char *buf, size_t size)
{
	_cleanup_close_ int fd = grant_open(tree, root->path);
	struct stat st;

	if (fd < 0) /* a grant that must be there is reported where its rule is made */
		return 0;
	if (root->not_root) {
		if (fstat(fd, &st) < 0)
			return -errno;
		if (is_root(w, &st))
			return 0;
	}
	return fd_path(fd, buf, size);
}

static int add_path(struct writable *w, const struct tree *tree, const char *path, bool not_root)
{
	struct root *root = &w->roots[w->n++];
	char buf[PATH_MAX];
	ssize_t n;

	*root = (struct root){ .path = path, .not_root = not_root };
	n = root_look(w, tree, root, buf, sizeof(buf));
	if (n <= 0)
		return (int)n;
	root->real = strdup(buf);
	return root->real ? 0 : -ENOMEM;
}

static int add_writable_mounts(struct writable *w, const struct tree *tree)
{
	for (size_t i = 0; tree && i < view_count(tree->view); i++) {
		const struct view_mount *m = view_mount(tree->view, (int)i);
		struct root *root = &w->roots[w->n];

		if (!m->writable)
			continue;
		*root = (struct root){ .path = m->at, .real = strdup(m->host) };
		if (!root->real)
			return -ENOMEM;
		w->n++;
	}
	return 0;
}

static int root_stat(const struct tree *tree, struct stat *st)
{
	int r = tree ? fstat(view_mount(tree->view, 0)->fd, st) : stat("/", st);

	return r < 0 ? -errno : 0;
}

/* NULL and *ret_error on failure. */
static struct writable *writable_new(const struct sluice_policy *p, const struct tree *tree,
				     int *ret_error)
{
	const size_t most = p->n_grants + 1 + (tree ? view_count(tree->view) : 0);
	struct writable *w = calloc(1, sizeof(*w) + most * sizeof(w->roots[0]));
	struct stat st;
	int r;

	*ret_error = -ENOMEM;
	if (!w)
		return NULL;
	atomic_init(&w->refs, 1);
	w->generation = p->generation;
	r = root_stat(tree, &st);
	if (r == 0) {
		w->root_dev = st.st_dev;
		w->root_ino = st.st_ino;
		r = add_writable_mounts(w, tree);
	}
	for (size_t i = 0; r == 0 && i < p->n_grants; i++) {
		if (p->grants[i].access == POLICY_WRITE)
			r = add_path(w, tree, p->grants[i].path, p->grants[i].not_root);
	}
	if (r == 0 && p->default_devices) /* a terminal of one's own: mesg, grantpt */
		r = add_path(w, tree, "/dev/pts", false);
	if (r == 0)
		return w;
	writable_unref(w);
	*ret_error = r;
	return NULL;
}

/*
 * Would @root be the same if it were looked up now? Only the name tells: where a directory was moved and a link left in its place, the path still leads to
 * the same file.
 */
static bool root_current(const struct writable *w, const struct root *root)
{
	char buf[PATH_MAX];
	ssize_t n = root_look(w, NULL, root, buf, sizeof(buf));

	return n > 0 ? root->real && !strcmp(root->real, buf) : n == 0 && !root->real;
}

static bool writable_current(const struct writable *w, const struct sluice_policy *p)
{
	struct stat st;

	if (w->generation != p->generation || stat("/", &st) < 0 || !is_root(w, &st))
		return false;
	for (size_t i = 0; i < w->n; i++) {
		if (!root_current(w, &w->roots[i]))
			return false;
	}
	return true;
}

struct writable *writable_get(struct sluice_policy *p, const struct tree *tree, int *ret_error)
{
	struct writable *w;

	if (tree)
		return writable_new(p, tree, ret_error);

	pthread_mutex_lock(&p->lock);
	w = p->writable;
	if (!w || !writable_current(w, p)) {
		w = writable_new(p, NULL, ret_error);
		if (w && p->writable)
			writable_unref(p->writable);
		if (w)
			p->writable = w;
		p->writable_unref = writable_unref;
	}
	if (w) /* relaxed: who passes a reference on has one */
		atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&p->lock);
	return w;
}

bool writable_is_all(const struct writable *w)
{
	for (size_t i = 0; i < w->n; i++) {
		if (w->roots[i].real && !strcmp(w->roots[i].real, "/"))
			return true;
	}
	return false;
}
