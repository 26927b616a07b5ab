/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listing in an order that follows from the names alone: that of src/tree/dirents.h with a key that is always the same. Left to the kernel where such positions can't be set (procfs,
 * sysfs and what else refuses them), and where another built-in lists.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/determinism/determinism.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "task/task.h"
#include "tree/dirents.h"

#define LIST_BYTES (32u << 10) /* what C libraries ask for; fewer than asked is always right */

static struct request_act value(int64_t v)
{
	return (struct request_act){ .value = v, .fd = -1 };
}

/* Inode numbers of "." and "..". */
static int own_numbers(int fd, struct dirents_source *s)
{
	struct stat self, parent;

	if (fstat(fd, &self) < 0)
		return -errno;
	s->self_ino = s->parent_ino = self.st_ino;
	if (fstatat(fd, "..", &parent, 0) == 0)
		s->parent_ino = parent.st_ino;
	return 0;
}

static struct request_act list_act(struct sluice_request *req, const void *data)
{
	struct dirents *d = *(struct dirents *const *)data;
	const uint64_t size = (uint32_t)sluice_request_arg(req, 2);
	const int fd = request_plan_fd(req, 0);
	struct dirents_source s = { .layers = &fd, .n_layers = 1 };
	int64_t pos = lseek(fd, 0, SEEK_CUR);
	char buf[LIST_BYTES];
	ssize_t n;
	int r;

	s.old = sluice_request_nr(req) != SYS_getdents64;
	r = pos < 0 ? -errno : own_numbers(fd, &s);
	if (r < 0)
		return value(r);
	n = dirents_read(d, &s, &pos, buf, size < sizeof(buf) ? size : sizeof(buf));
	if (n <= 0)
		return value(n);
	r = sluice_request_write(req, sluice_request_arg(req, 1), buf, (size_t)n);
	if (r == 0 && lseek(fd, pos, SEEK_SET) < 0)
		r = -errno;
	return value(r < 0 ? r : n);
}

/* A directory in which the largest position can be set. */
static bool can_be_listed(int fd)
{
	struct stat st;
	off_t pos;

	if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return false;
	pos = lseek(fd, 0, SEEK_CUR);
	if (pos < 0 || lseek(fd, (off_t)1 << DIRENTS_POSITION_BITS, SEEK_SET) < 0)
		return false;
	return lseek(fd, pos, SEEK_SET) == pos;
}

static struct sluice_verdict list_handle(struct sluice_request *req, void *dirents)
{
	struct request_plan p = {
		.builtin = "directories",
		.act = list_act,
		REQUEST_PLAN_NO_FILES,
		.data = &dirents,
		.size = sizeof(dirents),
	};
	struct sluice_plan made;
	int r;

	sluice_request_plan(req, &made);
	if (made.kind)
		return sluice_continue();
	p.fds[0] = task_get_fd(request_task(req), (int)sluice_request_arg(req, 0));
	if (p.fds[0] < 0)
		return sluice_continue(); /* the kernel's own order, or its own error */
	if (!can_be_listed(p.fds[0])) {
		close(p.fds[0]);
		return sluice_continue();
	}
	r = request_plan_act(req, &p);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

static void free_dirents(void *d)
{
	dirents_free(d);
}

int builtin_directories_register(struct dispatch *d)
{
	struct dirents *dirents = dirents_new(0);
	const struct sluice_handler handlers[] = {
		sluice_handler_make("directories", SYS_getdents64, list_handle, dirents),
#ifdef SYS_getdents
		sluice_handler_make("directories", SYS_getdents, list_handle, dirents),
#endif
	};
	int r;

	if (!dirents)
		return -ENOMEM;
	dirents_set_order(dirents);
	r = dispatch_own(d, dirents, free_dirents);
	return r < 0 ? r
		     : dispatch_add_builtins(d, handlers, sizeof(handlers) / sizeof(handlers[0]));
}
