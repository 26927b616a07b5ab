/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/entries.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/openat2.h"
#include "tree/tree.h"
#include "util/cleanup.h"

/*
 * Positions of ours: between 2^40 and 2^41, below what lseek takes on any directory (ext4 without an index: 2^42). The kernel's own are small (tmpfs, xfs) or
 * a hash in the upper half of 63 bits (ext4), which lies here once in four million times.
 */
#define POS_FIRST (INT64_C(1) << 40)
#define POS_MASK ((INT64_C(1) << 40) - 1)
#define POS_DOTS 16 /* before the first name's */

#define CACHED 8u

struct entry {
	int64_t pos;
	uint64_t ino;
	const char *name; /* in names, once all are there */
	size_t at;
	uint8_t type;
};

struct entries {
	atomic_uint refs;
	dev_t dev; /* of the directory, as the tree shows it */
	ino_t ino;
	uint64_t generation; /* of the branch */
	struct entry *list;
	size_t n, room;
	char *names;
	size_t n_names, room_names;
};

struct entries_cache {
	pthread_mutex_t lock;	      /* guards all below */
	struct entries *kept[CACHED]; /* references; the one used last comes first */
	uint64_t key;		      /* constant */
};

/* ---- life ---- */

struct entries_cache *entries_cache_new(void)
{
	struct entries_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	if (getrandom(&c->key, sizeof(c->key), 0) < 0)
		c->key = (uint64_t)(uintptr_t)c;
	return c;
}

