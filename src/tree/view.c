/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/view_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"
#include "tree/branch.h"
#include "tree/denial.h"
#include "util/clock.h"

size_t view_count(const struct view *v)
{
	return v->n;
}

const struct view_mount *view_mount(const struct view *v, int index)
{
	return index < 0 ? NULL : &v->mounts[index];
}

struct view *view_free(struct view *v)
{
	if (!v)
		return NULL;
	for (size_t i = 0; i < v->n; i++) {
		struct view_mount *m = &v->mounts[i];

		free(m->at);
		free(m->host);
		free(m->in_host);
		free(m->upper);
		free(m->index);
		for (size_t k = 0; k < m->n_lowers; k++)
			free(m->lowers[k]);
		free(m->lowers);
		if (m->fd >= 0)
			close(m->fd);
		if (m->in_fd >= 0)
			close(m->in_fd);
	}
	free(v->mounts);
	if (v->links >= 0)
		close(v->links);
	free(v->moves);
	free(v->above);
	free(v->tops);
	denials_free(v->denials);
	free(v);
	return NULL;
}

/* ---- looking up ---- */

int view_cross(const struct view *v, dev_t dev, ino_t ino, const char *name)
{
	for (size_t i = v->n; i-- > 1;) {
		const struct view_mount *m = &v->mounts[i];

		if (m->in_ino == ino && m->in_dev == dev && !strcmp(m->name, name))
			return (int)i;
	}
	return -1;
}

bool view_leads_to_mounts(const struct view *v, dev_t dev, ino_t ino)
{
	for (size_t i = 0; i < v->n_above; i++) {
		if (v->above[i].ino == ino && v->above[i].dev == dev)
			return true;
	}
	return false;
}

/* ---- what was renamed ---- */

/* How long a rename that nobody told us of may go unnoticed. */
#define LOOK_AFTER_NS 5000000u

static bool lies_elsewhere(const struct view *v, const struct view_mount *m)
{
	char host[PATH_MAX];

	return fd_path_by(v->links, m->in_fd, host, sizeof(host)) < 0 ||
	       strcmp(host, m->in_host) != 0;
}

/* Is each directory that holds a mount point where it was? Mounts of one directory mostly follow each other. */
static void look_for_moves(const struct view *v)
{
	const char *last = "";

	for (size_t i = 1; i < v->n; i++) {
		const struct view_mount *m = &v->mounts[i];

		if (!m->in_host || !strcmp(m->in_host, last))
			continue;
		last = m->in_host;
		if (lies_elsewhere(v, m))
			atomic_store_explicit(&v->moves->elsewhere, true, memory_order_relaxed);
	}
}

bool view_has_moved(const struct view *v)
{
	struct view_moves *moves = v->moves;
	uint64_t now, looked;

	if (atomic_load_explicit(&moves->renamed, memory_order_relaxed) ||
	    atomic_load_explicit(&moves->elsewhere, memory_order_relaxed))
		return true;
	if (v->n < 2)
		return false;
	now = clock_coarse_ns();
	looked = atomic_load_explicit(&moves->looked_ns, memory_order_relaxed);
	if (now - looked < LOOK_AFTER_NS ||
	    !atomic_compare_exchange_strong_explicit(&moves->looked_ns, &looked, now,
						     memory_order_relaxed, memory_order_relaxed))
		return false;
	look_for_moves(v);
	return atomic_load_explicit(&moves->elsewhere, memory_order_relaxed);
}

bool view_rename_begins(const struct view *v, dev_t dev, ino_t ino)
{
	if (!view_leads_to_mounts(v, dev, ino))
		return false;
	atomic_fetch_add_explicit(&v->moves->renamed, 1, memory_order_relaxed);
	return true;
}

void view_rename_failed(const struct view *v)
{
	atomic_fetch_sub_explicit(&v->moves->renamed, 1, memory_order_relaxed);
}

size_t view_prefix(const char *path, const char *top)
{
	size_t n = strlen(top);

	if (n == 1)
		return path[0] == '/';
	return !strncmp(path, top, n) && (path[n] == '/' || !path[n]) ? n : 0;
}

/* Which part of a mount a path of the host lies in. */
enum part {
	PART_HOST,
	PART_LOWER,
	PART_UPPER,
	PART_INDEX
};

/* The longest of the places that @m's files come from which @host lies in: its length, or 0. */
static size_t part_of(const struct view_mount *m, const char *host, enum part *ret)
{
	const struct {
		const char *top;
		enum part part;
	} parts[] = { { m->host, m->branch ? PART_LOWER : PART_HOST },
		      { m->upper, PART_UPPER },
		      { m->index, PART_INDEX } };
	size_t best = 0, n;

	for (size_t k = 0; k < sizeof(parts) / sizeof(parts[0]) && parts[k].top; k++) {
		n = view_prefix(host, parts[k].top);
		if (n > best) {
			best = n;
			*ret = parts[k].part;
		}
	}
	for (size_t k = 0; k < m->n_lowers; k++) {
		n = view_prefix(host, m->lowers[k]);
		if (n > best) {
			best = n;
			*ret = PART_LOWER;
		}
	}
	return best;
}

static int mount_by_host(const struct view *v, const char *host, size_t *ret_length,
			 enum part *ret_part)
{
	size_t best = 0;
	int found = -1;

