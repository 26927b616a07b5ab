/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rest of the calls that take a path: handles, inotify, fanotify, attributes of a file system's own, and those that are refused in a tree of one's own whatever the
 * policy says of them, because they would change what the kernel resolves paths in, or show it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/files/internal.h"
#include "sys/fd.h"
#include "sys/newer.h"
#include "util/cleanup.h"

/* ---- name_to_handle_at ---- */

#ifndef AT_HANDLE_MNT_ID_UNIQUE
#define AT_HANDLE_MNT_ID_UNIQUE 1
#endif

struct handle {
	struct file_handle head;
	unsigned char bytes[MAX_HANDLE_SZ];
};

/* args: address of the handle, of the mount's number, flags */
static struct request_act handle_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	const size_t head = offsetof(struct file_handle, f_handle);
	struct handle h = { 0 };
	uint64_t mount = 0;
	size_t id = p->args[2] & AT_HANDLE_MNT_ID_UNIQUE ? sizeof(uint64_t) : sizeof(int);
	int r = sluice_request_read(req, p->args[0], &h, head);
	long got;

	if (r < 0)
		return files_value(r);
	got = syscall(SYS_name_to_handle_at, request_plan_fd(req, 0), "", &h, &mount,
		      (int)p->args[2] | AT_EMPTY_PATH);
	if (got < 0 && errno != EOVERFLOW)
		return files_done(-1);
	got = got < 0 ? -errno : got;
	r = sluice_request_write(req, p->args[1], &mount, id);
	if (r == 0)
		r = sluice_request_write(req, p->args[0], &h,
					 head + (got < 0 ? 0 : h.head.handle_bytes));
	return files_value(r < 0 ? r : got);
}

static struct sluice_verdict handle_handle(struct sluice_request *req, void *tree)
{
	const uint32_t flags = (uint32_t)sluice_request_arg(req, 4);
	struct files_plan p = {
		.args = { sluice_request_arg(req, 2), sluice_request_arg(req, 3),
			  flags & ~(uint32_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) },
	};
	struct walk_end end;
	int r = files_walk(req, tree, 0, files_walk_flags(flags, true), 0, &end);

	return files_plan_one(req, tree, &p, &end, r, handle_act);
}

/* ---- inotify_add_watch, fanotify_mark ---- */

#ifndef FAN_MARK_MNTNS
#define FAN_MARK_MNTNS 0x110
#endif

/* Their FAN_* are the same bits. */
#define CHANGES                                                                             \
	(IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | \
	 IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF)

/* args: what the call's own are but for the path */
static long mark(struct sluice_request *req, const struct files_plan *p, int fd, const char *path)
{
	if (sluice_request_nr(req) == SYS_inotify_add_watch)
		return inotify_add_watch(fd, path, (uint32_t)p->args[0]);
	return fanotify_mark(fd, (unsigned)p->args[0], p->args[1], AT_FDCWD, path);
}

/* In a branch changes are made to the upper file, so that is what is watched for them, where the task may make any. -ENODATA: what was found. */
static int open_changing(struct sluice_request *req, const struct files_plan *p)
{
	const uint64_t mask = p->args[sluice_request_nr(req) == SYS_inotify_add_watch ? 0 : 1];
	struct files_spot s;
	int fd;

	if (!(mask & CHANGES) || files_spot(req, p, 0, &s) < 0 || !s.branch)
		return -ENODATA;
	fd = branch_open_watched(s.branch, s.path);
	if (fd == -EMFILE)
		return -ENFILE; /* our limit, not the task's */
	return fd == -EACCES || fd == -EROFS || fd == -ENOENT ? -ENODATA : fd;
}

static struct request_act mark_act(struct sluice_request *req, const void *data)
{
	char link[FD_LINK_BYTES];
	int fd = task_get_fd(request_task(req), (int)sluice_request_arg(req, 0));
	_cleanup_close_ int changing = -1;
	struct request_act a;
	int watched;

	if (fd < 0)
		return files_value(fd);
	changing = open_changing(req, data);
	watched = changing == -ENODATA ? request_plan_fd(req, 0) : changing;
	a = watched < 0 ? files_value(watched)
			: files_done(mark(req, data, fd, fd_link(watched, link)));
	close(fd);
	return a;
}

static struct sluice_verdict watch_handle(struct sluice_request *req, void *tree)
{
	const uint64_t mask = sluice_request_arg(req, 2);
	struct files_plan p = { .args = { mask & ~(uint64_t)IN_DONT_FOLLOW } };
	struct walk_end end;
	int r = files_walk(req, tree, 0, mask & IN_DONT_FOLLOW ? WALK_NOFOLLOW : 0, 0, &end);

