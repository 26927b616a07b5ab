/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that look at a file and change nothing: stat, access, statfs, getxattr, listxattr, by every spelling.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "builtin/files/internal.h"
#include "sys/fd.h"
#include "sys/newer.h"
#include "tree/file_times.h"

#ifndef AT_STATX_SYNC_TYPE
#define AT_STATX_SYNC_TYPE 0x6000
#endif
#define AT_STAT_FLAGS (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)

static struct request_act stat_act(struct sluice_request *req, const void *data);

/* Resolve the one path and plan @act with @plan. */
static struct sluice_verdict look(struct sluice_request *req, const struct tree *tree,
				  uint32_t walk_flags, struct files_plan *plan, request_act_fn act)
{
	const uint32_t brief =
		request_has_extras(req) ? 0 : WALK_BRIEF | (act == stat_act ? WALK_STAT : 0);
	struct walk_end end;
	int r = files_walk(req, tree, 0, walk_flags | brief, 0, &end);

	return files_plan_one(req, tree, plan, &end, r, act);
}

/* The same for the task's descriptor @fd itself. */
static struct sluice_verdict look_at_fd(struct sluice_request *req, const struct tree *tree, int fd,
					struct files_plan *plan, request_act_fn act)
{
	struct walk_end end = { .fd = -1, .dir = -1 };
	int r = fd < 0 ? -EBADF : files_descriptor(req, tree, fd, &end);

	return files_plan_one(req, tree, plan, &end, r, act);
}

/* ---- stat ---- */

static struct request_act stat_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	struct stat st;

	if (p->fresh)
		st = p->st;
	else if (fstat(request_plan_fd(req, 0), &st) < 0)
		return files_done(-1);
	tree_show(p->tree, p->places[0].mount, request_plan_fd(req, 0), &st);
	if (p->tree->times)
		file_times_show_stat(p->tree->times, &st);
	return files_give(req, p->args[0], &st, sizeof(st), 0);
}

static void show_statx(const struct files_plan *p, int fd, struct statx *stx)
{
	struct stat st = {
		.st_dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
		.st_ino = stx->stx_ino,
		.st_nlink = stx->stx_nlink,
		.st_mode = stx->stx_mode,
		.st_uid = stx->stx_uid,
		.st_gid = stx->stx_gid,
	};

	tree_show(p->tree, p->places[0].mount, fd, &st);
	stx->stx_dev_major = major(st.st_dev);
	stx->stx_dev_minor = minor(st.st_dev);
	stx->stx_ino = st.st_ino;
	stx->stx_nlink = (uint32_t)st.st_nlink;
	stx->stx_uid = st.st_uid;
	stx->stx_gid = st.st_gid;
	if (p->tree->times)
		file_times_show_statx(p->tree->times, stx);
}

static struct request_act statx_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	struct statx stx;

	if (statx(request_plan_fd(req, 0), "", (int)p->args[1] | AT_EMPTY_PATH,
		  (unsigned)p->args[2], &stx) < 0)
		return files_done(-1);
	show_statx(p, request_plan_fd(req, 0), &stx);
	return files_give(req, p->args[0], &stx, sizeof(stx), 0);
}

/* Then it is about a descriptor, and no walk is needed. */
static bool has_no_path(struct sluice_request *req, uint64_t at_flags)
{
	return at_flags & AT_EMPTY_PATH && !sluice_request_arg(req, 1) &&
	       sluice_request_dirfd(req, 0) >= 0;
}

#ifdef SYS_stat
static struct sluice_verdict stat_handle(struct sluice_request *req, void *tree)
{
	struct files_plan p = { .args = { sluice_request_arg(req, 1) } };

	return look(req, tree, sluice_request_nr(req) == SYS_lstat ? WALK_NOFOLLOW : 0, &p,
		    stat_act);
}
#endif

