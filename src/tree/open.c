/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening files, and changes of what is in or on a file rather than of its name.
 *
 * A file is found under the lock as an O_PATH descriptor, and opened through that descriptor without it: whatever its name becomes meanwhile, it is
 * that file, and a FIFO that waits for its other end holds up nobody.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tree/change.h"
#include "sys/fd.h"

static bool wants_write(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
}

static int reopen(int fd, int flags)
{
	char link[FD_LINK_BYTES];
	int r;

	fd_link(fd, link);
	r = open(link, (flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW)) | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

/* ---- a new file ---- */

struct create {
	int flags;
	mode_t mode;
	int fd;
};

static int make_file(int dir_fd, const char *name, void *arg)
{
	struct create *c = arg;

	c->fd = openat(dir_fd, name, (c->flags & ~O_TRUNC) | O_CREAT | O_EXCL | O_CLOEXEC, c->mode);
	return c->fd < 0 ? -errno : 0;
}

/* -EAGAIN: something is there by now. */
static int create_file(struct branch *b, const char *path, int flags, mode_t mode, int *ret_fd)
{
	struct create c = { .flags = flags, .mode = mode, .fd = -1 };
	struct target t;
	int r;

	branch_wrlock(b);
	r = target_begin_locked(b, path, &t);
	if (r == 0 && t.v.kind != BRANCH_NONE)
		r = -EAGAIN;
	if (r == 0)
		r = target_may_change_locked(b, &t);
	if (r == 0)
		r = room_take_file(b);
	if (r == 0)
		r = create_locked(b, &t, make_file, &c);
	if (r == 0) {
		r = room_watch(b, c.fd);
		identity_new_locked(b, t.parent, t.v.walk.node->ino);
	}
	target_end(&t);
	branch_unlock(b);
	if (r < 0 && c.fd >= 0)
		close(c.fd);
	if (r == 0)
		*ret_fd = c.fd;
	return r;
}

/* A nameless file is made in the upper directory, where branch_link_fd can name it. */
static int open_nameless(struct branch *b, const char *path, int flags, mode_t mode, int *ret_fd)
{
	struct branch_entry e;
	struct stat st;
	int r, fd = -1;

	r = branch_lookup(b, path, &e);
	if (r < 0 || e.kind == BRANCH_NONE)
		return r < 0 ? r : -ENOENT;
	r = !S_ISDIR(e.st.st_mode) ? -ENOTDIR : may_access_shown(b, e.fd, &e.st, W_OK | X_OK);
	close(e.fd);
	if (r == 0)
		r = room_take_file(b);
	if (r < 0)
		return r;
	branch_wrlock(b);
	r = copy_up_parents_locked(b, path);
	if (r == 0)
		r = copy_up_dir_locked(b, path);
	if (r == 0) {
		fd = openat(b->upper_fd, *path ? path : ".", flags | O_CLOEXEC, mode);
		r = fd < 0 ? -errno : 0;
	}
	if (r == 0 && fstat(fd, &st) == 0)
		identity_drop(b, st.st_ino);
	branch_unlock(b);
	if (r == 0)
		r = room_watch(b, fd);
	if (r == 0)
		*ret_fd = fd;
	else if (fd >= 0)
		close(fd);
	return r;
}

/* ---- one that is there ---- */

static int check_kind(const struct branch_entry *e, int flags)
{
	if (flags & O_CREAT && flags & O_EXCL)
		return -EEXIST;
	if (S_ISLNK(e->st.st_mode))
		return flags & O_DIRECTORY ? -ENOTDIR : -ELOOP;
	if (S_ISDIR(e->st.st_mode))
		return flags & O_CREAT || wants_write(flags) ? -EISDIR : 0;
	return flags & O_DIRECTORY ? -ENOTDIR : 0;
}

static int access_mode(int flags)
{
	switch (flags & O_ACCMODE) {
	case O_RDONLY:
		return R_OK | (flags & O_TRUNC ? W_OK : 0);
	case O_WRONLY:
		return W_OK;
	default:
		return R_OK | W_OK;
	}
}

/* Replaces the entry by that of the copied-up file. */
static int lift(struct branch *b, const char *path, int flags, struct branch_entry *e)
{
	bool empty = flags & O_TRUNC && S_ISREG(e->st.st_mode);
	int r = may_access(e->fd, access_mode(flags));

	close(e->fd);
	e->fd = -1;
	if (r == 0)
		r = copy_up(b, path, empty ? COPY_UP_EMPTY : 0);
	return r < 0 ? r : branch_lookup(b, path, e);
}

static int open_existing(struct branch *b, const char *path, int flags, struct branch_entry *e)
{
	int r = check_kind(e, flags);
	ino_t pinned = 0;

	/* a FIFO too: what is written there must not reach who has the lower one open */
	if (r == 0 && (S_ISFIFO(e->st.st_mode) || (wants_write(flags) && S_ISREG(e->st.st_mode)))) {
		r = room_take_file(b);
		if (r == 0 && e->kind == BRANCH_LOWER)
			r = lift(b, path, flags, e);
		else if (r == 0)
			r = may_access_shown(b, e->fd, &e->st, access_mode(flags));
		if (r == 0 && e->kind == BRANCH_NONE)
			r = -EAGAIN;
		if (r == 0)
			r = room_pin(b, e->fd, &pinned);
	}
	if (r == 0)
		r = reopen(e->fd, flags);
	room_unpin(b, pinned);
	if (e->fd >= 0)
		close(e->fd);
	return r;
}

int branch_open_file(struct branch *b, const char *path, int flags, mode_t mode, int *ret_fd)
{
	struct branch_entry e;
	int r;

	if ((flags & O_TMPFILE) == O_TMPFILE)
		return open_nameless(b, path, flags, mode, ret_fd);
	do {
		r = branch_lookup(b, path, &e);
		if (r < 0)
			return r;
		if (e.kind != BRANCH_NONE) {
			r = open_existing(b, path, flags, &e);
			if (r >= 0)
				*ret_fd = r;
		} else if (flags & O_CREAT) {
			r = create_file(b, path, flags, mode, ret_fd);
		} else {
			r = -ENOENT;
		}
	} while (r == -EAGAIN);
	return r < 0 ? r : 0;
}

/* ---- changes of a file ---- */

/* Could this thread change the metadata at all? Asked before anything is copied. */
static int may_own(const struct branch_entry *e)
{
	return e->st.st_uid == geteuid() || has_capability(CAP_FOWNER) ? 0 : -EPERM;
}

enum change_kind {
	CHANGE_MODE,
	CHANGE_OWNER,
	CHANGE_TIMES,
	CHANGE_SIZE,
	CHANGE_SET,
	CHANGE_REMOVE
};

struct change {
	enum change_kind kind;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	const struct timespec *times;
	off_t length;
	const char *name;
	const void *value;
	size_t size;
	int flags;
};

static bool sets_to_now(const struct timespec *times)
{
	return !times || (times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW);
}

static bool begins(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

/* May @e's attribute @name be set or removed? */
static int check_name(const struct branch *b, const char *name, const struct branch_entry *e)
{
	int r;

	if (begins(name, "system."))
		return may_own(e);
	if (!strcmp(name, "security.capability"))
		return has_capability(CAP_SETFCAP) ? 0 : -EPERM;
	if (begins(name, "security.") || begins(name, "trusted."))
		return has_capability(CAP_SYS_ADMIN) ? 0 : -EPERM;
	if (begins(name, "user.") && !S_ISREG(e->st.st_mode) && !S_ISDIR(e->st.st_mode))
		return -EPERM;
	r = may_access_shown(b, e->fd, &e->st, W_OK);
	return r == 0 && begins(name, XATTR_HIDDEN) ? -EOPNOTSUPP : r;
}

/* What the kernel would refuse on the lower file, so that a refused call has copied nothing. */
static int check_change(const struct branch *b, const struct change *c,
			const struct branch_entry *e)
{
	switch (c->kind) {
	case CHANGE_MODE:
		return S_ISLNK(e->st.st_mode) ? -EOPNOTSUPP : may_own(e);
	case CHANGE_OWNER:
		return (c->uid == (uid_t)-1 || c->uid == e->st.st_uid) && c->gid == (gid_t)-1
			       ? 0
			       : may_own(e);
	case CHANGE_TIMES:
		if (may_own(e) == 0)
			return 0;
		return sets_to_now(c->times) ? may_access_shown(b, e->fd, &e->st, W_OK) : -EPERM;
	case CHANGE_SIZE:
		if (c->length < 0)
			return -EINVAL;
		if (S_ISDIR(e->st.st_mode))
			return -EISDIR;
		return !S_ISREG(e->st.st_mode) ? -EINVAL : may_access_shown(b, e->fd, &e->st, W_OK);
	default:
		break;
	}
	return check_name(b, c->name, e);
}

/* What check_found returns beside errors. */
enum {
	CHANGE_NOW,
	CHANGE_COPY_FIRST,
	CHANGE_NOTHING
};

/* Setting or removing must not copy up when it fails on the attribute that is there. ACLs know no flags, and to remove none is no failure. */
static int check_xattr(const struct change *c, int fd)
{
	char link[FD_LINK_BYTES];
	bool there;

	fd_link(fd, link);
	there = getxattr(link, c->name, NULL, 0) >= 0;
	if (!there && errno != ENODATA)
		return -errno;
	if (!strncmp(c->name, XATTR_ACL, strlen(XATTR_ACL)))
		return c->kind == CHANGE_REMOVE && !there ? CHANGE_NOTHING : CHANGE_NOW;
	if (c->kind == CHANGE_REMOVE || c->flags & XATTR_REPLACE)
		return there ? 0 : -ENODATA;
	return there && c->flags & XATTR_CREATE ? -EEXIST : 0;
}

static int apply(const struct change *c, int fd)
{
	char link[FD_LINK_BYTES];
	long r = 0;

	fd_link(fd, link);
	switch (c->kind) {
	case CHANGE_MODE:
		r = chmod(link, c->mode);
		break;
	case CHANGE_OWNER:
		r = fchownat(fd, "", c->uid, c->gid, AT_EMPTY_PATH);
		break;
	case CHANGE_TIMES:
		r = utimensat(fd, "", c->times, AT_EMPTY_PATH);
		break;
	case CHANGE_SIZE:
		r = truncate(link, c->length);
		break;
	case CHANGE_SET:
		r = setxattr(link, c->name, c->value, c->size, c->flags);
		break;
	case CHANGE_REMOVE:
		r = removexattr(link, c->name);
		break;
	}
	return r < 0 ? -errno : 0;
}

/* It was given an owner, so that is the one it shows. */
static void take_owner(struct branch *b, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return;
	branch_wrlock(b);
	owner_drop(b, st.st_ino);
	branch_unlock(b);
}

static int check_found(const struct branch *b, const struct change *c, const struct branch_entry *e)
{
	int r = e->kind == BRANCH_NONE ? -ENOENT : check_change(b, c, e);

	if (r == 0 && (c->kind == CHANGE_SET || c->kind == CHANGE_REMOVE))
		r = check_xattr(c, e->fd);
	return r == CHANGE_NOW && e->kind == BRANCH_LOWER ? CHANGE_COPY_FIRST : r;
}

static int change_file(struct branch *b, const char *path, const struct change *c)
{
	bool empty = c->kind == CHANGE_SIZE && c->length == 0;
	struct branch_entry e;
	ino_t pinned = 0;
	int r = branch_lookup(b, path, &e);

	if (r < 0)
		return r;
	r = check_found(b, c, &e);
	if (r == CHANGE_NOTHING) {
		close(e.fd);
		return 0;
	}
	if (r == CHANGE_COPY_FIRST) {
		r = copy_up(b, path, empty ? COPY_UP_EMPTY : 0);
		close(e.fd);
		e.fd = -1;
		if (r == 0)
			r = branch_lookup(b, path, &e);
		if (r == 0 && e.kind == BRANCH_NONE)
			r = -ENOENT;
	}
	if (S_ISDIR(e.st.st_mode) && c->kind != CHANGE_TIMES)
		b->dirs_changed = true;
	if (r == 0 && c->kind == CHANGE_SIZE)
		r = room_pin(b, e.fd, &pinned);
	if (r == 0)
		r = apply(c, e.fd);
	if (r == 0 && c->kind == CHANGE_OWNER)
		take_owner(b, e.fd);
	if (r == 0 && branch_generation(b) == 0) /* the top, which no copy-up has told of */
		branch_changed(b);
	room_unpin(b, pinned);
	if (e.fd >= 0)
		close(e.fd);
	return r;
}

int branch_chmod(struct branch *b, const char *path, mode_t mode)
{
	struct change c = { .kind = CHANGE_MODE, .mode = mode & 07777 };

	return change_file(b, path, &c);
}

int branch_chown(struct branch *b, const char *path, uid_t uid, gid_t gid)
{
	struct change c = { .kind = CHANGE_OWNER, .uid = uid, .gid = gid };

	return change_file(b, path, &c);
}

int branch_utimens(struct branch *b, const char *path, const struct timespec times[2])
{
	struct change c = { .kind = CHANGE_TIMES, .times = times };

	return change_file(b, path, &c);
}

int branch_truncate(struct branch *b, const char *path, off_t length)
{
	struct change c = { .kind = CHANGE_SIZE, .length = length };

	return change_file(b, path, &c);
}

int branch_setxattr(struct branch *b, const char *path, const char *name, const void *value,
		    size_t size, int flags)
{
	struct change c = {
		.kind = CHANGE_SET, .name = name, .value = value, .size = size, .flags = flags
	};

	return change_file(b, path, &c);
}

int branch_removexattr(struct branch *b, const char *path, const char *name)
{
	struct change c = { .kind = CHANGE_REMOVE, .name = name };

	return change_file(b, path, &c);
}
