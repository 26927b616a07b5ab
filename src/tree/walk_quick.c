/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common way of a walk: a path that meets no symbolic link, no "..", no mount point and nothing that a branch has changed is the kernel's to walk.
 */
#define _GNU_SOURCE
#include "tree/walk_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sys/openat2.h"
#include "task/procfs.h"
#include "tree/branch.h"
#include "tree/view.h"

/* ---- what both ways use ---- */

int walk_open_path(int dirfd, const char *path, uint64_t flags, uint64_t resolve)
{
	return open_at_how(dirfd, path, flags | O_PATH, 0, resolve);
}

int walk_dup(int fd)
{
	int r = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return r < 0 ? -errno : r;
}

int walk_append(char path[PATH_MAX], const char *name)
{
	size_t n = strlen(path), more = strlen(name);

	if (n + more + 2 > PATH_MAX)
		return -ENAMETOOLONG;
	if (n)
		path[n++] = '/';
	memcpy(path + n, name, more + 1);
	return 0;
}

bool walk_may_be_on_procfs(int fd, const struct stat *st)
{
	return !major(st->st_dev) && procfs_has(fd);
}

/* What the task's own descriptor names, or what that stands for. */
static int open_given(const struct task *t, const struct walk_from *from)
{
	int fd = task_open_dirfd(t, from->dirfd), real;

	if (fd < 0 || !from->proc)
		return fd;
	real = from->proc->stands_for(from->proc, fd);
	if (real == -ENODATA)
		return fd;
	close(fd);
	return real;
}

int walk_base(const struct task *t, const struct walk_from *from)
{
	if (from->dirfd == AT_FDCWD && from->cwd >= 0)
		return walk_dup(from->cwd);
	return t ? open_given(t, from) : -EBADF;
}

/* ---- the way ---- */

/* Is @path free of what the kernel would take differently: "..", "." and doubled slashes count too, so that its text can be compared? */
static bool is_plain(const char *path)
{
	for (const char *c = path; *c;) {
		size_t n = strcspn(c, "/");

		if (!n && c != path)
			return false; /* a doubled or a final slash */
		if ((n == 1 && c[0] == '.') || (n == 2 && c[0] == '.' && c[1] == '.'))
			return false;
		c += n;
		c += *c == '/';
		if (!*c && c[-1] == '/' && c != path + 1)
			return false;
	}
	return true;
}

/* Errors of a walk that meets plain files only, and so are the task's. */
static bool is_final(int fd)
{
	return fd == -ENOENT || fd == -ENOTDIR || fd == -EACCES || fd == -ENAMETOOLONG;
}

/*
 * Let the kernel walk from @base when it can't meet anything but plain files there. Returns 1 when it could, 0 when not.
 */
static int kernel_walk(int base, const char *path, int mount, const struct walk_from *from,
		       struct walk_end *end)
{
	int fd = walk_open_path(base, path, from->flags & WALK_NOFOLLOW ? O_NOFOLLOW : 0,
				RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);

	if (fd < 0)
		return is_final(fd) ? fd : 0;
	if (fstat(fd, &end->st) < 0 || walk_may_be_on_procfs(fd, &end->st)) {
		close(fd);
		return 0;
	}
	end->fd = fd;
	end->mount = mount;
	return 1;
}

/* The directory that @path's last name is in, without a link on the way. */
static int open_parent(int base, const char *path, const char *name)
{
	char parent[PATH_MAX];
	size_t n = (size_t)(name - path);

	if (!n)
		return walk_dup(base);
	if (n >= sizeof(parent))
		return -ENAMETOOLONG;
	memcpy(parent, path, n);
	parent[n] = '\0';
	return walk_open_path(base, parent, O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

/* The last name itself, in end->dir. */
static int kernel_name(const struct walk_from *from, struct walk_end *end)
{
	int fd = walk_open_path(end->dir, end->name, O_NOFOLLOW, 0);

	if (fd == -ENOENT)
		return 1;
	if (fd < 0)
		return is_final(fd) ? fd : 0;
	end->fd = fd;
	if (fstat(fd, &end->st) < 0 || walk_may_be_on_procfs(fd, &end->st))
		return 0;
	return !S_ISLNK(end->st.st_mode) || from->flags & WALK_NOFOLLOW ||
	       (from->flags & WALK_LAST) == WALK_LAST;
}

/* As kernel_walk, with the directory and the name at the end. */
static int kernel_walk_named(int base, const char *path, int mount, const struct walk_from *from,
			     struct walk_end *end)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	int dir, r;

	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	dir = open_parent(base, path, name);
	if (dir < 0)
		return is_final(dir) ? dir : 0;
	end->dir = dir;
	end->mount = mount;
	memcpy(end->name, name, strlen(name) + 1);
	r = kernel_name(from, end);
	if (r == 0) { /* forget it all */
		walk_end_close(end);
		memset(end->name, 0, sizeof(end->name));
	}
	return r;
}

static int kernel_walk_any(int base, const char *path, int mount, const struct walk_from *from,
			   struct walk_end *end)
{
	return (from->flags & WALK_NAME ? kernel_walk_named : kernel_walk)(base, path, mount, from,
									   end);
}

/* May the kernel walk @rest from the top of @mount by itself? */
static bool is_plain_there(const struct view_mount *m, const char *rest)
{
	return !m->branch || branch_is_unchanged(m->branch, rest);
}

/* The same for what is below directory @base, which meets no mount point. */
static int walk_quickly_from(int base, const struct walk_from *from, struct walk_end *end)
{
	const struct view *v = from->view;
	const struct view_mount *m;
	char rest[PATH_MAX];
	int mount;

	/* without a change nothing that a branch shows is elsewhere than in its lower tree */
	if (!view_is_changed(v))
		return kernel_walk_any(base, from->path, -1, from, end);
	mount = view_locate(v, base, rest, sizeof(rest), NULL);
	if (mount < 0)
		return mount == -EXDEV ? kernel_walk_any(base, from->path, -1, from, end) : 0;
	m = view_mount(v, mount);
	if (!m->branch)
		return kernel_walk_any(base, from->path, mount, from, end);
	/* what @base itself names may be the upper part alone */
	if (walk_append(rest, from->path) < 0 || !branch_is_unchanged(m->branch, rest))
		return 0;
	return kernel_walk_any(m->fd, rest, mount, from, end);
}

int walk_quickly(const struct task *t, const struct walk_from *from, struct walk_end *end)
{
	const struct view *v = from->view;
	const char *rest;
	struct stat st;
	int base, mount, r;

	if (!v || from->resolve || !from->path[0] || !is_plain(from->path))
		return 0;
	if (from->path[0] == '/') {
		mount = view_split(v, from->path, &rest);
		if (!*rest || !is_plain_there(view_mount(v, mount), rest))
			return 0;
		return kernel_walk_any(view_mount(v, mount)->fd, rest, mount, from, end);
	}
	base = walk_base(t, from);
	if (base < 0)
		return base;
	r = fstat(base, &st) < 0 ? -errno : 0;
	if (r == 0 && !view_leads_to_mounts(v, st.st_dev, st.st_ino))
		r = walk_quickly_from(base, from, end);
	close(base);
	return r;
}
