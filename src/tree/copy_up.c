/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copy-up: a file of the lower trees becomes one of upper/.
 *
 * It is made whole in work/ and renamed into place, so that nobody, and no crash, ever sees a part of it. The long step (content) runs without the
 * branch's lock; afterwards, under it, the name is looked up again, and if it is another file by now the copy is thrown away and it starts over. Whoever
 * needs a file that is being copied waits for that copy instead of making another.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/openat2.h"
#include "sys/fd.h"
#include "tree/change.h"

/* ---- one at a time for each lower file ---- */

struct copying {
	struct copying *next;
	dev_t dev;
	ino_t ino;
};

static struct copying *find_copying(struct branch *b, const struct stat *st)
{
	struct copying *c = b->copying;

	while (c && (c->dev != st->st_dev || c->ino != st->st_ino))
		c = c->next;
	return c;
}

/* True: ours to copy, until copying_end. False: somebody else did, look again. */
static bool copying_begin(struct branch *b, struct copying *c, const struct stat *st)
{
	bool ours;

	pthread_mutex_lock(&b->copying_lock);
	ours = !find_copying(b, st);
	if (ours) {
		c->dev = st->st_dev;
		c->ino = st->st_ino;
		c->next = b->copying;
		b->copying = c;
	}
	while (!ours && find_copying(b, st))
		pthread_cond_wait(&b->copied, &b->copying_lock);
	pthread_mutex_unlock(&b->copying_lock);
	return ours;
}

static void copying_end(struct branch *b, struct copying *c)
{
	struct copying **at = &b->copying;

	pthread_mutex_lock(&b->copying_lock);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	pthread_cond_broadcast(&b->copied);
	pthread_mutex_unlock(&b->copying_lock);
}

/* Best effort: without it the kernel shows another inode number, and that is all. Links and special files cannot have it. */
static void set_origin(const struct branch *b, int lower, const struct stat *st, int fd)
{
	struct origin o;
	char link[FD_LINK_BYTES];

	if (S_ISDIR(st->st_mode) || S_ISREG(st->st_mode)) {
		fd_link(fd, link);
		setxattr(link, XATTR_ORIGIN, &o, origin_of(b, lower, st->st_dev, &o), 0);
	}
}

/* ---- making the copy in work/ ---- */

struct copy {
	struct branch *b;
	const char *path;
	char name[WORK_NAME_BYTES];
	int lower;	/* O_PATH */
	struct stat st; /* of the lower file */
	unsigned flags;
	int fd; /* of the copy; O_PATH or better */
	struct link_group *link;
	uint64_t bytes; /* taken from the quota */
};

