/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/walk_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "task/procfs.h"
#include "tree/branch.h"
#include "tree/cwd.h"
#include "tree/denial.h"
#include "tree/view.h"

#define SYMLINKS_MAX 40 /* the kernel's MAXSYMLINKS */

/* What a step returns beside 0 (the end) and an errno for the task; no errno of the kernel is as large. */
#define WALK_ON (-5000) /* the next component */

struct walker {
	const struct task *task;
	const struct walk_from *from;
	struct walk_end *end;
	int at;		       /* O_PATH descriptor of the directory reached so far; owned */
	struct stat at_st;     /* of it; valid with a view */
	int mount;	       /* of it; -1 not known or none */
	struct branch *branch; /* that it lies in; NULL */
	char path[PATH_MAX];   /* of it, in the branch */
	int base; /* with RESOLVE_BENEATH and RESOLVE_IN_ROOT: the directory that is the root of this walk; owned; -1 */
	struct stat base_st;
	bool dead; /* the branch has removed it since it was opened: nothing is in it any more */
	unsigned links;		 /* symbolic links followed */
	char rest[PATH_MAX * 2]; /* what is still to be walked */
};

/* One component of the path, while it is walked. */
struct step {
	char name[NAME_MAX + 1];
	bool last, slash; /* nothing follows it; a slash does */
	int fd;		  /* O_PATH descriptor of it, a symbolic link not followed; -1 */
	struct stat st;	  /* of fd */
};

static int walk_on(int r)
{
	return r < 0 ? r : WALK_ON;
}

/* ---- where the walk is ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static void arrive(struct walker *w, int fd, int mount)
{
	if (w->at >= 0)
		close(w->at);
	w->at = fd;
	w->mount = mount;
}

static int arrive_at_lower(struct walker *w, const struct branch *branch)
{
	int fd = walk_dup(branch_lower_fd(branch, 0));

	if (fd < 0)
		return fd;
	arrive(w, fd, w->mount);
	return fstat(fd, &w->at_st) < 0 ? -errno : 0;
}

/*
 * The directory reached is part of a branch, at w->path: what the branch shows there by now takes its place, if it is the same one still (@was; NULL: any
 * is right).
 */
static int walk_to_shown(struct walker *w, struct branch *branch, const struct stat *was)
{
	struct branch_entry e;
	int r;

	w->branch = branch;
	w->dead = false;
	/* its upper directory is there from the start, and holds nothing yet */
	if (!w->path[0] && !branch_generation(branch))
		return arrive_at_lower(w, branch);
	r = branch_lookup(branch, w->path, &e);
	if (r < 0)
		return r;
	w->dead = e.kind == BRANCH_NONE || !S_ISDIR(e.st.st_mode) ||
		  (was && e.kind == BRANCH_UPPER && !same_file(was, &e.st));
	if (w->dead) {
		if (e.kind != BRANCH_NONE)
			close(e.fd);
		return 0;
	}
	w->at_st = e.st;
	arrive(w, e.fd, w->mount);
	return 0;
}

/* -EACCES where @by is a denial. */
static int denied(struct walker *w, const char *by)
{
	w->end->denied = by;
	return by ? -EACCES : 0;
}

/* Go to directory @fd (consumed), which belongs to @mount. */
static int walk_to(struct walker *w, int fd, int mount)
{
	const struct view *v = w->from->view;
	const struct view_mount *m;

	if (fd < 0)
		return fd;
	arrive(w, fd, mount);
	w->branch = NULL;
	w->dead = false;
	if (!v)
		return 0;
	if (fstat(fd, &w->at_st) < 0)
		return -errno;
	if (denied(w, denial_of(v, &w->at_st)) < 0)
		return -EACCES;
	if (!view_has_branches(v))
		return 0;
	if (mount < 0)
		w->mount = mount = view_mount_of(v, fd);
	m = view_mount(v, mount);
	if (!m || !m->branch)
		return 0;
	branch_show(m->branch, &w->at_st);
	mount = view_locate(v, fd, w->path, sizeof(w->path), NULL);
	if (mount == -ENOENT) { /* really gone */
		w->branch = m->branch;
		w->dead = true;
		return 0;
	}
	return mount < 0 ? mount : walk_to_shown(w, m->branch, &w->at_st);
}

