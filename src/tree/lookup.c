/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merged view of one path, and what needs nothing else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/openat2.h"
#include "sys/fd.h"
#include "tree/branch_internal.h"

void branch_rdlock(struct branch *b)
{
	pthread_rwlock_rdlock(&b->lock);
}

void branch_wrlock(struct branch *b)
{
	pthread_rwlock_wrlock(&b->lock);
}

void branch_unlock(struct branch *b)
{
	pthread_rwlock_unlock(&b->lock);
}

int upper_open_locked(struct branch *b, const char *path)
{
	return open_beneath(b->upper_fd, path, O_PATH, 0);
}

int upper_open_parent_locked(struct branch *b, const char *path)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (n >= sizeof(parent))
		return -ENAMETOOLONG;
	memcpy(parent, path, n);
	parent[n] = '\0';
	return open_beneath(b->upper_fd, parent, O_PATH | O_DIRECTORY, 0);
}

void merged_show(const struct branch *b, struct stat *st)
{
	uint64_t ino;
	dev_t dev;

	if (st->st_dev != b->upper_dev)
		return;
	owner_show(b, st);
	wide_show(b, st);
	if (identities_get(&b->identities, st->st_ino, &dev, &ino)) {
		st->st_dev = dev;
		st->st_ino = ino;
	}
}

void identity_drop(struct branch *b, ino_t upper_ino)
{
	identities_drop(&b->identities, upper_ino);
	owner_drop(b, upper_ino);
}

/* Of 53 bits, which is what programs that keep numbers as floating point have room for. */
#define OWN_INO (1ull << 52)

void identity_of_new_locked(struct branch *b, const struct node *parent, uint64_t upper_ino)
{
	uint64_t ino;
	dev_t dev;

	if (identities_get(&b->identities, parent->ino, &dev, &ino) && dev != b->upper_dev)
		identities_set(&b->identities, upper_ino, dev, upper_ino ^ OWN_INO);
	else
		identities_drop(&b->identities, upper_ino);
}

void identity_new_locked(struct branch *b, const struct node *parent, uint64_t upper_ino)
{
	owner_drop(b, upper_ino);
	identity_of_new_locked(b, parent, upper_ino);
}

void identity_forget_locked(struct branch *b, uint64_t upper_ino)
{
	uint64_t ino;
	dev_t dev;

	if (identities_get(&b->identities, upper_ino, &dev, &ino) && ino == (upper_ino ^ OWN_INO))
		identities_drop(&b->identities, upper_ino);
}

void merged_close(struct merged *v)
{
	lower_close(&v->lower);
}

static void show_link(struct merged *v, struct link_group *g)
{
	long n = g ? (long)v->upper_st.st_nlink + g->diff : 0;

	v->link = g;
	if (n > 0)
		v->st.st_nlink = (nlink_t)n;
}

/* A lower name of a file that was copied up by another of its names. */
static int merged_linked(struct branch *b, struct merged *v, struct link_group *g)
{
	int r = links_stat(b, g, &v->upper_st);

	if (r < 0)
		return r;
	v->st = v->upper_st;
	merged_show(b, &v->st);
	show_link(v, g);
	return 0;
}

