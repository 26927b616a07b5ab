/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "task/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SYMLINKS_MAX 40 /* the kernel's MAXSYMLINKS */
#define PROC_ROOT_INO 1

static int sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY),
		.mode = mode,
		.resolve = resolve,
	};
	int fd;

	do
		fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static bool on_procfs(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/* ---- the walk by hand ---- */

struct walk {
	const struct task *task;
	const struct resolve_open *how;
	int at;			 /* O_PATH descriptor of the directory reached so far; owned */
	unsigned links;		 /* symbolic links followed */
	char rest[PATH_MAX * 2]; /* what is still to be walked */
};

static int walk_to(struct walk *w, int fd)
{
	if (fd < 0)
		return fd;
	if (w->at >= 0)
		close(w->at);
	w->at = fd;
	return 0;
}

static int walk_start(struct walk *w)
{
	int fd;

	if (w->rest[0] == '/')
		fd = sys_openat2(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0, 0);
	else
		fd = task_open_dirfd(w->task, w->how->dirfd);
	return walk_to(w, fd);
}

/* Cut the first component off w->rest into @name. Returns 1, or 0 when nothing but slashes is left. @ret_dir: a slash follows it. */
static int walk_next(struct walk *w, char name[NAME_MAX + 1], bool *ret_last, bool *ret_dir)
{
	char *at = w->rest + strspn(w->rest, "/");
	size_t n = strcspn(at, "/"), slashes;

	if (!n)
		return 0;
	if (n > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, at, n);
	name[n] = '\0';
	slashes = strspn(at + n, "/");
	*ret_dir = slashes > 0;
	*ret_last = at[n + slashes] == '\0';
	memmove(w->rest, at + n, strlen(at + n) + 1);
	return 1;
}

/* Go on with @target in front of what is left. */
static int walk_push(struct walk *w, const char *target)
{
	size_t n = strlen(target), left = strlen(w->rest);

	if (++w->links > SYMLINKS_MAX)
		return -ELOOP;
	if (!n)
		return -ENOENT;
	if (n + left + 1 > sizeof(w->rest))
		return -ENAMETOOLONG;
	memmove(w->rest + n, w->rest, left + 1);
	memcpy(w->rest, target, n);
	if (w->rest[0] == '/')
		return walk_to(w, sys_openat2(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0, 0));
	return 0;
}

/* "self" and "thread-self" of a procfs root, as the task sees them. Returns 1 with the text in @target, else 0. */
static int walk_self(struct walk *w, const char *name, char target[64])
{
	struct stat st;
	pid_t tgid;

	if (strcmp(name, "self") != 0 && strcmp(name, "thread-self") != 0)
		return 0;
	if (!on_procfs(w->at) || fstat(w->at, &st) < 0 || st.st_ino != PROC_ROOT_INO)
		return 0;
	tgid = task_lookup_process(w->task);
	if (tgid < 0)
		return tgid;
	if (name[0] == 's')
		snprintf(target, 64, "%d", (int)tgid);
	else
		snprintf(target, 64, "%d/task/%d", (int)tgid, (int)w->task->tid);
	return 1;
}

static int walk_open_last(struct walk *w, const char *name, bool dir)
{
	const struct resolve_open *how = w->how;
	char with_slash[NAME_MAX + 2];

	/* magic links included: the kernel follows the one that the task named */
	snprintf(with_slash, sizeof(with_slash), "%s%s", name, dir ? "/" : "");
	return sys_openat2(w->at, with_slash, how->flags, how->mode, 0);
}

/*
 * One component. Returns a descriptor of the end result, -EAGAIN to go on, or the errno for the task.
 */
static int walk_step(struct walk *w, const char *name, bool last, bool dir)
{
	char target[PATH_MAX];
	struct stat st;
	ssize_t n;
	int link, r = walk_self(w, name, target);

	if (r != 0)
		return r < 0 ? r : (r = walk_push(w, target)) < 0 ? r : -EAGAIN;
	if (!strcmp(name, "..") || !strcmp(name, ".")) {
		if (last)
			return walk_open_last(w, name, dir);
		r = walk_to(w, sys_openat2(w->at, name, O_PATH | O_DIRECTORY, 0, 0));
		return r < 0 ? r : -EAGAIN;
	}
	link = sys_openat2(w->at, name, O_PATH | O_NOFOLLOW, 0, 0);
	if (link < 0) /* also a name to create */
		return last && link == -ENOENT ? walk_open_last(w, name, dir) : link;
	if (fstat(link, &st) < 0 || !S_ISLNK(st.st_mode) || on_procfs(link)) {
		close(link);
		if (last)
			return walk_open_last(w, name, dir);
		r = walk_to(w, sys_openat2(w->at, name, O_PATH | O_DIRECTORY, 0, 0));
		return r < 0 ? r : -EAGAIN;
	}
	if (last && !dir && (w->how->flags & (O_NOFOLLOW | O_EXCL))) {
		close(link);
		return walk_open_last(w, name, dir);
	}
	n = readlinkat(link, "", target, sizeof(target) - 1);
	r = n < 0 ? -errno : 0;
	close(link);
	if (r < 0)
		return r;
	target[n] = '\0';
	r = walk_push(w, target);
	return r < 0 ? r : -EAGAIN;
}

static int walk_open(const struct task *t, const struct resolve_open *how)
{
	struct walk w = { .task = t, .how = how, .at = -1 };
	char name[NAME_MAX + 1];
	bool last = false, dir = false;
	int r;

	snprintf(w.rest, sizeof(w.rest), "%s", how->path);
	r = walk_start(&w);
	while (r == 0) {
		r = walk_next(&w, name, &last, &dir);
		if (r == 0) { /* only slashes: the directory itself */
			r = walk_open_last(&w, ".", false);
			break;
		}
		if (r > 0)
			r = walk_step(&w, name, last, dir);
		if (r == -EAGAIN)
			r = 0;
		else
			break;
	}
	if (w.at >= 0)
		close(w.at);
	return r;
}

/* ---- the common way ---- */

static int resolve_base(const struct task *t, const struct resolve_open *how)
{
	bool scoped = how->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT);

	if (!how->path[0])
		return -ENOENT;
	if (how->path[0] == '/' && !scoped)
		return AT_FDCWD;
	return task_open_dirfd(t, how->dirfd);
}

int resolve_open(const struct task *t, const struct resolve_open *how)
{
	int base = resolve_base(t, how);
	int fd;

	if (base < 0 && base != AT_FDCWD)
		return base;
	fd = sys_openat2(base, how->path, how->flags, how->mode,
			 how->resolve | RESOLVE_NO_MAGICLINKS);
	if (base >= 0)
		close(base);
	if (fd >= 0 ? on_procfs(fd) : fd == -ELOOP && !how->resolve) {
		/* what lies there may be ours instead of the task's */
		if (fd >= 0)
			close(fd);
		fd = walk_open(t, how);
	}
	if (fd >= 0 && !how->proc_granted && on_procfs(fd)) {
		close(fd);
		fd = -EACCES;
	}
	return fd;
}
