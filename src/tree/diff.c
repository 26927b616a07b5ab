/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between the merged tree and the lower ones, found from the nodes: no tree is walked but where a directory was replaced by another.
 *
 * A file that was copied up and not changed is none, nor is a directory that exists in upper/ only because of what is in it.
 */
#define _GNU_SOURCE
#include "tree/diff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/dir.h"
#include "sys/fd.h"
#include "sys/openat2.h"
#include "util/grow.h"

#define COMPARE_BYTES (64u << 10)

void changes_fini(struct changes *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->items[i].path);
	free(c->items);
	free(c->links);
	memset(c, 0, sizeof(*c));
}

size_t changes_links(const struct changes *c, uint64_t ino, const struct change_link **ret)
{
	size_t low = 0, high = c->n_links, n = 0;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (c->links[mid].ino < ino)
			low = mid + 1;
		else
			high = mid;
	}
	while (low + n < c->n_links && c->links[low + n].ino == ino)
		n++;
	*ret = c->links + low;
	return n;
}

static int add(struct changes *c, const char *path, enum branch_change_kind kind,
	       const struct stat *st, bool opaque)
{
	struct change_item *grown = grow_list(c->items, c->n, &c->room, sizeof(*grown));
	char *copy;

	if (!grown)
		return -ENOMEM;
	c->items = grown;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	c->items[c->n++] =
		(struct change_item){ .path = copy, .kind = kind, .st = *st, .opaque = opaque };
	return 0;
}

/* ---- is a copied-up thing still what it was? ---- */

/* The names and values of user attributes and ACLs as one string; bytes, or -errno. */
static ssize_t all_xattrs(int fd, char *buf, size_t size)
{
	char link[FD_LINK_BYTES], names[4096];
	ssize_t n, len = 0;

	fd_link(fd, link);
	n = listxattr(link, names, sizeof(names));
	if (n < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	for (const char *at = names; at < names + n; at += strlen(at) + 1) {
		size_t name = strlen(at) + 1;
		ssize_t v;

		if (!strncmp(at, XATTR_HIDDEN, strlen(XATTR_HIDDEN)) ||
		    !strncmp(at, "security.", 9) || !strncmp(at, "trusted.", 8))
			continue;
		if ((size_t)len + name > size)
			return -ERANGE;
		memcpy(buf + len, at, name);
		len += (ssize_t)name;
		v = getxattr(link, at, buf + len, size - (size_t)len);
		if (v < 0)
			return -errno;
		len += v;
	}
	return len;
}

/* In doubt (attributes that are too many to compare): no. */
static bool same_xattrs(int upper, int lower)
{
	char mine[8192], theirs[8192];
	ssize_t n = all_xattrs(upper, mine, sizeof(mine));
	ssize_t m = all_xattrs(lower, theirs, sizeof(theirs));

	return n >= 0 && n == m && !memcmp(mine, theirs, (size_t)n);
}

static bool same_target(int upper, int lower)
{
	char mine[PATH_MAX], theirs[PATH_MAX];
	ssize_t n = readlinkat(upper, "", mine, sizeof(mine));
	ssize_t m = readlinkat(lower, "", theirs, sizeof(theirs));

	return n >= 0 && n == m && !memcmp(mine, theirs, (size_t)n);
}

static int open_to_compare(int fd)
{
	char link[FD_LINK_BYTES];

	fd_link(fd, link);
	return open(link, O_RDONLY | O_CLOEXEC);
}

/* In doubt (one cannot be read): no. */
static bool same_bytes(int upper, int lower)
{
	_cleanup_close_ int x = open_to_compare(upper), y = open_to_compare(lower);
	char *buf = malloc(2 * COMPARE_BYTES);
	ssize_t n = 1, m = 1;
	bool same = x >= 0 && y >= 0 && buf;

	for (off_t at = 0; same && n > 0; at += n) {
		n = pread(x, buf, COMPARE_BYTES, at);
		m = pread(y, buf + COMPARE_BYTES, COMPARE_BYTES, at);
		same = n >= 0 && n == m && !memcmp(buf, buf + COMPARE_BYTES, (size_t)n);
	}
	free(buf);
	return same;
}

/*
 * What size and time say is not enough: a file that another one of the same replaced, or whose time somebody set back, would be lost. So that which
 * seems to be a copy that nobody changed is compared.
 */
static bool same_content(struct branch *b, const char *path, const struct stat *st, int lower)
{
	_cleanup_close_ int upper = upper_open_locked(b, path);

	if (upper < 0 || !same_xattrs(upper, lower))
		return false;
	if (S_ISLNK(st->st_mode))
		return same_target(upper, lower);
	return !S_ISREG(st->st_mode) || same_bytes(upper, lower);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	if (a->st_mode != b->st_mode)
		return false;
	/* who may not give files away has copied them under its own name */
	if (geteuid() == 0 && owner_differs(a, b))
		return false;
	if (S_ISDIR(a->st_mode))
		return true;
	return a->st_size == b->st_size && a->st_rdev == b->st_rdev &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* ---- the walk ---- */

struct walk {
	struct branch *b;
	struct changes *ret;
	char path[PATH_MAX];
};

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char **all;
	size_t n, room;
};

static int names_add(struct names *l, const char *name)
{
	char **grown = grow_list(l->all, l->n, &l->room, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	l->all = grown;
	l->all[l->n] = strdup(name);
	return l->all[l->n++] ? 0 : -ENOMEM;
}

static void names_fini(struct names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->all[i]);
	free(l->all);
}

/* Names of a hidden lower directory that the one in its place does not have. */
static int add_hidden(struct walk *w, const struct node *dir, const struct lower_hit *hit,
		      struct names *l)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < hit->n_dirs; i++) {
		const struct dirent *e;
		DIR *d;

		r = dir_take(lower_open(w->b, hit->dirs[i], w->path, O_RDONLY | O_DIRECTORY), &d);
		if (r < 0)
			break;
		while (r == 0 && (e = dir_next(d))) {
			if (!nodes_find(&w->b->nodes, dir, e->d_name, strlen(e->d_name)))
				r = names_add(l, e->d_name);
		}
		closedir(d);
	}
	return r;
}

