/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making denials: what a path names in the view, or will name once it is there. Before anything runs.
 */
#define _GNU_SOURCE
#include "tree/denial_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/fd.h"
#include "task/procfs.h"
#include "tree/branch.h"
#include "tree/view_internal.h"
#include "tree/walk_internal.h"
#include "util/cleanup.h"
#include "util/fail.h"

#define DEPTH_MAX 40u /* links followed, and names that are missing */

/* A path that is being looked up: @path from directory @base. */
struct looking {
	struct view *v;
	int base;
	unsigned depth;
};

static int look(const struct looking *l, const char *path, uint32_t flags, struct walk_end *ret)
{
	const struct walk_from from = {
		.view = l->v,
		.dirfd = AT_FDCWD,
		.base = l->base,
		.path = path,
		.flags = flags | WALK_PROC,
	};

	return walk(NULL, &from, ret);
}

/* Nothing is there, or nothing that can be seen. */
static bool is_missing(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -EACCES;
}

static int join(char path[PATH_MAX], const char *name)
{
	size_t n = strlen(path);

	if (n + strlen(name) + 2 > PATH_MAX)
		return -ENAMETOOLONG;
	sprintf(path + n, "%s%s", n == 1 ? "" : "/", name);
	return 0;
}

static int path_of(const struct view *v, int fd, char at[PATH_MAX])
{
	ssize_t n = view_path(v, fd, at, PATH_MAX);

	return n < 0 ? (int)n : 0;
}

/* The text of the link behind @fd. */
static int link_text(int fd, char text[PATH_MAX])
{
	ssize_t n;

	if (procfs_has(fd))
		return -EINVAL; /* it leads elsewhere for each process */
	n = readlinkat(fd, "", text, PATH_MAX - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return 0;
}

/* Cut the last name off @path, which has no slash behind it: "" is left of a single name, "/" of one in the root. */
static void split(char path[PATH_MAX], char name[NAME_MAX + 1])
{
	char *slash = strrchr(path, '/');
	size_t n;

	snprintf(name, NAME_MAX + 1, "%s", slash ? slash + 1 : path);
	if (!slash)
		slash = path;
	n = (size_t)(slash - path);
	while (n && path[n - 1] == '/')
		n--;
	path[n + (!n && *path == '/')] = '\0';
}

static void trim(char path[PATH_MAX])
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
}

/*
 * The virtual path, without links, of the directory that @path (changed) names, or would name if what is missing were there.
 */
static int place_of(struct looking *l, char path[PATH_MAX], char at[PATH_MAX])
{
	char name[NAME_MAX + 1], text[PATH_MAX];
	struct walk_end end;
	int r;

	if (l->depth++ > DEPTH_MAX)
		return -ELOOP;
	trim(path);
	r = look(l, *path ? path : ".", 0, &end);
	if (r == 0) {
		r = procfs_has(end.fd) && !S_ISDIR(end.st.st_mode) ? -EINVAL
								   : path_of(l->v, end.fd, at);
		walk_end_close(&end);
		return r;
	}
	if (!is_missing(r))
		return r;
	r = look(l, path, WALK_LAST, &end);
	if (r == 0 && end.fd >= 0 && S_ISLNK(end.st.st_mode)) {
		struct looking next = { l->v, end.dir, l->depth };

		r = link_text(end.fd, text);
		if (r == 0)
			r = place_of(&next, text, at);
		walk_end_close(&end);
		return r;
	}
	if (r == 0)
		walk_end_close(&end);
	split(path, name);
	if (!strcmp(name, ".."))
		return -EINVAL;
	r = place_of(l, path, at);
	return r == 0 && strcmp(name, ".") != 0 ? join(at, name) : r;
}

/* ---- what is in the way ---- */

static int in_the_way(const struct view_mount *m, const char *denied, struct sluice_error *err)
{
	fail(err, -EINVAL, "denial: %s: the %s %s lies there", denied,
	     m->branch ? "copy-on-write directory" : "mount", m->at);
	return fail_hint(err, -EINVAL, "drop one of the two: nothing of the %s could be seen",
			 m->branch ? "directory" : "mount");
}

/* @lower: the host's path of the lower tree, or where it would be seen if it were none. */
static int at_a_lower_tree(const char *lower, const char *denied, struct sluice_error *err)
{
	fail(err, -EINVAL, "denial: %s: the lower tree %s lies there", denied, lower);
	return fail_hint(err, -EINVAL, "deny the path that it has in the working directory");
}

