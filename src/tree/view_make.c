/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a view: what is mounted where, which directories lie above, and which are covered by a branch. Before anything runs in it.
 */
#define _GNU_SOURCE
#include "tree/view_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"
#include "tree/branch.h"
#include "tree/walk.h"
#include "util/cleanup.h"
#include "util/fail.h"

static int mount_init(struct view_mount *m, const char *at, int fd, bool read_only)
{
	char host[PATH_MAX];
	struct stat st;

	*m = (struct view_mount){ .fd = fd, .in_fd = -1, .in_mount = -1, .read_only = read_only };
	if (fstat(fd, &st) < 0)
		return -errno;
	m->dev = st.st_dev;
	m->ino = st.st_ino;
	m->directory = S_ISDIR(st.st_mode);
	if (fd_path(fd, host, sizeof(host)) < 0)
		return -ENAMETOOLONG;
	m->at = strdup(at);
	m->host = strdup(host);
	return m->at && m->host ? 0 : -ENOMEM;
}

/* Room for one more mount, not counted yet. */
static struct view_mount *mounts_grow(struct view *v)
{
	struct view_mount *grown = reallocarray(v->mounts, v->n + 1, sizeof(*grown));

	if (grown)
		v->mounts = grown;
	return grown ? &grown[v->n] : NULL;
}

/* @fd is consumed. */
static int add_mount(struct view *v, const char *at, int fd, bool read_only)
{
	struct view_mount *m = mounts_grow(v);
	int r;

	if (!m) {
		close(fd);
		return -ENOMEM;
	}
	r = mount_init(m, at, fd, read_only);
	v->n++; /* from here on view_free has it */
	return r;
}