static struct sluice_verdict fstat_handle(struct sluice_request *req, void *tree)
{
	struct files_plan p = { .args = { sluice_request_arg(req, 1) } };

	return look_at_fd(req, tree, (int)sluice_request_arg(req, 0), &p, stat_act);
}

static struct sluice_verdict fstatat_handle(struct sluice_request *req, void *tree)
{
	struct files_plan p = { .args = { sluice_request_arg(req, 2) } };

	if ((uint32_t)sluice_request_arg(req, 3) & ~(uint32_t)(AT_STAT_FLAGS | AT_STATX_SYNC_TYPE))
		return sluice_errno(EINVAL);
	if (has_no_path(req, sluice_request_arg(req, 3)))
		return look_at_fd(req, tree, sluice_request_dirfd(req, 0), &p, stat_act);
	return look(req, tree, files_walk_flags(sluice_request_arg(req, 3), false), &p, stat_act);
}

static struct sluice_verdict statx_handle(struct sluice_request *req, void *tree)
{
	const uint32_t flags = (uint32_t)sluice_request_arg(req, 2);
	struct files_plan p = { .args = { sluice_request_arg(req, 4), flags & AT_STATX_SYNC_TYPE,
					  sluice_request_arg(req, 3) } };

	if (flags & ~(uint32_t)(AT_STAT_FLAGS | AT_STATX_SYNC_TYPE) ||
	    (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE ||
	    sluice_request_arg(req, 3) & STATX__RESERVED)
		return sluice_errno(EINVAL);
	if (has_no_path(req, flags))
		return look_at_fd(req, tree, sluice_request_dirfd(req, 0), &p, statx_act);
	return look(req, tree, files_walk_flags(flags, false), &p, statx_act);
}

/* ---- where only the times are not what the kernel says ---- */

/* What cannot be looked at for the task, the kernel answers: times apart it says the same, and it knows the errno. */
static struct sluice_verdict or_as_kernel(struct sluice_verdict v)
{
	return v.kind == SLUICE_ERRNO ? sluice_continue() : v;
}

static struct sluice_verdict timed_fstat_handle(struct sluice_request *req, void *tree)
{
	return or_as_kernel(fstat_handle(req, tree));
}

static struct sluice_verdict timed_fstatat_handle(struct sluice_request *req, void *tree)
{
	return or_as_kernel(fstatat_handle(req, tree));
}

static struct sluice_verdict timed_statx_handle(struct sluice_request *req, void *tree)
{
	return or_as_kernel(statx_handle(req, tree));
}

#ifdef SYS_stat
static struct sluice_verdict timed_stat_handle(struct sluice_request *req, void *tree)
{
	return or_as_kernel(stat_handle(req, tree));
}
#endif

const struct files_call files_timed_fd_calls[] = {
	{ SYS_fstat, timed_fstat_handle },
	{ -1, NULL },
};

const struct files_call files_timed_path_calls[] = {
#ifdef SYS_stat
	{ SYS_stat, timed_stat_handle },	  { SYS_lstat, timed_stat_handle },
#endif
	{ SYS_newfstatat, timed_fstatat_handle }, { SYS_statx, timed_statx_handle }, { -1, NULL },
};

/* ---- access ---- */

static struct request_act access_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	const int mode = (int)p->args[0];
	struct walk_end end = { .fd = request_plan_fd(req, 0),
				.dir = -1,
				.mount = p->places[0].mount };

	/* the one answer that the file itself does not have */
	if (mode & W_OK) {
		struct stat st;

		if (fstat(end.fd, &st) == 0 && !S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode) &&
		    !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode) &&
		    tree_is_read_only(p->tree, &end))
			return files_value(-EROFS);
	}
	return files_value(tree_access(p->tree, end.mount, end.fd, mode, (int)p->args[1]));
}