static int walk_path(struct walk *w, const struct node *n);

static int walk_children(struct walk *w, const struct node *dir, const struct lower_hit *hit)
{
	size_t at = strlen(w->path);
	struct names l = { 0 };
	int r = 0;

	for (const struct node *c = dir->child; r == 0 && c; c = c->next)
		r = names_add(&l, c->name);
	if (r == 0 && dir->flags & NODE_OPAQUE && hit)
		r = add_hidden(w, dir, hit, &l);
	if (l.n)
		qsort(l.all, l.n, sizeof(*l.all), by_name);
	for (size_t i = 0; r == 0 && i < l.n; i++) {
		const char *name = l.all[i];

		if (i && !strcmp(name, l.all[i - 1]))
			continue;
		if (at + strlen(name) + 2 > sizeof(w->path))
			r = -ENAMETOOLONG;
		else
			snprintf(w->path + at, sizeof(w->path) - at, "%s%s", at ? "/" : "", name);
		if (r == 0)
			r = walk_path(w, nodes_find(&w->b->nodes, dir, name, strlen(name)));
		w->path[at] = '\0';
	}
	names_fini(&l);
	return r;
}

/* One upper entry and what is lower at its path. */
static int compare(struct walk *w, const struct node *n, const struct lower_hit *hit)
{
	bool opaque = n->flags & NODE_OPAQUE && hit->n_dirs;
	enum branch_change_kind kind = hit->fd < 0 ? BRANCH_ADDED : BRANCH_MODIFIED;
	struct stat st;
	int r;

	if (fstatat(w->b->upper_fd, *w->path ? w->path : ".", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	owner_show(w->b, &st);
	wide_show(w->b, &st);
	if (hit->fd >= 0 && same_file(&st, &hit->st) && same_content(w->b, w->path, &st, hit->fd))
		kind = BRANCH_SAME;
	r = add(w->ret, w->path, kind, &st, opaque);
	if (r == 0 && hit->fd >= 0)
		w->ret->items[w->ret->n - 1].lower_ino = hit->st.st_ino;
	return r;
}

/*
 * @n is NULL for a name that a replaced directory took away. Below replaced directories the lower trees are looked at all the same: what they have is what a commit finds.
 */
static int walk_path(struct walk *w, const struct node *n)
{
	struct lower_hit hit;
	int r = lower_find(w->b, w->path, &hit);

	if (r == 0 && (!n || n->type == DT_WHT)) {
		if (hit.fd >= 0)
			r = add(w->ret, w->path, BRANCH_DELETED, &hit.st, false);
	} else if (r == 0) {
		r = compare(w, n, &hit);
		if (r == 0 && n->type == DT_DIR)
			r = walk_children(w, n, &hit);
	}
	lower_close(&hit);
	return r;
}

/* ---- files of several names ---- */

static int by_inode(const void *x, const void *y)
{
	const struct change_link *a = x, *b = y;

	if (a->ino != b->ino)
		return a->ino < b->ino ? -1 : 1;
	return a->item < b->item ? -1 : a->item > b->item;
}

static bool is_linked(const struct change_item *i)
{
	return i->kind != BRANCH_DELETED && !S_ISDIR(i->st.st_mode) && i->st.st_nlink > 1;
}

/*
 * When one of its names is new or changed, or was another file's that was just the same, all names of a file are changed: they would not be one file
 * otherwise.
 */
static void change_together(struct changes *c, size_t from, size_t to)
{
	bool changed = false;

	for (size_t i = from; i < to; i++)
		changed |= c->items[c->links[i].item].kind != BRANCH_SAME ||
			   c->items[c->links[i].item].lower_ino !=
				   c->items[c->links[from].item].lower_ino;
	for (size_t i = from; changed && i < to; i++) {
		struct change_item *item = &c->items[c->links[i].item];

		if (item->kind == BRANCH_SAME)
			item->kind = BRANCH_MODIFIED;
	}
}

static int find_links(struct changes *c)
{
	size_t n = 0, end;

	for (size_t i = 0; i < c->n; i++)
		n += is_linked(&c->items[i]);
	if (n == 0)
		return 0;
	c->links = calloc(n, sizeof(*c->links));
	if (!c->links)
		return -ENOMEM;
	for (size_t i = 0; i < c->n; i++) {
		if (is_linked(&c->items[i]))
			c->links[c->n_links++] = (struct change_link){ c->items[i].st.st_ino, i };
	}
	qsort(c->links, n, sizeof(*c->links), by_inode);
	for (size_t i = 0; i < n; i = end) {
		end = i + 1;
		while (end < n && c->links[end].ino == c->links[i].ino)
			end++;
		change_together(c, i, end);
	}
	return 0;
}

int changes_collect_locked(struct branch *b, struct changes *ret)
{
	struct walk w = { .b = b, .ret = ret };
	int r;

	memset(ret, 0, sizeof(*ret));
	r = walk_path(&w, b->nodes.root);
	return r < 0 ? r : find_links(ret);
}

int branch_diff(struct branch *b, int (*fn)(const struct branch_change *change, void *arg),
		void *arg)
{
	struct changes c;
	int r = branch_reading_begin(b);

	if (r < 0)
		return r;
	r = changes_collect_locked(b, &c);
	branch_reading_end(b);
	for (size_t i = 0; r == 0 && i < c.n; i++) {
		struct branch_change change = { c.items[i].kind, c.items[i].path, c.items[i].st };

		if (change.kind != BRANCH_SAME)
			r = fn(&change, arg);
	}
	changes_fini(&c);
	return r;
}
