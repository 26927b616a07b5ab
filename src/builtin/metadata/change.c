/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/metadata/change.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include "sys/fd.h"
#include "sys/newer.h"
#include "task/resolve.h"
#include "tree/tree.h"

#define AT_FLAGS_KNOWN (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)

const int change_calls[] = {
#ifdef SYS_chmod
	SYS_chmod,	  SYS_chown,	    SYS_lchown,	     SYS_utime,
	SYS_utimes,	  SYS_futimesat,
#endif
	SYS_fchmod,	  SYS_fchmodat,	    NR_FCHMODAT2,    SYS_fchown,
	SYS_fchownat,	  SYS_utimensat,    SYS_setxattr,    SYS_lsetxattr,
	SYS_fsetxattr,	  NR_SETXATTRAT,    SYS_removexattr, SYS_lremovexattr,
	SYS_fremovexattr, NR_REMOVEXATTRAT, NR_FILE_SETATTR, -1,
};

bool change_sets_times(int nr)
{
#ifdef SYS_utime
	if (nr == SYS_utime || nr == SYS_utimes || nr == SYS_futimesat)
		return true;
#endif
	return nr == SYS_utimensat;
}

static uint64_t arg(const struct sluice_request *req, unsigned i)
{
	return sluice_request_arg(req, i);
}

/* ---- which file ---- */

static int by_fd(const struct sluice_request *req, struct change_target *t)
{
	*t = (struct change_target){ .by_fd = true, .fd = (int)arg(req, 0) };
	return 0;
}

/* The call's path; with AT_EMPTY_PATH in @flags an empty one names the directory descriptor itself. */
static int by_path(struct sluice_request *req, struct change_target *t, uint64_t flags)
{
	ssize_t n;

	if ((uint32_t)flags & ~(uint32_t)AT_FLAGS_KNOWN)
		return -EINVAL;
	t->fd = sluice_request_dirfd(req, 0);
	n = sluice_request_path(req, 0, &t->path);
	if (n < 0)
		return (int)n;
	t->nofollow = flags & AT_SYMLINK_NOFOLLOW;
	t->by_fd = !n && flags & AT_EMPTY_PATH;
	return 0;
}

/* utimensat and futimesat take no path for the descriptor itself. */
static int by_path_or_fd(struct sluice_request *req, struct change_target *t, uint64_t flags)
{
	if (arg(req, 1) || sluice_request_dirfd(req, 0) == AT_FDCWD)
		return by_path(req, t, flags);
	if ((uint32_t)flags)
		return -EINVAL;
	return by_fd(req, t);
}

static int open_in_tree(struct sluice_request *req, const struct tree *tree,
			const struct change_target *target)
{
	struct walk_end end;
	int r = tree_walk(tree, request_task(req), target->fd, target->path ? target->path : "",
			  (target->nofollow ? WALK_NOFOLLOW : 0u) |
				  (target->by_fd ? WALK_EMPTY : 0u),
			  0, &end);

	return r < 0 ? r : end.fd;
}

int change_open(struct sluice_request *req, const struct tree *tree,
		const struct change_target *target)
{
	const struct task *t = request_task(req);
	struct resolve_open how = {
		.dirfd = target->fd,
		.path = target->path,
		.flags = O_PATH | (target->nofollow ? O_NOFOLLOW : 0),
		.proc_granted = request_proc_granted(req),
	};
	struct stat st;

	if (!target->by_fd && !tree)
		return resolve_open(t, &how, &st);
	if (!target->path && (target->fd < 0 || task_fd_is_path(t, target->fd)))
		return -EBADF;
	if (tree)
		return open_in_tree(req, tree, target);
	return task_open_dirfd(t, target->fd);
}

/* ---- what is asked for ---- */

static int mode(struct change *c, uint64_t bits)
{
	c->kind = CHANGE_MODE;
	c->mode = (mode_t)bits & 07777;
	return 0;
}

static int owner(struct change *c, uint64_t uid, uint64_t gid)
{
	c->kind = CHANGE_OWNER;
	c->uid = (uid_t)uid;
	c->gid = (gid_t)gid;
	return 0;
}

static void now(struct timespec times[2])
{
	times[0] = times[1] = (struct timespec){ .tv_nsec = UTIME_NOW };
}

static int times_nano(struct sluice_request *req, struct change *c, uint64_t addr)
{
	int r = addr ? sluice_request_read(req, addr, c->times, sizeof(c->times)) : 0;

	c->kind = CHANGE_TIMES;
	if (!addr)
		now(c->times);
	else if (r == 0 && c->times[0].tv_nsec == UTIME_OMIT && c->times[1].tv_nsec == UTIME_OMIT)
		return CHANGE_NOTHING;
	return r;
}