	if (r == 0 && mask & IN_ONLYDIR && !S_ISDIR(end.st.st_mode))
		r = -ENOTDIR;
	return files_plan_one(req, tree, &p, &end, r, mark_act);
}

/* Without a path the descriptor itself is meant. AT_FDCWD is none, whatever fanotify_mark(2) says. */
static int mark_target(struct sluice_request *req, const struct tree *tree, uint32_t flags,
		       struct walk_end *ret)
{
	const int dirfd = (int)sluice_request_arg(req, 3);

	if (sluice_request_arg(req, 4))
		return files_walk(req, tree, 0, flags & FAN_MARK_DONT_FOLLOW ? WALK_NOFOLLOW : 0, 0,
				  ret);
	return dirfd < 0 ? -EBADF : files_descriptor(req, tree, dirfd, ret);
}

/* A mount or a whole file system is more than the tree (and takes privilege anyway). */
static struct sluice_verdict mark_handle(struct sluice_request *req, void *tree)
{
	const uint32_t flags = (uint32_t)sluice_request_arg(req, 1);
	struct files_plan p = { .args = { flags & ~(uint32_t)FAN_MARK_DONT_FOLLOW,
					  sluice_request_arg(req, 2) } };
	struct walk_end end = { .fd = -1, .dir = -1 };
	int r;

	if (flags & FAN_MARK_FLUSH)
		return sluice_continue();
	if (flags & FAN_MARK_MNTNS)
		return sluice_errno(EPERM);
	r = mark_target(req, tree, flags, &end);
	if (r == 0 && flags & FAN_MARK_ONLYDIR && !S_ISDIR(end.st.st_mode))
		r = -ENOTDIR;
	return files_plan_one(req, tree, &p, &end, r, mark_act);
}

/* ---- file_getattr (6.17) ---- */

#define FILE_ATTR_MAX 4096u /* a page, as the kernel has it */

static struct request_act getattr_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	unsigned char attr[FILE_ATTR_MAX] = { 0 };
	char link[FD_LINK_BYTES];
	int r;

	/* not by an empty path: the kernel refuses an O_PATH descriptor there */
	if (syscall(NR_FILE_GETATTR, AT_FDCWD, fd_link(request_plan_fd(req, 0), link), attr,
		    p->args[1], 0) < 0)
		return files_done(-1);
	r = sluice_request_write(req, p->args[0], attr, p->args[1]);
	return files_value(r);
}

static struct sluice_verdict getattr_handle(struct sluice_request *req, void *tree)
{
	const uint32_t flags = (uint32_t)sluice_request_arg(req, 4);
	struct files_plan p = { .args = { sluice_request_arg(req, 2),
					  sluice_request_arg(req, 3) } };
	struct walk_end end;
	int r;

	if (flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return sluice_errno(EINVAL);
	if (sluice_request_arg(req, 3) > FILE_ATTR_MAX)
		return sluice_errno(E2BIG);
	r = files_walk(req, tree, 0, files_walk_flags(flags, false), 0, &end);
	return files_plan_one(req, tree, &p, &end, r, getattr_act);
}

/* ---- refused ---- */

static struct sluice_verdict refuse(struct sluice_request *req, void *tree)
{
	(void)req;
	(void)tree;
	return sluice_errno(EPERM);
}

/* The mounts are the host's. Who finds no such call reads mountinfo, as on kernels before Linux 6.8. */
static struct sluice_verdict absent(struct sluice_request *req, void *tree)
{
	(void)req;
	(void)tree;
	return sluice_errno(ENOSYS);
}

const struct files_call files_rest_calls[] = {
	{ SYS_name_to_handle_at, handle_handle },
	{ SYS_inotify_add_watch, watch_handle },
	{ SYS_fanotify_mark, mark_handle },
	{ NR_FILE_GETATTR, getattr_handle },
	{ -1, NULL },
};

const struct files_call files_refused_calls[] = {
	{ SYS_chroot, refuse },
	{ SYS_pivot_root, refuse },
	{ SYS_mount, refuse },
	{ SYS_umount2, refuse },
	{ SYS_open_tree, refuse },
	{ NR_OPEN_TREE_ATTR, refuse },
	{ SYS_move_mount, refuse },
	{ SYS_fspick, refuse },
	{ SYS_mount_setattr, refuse },
	{ SYS_open_by_handle_at, refuse },
	{ SYS_swapon, refuse },
	{ SYS_swapoff, refuse },
	{ SYS_acct, refuse },
	{ SYS_quotactl, refuse },
	{ NR_STATMOUNT, absent },
	{ NR_LISTMOUNT, absent },
#ifdef SYS_uselib
	{ SYS_uselib, refuse },
#endif
	{ -1, NULL },
};
