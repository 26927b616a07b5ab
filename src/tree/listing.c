/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merged listings. What upper/ adds and hides is known from the nodes, so only lower directories are read, without the lock.
 *
 * Names are taken from the topmost layer that has them. With one lower directory the nodes alone say which of its names are taken; with several a
 * set of the names seen so far does.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/openat2.h"
#include "tree/branch_internal.h"

#define READ_BYTES (64u << 10)

/* One entry; in `bytes` at `at`: inode, type, name with its NUL. */
struct branch_dir {
	struct branch *b;
	char *path;
	char *bytes;
	size_t n_bytes, room_bytes;
	size_t *at;
	size_t n, room;
	size_t *seen; /* hash set of entries, their number + 1; only with several layers */
	size_t n_seen;
};

struct packed {
	uint64_t ino;
	uint8_t type;
} __attribute__((packed));

static const char *name_at(const struct branch_dir *d, size_t i)
{
	return d->bytes + d->at[i] + sizeof(struct packed);
}

static int grow_to(void *array_pointer, size_t *room, size_t need, size_t each)
{
	void **array = array_pointer;
	size_t wider = *room ? *room : 64;
	void *p;

	if (need <= *room)
		return 0;
	while (wider < need)
		wider *= 2;
	p = realloc(*array, wider * each);
	if (!p)
		return -ENOMEM;
	*array = p;
	*room = wider;
	return 0;
}

static int add(struct branch_dir *d, const char *name, uint8_t type, uint64_t ino)
{
	const struct packed head = { .ino = ino, .type = type };
	size_t len = strlen(name) + 1;
	int r = grow_to(&d->bytes, &d->room_bytes, d->n_bytes + sizeof(head) + len, 1);

	if (r == 0)
		r = grow_to(&d->at, &d->room, d->n + 1, sizeof(*d->at));
	if (r < 0)
		return r;
	d->at[d->n++] = d->n_bytes;
	memcpy(d->bytes + d->n_bytes, &head, sizeof(head));
	memcpy(d->bytes + d->n_bytes + sizeof(head), name, len);
	d->n_bytes += sizeof(head) + len;
	return 0;
}

/* ---- names seen, when there are several lower layers ---- */

static uint32_t hash_name(const char *name)
{
	uint32_t h = 2166136261u;

	while (*name)
		h = (h ^ (unsigned char)*name++) * 16777619u;
	return h;
}

static size_t *seen_slot(const struct branch_dir *d, const char *name)
{
	size_t i = hash_name(name) & (d->n_seen - 1);

	while (d->seen[i] && strcmp(name_at(d, d->seen[i] - 1), name) != 0)
		i = (i + 1) & (d->n_seen - 1);
	return &d->seen[i];
}

/* All entries so far, whiteouts of lower layers included (DT_WHT). */
static int seen_build(struct branch_dir *d, size_t need)
{
	size_t wider = d->n_seen ? d->n_seen : 256;

	if (need * 2 <= d->n_seen)
		return 0;
	while (wider < need * 2)
		wider *= 2;
	free(d->seen);
	d->seen = calloc(wider, sizeof(*d->seen));
	d->n_seen = d->seen ? wider : 0;
	if (!d->seen)
		return -ENOMEM;
	for (size_t i = 0; i < d->n; i++)
		*seen_slot(d, name_at(d, i)) = i + 1;
	return 0;
}

static int add_seen(struct branch_dir *d, const char *name, uint8_t type, uint64_t ino)
{
	int r = seen_build(d, d->n + 1);
	size_t *slot;

	if (r < 0)
		return r;
	slot = seen_slot(d, name);
	if (*slot)
		return 0;
	r = add(d, name, type, ino);
	if (r == 0)
		*slot = d->n;
	return r;
}

/* ---- reading ---- */

struct kernel_dirent {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static int add_lower(struct branch_dir *d, int fd, const struct kernel_dirent *e, bool several)
{
	uint8_t type = e->type;
	struct stat st;