void entries_unref(struct entries *e)
{
	/* acquire-release: the last one sees what all others did */
	if (!e || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(e->list);
	free(e->names);
	free(e);
}

struct entries_cache *entries_cache_free(struct entries_cache *c)
{
	if (!c)
		return NULL;
	for (unsigned i = 0; i < CACHED; i++)
		entries_unref(c->kept[i]);
	pthread_mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

/* ---- making ---- */

static void *widen(void *array, size_t *room, size_t need, size_t size)
{
	size_t wider = *room ? *room : 64;
	void *p;

	if (need <= *room)
		return array;
	while (wider < need)
		wider *= 2;
	p = reallocarray(array, wider, size);
	if (p)
		*room = wider;
	return p;
}

static int add(struct entries *e, const char *name, uint64_t ino, uint8_t type)
{
	size_t more = strlen(name) + 1;
	struct entry *list = widen(e->list, &e->room, e->n + 1, sizeof(*list));
	char *names;

	if (!list)
		return -ENOMEM;
	e->list = list;
	names = widen(e->names, &e->room_names, e->n_names + more, 1);
	if (!names)
		return -ENOMEM;
	e->names = names;
	memcpy(names + e->n_names, name, more);
	list[e->n++] = (struct entry){ .ino = ino, .at = e->n_names, .type = type };
	e->n_names += more;
	return 0;
}

static bool has_name(const struct entries *e, const char *name)
{
	for (size_t i = 0; i < e->n; i++) {
		if (!strcmp(e->names + e->list[i].at, name))
			return true;
	}
	return false;
}

/* Mount points that the directory itself has no entry for. */
static int add_mounts(struct entries *e, const struct view *v)
{
	int r = 0;

	for (size_t i = 1; r == 0 && i < view_count(v); i++) {
		const struct view_mount *m = view_mount(v, (int)i);

		if (m->missing && m->in_ino == e->ino && m->in_dev == e->dev &&
		    !has_name(e, m->name))
			r = add(e, m->name, m->ino, m->directory ? DT_DIR : DT_REG);
	}
	return r;
}

static int add_branch(struct entries *e, struct branch *b, const char *path)
{
	struct branch_dir *d;
	struct branch_dirent one;
	int r = branch_dir_open(b, path, &d);

	if (r < 0)
		return r;
	for (uint64_t i = 0; r == 0 && branch_dir_read(d, i, &one) == 1; i++)
		r = add(e, one.name, one.ino, one.type);
	branch_dir_close(d);
	return r;
}

/* What the kernel lists. */
static int add_plain(struct entries *e, int fd)
{
	int own = open_at_how(fd, ".", O_RDONLY | O_DIRECTORY, 0, 0), r = 0;
	struct dirent *one;
	DIR *d;

	if (own < 0)
		return own;
	d = fdopendir(own);
	if (!d) {
		close(own);
		return -ENOMEM;
	}
	while (r == 0 && (one = readdir(d))) {
		if (strcmp(one->d_name, ".") != 0 && strcmp(one->d_name, "..") != 0)
			r = add(e, one->d_name, one->d_ino, one->d_type);
	}
	closedir(d);
	return r;
}

/* FNV-1a with a key; any hash that spreads would do. */
static int64_t position_of(uint64_t key, const char *name)
{
	uint64_t h = 14695981039346656037u ^ key;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 1099511628211u;
	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9u;
	return POS_FIRST + POS_DOTS + (int64_t)((h >> 20) & (POS_MASK >> 1));
}

static int by_position(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->pos != y->pos)
		return x->pos < y->pos ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void sort(struct entries *e, uint64_t key)
{
	for (size_t i = 0; i < e->n; i++) {
		e->list[i].name = e->names + e->list[i].at;
		e->list[i].pos = position_of(key, e->list[i].name);
	}
	if (e->n)
		qsort(e->list, e->n, sizeof(*e->list), by_position);
	for (size_t i = 1; i < e->n; i++) { /* names of one hash */
		if (e->list[i].pos <= e->list[i - 1].pos)
			e->list[i].pos = e->list[i - 1].pos + 1;
	}
}

/* Which directory is to be listed. */
struct place {
	struct stat st; /* as the tree shows it */
	struct branch *branch;
	char path[PATH_MAX];
	ino_t parent;
};

static int entries_make(const struct tree *tr, int fd, const struct place *p, struct entries **ret)
{
	struct entries *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return -ENOMEM;
	atomic_init(&e->refs, 1);
	e->dev = p->st.st_dev;
	e->ino = p->st.st_ino;
	e->generation = p->branch ? branch_generation(p->branch) : 0;
	r = p->branch ? add_branch(e, p->branch, p->path) : add_plain(e, fd);
	if (r == 0)
		r = add_mounts(e, tr->view);
	if (r == 0)
		sort(e, tr->entries->key);
	if (r == 0)
		r = add(e, ".", p->st.st_ino, DT_DIR);
	if (r == 0)
		r = add(e, "..", p->parent, DT_DIR);
	if (r < 0) {
		entries_unref(e);
		return r;
	}
	/* the names may have moved; the two come first */
	for (size_t i = 0; i < e->n; i++)
		e->list[i].name = e->names + e->list[i].at;
	e->list[e->n - 2].pos = POS_FIRST;
	e->list[e->n - 1].pos = POS_FIRST + 1;
	qsort(e->list, e->n, sizeof(*e->list), by_position);
	*ret = e;
	return 0;
}

/* ---- the cache ---- */

/* The kept listing of that directory, and a reference to it; @fresh: only if nothing has changed since it was made. */
static struct entries *cache_find(struct entries_cache *c, const struct place *p, bool fresh)
{
	struct entries *found = NULL;

	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < CACHED && c->kept[i]; i++) {
		struct entries *e = c->kept[i];

		if (e->ino != p->st.st_ino || e->dev != p->st.st_dev)
			continue;
		if (!fresh || (p->branch && e->generation == branch_generation(p->branch)))
			found = e;
		break;
	}
	if (found) /* relaxed: who passes a reference on has one */
		atomic_fetch_add_explicit(&found->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&c->lock);
	return found;
}

static void cache_keep(struct entries_cache *c, struct entries *e)
{
	struct entries *out = NULL;
	unsigned i = 0;

	pthread_mutex_lock(&c->lock);
	while (i < CACHED - 1 && c->kept[i] &&
	       (c->kept[i]->ino != e->ino || c->kept[i]->dev != e->dev))
		i++;
	out = c->kept[i];
	memmove(&c->kept[1], &c->kept[0], i * sizeof(struct entries *));
	c->kept[0] = e;
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&c->lock);
	entries_unref(out);
}

/* ---- looking ---- */

static bool holds_missing_mount(const struct view *v, const struct stat *st)
{
	for (size_t i = 1; i < view_count(v); i++) {
		const struct view_mount *m = view_mount(v, (int)i);

		if (m->missing && m->in_ino == st->st_ino && m->in_dev == st->st_dev)
			return true;
	}
	return false;
}

