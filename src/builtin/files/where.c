/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process has of its own: where it is (chdir, fchdir, getcwd), and its umask.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/files/internal.h"

/* ---- chdir ---- */

static struct request_act chdir_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	int fd = fcntl(request_plan_fd(req, 0), F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return files_value(errno == EMFILE ? -ENFILE : -errno);
	return files_value(cwd_set(p->tree->cwds, request_task(req)->tid, fd));
}

static struct sluice_verdict plan_move(struct sluice_request *req, const struct tree *tree,
				       struct walk_end *end, int r)
{
	struct files_plan p = { 0 };

	if (r == 0 && !S_ISDIR(end->st.st_mode))
		r = -ENOTDIR;
	if (r == 0 && faccessat(end->fd, ".", X_OK, AT_EACCESS) < 0)
		r = -errno;
	return files_plan_one(req, tree, &p, end, r, chdir_act);
}

static struct sluice_verdict chdir_handle(struct sluice_request *req, void *tree)
{
	struct walk_end end;
	int r = files_walk(req, tree, 0, 0, 0, &end);

	return plan_move(req, tree, &end, r);
}

static struct sluice_verdict fchdir_handle(struct sluice_request *req, void *tree)
{
	int fd = (int)sluice_request_arg(req, 0);
	struct walk_end end = { .fd = -1, .dir = -1 };
	int r = fd < 0 ? -EBADF : files_descriptor(req, tree, fd, &end);

	return plan_move(req, tree, &end, r);
}

/* A directory of a lower tree stays there when the branch has it removed; no name leads to it then. */
static bool is_removed(const struct tree *tree, int fd)
{
	char path[PATH_MAX];
	struct branch *b;

	return view_is_changed(tree->view) &&
	       tree_branch_of(tree, -1, -1, NULL, fd, &b, path) == -EROFS;
}

static struct sluice_verdict getcwd_handle(struct sluice_request *req, void *userdata)
{
	const struct tree *tree = userdata;
	const uint64_t size = sluice_request_arg(req, 1);
	int fd = cwd_get(tree->cwds, request_task(req)->tid);
	char path[PATH_MAX];
	ssize_t n = fd < 0 ? fd : view_path(tree->view, fd, path, sizeof(path));
	int r;

	if (n >= 0 && is_removed(tree, fd))
		n = -ENOENT;
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return files_errno(n == -EXDEV ? -ENOENT : (int)n);
	if (size < (uint64_t)n + 1)
		return sluice_errno(ERANGE);
	r = request_plan_reply(req, "files", n + 1, sluice_request_arg(req, 0), path,
			       (size_t)n + 1);
	return r < 0 ? files_errno(r) : sluice_continue();
}

/* ---- umask ---- */

static struct request_act umask_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;

	cwd_set_umask(p->tree->cwds, request_task(req)->tid, (mode_t)p->args[0]);
	return (struct request_act){ .fd = -1, .go_on = true };
}

/* The kernel's own is set too; what is noted of it saves a look into /proc for each file that is made. */
static struct sluice_verdict umask_handle(struct sluice_request *req, void *tree)
{
	const struct files_plan plan = {
		.tree = tree,
		.args = { sluice_request_arg(req, 0) & 0777 },
	};
	const struct request_plan p = {
		.builtin = "files",
		.act = umask_act,
		REQUEST_PLAN_NO_FILES,
		.data = &plan,
		.size = sizeof(plan),
	};
	int r = request_plan_act(req, &p);

	return r < 0 ? files_errno(r) : sluice_continue();
}

const struct files_call files_where_calls[] = {
	{ SYS_chdir, chdir_handle },
	{ SYS_fchdir, fchdir_handle },
	{ SYS_getcwd, getcwd_handle },
	{ SYS_umask, umask_handle },
	{ -1, NULL },
};
