/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/links.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/dir.h"
#include "sys/fd.h"
#include "sys/openat2.h"
#include "tree/branch_internal.h"
#include "util/grow.h"

#define FIRST_BUCKETS 64u
#define NLINK_BYTES 16

/* ---- the table, by lower file ---- */

static struct link_group **bucket(const struct links *t, dev_t dev, uint64_t ino)
{
	return &t->table[((ino ^ dev) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (t->n_buckets - 1)];
}

static struct link_group *find(const struct links *t, dev_t dev, uint64_t ino)
{
	struct link_group *g = t->n_buckets ? *bucket(t, dev, ino) : NULL;

	while (g && (g->ino != ino || g->dev != dev))
		g = g->next;
	return g;
}

static int grow(struct links *t)
{
	struct links wider = *t;

	wider.n_buckets = t->n_buckets ? t->n_buckets * 2 : FIRST_BUCKETS;
	wider.table = calloc(wider.n_buckets, sizeof(struct link_group *));
	if (!wider.table)
		return t->n_buckets ? 0 : -ENOMEM;
	for (size_t i = 0; i < t->n_buckets; i++) {
		struct link_group *g, *next;

		for (g = t->table[i]; g; g = next) {
			struct link_group **to = bucket(&wider, g->dev, g->ino);

			next = g->next;
			g->next = *to;
			*to = g;
		}
	}
	free(t->table);
	*t = wider;
	return 0;
}

static struct link_group *add(struct links *t, const struct stat *lower)
{
	struct link_group *g, **at;

	if (t->n >= t->n_buckets && grow(t) < 0)
		return NULL;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->dev = lower->st_dev;
	g->ino = lower->st_ino;
	g->lower_nlink = lower->st_nlink;
	at = bucket(t, g->dev, g->ino);
	g->next = *at;
	*at = g;
	t->n++;
	return g;
}

static void drop(struct links *t, struct link_group *g)
{
	struct link_group **at = bucket(t, g->dev, g->ino);

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	t->n--;
	t->n_open -= g->upper_ino && !g->complete;
	free(g->name);
	free(g);
}

void links_fini(struct links *t)
{
	for (size_t i = 0; i < t->n_buckets; i++) {
		while (t->table[i])
			drop(t, t->table[i]);
	}
	free(t->table);
	memset(t, 0, sizeof(*t));
}

/* ---- looking ---- */

struct link_group *links_of_lower(const struct branch *b, const struct stat *lower)
{
	struct link_group *g;

	if (!S_ISREG(lower->st_mode) || lower->st_nlink < 2 || b->links.n == 0)
		return NULL;
	g = find(&b->links, lower->st_dev, lower->st_ino);
	return g && g->upper_ino ? g : NULL;
}

struct link_group *links_of_upper(const struct branch *b, uint64_t upper_ino)
{
	struct link_group *g;
	uint64_t ino;
	dev_t dev;

