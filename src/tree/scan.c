/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a branch knew before it was closed, from its upper directory and covered.log. Runs before anybody else has the branch.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/dir.h"
#include "sys/openat2.h"
#include "sys/fd.h"
#include "tree/life.h"
#include "util/grow.h"

/* ---- identities of before, by upper inode ---- */

struct known {
	uint64_t upper_ino, born;
	dev_t dev;
	uint64_t ino;
	nlink_t nlink;
	bool apart; /* it was one of several names that are not kept together: no identity */
	bool has_owner;
	uid_t uid, upper_uid;
	gid_t gid;
	size_t order;
};

struct origins {
	struct known *all;
	size_t n, room;
	bool failed;
};

static void remember(void *arg, const char *path, const struct covered *c)
{
	struct origins *o = arg;
	struct known *grown;

	(void)path;
	if (!c->upper_ino || o->failed)
		return;
	grown = grow_list(o->all, o->n, &o->room, sizeof(*grown));
	if (!grown) {
		o->failed = true;
		return;
	}
	o->all = grown;
	o->all[o->n] =
		(struct known){ .upper_ino = c->upper_ino,
				.born = c->upper_born,
				.dev = c->dev,
				.ino = c->ino,
				.nlink = c->nlink,
				.apart = !S_ISDIR(c->mode) && !S_ISREG(c->mode) && c->nlink > 1,
				.has_owner = c->has_owner,
				.uid = c->uid,
				.gid = c->gid,
				.upper_uid = c->upper_uid,
				.order = o->n };
	o->n++;
}

static int by_inode(const void *x, const void *y)
{
	const struct known *a = x, *b = y;

	if (a->upper_ino != b->upper_ino)
		return a->upper_ino < b->upper_ino ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* The last record of that inode. */
static const struct known *find_known(const struct origins *o, uint64_t ino)
{
	size_t low = 0, high = o->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (o->all[mid].upper_ino <= ino)
			low = mid + 1;
		else
			high = mid;
	}
	return low && o->all[low - 1].upper_ino == ino ? &o->all[low - 1] : NULL;
}

/* ---- the directory ---- */

struct scan {
	struct branch *b;
	struct wide_left left;
	struct origins origins;
};

static int take_identity(struct scan *s, uint64_t ino, int dir_fd, const char *name)
{
	const struct known *k = find_known(&s->origins, ino);
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r = 0;

	if (!k)
		return 0;
	fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (k->born != born_ns(fd))
		return 0;
	if (!k->apart) {
		r = identities_reserve(&s->b->identities, 1);
		if (r == 0)
			identities_set(&s->b->identities, ino, k->dev, k->ino);
	}
	/* whoever was given it since then is shown */
	if (r == 0 && k->has_owner && st.st_uid == k->upper_uid) {
		r = owner_reserve(s->b);
		if (r == 0)
			owner_set(s->b, ino, k->uid, k->gid);
	}
	return r;
}

/* What has the identity of no lower file. */
static int show_as_new(struct branch *b, const struct node *parent, uint64_t upper_ino)
{
	uint64_t ino;
	dev_t dev;
	int r;

	if (identities_get(&b->identities, upper_ino, &dev, &ino))
		return 0;
	r = identities_reserve(&b->identities, 1);
	if (r == 0)
		identity_of_new_locked(b, parent, upper_ino);
	return r;
}

static int scan_entry(struct scan *s, int dir_fd, struct node *parent, const char *name)
{
	struct node *n = node_new(name, strlen(name));
	struct stat st;
	int r;

	if (!n)
		return -ENOMEM;
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		node_free(n);
		return -errno;
	}
	n->type = is_whiteout(&st) ? DT_WHT : (uint8_t)IFTODT(st.st_mode);
	n->ino = is_whiteout(&st) ? 0 : st.st_ino;
	nodes_insert(&s->b->nodes, parent, n);
	r = n->ino ? take_identity(s, n->ino, dir_fd, name) : 0;
	if (r == 0 && n->ino)
		r = show_as_new(s->b, parent, n->ino);
	/* a hard-linked file is counted by each name as its share */
	if (n->type == DT_REG)
		s->b->used_bytes += (uint64_t)st.st_blocks * 512 / st.st_nlink;
	return r;
}

#define ACL_BYTES 1024

/* An ACL of the directory behind @fd; its length, 0: none, -1: it can't be had. */
static ssize_t acl_of(int fd, const char *name, char acl[ACL_BYTES])
{
	char link[FD_LINK_BYTES];
	ssize_t n = getxattr(fd_link(fd, link), name, acl, ACL_BYTES);

	return n >= 0 ? n : errno == ENODATA || errno == EOPNOTSUPP ? 0 : -1;
}