static int times_micro(struct sluice_request *req, struct change *c, uint64_t addr)
{
	struct timeval tv[2];
	int r = addr ? sluice_request_read(req, addr, tv, sizeof(tv)) : 0;

	c->kind = CHANGE_TIMES;
	now(c->times);
	for (int i = 0; r == 0 && addr && i < 2; i++) {
		if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1000000)
			return -EINVAL;
		c->times[i].tv_sec = tv[i].tv_sec;
		c->times[i].tv_nsec = tv[i].tv_usec * 1000;
	}
	return r;
}

static int times_seconds(struct sluice_request *req, struct change *c, uint64_t addr)
{
	struct utimbuf buf;
	int r = addr ? sluice_request_read(req, addr, &buf, sizeof(buf)) : 0;

	c->kind = CHANGE_TIMES;
	now(c->times);
	if (r == 0 && addr) {
		c->times[0] = (struct timespec){ .tv_sec = buf.actime };
		c->times[1] = (struct timespec){ .tv_sec = buf.modtime };
	}
	return r;
}

static int xattr_name(struct sluice_request *req, struct change *c, uint64_t addr)
{
	ssize_t n = sluice_request_read_string(req, addr, c->name, sizeof(c->name));

	if (n == 0 || n == -ENAMETOOLONG)
		return -ERANGE;
	return n < 0 ? (int)n : 0;
}