	if (b->links.n == 0 || !identities_get(&b->identities, upper_ino, &dev, &ino))
		return NULL;
	g = find(&b->links, dev, ino);
	return g && g->upper_ino == upper_ino ? g : NULL;
}

int links_stat(const struct branch *b, const struct link_group *g, struct stat *ret)
{
	return fstatat(b->index_fd, g->name, ret, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int links_open(const struct branch *b, const struct link_group *g)
{
	int fd = openat(b->index_fd, g->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Links of the upper inode; 0 when it cannot be told. */
static nlink_t upper_nlink(const struct branch *b, const struct link_group *g)
{
	struct stat st;

	return links_stat(b, g, &st) < 0 ? 0 : st.st_nlink;
}

/* Names that show the group and are not linked up. */
static long n_missing(const struct branch *b, const struct link_group *g)
{
	nlink_t n = upper_nlink(b, g);

	return n ? (long)n + g->diff - (long)(n - 1) : 0;
}

/* ---- the number of names ---- */

static int store(struct link_group *g, int fd, char form, int number)
{
	char text[NLINK_BYTES];
	int r;

	snprintf(text, sizeof(text), "%c%+d", form, number);
	r = set_own_xattr(fd, XATTR_NLINK, text, strlen(text));
	g->form = r == 0 ? form : 0;
	return r;
}

static int store_by_name(const struct branch *b, struct link_group *g, char form, int number)
{
	_cleanup_close_ int fd = links_open(b, g);

	return fd < 0 ? fd : store(g, fd, form, number);
}

int links_will_change(struct branch *b, struct link_group *g)
{
	return !g || g->form == 'U' ? 0 : store_by_name(b, g, 'U', g->diff);
}

/* ---- one copy, and its names ---- */

static char *index_name(const struct branch *b, int lower, const struct stat *st)
{
	struct origin o;
	size_t n = origin_of(b, lower, st->st_dev, &o);
	char *name = malloc(2 * sizeof(o) + 40);

	if (name && n == 0)
		sprintf(name, "x%llx.%llx", (unsigned long long)st->st_dev,
			(unsigned long long)st->st_ino);
	for (size_t i = 0; name && i < n; i++)
		sprintf(name + 2 * i, "%02x", ((const unsigned char *)&o)[i]);
	return name;
}

static int link_into_index(const struct branch *b, const char *from, const char *name)
{
	if (linkat(b->work_fd, from, b->index_fd, name, 0) == 0)
		return 0;
	/* what a crash left there belongs to nobody, or it had been found */
	if (errno == EEXIST && unlinkat(b->index_fd, name, 0) == 0 &&
	    linkat(b->work_fd, from, b->index_fd, name, 0) == 0)
		return 0;
	return -errno;
}

int links_begin(struct branch *b, const char *name, int fd, int lower, const struct stat *st,
		struct link_group **ret)
{
	struct link_group *g = find(&b->links, st->st_dev, st->st_ino);
	struct stat made;
	int r = 0;

	if (!g)
		g = add(&b->links, st);
	if (!g)
		return -ENOMEM;
	g->lower_nlink = st->st_nlink;
	g->name = index_name(b, lower, st);
	if (!g->name)
		r = -ENOMEM;
	if (r == 0 && fstat(fd, &made) < 0)
		r = -errno;
	if (r == 0)
		r = store(g, fd, 'L', -(int)g->hidden);
	if (r == 0)
		r = link_into_index(b, name, g->name);
	if (r == 0) {
		g->upper_ino = made.st_ino;
		g->diff = (int)g->lower_nlink - (int)g->hidden - 2;
		b->links.n_open++;
		*ret = g;
	} else if (g->hidden) {
		free(g->name);
		g->name = NULL;
	} else {
		drop(&b->links, g);
	}
	return r;
}

void links_cancel(struct branch *b, struct link_group *g)
{
	if (!g)
		return;
	unlinkat(b->index_fd, g->name, 0);
	drop(&b->links, g);
}

static void close_group(struct branch *b, struct link_group *g)
{
	b->links.n_open -= !g->complete;
	g->complete = true;
}

bool links_dropped(struct branch *b, struct link_group *g)
{
	struct room_last last;
	struct stat st;

	if (!g || links_stat(b, g, &st) < 0 || (int)st.st_nlink + g->diff > 0)
		return false;
	room_last_begin(b, b->index_fd, g->name, &st, &last);
	unlinkat(b->index_fd, g->name, 0);
	room_last_end(b, &last, true);
	drop(&b->links, g);
	return true;
}

/* The whiteout is there already: what is not stored after a crash makes the number too large, and never the file go too early. */
void links_hidden(struct branch *b, const struct stat *lower)
{
	struct link_group *g;

	if (!S_ISREG(lower->st_mode) || lower->st_nlink < 2)
		return;
	g = find(&b->links, lower->st_dev, lower->st_ino);
	if (!g)
		g = add(&b->links, lower);
	if (!g)
		return; /* without memory for it a number is too large later */
	if (!g->upper_ino) {
		if (++g->hidden >= g->lower_nlink)
			drop(&b->links, g);
		return;
	}
	g->diff--;
	if (links_dropped(b, g))
		return;
	store_by_name(b, g, 'U', g->diff);
	if (n_missing(b, g) <= 0)
		close_group(b, g);
}

static int link_at(const struct branch *b, const struct link_group *g, int dir, const char *name)
{
	char link[FD_LINK_BYTES];
	struct stat st;
	int r = linkat(b->index_fd, g->name, dir, name, 0) < 0 ? -errno : 0;

	if (r != -EACCES || fstat(dir, &st) < 0)
		return r;
	/* seeing the same as before needs no right to write the directory */
	fd_link(dir, link);
	chmod(link, (st.st_mode & 07777) | S_IWUSR | S_IXUSR);
	r = linkat(b->index_fd, g->name, dir, name, 0) < 0 ? -errno : 0;
	chmod(link, st.st_mode & 07777);
	return r;
}

static int record(struct branch *b, const struct link_group *g, const char *path, int lower)
{
	_cleanup_close_ int fd = links_open(b, g);
	struct covered cover;
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(lower, &st) < 0)
		return -errno;
	covered_from(&cover, &st);
	cover.upper_ino = g->upper_ino;
	cover.upper_born = born_ns(fd);
	return covered_append(b, path, &cover);
}

/* The name at @path is still the lower one's. */
static int link_up(struct branch *b, struct link_group *g, const struct merged *v, const char *path)
{
	_cleanup_close_ int dir = upper_open_parent_locked(b, path);
	struct node *n = node_new(v->walk.name, strlen(v->walk.name));
	struct nodes_walk w;
	struct stat st;
	int r = !n ? -ENOMEM : dir < 0 ? dir : fstat(dir, &st) < 0 ? -errno : 0;

	if (r == 0)
		r = record(b, g, path, v->lower.fd);
	if (r == 0)
		r = store_by_name(b, g, 'L',
				  (int)upper_nlink(b, g) + g->diff - (int)g->lower_nlink);
	if (r == 0)
		r = link_at(b, g, dir, v->walk.name);
	if (r < 0) {
		node_free(n);
		return r;
	}
	g->diff--;
	utimensat(dir, "", (const struct timespec[]){ st.st_atim, st.st_mtim }, AT_EMPTY_PATH);
	nodes_walk(&b->nodes, path, &w);
	n->type = DT_REG;
	n->ino = g->upper_ino;
	nodes_insert(&b->nodes, w.parent, n);
	if (n_missing(b, g) <= 0)
		close_group(b, g);
	return 0;
}

int links_up(struct branch *b, const char *path)
{
	struct merged v;
	int r = merged_find_locked(b, path, &v);

	if (r == 0 && v.kind == BRANCH_LOWER && v.link)
		r = copy_up_parents_locked(b, path);
	if (r == 0 && v.kind == BRANCH_LOWER && v.link)
		r = link_up(b, v.link, &v, path);
	merged_close(&v);
	return r;
}

/* ---- names that are left ---- */

struct paths {
	char **all;
	size_t n, room;
};

static int push(struct paths *p, const char *dir, const char *name)
{
	char **grown = grow_list(p->all, p->n, &p->room, sizeof(*grown)), *path;

	if (!grown)
		return -ENOMEM;
	p->all = grown;
	if (asprintf(&path, "%s%s%s", dir, *dir ? "/" : "", name) < 0)
		return -ENOMEM;
	p->all[p->n++] = path;
	return 0;
}

static void paths_fini(struct paths *p)
{
	while (p->n)
		free(p->all[--p->n]);
	free(p->all);
}

static int meet(struct branch *b, dev_t dev, const char *dir, const struct dirent *e)
{
	struct link_group *g = find(&b->links, dev, e->d_ino);
	char path[PATH_MAX];

	if (!g || !g->upper_ino || g->complete)
		return 0;
	if (snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "", e->d_name) >= PATH_MAX)
		return 0;
	return links_up(b, path);
}

/* Link up what belongs to open groups in one directory of one layer; its own directories go to @below when that is asked for. */
static int look_in(struct branch *b, size_t layer, const char *path, size_t at_most,
		   struct paths *below)
{
	int fd = lower_open(b, layer, path, O_RDONLY | O_DIRECTORY), r;
	const struct dirent *e;
	struct stat st;
	DIR *d;

	if (fd < 0)
		return 0; /* where we may not look the task does not see it either */
	r = dir_take(fd, &d);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		r = -errno;
	while (r == 0 && b->links.n_open && at_most-- && (e = dir_next(d))) {
		unsigned char type = dir_type(d, e);

		if (below && type == DT_DIR)
			r = push(below, path, e->d_name);
		else if (type == DT_REG)
			r = meet(b, st.st_dev, path, e);
	}
	closedir(d);
	return r;
}

static int walk_layer(struct branch *b, size_t layer)
{
	struct paths p = { 0 };
	int r = push(&p, "", "");

	while (r == 0 && p.n && b->links.n_open) {
		char *path = p.all[--p.n];

		r = look_in(b, layer, path, SIZE_MAX, &p);
		free(path);
	}
	paths_fini(&p);
	return r;
}

static void close_all_groups(struct branch *b)
{
	for (size_t i = 0; i < b->links.n_buckets; i++) {
		for (struct link_group *g = b->links.table[i]; g; g = g->next) {
			if (g->upper_ino)
				close_group(b, g);
		}
	}
}

int links_complete(struct branch *b)
{
	int r = 0;

	for (size_t i = 0; r == 0 && b->links.n_open && i < b->n_lowers; i++)
		r = walk_layer(b, i);
	if (r == 0)
		close_all_groups(b); /* the others lie outside */
	return r;
}

/* Hard links mostly lie side by side. */
#define SIBLINGS 4096u

void links_placed(struct branch *b, struct link_group *g, const char *path)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (n_missing(b, g) <= 0) {
		close_group(b, g);
		return;
	}
	snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) : 0, path);
	for (size_t i = 0; i < b->n_lowers && !g->complete; i++)
		look_in(b, i, parent, SIBLINGS, NULL);
}

