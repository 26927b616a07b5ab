/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sys/dir.h"
#include "tree/remove.h"
#include "util/cleanup.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))
#define SWEEP_MAX 64u /* a start looks at that many neighbours at most */
#define ATTEMPTS 8u   /* somebody's sweep may take a new directory before it is locked */
#define NAME_BYTES 16u

static bool can_use(const char *dir, enum private_use use)
{
	struct statvfs fs;

	if (access(dir, W_OK | X_OK) < 0)
		return false;
	return use != PRIVATE_PROGRAMS || (statvfs(dir, &fs) == 0 && !(fs.f_flag & ST_NOEXEC));
}

/*
 * The directory that holds ours, which nobody else can change. Not a link: a command that may write where it is would send us elsewhere, to remove there what is not locked.
 */
static int parent_open(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return st.st_uid == geteuid() && !(st.st_mode & 077) ? TAKE_FD(fd) : -EACCES;
}

/* The directory @name, locked, or -errno: -EAGAIN somebody else has it. */
static int lock(int parent, const char *name)
{
	_cleanup_close_ int fd =
		openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st, there;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || fstatat(parent, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (st.st_ino != there.st_ino || st.st_dev != there.st_dev)
		return -EAGAIN;
	return TAKE_FD(fd);
}

/* Remove what was left in @parent by processes that are gone. */
static void sweep(int parent)
{
	const struct dirent *e;
	DIR *d;

	if (dir_open(parent, ".", 0, &d) < 0)
		return;
	for (unsigned n = 0; n < SWEEP_MAX && (e = dir_next(d)); n++) {
		int fd = lock(parent, e->d_name);

		if (fd < 0)
			continue;
		remove_tree(parent, e->d_name);
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

/* A new directory in @parent, locked. */
static int make_locked(int parent, char name[NAME_BYTES])
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) < 0)
		return -errno;
	snprintf(name, NAME_BYTES, "%012" PRIx64, random >> 16);
	if (mkdirat(parent, name, 0700) < 0)
		return errno == EEXIST ? -EAGAIN : -errno;
	return lock(parent, name);
}

/* One that is fit for @use; its path is @path of the parent and a name. */
static int make_at(int parent, const char *path, enum private_use use, struct private_dir *ret)
{
	char name[NAME_BYTES];
	int fd = make_locked(parent, name);

	if (fd < 0)
		return fd;
	if (use == PRIVATE_PROGRAMS && !can_lease(fd)) {
		unlinkat(parent, name, AT_REMOVEDIR);
		close(fd);
		return -ENOTSUP;
	}
	if (asprintf(&ret->path, "%s/%s", path, name) < 0) {
		ret->path = NULL;
		unlinkat(parent, name, AT_REMOVEDIR);
		close(fd);
		return -ENOMEM;
	}
	ret->fd = fd;
	return 0;
}

static int make_in(const char *path, enum private_use use, struct private_dir *ret)
{
	int r = -EAGAIN;

	for (unsigned i = 0; i < ATTEMPTS && (r == -EAGAIN || r == -ENOENT); i++) {
		int parent;

		/* whoever removes the last one removes the parent too */
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return -errno;
		parent = r = parent_open(path);
		if (r < 0)
			continue;
		if (i == 0)
			sweep(parent);
		r = make_at(parent, path, use, ret);
		if (r == 0)
			ret->parent = parent;
		else
			close(parent);
	}
	return r;
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
	*ret = (struct private_dir){ .fd = -1, .parent = -1 };
	for (size_t i = 0; i < N_OF(places); i++) {
		char parent[PATH_MAX];
		int r;

		if (!places[i] || places[i][0] != '/' || !can_use(places[i], use))
			continue;
		if (snprintf(parent, sizeof(parent), "%s/sluice-%u", places[i],
			     (unsigned)geteuid()) >= (int)sizeof(parent))
			continue;
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
	slash = strrchr(d->path, '/');
	*slash = '\0';
	remove_tree(d->parent, slash + 1);
	rmdir(d->path); /* as long as it is empty */
	close(d->parent);
	close(d->fd);
	free(d->path);
	d->path = NULL;
}
