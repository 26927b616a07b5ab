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
#include "tree/denial.h"
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

int walk_base(const struct task *t, const struct walk_from *from)
{
	int fd = -EBADF;

	if (from->base >= 0 && !from->base_is_open)
		fd = walk_dup(from->base);
	else if (t)
		fd = task_open_dirfd(t, from->dirfd);
	/* a working directory is one that the task got to; a descriptor can be from anywhere */
	if (fd >= 0 && from->dirfd != AT_FDCWD && from->view && denial_above(from->view, fd)) {
		close(fd);
		return -EACCES;
	}
	return fd;
}

/* ---- the way ---- */

/* Links of one walk that are followed by their text at once. */
#define LINKS_MAX 4u

/* What stands for nothing, or for the way back. */
static bool is_dots(const char *name, size_t n)
{
	return (n == 1 && name[0] == '.') || (n == 2 && name[0] == '.' && name[1] == '.');
}

/* Does @path lead above where it starts, by its text? */
static bool climbs(const char *path)
{
	unsigned depth = 0;

	for (const char *c = path + strspn(path, "/"); *c; c += strspn(c, "/")) {
		size_t n = strcspn(c, "/");

		if (!is_dots(c, n))
			depth++;
		else if (n == 2 && !depth--)
			return true;
		c += n;
	}
	return false;
}

/* Errors of a walk that meets plain files only, and so are the task's. */
static bool is_final(int fd)
{
	return fd == -ENOENT || fd == -ENOTDIR || fd == -EACCES || fd == -ENAMETOOLONG;
}

/* Returned by the ways below: a symbolic link is met, of whose text the path can be made anew. */
#define MEETS_LINK (-ELOOP)

/* What an error of the kernel's walk means. */
static int refusal(int fd)
{
	return is_final(fd) || fd == -ELOOP ? fd : 0;
}

/*
 * One name in @base, which is no way to anywhere but itself, needs no descriptor to be looked at. Returns as kernel_walk.
 */
