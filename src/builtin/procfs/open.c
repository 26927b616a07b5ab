/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open, openat, openat2 and creat on the host's tree.
 *
 * Most are the kernel's: what a path leads to is looked at once, and where that is nothing of ours the call goes on, bounded by the command's own domain, which
 * grants nothing of procfs to whoever changes the path meanwhile. What is on procfs is found once more as the task would find it, component by
 * component where /proc/self or a magic link may be on the way, and then opened by the descriptor that was found.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/procfs/internal.h"
#include "confine/holes.h"
#include "sys/openat2.h"
#include "task/resolve.h"
#include "util/cleanup.h"
#include "util/path.h"

enum where {
	ELSEWHERE,   /* the kernel's */
	ON_BEHALF,   /* the engine's, by its path */
	TO_BE_FOUND, /* perhaps ours */
};

/* ---- a look ---- */

static enum where where_of(const struct ownproc *o, const struct stat *st)
{
	if (show_may_differ(o, st))
		return TO_BE_FOUND;
	return S_ISDIR(st->st_mode) && holes_broken(o->holes, st) ? ON_BEHALF : ELSEWHERE;
}

/*
 * Names of devices, some of which are links to the task's own descriptors: these must not be looked for among ours.
 */
static enum where look_at_device(const struct ownproc *o, const char *path)
{
	struct stat st;
	enum where where = ELSEWHERE;
	int fd = open_at_how(AT_FDCWD, path, O_PATH, 0, RESOLVE_NO_MAGICLINKS);

	if (fd == -ELOOP)
		return TO_BE_FOUND;
	if (fd >= 0 && fstat(fd, &st) == 0)
		where = where_of(o, &st);
	if (fd >= 0)
		close(fd);
	return where;
}

/* Of a path that starts from a directory of the task's. */
static enum where look_from(const struct ownproc *o, const struct task *t, int dirfd,
			    const char *path)
{
	char base[48], whole[sizeof(base) + PATH_MAX];
	struct stat st;
	int n;

	if (dirfd == AT_FDCWD)
		snprintf(base, sizeof(base), "/proc/%d/cwd", (int)t->tid);
	else
		snprintf(base, sizeof(base), "/proc/%d/fd/%d", (int)t->tid, dirfd);
	if (listings_are_made(o) && stat(base, &st) == 0 && listings_may_have(o, &st)) {
		_cleanup_close_ int fd = open(base, O_PATH | O_CLOEXEC);
		_cleanup_close_ int real = fd < 0 ? -1 : listings_stand_for(&o->view, fd);

		if (real != -ENODATA && fd >= 0)
			return TO_BE_FOUND;
	}
	n = snprintf(whole, sizeof(whole), "%s/%s", base, path);
	if (n >= PATH_MAX) /* more than may be asked for at once */
		return TO_BE_FOUND;
	return stat(whole, &st) < 0 ? ELSEWHERE : where_of(o, &st);
}

static enum where look(const struct ownproc *o, struct sluice_request *req, const char *path)
{
	struct stat st;

	if (path[0] != '/')
		return look_from(o, request_task(req), sluice_request_dirfd(req, 0), path);
	if (path_is_within(path, o->view.path))
		return TO_BE_FOUND;
	if (path_is_within(path, "/dev"))
		return look_at_device(o, path);
	return stat(path, &st) < 0 ? ELSEWHERE : where_of(o, &st);
}

/* ---- finding ---- */

/* Is each component a name, so that the text says where the file lies? */
static bool is_plain(const char *path)
{
	for (;;) {
		size_t n = strcspn(path, "/");

		if (!n || (path[0] == '.' && (n == 1 || (n == 2 && path[1] == '.'))))
			return false;
		if (!path[n])
			return true;
		path += n + 1;
	}
}