static ino_t parent_of(int fd, const struct place *p)
{
	char above[PATH_MAX];
	struct branch_entry e;
	struct stat st;
	char *slash;

	if (p->branch && p->path[0]) {
		memcpy(above, p->path, strlen(p->path) + 1);
		slash = strrchr(above, '/');
		*(slash ? slash : above) = '\0';
		if (branch_stat(p->branch, above, &e) == 0 && e.kind != BRANCH_NONE)
			return e.st.st_ino;
	}
	return fstatat(fd, "..", &st, 0) == 0 ? st.st_ino : p->st.st_ino;
}

/* Is the directory in a branch, and has that changed it? Returns 1, 0, or -ENOENT: it was removed. */
static int look_in_branch(const struct tree *tr, int fd, int64_t pos, struct place *p)
{
	struct branch_entry e;
	bool lower = false;
	struct branch *b;
	int m, r;

	if (!view_has_branches(tr->view))
		return 0;
	m = view_locate(tr->view, fd, p->path, sizeof(p->path), &lower);
	if (m < 0)
		return 0; /* gone, or outside: the kernel knows */
	b = view_mount(tr->view, m)->branch;
	if (!b)
		return 0;
	branch_show(b, &p->st);
	r = branch_stat(b, p->path, &e);
	if (r < 0)
		return r;
	if (e.kind == BRANCH_NONE || (e.kind == BRANCH_UPPER &&
				      (e.st.st_ino != p->st.st_ino || e.st.st_dev != p->st.st_dev)))
		return -ENOENT;
	if (lower && (e.kind == BRANCH_LOWER || (pos && (pos & ~POS_MASK) != POS_FIRST)))
		return 0;
	p->branch = b;
	return 1;
}

int entries_get(const struct tree *tr, int fd, int64_t pos, struct entries **ret)
{
	struct place p = { .branch = NULL };
	int r;

	if (fstat(fd, &p.st) < 0)
		return -errno;
	if (!S_ISDIR(p.st.st_mode))
		return 0;
	r = look_in_branch(tr, fd, pos, &p);
	if (r < 0 || (r == 0 && !holds_missing_mount(tr->view, &p.st)))
		return r;
	*ret = cache_find(tr->entries, &p, pos == 0);
	if (*ret)
		return 1;
	p.parent = parent_of(fd, &p);
	r = entries_make(tr, fd, &p, ret);
	if (r < 0)
		return r;
	cache_keep(tr->entries, *ret);
	return 1;
}

/* ---- reading ---- */

/* struct linux_dirent64, and struct linux_dirent, which has its type in the last byte. */
struct record64 {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
} __attribute__((packed));

struct record_old {
	unsigned long ino;
	unsigned long off;
	unsigned short reclen;
	char name[];
} __attribute__((packed));

static size_t record_write(const struct entry *e, char *at, bool old)
{
	size_t n = strlen(e->name) + 1;
	size_t head = old ? sizeof(struct record_old) : sizeof(struct record64);
	size_t length = (head + n + old + 7) & ~(size_t)7;

	if (!at)
		return length;
	memset(at, 0, length);
	if (old) {
		const struct record_old r = { e->ino, (unsigned long)e->pos + 1,
					      (unsigned short)length };

		memcpy(at, &r, sizeof(r));
		at[length - 1] = (char)e->type;
	} else {
		const struct record64 r = { e->ino, e->pos + 1, (uint16_t)length, e->type };

		memcpy(at, &r, sizeof(r));
	}
	memcpy(at + head, e->name, n);
	return length;
}

static size_t first_from(const struct entries *e, int64_t pos)
{
	size_t low = 0, high = e->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (e->list[middle].pos < pos)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

ssize_t entries_read(const struct entries *e, int64_t pos, void *buf, size_t size, bool old,
		     int64_t *ret_pos)
{
	size_t used = 0, i = first_from(e, pos);

	*ret_pos = pos;
	for (; i < e->n; i++) {
		size_t length = record_write(&e->list[i], NULL, old);

		if (used + length > size)
			return used ? (ssize_t)used : -EINVAL;
		record_write(&e->list[i], (char *)buf + used, old);
		used += length;
		*ret_pos = e->list[i].pos + 1;
	}
	return (ssize_t)used;
}
