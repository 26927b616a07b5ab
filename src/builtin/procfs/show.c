/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command gets when it opens a file that was found: the one place that decides it, for every way of opening.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin/procfs/internal.h"
#include "confine/holes.h"
#include "sys/fd.h"
#include "sys/openat2.h"
#include "sys/pidfd.h"
#include "task/procfs.h"
#include "util/cleanup.h"

/* The kernel takes no longer names of memory files. */
#define LABEL_BYTES 240
/* Flags of an open of something that is there, on a file system where nothing is made or cut. */
#define DROPPED ((uint64_t)(O_CREAT | O_EXCL | O_TRUNC))

static bool is_tmpfile(uint64_t flags)
{
	return (flags & O_TMPFILE) == O_TMPFILE;
}

static bool writes(uint64_t flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC || is_tmpfile(flags);
}

static int reopen(int fd, uint64_t flags)
{
	char link[FD_LINK_BYTES];
	int r = open(fd_link(fd, link),
		     (int)(flags & ~(DROPPED | O_NOFOLLOW)) | O_CLOEXEC | O_NOCTTY);

	return r < 0 ? -errno : r;
}

/* ---- files of ours ---- */

/* A file of text that is being made. */
struct making {
	int memory;
	FILE *out; /* writes there */
};

/* @name is what /proc/self/fd shows. 0, and making_end must follow; -errno. */
static int making_begin(struct making *m, const char *name)
{
	m->memory = fd_memory(name);
	if (m->memory < 0)
		return m->memory;
	m->out = fdopen(m->memory, "w");
	if (m->out)
		return 0;
	close(m->memory);
	return -ENOMEM;
}

/* What was written, as a file that can be read only; @r: the error that this had. */
static int making_end(struct making *m, uint64_t flags, int r)
{
	if (r == 0 && fflush(m->out) != 0)
		r = -errno;
	if (r == 0)
		r = fd_seal(m->memory, (int)(flags & ~(DROPPED | O_NOFOLLOW)));
	fclose(m->out);
	return r;
}

/* A file of text is asked for with @flags: the error that this has, or 0. */
static int check_flags(uint64_t flags)
{
	if (flags & O_CREAT && flags & O_EXCL)
		return -EEXIST;
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	return writes(flags) ? -EACCES : 0;
}

static int open_content(const struct content *c, content_fn fn, uint64_t flags)
{
	char label[LABEL_BYTES];
	struct making m;
	int r = check_flags(flags);

	snprintf(label, sizeof(label), "proc/%.220s", c->name);
	if (r < 0)
		return r;
	r = making_begin(&m, label);
	return r < 0 ? r : making_end(&m, flags, fn(c, m.out));
}

/* ---- procfs ---- */

/* Does the task's process trace the one of @part? Only where the policy allows ptrace, by which it has the memory anyway. */
static bool traces(const struct ownproc *o, const struct task *t, const struct procfs_name *part)
{
	static const char key[] = "\nTracerPid:";
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	pid_t process = task_lookup_process(t), tracer;
	const char *at;
	char path[32];

	snprintf(path, sizeof(path), "%d/status",
		 (int)(part->thread ? part->thread : part->process));
	fd = openat(o->view.root, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || content_read(fd, &text) < 0)
		return false;
	at = strstr(text, key);
	tracer = at ? (pid_t)strtol(at + sizeof(key) - 1, NULL, 10) : 0;
	return tracer > 0 && process > 0 && thread_is_of(tracer, process);
}

/* The kernel asks only whether we may look into the process; so this asks what it would have asked the task. */
static int may_open(const struct ownproc *o, const struct procfs_name *part, const struct task *t,
		    uint64_t flags)
{
	if (!part->process)
		return writes(flags) ? -EACCES : 0;
	/* another process's memory is out of reach for ptrace and process_vm_writev as well */
	return strcmp(part->rest, "mem") != 0 || thread_is_of(t->tid, part->process) ||
			       traces(o, t, part)
		       ? 0
		       : -EACCES;
}

/* The file behind @fd, whose name on procfs is @name; with O_NOFOLLOW by that, since the open file will show the flag. */
static int open_same(const struct ownproc *o, const char *name, int fd, uint64_t flags)
{
	struct stat st, opened;
	int r = flags & O_NOFOLLOW ? show_open_simple(o, name, flags) : -EXDEV;

	if (r >= 0 && fstat(fd, &st) == 0 && fstat(r, &opened) == 0 && st.st_ino == opened.st_ino &&
	    st.st_dev == opened.st_dev)
		return r;
	if (r >= 0)
		close(r);
	return reopen(fd, flags);
}

static int open_native(const struct ownproc *o, const struct content *c, uint64_t flags)
{
	const struct procfs_name *part = &c->part;
	int r, seen;

	/* nothing is cut there, but who asks for it must be allowed to write */
	if (flags & O_TRUNC && !(flags & O_ACCMODE) &&
	    faccessat(c->fd, "", W_OK, AT_EACCESS | AT_EMPTY_PATH) < 0)
		return -errno;
	r = open_same(o, c->name, c->fd, flags);
	if (r < 0 || !part->process)
		return r;
	seen = procfs_sees_process(&o->view, part->process);
	if (seen == 0)
		return r;
	close(r);
	return seen;
}