/* A path that the kernel can walk below procfs's root as it stands, with the task put in for "self". 0: it can't. */
static int plain_name(const struct ownproc *o, struct sluice_request *req, const char *path,
		      char name[PROCFS_NAME_BYTES])
{
	const char *rest = path + strlen(o->view.path);
	int n = 0;

	if (!path_is_within(path, o->view.path) || *rest++ != '/' || !is_plain(rest))
		return 0;
	if (!strcmp(rest, "self") ||
	    !strcmp(rest, "thread-self")) /* which may be meant themselves */
		return 0;
	if (path_is_within(rest, "self")) {
		rest += strlen("self");
		n = snprintf(name, PROCFS_NAME_BYTES, "%d", (int)sluice_request_tgid(req));
	} else if (path_is_within(rest, "thread-self")) {
		rest += strlen("thread-self");
		n = snprintf(name, PROCFS_NAME_BYTES, "%d/task/%d", (int)sluice_request_tgid(req),
			     (int)sluice_request_tid(req));
	}
	return snprintf(name + n, PROCFS_NAME_BYTES - (size_t)n, "%s", rest) <
	       (int)(PROCFS_NAME_BYTES - (size_t)n);
}

/*
 * A path that is the name of a file of the task's own process, or a general one, whose content is the kernel's and which is no link: it can be opened by
 * that name as it stands. Anything else has to be looked at first.
 */
static bool is_simple(const struct ownproc *o, struct sluice_request *req, const char *name,
		      const struct sluice_open_args *args)
{
	static const char *const links[] = { "exe", "cwd", "root" };
	struct procfs_name part;

	if (args->resolve || args->flags & (O_CREAT | O_TRUNC | O_PATH | O_NOFOLLOW | O_DIRECTORY))
		return false;
	procfs_name_parse(name, &part);
	if (!part.process)
		return procfs_sees(&o->view, name) == 0 && !content_of(o, &part);
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		if (!strcmp(part.rest, links[i]))
			return false;
	}
	return *part.rest && !strchr(part.rest, '/') && !content_of(o, &part) &&
	       part.process == sluice_request_tgid(req);
}