	if (!strcmp(e->name, ".") || !strcmp(e->name, ".."))
		return 0;
	if ((type == DT_CHR || type == DT_UNKNOWN) &&
	    fstatat(fd, e->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		type = is_whiteout(&st) ? DT_WHT : (uint8_t)IFTODT(st.st_mode);
	if (several)
		return add_seen(d, e->name, type, e->ino);
	return type == DT_WHT ? 0 : add(d, e->name, type, e->ino);
}

static int read_lower(struct branch_dir *d, int fd, bool several)
{
	char *buf = malloc(READ_BYTES);
	long n = buf ? 0 : -1;
	int r = buf ? 0 : -ENOMEM;

	while (r == 0 && (n = syscall(SYS_getdents64, fd, buf, READ_BYTES)) > 0) {
		for (long at = 0; r == 0 && at < n;) {
			const struct kernel_dirent *e = (const void *)(buf + at);

			r = add_lower(d, fd, e, several);
			at += e->reclen;
		}
	}
	if (r == 0 && n < 0)
		r = -errno;
	free(buf);
	return r;
}

/* What the upper directory says of the names that were read: taken by it, or by nothing. */
static void drop_covered(struct branch_dir *d, const struct node *dir)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->n; i++) {
		const char *name = name_at(d, i);
		struct packed head;

		memcpy(&head, d->bytes + d->at[i], sizeof(head));
		if (head.type != DT_WHT &&
		    !(dir && nodes_find(&d->b->nodes, dir, name, strlen(name))))
			d->at[kept++] = d->at[i];
	}
	d->n = kept;
}

static int add_upper(struct branch_dir *d, const struct node *dir)
{
	int r = 0;

	for (const struct node *c = dir->child; r == 0 && c; c = c->next) {
		uint64_t ino = c->ino;
		dev_t dev;

		if (c->type == DT_WHT)
			continue;
		identities_get(&d->b->identities, c->ino, &dev, &ino);
		r = add(d, c->name, c->type, ino);
	}
	return r;
}

/* The directories that merge here, open for reading. */
static int open_layers(struct branch_dir *d, int fds[BRANCH_LOWERS_MAX], size_t *n)
{
	struct branch *b = d->b;
	struct merged v;
	int r;

	branch_rdlock(b);
	r = merged_find_locked(b, d->path, &v);
	if (r == 0 && v.kind == BRANCH_NONE)
		r = -ENOENT;
	if (r == 0 && !S_ISDIR(v.st.st_mode))
		r = -ENOTDIR;
	if (r == 0 && v.kind != BRANCH_LOWER) {
		/* what would be refused on the directory that is shown */
		int fd = openat(b->upper_fd, *d->path ? d->path : ".",
				O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		r = fd < 0 ? -errno : 0;
		if (fd >= 0)
			close(fd);
	}
	if (v.kind == BRANCH_UPPER)
		v.lower.n_dirs = 0;
	for (size_t i = 0; r == 0 && i < v.lower.n_dirs; i++) {
		fds[i] = r = lower_open(b, v.lower.dirs[i], d->path, O_RDONLY | O_DIRECTORY);
		*n += r >= 0;
		r = r < 0 ? r : 0;
	}
	merged_close(&v);
	branch_unlock(b);
	return r;
}

static int layers_open_locked(struct branch *b, const char *path, const struct merged *v,
			      struct branch_layers *l)
{
	int fd;

	if (v->kind == BRANCH_NONE)
		return -ENOENT;
	if (!S_ISDIR(v->st.st_mode))
		return -ENOTDIR;
	l->ino = v->st.st_ino;
	if (v->kind != BRANCH_LOWER) {
		fd = open_beneath(b->upper_fd, path, O_RDONLY | O_DIRECTORY, 0);
		if (fd < 0)
			return fd;
		l->fds[l->n++] = fd;
		l->has_upper = true;
	}
	for (size_t i = 0; v->kind != BRANCH_UPPER && i < v->lower.n_dirs; i++) {
		fd = lower_open(b, v->lower.dirs[i], path, O_RDONLY | O_DIRECTORY);
		if (fd < 0)
			return fd;
		l->fds[l->n++] = fd;
	}
	return 0;
}

static int parent_ino_locked(struct branch *b, const char *path, struct branch_layers *l)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];
	struct merged v;
	int r;

	l->parent_ino = l->ino;
	if (!*path)
		return 0;
	snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) : 0, path);
	r = merged_find_locked(b, parent, &v);
	if (r == 0 && v.kind != BRANCH_NONE)
		l->parent_ino = v.st.st_ino;
	merged_close(&v);
	return r;
}

int branch_layers_open(struct branch *b, const char *path, struct branch_layers *ret)
{
	struct merged v;
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->b = b;
	branch_rdlock(b);
	r = merged_find_locked(b, path, &v);
	if (r == 0)
		r = layers_open_locked(b, path, &v, ret);
	if (r == 0)
		r = parent_ino_locked(b, path, ret);
	merged_close(&v);
	branch_unlock(b);
	if (r < 0)
		branch_layers_close(ret);
	return r;
}

void branch_layers_close(struct branch_layers *l)
{
	while (l->n)
		close(l->fds[--l->n]);
}

uint64_t branch_layers_ino(void *layers, size_t layer, uint64_t ino)
{
	const struct branch_layers *l = layers;
	uint64_t shown;
	dev_t dev;
	bool found;

	if (!l->has_upper || layer > 0)
		return ino;
	branch_rdlock(l->b);
	found = identities_get(&l->b->identities, ino, &dev, &shown);
	branch_unlock(l->b);
	return found ? shown : ino;
}

static int merge(struct branch_dir *d)
{
	struct nodes_walk w;
	int r = 0;

	branch_rdlock(d->b);
	nodes_walk(&d->b->nodes, d->path, &w);
	drop_covered(d, w.node);
	if (w.node && w.node->type == DT_DIR)
		r = add_upper(d, w.node);
	branch_unlock(d->b);
	return r;
}

int branch_dir_rewind(struct branch_dir *d)
{
	int fds[BRANCH_LOWERS_MAX];
	size_t n = 0;
	int r;

	d->n = 0;
	d->n_bytes = 0;
	d->n_seen = 0;
	free(d->seen);
	d->seen = NULL;
	r = open_layers(d, fds, &n);
	for (size_t i = 0; i < n; i++) {
		if (r == 0)
			r = read_lower(d, fds[i], n > 1);
		close(fds[i]);
	}
	free(d->seen);
	d->seen = NULL;
	return r < 0 ? r : merge(d);
}

int branch_dir_open(struct branch *b, const char *path, struct branch_dir **ret)
{
	struct branch_dir *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	d->b = b;
	d->path = strdup(path);
	r = d->path ? branch_dir_rewind(d) : -ENOMEM;
	if (r < 0)
		branch_dir_close(d);
	else
		*ret = d;
	return r;
}

int branch_dir_read(const struct branch_dir *d, uint64_t cookie, struct branch_dirent *ret)
{
	struct packed head;

	if (cookie >= d->n)
		return 0;
	memcpy(&head, d->bytes + d->at[cookie], sizeof(head));
	ret->ino = head.ino;
	ret->type = head.type;
	snprintf(ret->name, sizeof(ret->name), "%s", name_at(d, cookie));
	return 1;
}

struct branch_dir *branch_dir_close(struct branch_dir *d)
{
	if (!d)
		return NULL;
	free(d->path);
	free(d->bytes);
	free(d->at);
	free(d->seen);
	free(d);
	return NULL;
}