static int know(struct above **list, size_t *n, const struct stat *st)
{
	struct above *grown = reallocarray(*list, *n + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	*list = grown;
	grown[(*n)++] = (struct above){ st->st_dev, st->st_ino };
	return 0;
}

static int add_above(struct view *v, const struct stat *st)
{
	if (view_leads_to_mounts(v, st->st_dev, st->st_ino))
		return 0;
	return know(&v->above, &v->n_above, st);
}

static int look(const struct view *v, const char *path, struct walk_end *end)
{
	const struct walk_from from = {
		.view = v,
		.dirfd = AT_FDCWD,
		.base = v->mounts[0].fd,
		.path = path,
		.flags = WALK_PROC,
	};

	return walk(NULL, &from, end);
}

/* An empty directory for the virtual path @at whose parent is there but lacks it. */
static int add_skeleton(struct view *v, const char *at);

/* Make the directory that holds mount point @at known, with all above it. */
static int find_parent(struct view *v, const char *at, struct walk_end *ret)
{
	char parent[PATH_MAX];
	char *slash;
	int r;

	snprintf(parent, sizeof(parent), "%s", at);
	slash = strrchr(parent, '/');
	slash[slash == parent] = '\0';
	r = look(v, parent, ret);
	if (r == -ENOENT) {
		r = add_skeleton(v, parent);
		if (r == 0)
			r = look(v, parent, ret);
	}
	if (r == 0 && !S_ISDIR(ret->st.st_mode)) {
		walk_end_close(ret);
		r = -ENOTDIR;
	}
	return r;
}

static int add_all_above(struct view *v, const char *at)
{
	char path[PATH_MAX];
	int r = 0;

	snprintf(path, sizeof(path), "%s", at);
	while (r == 0 && path[1]) {
		char *slash = strrchr(path, '/');
		struct walk_end end;

		slash[slash == path] = '\0';
		r = look(v, path, &end);
		if (r == 0) {
			r = add_above(v, &end.st);
			walk_end_close(&end);
		}
	}
	return r;
}

/* The mount point's path without links on the way to it: what a walk that meets no link compares. */
static int real_place(const struct view *v, const struct walk_end *parent, const char *name,
		      char at[PATH_MAX])
{
	ssize_t n = view_path(v, parent->fd, at, PATH_MAX);

	if (n < 0)
		return (int)n;
	if (n == 1) /* "/" */
		n = 0;
	if ((size_t)n + strlen(name) + 2 > PATH_MAX)
		return -ENAMETOOLONG;
	sprintf(at + n, "/%s", name);
	return view_cross(v, parent->st.st_dev, parent->st.st_ino, name) >= 0 ? -EEXIST : 0;
}

/* The host's path of what @fd names; the caller's. NULL: memory is short, or it has none. */
static char *host_path(int fd)
{
	char buf[PATH_MAX];

	return fd_path(fd, buf, sizeof(buf)) < 0 ? NULL : strdup(buf);
}

/* Mount what @fd (consumed) names at @path. */
static int attach(struct view *v, const char *path, int fd, bool read_only)
{
	struct walk_end parent;
	struct view_mount *m;
	char at[PATH_MAX];
	struct stat st;
	int r = find_parent(v, path, &parent);

	if (r < 0) {
		close(fd);
		return r;
	}
	r = real_place(v, &parent, strrchr(path, '/') + 1, at);
	if (r == 0)
		r = add_all_above(v, at);
	if (r < 0)
		close(fd);
	else
		r = add_mount(v, at, fd, read_only);
	if (r < 0) {
		walk_end_close(&parent);
		return r;
	}
	m = &v->mounts[v->n - 1];
	m->in_fd = parent.fd;
	m->in_dev = parent.st.st_dev;
	m->in_ino = parent.st.st_ino;
	m->in_mount = parent.mount;
	m->name = strrchr(m->at, '/') + 1;
	m->in_host = host_path(parent.fd);
	if (!m->in_host)
		return -ENOMEM;
	m->missing = fstatat(parent.fd, m->name, &st, AT_SYMLINK_NOFOLLOW) < 0;
	v->has_missing |= m->missing;
	return 0;
}

static int add_skeleton(struct view *v, const char *at)
{
	char name[16];
	int fd, r;

	snprintf(name, sizeof(name), "%u", v->n_skeletons++);
	if (mkdirat(v->skeleton, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(v->skeleton, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = attach(v, at, fd, true);
	if (r == 0)
		v->mounts[v->n - 1].skeleton = true;
	return r;
}

/* Mount @top came between its parent and the mounts that lie below it. */
static void adopt(struct view *v, int top)
{
	for (int i = 1; i < top; i++) {
		struct view_mount *m = &v->mounts[i];

		if (m->in_mount == v->mounts[top].in_mount && view_prefix(m->at, v->mounts[top].at))
			m->in_mount = top;
	}
}

/* The mount whose root @end is, made of a plain directory when it was none. */
static int mount_at(struct view *v, const char *at, const struct walk_end *end)
{
	int fd;

	for (size_t i = 0; i < v->n; i++) {
		if (v->mounts[i].ino == end->st.st_ino && v->mounts[i].dev == end->st.st_dev)
			return (int)i;
	}
	fd = fcntl(end->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	fd = attach(v, at, fd, false);
	if (fd < 0)
		return fd;
	adopt(v, (int)v->n - 1);
	return (int)v->n - 1;
}

/* ---- what is not seen at its own place ---- */

/* Where mount @m shows the host's path @host, which it does. */
static int virtual_path(const struct view_mount *m, const char *host, char buf[PATH_MAX])
{
	const char *rest = host + (strcmp(m->host, "/") ? strlen(m->host) : 0);

	return snprintf(buf, PATH_MAX, "%s%s", strcmp(m->at, "/") ? m->at : "", rest) < PATH_MAX
		       ? 0
		       : -ENAMETOOLONG;
}

/* An empty directory at @at, if what is seen there is the file behind @st. */
static int hide_at(struct view *v, const char *at, const struct stat *st)
{
	struct walk_end end;
	bool seen;
	int r = look(v, at, &end);

	if (r < 0) /* a mount lies over it */
		return r == -ENOENT || r == -ENOTDIR ? 0 : r;
	seen = end.st.st_ino == st->st_ino && end.st.st_dev == st->st_dev;
	walk_end_close(&end);
	for (size_t i = 1; seen && i < v->n; i++) {
		if (view_prefix(v->mounts[i].at, at))
			return -EINVAL;
	}
	r = seen ? add_skeleton(v, at) : 0;
	if (seen && r == 0)
		v->mounts[v->n - 1].hides = true;
	return r;
}

int view_hide(struct view *v, int fd)
{
	char at[PATH_MAX], host[PATH_MAX];
	struct stat st;
	int r = fstat(fd, &st) < 0 ? -errno : 0;

	if (r == 0 && fd_path(fd, host, sizeof(host)) < 0)
		r = -ENAMETOOLONG;
	for (size_t i = 0, n = v->n; r == 0 && i < n; i++) {
		const struct view_mount *m = &v->mounts[i];

		if (!view_prefix(host, m->host) || m->branch)
			continue;
		r = virtual_path(m, host, at);
		if (r == 0)
			r = *at ? hide_at(v, at, &st) : -EINVAL;
	}
	return r;
}

/* ---- further lower trees ---- */

static bool overlap(const char *a, const char *b)
{
	return view_prefix(a, b) || view_prefix(b, a);
}

/* One more lower tree of mount @m; the branch's directories are not known to the view yet. */
static int add_lower(struct view *v, int m, int fd)
{
	struct view_mount *mount = &v->mounts[m];
	char lower[PATH_MAX];
	char **grown = reallocarray(mount->lowers, mount->n_lowers + 1, sizeof(*grown));
	struct stat st;
	int r;

	if (!grown)
		return -ENOMEM;
	mount->lowers = grown;
	if (fd_path(fd, lower, sizeof(lower)) < 0)
		return -ENAMETOOLONG;
	if (overlap(lower, mount->host) || overlap(lower, mount->upper))
		return -EINVAL;
	for (size_t i = 0; i < mount->n_lowers; i++) {
		if (overlap(lower, mount->lowers[i]))
			return -EINVAL;
	}
	grown[mount->n_lowers] = strdup(lower);
	if (!grown[mount->n_lowers])
		return -ENOMEM;
	mount->n_lowers++;
	r = fstat(fd, &st) < 0 ? -errno : know(&v->tops, &v->n_tops, &st);
	return r < 0 ? r : view_hide(v, fd);
}

static int add_lowers(struct view *v, int m, const struct branch *branch, struct sluice_error *err)
{
	int fd, r = 0;

	for (size_t i = 1; r == 0 && (fd = branch_lower_fd(branch, i)) >= 0; i++) {
		char lower[PATH_MAX] = "?";

		fd_path(fd, lower, sizeof(lower));
		r = add_lower(v, m, fd);
		if (r == -EINVAL) {
			fail(err, r,
			     "lower tree: %s: it and another one, or a mount, lie in one another",
			     lower);
			fail_hint(
				err, r,
				"lower trees, working directory, branch storage and mounts must lie apart");
		} else if (r < 0) {
			fail_errno(err, r, "lower tree: %s", lower);
		}
	}
	return r;
}

int view_cover(struct view *v, const char *at, struct branch *branch, struct sluice_error *err)
{
	struct walk_end end;
	char upper[PATH_MAX];
	struct stat st;
	int m, r = look(v, at, &end);

	if (r == 0 && !S_ISDIR(end.st.st_mode))
		r = -ENOTDIR;
	m = r < 0 ? r : mount_at(v, at, &end);
	if (m >= 0 && v->mounts[m].branch)
		m = -EEXIST;
	if (m >= 0)
		r = (int)fd_path(branch_upper_fd(branch), upper, sizeof(upper));
	walk_end_close(&end);
	if (m < 0 || r < 0)
		return fail_errno(err, m < 0 ? m : r, "copy-on-write: %s", at);
	v->mounts[m].upper = strdup(upper);
	*strrchr(upper, '/') = '\0';
	if (asprintf(&v->mounts[m].index, "%s/work/index", upper) < 0)
		v->mounts[m].index = NULL;
	if (!v->mounts[m].upper || !v->mounts[m].index)
		return fail_errno(err, -ENOMEM, "copy-on-write: %s", at);
	r = stat(v->mounts[m].upper, &st) < 0 ? -errno : know(&v->tops, &v->n_tops, &st);
	if (r == 0)
		r = stat(v->mounts[m].index, &st) < 0 ? -errno : know(&v->tops, &v->n_tops, &st);
	if (r < 0)
		return fail_errno(err, r, "copy-on-write: %s", at);
	r = add_lowers(v, m, branch, err);
	if (r < 0)
		return r;
	v->mounts[m].branch = branch;
	v->has_branches = true;
	return 0;
}

/* Absolute, and nothing in it that a mount point's name can't have. Slashes are folded. */
static int normal_path(const char *in, char out[PATH_MAX])
{
	size_t n = 0;

	if (*in != '/')
		return -EINVAL;
	while (*in) {
		size_t slashes = strspn(in, "/"), len;

		in += slashes;
		len = strcspn(in, "/");
		if (!len)
			break;
		if ((len == 1 && in[0] == '.') || (len == 2 && in[0] == '.' && in[1] == '.'))
			return -EINVAL;
		if (n + len + 2 > PATH_MAX)
			return -ENAMETOOLONG;
		out[n++] = '/';
		memcpy(out + n, in, len);
		n += len;
		in += len;
	}
	if (!n)
		out[n++] = '/';
	out[n] = '\0';
	return 0;
}

static int open_host(const struct view_spec *s)
{
	int fd = open(s->host, O_PATH | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int add_spec(struct view *v, const struct view_spec *s, struct sluice_error *err)
{
	char at[PATH_MAX];
	int fd, r = normal_path(s->at, at);

	if (r == 0 && !strcmp(at, "/"))
		r = -EINVAL;
	if (r < 0)
		return fail_errno(err, r, "mount: %s: the virtual path", s->at);
	fd = open_host(s);
	if (fd == -ENOENT && s->optional)
		return 0;
	if (fd < 0)
		return fail_errno(err, fd, "mount: %s: %s", s->at, s->host);
	r = attach(v, at, fd, s->read_only);
	if (r == 0) {
		v->mounts[v->n - 1].writable = s->writable;
		v->mounts[v->n - 1].implied = s->optional;
	}
	return r < 0 ? fail_errno(err, r, "mount: %s", s->at) : 0;
}

static unsigned depth(const struct view_spec *s)
{
	unsigned n = 0;

	for (const char *c = s->at; *c; c++)
		n += c[0] == '/' && c[1] && c[1] != '/';
	return n;
}

static int by_depth(const void *a, const void *b)
{
	unsigned x = depth(a), y = depth(b);

	return (x > y) - (x < y);
}

static int add_specs(struct view *v, const struct view_spec *mounts, size_t n,
		     struct sluice_error *err)
{
	_cleanup_free_ struct view_spec *order = calloc(n + 1, sizeof(*order));
	int r = 0;

	if (!order)
		return fail_errno(err, -ENOMEM, "mounts");
	if (n)
		memcpy(order, mounts, n * sizeof(*order));
	qsort(order, n, sizeof(*order), by_depth);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add_spec(v, &order[i], err);
	return r;
}

int view_new(const struct view_spec *root, const struct view_spec *mounts, size_t n, int skeleton,
	     struct view **ret, struct sluice_error *err)
{
	struct view *v = calloc(1, sizeof(*v));
	int fd, r;

	if (!v)
		return fail_errno(err, -ENOMEM, "view");
	v->skeleton = skeleton;
	v->links = fd_links_open();
	v->moves = calloc(1, sizeof(*v->moves));
	fd = open_host(root);
	if (fd >= 0 && !v->moves) {
		close(fd);
		fd = -ENOMEM;
	}
	r = fd < 0 ? fd : add_mount(v, "/", fd, root->read_only);
	if (r == 0 && !v->mounts[0].directory)
		r = -ENOTDIR;
	if (r < 0)
		fail_errno(err, r, "root: %s", root->host);
	else
		r = add_specs(v, mounts, n, err);
	if (r < 0)
		view_free(v);
	else
		*ret = v;
	return r;
}
