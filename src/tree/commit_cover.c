/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conflicts: is what the lower tree has at a path still what the path covered when it was changed first?
 */
#define _GNU_SOURCE
#include "tree/commit_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/grow.h"

void cover_add(void *commit, const char *path, const struct covered *was)
{
	struct commit *c = commit;
	struct cover *grown = grow_list(c->covers, c->n_covers, &c->room_covers, sizeof(*grown));
	char *copy;

	if (!grown) {
		c->no_memory = true;
		return;
	}
	c->covers = grown;
	copy = strdup(path);
	if (!copy) {
		c->no_memory = true;
		return;
	}
	c->covers[c->n_covers] = (struct cover){ .path = copy, .was = *was, .order = c->n_covers };
	c->n_covers++;
}

static int by_path(const void *x, const void *y)
{
	const struct cover *a = x, *b = y;
	int r = strcmp(a->path, b->path);

	return r ? r : a->order < b->order ? -1 : a->order > b->order;
}

int cover_ready(struct commit *c)
{
	if (c->n_covers)
		qsort(c->covers, c->n_covers, sizeof(*c->covers), by_path);
	return c->no_memory ? -ENOMEM : 0;
}

void cover_fini(struct commit *c)
{
	for (size_t i = 0; i < c->n_covers; i++)
		free(c->covers[i].path);
	free(c->covers);
}

static const struct covered *find_cover(const struct commit *c, const char *path)
{
	size_t low = 0, high = c->n_covers;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(c->covers[mid].path, path) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low && !strcmp(c->covers[low - 1].path, path) ? &c->covers[low - 1].was : NULL;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_as_covered(const struct covered *was, const struct stat *now)
{
	if (was->ino != now->st_ino || ((was->mode ^ now->st_mode) & S_IFMT) ||
	    !same_time(&was->mtime, &now->st_mtim))
		return false;
	if (S_ISDIR(now->st_mode))
		return true;
	/* committing another of its names changes an inode's ctime */
	return was->size == (uint64_t)now->st_size &&
	       (was->nlink > 1 || same_time(&was->ctime, &now->st_ctim));
}

bool is_replaced(const struct commit *c, const char *path)
{
	size_t n = c->replaced ? strlen(c->replaced) : 0;

	return n && !strncmp(path, c->replaced, n) && path[n] == '/';
}

static bool is_replacement(const struct covered *was)
{
	return was->ino == 0 && S_ISDIR(was->mode);
}

int cover_replace(struct commit *c, const char *path)
{
	const struct covered mark = { .mode = S_IFDIR };

	return covered_append(c->b, path, &mark);
}

/* By a commit before this one. */
static bool was_replaced(const struct commit *c, const char *path)
{
	char prefix[PATH_MAX];

	for (const char *at = strchr(path, '/'); at; at = strchr(at + 1, '/')) {
		const struct covered *was;

		snprintf(prefix, sizeof(prefix), "%.*s", (int)(at - path), path);
		was = find_cover(c, prefix);
		if (was && is_replacement(was))
			return true;
	}
	return false;
}

bool is_conflict(const struct commit *c, const struct change_item *i, const struct lower_hit *hit)
{
	const struct covered *was = find_cover(c, i->path);

	if (i->kind != BRANCH_DELETED && S_ISDIR(i->st.st_mode) && !i->opaque && hit->n_dirs)
		return false; /* two directories merge */
	if (hit->fd < 0 && (is_replaced(c, i->path) || (c->resumed && was_replaced(c, i->path))))
		return false;
	if (hit->fd < 0) /* gone: as wished, or a file that nobody hid */
		return was && i->kind != BRANCH_DELETED && !S_ISDIR(was->mode) && was->upper_ino &&
		       !S_ISDIR(i->st.st_mode);
	if (was && is_replacement(was))
		return false;
	/* below a replaced directory there is no record of each; the directory's own was compared */
	if (!was)
		return i->kind != BRANCH_DELETED;
	/* a directory that an earlier commit was taking away, for nothing or for a file */
	if (c->resumed && hit->n_dirs && was->ino == hit->st.st_ino)
		return false;
	return !is_as_covered(was, &hit->st);
}

bool is_copied(const struct commit *c, const struct change_item *i, const struct lower_hit *hit)
{
	const struct stat *is = &i->st, *copy = &hit->st;
	const struct covered *was = find_cover(c, i->path);

	if (was && hit->fd >= 0 && is_as_covered(was, copy))
		return false;
	return c->resumed && i->kind != BRANCH_DELETED && hit->fd >= 0 && !S_ISDIR(is->st_mode) &&
	       is->st_dev != copy->st_dev && is->st_mode == copy->st_mode &&
	       (geteuid() != 0 || !owner_differs(is, copy)) && is->st_size == copy->st_size &&
	       same_time(&is->st_mtim, &copy->st_mtim);
}
