/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tree/dirents.h"
#include "tree/tree.h"

/*
 * Added to our positions, the last of which is OURS itself. The kernel's own are small (tmpfs, xfs) or a hash in the upper half of 63 bits (ext4), which lies here once in two million times.
 */
#define OURS (INT64_C(1) << DIRENTS_POSITION_BITS)

static bool is_ours(int64_t pos)
{
	return pos >= OURS && pos <= 2 * OURS;
}

/* ---- which ---- */

/* Is the directory in a branch, and has that changed it? Returns 1, 0, or -ENOENT. */
static int differs_in_branch(const struct tree *tr, int fd, int64_t pos, struct list_place *p)
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
	if (lower && branch_is_unchanged(b, p->path))
		return 0;
	branch_show(b, &p->st);
	r = branch_stat(b, p->path, &e);
	if (r < 0)
		return r;
	if (e.kind == BRANCH_NONE || (e.kind == BRANCH_UPPER &&
				      (e.st.st_ino != p->st.st_ino || e.st.st_dev != p->st.st_dev)))
		return -ENOENT;
	if (lower && !branch_merges_lowers(b) && (e.kind == BRANCH_LOWER || (pos && !is_ours(pos))))
		return 0;
	p->branch = b;
	return 1;
}

static bool holds(const struct view_mount *m, const struct stat *st)
{
	return m->missing && m->in_ino == st->st_ino && m->in_dev == st->st_dev;
}

static bool holds_missing_mount(const struct view *v, const struct stat *st)
{
	for (size_t i = 1; i < view_count(v); i++) {
		if (holds(view_mount(v, (int)i), st))
			return true;
	}
	return false;
}

int list_differs(const struct tree *tr, int fd, int64_t pos, struct list_place *p)
{
	int r;

	p->branch = NULL;
	if (fstat(fd, &p->st) < 0)
		return -errno;
	if (!S_ISDIR(p->st.st_mode))
		return 0;
	r = differs_in_branch(tr, fd, pos, p);
	return r ? r : holds_missing_mount(tr->view, &p->st);
}

/* ---- reading ---- */

/* The mount points that @p has no entry for; the caller's. NULL: memory is short. */
static struct dirents_extra *extras_of(const struct view *v, const struct list_place *p,
				       size_t *ret_n)
{
	struct dirents_extra *list = calloc(view_count(v), sizeof(*list));
	size_t n = 0;

	for (size_t i = 1; list && i < view_count(v); i++) {
		const struct view_mount *m = view_mount(v, (int)i);

		if (holds(m, &p->st))
			list[n++] = (struct dirents_extra){ m->name, m->ino,
							    m->directory ? DT_DIR : DT_REG };
	}
	*ret_n = n;
	return list;
}

/* Our positions in place of those that dirents counts. */
static void shift(void *buf, ssize_t n)
{
	char *at = buf;

	while (at < (char *)buf + n) {
		int64_t off; /* in both kinds of record */
		uint16_t length;

		memcpy(&off, at + 8, sizeof(off));
		memcpy(&length, at + 16, sizeof(length));
		off += OURS;
		memcpy(at + 8, &off, sizeof(off));
		at += length;
	}
}

/* From the layers of @s, which is complete but for the extras. */
static ssize_t read_source(const struct tree *tr, struct dirents_source *s,
			   const struct list_place *p, int64_t *pos, void *buf, size_t size)
{
	struct dirents_extra *extras = extras_of(tr->view, p, &s->n_extras);
	int64_t at = is_ours(*pos) ? *pos - OURS : 0;
	ssize_t n;

	if (!extras)
		return -ENOMEM;
	s->extras = extras;
	n = dirents_read(tr->dirents, s, &at, buf, size);
	free(extras);
	if (n > 0) {
		shift(buf, n);
		*pos = at + OURS;
	}
	return n;
}

ssize_t list_read(const struct tree *tr, int fd, const struct list_place *p, int64_t *pos,
		  void *buf, size_t size, bool old)
{
	struct dirents_source s = { .old = old };
	struct branch_layers l;
	struct stat up;
	uint64_t version;
	ssize_t n;

	if (!p->branch) {
		s.layers = &fd;
		s.n_layers = 1;
		s.self_ino = p->st.st_ino;
		s.parent_ino = fstatat(fd, "..", &up, 0) == 0 ? up.st_ino : p->st.st_ino;
		return read_source(tr, &s, p, pos, buf, size);
	}
	version = branch_generation(p->branch); /* before it is looked at */
	n = branch_layers_open(p->branch, p->path, O_RDONLY, &l);
	if (n < 0)
		return n;
	s = branch_layers_source(&l);
	s.version = version;
	s.old = old;
	n = read_source(tr, &s, p, pos, buf, size);
	branch_layers_close(&l);
	return n;
}
