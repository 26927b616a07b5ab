/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "task/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sys/openat2.h"
#include "task/credentials.h"
#include "task/procfs.h"

#define SYMLINKS_MAX 40 /* the kernel's MAXSYMLINKS */

/* A terminal that is opened here must not become ours. */
static int open_one(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	return open_at_how(dirfd, path, flags & O_PATH ? flags : flags | O_NOCTTY, mode, resolve);
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

/* Where the task's relative path starts from. */
static int open_base(const struct task *t, const struct resolve_open *how)
{
	int fd = task_open_dirfd(t, how->dirfd), real;

	if (fd < 0 || !how->view)
		return fd;
	real = how->view->stands_for(how->view, fd);
	if (real == -ENODATA)
		return fd;
	close(fd);
	return real;
}

static int walk_start(struct walk *w)
{
	int fd;

	if (w->rest[0] == '/')
		fd = open_one(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0, 0);
	else
		fd = open_base(w->task, w->how);
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
		return walk_to(w, open_one(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0, 0));
	return 0;
}

/* What a step returns beside a descriptor of the end or the errno for the task; no errno of the kernel is as large. */
#define WALK_ON (-5000)	   /* the next component */
#define WALK_AGAIN (-5001) /* the same one: it was changed while it was looked at */

/* One component of the path, while it is walked. */
struct step {
	char name[NAME_MAX + 1];
	bool last, dir; /* nothing follows it; a slash does */
	int link;	/* O_PATH descriptor of it, a symbolic link not followed */
};

static int walk_on(int r)
{
	return r < 0 ? r : WALK_ON;
}

/* Go into a component that is no link, or open it if it is the last. The kernel would follow a link as us, so that is not left to it. */
static int walk_enter(struct walk *w, const struct step *s)
{
	char name[NAME_MAX + 2];
	int r;

	snprintf(name, sizeof(name), "%s%s", s->name, s->dir ? "/" : "");
	if (s->last)
		r = open_one(w->at, name, w->how->flags, w->how->mode, RESOLVE_NO_SYMLINKS);
	else
		r = walk_on(walk_to(
			w, open_one(w->at, name, O_PATH | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS)));
	return r == -ELOOP ? WALK_AGAIN : r;
}

/* "self" and "thread-self" of a procfs root name the task. */
static int walk_self(struct walk *w, const struct step *s)
{
	char target[64];
	pid_t pid;

	if (!procfs_counts_as_we(w->at))
		return -EACCES;
	pid = task_lookup_process(w->task);
	if (pid < 0)
		return pid;
	if (s->name[0] == 's')
		snprintf(target, sizeof(target), "%d", (int)pid);
	else
		snprintf(target, sizeof(target), "%d/task/%d", (int)pid, (int)w->task->tid);
	return walk_on(walk_push(w, target));
}

/* Go on with a link's text. */
static int walk_text(struct walk *w, const struct step *s)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(s->link, "", target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	return walk_on(walk_push(w, target));
}

/* Open what @fd (O_PATH) names. */
static int reopen(int fd, const struct step *s, const struct resolve_open *how)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d%s", fd, s->dir ? "/" : "");
	return open_one(AT_FDCWD, path, how->flags, how->mode, 0);
}

/*
 * A magic link in a process's directory. The kernel follows it once, to a descriptor by which nothing was opened yet; what is on
 * procfs itself is walked to by name instead, so that it is looked at like any other way there.
 */
static int walk_magic(struct walk *w, const struct step *s)
{
	int r, fd;

	if (w->how->resolve & RESOLVE_NO_MAGICLINKS)
		return -ELOOP;
	fd = open_one(w->at, s->name, O_PATH, 0, 0);
	if (fd < 0)
		return fd;
	if (procfs_has(fd) && !procfs_is_root(fd)) {
		close(fd);
		return walk_text(w, s);
	}
	if (!s->last)
		return walk_on(walk_to(w, fd));
	r = reopen(fd, s, w->how);
	close(fd);
	return r;
}

static bool means_the_link(const struct step *s, uint64_t flags)
{
	return s->last && !s->dir && (flags & O_NOFOLLOW || (flags & O_CREAT && flags & O_EXCL));
}

static int walk_link(struct walk *w, const struct step *s)
{
	int place;

	if (means_the_link(s, w->how->flags))
		return open_one(w->at, s->name, w->how->flags, w->how->mode, RESOLVE_NO_MAGICLINKS);
	if (!procfs_has(s->link))
		return walk_text(w, s);
	place = procfs_place(w->how->view, w->at);
	if (place < 0)
		return place;
	if (place == PROCFS_PROCESS)
		return walk_magic(w, s);
	if (place == PROCFS_ROOT && (!strcmp(s->name, "self") || !strcmp(s->name, "thread-self")))
		return walk_self(w, s);
	return walk_text(w, s);
}

/* A file that is no link. The listing of a directory on procfs is not bounded here: what it holds is, when it is opened. */
static int walk_file(struct walk *w, const struct step *s, mode_t mode)
{
	int place = PROCFS_GENERAL;

	if (s->last && !S_ISDIR(mode) && procfs_has(s->link))
		place = procfs_place(w->how->view, w->at);
	return place < 0 ? place : walk_enter(w, s);
}