static struct sluice_verdict access_plan(struct sluice_request *req, void *tree, uint64_t mode,
					 uint64_t flags)
{
	struct files_plan p = { .args = { mode, flags & AT_EACCESS } };

	if (mode & ~(uint64_t)(R_OK | W_OK | X_OK) ||
	    (uint32_t)flags & ~(uint32_t)(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return sluice_errno(EINVAL);
	return look(req, tree, files_walk_flags(flags, false), &p, access_act);
}

#ifdef SYS_access
static struct sluice_verdict access_handle(struct sluice_request *req, void *tree)
{
	return access_plan(req, tree, (uint32_t)sluice_request_arg(req, 1), 0);
}
#endif

static struct sluice_verdict faccessat_handle(struct sluice_request *req, void *tree)
{
	return access_plan(
		req, tree, (uint32_t)sluice_request_arg(req, 2),
		sluice_request_nr(req) == SYS_faccessat ? 0 : (uint32_t)sluice_request_arg(req, 3));
}

/* ---- statfs ---- */

static struct request_act statfs_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	int fd = request_plan_fd(req, 0);
	struct files_spot s;
	struct statfs fs;

	if (files_spot(req, p, 0, &s) == 0 && s.branch)
		fd = branch_upper_fd(s.branch); /* whose room is what counts */
	if (fstatfs(fd, &fs) < 0)
		return files_done(-1);
	return files_give(req, p->args[0], &fs, sizeof(fs), 0);
}

static struct sluice_verdict statfs_handle(struct sluice_request *req, void *tree)
{
	struct files_plan p = { .args = { sluice_request_arg(req, 1) } };

	return look(req, tree, 0, &p, statfs_act);
}

/* ---- extended attributes ---- */

/* A list (@name NULL) or the value of one attribute. */
static struct request_act attributes(struct sluice_request *req, const struct files_plan *p,
				     const char *name, uint64_t addr, uint64_t size)
{
	char link[FD_LINK_BYTES], value[XATTR_SIZE_MAX];
	char *const buf = size ? value : NULL;
	const int fd = request_plan_fd(req, 0);
	struct files_spot s;
	ssize_t n;

	if (size > sizeof(value))
		size = sizeof(value);
	if (files_spot(req, p, 0, &s) == 0 && s.branch) {
		n = name ? branch_getxattr(s.branch, s.path, name, buf, size)
			 : branch_listxattr(s.branch, s.path, buf, size);
	} else if (tree_is_in_branch(p->tree, p->places[0].mount, fd)) { /* no name leads to it */
		n = name ? branch_fgetxattr(fd, name, buf, size) : branch_flistxattr(fd, buf, size);
	} else {
		fd_link(fd, link);
		n = name ? getxattr(link, name, buf, size) : listxattr(link, buf, size);
		n = n < 0 ? -errno : n;
	}
	return n < 0 ? files_value(n) : files_give(req, addr, value, size ? (size_t)n : 0, n);
}

/* args: address and size of the buffer, address of the name (0: list) */
static struct request_act attributes_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	char name[XATTR_NAME_MAX + 1];
	ssize_t n;

	if (!p->args[2])
		return attributes(req, p, NULL, p->args[0], p->args[1]);
	n = sluice_request_read_string(req, p->args[2], name, sizeof(name));
	if (n == 0 || n == -ENAMETOOLONG)
		n = -ERANGE;
	return n < 0 ? files_value(n) : attributes(req, p, name, p->args[0], p->args[1]);
}

static struct sluice_verdict getxattr_handle(struct sluice_request *req, void *tree)
{
	struct files_plan p = { .args = { sluice_request_arg(req, 2), sluice_request_arg(req, 3),
					  sluice_request_arg(req, 1) } };

	if (!p.args[2])
		return sluice_errno(EFAULT);
	return look(req, tree, sluice_request_nr(req) == SYS_lgetxattr ? WALK_NOFOLLOW : 0, &p,
		    attributes_act);
}

