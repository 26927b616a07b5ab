/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/files/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/files/exec_internal.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "task/task.h"
#include "util/fail.h"

#ifndef AT_EXECVE_CHECK
#define AT_EXECVE_CHECK 0x10000 /* 6.14 */
#endif

struct exec {
	exec_resolve_fn resolve;
	void *ctx;
	int private_dir;
	struct exec_images images;
	struct exec_slots slots;
};

/* What a plan keeps: the call's path and what it leads to. */
struct exec_plan {
	struct exec *x;
	struct exec_flight *flight;
	uint64_t address;
};

/* ---- the launcher's question ---- */

/* Descriptors and plan into the task. */
static int give(struct sluice_request *req, const struct exec_flight *f, void *buf, size_t size)
{
	struct launcher_plan *p = buf;
	int fd = request_inject(req, f->exe, O_CLOEXEC);

	if (fd < 0)
		return fd;
	p->exe_fd = fd;
	if (f->loader >= 0) {
		fd = request_inject(req, f->loader, O_CLOEXEC);
		if (fd < 0)
			return fd;
		p->loader_fd = fd;
	}
	return task_write(request_task(req), sluice_request_arg(req, 2), buf, size);
}

/* The plan's size when the launcher must ask again with more room, 0 when it has it. */
static ssize_t tell(struct sluice_request *req, const struct exec_flight *f)
{
	size_t room = sluice_request_arg(req, 3);
	ssize_t size = plan_write(&f->strings, NULL, 0);
	void *buf;
	int r;

	if (size < 0 || (size_t)size > room)
		return size;
	buf = malloc((size_t)size);
	if (!buf)
		return -ENOMEM;
	plan_write(&f->strings, buf, (size_t)size);
	r = give(req, f, buf, (size_t)size);
	free(buf);
	return r;
}

static struct sluice_verdict answer_launcher(struct sluice_request *req, struct exec *x)
{
	char name = (char)sluice_request_arg(req, 5);
	pid_t process = sluice_request_tgid(req);
	struct exec_flight *f = process < 0 ? NULL : slots_take(&x->slots, process, name);
	ssize_t r;

	if (!f)
		return sluice_errno(EINVAL);
	r = tell(req, f);
	if (r > 0)
		slots_put_back(&x->slots, name, f);
	else
		flight_unref(
			f); /* before the answer: the program must not run while we hold its file */
	return r < 0 ? sluice_errno((int)-r) : sluice_value(r);
}

/* ---- the call ---- */

static int exec_send(struct sluice_request *req, const void *data)
{
	const struct exec_plan *p = data;

	return slots_send(&p->x->slots, req, p->flight, p->address);
}

static void exec_drop(const void *data)
{
	flight_unref(((const struct exec_plan *)data)->flight);
}

static int decode(struct sluice_request *req, struct exec_args *ret)
{
	uint64_t flags = sluice_request_arg(req, 4) & UINT32_MAX;

	ret->dirfd = AT_FDCWD;
	if (sluice_request_nr(req) == SYS_execve) {
		ret->path = sluice_request_arg(req, 0);
		ret->argv = sluice_request_arg(req, 1);
		ret->flags = 0;
		return 0;
	}
	if (flags & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_EXECVE_CHECK))
		return -EINVAL;
	ret->dirfd = (int)sluice_request_arg(req, 0);
	ret->path = sluice_request_arg(req, 1);
	ret->argv = sluice_request_arg(req, 2);
	ret->flags = (int)flags;
	return 0;
}

/* A name of one byte may be a slot's, put there for another exec of the same memory: then it is read again. */
static int read_path(struct sluice_request *req, struct exec *x, const struct exec_args *args,
		     char path[PATH_MAX])
{
	const char *seen;
	ssize_t n = sluice_request_path(req, 0, &seen);

	if (n == 1)
		n = slots_read_path(&x->slots, request_task(req), args->path, path, PATH_MAX);
	else if (n >= 0)
		memcpy(path, seen, (size_t)n + 1);
	return n < 0 ? (int)n : n || args->flags & AT_EMPTY_PATH ? 0 : -ENOENT;
}

