/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sched_setaffinity carried out on a copy of the mask, less what the sandbox does not have: as the kernel does with the processors of a cpuset.
 */
#define _GNU_SOURCE
#include "builtin/resource/cores.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/dispatch.h"
#include "engine/request.h"
#include "sys/pidfd.h"
#include "task/descendants.h"
#include "task/task.h"

struct cores {
	cpu_set_t allowed;
	const pid_t *top;
};

struct affinity {
	pid_t tid;
	cpu_set_t mask;
};

static struct request_act affinity_act(struct sluice_request *req, const void *data)
{
	const struct affinity *a = data;
	int r = task_check(request_task(req));

	if (r == 0 && sched_setaffinity(a->tid, sizeof(a->mask), &a->mask) < 0)
		r = -errno;
	return (struct request_act){ .value = r, .fd = -1 };
}

/* The caller, a thread of its process, or any other of the sandbox. The host's threads are none of its business. */
static int check_target(struct sluice_request *req, const struct cores *c, pid_t tid)
{
	int r = sluice_request_tgid(req);

	if (r < 0)
		return r;
	if (tid == sluice_request_tid(req) || thread_is_of(tid, r))
		return 0;
	return descendants_check_thread(*c->top, tid);
}

/* What the kernel reads of the mask: no more than it has processors for; the rest of ours stays 0. */
static int read_mask(struct sluice_request *req, cpu_set_t *ret)
{
	uint64_t size = (unsigned)sluice_request_arg(req, 1);

	CPU_ZERO(ret);
	if (size > sizeof(*ret))
		size = sizeof(*ret);
	return size ? sluice_request_read(req, sluice_request_arg(req, 2), ret, size) : 0;
}

static struct sluice_verdict affinity_handle(struct sluice_request *req, void *userdata)
{
	const struct cores *c = userdata;
	struct affinity a = { .tid = (pid_t)sluice_request_arg(req, 0) };
	const struct request_plan p = {
		.builtin = "cores",
		.act = affinity_act,
		REQUEST_PLAN_NO_FILES,
		.data = &a,
		.size = sizeof(a),
	};
	int r = read_mask(req, &a.mask);

	if (a.tid == 0)
		a.tid = sluice_request_tid(req);
	if (r == 0 && a.tid < 0)
		r = -ESRCH;
	if (r == 0)
		r = check_target(req, c, a.tid);
	if (r == 0)
		r = request_compare_credentials(req);
	CPU_AND(&a.mask, &a.mask, &c->allowed);
	if (r == 0 && CPU_COUNT(&a.mask) == 0)
		r = -EINVAL;
	if (r == 0)
		r = request_plan_act(req, &p);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

int builtin_cores_register(struct dispatch *d, const cpu_set_t *cores, const pid_t *top)
{
	struct sluice_handler h =
		sluice_handler_make("cores", SYS_sched_setaffinity, affinity_handle, NULL);
	struct cores *c;
	int r;

	if (!cores)
		return 0;
	c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = (struct cores){ *cores, top };
	h.userdata = c;
	r = dispatch_own(d, c, free);
	return r < 0 ? r : dispatch_add(d, &h, true);
}