	*ret_part = PART_HOST;
	for (size_t i = 0; i < v->n; i++) {
		enum part part = PART_HOST;
		size_t n = part_of(&v->mounts[i], host, &part);

		if (n <= best)
			continue;
		best = n;
		found = (int)i;
		*ret_part = part;
	}
	*ret_length = best == 1 ? 0 : best;
	return found;
}

bool view_is_changed(const struct view *v)
{
	for (size_t i = 0; v->has_branches && i < v->n; i++) {
		if (v->mounts[i].branch && branch_generation(v->mounts[i].branch))
			return true;
	}
	return false;
}

bool view_has_missing_mounts(const struct view *v)
{
	return v->has_missing;
}

bool view_has_branches(const struct view *v)
{
	return v->has_branches;
}

int view_mount_of(const struct view *v, int fd)
{
	char host[PATH_MAX];
	enum part part;
	size_t n;

	return fd_path_above(v->links, fd, host, sizeof(host)) < 0
		       ? -1
		       : mount_by_host(v, host, &n, &part);
}

bool view_mount_has(const struct view *v, int index, int fd)
{
	char host[PATH_MAX];

	return fd_path_by(v->links, fd, host, sizeof(host)) >= 0 &&
	       view_prefix(host, v->mounts[index].host);
}

/* The kernel marks the path of what was removed. */
static bool has_mark(const char *host, size_t n)
{
	static const char mark[] = " (deleted)";
	const size_t m = sizeof(mark) - 1;

	return n > m && !strcmp(host + n - m, mark);
}

static bool is_removed(int fd, const char *host, size_t n)
{
	struct stat st;

	return has_mark(host, n) && fstat(fd, &st) == 0 && !st.st_nlink;
}

int view_locate(const struct view *v, int fd, char *buf, size_t size, bool *ret_lower)
{
	char host[PATH_MAX];
	ssize_t n = fd_path_by(v->links, fd, host, sizeof(host));
	const char *rest;
	size_t length;
	enum part part;
	int m;

	if (ret_lower)
		*ret_lower = false;
	if (n < 0)
		return (int)n;
	m = mount_by_host(v, host, &length, &part);
	if (ret_lower)
		*ret_lower = part == PART_LOWER;
	if (part == PART_INDEX || is_removed(fd, host, (size_t)n))
		return -ENOENT;
	if (m < 0)
		return -EXDEV;
	rest = host + length;
	rest += *rest == '/';
	if (strlen(rest) >= size)
		return -ENAMETOOLONG;
	strcpy(buf, rest);
	return m;
}

/* Where mount @m is by now. */
static ssize_t mount_path(const struct view *v, const struct view_mount *m, char *buf, size_t size)
{
	ssize_t n = 0;
	int more;

	if (m->in_fd < 0 || !view_has_moved(v)) {
		n = snprintf(buf, size, "%s", m->at);
		return (size_t)n < size ? n : -ENAMETOOLONG;
	}
	n = view_path(v, m->in_fd, buf, size);
	if (n < 0)
		return n;
	n -= n == 1; /* "/" */
	more = snprintf(buf + n, size - (size_t)n, "/%s", m->name);
	return (size_t)(n + more) < size ? n + more : -ENAMETOOLONG;
}

/* @rest, without leading slash, in mount @m. */
static ssize_t path_in(const struct view *v, int m, const char *rest, char *buf, size_t size)
{
	char at[PATH_MAX];
	ssize_t n = mount_path(v, &v->mounts[m], at, sizeof(at));

	if (n < 0)
		return n;
	if (n == 1 && *rest) /* "/" */
		*at = '\0';
	n = snprintf(buf, size, "%s%s%s", at, *rest ? "/" : "", rest);
	return (size_t)n < size ? n : -ENAMETOOLONG;
}

ssize_t view_path(const struct view *v, int fd, char *buf, size_t size)
{
	char rest[PATH_MAX];
	int m = view_locate(v, fd, rest, sizeof(rest), NULL);

	return m < 0 ? m : path_in(v, m, rest, buf, size);
}

ssize_t view_path_of_host(const struct view *v, const char *host, char *buf, size_t size)
{
	size_t length;
	enum part part;
	int m = mount_by_host(v, host, &length, &part);

	/* below nothing but the host's root: what has no place in a tree has such names too */
	if (m < 0 || (!length && has_mark(host, strlen(host))))
		return -EXDEV;
	if (part == PART_INDEX)
		return -ENOENT;
	return path_in(v, m, host + length + (host[length] == '/'), buf, size);
}

bool view_is_below(const struct view *v, int fd, int top)
{
	char path[PATH_MAX], base[PATH_MAX];

	return view_path(v, fd, path, sizeof(path)) > 0 &&
	       view_path(v, top, base, sizeof(base)) > 0 && view_prefix(path, base);
}

int view_split(const struct view *v, const char *path, const char **ret_rest)
{
	size_t best = 0;
	int found = 0;

	for (size_t i = 0; i < v->n; i++) {
		size_t n = view_prefix(path, v->mounts[i].at);

		if (n >= best) {
			best = n;
			found = (int)i;
		}
	}
	*ret_rest = path + best + strspn(path + best, "/");
	return found;
}