static int walk_step(struct walk *w, struct step *s)
{
	struct stat st;
	int r;

	if (!strcmp(s->name, "..") || !strcmp(s->name, "."))
		return walk_enter(w, s);
	s->link = open_one(w->at, s->name, O_PATH | O_NOFOLLOW, 0, 0);
	if (s->link < 0) /* also a name to create */
		return s->last && s->link == -ENOENT ? walk_enter(w, s) : s->link;
	if (fstat(s->link, &st) < 0)
		r = -errno;
	else
		r = S_ISLNK(st.st_mode) ? walk_link(w, s) : walk_file(w, s, st.st_mode);
	close(s->link);
	return r;
}

/* All of the path. A component that is exchanged each time we look counts as a link each time. */
static int walk_components(struct walk *w)
{
	struct step s;
	int r;

	for (;;) {
		r = walk_next(w, s.name, &s.last, &s.dir);
		if (r < 0)
			return r;
		if (r == 0) /* only slashes: the directory itself */
			return open_one(w->at, ".", w->how->flags, w->how->mode, 0);
		do
			r = walk_step(w, &s);
		while (r == WALK_AGAIN && ++w->links <= SYMLINKS_MAX);
		if (r != WALK_ON)
			return r == WALK_AGAIN ? -ELOOP : r;
	}
}

static int walk_open(const struct task *t, const struct resolve_open *how)
{
	struct walk w = { .task = t, .how = how, .at = -1 };
	int r;

	snprintf(w.rest, sizeof(w.rest), "%s", how->path);
	r = walk_start(&w);
	if (r == 0)
		r = walk_components(&w);
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
	return open_base(t, how);
}

/*
 * Could the kernel have found something else for us than for the task? What lies on procfs, and a magic link, which was refused; and a
 * failure on the way through a link, which may be /proc/self.
 */
static bool may_differ(int base, const struct resolve_open *how, int fd, bool on_proc)
{
	int again;

	if (fd >= 0)
		return on_proc;
	if (how->resolve & ~(uint64_t)RESOLVE_NO_MAGICLINKS)
		return false;
	if (fd != -ENOENT && fd != -ENOTDIR && fd != -EACCES)
		return fd == -ELOOP;
	again = open_one(base, how->path, O_PATH, 0, RESOLVE_NO_SYMLINKS);
	if (again >= 0)
		close(again);
	return again == -ELOOP;
}

static bool writes(uint64_t flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
}

/* Asked with a directory that nobody has, so nothing can be opened. */
static bool flags_refused(uint64_t flags, uint64_t mode, uint64_t resolve)
{
	return open_one(-1, "x", flags, mode, resolve) == -EINVAL;
}

int resolve_check_flags(uint64_t flags, uint64_t mode, uint64_t resolve, bool strict)
{
	const uint64_t suspicious = O_TMPFILE & ~(uint64_t)O_DIRECTORY;

	if (!strict && !(flags & suspicious) &&
	    (flags & (O_CREAT | O_DIRECTORY)) != (O_CREAT | O_DIRECTORY))
		return 0;
	if (!strict) {
		mode = flags & (O_CREAT | suspicious) ? mode & 07777 : 0;
		flags &= RESOLVE_FLAGS_KNOWN;
	}
	return flags_refused(flags, mode, resolve) ? -EINVAL : 0;
}

/* Our own domain grants more of /proc than the policy may. */
static bool proc_granted(const struct resolve_open *how)
{
	if (how->view) /* which says what may be written */
		return how->proc_granted;
	return writes(how->flags) ? how->proc_writable : how->proc_granted;
}

/*
 * What was opened, in *ret, and whether it lies on procfs; false for an error in @fd. A file system with a device is not procfs, whose number is
 * anonymous: for most files the one look that the caller needs anyway tells.
 */
static bool look(int fd, struct stat *ret)
{
	if (fd < 0)
		return false;
	return (fstat(fd, ret) < 0 || major(ret->st_dev) == 0) && procfs_has(fd);
}

/* In place of @fd (consumed), which names what *@st says, what the task is to see. */
static int present(const struct task *t, const struct resolve_open *how, int fd, bool on_proc,
		   struct stat *st)
{
	int r = on_proc ? procfs_sees_file(how->view, fd) : 0, shown;

	if (r == 0 && how->flags & O_PATH)
		return fd;
	shown = r < 0 ? r : how->view->open(how->view, t, fd, st, how->flags);
	if (shown == -ENODATA)
		return fd;
	close(fd);
	if (shown >= 0 && fstat(shown, st) < 0) {
		close(shown);
		return -EIO;
	}
	return shown;
}

int resolve_open(const struct task *t, const struct resolve_open *how, struct stat *ret)
{
	int fd = how->check_credentials ? credentials_compare(t) : 0;
	bool differs, on_proc;
	int base;

	memset(ret, 0, sizeof(*ret));
	if (fd < 0)
		return fd;
	base = resolve_base(t, how);
	if (base < 0 && base != AT_FDCWD) /* flags that don't go together come first */
		return flags_refused(how->flags, how->mode, how->resolve) ? -EINVAL : base;
	fd = open_one(base, how->path, how->flags, how->mode, how->resolve | RESOLVE_NO_MAGICLINKS);
	on_proc = look(fd, ret);
	differs = may_differ(base, how, fd, on_proc);
	if (base >= 0)
		close(base);
	if (differs) {
		if (fd >= 0)
			close(fd);
		fd = walk_open(t, how);
		on_proc = look(fd, ret);
	}
	if (on_proc && !proc_granted(how)) {
		close(fd);
		fd = -EACCES;
	}
	return fd >= 0 && how->view ? present(t, how, fd, on_proc, ret) : fd;
}
