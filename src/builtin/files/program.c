/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which file of the tree a path names as a program. Thread: a runner.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "builtin/files/exec.h"
#include "builtin/files/files.h"
#include "builtin/files/internal.h"
#include "launcher/image.h"
#include "sys/fd.h"
#include "sys/openat2.h"
#include "util/cleanup.h"

/* As fs/exec.c has it: a regular file, on a file system that lets programs run, that the caller may execute. */
static int may_execute(const struct tree *tree, const struct walk_end *end)
{
	struct statvfs fs;

	if (S_ISLNK(end->st.st_mode))
		return -ELOOP;
	if (!S_ISREG(end->st.st_mode))
		return -EACCES;
	if (fstatvfs(end->fd, &fs) < 0)
		return -errno;
	if (fs.f_flag & ST_NOEXEC)
		return -EACCES;
	return tree_access(tree, end->mount, end->fd, X_OK, AT_EACCESS);
}

/* What the kernel finds by @path, in the host's root. From its working directory of the task, which is not the task's, it finds nothing. */
static int kernel_stat(const struct task *t, int dirfd, const char *path, struct stat *st)
{
	_cleanup_close_ int base =
		path[0] == '/' || dirfd == AT_FDCWD ? -1 : task_open_dirfd(t, dirfd);

	return fstatat(base, path, st, path[0] ? 0 : AT_EMPTY_PATH);
}

/* Is @end what the kernel finds? Then nothing of the tree's own was on the way, or it makes no difference. */
static bool is_native(const struct tree *tree, const struct task *t, int dirfd, const char *path,
		      const struct walk_end *end)
{
	struct stat st;
	int mount = end->mount;

	if (tree->engine_only || view_mount(tree->view, 0)->branch)
		return false;
	if (mount < 0)
		mount = view_mount_of(tree->view, end->fd);
	return mount == 0 && kernel_stat(t, dirfd, path, &st) == 0 && st.st_ino == end->st.st_ino &&
	       st.st_dev == end->st.st_dev;
}

int files_resolve_program(void *userdata, struct sluice_request *req, int dirfd, const char *path,
			  int flags, char ret_virtual[PATH_MAX], bool *ret_native)
{
	const struct tree *tree = userdata;
	const struct task *t = request_task(req);
	char link[FD_LINK_BYTES];
	struct walk_end end;
	ssize_t n;
	int r = request_compare_credentials(req);

	if (r < 0)
		return r;
	r = tree_walk(tree, t, dirfd, path, files_walk_flags((uint64_t)flags, false), 0, &end);
	if (r < 0)
		return r;
	r = may_execute(tree, &end);
	*ret_native = is_native(tree, t, dirfd, path, &end);
	if (r == 0) {
		n = view_path(tree->view, end.fd, ret_virtual, PATH_MAX);
		if (n < 0) /* removed meanwhile, or from outside: shown as it was asked for */
			snprintf(ret_virtual, PATH_MAX, "%s", path);
		r = open_at_how(AT_FDCWD, fd_link(end.fd, link), O_RDONLY | O_NOCTTY, 0, 0);
	}
	walk_end_close(&end);
	return r;
}

/* A program that cannot be executed any more is not looked for. */
int files_check_run(const struct tree *tree, int fd, const struct stat *st)
{
	if (!tree->exec || !S_ISREG(st->st_mode) || !(st->st_mode & 0111) ||
	    !exec_runs(tree->exec, st))
		return 0;
	return faccessat(fd, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) < 0 ? -errno : -ETXTBSY;
}

/* ---- why an exec failed ---- */

static int program_open(const struct tree *tree, const char *path)
{
	char link[FD_LINK_BYTES];
	struct walk_end end;
	int r;

	if (!tree)
		return open_at_how(AT_FDCWD, path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0, 0);
	r = tree_walk_grant(tree, path, &end);
	if (r < 0)
		return r;
	r = open_at_how(AT_FDCWD, fd_link(end.fd, link), O_RDONLY | O_NOCTTY | O_NONBLOCK, 0, 0);
	walk_end_close(&end);
	return r;
}

int files_missing_interpreter(const struct tree *tree, const char *path, char ret[PATH_MAX])
{
	int fd = program_open(tree, path), next;

	for (unsigned depth = 0; fd >= 0 && depth <= IMAGE_SCRIPTS_MAX; depth++) {
		struct image_source source = image_source_fd(fd);
		struct image im;
		int r = image_read(&source, &im);

		close(fd);
		if (r < 0 || !im.interp[0])
			return 0;
		next = program_open(tree, im.interp);
		if (next == -ENOENT) {
			memcpy(ret, im.interp, sizeof(im.interp));
			return 1;
		}
		fd = next;
	}
	if (fd >= 0)
		close(fd);
	return 0;
}
