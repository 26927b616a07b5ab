/* SPDX-License-Identifier: Apache-2.0 */
/*
 * getdents64 and getdents, where a branch or a missing mount point makes the listing another one than the kernel's.
 *
 * Decided by the open file alone: a call for any other directory is the kernel's. Registered only where there may be such a directory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/files/internal.h"
#include "tree/list.h"

#define LIST_BYTES (32u << 10) /* what C libraries ask for; fewer than asked is always right */

static struct request_act list_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	const bool old = sluice_request_nr(req) != SYS_getdents64;
	const uint64_t size = (uint32_t)sluice_request_arg(req, 2);
	const int fd = request_plan_fd(req, 0);
	struct list_place place;
	char buf[LIST_BYTES];
	int64_t pos = lseek(fd, 0, SEEK_CUR);
	ssize_t n = pos < 0 ? -errno : list_differs(p->tree, fd, pos, &place);
	int r;

	if (n != 1) /* nothing but its removal can have come in between */
		return files_value(n < 0 ? n : -ENOENT);
	n = list_read(p->tree, fd, &place, &pos, buf, size < sizeof(buf) ? size : sizeof(buf), old);
	if (n <= 0)
		return files_value(n);
	r = sluice_request_write(req, sluice_request_arg(req, 1), buf, (size_t)n);
	if (r < 0)
		return files_value(r);
	return files_value(lseek(fd, pos, SEEK_SET) < 0 ? -errno : n);
}

/* Is there a directory at all whose listing differs? Then it may be this one. */
static bool may_differ(const struct tree *tree)
{
	return view_has_missing_mounts(tree->view) || view_is_changed(tree->view);
}

/*
 * The open file can't be got (@error). In a branch only what is the kernel's to list can be listed; elsewhere it is the names of mount points that are left
 * out.
 */
static struct sluice_verdict by_path(struct sluice_request *req, const struct tree *tree, int error)
{
	int fd = error == -EACCES
			 ? task_open_dirfd(request_task(req), (int)sluice_request_arg(req, 0))
			 : error;
	struct list_place place;
	int r = fd < 0 ? fd : list_differs(tree, fd, 0, &place);

	if (fd >= 0)
		close(fd);
	if (r == 1)
		r = view_is_changed(tree->view) ? error : 0;
	return r < 0 ? files_errno(r) : sluice_continue();
}

static struct sluice_verdict list_handle(struct sluice_request *req, void *userdata)
{
	const struct tree *tree = userdata;
	struct files_plan p = { .tree = tree };
	struct walk_end end = { .fd = -1, .dir = -1, .mount = -1 };
	struct list_place place;
	int64_t pos;
	int r;

	if (!may_differ(tree))
		return sluice_continue();
	end.fd = task_get_fd(request_task(req), (int)sluice_request_arg(req, 0));
	if (end.fd < 0)
		return by_path(req, tree, end.fd);
	pos = lseek(end.fd, 0, SEEK_CUR);
	r = pos < 0 ? 0 : list_differs(tree, end.fd, pos, &place);
	if (r == 1)
		return files_plan(req, &p, &end, NULL, list_act);
	close(end.fd);
	return r < 0 ? files_errno(r) : sluice_continue();
}

const struct files_call files_list_calls[] = {
	{ SYS_getdents64, list_handle },
#ifdef SYS_getdents
	{ SYS_getdents, list_handle },
#endif
	{ -1, NULL },
};
