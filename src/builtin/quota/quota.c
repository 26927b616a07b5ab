/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/quota/quota.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/dispatch.h"
#include "engine/request.h"
#include "task/task.h"
#include "tree/tree.h"

#ifndef FALLOC_FL_INSERT_RANGE
#define FALLOC_FL_INSERT_RANGE 0x20
#endif

static struct request_act value(int64_t v)
{
	return (struct request_act){ .value = v, .fd = -1 };
}

static struct sluice_verdict plan(struct sluice_request *req, request_act_fn act, int fd,
				  const void *data, size_t size)
{
	const struct request_plan p = {
		.builtin = "quota",
		.act = act,
		.fds = { fd, -1 },
		.dirs = { -1, -1 },
		.data = data,
		.size = size,
	};
	int r = request_plan_act(req, &p);

	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

/* ---- setrlimit, prlimit64 ---- */

struct limit {
	struct branch *branch;
	struct rlimit asked;
	uint64_t old; /* address, or 0 */
};

static struct request_act limit_act(struct sluice_request *req, const void *data)
{
	const struct task *t = request_task(req);
	const struct limit *l = data;
	struct rlimit old;
	int r = task_check(t);

	if (r == 0)
		r = branch_room_limit(l->branch, t->tid, &l->asked, &old);
	if (r == 0 && l->old)
		r = sluice_request_write(req, l->old, &old, sizeof(old));
	return value(r);
}

static struct sluice_verdict limit_plan(struct sluice_request *req, struct branch *branch,
					uint64_t asked, uint64_t old)
{
	struct limit l = { .branch = branch, .old = old };
	int r = sluice_request_read(req, asked, &l.asked, sizeof(l.asked));

	if (r == 0)
		r = request_compare_credentials(req);
	return r < 0 ? sluice_errno(-r) : plan(req, limit_act, -1, &l, sizeof(l));
}

static struct sluice_verdict setrlimit_handle(struct sluice_request *req, void *branch)
{
	if ((unsigned)sluice_request_arg(req, 0) != RLIMIT_FSIZE)
		return sluice_continue();
	return limit_plan(req, branch, sluice_request_arg(req, 1), 0);
}

/* Others' limits can't be set: the filter refuses that. */
static struct sluice_verdict prlimit_handle(struct sluice_request *req, void *branch)
{
	uint64_t asked = sluice_request_arg(req, 2);

	if ((unsigned)sluice_request_arg(req, 1) != RLIMIT_FSIZE || !asked)
		return sluice_continue();
	return limit_plan(req, branch, asked, sluice_request_arg(req, 3));
}

/* ---- fallocate ---- */

struct allocation {
	struct branch *branch;
	int mode;
	off_t offset, length;
};

/* Would the file grow past what the task's own limit allows? A limit of 0 is (nearly always) that of the full branch, whose answer comes instead. */
static bool is_past_limit(const struct task *t, const struct allocation *a, int fd)
{
	const int same = FALLOC_FL_KEEP_SIZE | FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE;
	struct rlimit limit;
	struct stat st;

	return !(a->mode & same) && a->offset >= 0 && a->length > 0 && fstat(fd, &st) == 0 &&
	       S_ISREG(st.st_mode) && prlimit(t->tid, RLIMIT_FSIZE, NULL, &limit) == 0 &&
	       limit.rlim_cur && (uint64_t)a->offset + (uint64_t)a->length > (uint64_t)st.st_size &&
	       (uint64_t)a->offset + (uint64_t)a->length > limit.rlim_cur;
}

static struct request_act allocate_act(struct sluice_request *req, const void *data)
{
	const struct task *t = request_task(req);
	const struct allocation *a = data;
	int fd = request_plan_fd(req, 0);

	if (is_past_limit(t, a, fd)) {
		syscall(SYS_tgkill, task_lookup_process(t), t->tid, SIGXFSZ);
		return value(-EFBIG);
	}
	return value(branch_room_allocate(a->branch, fd, a->mode, a->offset, a->length));
}

static struct sluice_verdict allocate_handle(struct sluice_request *req, void *branch)
{
	const struct allocation a = {
		.branch = branch,
		.mode = (int)sluice_request_arg(req, 1),
		.offset = (off_t)sluice_request_arg(req, 2),
		.length = (off_t)sluice_request_arg(req, 3),
	};
	int fd = request_compare_credentials(req);

	if (fd == 0)
		fd = task_get_fd(request_task(req), (int)sluice_request_arg(req, 0));
	return fd < 0 ? sluice_errno(-fd) : plan(req, allocate_act, fd, &a, sizeof(a));
}

/* ---- registration ---- */

static struct branch *branch_with_quota(const struct tree *tree)
{
	for (size_t i = 0; i < view_count(tree->view); i++) {
		struct branch *b = view_mount(tree->view, (int)i)->branch;

		if (b && branch_room_fd(b) >= 0)
			return b;
	}
	return NULL;
}

int builtin_quota_register(struct dispatch *d, const struct tree *tree)
{
	struct branch *b = branch_with_quota(tree);
	struct sluice_handler handlers[] = {
#ifdef SYS_setrlimit
		sluice_handler_make("quota", SYS_setrlimit, setrlimit_handle, b),
#endif
		sluice_handler_make("quota", SYS_prlimit64, prlimit_handle, b),
		sluice_handler_make("quota", SYS_fallocate, allocate_handle, b),
	};
	const size_t n = sizeof(handlers) / sizeof(handlers[0]);

	handlers[n - 1].flags |= SLUICE_MAY_BLOCK; /* blocks may have to be written */
	return b ? dispatch_add_builtins(d, handlers, n) : 0;
}