/* @native: what the kernel would execute just so may be left to it. 1: it was only asked whether it could be done. */
static int plan(struct sluice_request *req, struct exec *x, const struct exec_args *args,
		bool native)
{
	struct exec_plan keep = { .x = x, .address = args->path };
	struct request_plan p = {
		.builtin = "exec",
		.send = exec_send,
		.drop = exec_drop,
		.layer = SLUICE_LAYER_HOST,
		REQUEST_PLAN_NO_FILES,
		.data = &keep,
		.size = sizeof(keep),
	};
	char path[PATH_MAX];
	int r = read_path(req, x, args, path);

	if (r < 0)
		return r;
	r = flight_new(req, x->resolve, x->ctx, path, args, &keep.flight);
	if (r < 0)
		return r;
	if (native && keep.flight->native && !(args->flags & AT_EXECVE_CHECK)) {
		flight_unref(keep.flight);
		return 0;
	}
	if (args->dirfd != AT_FDCWD && !(args->flags & AT_EXECVE_CHECK)) {
		flight_unref(keep.flight);
		return -ENOSYS;
	}
	r = images_get(&x->images, keep.flight->exe, keep.flight->path, &keep.flight->image);
	if (r < 0 || args->flags & AT_EXECVE_CHECK) {
		flight_unref(keep.flight);
		return r < 0 ? r : 1;
	}
	p.fds[0] = fcntl(keep.flight->exe, F_DUPFD_CLOEXEC, 3); /* for extras to see */
	return request_plan_act(req, &p);
}

static struct sluice_verdict decide(struct sluice_request *req, struct exec *x, bool native)
{
	struct exec_args args;
	int r = decode(req, &args);

	if (r == 0)
		r = plan(req, x, &args, native);
	if (r > 0)
		return sluice_value(0);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

struct sluice_verdict exec_handle(struct sluice_request *req, void *exec)
{
	if (sluice_request_nr(req) == SYS_execveat &&
	    (int)sluice_request_arg(req, 0) == LAUNCHER_ASK_FD &&
	    (int)sluice_request_arg(req, 4) == LAUNCHER_ASK_FLAGS)
		return answer_launcher(req, exec);
	return decide(req, exec, true);
}

/* An extra wants the program that it saw, and no other that is there when the kernel looks. */
static struct sluice_verdict exec_as_seen(struct sluice_request *req, void *exec)
{
	return decide(req, exec, false);
}

int exec_register(struct dispatch *d, struct exec *x)
{
	static const int calls[] = { SYS_execve, SYS_execveat };
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(calls) / sizeof(calls[0]); i++) {
		const struct sluice_handler h =
			sluice_handler_make("exec", calls[i], exec_handle, x);

		r = dispatch_add(d, &h, true);
		if (r == 0)
			r = dispatch_add_planner(d, calls[i], exec_as_seen, x);
	}
	return r;
}

bool exec_runs(struct exec *x, const struct stat *st)
{
	return images_run(&x->images, st);
}

/* ---- life ---- */

static int private_check(int fd, const char *path, struct sluice_error *err)
{
	struct statvfs st;

	if (fd < 0)
		return fail_errno(err, -errno, "private directory: %s", path);
	if (fstatvfs(fd, &st) < 0 || !(st.f_flag & ST_NOEXEC))
		return 0;
	fail(err, -EACCES, "private directory: %s: mounted noexec", path);
	return fail_hint(err, -EACCES, "a storage directory where programs may be executed");
}

int exec_new(const char *private_path, exec_resolve_fn resolve, void *ctx, struct exec **ret,
	     struct sluice_error *err)
{
	struct exec *x = calloc(1, sizeof(*x));
	int r;

	if (!x)
		return fail_errno(err, -ENOMEM, "exec");
	x->resolve = resolve;
	x->ctx = ctx;
	x->private_dir = open(private_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = private_check(x->private_dir, private_path, err);
	if (r < 0)
		goto fail_directory;
	r = images_init(&x->images, x->private_dir);
	if (r < 0) {
		fail_errno(err, r, "private directory: %s", private_path);
		goto fail_images;
	}
	slots_init(&x->slots, x->private_dir);
	*ret = x;
	return 0;

fail_images:
	images_fini(&x->images);
fail_directory:
	if (x->private_dir >= 0)
		close(x->private_dir);
	free(x);
	return r;
}

struct exec *exec_free(struct exec *x)
{
	if (!x)
		return NULL;
	slots_fini(&x->slots);
	images_fini(&x->images);
	close(x->private_dir);
	free(x);
	return NULL;
}
