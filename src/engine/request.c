/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public accessors of a request, and plans.
 *
 * All of them give private copies; what is behind a pointer is read at most once and shared by the chain. Thread: the runner that runs the chain.
 */
#define _GNU_SOURCE
#include "engine/request_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/engine_internal.h"
#include "sys/fd.h"
#include "sys/notif.h"
#include "task/credentials.h"
#include "task/family.h"
#include "util/cleanup.h"

#define READ_MAX (1u << 20)
#define OPEN_HOW_SIZE_VER0 24u
#define PAGE_BYTES 4096u

void request_begin(struct sluice_request *req, struct engine *e, struct chain *chain,
		   uint64_t now_ns)
{
	req->engine = e;
	req->chain = chain;
	req->task.listener = e->listener;
	req->task.tid = (pid_t)req->notif.pid;
	req->task.id = req->notif.id;
	req->task.by_proc = e->config.proc_memory;
	req->task.pidfds = &e->pidfds;
	req->received_ns = now_ns;
	req->next = 0;
	req->took_deferral = false;
	req->deferred = false;
	atomic_store_explicit(&req->defer_state, 0, memory_order_relaxed);
	req->denied_late = false;
	atomic_store_explicit(&req->settled, false, memory_order_relaxed);
	/* the receiver uses one request again and again: each call is a life of its own */
	atomic_store_explicit(&req->claim, request_ticket(req) + CLAIM_STEP, memory_order_relaxed);
	memset(&req->plan, 0, sizeof(req->plan));
	req->plan_fds[0] = req->plan_fds[1] = req->plan_dirs[0] = req->plan_dirs[1] = -1;
	req->drop = NULL;
	memset(req->decoded, 0, sizeof(req->decoded));
	req->decoded_how.done = false;
	req->decoded_address.done = false;
	atomic_fetch_add_explicit(&chain->count, 1, memory_order_relaxed);
}

int sluice_request_nr(const struct sluice_request *req)
{
	return req->notif.data.nr;
}

uint64_t sluice_request_arg(const struct sluice_request *req, unsigned index)
{
	return index < 6 ? req->notif.data.args[index] : 0;
}

pid_t sluice_request_tid(const struct sluice_request *req)
{
	return req->task.tid;
}

uint64_t sluice_request_id(const struct sluice_request *req)
{
	return req->notif.id;
}

const char *sluice_request_sandbox_name(const struct sluice_request *req)
{
	return req->engine->name;
}

pid_t sluice_request_tgid(struct sluice_request *req)
{
	return identity_process(&req->engine->identity, &req->task);
}

ssize_t sluice_request_exe(struct sluice_request *req, char *buf, size_t size)
{
	return task_readlink(&req->task, "exe", buf, size);
}

ssize_t sluice_request_cwd(struct sluice_request *req, char *buf, size_t size)
{
	return task_readlink(&req->task, "cwd", buf, size);
}

ssize_t sluice_request_cmdline(struct sluice_request *req, char *buf, size_t size)
{
	return task_cmdline(&req->task, buf, size);
}

int sluice_request_read(struct sluice_request *req, uint64_t addr, void *buf, size_t size)
{
	return size > READ_MAX ? -E2BIG : task_read(&req->task, addr, buf, size);
}

int sluice_request_write(struct sluice_request *req, uint64_t addr, const void *buf, size_t size)
{
	return size > READ_MAX ? -E2BIG : task_write(&req->task, addr, buf, size);
}

ssize_t sluice_request_read_string(struct sluice_request *req, uint64_t addr, char *buf,
				   size_t size)
{
	if (!size)
		return -ENAMETOOLONG;
	return size > READ_MAX ? -E2BIG : task_read_string(&req->task, addr, buf, size);
}

/* From Linux 6.11 on some calls take no path at all for an empty one. */
static bool needs_no_path(const struct sluice_request *req, const struct family_call *f)
{
	return f->no_path && req->notif.data.args[f->no_path] & AT_EMPTY_PATH;
}

ssize_t request_peek_path(struct sluice_request *req, unsigned which, const char **ret_path)
{
	const struct family_call *f = req->chain->family;
	struct decoded *d;
	int arg;

	arg = !f || which > 1 ? -1 : which ? f->path2 : f->path;
	if (arg < 0)
		return -EINVAL;
	d = &req->decoded[which];
	if (!d->done) {
		if (req->notif.data.args[arg] || !needs_no_path(req, f))
			d->result = task_peek_string(&req->task, req->notif.data.args[arg],
						     req->buffers.path[which], PATH_MAX);
		else
			d->result = 0;
		if (d->result == 0)
			req->buffers.path[which][0] = '\0';
		/* our own limit is over sooner or later, and none of the task's business */
		d->done = d->result != -ENFILE;
		d->checked = false;
	}
	if (d->result >= 0)
		*ret_path = req->buffers.path[which];
	return d->result;
}

int request_check_path(struct sluice_request *req, unsigned which)
{
	struct decoded *d = &req->decoded[which];

	if (task_check(&req->task) < 0)
		d->result = -ESRCH;
	d->checked = true;
	if (d->result < 0)
		req->buffers.path[which][0] = '\0';
	return d->result == -ESRCH ? -ESRCH : 0;
}

