/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "util/cleanup.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))
#define SWEEP_MAX 64u /* a start looks at that many neighbours at most */
#define ATTEMPTS 8u   /* somebody's sweep may take a new directory before it is locked */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	remove(path); /* what can't be removed stays, and so does what is above it */
	return 0;
}

static void remove_all(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static bool can_use(const char *dir, enum private_use use)
{
	struct statvfs fs;

	if (access(dir, W_OK | X_OK) < 0)
		return false;
	return use != PRIVATE_PROGRAMS || (statvfs(dir, &fs) == 0 && !(fs.f_flag & ST_NOEXEC));
}

/* The directory at @path, locked, or -errno: -EAGAIN somebody else has it. */
static int lock(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st, there;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || lstat(path, &there) < 0)
		return -errno;
	if (st.st_ino != there.st_ino || st.st_dev != there.st_dev)
		return -EAGAIN;
	return TAKE_FD(fd);
}

/* Is @path a directory of ours that nobody else can change? */
static bool is_ours(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       !(st.st_mode & 077);
}

/* Remove what was left in @parent by processes that are gone. */
static void sweep(const char *parent)
{
	DIR *d = opendir(parent);
	struct dirent *e;

	if (!d)
		return;
	for (unsigned n = 0; n < SWEEP_MAX && (e = readdir(d));) {
		char path[PATH_MAX];
		int fd;

		if (e->d_name[0] == '.' ||
		    snprintf(path, sizeof(path), "%s/%s", parent, e->d_name) >= (int)sizeof(path))
			continue;
		n++;
		fd = lock(path);
		if (fd < 0)
			continue;
		remove_all(path);
		close(fd);
	}
	closedir(d);
}

/* Can a file there be leased, as what is executed must be? Not on network file systems. */
static bool can_lease(int dir)
{
	_cleanup_close_ int fd = openat(dir, "lease", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool can = fd >= 0 && fcntl(fd, F_SETLEASE, F_WRLCK) == 0;

	if (fd >= 0)
		unlinkat(dir, "lease", 0);
	return can;
}

static int make_in(const char *parent, enum private_use use, struct private_dir *ret)
{
	for (unsigned i = 0; i < ATTEMPTS; i++) {
		char *path;

		/* whoever removes the last one removes the parent too */
		if (mkdir(parent, 0700) < 0 && errno != EEXIST)
			return -errno;
		if (!is_ours(parent))
			return -EACCES;
		if (asprintf(&path, "%s/XXXXXX", parent) < 0)
			return -ENOMEM;
		ret->fd = mkdtemp(path) ? lock(path) : -errno;
		if (ret->fd >= 0 && (use != PRIVATE_PROGRAMS || can_lease(ret->fd))) {
			ret->path = path;
			return 0;
		}
		if (ret->fd >= 0) {
			rmdir(path);
			close(ret->fd);
			ret->fd = -ENOTSUP;
		}
		free(path);
		if (ret->fd != -EAGAIN && ret->fd != -ENOENT)
			return ret->fd;
	}
	return -EAGAIN;
}

/*
 * Best where no command is granted writing by default: whoever may write there could change what another sandbox of the same user executes.
 */
int private_dir_make(enum private_use use, struct private_dir *ret)
{
	const char *home = getenv("HOME");
	char cache[PATH_MAX] = "";
	const char *const places[] = { getenv("XDG_RUNTIME_DIR"),
				       use == PRIVATE_LISTINGS ? "/dev/shm" : NULL,
				       getenv("XDG_CACHE_HOME"),
				       cache,
				       getenv("TMPDIR"),
				       "/tmp",
				       "/var/tmp",
				       "/dev/shm" };

	if (home && snprintf(cache, sizeof(cache), "%s/.cache", home) >= (int)sizeof(cache))
		cache[0] = '\0';
	*ret = (struct private_dir){ .fd = -1 };
	for (size_t i = 0; i < N_OF(places); i++) {
		char parent[PATH_MAX];
		int r;

		if (!places[i] || places[i][0] != '/' || !can_use(places[i], use))
			continue;
		if (snprintf(parent, sizeof(parent), "%s/sluice-%u", places[i],
			     (unsigned)geteuid()) >= (int)sizeof(parent))
			continue;
		sweep(parent);
		r = make_in(parent, use, ret);
		if (r == 0 || r == -ENOMEM)
			return r;
	}
	return -EACCES;
}

void private_dir_remove(struct private_dir *d)
{
	char *slash;

	if (!d->path)
		return;
	remove_all(d->path);
	slash = strrchr(d->path, '/');
	*slash = '\0';
	rmdir(d->path); /* as long as it is empty */
	close(d->fd);
	free(d->path);
	d->path = NULL;
}