static bool same_acl(int fd, int other, const char *name)
{
	char a[ACL_BYTES], b[ACL_BYTES];
	ssize_t n = acl_of(fd, name, a);

	return n >= 0 && acl_of(other, name, b) == n && !memcmp(a, b, (size_t)n);
}

/* Who may use it, and what it hands down. */
static bool same_rights(const struct branch *b, int fd, const struct lower_hit *lower)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	owner_show(b, &st);
	wide_show(b, &st);
	return st.st_mode == lower->st.st_mode && !owner_differs(&st, &lower->st) &&
	       same_acl(fd, lower->fd, XATTR_ACL "access") &&
	       same_acl(fd, lower->fd, XATTR_ACL "default");
}

/* Were the rights on directory @path changed, or may they have been? */
static bool has_changed_rights(const struct branch *b, const char *path, int fd)
{
	struct lower_hit lower;
	bool changed;

	if (lower_find(b, path, &lower) < 0)
		return true;
	changed = lower.n_dirs && !same_rights(b, fd, &lower);
	lower_close(&lower);
	return changed;
}

static int scan_dir(struct scan *s, struct node *dir)
{
	char path[PATH_MAX];
	int fd, r = node_path(dir, path, sizeof(path));
	const struct dirent *e;
	DIR *d;

	if (r >= 0)
		r = wide_left_take(s->b, &s->left, path, R_OK | X_OK);
	if (r < 0)
		return r;
	fd = open_beneath(s->b->upper_fd, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	dir->flags = has_opaque(fd) ? NODE_OPAQUE : 0;
	if (!s->b->dirs_changed && !dir->flags)
		s->b->dirs_changed = has_changed_rights(s->b, path, fd);
	r = dir_take(fd, &d);
	if (r < 0)
		return r;
	while (r == 0 && (e = dir_next(d)))
		r = scan_entry(s, dirfd(d), dir, e->d_name);
	closedir(d);
	return r;
}

static int scan_dirs(struct scan *s)
{
	int r = wide_left_begin(s->b, &s->left);

	for (struct node *n = s->b->nodes.root; r == 0 && n; n = nodes_next(n)) {
		if (n->type == DT_DIR)
			r = scan_dir(s, n);
	}
	wide_left_end(s->b, &s->left, r == 0);
	return r;
}

/* ---- files of several names ---- */

static int scan_index_entry(struct scan *s, const char *name)
{
	const struct known *k;
	struct stat st;
	int r;

	if (fstatat(s->b->index_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	k = S_ISREG(st.st_mode) ? find_known(&s->origins, st.st_ino) : NULL;
	if (!k || k->nlink < 2)
		return 0; /* an overlayfs that was mounted in between copied it up: here it is as if it had no other names */
	s->b->used_bytes += (uint64_t)st.st_blocks * 512 / st.st_nlink;
	r = take_identity(s, st.st_ino, s->b->index_fd, name);
	return r < 0 ? r : links_restore(s->b, name, &st, k->dev, k->ino, k->nlink);
}

static int scan_index(struct scan *s)
{
	const struct dirent *e;
	DIR *d;
	int r = dir_open(s->b->index_fd, ".", 0, &d);

	if (r < 0)
		return r;
	while (r == 0 && (e = readdir(d))) {
		if (e->d_name[0] != '.' && e->d_name[0] != '#')
			r = scan_index_entry(s, e->d_name);
	}
	closedir(d);
	return r;
}

/* A name of a file of several that was taken away while nothing of it was copied. */
static void count_hidden(void *arg, const char *path, const struct covered *c)
{
	struct branch *b = arg;
	const struct stat lower = {
		.st_dev = c->dev, .st_ino = c->ino, .st_nlink = c->nlink, .st_mode = c->mode
	};
	struct nodes_walk w;

	if (c->upper_ino || c->nlink < 2 || !S_ISREG(c->mode) || links_of_lower(b, &lower))
		return;
	nodes_walk(&b->nodes, path, &w);
	if (!w.node || w.node->flags & NODE_COUNTED)
		return;
	w.node->flags |= NODE_COUNTED;
	links_hidden(b, &lower);
}

int branch_scan(struct branch *b)
{
	struct scan s = { .b = b };
	int r = covered_each(b, remember, &s.origins);

	if (r == 0 && s.origins.failed)
		r = -ENOMEM;
	if (s.origins.n)
		qsort(s.origins.all, s.origins.n, sizeof(*s.origins.all), by_inode);
	r = r < 0 ? r : scan_dirs(&s);
	if (r == 0)
		r = scan_index(&s);
	free(s.origins.all);
	return r < 0 ? r : covered_each(b, count_hidden, b);
}