ssize_t sluice_request_path(struct sluice_request *req, unsigned which, const char **ret_path)
{
	const char *path = NULL;
	ssize_t n = request_peek_path(req, which, &path);

	if (n != -EINVAL && !req->decoded[which].checked && request_check_path(req, which) < 0)
		n = -ESRCH;
	if (n >= 0)
		*ret_path = path;
	return n;
}

int sluice_request_dirfd(struct sluice_request *req, unsigned which)
{
	const struct family_call *f = req->chain->family;
	int arg;

	if (!f || which > 1 || (which ? f->path2 : f->path) < 0)
		return -EINVAL;
	arg = which ? f->dirfd2 : f->dirfd;
	if (arg < 0)
		return AT_FDCWD;
	arg = (int)req->notif.data.args[arg]; /* the kernel takes 32 bits */
	return arg >= 0 || arg == AT_FDCWD ? arg : -EBADF;
}

int request_read_struct(struct sluice_request *req, uint64_t addr, uint64_t size, void *ret,
			size_t known)
{
	unsigned char all[PAGE_BYTES];
	int r;

	if (size < known)
		return -EINVAL;
	if (size > sizeof(all))
		return -E2BIG;
	r = task_read(&req->task, addr, all, size);
	if (r < 0)
		return r;
	for (size_t i = known; i < size; i++) {
		if (all[i])
			return -E2BIG; /* what a kernel says that doesn't know the field */
	}
	memcpy(ret, all, known);
	return 0;
}

static int open_how_args(struct sluice_request *req, struct sluice_open_args *ret)
{
	struct decoded *d = &req->decoded_how;

	if (!d->done) {
		d->result =
			request_read_struct(req, req->notif.data.args[2], req->notif.data.args[3],
					    &req->how, OPEN_HOW_SIZE_VER0);
		d->done = true;
	}
	if (d->result < 0)
		return (int)d->result;
	ret->flags = req->how.flags;
	ret->mode = req->how.mode;
	ret->resolve = req->how.resolve;
	ret->openat2 = 1;
	return 0;
}

int sluice_request_open_args(struct sluice_request *req, struct sluice_open_args *ret)
{
	const __u64 *args = req->notif.data.args;

	memset(ret, 0, sizeof(*ret));
	switch (req->notif.data.nr) {
#ifdef SYS_open
	case SYS_open:
		ret->flags = (uint32_t)args[1];
		ret->mode = args[2] & 0xffff;
		return 0;
	case SYS_creat:
		ret->flags = O_CREAT | O_WRONLY | O_TRUNC;
		ret->mode = args[1] & 0xffff;
		return 0;
#endif
	case SYS_openat:
		ret->flags = (uint32_t)args[2];
		ret->mode = args[3] & 0xffff;
		return 0;
	case SYS_openat2:
		return open_how_args(req, ret);
	default:
		return -EINVAL;
	}
}

/* @at: the argument that points to it; the next is its length. */
static ssize_t read_address(struct sluice_request *req, unsigned at)
{
	const __u64 *args = req->notif.data.args;
	int len = (int)args[at + 1]; /* the kernel takes 32 bits, signed */
	int r;

	memset(&req->address, 0, sizeof(req->address));
	if (len < 0 || (size_t)len > sizeof(req->address))
		return -EINVAL;
	if (!len || !args[at])
		return 0;
	r = task_read(&req->task, args[at], &req->address, (size_t)len);
	return r < 0 ? r : len;
}

ssize_t sluice_request_sockaddr(struct sluice_request *req, struct sockaddr_storage *ret)
{
	struct decoded *d = &req->decoded_address;
	unsigned at;

	switch (req->notif.data.nr) {
	case SYS_connect:
	case SYS_bind:
		at = 1;
		break;
	case SYS_sendto:
		at = 4;
		break;
	default:
		return -EINVAL;
	}
	if (!d->done) {
		d->result = read_address(req, at);
		d->done = true;
	}
	*ret = req->address;
	return d->result;
}

int request_give_address(struct sluice_request *req, uint64_t addr, uint64_t len, const void *name,
			 socklen_t size)
{
	int room, r = sluice_request_read(req, len, &room, sizeof(room));

	if (r == 0 && room < 0)
		r = -EINVAL;
	if (r == 0 && room > (int)size)
		room = (int)size;
	if (r == 0 && room)
		r = sluice_request_write(req, addr, name, (size_t)room);
	return r < 0 ? r : sluice_request_write(req, len, &size, sizeof(size));
}

/* Where the file behind @fd lies, or NULL. */
static const char *host_path(int fd, char buf[PATH_MAX])
{
	return fd >= 0 && fd_path(fd, buf, PATH_MAX) >= 0 ? buf : NULL;
}

/* Where file @which lies, or would lie. */
static const char *planned_path(struct sluice_request *req, unsigned which)
{
	char *buf = req->buffers.host_path[which];
	const char *name = req->plan_names[which];
	size_t n;

	if (req->plan_fds[which] >= 0)
		return host_path(req->plan_fds[which], buf);
	if (!name || !host_path(req->plan_dirs[which], buf))
		return NULL;
	n = strlen(buf);
	if (n + strlen(name) + 2 > PATH_MAX)
		return NULL;
	sprintf(buf + n, "%s%s", n > 1 ? "/" : "", name);
	return buf;
}