static struct sluice_verdict listxattr_handle(struct sluice_request *req, void *tree)
{
	struct files_plan p = { .args = { sluice_request_arg(req, 1),
					  sluice_request_arg(req, 2) } };

	return look(req, tree, sluice_request_nr(req) == SYS_llistxattr ? WALK_NOFOLLOW : 0, &p,
		    attributes_act);
}

static struct sluice_verdict listxattrat_handle(struct sluice_request *req, void *tree)
{
	struct files_plan p = { .args = { sluice_request_arg(req, 3),
					  sluice_request_arg(req, 4) } };

	if ((uint32_t)sluice_request_arg(req, 2) & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return sluice_errno(EINVAL);
	return look(req, tree, files_walk_flags(sluice_request_arg(req, 2), false), &p,
		    attributes_act);
}

static struct sluice_verdict getxattrat_handle(struct sluice_request *req, void *tree)
{
	struct xattr_args_v0 args;
	struct files_plan p = { 0 };
	int r;

	if ((uint32_t)sluice_request_arg(req, 2) & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return sluice_errno(EINVAL);
	r = request_read_struct(req, sluice_request_arg(req, 4), sluice_request_arg(req, 5), &args,
				sizeof(args));
	if (r < 0)
		return files_errno(r);
	if (args.flags || !sluice_request_arg(req, 3))
		return sluice_errno(args.flags ? EINVAL : EFAULT);
	p.args[0] = args.value;
	p.args[1] = args.size;
	p.args[2] = sluice_request_arg(req, 3);
	return look(req, tree, files_walk_flags(sluice_request_arg(req, 2), false), &p,
		    attributes_act);
}

/* By a descriptor. */
static struct sluice_verdict fxattr_plan(struct sluice_request *req, const struct tree *tree,
					 struct files_plan *p)
{
	const int fd = (int)sluice_request_arg(req, 0);
	struct walk_end end = { .fd = -1, .dir = -1 };
	int r = fd < 0 || task_fd_is_path(request_task(req), fd)
			? -EBADF
			: files_descriptor(req, tree, fd, &end);

	return files_plan_one(req, tree, p, &end, r, attributes_act);
}

static struct sluice_verdict fgetxattr_handle(struct sluice_request *req, void *tree)
{
	struct files_plan p = { .args = { sluice_request_arg(req, 2), sluice_request_arg(req, 3),
					  sluice_request_arg(req, 1) } };

	return p.args[2] ? fxattr_plan(req, tree, &p) : sluice_errno(EFAULT);
}

static struct sluice_verdict flistxattr_handle(struct sluice_request *req, void *tree)
{
	struct files_plan p = { .args = { sluice_request_arg(req, 1),
					  sluice_request_arg(req, 2) } };

	return fxattr_plan(req, tree, &p);
}

/* The kernel's own answer is right but for what a branch has copied. */
const struct files_call files_look_branch_calls[] = {
	{ SYS_fstat, fstat_handle },
	{ SYS_fgetxattr, fgetxattr_handle },
	{ SYS_flistxattr, flistxattr_handle },
	{ -1, NULL },
};

const struct files_call files_look_calls[] = {
#ifdef SYS_stat
	{ SYS_stat, stat_handle },
	{ SYS_lstat, stat_handle },
	{ SYS_access, access_handle },
#endif
	{ SYS_newfstatat, fstatat_handle },
	{ SYS_statx, statx_handle },
	{ SYS_faccessat, faccessat_handle },
	{ SYS_faccessat2, faccessat_handle },
	{ SYS_statfs, statfs_handle },
	{ SYS_getxattr, getxattr_handle },
	{ SYS_lgetxattr, getxattr_handle },
	{ SYS_listxattr, listxattr_handle },
	{ SYS_llistxattr, listxattr_handle },
	{ NR_GETXATTRAT, getxattrat_handle },
	{ NR_LISTXATTRAT, listxattrat_handle },
	{ -1, NULL },
};
