/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/metadata/metadata.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin/metadata/change.h"
#include "engine/dispatch.h"
#include "policy/policy.h"
#include "tree/tree.h"

_Static_assert(sizeof(struct change) <= REQUEST_PLAN_BYTES, "a plan holds a change");

/* Where metadata may be changed: real paths, as the kernel prints them for a descriptor. Constant. */
struct writable {
	const struct tree *tree; /* of the command; NULL: the host's */
	size_t n;
	char *roots[];
};

static void writable_free(void *data)
{
	struct writable *w = data;

	for (size_t i = 0; i < w->n; i++)
		free(w->roots[i]);
	free(w);
}

/* What the descriptor's link says, or NULL. */
static const char *fd_path(int fd, char buf[PATH_MAX])
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, buf, PATH_MAX - 1);
	if (n < 0)
		return NULL;
	buf[n] = '\0';
	return buf;
}

/* Does @path lie at or below @root? */
static bool is_below(const char *path, const char *root)
{
	size_t n = strlen(root);

	if (n == 1) /* "/" */
		return true;
	return !strncmp(path, root, n) && (path[n] == '/' || path[n] == '\0');
}

/* Does it lie on a mount that the caller made read-only? */
static bool on_read_only_mount(const struct tree *tree, int fd)
{
	int m = tree ? view_mount_of(tree->view, fd) : -1;

	return m >= 0 && view_mount(tree->view, m)->read_only;
}

/*
 * May the file behind @fd be changed? What has no name in any tree (pipes, sockets, memory files, files that were removed) is nobody else's to lose.
 * 0, -EACCES, -EROFS.
 */
static int may_change(const struct writable *w, int fd)
{
	char buf[PATH_MAX];
	const char *path = fd_path(fd, buf);
	struct stat st;

	if (!path)
		return -EACCES;
	if (path[0] != '/' || (fstat(fd, &st) == 0 && st.st_nlink == 0))
		return 0;
	if (on_read_only_mount(w->tree, fd))
		return -EROFS;
	for (size_t i = 0; i < w->n; i++) {
		if (is_below(path, w->roots[i]))
			return 0;
	}
	return -EACCES;
}

static struct sluice_verdict plan(struct sluice_request *req, const struct writable *w)
{
	struct change_target target;
	struct request_plan p = {
		.builtin = "metadata",
		.act = change_make,
		.layer = SLUICE_LAYER_HOST,
		.fds = { -1, -1 },
		.dirs = { -1, -1 },
	};
	struct change change;
	int r = change_decode(req, &change, &target);

	if (r == 0)
		p.fds[0] = r = change_open(req, w->tree, &target);
	if (r < 0)
		return sluice_errno(-r);
	r = may_change(w, p.fds[0]);
	if (r < 0) {
		close(p.fds[0]);
		return sluice_errno(-r);
	}
	p.data = &change;
	p.size = sizeof(change);
	r = request_plan_act(req, &p);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

static struct sluice_verdict metadata_handle(struct sluice_request *req, void *userdata)
{
	return plan(req, userdata);
}

/* ---- registration ---- */

/* What a grant's path names, in the tree that it is meant for. */
static int grant_open(const struct tree *tree, const char *path)
{
	const struct walk_from from = {
		.view = tree ? tree->view : NULL,
		.dirfd = AT_FDCWD,
		.cwd = -1,
		.path = path,
		.flags = WALK_PROC,
	};
	struct walk_end end;
	int r;

	if (!tree) {
		r = open(path, O_PATH | O_CLOEXEC);
		return r < 0 ? -errno : r;
	}
	r = path[0] == '/' ? walk(NULL, &from, &end) : cwd_get(tree->cwds, getpid());
	return r < 0 || path[0] != '/' ? r : end.fd;
}

static int writable_add(struct writable *w, int fd)
{
	char buf[PATH_MAX];
	const char *real = fd_path(fd, buf);

	if (!real)
		return -errno;
	w->roots[w->n] = strdup(real);
	return w->roots[w->n++] ? 0 : -ENOMEM;
}

/* A grant that must be there is reported where its rule is made. */
static int writable_add_path(struct writable *w, const char *path)
{
	int r, fd = grant_open(w->tree, path);

	if (fd < 0)
		return 0;
	r = writable_add(w, fd);
	close(fd);
	return r;
}

static bool is_the_root(const struct tree *tree, const char *path)
{
	int fd = grant_open(tree, path), root = grant_open(tree, "/");
	struct stat a, b;
	bool same = fd >= 0 && root >= 0 && fstat(fd, &a) == 0 && fstat(root, &b) == 0 &&
		    a.st_dev == b.st_dev && a.st_ino == b.st_ino;

	if (fd >= 0)
		close(fd);
	if (root >= 0)
		close(root);
	return same;
}

static int add_writable_mounts(struct writable *w)
{
	int r = 0;

	for (size_t i = 0; r == 0 && w->tree && i < view_count(w->tree->view); i++) {
		const struct view_mount *m = view_mount(w->tree->view, (int)i);

		if (m->writable)
			r = writable_add(w, m->fd);
	}
	return r;
}

static int writable_new(const struct sluice_policy *p, const struct tree *tree,
			struct writable **ret)
{
	const size_t n = p->n_grants + p->n_mounts + 1;
	struct writable *w = calloc(1, sizeof(*w) + n * sizeof(w->roots[0]));
	int r;

	if (!w)
		return -ENOMEM;
	w->tree = tree;
	r = add_writable_mounts(w);
	for (size_t i = 0; r == 0 && i < p->n_grants; i++) {
		const struct policy_grant *g = &p->grants[i];

		if (g->access == POLICY_WRITE && !(g->not_root && is_the_root(tree, g->path)))
			r = writable_add_path(w, g->path);
	}
	if (r == 0 && p->default_devices) /* a terminal of one's own: mesg, grantpt */
		r = writable_add_path(w, "/dev/pts");
	if (r < 0)
		writable_free(w);
	else
		*ret = w;
	return r;
}

/* Then nothing is to be refused, and where the tree is the host's nothing is to be found either. */
static bool traps_nothing(const struct writable *w)
{
	for (size_t i = 0; i < w->n; i++) {
		if (!w->tree && !strcmp(w->roots[i], "/"))
			return true;
	}
	return false;
}

int builtin_metadata_register(struct dispatch *d, const struct sluice_policy *p,
			      const struct tree *tree)
{
	struct writable *w = NULL;
	bool trapped;
	int r = writable_new(p, tree, &w);

	if (r < 0)
		return r;
	trapped = !traps_nothing(w);
	r = dispatch_own(d, w, writable_free);
	for (const int *nr = change_calls; r == 0 && *nr >= 0; nr++) {
		struct sluice_handler h = sluice_handler_make("metadata", *nr, metadata_handle, w);

		r = dispatch_add_planner(d, *nr, metadata_handle, w);
		if (r == 0 && trapped)
			r = dispatch_add(d, &h, true);
	}
	return r;
}