void sluice_request_plan(struct sluice_request *req, struct sluice_plan *ret)
{
	if (req->plan.kind == SLUICE_PLAN_ACT && !req->plan.host_path) {
		req->plan.host_path = planned_path(req, 0);
		req->plan.host_path2 = planned_path(req, 1);
	}
	*ret = req->plan;
}

void sluice_request_outcome(const struct sluice_request *req, struct sluice_outcome *ret)
{
	*ret = req->outcome;
}

int request_plan_reply(struct sluice_request *req, const char *builtin, int64_t value,
		       uint64_t addr, const void *data, size_t size)
{
	if (size > REQUEST_PLAN_BYTES)
		return -E2BIG;
	if (size)
		memcpy(req->buffers.plan_bytes, data, size);
	req->plan = (struct sluice_plan){
		.kind = SLUICE_PLAN_REPLY,
		.builtin = builtin,
		.value = value,
		.addr = addr,
		.data = req->buffers.plan_bytes,
		.size = size,
	};
	return 0;
}

/* Where @at, which points into the plan's data, is in the copy; NULL stays. */
static const void *copied(const struct sluice_request *req, const struct request_plan *plan,
			  const void *at)
{
	return at ? req->buffers.plan_bytes + ((const char *)at - (const char *)plan->data) : NULL;
}

int request_plan_act(struct sluice_request *req, const struct request_plan *plan)
{
	request_plan_drop(req);
	for (int i = 0; i < 2; i++) {
		req->plan_fds[i] = plan->fds[i];
		req->plan_dirs[i] = plan->dirs[i];
		req->plan_names[i] = NULL;
	}
	if (plan->size > REQUEST_PLAN_BYTES) {
		if (plan->drop)
			plan->drop(plan->data);
		return -E2BIG;
	}
	for (int i = 0; i < 2; i++)
		req->plan_names[i] = copied(req, plan, plan->names[i]);
	if (plan->size)
		memcpy(req->buffers.plan_bytes, plan->data, plan->size);
	req->act = plan->act;
	req->send = plan->send;
	req->drop = plan->drop;
	req->plan = (struct sluice_plan){
		.kind = SLUICE_PLAN_ACT,
		.layer = plan->layer,
		.builtin = plan->builtin,
		.data = plan->address_bytes ? copied(req, plan, plan->address) : NULL,
		.size = plan->address_bytes,
	};
	return 0;
}

static void fds_close(const int fds[2], const int dirs[2])
{
	for (int i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		if (dirs[i] >= 0)
			close(dirs[i]);
	}
}

struct sluice_verdict request_plan_or_errno(struct sluice_request *req,
					    const struct request_plan *plan, int r)
{
	if (r == 0) {
		r = request_plan_act(req, plan);
	} else {
		if (plan->drop)
			plan->drop(plan->data);
		fds_close(plan->fds, plan->dirs);
	}
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

void request_plan_drop(struct sluice_request *req)
{
	if (req->drop)
		req->drop(req->buffers.plan_bytes);
	req->drop = NULL;
	fds_close(req->plan_fds, req->plan_dirs);
	for (int i = 0; i < 2; i++)
		req->plan_fds[i] = req->plan_dirs[i] = -1;
}

int request_go_on(struct sluice_request *req)
{
	return notif_send_continue(req->engine->listener, req->notif.id);
}

int request_inject(struct sluice_request *req, int fd, uint32_t flags)
{
	return notif_addfd(req->engine->listener, req->notif.id, fd, flags);
}

int request_plan_fd(const struct sluice_request *req, unsigned which)
{
	return req->plan_fds[which];
}

int request_plan_take_fd(struct sluice_request *req, unsigned which)
{
	return TAKE_FD(req->plan_fds[which]);
}

int request_plan_dir(const struct sluice_request *req, unsigned which)
{
	return req->plan_dirs[which];
}

const void *request_plan_data(const struct sluice_request *req)
{
	return req->buffers.plan_bytes;
}

bool request_has_extras(const struct sluice_request *req)
{
	const struct chain *c = req->chain;

	return c->n_observers || (c->n_handlers && !c->handlers[c->n_handlers - 1].builtin);
}

const struct task *request_task(const struct sluice_request *req)
{
	return &req->task;
}

bool request_proc_granted(const struct sluice_request *req)
{
	return req->engine->config.proc_granted;
}

int request_compare_credentials(const struct sluice_request *req)
{
	return req->engine->config.check_credentials ? credentials_compare(&req->task) : 0;
}

int request_umask(const struct sluice_request *req)
{
	const struct engine_config *c = &req->engine->config;
	int mask = c->umask_of ? c->umask_of(c->umask_userdata, req->task.tid) : -ENODATA;

	if (mask == -ENODATA)
		return task_umask(&req->task);
	return task_check(&req->task) < 0 ? -ESRCH : mask;
}
