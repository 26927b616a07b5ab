/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/denial_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/fd.h"
#include "tree/view_internal.h"
#include "util/cleanup.h"

#define ATTEMPTS 4u /* to read where a file lies while it is moved */

static const char unknown[] = "";

struct denials *denials_free(struct denials *d)
{
	if (!d)
		return NULL;
	for (size_t i = 0; i < d->n; i++) {
		free(d->list[i].at);
		if (d->list[i].fd >= 0)
			close(d->list[i].fd);
		if (d->list[i].in_fd >= 0)
			close(d->list[i].in_fd);
	}
	free(d->list);
	free(d);
	return NULL;
}

/* ---- one file, one name ---- */

static bool is_it(const struct denial *d, const struct stat *st)
{
	return d->fd >= 0 && d->ino == st->st_ino && d->dev == st->st_dev;
}

static bool is_in(const struct denial *d, const struct stat *dir)
{
	return d->in_fd >= 0 && d->in_ino == dir->st_ino && d->in_dev == dir->st_dev;
}

const char *denial_of(const struct view *v, const struct stat *st)
{
	const struct denials *all = v->denials;

	for (size_t i = 0; all && i < all->n; i++) {
		if (is_it(&all->list[i], st))
			return all->list[i].at;
	}
	return NULL;
}

uint64_t denial_name_bit(const char *name, size_t n)
{
	return UINT64_C(1) << ((n * 31 + (unsigned char)name[0] * 7 + (unsigned char)name[n - 1]) %
			       64);
}

static bool is_name(const struct denials *all, const char *name, size_t n)
{
	if (!(all->names & denial_name_bit(name, n)))
		return false;
	for (size_t i = 0; i < all->n; i++) {
		if (!strncmp(all->list[i].name, name, n) && !all->list[i].name[n])
			return true;
	}
	return false;
}

/* The first component of @path that is the name of a denial; NULL: none. */
static const char *denial_first_name(const struct view *v, const char *path)
{
	while (v->denials && *path) {
		size_t n = strcspn(path, "/");

		if (n && is_name(v->denials, path, n))
			return path;
		path += n + (path[n] == '/');
	}
	return NULL;
}

/* Is @dir the path of the directory that holds @d? */
static bool is_parent_path(const struct denial *d, const char *dir)
{
	size_t n = (size_t)(d->name - 1 - d->at);

	return n ? !strncmp(d->at, dir, n) && !dir[n] : !strcmp(dir, "/");
}

const char *denial_of_name(const struct view *v, int dir, const struct stat *st, const char *name)
{
	const struct denials *all = v->denials;
	char path[PATH_MAX];
	bool known = false;

	if (!all || !is_name(all, name, strlen(name)))
		return NULL;
	for (size_t i = 0; i < all->n; i++) {
		const struct denial *d = &all->list[i];

		if (strcmp(d->name, name) != 0)
			continue;
		if (is_in(d, st))
			return d->at;
		if (!known && view_path(v, dir, path, sizeof(path)) < 0)
			path[0] = '\0';
		known = true;
		if (is_parent_path(d, path))
			return d->at;
	}
	return NULL;
}

/* ---- where a file lies ---- */

/* Nothing above it is looked at: what is mounted lies below no denial, and so do the directories that a branch consists of. */
static bool is_top(const struct view *v, const struct stat *st)
{
	for (size_t i = 0; i < v->n; i++) {
		if (v->mounts[i].ino == st->st_ino && v->mounts[i].dev == st->st_dev)
			return true;
	}
	for (size_t i = 0; i < v->n_tops; i++) {
		if (v->tops[i].ino == st->st_ino && v->tops[i].dev == st->st_dev)
			return true;
	}
	return false;
}