/* What lower trees show is seen in the working directory alone, and only there it can be denied. */
static int check_lowers(const struct view *v, const struct view_mount *m, struct sluice_error *err)
{
	const struct denials *all = v->denials;
	const char *denied;
	int fd;

	for (size_t i = 0; m->hides && i < all->n; i++) {
		if (view_prefix(all->list[i].at, m->at))
			return at_a_lower_tree(m->at, all->list[i].at, err);
	}
	for (size_t i = 1; m->branch && (fd = branch_lower_fd(m->branch, i)) >= 0; i++) {
		denied = denial_on_the_way_up(v, fd, true);
		if (denied)
			return at_a_lower_tree(m->lowers[i - 1], denied, err);
	}
	return 0;
}

/* The denial at or above the place of mount @m. */
static const char *denial_of_place(const struct view *v, const struct view_mount *m)
{
	struct stat in;
	const char *denied;

	if (m->in_fd < 0 || fstat(m->in_fd, &in) < 0)
		return NULL;
	denied = denial_of_name(v, m->in_fd, &in, m->name);
	return denied ? denied : denial_above(v, m->in_fd);
}

/*
 * A mount that is asked for, and could not be seen; the root, or one that shows what is denied elsewhere: by where it lies on the host.
 */
static int check_mounts(const struct view *v, struct sluice_error *err)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct view_mount *m = &v->mounts[i];
		const struct stat st = { .st_dev = m->dev, .st_ino = m->ino };
		const char *denied = denial_of_place(v, m);
		int r = check_lowers(v, m, err);

		if (r < 0)
			return r;
		if (m->skeleton || (denied && m->implied))
			continue;
		if (!denied)
			denied = denial_of(v, &st);
		if (!denied)
			denied = denial_on_the_way_up(v, m->fd, true);
		if (denied)
			return in_the_way(m, denied, err);
	}
	return 0;
}

/* ---- one denial ---- */