/* Name and size of what is to be set, in the kernel's order. */
static int xattr_check(struct sluice_request *req, struct change *c, uint64_t name)
{
	int r;

	if (c->flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	r = xattr_name(req, c, name);
	return r == 0 && c->size > XATTR_SIZE_MAX ? -E2BIG : r;
}

static int xattr_set(struct sluice_request *req, struct change *c, unsigned first)
{
	c->kind = CHANGE_SET_XATTR;
	c->value = arg(req, first + 1);
	c->size = arg(req, first + 2);
	c->flags = (int)arg(req, first + 3);
	return xattr_check(req, c, arg(req, first));
}

static int xattr_set_at(struct sluice_request *req, struct change *c)
{
	struct xattr_args_v0 args;
	int r = request_read_struct(req, arg(req, 4), arg(req, 5), &args, sizeof(args));

	if (r < 0)
		return r;
	c->kind = CHANGE_SET_XATTR;
	c->value = args.value;
	c->size = args.size;
	c->flags = (int)args.flags;
	return xattr_check(req, c, arg(req, 3));
}

static int xattr_remove(struct sluice_request *req, struct change *c, unsigned at)
{
	c->kind = CHANGE_REMOVE_XATTR;
	return xattr_name(req, c, arg(req, at));
}

static int decode_attributes(struct sluice_request *req, struct change *c, struct change_target *t)
{
	int r = -ENOSYS;

	/* the attribute is looked at before the path */
	switch (sluice_request_nr(req)) {
	case SYS_setxattr:
	case SYS_lsetxattr:
		r = xattr_set(req, c, 1);
		return r < 0 ? r
			     : by_path(req, t,
				       sluice_request_nr(req) == SYS_lsetxattr ? AT_SYMLINK_NOFOLLOW
									       : 0);
	case SYS_fsetxattr:
		by_fd(req, t);
		return xattr_set(req, c, 1);
	case NR_SETXATTRAT:
		r = xattr_set_at(req, c);
		return r < 0 ? r : by_path(req, t, arg(req, 2));
	case SYS_removexattr:
	case SYS_lremovexattr:
		r = xattr_remove(req, c, 1);
		return r < 0 ? r
			     : by_path(req, t,
				       sluice_request_nr(req) == SYS_lremovexattr
					       ? AT_SYMLINK_NOFOLLOW
					       : 0);
	case SYS_fremovexattr:
		by_fd(req, t);
		return xattr_remove(req, c, 1);
	case NR_REMOVEXATTRAT:
		r = xattr_remove(req, c, 3);
		return r < 0 ? r : by_path(req, t, arg(req, 2));
	default: /* file_setattr: as on a kernel before 6.17 */
		return r;
	}
}

int change_decode(struct sluice_request *req, struct change *c, struct change_target *t)
{
	int r;

	memset(c, 0, sizeof(*c));
	memset(t, 0, sizeof(*t));
	switch (sluice_request_nr(req)) {
#ifdef SYS_chmod
	case SYS_chmod:
		r = by_path(req, t, 0);
		return r < 0 ? r : mode(c, arg(req, 1));
	case SYS_chown:
	case SYS_lchown:
		r = by_path(req, t, sluice_request_nr(req) == SYS_lchown ? AT_SYMLINK_NOFOLLOW : 0);
		return r < 0 ? r : owner(c, arg(req, 1), arg(req, 2));
	case SYS_utime:
		r = by_path(req, t, 0);
		return r < 0 ? r : times_seconds(req, c, arg(req, 1));
	case SYS_utimes:
		r = by_path(req, t, 0);
		return r < 0 ? r : times_micro(req, c, arg(req, 1));
	case SYS_futimesat:
		r = by_path_or_fd(req, t, 0);
		return r < 0 ? r : times_micro(req, c, arg(req, 2));
#endif
	case SYS_fchmod:
		by_fd(req, t);
		return mode(c, arg(req, 1));
	case SYS_fchmodat:
		r = by_path(req, t, 0);
		return r < 0 ? r : mode(c, arg(req, 2));
	case NR_FCHMODAT2:
		r = by_path(req, t, arg(req, 3));
		return r < 0 ? r : mode(c, arg(req, 2));
	case SYS_fchown:
		by_fd(req, t);
		return owner(c, arg(req, 1), arg(req, 2));
	case SYS_fchownat:
		r = by_path(req, t, arg(req, 4));
		return r < 0 ? r : owner(c, arg(req, 2), arg(req, 3));
	case SYS_utimensat: /* the times come first: with nothing to set even the path is not looked at */
		r = times_nano(req, c, arg(req, 2));
		return r ? r : by_path_or_fd(req, t, arg(req, 3));
	default:
		return decode_attributes(req, c, t);
	}
}

/* ---- making it ---- */

static long set_xattr(struct sluice_request *req, const struct change *c, const char *path)
{
	char value[XATTR_SIZE_MAX];
	int r;

	r = c->size ? sluice_request_read(req, c->value, value, c->size) : 0;
	if (r < 0) {
		errno = -r;
		return -1;
	}
	return setxattr(path, c->name, value, c->size, c->flags);
}

static long make(struct sluice_request *req, const struct change *c, int fd)
{
	char path[FD_LINK_BYTES];

	/* the link of our own descriptor leads to the file itself, also where that is a symbolic link */
	fd_link(fd, path);
	switch (c->kind) {
	case CHANGE_MODE:
		return chmod(path, c->mode);
	case CHANGE_OWNER:
		return fchownat(fd, "", c->uid, c->gid, AT_EMPTY_PATH);
	case CHANGE_TIMES:
		return syscall(SYS_utimensat, fd, "", c->times, AT_EMPTY_PATH);
	case CHANGE_SET_XATTR:
		return set_xattr(req, c, path);
	case CHANGE_REMOVE_XATTR:
		return removexattr(path, c->name);
	}
	errno = ENOSYS;
	return -1;
}

static int set_xattr_in_branch(struct sluice_request *req, const struct change *c, struct branch *b,
			       const char *path)
{
	char value[XATTR_SIZE_MAX];
	int r;

	r = c->size ? sluice_request_read(req, c->value, value, c->size) : 0;
	return r < 0 ? r : branch_setxattr(b, path, c->name, value, c->size, c->flags);
}

static int make_in_branch(struct sluice_request *req, const struct change *c, struct branch *b,
			  const char *path)
{
	switch (c->kind) {
	case CHANGE_MODE:
		return branch_chmod(b, path, c->mode);
	case CHANGE_OWNER:
		return branch_chown(b, path, c->uid, c->gid);
	case CHANGE_TIMES:
		return branch_utimens(b, path, c->times);
	case CHANGE_SET_XATTR:
		return set_xattr_in_branch(req, c, b, path);
	case CHANGE_REMOVE_XATTR:
		return branch_removexattr(b, path, c->name);
	}
	return -ENOSYS;
}

struct request_act change_make(struct sluice_request *req, const void *change)
{
	const struct change *c = change;
	const int fd = request_plan_fd(req, 0);
	char path[PATH_MAX];
	struct branch *b = NULL;
	long r = c->tree ? tree_branch_of(c->tree, -1, -1, NULL, fd, &b, path) : 0;

	if (r < 0 || b)
		return (struct request_act){
			.value = r < 0 ? r : make_in_branch(req, c, b, path),
			.fd = -1,
		};
	r = make(req, c, fd);
	return (struct request_act){ .value = r < 0 ? -errno : 0, .fd = -1 };
}