/* Is @below, which lies in directory @dir, what has a denied name there by now? */
static const char *denial_of_entry(const struct denials *all, const struct stat *dir,
				   const struct stat *below)
{
	struct stat st;

	for (size_t i = 0; i < all->n; i++) {
		const struct denial *d = &all->list[i];

		if (is_in(d, dir) && fstatat(d->in_fd, d->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_ino == below->st_ino && st.st_dev == below->st_dev)
			return d->at;
	}
	return NULL;
}

static const char *above_directory(const struct view *v, int dir, bool all)
{
	char up[PATH_MAX] = "";
	struct stat below, st;
	const char *found;

	if (fstat(dir, &st) < 0)
		return unknown;
	for (size_t n = 0; n + 4 < sizeof(up); n += 3) {
		found = denial_of(v, &st);
		if (!found && n)
			found = denial_of_entry(v->denials, &st, &below);
		if (found || (!all && is_top(v, &st)))
			return found;
		below = st;
		memcpy(up + n, "../", 4);
		/* one step more at each time: what lies above is not moved away while something below it is denied */
		if (fstatat(dir, up, &st, 0) < 0)
			return unknown;
		if (st.st_ino == below.st_ino && st.st_dev == below.st_dev)
			return NULL;
	}
	return unknown;
}

/* The directory of @path, in which the file @st must be found, unless it was removed. */
static int open_holder(const char *path, const struct stat *st)
{
	char holder[PATH_MAX];
	struct stat there;
	char *slash;
	int dir;

	strcpy(holder, path);
	slash = strrchr(holder, '/');
	*slash = '\0';
	dir = open(slash == holder ? "/" : holder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || !st->st_nlink)
		return dir;
	if (fstatat(dir, slash + 1, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	    there.st_ino == st->st_ino && there.st_dev == st->st_dev)
		return dir;
	close(dir);
	return -1;
}

/* By its path: where @fd is a file, which knows no way up. A directory may be exchanged while the path is read, so it counts when the file is found in it. */
static const char *above_file(const struct view *v, int fd, bool all)
{
	char path[PATH_MAX] = "";
	struct stat st, in;

	for (unsigned i = 0; i < ATTEMPTS; i++) {
		_cleanup_close_ int dir = -1;
		const char *found;

		if (fd_path(fd, path, sizeof(path)) < 0 || fstat(fd, &st) < 0)
			return unknown;
		if (path[0] != '/')
			return NULL; /* it lies nowhere: a pipe, a socket */
		dir = open_holder(path, &st);
		if (dir < 0 && !st.st_nlink)
			return NULL;
		if (dir < 0)
			continue;
		found = fstat(dir, &in) < 0 ? unknown : denial_of_entry(v->denials, &in, &st);
		return found ? found : above_directory(v, dir, all);
	}
	return v->denials->folded || denial_first_name(v, path) ? unknown : NULL;
}

const char *denial_on_the_way_up(const struct view *v, int fd, bool all)
{
	const char *found = unknown;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return unknown;
	if (S_ISDIR(st.st_mode))
		found = above_directory(v, fd, all);
	/* a directory that can't be searched, or lies below one, has no way up either */
	return found == unknown ? above_file(v, fd, all) : found;
}

/* What was not there at first is known by its path. */
static const char *denial_of_path(const struct view *v, int fd)
{
	const struct denials *all = v->denials;
	char path[PATH_MAX];

	if (!all->has_missing || view_path(v, fd, path, sizeof(path)) < 0)
		return NULL;
	for (size_t i = 0; i < all->n; i++) {
		if (view_prefix(path, all->list[i].at))
			return all->list[i].at;
	}
	return NULL;
}

static uint64_t clean_key(const struct stat *st)
{
	return st->st_ino >> 32 == 0 && st->st_dev >> 32 == 0
		       ? (uint64_t)st->st_dev << 32 | st->st_ino
		       : 0;
}

static bool is_clean(const struct denials *all, const struct stat *st)
{
	const uint64_t key = clean_key(st);

	return key &&
	       atomic_load_explicit(&all->clean[key % DENIAL_CLEAN], memory_order_relaxed) == key;
}

static void set_clean(struct denials *all, const struct stat *st)
{
	const uint64_t key = clean_key(st);

	if (key)
		atomic_store_explicit(&all->clean[key % DENIAL_CLEAN], key, memory_order_relaxed);
}

void denial_found_clean(const struct view *v, const struct stat *st)
{
	if (v->denials)
		set_clean(v->denials, st);
}

const char *denial_above(const struct view *v, int fd)
{
	const char *found;
	struct stat st;

	if (!v->denials)
		return NULL;
	if (fstat(fd, &st) < 0)
		return unknown;
	found = denial_of(v, &st);
	if (found || is_clean(v->denials, &st))
		return found;
	found = denial_of_path(v, fd);
	if (!found && v->denials->has_directories)
		found = denial_on_the_way_up(v, fd, false);
	if (!found)
		set_clean(v->denials, &st);
	return found;
}

const char *denial_beyond(const struct view *v, int dir, const char *name)
{
	const struct denials *all = v->denials;
	char path[PATH_MAX + NAME_MAX + 2];
	ssize_t n;

	if (!all || !all->has_missing)
		return NULL;
	n = view_path(v, dir, path, PATH_MAX);
	if (n < 0)
		return NULL;
	snprintf(path + n, sizeof(path) - (size_t)n, "%s%s", n == 1 ? "" : "/", name);
	for (size_t i = 0; i < all->n; i++) {
		if (all->list[i].fd < 0 && view_prefix(all->list[i].at, path))
			return all->list[i].at;
	}
	return NULL;
}

bool view_has_denials(const struct view *v)
{
	return v->denials;
}