static bool is_also(const struct denial *d, const char *name)
{
	struct stat st;

	return fstatat(d->in_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == d->ino &&
	       st.st_dev == d->dev;
}

/*
 * Does the directory take other spellings of the name as well? Asked with the three that such file systems have: letters of the other case; a character that casefold ignores (soft
 * hyphen); a dot at the end, which vfat and its relatives drop.
 */
static bool is_folded(const struct denial *d)
{
	char other[NAME_MAX + 4];
	bool letter = false;

	for (size_t i = 0; i <= strlen(d->name); i++) {
		const char c = d->name[i];
		const bool is = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		other[i] = (char)(is ? c ^ 0x20 : c);
		letter |= is;
	}
	if (letter && is_also(d, other))
		return true;
	snprintf(other, sizeof(other), "%s\xc2\xad", d->name);
	if (is_also(d, other))
		return true;
	snprintf(other, sizeof(other), "%s.", d->name);
	return is_also(d, other);
}

static void note(struct denials *all, const struct denial *d)
{
	all->names |= denial_name_bit(d->name, strlen(d->name));
	all->has_missing |= d->fd < 0;
	all->has_directories |= d->directory;
	all->folded |= d->directory && !d->mounted && is_folded(d);
}

static bool is_there_already(const struct denials *all, const char *at)
{
	for (size_t i = 0; all && i < all->n; i++) {
		if (!strcmp(all->list[i].at, at))
			return true;
	}
	return false;
}

static void fini(struct denial *d)
{
	free(d->at);
	if (d->fd >= 0)
		close(d->fd);
	if (d->in_fd >= 0)
		close(d->in_fd);
}

/* @d is consumed. */
static int keep(struct view *v, struct denial *d)
{
	struct denial *grown;

	if (!v->denials)
		v->denials = calloc(1, sizeof(*v->denials));
	grown = v->denials ? reallocarray(v->denials->list, v->denials->n + 1, sizeof(*grown))
			   : NULL;
	if (!grown) {
		fini(d);
		return -ENOMEM;
	}
	v->denials->list = grown;
	grown[v->denials->n++] = *d;
	note(v->denials, d);
	return 0;
}

static int file_identity(int fd, dev_t *dev, ino_t *ino, bool *directory)
{
	struct stat st;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	*dev = st.st_dev;
	*ino = st.st_ino;
	*directory = S_ISDIR(st.st_mode);
	return 0;
}

/* A denial of @at, where @fd lies in directory @in_fd (both consumed; -1: not there; else why it can't be had). */
static int denial_init(struct denial *d, const char *at, int fd, int in_fd)
{
	bool unused;
	int r = fd < -1 ? fd : in_fd < -1 ? in_fd : 0;

	*d = (struct denial){ .at = strdup(at), .fd = fd, .in_fd = in_fd };
	if (r == 0)
		r = d->at ? file_identity(fd, &d->dev, &d->ino, &d->directory) : -ENOMEM;
	if (r == 0)
		r = file_identity(in_fd, &d->in_dev, &d->in_ino, &unused);
	if (r < 0)
		fini(d);
	else
		d->name = strrchr(d->at, '/') + 1;
	return r;
}

static int keep_one(struct view *v, const char *at, int fd, int in_fd, bool mounted)
{
	struct denial d;
	int r = denial_init(&d, at, fd, in_fd);

	d.mounted = mounted;
	return r < 0 ? r : keep(v, &d);
}

/* ---- in a branch ---- */

/* What a path of a branch consists of: a file, or the directories that merge; n is 0 where nothing is. */
struct parts {
	struct branch_layers dirs; /* fds and n of them are used for a file too */
	struct stat st;		   /* as shown */
};

static int parts_open(struct branch *b, const char *path, struct parts *ret)
{
	struct branch_entry e;
	int r = branch_lookup(b, path, &e);

	memset(ret, 0, sizeof(*ret));
	if (r < 0 || e.kind == BRANCH_NONE)
		return r < 0 && !is_missing(r) ? r : 0;
	ret->st = e.st;
	if (!S_ISDIR(e.st.st_mode)) {
		ret->dirs.fds[ret->dirs.n++] = e.fd;
		return 0;
	}
	close(e.fd);
	return branch_layers_open(b, path, O_PATH, &ret->dirs);
}

/* The @i-th one, or the topmost where there are less, for who closes it; -1: nothing is there. */
static int part_dup(const struct parts *p, size_t i)
{
	return p->dirs.n ? walk_dup(p->dirs.fds[i < p->dirs.n ? i : 0]) : -1;
}

static bool same_place(const struct denial *a, const struct denial *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->in_ino == b->in_ino &&
	       a->in_dev == b->in_dev;
}

/*
 * Each part has an identity of its own, which is what is met on the way up from a descriptor; what is shown, and met on the way down, is that of the file which was there before it was changed.
 */
static int keep_parts(struct view *v, const char *at, const struct parts *own,
		      const struct parts *in)
{
	const size_t n = own->dirs.n > in->dirs.n ? own->dirs.n : in->dirs.n;
	const size_t before = v->denials ? v->denials->n : 0;
	struct denial shown;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = keep_one(v, at, part_dup(own, i), part_dup(in, i), false);
	if (r == 0)
		r = denial_init(&shown, at, part_dup(own, 0), part_dup(in, 0));
	if (r < 0)
		return r;
	if (own->dirs.n) {
		shown.dev = own->st.st_dev;
		shown.ino = own->st.st_ino;
	}
	shown.in_dev = in->st.st_dev;
	shown.in_ino = in->st.st_ino;
	for (size_t i = before; v->denials && i < v->denials->n; i++) {
		if (same_place(&v->denials->list[i], &shown)) {
			fini(&shown);
			return 0;
		}
	}
	return keep(v, &shown);
}

/* @at lies in the branch's directory @path under the name that @at ends with. */
static int keep_in_branch(struct view *v, const char *at, struct branch *b, char path[PATH_MAX])
{
	struct parts own, in;
	int r = parts_open(b, path, &in);

	if (r < 0)
		return r;
	r = walk_append(path, strrchr(at, '/') + 1);
	if (r == 0)
		r = parts_open(b, path, &own);
	if (r == 0) {
		r = in.dirs.n ? keep_parts(v, at, &own, &in) : -EAGAIN; /* removed meanwhile */
		branch_layers_close(&own.dirs);
	}
	branch_layers_close(&in.dirs);
	return r;
}

/* The branch that directory @fd lies in, and where; NULL: none. */
static struct branch *branch_of(const struct view *v, int fd, char path[PATH_MAX])
{
	int m = fd < 0 || !view_has_branches(v) ? -1 : view_locate(v, fd, path, PATH_MAX, NULL);

	return m < 0 ? NULL : view_mount(v, m)->branch;
}

/* The denial of @at, where @fd lies in directory @in_fd (both consumed; -1: not there). */
static int deny(struct view *v, const char *at, int fd, int in_fd, bool mounted,
		struct sluice_error *err)
{
	const bool known = is_there_already(v->denials, at);
	char path[PATH_MAX];
	struct branch *b = known || mounted ? NULL : branch_of(v, in_fd, path);
	int r;

	if (!known && !b) {
		r = keep_one(v, at, fd, in_fd, mounted);
		return r < 0 ? r : check_mounts(v, err);
	}
	r = known ? 0 : keep_in_branch(v, at, b, path);
	if (fd >= 0)
		close(fd);
	if (in_fd >= 0)
		close(in_fd);
	return r < 0 || known ? r : check_mounts(v, err);
}

static int deny_mount(struct view *v, const struct view_mount *m, struct sluice_error *err)
{
	int fd = walk_dup(m->fd), in_fd = fd < 0 ? fd : walk_dup(m->in_fd);

	if (in_fd >= 0)
		return deny(v, m->at, fd, in_fd, true, err);
	if (fd >= 0)
		close(fd);
	return in_fd;
}

/* The root of a mount, or a directory that was named by "." or "..": at its own name. */
static int deny_directory(struct looking *l, struct walk_end *end, struct sluice_error *err)
{
	char at[PATH_MAX];
	struct walk_end named;
	int r = path_of(l->v, end->fd, at);

	if (r < 0)
		return r;
	if (!strcmp(at, "/")) {
		fail(err, -EINVAL, "denial: /: nothing would be left");
		return fail_hint(err, -EINVAL, "without -r and -w nothing is granted anyway");
	}
	for (size_t i = 1; i < l->v->n; i++) {
		if (!strcmp(l->v->mounts[i].at, at))
			return deny_mount(l->v, &l->v->mounts[i], err);
	}
	r = look(l, at, WALK_LAST, &named);
	if (r == 0 && (named.dir < 0 || named.fd < 0))
		r = -EAGAIN; /* moved meanwhile */
	if (r == 0)
		r = deny(l->v, at, TAKE_FD(named.fd), TAKE_FD(named.dir), false, err);
	walk_end_close(&named);
	return r;
}

static int deny_path(struct looking *l, char path[PATH_MAX], struct sluice_error *err);

/* A name that was found, or that a directory lacks. */
static int deny_name(struct looking *l, struct walk_end *end, struct sluice_error *err)
{
	const bool is_link = end->fd >= 0 && S_ISLNK(end->st.st_mode);
	char at[PATH_MAX], text[PATH_MAX];
	struct looking next = { l->v, end->dir, l->depth };
	int r = path_of(l->v, end->dir, at);

	if (r == 0)
		r = join(at, end->name);
	if (r == 0 && is_link)
		r = link_text(end->fd, text);
	if (r < 0)
		return r;
	next.base = walk_dup(end->dir);
	if (next.base < 0)
		return next.base;
	if (is_link) /* first what it leads to: once it is denied it leads nowhere */
		r = deny_path(&next, text, err);
	close(next.base);
	return r < 0 ? r : deny(l->v, at, TAKE_FD(end->fd), TAKE_FD(end->dir), false, err);
}

static int deny_path(struct looking *l, char path[PATH_MAX], struct sluice_error *err)
{
	char at[PATH_MAX];
	struct walk_end end;
	int r;

	if (l->depth++ > DEPTH_MAX)
		return -ELOOP;
	trim(path);
	r = look(l, path, WALK_LAST, &end);
	if (end.denied)
		return 0; /* what is denied by a former one */
	if (r == 0) {
		r = end.dir < 0 ? deny_directory(l, &end, err) : deny_name(l, &end, err);
		walk_end_close(&end);
		return r;
	}
	if (!is_missing(r))
		return r;
	r = place_of(l, path, at);
	return r < 0 ? r : deny(l->v, at, -1, -1, false, err);
}

int denial_add(struct view *v, int here, const char *path, struct sluice_error *err)
{
	struct looking l = { .v = v, .base = here };
	struct sluice_error own = { 0 };
	char text[PATH_MAX];
	int r;

	snprintf(text, sizeof(text), "%s", path);
	r = deny_path(&l, text, &own);
	if (r == 0)
		return 0;
	if (own.text[0]) {
		if (err)
			*err = own;
		return r;
	}
	fail_errno(err, r, "denial: %s", path);
	if (r == -EINVAL)
		fail_hint(
			err, r,
			"a path whose missing part has no \"..\", and that means the same to every process");
	return r;
}
