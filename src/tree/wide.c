/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories of the upper directory that their owner may not use.
 *
 * A command may have left modes such as 0555 or 0. Who is not root then can't list what is in them, or move it out. For as long as the branch is read as a whole or committed such directories
 * are given to their owner, parents first, and get their modes back at the end. Meanwhile they show their own. What a crash leaves wide is told by a file of the branch, in which each
 * mode is noted before it is changed, and which is there only that long: the next scan takes it up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/openat2.h"
#include "tree/branch_internal.h"
#include "util/cleanup.h"
#include "util/grow.h"

#define JOURNAL "widened"
#define RECORD_MAGIC 0x77696465u

/* One write; a torn one at the end was not acted upon. */
struct record {
	uint32_t magic, mode;
	uint64_t ino, born;
};

static int note(struct branch *b, const struct record *r)
{
	struct wide *w = &b->wide;
	ssize_t n;

	if (w->journal < 0)
		w->journal = openat(b->dir_fd, JOURNAL,
				    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (w->journal < 0)
		return -errno;
	n = write(w->journal, r, sizeof(*r));
	return n < 0 ? -errno : (size_t)n != sizeof(*r) ? -ENOSPC : 0;
}

/* @path is wide: it shows @mode, and will get it back. */
static int keep(struct branch *b, const char *path, ino_t ino, mode_t mode)
{
	struct wide *w = &b->wide;
	char **grown = grow_list(w->paths, w->n, &w->room, sizeof(*grown));
	int r = identities_reserve(&w->modes, 1);

	if (!grown)
		return -ENOMEM;
	w->paths = grown;
	if (r < 0)
		return r;
	w->paths[w->n] = strdup(path);
	if (!w->paths[w->n])
		return -ENOMEM;
	w->n++;
	identities_set(&w->modes, ino, mode, 0);
	return 0;
}

/* Give directory @fd (O_PATH) to its owner. */
static int widen(struct branch *b, const char *path, int fd, const struct stat *st)
{
	const struct record note_of = {
		.magic = RECORD_MAGIC,
		.mode = st->st_mode & 07777,
		.ino = st->st_ino,
		.born = born_ns(fd),
	};
	char link[FD_LINK_BYTES];
	int r = note(b, &note_of);

	if (r == 0)
		r = keep(b, path, st->st_ino, note_of.mode);
	if (r == 0 && chmod(fd_link(fd, link), note_of.mode | 0700) < 0)
		r = -errno;
	return r;
}

static int widen_path(struct branch *b, const char *path, int want)
{
	_cleanup_close_ int fd = open_beneath(b->upper_fd, path, O_PATH | O_DIRECTORY, 0);
	struct stat st;

	if (fd < 0)
		return fd;
	if (may_access(fd, want) == 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_uid == geteuid() ? widen(b, path, fd, &st) : -EACCES;
}

int wide_begin_locked(struct branch *b, int want)
{
	char path[PATH_MAX];
	int r = 0;

	b->wide.users++;
	for (struct node *n = b->nodes.root; r == 0 && n; n = nodes_next(n)) {
		if (n->type != DT_DIR)
			continue;
		r = node_path(n, path, sizeof(path));
		r = r < 0 ? r : widen_path(b, path, want);
	}
	return r;
}

/* False: it keeps what it was given, as far as is known. One that is not there any more was committed. */
static bool narrow(struct branch *b, const char *path)
{
	_cleanup_close_ int fd = open_beneath(b->upper_fd, path, O_PATH | O_DIRECTORY, 0);
	char link[FD_LINK_BYTES];
	struct stat st;
	uint64_t unused;
	dev_t mode;

	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP;
	if (fstat(fd, &st) < 0)
		return false;
	if (!identities_get(&b->wide.modes, st.st_ino, &mode, &unused) ||
	    (st.st_mode & 07777) != ((mode_t)mode | 0700)) /* it was given another one */
		return true;
	return chmod(fd_link(fd, link), (mode_t)mode) == 0;
}

void wide_end_locked(struct branch *b)
{
	struct wide *w = &b->wide;
	size_t left = 0;

	if (--w->users)
		return;
	for (size_t i = w->n; i-- > 0;) { /* what lies below first */
		if (!narrow(b, w->paths[i]))
			continue;
		free(w->paths[i]);
		w->paths[i] = NULL;
	}
	for (size_t i = 0; i < w->n; i++) {
		if (w->paths[i])
			w->paths[left++] = w->paths[i];
	}
	w->n = left;
	if (left) /* the next end, or the next scan */
		return;
	if (w->journal >= 0)
		unlinkat(b->dir_fd, JOURNAL, 0);
	wide_fini(b);
}

void wide_fini(struct branch *b)
{
	struct wide *w = &b->wide;

	while (w->n)
		free(w->paths[--w->n]);
	free(w->paths);
	identities_fini(&w->modes);
	if (w->journal >= 0)
		close(w->journal);
	*w = (struct wide){ .journal = -1 };
}

void wide_show(const struct branch *b, struct stat *st)
{
	uint64_t unused;
	dev_t mode;

	if (b->wide.n && S_ISDIR(st->st_mode) &&
	    identities_get(&b->wide.modes, st->st_ino, &mode, &unused))
		st->st_mode = S_IFDIR | (mode_t)mode;
}

int branch_reading_begin(struct branch *b)
{
	int r;

	branch_wrlock(b);
	r = links_complete(b);
	if (r == 0) {
		r = wide_begin_locked(b, R_OK | X_OK);
		if (r < 0)
			wide_end_locked(b);
	}
	branch_unlock(b);
	if (r == 0)
		branch_rdlock(b);
	return r;
}

void branch_reading_end(struct branch *b)
{
	branch_unlock(b);
	branch_wrlock(b);
	wide_end_locked(b);
	branch_unlock(b);
}

/* ---- after a crash ---- */

int wide_left_begin(struct branch *b, struct wide_left *ret)
{
	_cleanup_close_ int fd = openat(b->dir_fd, JOURNAL, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct record r;
	int error = 0;

	memset(ret, 0, sizeof(*ret));
	b->wide.users++;
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	while (error == 0 && read(fd, &r, sizeof(r)) == sizeof(r) && r.magic == RECORD_MAGIC) {
		error = identities_reserve(&ret->modes, 1);
		if (error == 0)
			identities_set(&ret->modes, r.ino, r.mode, r.born);
	}
	/* to go on with; it goes when all have their modes back */
	b->wide.journal = openat(b->dir_fd, JOURNAL, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	return error < 0 ? error : b->wide.journal < 0 ? -errno : 0;
}

static int take_left(struct branch *b, const struct wide_left *left, const char *path)
{
	_cleanup_close_ int fd = open_beneath(b->upper_fd, path, O_PATH | O_DIRECTORY, 0);
	struct stat st;
	uint64_t born;
	dev_t mode;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fd < 0 ? fd : -errno;
	if (!identities_get(&left->modes, st.st_ino, &mode, &born) || born != born_ns(fd) ||
	    (st.st_mode & 07777) != ((mode_t)mode | 0700))
		return 0;
	return keep(b, path, st.st_ino, (mode_t)mode);
}

int wide_left_take(struct branch *b, const struct wide_left *left, const char *path, int want)
{
	int r = left->modes.n ? take_left(b, left, path) : 0;

	return r < 0 ? r : widen_path(b, path, want);
}

void wide_left_end(struct branch *b, struct wide_left *left, bool all)
{
	/* what was not come to is still to be told */
	if (!all && b->wide.journal >= 0) {
		close(b->wide.journal);
		b->wide.journal = -1;
	}
	identities_fini(&left->modes);
	wide_end_locked(b);
}