static int open_on_procfs(const struct ownproc *o, const struct task *t, int fd,
			  const struct stat *st, uint64_t flags)
{
	char name[PROCFS_NAME_BYTES];
	struct content c = { .o = o, .t = t, .fd = fd, .name = name };
	content_fn fn;
	int r = procfs_name_of(&o->view, fd, name);

	if (r == 0)
		r = procfs_sees(&o->view, name);
	if (r < 0)
		return r == -EXDEV ? -EACCES : r;
	if (flags & O_CREAT && flags & O_EXCL)
		return -EEXIST;
	if (S_ISDIR(st->st_mode) && is_tmpfile(flags))
		return -EOPNOTSUPP;
	if (S_ISDIR(st->st_mode) && (writes(flags) || flags & O_CREAT))
		return -EISDIR;
	if (!*name)
		return listings_open_proc(o, flags);
	procfs_name_parse(name, &c.part);
	r = may_open(o, &c.part, t, flags);
	if (r < 0)
		return r;
	fn = S_ISREG(st->st_mode) ? content_of(o, &c.part) : NULL;
	return fn ? open_content(&c, fn, flags) : open_native(o, &c, flags);
}

int show_open_simple(const struct ownproc *o, const char *name, uint64_t flags)
{
	struct procfs_name part;

	procfs_name_parse(name, &part);
	if (!part.process && writes(flags))
		return -EACCES;
	return open_at_how(o->view.root, name, (flags & ~DROPPED) | O_NOCTTY, 0,
			   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

/* ---- elsewhere ---- */

static const struct substitute *substitute_of(const struct ownproc *o, const struct stat *st)
{
	for (unsigned i = 0; i < o->n_substitutes; i++) {
		const struct substitute *s = &o->substitutes[i];

		if (s->ino == st->st_ino && s->dev == st->st_dev &&
		    s->ctime.tv_sec == st->st_ctim.tv_sec &&
		    s->ctime.tv_nsec == st->st_ctim.tv_nsec)
			return s;
	}
	return NULL;
}

static int open_substitute(const struct ownproc *o, const struct substitute *s, int fd,
			   uint64_t flags)
{
	_cleanup_free_ char *native = NULL;
	struct making m;
	int r;

	if (writes(flags) || flags & O_CREAT) /* which may change it, and then it is what it is */
		return -ENODATA;
	r = check_flags(flags);
	if (r == 0)
		r = content_read(fd, &native);
	if (r < 0)
		return r;
	r = making_begin(&m, s->name);
	return r < 0 ? r : making_end(&m, flags, s->render(o, m.out, native));
}

static int open_of_cpus(const struct ownproc *o, int fd, const struct stat *st, const char *name,
			uint64_t flags)
{
	char label[LABEL_BYTES];
	struct making m;
	int r;

	if (cpus_hides(o, name))
		return -ENOENT;
	if (S_ISDIR(st->st_mode))
		return strcmp(name, "cpu") != 0 || writes(flags) ? -ENODATA
								 : listings_open_cpus(o, flags);
	snprintf(label, sizeof(label), "%.60s/%.160s", o->system_path + 1, name);
	r = making_begin(&m, label);
	if (r < 0)
		return r;
	r = cpus_show(o, fd, name, m.out);
	return making_end(&m, flags, r == 0 ? check_flags(flags) : r);
}

/* One of the places that the command is granted nothing of, beside procfs. */
static bool is_hidden(const struct ownproc *o, int fd, const struct stat *st)
{
	return holes_may_have(o->holes, st) && holes_have(o->holes, fd, st);
}

/* ---- all of it ---- */

bool show_may_differ(const struct ownproc *o, const struct stat *st)
{
	return st->st_dev == o->view.dev || (o->system_dir >= 0 && st->st_dev == o->system_dev) ||
	       holes_may_have(o->holes, st) || substitute_of(o, st);
}

int show_differs(const struct ownproc *o, int fd, const struct stat *st)
{
	char name[PATH_MAX];

	if (st->st_dev == o->view.dev || substitute_of(o, st))
		return 1;
	if (is_hidden(o, fd, st))
		return -ENOENT;
	if (!cpus_name_of(o, fd, st, name))
		return 0;
	return cpus_hides(o, name) ? -ENOENT : 1;
}

int show_open(const struct procfs_view *v, const struct task *t, int fd, const struct stat *st,
	      uint64_t flags)
{
	const struct ownproc *o = ownproc_of(v);
	const struct substitute *s;
	char name[PATH_MAX];

	if (st->st_dev == v->dev)
		return open_on_procfs(o, t, fd, st, flags);
	if (is_hidden(o, fd, st))
		return -ENOENT;
	s = substitute_of(o, st);
	if (s)
		return open_substitute(o, s, fd, flags);
	if (cpus_name_of(o, fd, st, name))
		return open_of_cpus(o, fd, st, name, flags);
	return -ENODATA;
}