static int kernel_stat(int base, const char *name, int mount, const struct walk_from *from,
		       struct walk_end *end)
{
	if (strchr(name, '/') || is_dots(name, strlen(name)))
		return 0;
	if (fstatat(base, name, &end->st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
		return refusal(-errno);
	/* without a device it may be procfs, which only a descriptor tells */
	if (!major(end->st.st_dev) || (S_ISLNK(end->st.st_mode) && !(from->flags & WALK_NOFOLLOW)))
		return 0;
	end->mount = mount;
	end->plain = true;
	return 1;
}

/*
 * Let the kernel walk from @base when it can't meet anything but plain files there. Returns 1 when it could, 0 when not, MEETS_LINK, or the errno for the task.
 */
static int kernel_walk(int base, const char *path, int mount, const struct walk_from *from,
		       struct walk_end *end)
{
	const uint64_t nofollow = from->flags & WALK_NOFOLLOW ? O_NOFOLLOW : 0;
	int fd = open_at_how(base, path, from->open ? from->open | nofollow : O_PATH | nofollow, 0,
			     RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);

	if (fd == -EACCES && from->open && from->proc)
		return 0; /* a file of another process, which is not there for the task */
	if (fd < 0)
		return refusal(fd);
	if (fstat(fd, &end->st) < 0 || walk_may_be_on_procfs(fd, &end->st)) {
		close(fd);
		return 0;
	}
	end->fd = fd;
	end->mount = mount;
	end->plain = true;
	end->opened = from->open;
	return 1;
}

/* The directory that @path's last name is in, without a link on the way. */
static int open_parent(int base, const char *path, const char *name, const struct walk_from *from)
{
	char parent[PATH_MAX];
	size_t n = (size_t)(name - path);

	if (!n && base == from->base && from->base_is_open)
		/* what is looked up in it needs the same right to search as "." does */
		return walk_open_path(base, ".", O_DIRECTORY, 0);
	if (!n)
		return walk_dup(base);
	if (n >= sizeof(parent))
		return -ENAMETOOLONG;
	memcpy(parent, path, n);
	parent[n] = '\0';
	return walk_open_path(base, parent, O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

/* Is a symbolic link that the path ends with followed? */
static bool follows_last(const struct walk_from *from)
{
	return !(from->flags & WALK_NOFOLLOW) && (from->flags & WALK_LAST) != WALK_LAST;
}

/* The last name itself, in end->dir. */
static int kernel_name(const struct walk_from *from, struct walk_end *end)
{
	int fd = walk_open_path(end->dir, end->name, O_NOFOLLOW, 0);

	if (fd == -ENOENT)
		return 1;
	if (fd < 0)
		return refusal(fd);
	end->fd = fd;
	if (fstat(fd, &end->st) < 0 || walk_may_be_on_procfs(fd, &end->st))
		return 0;
	return S_ISLNK(end->st.st_mode) && follows_last(from) ? MEETS_LINK : 1;
}

/* As kernel_walk, with the directory and the name at the end. */
static int kernel_walk_named(int base, const char *path, int mount, const struct walk_from *from,
			     struct walk_end *end)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	int dir, r;

	if (!*name || is_dots(name, strlen(name)))
		return 0;
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	dir = open_parent(base, path, name, from);
	if (dir < 0)
		return refusal(dir);
	end->dir = dir;
	end->mount = mount;
	memcpy(end->name, name, strlen(name) + 1);
	r = kernel_name(from, end);
	if (r == 0 || r == MEETS_LINK) { /* forget it all */
		walk_end_close(end);
		memset(end->name, 0, sizeof(end->name));
	}
	return r;
}

static int kernel_walk_any(int base, const char *path, int mount, const struct walk_from *from,
			   struct walk_end *end)
{
	if (from->flags & WALK_STAT) {
		int r = kernel_stat(base, path, mount, from, end);

		if (r != 0)
			return r;
	}
	if (from->flags & WALK_NAME && !from->open)
		return kernel_walk_named(base, path, mount, from, end);
	return kernel_walk(base, path, mount, from, end);
}

/* May the kernel walk @rest from the top of @mount by itself? */
static bool is_plain_there(const struct view_mount *m, const char *rest)
{
	return !m->branch || branch_is_unchanged(m->branch, rest);
}

/*
 * Does @rest, from the top of @mount on, stay in that mount and in what no branch has changed, if it meets no symbolic link? Then the text alone says which
 * directories are passed: asked at each turn back, and at the end.
 */
static bool stays_in(const struct view *v, int mount, const char *rest)
{
	const struct view_mount *m = view_mount(v, mount);
	const size_t top = m->at[1] ? strlen(m->at) : 0;
	char at[PATH_MAX];
	const char *below;
	size_t n = top;

	memcpy(at, m->at, top + 1);
	for (const char *c = rest + strspn(rest, "/");; c += strspn(c, "/")) {
		size_t len = strcspn(c, "/");
		bool back = len == 2 && is_dots(c, len);

		at[n] = '\0';
		if (!len || back) {
			if (n == top) /* of a branch's top the rights may have changed */
				return !len && is_plain_there(m, "");
			if (view_split(v, at, &below) != mount || !is_plain_there(m, at + top + 1))
				return false;
			if (!len)
				return true;
			n = (size_t)(strrchr(at, '/') - at);
		} else if (!is_dots(c, len)) {
			if (n + len + 2 > sizeof(at))
				return false;
			at[n++] = '/';
			memcpy(at + n, c, len);
			n += len;
		}
		c += len;
	}
}

/* A walk that the kernel may be asked for again, with a link's text in its place. */
struct quick {
	const struct walk_from *from;
	struct walk_end *end;
	unsigned links; /* that may yet be followed so; the slow way takes what has more */
	const struct branch_base *base; /* of a path in a branch; NULL: it starts at the top */
};

/* Where a path starts. */
struct start {
	int dir;
	int mount;	   /* whose text says what is met; -1: nothing can be met below dir */
	const char *above; /* of dir, from the top of mount */
};

static int go(struct quick *q, const struct start *s, const char *path);

static int go_from_root(struct quick *q, const char *path)
{
	const struct view *v = q->from->view;
	const char *rest;
	int mount = view_split(v, path, &rest);
	const struct start top = { view_mount(v, mount)->fd, mount, "" };

	return *rest ? go(q, &top, rest) : 0;
}

/* A link in s->dir says @target, which @tail follows. */
static int go_by_text(struct quick *q, const struct start *s, const char *target, const char *tail)
{
	char path[PATH_MAX];

	if (strlen(target) + strlen(tail) >= sizeof(path))
		return 0;
	stpcpy(stpcpy(path, target), tail);
	if (path[0] == '/')
		return go_from_root(q, path);
	return climbs(path) ? 0 : go(q, s, path);
}

/* The text of link @name in @dir. False: it is none, or one of procfs, which is more than its text. */
static bool read_link(int dir, const char *name, char target[PATH_MAX])
{
	ssize_t n = readlinkat(dir, name, target, PATH_MAX - 1);
	struct stat st;

	if (n <= 0 || fstat(dir, &st) < 0 || walk_may_be_on_procfs(dir, &st))
		return false;
	target[n] = '\0';
	return true;
}

/* "/lib" and its kind: the first name of @path is a link, in a directory that is at hand. */
static int go_by_first(struct quick *q, const struct start *s, const char *path)
{
	char name[NAME_MAX + 1], target[PATH_MAX];
	size_t n = strcspn(path, "/");

	if (!path[n] || n > NAME_MAX || is_dots(path, n))
		return 0;
	memcpy(name, path, n);
	name[n] = '\0';
	return read_link(s->dir, name, target) ? go_by_text(q, s, target, path + n) : 0;
}

/* Its last name is: it and what it leads to are looked up in one and the same directory, whatever is renamed meanwhile. */
static int go_by_last(struct quick *q, const struct start *s, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char above[PATH_MAX], target[PATH_MAX];
	struct start here = *s;
	int dir, r = 0;

	if (!follows_last(q->from) || !*name)
		return 0;
	if (strlen(s->above) + (size_t)(name - path) + 2 > sizeof(above))
		return 0;
	strcpy(above, s->above);
	if (slash)
		strncat(strcat(above, *above ? "/" : ""), path, (size_t)(slash - path));
	dir = slash ? open_parent(s->dir, path, name, q->from) : s->dir;
	if (dir < 0)
		return 0;
	here.dir = dir;
	here.above = above;
	if (read_link(dir, name, target))
		r = go_by_text(q, &here, target, "");
	if (dir != s->dir)
		close(dir);
	return r;
}

/* Is @path canonical: no "..", no ".", no doubled or final slash? */
static bool is_canonical(const char *path)
{
	for (;; path++) {
		size_t n = strcspn(path, "/");

		if (!n || is_dots(path, n))
			return false;
		path += n;
		if (!*path)
			return true;
	}
}

/* Is @path, from the top of @mount, one that its branch's upper directory may be asked for? */
static bool may_be_in_upper(const struct quick *q, int mount, const char *path)
{
	const struct view *v = q->from->view;
	const struct view_mount *m = view_mount(v, mount);
	char at[PATH_MAX] = "/";
	const char *below;

	/* a path that links were put into has no base any more */
	if (!m->branch || q->links < LINKS_MAX || !is_canonical(path))
		return false;
	if (m->at[1] && walk_append(strcpy(at, m->at), path) < 0)
		return false;
	if (!m->at[1] && strlen(path) + 2 <= sizeof(at))
		strcpy(at + 1, path);
	return view_split(v, at, &below) == mount;
}

/* The name at the end of @path, and its directory. */
static int name_in_upper(struct quick *q, int mount, const char *path)
{
	struct branch *b = view_mount(q->from->view, mount)->branch;
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	struct branch_name found;
	int r;

	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	r = branch_open_name(b, path, q->base, &found);
	if (r < 0)
		return r == -EACCES ? r : 0;
	q->end->fd = found.fd;
	q->end->dir = found.dir;
	q->end->st = found.st;
	if (found.fd >= 0 && S_ISLNK(found.st.st_mode) && follows_last(q->from)) {
		walk_end_close(q->end);
		return 0;
	}
	q->end->mount = mount;
	memcpy(q->end->name, name, strlen(name) + 1);
	return 1;
}

/* What a branch has changed, as far as its upper directory alone says what is there: @path in @mount. */
static int go_in_upper(struct quick *q, int mount, const char *path)
{
	struct walk_end *end = q->end;
	const uint64_t nofollow = q->from->flags & WALK_NOFOLLOW ? O_NOFOLLOW : 0;
	int fd;

	if (!may_be_in_upper(q, mount, path))
		return 0;
	if (q->from->flags & WALK_NAME && !q->from->open)
		return name_in_upper(q, mount, path);
	/* O_NOFOLLOW does not stay in the flags of what a branch opens */
	fd = branch_open_upper(view_mount(q->from->view, mount)->branch, path, q->base,
			       q->from->open ? q->from->open & ~(uint64_t)O_NOFOLLOW
					     : O_PATH | nofollow);
	if (fd < 0)
		return fd == -EACCES ? fd : 0;
	if (fstat(fd, &end->st) < 0) {
		close(fd);
		return 0;
	}
	end->fd = fd;
	end->mount = mount;
	end->plain = true;
	end->opened = q->from->open;
	return 1;
}

static int go(struct quick *q, const struct start *s, const char *path)
{
	char text[PATH_MAX];
	int r;

	if (s->mount >= 0) {
		strcpy(text, s->above);
		if (walk_append(text, path) < 0)
			return 0;
		if (!stays_in(q->from->view, s->mount, text))
			return go_in_upper(q, s->mount, text);
	}
	r = kernel_walk_any(s->dir, path, s->mount, q->from, q->end);
	if (r != MEETS_LINK)
		return r;
	if (!q->links)
		return 0;
	q->links--;
	r = go_by_first(q, s, path);
	return r ? r : go_by_last(q, s, path);
}

/* From directory @base, which meets no mount point. */
static int go_from_base(struct quick *q, int base, const struct stat *st)
{
	struct branch_base in_branch = { .ino = st->st_ino };
	const struct view *v = q->from->view;
	const char *path = q->from->path;
	char above[PATH_MAX];
	struct start s = { base, -1, "" };
	int mount, r;

	if (climbs(path))
		return 0;
	/* without a change nothing that a branch shows is elsewhere than in its lower tree */
	if (!view_is_changed(v))
		return go(q, &s, path);
	mount = view_locate(v, base, above, sizeof(above), &in_branch.lower);
	if (mount < 0)
		return mount == -EXDEV ? go(q, &s, path) : 0;
	if (!view_mount(v, mount)->branch) {
		r = kernel_walk_any(base, path, mount, q->from, q->end);
		return r == MEETS_LINK ? 0 : r;
	}
	/* what @base itself names may be the upper part alone */
	in_branch.length = strlen(above);
	if (walk_append(above, path) < 0)
		return 0;
	s = (struct start){ view_mount(v, mount)->fd, mount, "" };
	q->base = &in_branch;
	r = go(q, &s, above);
	q->base = NULL;
	return r;
}

int walk_quickly(const struct task *t, const struct walk_from *from, struct walk_end *end)
{
	struct quick q = { .from = from, .end = end, .links = LINKS_MAX };
	struct stat st;
	int base, r;

	/* where something is denied each component is looked at by its identity */
	if (from->resolve || view_has_denials(from->view) || view_has_moved(from->view))
		return 0;
	if (from->path[0] == '/')
		return go_from_root(&q, from->path);
	base = from->base < 0 ? walk_base(t, from) : from->base;
	if (base < 0)
		return base;
	r = fstat(base, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	if (r == 0 && !view_leads_to_mounts(from->view, st.st_dev, st.st_ino))
		r = go_from_base(&q, base, &st);
	if (base != from->base)
		close(base);
	return r;
}