static int merged_upper(struct branch *b, const char *path, struct merged *v)
{
	if (fstatat(b->upper_fd, path, &v->upper_st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		return -errno;
	v->st = v->upper_st;
	merged_show(b, &v->st);
	v->kind = BRANCH_UPPER;
	if (v->upper_st.st_nlink > 1 && !S_ISDIR(v->st.st_mode))
		show_link(v, links_of_upper(b, v->upper_st.st_ino));
	if (v->lower.n_dirs && S_ISDIR(v->st.st_mode) && !(v->walk.node->flags & NODE_OPAQUE)) {
		v->kind = BRANCH_MERGED;
		v->st.st_nlink = 1; /* as overlayfs: nobody counted the subdirectories of both */
	}
	return 0;
}

int merged_find_locked(struct branch *b, const char *path, struct merged *v)
{
	int r = 0;

	v->lower.fd = -1;
	v->lower.n_dirs = 0;
	v->kind = BRANCH_NONE;
	v->link = NULL;
	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	nodes_walk(&b->nodes, path, &v->walk);
	if (v->walk.missing)
		return 0;
	if (!v->walk.hidden)
		r = lower_find(b, path, &v->lower);
	if (r < 0)
		return r;
	if (v->walk.node && v->walk.node->type == DT_WHT)
		return 0;
	if (v->walk.node)
		return merged_upper(b, path, v);
	if (strlen(v->walk.name) > NAME_MAX)
		return -ENAMETOOLONG;
	if (v->lower.fd >= 0) {
		struct link_group *g = links_of_lower(b, &v->lower.st);

		v->kind = BRANCH_LOWER;
		v->st = v->lower.st;
		if (g)
			return merged_linked(b, v, g);
		if (v->lower.n_dirs > 1)
			v->st.st_nlink = 1;
	}
	return 0;
}

/*
 * As merged_find_locked, for who only looks: a node that is no directory needs no look at the lower trees.
 */
static int find_entry(struct branch *b, const char *path, struct merged *v)
{
	nodes_walk(&b->nodes, path, &v->walk);
	if (v->walk.missing || !v->walk.node || v->walk.node->type == DT_DIR)
		return merged_find_locked(b, path, v);
	v->lower.fd = -1;
	v->lower.n_dirs = 0;
	v->kind = BRANCH_NONE;
	v->link = NULL;
	return v->walk.node->type == DT_WHT ? 0 : merged_upper(b, path, v);
}

int branch_lookup(struct branch *b, const char *path, struct branch_entry *ret)
{
	struct merged v;
	int r, fd = -1;

	branch_rdlock(b);
	r = find_entry(b, path, &v);
	if (r == 0 && v.kind == BRANCH_LOWER && v.link)
		fd = r = links_open(b, v.link);
	else if (r == 0 && v.kind == BRANCH_LOWER)
		fd = TAKE_FD(v.lower.fd);
	else if (r == 0 && v.kind != BRANCH_NONE)
		fd = r = upper_open_locked(b, path);
	merged_close(&v);
	branch_unlock(b);
	if (r < 0)
		return r;
	*ret = (struct branch_entry){ .kind = v.link ? BRANCH_UPPER : v.kind, .fd = fd };
	if (v.kind != BRANCH_NONE)
		ret->st = v.st;
	return 0;
}

int branch_stat(struct branch *b, const char *path, struct branch_entry *ret)
{
	struct merged v;
	int r;

	branch_rdlock(b);
	r = find_entry(b, path, &v);
	merged_close(&v);
	branch_unlock(b);
	if (r < 0)
		return r;
	*ret = (struct branch_entry){ .kind = v.link ? BRANCH_UPPER : v.kind, .fd = -1 };
	if (v.kind != BRANCH_NONE)
		ret->st = v.st;
	return 0;
}

bool branch_is_unchanged(struct branch *b, const char *path)
{
	struct nodes_walk w;
	bool unknown;

	if (b->n_lowers != 1 || b->dirs_changed)
		return false;
	branch_rdlock(b);
	nodes_walk(&b->nodes, path, &w);
	unknown = b->links.n_open > 0; /* any name may be one of those */
	branch_unlock(b);
	return !unknown && !w.node && !w.missing && !w.hidden;
}

/* Is directory @base still where it was found, and part of what is shown there? */
static bool base_is_there(const struct branch *b, const char *path, const struct branch_base *base)
{
	char above[PATH_MAX];
	struct nodes_walk w;

	if (base->length >= sizeof(above))
		return false;
	memcpy(above, path, base->length);
	above[base->length] = '\0';
	nodes_walk(&b->nodes, above, &w);
	if (!w.node || w.missing || w.node->type != DT_DIR)
		return false;
	return base->lower ? node_merges(w.node) : w.node->ino == base->ino;
}

int branch_open_upper(struct branch *b, const char *path, const struct branch_base *base,
		      uint64_t flags)
{
	struct nodes_walk w;
	int fd = -ENODATA;

	branch_rdlock(b);
	nodes_walk(&b->nodes, path, &w);
	if (w.node && !w.missing && w.node->type != DT_WHT &&
	    (w.node->type == DT_REG || flags & O_PATH) && (!base || base_is_there(b, path, base)))
		fd = open_at_how(b->upper_fd, path, flags, 0,
				 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	branch_unlock(b);
	return fd;
}

/* Is @path, whose directory the upper one has, there? -ENODATA: that directory is not there, or @path is in a lower tree. */
static int is_in_upper(const struct branch *b, const char *path, const struct nodes_walk *w)
{
	struct lower_hit hit;
	bool lower;

	if (w->missing || !w->parent || w->parent->type != DT_DIR)
		return -ENODATA;
	if (w->node)
		return w->node->type != DT_WHT;
	if (!node_merges(w->parent))
		return 0;
	lower = lower_find(b, path, &hit) < 0 || hit.fd >= 0;
	lower_close(&hit);
	return lower ? -ENODATA : 0;
}

static int open_name_locked(struct branch *b, const char *path, const struct branch_base *base,
			    struct branch_name *ret)
{
	struct nodes_walk w;
	int there;

	nodes_walk(&b->nodes, path, &w);
	there = is_in_upper(b, path, &w);
	if (there < 0 || (base && !base_is_there(b, path, base)))
		return -ENODATA;
	ret->dir = upper_open_parent_locked(b, path);
	if (ret->dir < 0)
		return ret->dir;
	if (!there) /* nothing is looked up in it, which would want the same right */
		return may_access(ret->dir, X_OK);
	ret->fd = openat(ret->dir, w.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (ret->fd >= 0 && fstat(ret->fd, &ret->st) == 0)
		return 0;
	return -errno;
}

int branch_open_name(struct branch *b, const char *path, const struct branch_base *base,
		     struct branch_name *ret)
{
	int r;

	*ret = (struct branch_name){ .dir = -1, .fd = -1 };
	branch_rdlock(b);
	r = open_name_locked(b, path, base, ret);
	branch_unlock(b);
	if (r == 0 && ret->fd >= 0)
		branch_show(b, &ret->st);
	if (r < 0 && ret->dir >= 0)
		close(ret->dir);
	if (r < 0 && ret->fd >= 0)
		close(ret->fd);
	return r;
}

uint64_t branch_generation(const struct branch *b)
{
	return atomic_load_explicit(&b->generation, memory_order_acquire);
}

bool branch_merges_lowers(const struct branch *b)
{
	return b->n_lowers > 1;
}

int branch_open_lower(struct branch *b, const char *path)
{
	char link[FD_LINK_BYTES];
	struct lower_hit hit;
	int r = lower_find(b, path, &hit);

	if (r < 0)
		return r;
	if (hit.fd < 0)
		return -ENOENT;
	if (S_ISLNK(hit.st.st_mode))
		r = -ELOOP;
	else
		r = open(fd_link(hit.fd, link), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	r = r == -1 ? -errno : r;
	lower_close(&hit);
	return r;
}

int branch_lower_fd(const struct branch *b, size_t layer)
{
	return layer < b->n_lowers ? b->lower_fds[layer] : -1;
}

int branch_upper_fd(const struct branch *b)
{
	return b->upper_fd;
}

void branch_show(struct branch *b, struct stat *st)
{
	const struct link_group *g;

	if (st->st_dev != b->upper_dev)
		return;
	branch_rdlock(b);
	g = S_ISDIR(st->st_mode) || st->st_nlink < 2 ? NULL : links_of_upper(b, st->st_ino);
	if (g && (long)st->st_nlink + g->diff > 0)
		st->st_nlink = (nlink_t)((long)st->st_nlink + g->diff);
	merged_show(b, st);
	branch_unlock(b);
}

/* ---- what acts on an O_PATH descriptor ---- */

static int lookup_existing(struct branch *b, const char *path, struct branch_entry *ret)
{
	int r = branch_lookup(b, path, ret);

	return r < 0 ? r : ret->kind == BRANCH_NONE ? -ENOENT : 0;
}

ssize_t branch_readlink(struct branch *b, const char *path, char *buf, size_t size)
{
	struct branch_entry e;
	ssize_t n = lookup_existing(b, path, &e);

	if (n < 0)
		return n;
	n = S_ISLNK(e.st.st_mode) ? readlinkat(e.fd, "", buf, size) : -1;
	n = n >= 0 ? n : S_ISLNK(e.st.st_mode) ? -errno : -EINVAL;
	close(e.fd);
	return n;
}

static bool is_hidden_xattr(const char *name)
{
	return !strncmp(name, XATTR_HIDDEN, strlen(XATTR_HIDDEN));
}

/* There are no xattr calls by O_PATH descriptor, and by path they act on a link's target: the descriptor's own link is what is left. */
ssize_t branch_fgetxattr(int fd, const char *name, void *buf, size_t size)
{
	char link[FD_LINK_BYTES];
	ssize_t n = is_hidden_xattr(name) ? -ENODATA : getxattr(fd_link(fd, link), name, buf, size);

	return n == -1 ? -errno : n;
}

ssize_t branch_getxattr(struct branch *b, const char *path, const char *name, void *buf,
			size_t size)
{
	struct branch_entry e;
	ssize_t n = lookup_existing(b, path, &e);

	if (n < 0)
		return n;
	n = branch_fgetxattr(e.fd, name, buf, size);
	close(e.fd);
	return n;
}

/* The names of @all that are shown, to @buf; their length. */
static ssize_t filter_names(const char *all, ssize_t n, char *buf, size_t size)
{
	size_t len = 0;

	for (const char *at = all; at < all + n; at += strlen(at) + 1) {
		size_t more = strlen(at) + 1;

		if (is_hidden_xattr(at))
			continue;
		if (size && len + more > size)
			return -ERANGE;
		if (size)
			memcpy(buf + len, at, more);
		len += more;
	}
	return (ssize_t)len;
}

ssize_t branch_flistxattr(int fd, char *buf, size_t size)
{
	char link[FD_LINK_BYTES], *all = NULL;
	ssize_t n = listxattr(fd_link(fd, link), NULL, 0);

	if (n > 0) {
		all = malloc((size_t)n);
		n = all ? listxattr(link, all, (size_t)n) : -ENOMEM;
	}
	n = n == -1 ? -errno : n < 0 ? n : filter_names(all, n, buf, size);
	free(all);
	return n;
}

ssize_t branch_listxattr(struct branch *b, const char *path, char *buf, size_t size)
{
	struct branch_entry e;
	ssize_t n = lookup_existing(b, path, &e);

	if (n < 0)
		return n;
	n = branch_flistxattr(e.fd, buf, size);
	close(e.fd);
	return n;
}