/* What the call's path names, as an O_PATH descriptor in *ret_st's company; the errno that the task's own open would have given. */
static int find(const struct ownproc *o, struct sluice_request *req, const char *path,
		const struct sluice_open_args *args, struct stat *ret_st)
{
	struct resolve_open how = {
		.dirfd = sluice_request_dirfd(req, 0),
		.path = path,
		.flags = O_PATH | (args->flags & (O_NOFOLLOW | O_DIRECTORY)),
		.resolve = args->resolve,
		.proc_granted = true,
		.view = &o->view,
	};
	char name[PROCFS_NAME_BYTES];
	int fd = -ELOOP, r;

	if (!args->resolve && plain_name(o, req, path, name))
		fd = open_at_how(o->view.root, name, O_PATH | (how.flags & O_DIRECTORY), 0,
				 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
	if (fd < 0)
		return resolve_open(request_task(req), &how, ret_st);
	r = fstat(fd, ret_st) < 0 ? -errno : procfs_sees_file(&o->view, fd);
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

/* ---- acts ---- */

static int open_by_path(struct sluice_request *req, const struct resolve_open *how,
			struct stat *ret_st)
{
	return resolve_open(request_task(req), how, ret_st);
}

static struct request_act by_path_act(struct sluice_request *req, const void *data)
{
	(void)data;
	return request_open_as_task(req, open_by_path);
}

static int open_found(struct sluice_request *req, const struct resolve_open *how,
		      struct stat *ret_st)
{
	const int found = request_plan_fd(req, 0);
	struct stat st;
	int fd;

	if (fstat(found, &st) < 0)
		return -errno;
	fd = how->view->open(how->view, request_task(req), found, &st, how->flags);
	if (fd ==
	    -ENODATA) /* what made it ours is gone since it was found: as whatever it is now */
		return resolve_open(request_task(req), how, ret_st);
	if (fd >= 0 && fstat(fd, ret_st) < 0) {
		close(fd);
		return -EIO;
	}
	return fd;
}

static struct request_act found_act(struct sluice_request *req, const void *data)
{
	(void)data;
	return request_open_as_task(req, open_found);
}

/* By the name that the plan keeps; a link after all, or a part of procfs that is mounted there once more, is walked to as the task would. */
static int open_simple(struct sluice_request *req, const struct resolve_open *how,
		       struct stat *ret_st)
{
	int fd = show_open_simple(ownproc_of(how->view), request_plan_data(req), how->flags);

	if (fd == -ELOOP || fd == -EXDEV)
		return resolve_open(request_task(req), how, ret_st);
	if (fd >= 0 && fstat(fd, ret_st) < 0) {
		close(fd);
		return -EIO;
	}
	return fd;
}

static struct request_act simple_act(struct sluice_request *req, const void *data)
{
	(void)data;
	return request_open_as_task(req, open_simple);
}

static struct sluice_verdict plan_name(struct sluice_request *req, int fd, const char *name,
				       request_act_fn act)
{
	const struct request_plan p = {
		.builtin = "procfs",
		.act = act,
		.layer = SLUICE_LAYER_HOST,
		.fds = { fd, -1 },
		.dirs = { -1, -1 },
		.data = name,
		.size = name ? strlen(name) + 1 : 0,
	};
	int r = request_compare_credentials(req);

	if (r < 0) {
		if (fd >= 0)
			close(fd);
		return sluice_errno(-r);
	}
	r = request_plan_act(req, &p);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

static struct sluice_verdict plan(struct sluice_request *req, int fd, request_act_fn act)
{
	return plan_name(req, fd, NULL, act);
}

/* ---- the calls ---- */

/* It is the kernel's, where the command's own domain can let it have it. */
static struct sluice_verdict open_native(struct sluice_request *req, const struct ownproc *o,
					 enum where where, uint64_t flags)
{
	if ((where == ELSEWHERE && !o->every) || flags & O_PATH)
		return sluice_continue();
	return plan(req, -1, by_path_act);
}

/* It may be ours: find it as the task would. */
static struct sluice_verdict open_ours(struct sluice_request *req, const struct ownproc *o,
				       const char *path, const struct sluice_open_args *args)
{
	enum where where = ELSEWHERE;
	char name[PROCFS_NAME_BYTES];
	struct stat st;
	int fd, differs;

	if (resolve_check_flags(args->flags, args->mode, args->resolve, args->openat2) < 0)
		return sluice_errno(EINVAL); /* before all that the path says */
	/* who asks for the plan wants to know of the file */
	if (!request_has_extras(req) && plain_name(o, req, path, name) &&
	    is_simple(o, req, name, args))
		return plan_name(req, -1, name, simple_act);
	fd = find(o, req, path, args, &st);
	if (fd == -ENOENT)
		return sluice_errno(ENOENT);
	if (fd < 0) /* the kernel finds the same error, or more than can be found here */
		return open_native(req, o, where, args->flags);
	differs = show_differs(o, fd, &st);
	if (differs > 0 && !(args->flags & O_PATH))
		return plan(req, fd, found_act);
	close(fd);
	if (differs < 0)
		return sluice_errno(-differs);
	if (S_ISDIR(st.st_mode) && holes_broken(o->holes, &st))
		where = ON_BEHALF;
	return open_native(req, o, where, args->flags);
}

struct sluice_verdict open_handle(struct sluice_request *req, void *ownproc)
{
	const struct ownproc *o = ownproc;
	struct sluice_open_args args;
	const char *path;
	enum where where;

	/* what can't be read here the kernel may be able to, and finds nothing of ours by it */
	if (sluice_request_path(req, 0, &path) <= 0 || sluice_request_open_args(req, &args) < 0)
		return sluice_continue();
	where = look(o, req, path);
	if (where == TO_BE_FOUND)
		return open_ours(req, o, path, &args);
	return open_native(req, o, where, args.flags);
}