static int make_regular(struct copy *c)
{
	_cleanup_close_ int from = -1;
	char link[FD_LINK_BYTES];
	int r;

	fd_link(c->lower, link);
	from = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (from < 0)
		return -errno;
	if (!(c->flags & COPY_UP_EMPTY)) {
		r = room_take(c->b, (uint64_t)c->st.st_blocks * 512);
		if (r < 0)
			return r;
		c->bytes = (uint64_t)c->st.st_blocks * 512;
	}
	c->fd = openat(c->b->work_fd, c->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (c->fd < 0)
		return -errno;
	return c->flags & COPY_UP_EMPTY ? 0 : copy_data(from, c->fd, c->st.st_size);
}

static int make_symlink(struct copy *c)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(c->lower, "", target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	return symlinkat(target, c->b->work_fd, c->name) < 0 ? -errno : 0;
}

static int make_kind(struct copy *c)
{
	int work = c->b->work_fd, r = 0;

	switch (c->st.st_mode & S_IFMT) {
	case S_IFREG:
		return make_regular(c);
	case S_IFDIR:
		r = mkdirat(work, c->name, 0700);
		break;
	case S_IFLNK:
		r = make_symlink(c);
		break;
	default: /* devices: what the kernel says to it */
		r = mknodat(work, c->name, c->st.st_mode & (S_IFMT | 0700), c->st.st_rdev);
		break;
	}
	return r == -1 ? -errno : r;
}

/* The whole copy but its place. */
static int make_copy(struct copy *c)
{
	int r = make_kind(c);

	if (r == 0 && c->fd < 0) {
		c->fd = openat(c->b->work_fd, c->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		r = c->fd < 0 ? -errno : 0;
	}
	if (r == 0) {
		struct stat st = c->st;

		set_origin(c->b, c->lower, &c->st, c->fd);
		/* a directory that may not be written cannot be moved either: it gets its mode in its place */
		if (S_ISDIR(st.st_mode))
			st.st_mode |= S_IWUSR;
		r = copy_attributes(c->lower, &st, c->fd);
	}
	return r;
}

static void copy_drop(struct copy *c, bool keep)
{
	if (c->fd >= 0)
		close(c->fd);
	if (keep)
		return;
	room_give(c->b, c->bytes);
	if (unlinkat(c->b->work_fd, c->name, 0) < 0)
		unlinkat(c->b->work_fd, c->name, AT_REMOVEDIR);
}

/* ---- putting it in place ---- */

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int record_cover(struct copy *c, const struct stat *made)
{
	struct covered cover;

	covered_from(&cover, &c->st);
	cover.upper_ino = made->st_ino;
	cover.upper_born = born_ns(c->fd);
	cover.has_owner = owner_differs(made, &c->st);
	if (cover.has_owner) {
		cover.uid = c->st.st_uid;
		cover.gid = c->st.st_gid;
		cover.upper_uid = made->st_uid;
	}
	return covered_append(c->b, c->path, &cover);
}

static void set_mode(int fd, mode_t mode)
{
	char link[FD_LINK_BYTES];

	fd_link(fd, link);
	chmod(link, mode & 07777);
}

/* The task's right to write the file does not need one to write its directory, so the copy must not either. */
static int move_into(struct copy *c, int dir, const struct stat *st, const char *name)
{
	int r = renameat(c->b->work_fd, c->name, dir, name) < 0 ? -errno : 0;

	if (r == -EACCES) {
		set_mode(dir, st->st_mode | S_IWUSR | S_IXUSR);
		r = renameat(c->b->work_fd, c->name, dir, name) < 0 ? -errno : 0;
		set_mode(dir, st->st_mode);
	}
	if (r == 0 && S_ISDIR(c->st.st_mode) && !(c->st.st_mode & S_IWUSR))
		set_mode(c->fd, c->st.st_mode);
	return r;
}

/*
 * Rename the copy into upper/, whose parent is there. The times of the parent are kept: nothing that is seen has changed in it.
 */
static int place_locked(struct copy *c, struct node *parent)
{
	struct branch *b = c->b;
	const char *name = last_name(c->path);
	struct node *n = node_new(name, strlen(name));
	_cleanup_close_ int dir = upper_open_parent_locked(b, c->path);
	struct stat made = { 0 }, st = { 0 };
	int r = dir < 0 ? dir : 0;

	if (!n)
		r = -ENOMEM;
	if (r == 0 && (fstat(c->fd, &made) < 0 || fstat(dir, &st) < 0))
		r = -errno;
	if (r == 0)
		r = identities_reserve(&b->identities, 1);
	if (r == 0 && owner_differs(&made, &c->st))
		r = owner_reserve(b);
	if (r == 0)
		r = record_cover(c, &made);
	if (r == 0 && S_ISREG(c->st.st_mode) && c->st.st_nlink > 1)
		r = links_begin(b, c->name, c->fd, c->lower, &c->st, &c->link);
	if (r == 0)
		r = move_into(c, dir, &st, name);
	if (r < 0) {
		links_cancel(b, c->link);
		node_free(n);
		return r;
	}
	utimensat(dir, "", (const struct timespec[]){ st.st_atim, st.st_mtim }, AT_EMPTY_PATH);
	n->type = (uint8_t)IFTODT(c->st.st_mode);
	n->ino = made.st_ino;
	nodes_insert(&b->nodes, parent, n);
	branch_changed(b);
	if (owner_differs(&made, &c->st))
		owner_set(b, n->ino, c->st.st_uid, c->st.st_gid);
	else
		owner_drop(b, n->ino);
	/* other names of what is neither would go on showing the same identity with other content */
	if (S_ISDIR(c->st.st_mode) || c->st.st_nlink == 1 || c->link)
		identities_set(&b->identities, n->ino, c->st.st_dev, c->st.st_ino);
	else
		identity_of_new_locked(b, parent, n->ino);
	if (c->link)
		links_placed(b, c->link, c->path);
	return 0;
}

int copy_up_dir_locked(struct branch *b, const char *path)
{
	struct copy c = { .b = b, .path = path, .fd = -1 };
	struct merged v;
	int r = merged_find_locked(b, path, &v);

	if (r == 0 && v.kind == BRANCH_NONE)
		r = -ENOENT;
	else if (r == 0 && !S_ISDIR(v.st.st_mode))
		r = -ENOTDIR;
	else if (r == 0 && v.kind == BRANCH_LOWER) {
		c.lower = v.lower.fd;
		c.st = v.lower.st;
		work_name(b, c.name);
		r = make_copy(&c);
		if (r == 0)
			r = place_locked(&c, v.walk.parent);
		copy_drop(&c, r == 0);
	}
	merged_close(&v);
	return r;
}

int copy_up_parents_locked(struct branch *b, const char *path)
{
	char prefix[PATH_MAX];
	const char *at = path;
	int r = 0;

	while (r == 0 && (at = strchr(at, '/'))) {
		struct nodes_walk w;

		memcpy(prefix, path, (size_t)(at - path));
		prefix[at - path] = '\0';
		at++;
		nodes_walk(&b->nodes, prefix, &w);
		if (!w.node)
			r = copy_up_dir_locked(b, prefix);
		else if (w.node->type != DT_DIR)
			r = w.node->type == DT_WHT ? -ENOENT : -ENOTDIR;
	}
	return r;
}

/* ---- */

/* The file's name is still the lower one's that was copied. */
static bool is_still(const struct merged *v, const struct copy *c)
{
	return v->kind == BRANCH_LOWER && !v->link && v->st.st_dev == c->st.st_dev &&
	       v->st.st_ino == c->st.st_ino;
}

/* 0, a negative errno, or 1 when the tree has changed: look again. */
static int finish(struct copy *c)
{
	struct branch *b = c->b;
	struct merged v;
	int r;

	branch_wrlock(b);
	r = merged_find_locked(b, c->path, &v);
	if (r == 0 && !is_still(&v, c))
		r = 1;
	if (r == 0)
		r = copy_up_parents_locked(b, c->path);
	if (r == 0) {
		struct nodes_walk w;

		nodes_walk(&b->nodes, c->path, &w);
		r = place_locked(c, w.parent);
	}
	merged_close(&v);
	branch_unlock(b);
	return r;
}

static int copy_lower(struct branch *b, const char *path, const struct merged *v, unsigned flags)
{
	struct copy c = { .b = b, .path = path, .lower = v->lower.fd, .flags = flags, .fd = -1 };
	struct copying slot;
	int r;

	c.st = v->lower.st;
	if (!copying_begin(b, &slot, &c.st))
		return 1;
	work_name(b, c.name);
	r = make_copy(&c);
	if (r == 0)
		r = finish(&c);
	copy_drop(&c, r == 0);
	copying_end(b, &slot);
	return r;
}

/* A copy is there already, by another name. 1: look again. */
static int link_lower(struct branch *b, const char *path)
{
	int r;

	branch_wrlock(b);
	r = links_up(b, path);
	branch_unlock(b);
	return r < 0 ? r : 1;
}

int copy_up(struct branch *b, const char *path, unsigned flags)
{
	struct merged v;
	int r;

	do {
		branch_rdlock(b);
		r = merged_find_locked(b, path, &v);
		branch_unlock(b);
		if (r == 0 && v.kind == BRANCH_NONE)
			r = -ENOENT;
		if (r == 0 && v.kind == BRANCH_LOWER && v.link)
			r = link_lower(b, path);
		else if (r == 0 && v.kind == BRANCH_LOWER)
			r = copy_lower(b, path, &v, flags);
		merged_close(&v);
	} while (r == 1);
	return r;
}