static void dissolve(struct branch *b, struct link_group *g)
{
	_cleanup_close_ int fd = links_open(b, g);

	if (fd < 0)
		return;
	remove_own_xattr(fd, XATTR_NLINK);
	unlinkat(b->index_fd, g->name, 0);
	drop(&b->links, g);
}

void links_dissolve(struct branch *b)
{
	for (size_t i = 0; i < b->links.n_buckets; i++) {
		struct link_group *g, *next;

		for (g = b->links.table[i]; g; g = next) {
			next = g->next;
			if (g->upper_ino && g->complete)
				dissolve(b, g);
		}
	}
}

/* ---- what was there before ---- */

/* How a group stands that is in the index; in doubt no name is ever missed. */
static void restore(struct branch *b, struct link_group *g, const struct stat *st)
{
	_cleanup_close_ int fd = links_open(b, g);
	char link[FD_LINK_BYTES], text[NLINK_BYTES] = "";
	int number;

	g->upper_ino = st->st_ino;
	g->diff = 0;
	b->links.n_open++;
	fd_link(fd, link);
	if (fd < 0 || getxattr(link, XATTR_NLINK, text, sizeof(text) - 1) < 3)
		return;
	number = (int)strtol(text + 1, NULL, 10);
	g->form = text[0];
	g->diff = text[0] == 'U' ? number : (int)g->lower_nlink + number - (int)st->st_nlink;
}

int links_restore(struct branch *b, const char *name, const struct stat *st, dev_t dev,
		  uint64_t ino, nlink_t nlink)
{
	const struct stat lower = { .st_dev = dev, .st_ino = ino, .st_nlink = nlink };
	struct link_group *g = find(&b->links, dev, ino);

	if (!g)
		g = add(&b->links, &lower);
	if (!g || g->name)
		return g ? 0 : -ENOMEM;
	g->name = strdup(name);
	if (!g->name)
		return -ENOMEM;
	restore(b, g, st);
	return 0;
}