/* Does the walk lie in another mount than the root? */
static bool is_off_root(const struct walker *w)
{
	const struct view_mount *root = view_mount(w->from->view, 0);

	return w->mount != 0 || w->at_st.st_dev != root->dev;
}

static int walk_to_root(struct walker *w)
{
	const struct view *v = w->from->view;

	if (w->from->resolve & RESOLVE_BENEATH)
		return -EXDEV;
	if (w->base >= 0)
		return walk_to(w, walk_dup(w->base), -1);
	if (v && w->from->resolve & RESOLVE_NO_XDEV && w->at >= 0 && is_off_root(w))
		return -EXDEV;
	return v ? walk_to(w, walk_dup(view_mount(v, 0)->fd), 0)
		 : walk_to(w, walk_open_path(AT_FDCWD, "/", O_DIRECTORY, 0), -1);
}

/* The mount of the directory reached, looked up where the walk began from a descriptor. */
static int walk_mount(struct walker *w)
{
	if (w->mount < 0 && w->from->view)
		w->mount = view_mount_of(w->from->view, w->at);
	return w->mount;
}

/* Cut the first component off w->rest. Returns 1, or 0 when nothing but slashes is left. */
static int walk_next(struct walker *w, struct step *s)
{
	char *at = w->rest + strspn(w->rest, "/");
	size_t n = strcspn(at, "/"), slashes;

	if (!n)
		return 0;
	if (n > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(s->name, at, n);
	s->name[n] = '\0';
	slashes = strspn(at + n, "/");
	s->slash = slashes > 0;
	s->last = at[n + slashes] == '\0';
	memmove(w->rest, at + n, strlen(at + n) + 1);
	return 1;
}

/* Go on with @target in front of what is left. */
static int walk_push(struct walker *w, const char *target)
{
	size_t n = strlen(target), left = strlen(w->rest);

	if (++w->links > SYMLINKS_MAX)
		return -ELOOP;
	if (!n)
		return -ENOENT;
	if (n + left + 1 > sizeof(w->rest))
		return -ENAMETOOLONG;
	memmove(w->rest + n, w->rest, left + 1);
	memcpy(w->rest, target, n);
	return w->rest[0] == '/' ? walk_to_root(w) : 0;
}

/* ---- the end ---- */

/* A file of the lower tree that was copied up meanwhile is what the branch has of it now. @lower: its path there; NULL: it does not lie there. */
static void end_as_shown(struct walker *w, struct branch *b, const char *lower)
{
	struct walk_end *e = w->end;
	struct branch_entry now;

	branch_show(b, &e->st);
	if (!branch_generation(b) || !lower || branch_is_unchanged(b, lower) ||
	    branch_lookup(b, lower, &now) < 0 || now.kind == BRANCH_NONE)
		return;
	if (!same_file(&now.st, &e->st)) {
		close(now.fd);
		return;
	}
	close(e->fd);
	e->fd = now.fd;
	e->st = now.st;
}

/* The walk ends at @fd (consumed), which has no name. */
static int end_without_name(struct walker *w, int fd, int mount)
{
	const struct view *v = w->from->view;
	struct walk_end *e = w->end;
	char path[PATH_MAX];
	bool lower = false;
	int located = -1;

	if (fd < 0)
		return fd;
	e->fd = fd;
	e->mount = mount;
	if (v && view_is_changed(v)) {
		located = view_locate(v, fd, path, sizeof(path), &lower);
		if (mount < 0)
			e->mount = located >= 0 ? located : view_mount_of(v, fd);
	}
	if (fstat(fd, &e->st) < 0)
		return -errno;
	if (e->mount >= 0 && view_mount(v, e->mount)->branch)
		end_as_shown(w, view_mount(v, e->mount)->branch,
			     located >= 0 && lower ? path : NULL);
	else
		e->plain = true;
	return 0;
}

/* The walk ends at component @s, whose descriptor (or -1) is taken, in the directory reached. */
static int end_at(struct walker *w, struct step *s)
{
	struct walk_end *e = w->end;

	if (s->fd >= 0 && s->slash && !S_ISDIR(s->st.st_mode) && !(w->from->flags & WALK_NAME))
		return -ENOTDIR;
	e->fd = s->fd;
	e->st = s->st;
	s->fd = -1;
	if (!(w->from->flags & WALK_NAME)) {
		/* who asks whether a mount is read-only wants names too, or looks by the descriptor */
		e->mount = w->mount;
		return 0;
	}
	e->mount = walk_mount(w);
	memcpy(e->name, s->name, sizeof(e->name));
	e->slash = s->slash;
	e->dir = w->at;
	w->at = -1;
	return 0;
}

/* ---- one component ---- */

/* "." of the directory reached, which the kernel gives only to who may search it. */
static int dot(const struct walker *w)
{
	return walk_open_path(w->at, ".", O_DIRECTORY, 0);
}

/* May it be searched? Asked where we leave it by a way of our own. */
static int may_search(const struct walker *w)
{
	return faccessat(w->at, "", X_OK, AT_EACCESS | AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* The walk ends at the directory reached. */
static int end_here(struct walker *w)
{
	struct walk_end *e = w->end;

	if (!w->branch)
		return end_without_name(w, walk_dup(w->at), w->mount);
	e->fd = w->at;
	w->at = -1;
	e->mount = w->mount;
	e->st = w->at_st;
	return 0;
}

/* Upper and lower parts of one directory have parents of their own: the path says which one is meant. */
static int walk_up_in_branch(struct walker *w, const struct step *s)
{
	char *slash = strrchr(w->path, '/');
	int r;

	*(slash ? slash : w->path) = '\0';
	r = walk_to_shown(w, w->branch, NULL);
	return s->last && r == 0 ? end_here(w) : walk_on(r);
}

/* RESOLVE_NO_XDEV for a step that the kernel makes. */
static uint64_t same_mount(const struct walker *w)
{
	return w->from->resolve & RESOLVE_NO_XDEV;
}

/*
 * ".." as the kernel has it. A directory that is moved meanwhile, from one mount to what holds it on the host, would lead out: so where it led is asked
 * afterwards.
 */
static int parent_open(const struct walker *w, int *mount)
{
	const struct view *v = w->from->view;
	int fd = walk_open_path(w->at, "..", O_DIRECTORY, same_mount(w));

	if (fd < 0 || !v)
		return fd;
	if (!view_mount_has(v, *mount, fd))
		*mount = view_mount_of(v, fd);
	if (*mount >= 0 && (w->base < 0 || view_is_below(v, fd, w->base)))
		return fd;
	close(fd);
	/* below a base: what the kernel says when it was raced there */
	return w->base < 0 ? -EACCES : -EAGAIN;
}

static bool is_at_base(const struct walker *w)
{
	return w->base >= 0 && same_file(&w->at_st, &w->base_st);
}

/* ".." of the directory that is the root of this walk. */
static int walk_up_from_base(struct walker *w, const struct step *s)
{
	if (w->from->resolve & RESOLVE_BENEATH)
		return -EXDEV;
	return s->last ? end_here(w) : WALK_ON;
}

static int walk_up(struct walker *w, const struct step *s)
{
	const struct view *v = w->from->view;
	const struct view_mount *m = v ? view_mount(v, walk_mount(w)) : NULL;
	int fd = may_search(w), mount = w->mount;

	if (fd < 0)
		return fd;
	if (is_at_base(w))
		return walk_up_from_base(w, s);
	if (v && !m)
		return -EACCES; /* a directory from outside of the view has no way up */
	if (m &&
	    (m->branch ? !w->path[0] : w->at_st.st_ino == m->ino && w->at_st.st_dev == m->dev)) {
		if (m->in_mount >= 0 && w->from->resolve & RESOLVE_NO_XDEV)
			return -EXDEV;
		fd = walk_dup(m->in_mount < 0 ? m->fd : m->in_fd);
		mount = m->in_mount < 0 ? mount : m->in_mount;
	} else if (w->branch) {
		return walk_up_in_branch(w, s);
	} else {
		fd = parent_open(w, &mount);
	}
	if (!s->last || (mount >= 0 && view_mount(v, mount)->branch)) {
		int r = walk_to(w, fd, mount);

		return s->last && r == 0 ? end_here(w) : walk_on(r);
	}
	return end_without_name(w, fd, mount);
}

/* The component is a mount point. */
static int walk_down(struct walker *w, const struct step *s, int mount)
{
	const struct view_mount *m = view_mount(w->from->view, mount);

	int r = may_search(w);

	if (r == 0 && w->from->resolve & RESOLVE_NO_XDEV)
		r = -EXDEV;
	if (r < 0)
		return r;
	if (!m->directory && (!s->last || s->slash))
		return -ENOTDIR;
	return s->last ? end_without_name(w, walk_dup(m->fd), mount)
		       : walk_on(walk_to(w, walk_dup(m->fd), mount));
}

/* Go on with a link's text. */
static int walk_text(struct walker *w, const struct step *s)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(s->fd, "", target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	return walk_on(walk_push(w, target));
}

/* "self" and "thread-self" of a procfs root name the task. */
static int walk_self(struct walker *w, const struct step *s)
{
	char target[64];
	pid_t pid;

	if (!w->task || !procfs_counts_as_we(w->at))
		return -EACCES;
	pid = task_lookup_process(w->task);
	if (pid < 0)
		return pid;
	if (s->name[0] == 's')
		snprintf(target, sizeof(target), "%d", (int)pid);
	else
		snprintf(target, sizeof(target), "%d/task/%d", (int)pid, (int)w->task->tid);
	return walk_on(walk_push(w, target));
}

/* The program is found by its path: the kernel would lead to what stands in its place. */
static int walk_exe(struct walker *w)
{
	char path[PATH_MAX];
	ssize_t n = w->from->exe_of(procfs_process(w->at), path, sizeof(path));

	return n < 0 ? (int)n : walk_on(walk_push(w, path));
}

/* Where the view has another root and another working directory than the kernel. @fd (consumed) shows that the task may look. */
static int magic_in_view(const struct walker *w, const char *name, int fd)
{
	const struct view *v = w->from->view;
	int virtual = fd;

	if (fd >= 0 && v && !strcmp(name, "root"))
		virtual = walk_dup(view_mount(v, 0)->fd);
	else if (fd >= 0 && w->from->cwds && !strcmp(name, "cwd"))
		virtual = cwd_get(w->from->cwds, procfs_process(w->at));
	if (virtual != fd)
		close(fd);
	return virtual;
}

/*
 * A magic link in a process's directory. The kernel follows it once, to a descriptor by which nothing was opened yet; what is on
 * procfs itself is walked to by name instead, so that it is looked at like any other way there.
 */
static int walk_magic(struct walker *w, const struct step *s)
{
	const struct view *v = w->from->view;
	int fd;

	if (w->from->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_NO_XDEV))
		return -EXDEV;
	if (w->from->exe_of && !strcmp(s->name, "exe")) {
		int r = walk_exe(w);

		if (r != -ENOEXEC)
			return r;
	}
	fd = magic_in_view(w, s->name, walk_open_path(w->at, s->name, 0, 0));
	if (fd < 0)
		return fd;
	if (procfs_has(fd) && !procfs_is_root(fd)) {
		close(fd);
		return walk_text(w, s);
	}
	if (++w->links > SYMLINKS_MAX) {
		close(fd);
		return -ELOOP;
	}
	/* it was on no way that was looked at */
	if (v && denied(w, denial_above(v, fd)) < 0) {
		close(fd);
		return -EACCES;
	}
	return s->last ? end_without_name(w, fd, -1) : walk_on(walk_to(w, fd, -1));
}

static bool wants_last(const struct walker *w)
{
	return (w->from->flags & WALK_LAST) == WALK_LAST;
}

static int walk_link(struct walker *w, struct step *s)
{
	int place;

	if (s->last && (wants_last(w) || w->from->flags & (s->slash ? WALK_CREATE : WALK_NOFOLLOW)))
		return end_at(w, s);
	if (w->from->resolve & RESOLVE_NO_SYMLINKS)
		return -ELOOP;
	if (!procfs_has(s->fd))
		return walk_text(w, s);
	place = procfs_place(w->from->proc, w->at);
	if (place < 0)
		return place;
	if (place == PROCFS_PROCESS)
		return w->from->resolve & RESOLVE_NO_MAGICLINKS ? -ELOOP : walk_magic(w, s);
	if (place == PROCFS_ROOT && (!strcmp(s->name, "self") || !strcmp(s->name, "thread-self")))
		return walk_self(w, s);
	return walk_text(w, s);
}

/* To directory @fd (consumed) of the component. */
static int walk_in_branch(struct walker *w, const struct step *s, int fd)
{
	int r = walk_append(w->path, s->name);

	arrive(w, fd, w->mount);
	w->at_st = s->st;
	return r;
}

/* A file that is no link. What a directory on procfs holds is looked at when it is opened. */
static int walk_file(struct walker *w, struct step *s)
{
	int place, fd;

	if (S_ISDIR(s->st.st_mode)) {
		if (s->last)
			return end_at(w, s);
		fd = s->fd;
		s->fd = -1;
		return walk_on(w->branch ? walk_in_branch(w, s, fd) : walk_to(w, fd, w->mount));
	}
	if (!s->last)
		return -ENOTDIR;
	place = walk_may_be_on_procfs(s->fd, &s->st) ? procfs_place(w->from->proc, w->at)
						     : PROCFS_GENERAL;
	return place < 0 ? place : end_at(w, s);
}

/* What the component names, itself. */
static int step_open(struct walker *w, struct step *s)
{
	int fd = walk_open_path(w->at, s->name, O_NOFOLLOW, same_mount(w));

	if (fd < 0)
		return fd;
	s->fd = fd;
	return fstat(fd, &s->st) < 0 ? -errno : 0;
}

static int step_in_branch(struct walker *w, struct step *s)
{
	struct branch_entry e = { .kind = BRANCH_NONE };
	char path[PATH_MAX];
	int r;

	if (w->dead)
		return -ENOENT;
	strcpy(path, w->path);
	r = walk_append(path, s->name);
	if (r == 0) /* the layers below have rights of their own */
		r = may_search(w);
	if (r == 0)
		r = branch_lookup(w->branch, path, &e);
	if (r < 0)
		return r;
	if (e.kind == BRANCH_NONE)
		return -ENOENT;
	s->fd = e.fd;
	s->st = e.st;
	return 0;
}

static int walk_step(struct walker *w, struct step *s)
{
	const struct view *v = w->from->view;
	int mount, r;

	s->fd = -1;
	if (!strcmp(s->name, "."))
		return s->last ? end_without_name(w, dot(w), w->mount) : walk_on(may_search(w));
	if (!strcmp(s->name, ".."))
		return walk_up(w, s);
	if (v && denied(w, denial_of_name(v, w->at, &w->at_st, s->name)) < 0)
		return -EACCES;
	mount = v ? view_cross(v, w->at_st.st_dev, w->at_st.st_ino, s->name) : -1;
	if (mount >= 0)
		return walk_down(w, s, mount);
	r = w->branch ? step_in_branch(w, s) : step_open(w, s);
	if (r == 0 && v) /* by whatever name; before anything of it is told */
		r = denied(w, denial_of(v, &s->st));
	if (r == -ENOENT && s->last && w->from->flags & WALK_NAME && !w->dead) {
		memset(&s->st, 0, sizeof(s->st));
		return end_at(w, s);
	}
	if (r < 0)
		return r;
	return S_ISLNK(s->st.st_mode) ? walk_link(w, s) : walk_file(w, s);
}

/* All of the path. */
static int walk_components(struct walker *w)
{
	struct step s;
	int r;

	for (;;) {
		r = walk_next(w, &s);
		if (r < 0)
			return r;
		if (r == 0) /* only slashes: the directory itself */
			return end_without_name(w, walk_dup(w->at), w->mount);
		r = walk_step(w, &s);
		if (s.fd >= 0)
			close(s.fd);
		if (r != WALK_ON)
			return r;
	}
}

static int walk_slowly(const struct task *t, const struct walk_from *from, struct walk_end *end)
{
	struct walker w = {
		.task = t, .from = from, .end = end, .at = -1, .base = -1, .mount = -1
	};
	int r = 0;

	snprintf(w.rest, sizeof(w.rest), "%s", from->path);
	if (from->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT))
		r = w.base = walk_base(t, from);
	if (r >= 0)
		r = w.rest[0] == '/' ? walk_to_root(&w) : walk_to(&w, walk_base(t, from), -1);
	w.base_st = w.at_st;
	if (r == 0 && from->view && !S_ISDIR(w.at_st.st_mode))
		r = -ENOTDIR; /* the task's descriptor may be of anything */
	if (r == 0)
		r = walk_components(&w);
	if (w.at >= 0)
		close(w.at);
	if (w.base >= 0)
		close(w.base);
	return r;
}

/* ---- all of it ---- */

static int walk_empty(const struct task *t, const struct walk_from *from, struct walk_end *end)
{
	struct walker w = {
		.task = t, .from = from, .end = end, .at = -1, .base = -1, .mount = -1
	};

	if (from->flags & WALK_BRIEF && from->base_is_open) {
		end->fd = from->base;
		return from->view && denied(&w, denial_above(from->view, from->base)) < 0
			       ? -EACCES
			       : end_without_name(&w, from->base, -1);
	}
	return end_without_name(&w, walk_base(t, from), -1);
}

/* May the task know of what is at the end, where that is on procfs? */
static int check_proc(const struct walk_from *from, const struct walk_end *end)
{
	if ((from->flags & WALK_PROC && !from->proc) || !walk_may_be_on_procfs(end->fd, &end->st))
		return 0;
	return from->flags & WALK_PROC ? procfs_sees_file(from->proc, end->fd) : -EACCES;
}

int walk(const struct task *t, const struct walk_from *from, struct walk_end *ret)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->fd = ret->dir = ret->mount = -1;
	if (!from->path[0]) {
		r = from->flags & WALK_EMPTY ? walk_empty(t, from, ret) : -ENOENT;
	} else {
		r = from->view ? walk_quickly(t, from, ret) : walk_on_host(t, from, ret);
		if (r >= 0)
			r = r ? 0 : walk_slowly(t, from, ret);
	}
	if (r == 0 && ret->fd >= 0 && from->view) {
		ret->denied = denial_of(from->view, &ret->st);
		r = ret->denied ? -EACCES : 0;
	}
	if (r == 0 && ret->fd >= 0)
		r = check_proc(from, ret);
	if (r < 0)
		walk_end_close(ret);
	return r;
}

void walk_end_close(struct walk_end *e)
{
	if (e->fd >= 0)
		close(e->fd);
	if (e->dir >= 0)
		close(e->dir);
	e->fd = e->dir = -1;
}
