/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readlink and readlinkat: what a link says, and what the links on procfs say to the command.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/files/internal.h"
#include "task/procfs.h"
#include "tree/denial.h"

/* The virtual path of @fd (consumed, may be an error) in @buf, or -ENODATA: what the link itself says is right. */
static ssize_t shown_path(const struct tree *tree, int fd, char *buf, size_t size)
{
	ssize_t n;

	if (fd < 0)
		return -ENODATA;
	n = view_path(tree->view, fd, buf, size);
	close(fd);
	return n < 0 ? -ENODATA : n;
}

static int open_path_at(int dir, const char *name)
{
	return openat(dir, name, O_PATH | O_CLOEXEC);
}

/* The same of a link that only the privileged may follow, as those in map_files. */
static ssize_t shown_text(const struct tree *tree, int dir, const char *name, char *buf,
			  size_t size)
{
	char host[PATH_MAX];
	ssize_t n = readlinkat(dir, name, host, sizeof(host) - 1);

	if (n < 0)
		return -errno;
	host[n] = '\0';
	n = view_path_of_host(tree->view, host, buf, size);
	return n < 0 ? -ENODATA : n;
}

/*
 * What a link on procfs says to the task: the kernel would speak of us, or of the host's paths. -ENODATA: its text is right.
 */
static ssize_t proc_link(struct sluice_request *req, const struct tree *tree, int dir,
			 const char *name, char *buf, size_t size)
{
	const struct task *t = request_task(req);
	int place = procfs_place(tree->proc, dir), fd;
	ssize_t n;

	if (place < 0)
		return place;
	if (place == PROCFS_ROOT && !strcmp(name, "self"))
		return snprintf(buf, size, "%d", (int)sluice_request_tgid(req));
	if (place == PROCFS_ROOT && !strcmp(name, "thread-self"))
		return snprintf(buf, size, "%d/task/%d", (int)sluice_request_tgid(req),
				(int)t->tid);
	if (place != PROCFS_PROCESS || !tree->view)
		return -ENODATA;
	if (!strcmp(name, "root") || !strcmp(name, "cwd")) {
		fd = open_path_at(dir, name);
		if (fd < 0) /* of a process that may not be looked at */
			return -errno;
		close(fd);
	}
	if (!strcmp(name, "root"))
		return snprintf(buf, size, "/");
	if (!strcmp(name, "cwd"))
		return shown_path(tree, cwd_get(tree->cwds, procfs_process(dir)), buf, size);
	if (!strcmp(name, "exe")) {
		n = tree->exe_of(procfs_process(dir), buf, size);
		if (n != -ENOEXEC) /* else the kernel executed the program itself */
			return n;
	}
	fd = open_path_at(dir, name);
	return fd < 0 ? shown_text(tree, dir, name, buf, size) : shown_path(tree, fd, buf, size);
}

static struct request_act readlink_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	const int fd = request_plan_fd(req, 0), dir = request_plan_dir(req, 0);
	char target[PATH_MAX];
	ssize_t n = -ENODATA;

	if (dir >= 0 && procfs_has(fd))
		n = proc_link(req, p->tree, dir, p->places[0].name, target, sizeof(target));
	if (n == -ENODATA) {
		n = readlinkat(fd, "", target, sizeof(target));
		if (n < 0)
			n = -errno;
	}
	if (n < 0)
		return files_value(n);
	if ((uint64_t)n > p->args[1])
		n = (ssize_t)p->args[1];
	return files_give(req, p->args[0], target, (size_t)n, n);
}

/*
 * Does the path name the task's own program, as C libraries, Go, Node.js and Java ask for it at their start? By its text alone, where /proc is the procfs that the
 * command sees by itself; false where that cannot be told without a walk.
 */
static bool names_own_program(struct sluice_request *req, const struct tree *tree)
{
	static const char name[] = "self/exe";
	const struct view *v = tree->view;
	const char *path, *rest;
	const struct view_mount *m;
	ssize_t n = request_peek_path(req, 0, &path);

	if (n < (ssize_t)sizeof(name) || path[0] != '/' ||
	    strcmp(path + n - (sizeof(name) - 1), name) != 0)
		return false;
	if (!v || !tree->proc || request_has_extras(req) || view_has_denials(v) ||
	    view_has_moved(v))
		return false;
	m = view_mount(v, view_split(v, path, &rest));
	if (m->branch)
		return false;
	return (m->dev == tree->proc->dev && m->ino == PROCFS_ROOT_INO && !strcmp(rest, name)) ||
	       (!strcmp(m->host, "/") && !strcmp(path, "/proc/self/exe"));
}

/* Its answer. False: it is the kernel's. */
static bool plan_own_program(struct sluice_request *req, const struct tree *tree,
			     const struct files_plan *p)
{
	char path[PATH_MAX];
	ssize_t n = tree->exe_of(request_task(req)->tid, path, sizeof(path));

	/* one check after the last look at the task */
	if (n < 0 || request_check_path(req, 0) < 0 || request_compare_credentials(req) < 0)
		return false;
	if ((uint64_t)n > p->args[1])
		n = (ssize_t)p->args[1];
	return request_plan_reply(req, "files", n, p->args[0], path, (size_t)n) == 0;
}

static bool has_empty_path(struct sluice_request *req)
{
	const char *path;

	return sluice_request_path(req, 0, &path) == 0;
}

static struct sluice_verdict readlink_plan(struct sluice_request *req, const struct tree *tree,
					   uint64_t buf, uint64_t size)
{
	struct files_plan p = { .args = { buf, (uint32_t)size } };
	struct walk_end end;
	int r;

	if ((int)size <= 0)
		return sluice_errno(EINVAL);
	if (names_own_program(req, tree) && plan_own_program(req, tree, &p))
		return sluice_continue();
	r = files_walk(req, tree, 0, WALK_NOFOLLOW | WALK_EMPTY, 0, &end);
	if (r == 0 && !S_ISLNK(end.st.st_mode)) /* the answer to most of what is asked */
		r = has_empty_path(req) ? -ENOENT : -EINVAL;
	if (r == 0 && procfs_has(end.fd)) {
		walk_end_close(&end);
		r = files_walk(req, tree, 0, WALK_NOFOLLOW | WALK_NAME, 0, &end);
		if (r == 0 && end.fd < 0)
			r = -ENOENT;
	}
	return files_plan_one(req, tree, &p, &end, r, readlink_act);
}

#ifdef SYS_readlink
static struct sluice_verdict readlink_handle(struct sluice_request *req, void *tree)
{
	return readlink_plan(req, tree, sluice_request_arg(req, 1), sluice_request_arg(req, 2));
}
#endif

static struct sluice_verdict readlinkat_handle(struct sluice_request *req, void *tree)
{
	return readlink_plan(req, tree, sluice_request_arg(req, 2), sluice_request_arg(req, 3));
}

const struct files_call files_readlink_calls[] = {
#ifdef SYS_readlink
	{ SYS_readlink, readlink_handle },
#endif
	{ SYS_readlinkat, readlinkat_handle },
	{ -1, NULL },
};
