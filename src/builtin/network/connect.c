/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/connect.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/network/destination.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "task/task.h"
#include "tree/writable.h"

/* What the plan carries: the address as it was seen, and our duplicate of the task's socket. The file that the address names is the plan's first one. */
struct target {
	int sock; /* owned; -1 */
	socklen_t len;
	struct sockaddr_storage addr;
};
_Static_assert(sizeof(struct target) <= REQUEST_PLAN_BYTES, "a plan holds an address");

static int address(struct sluice_request *req, struct target *t)
{
	ssize_t n = sluice_request_sockaddr(req, &t->addr);

	if (n == 0 && (int)sluice_request_arg(req, 2)) /* of a length, but nowhere */
		return -EFAULT;
	t->len = n < 0 ? 0 : (socklen_t)n;
	return n < 0 ? (int)n : 0;
}

static int connect_as(struct sluice_request *req, const struct target *t)
{
	struct sockaddr_storage addr = t->addr;
	int file = request_plan_fd(req, 0);
	socklen_t len = file < 0 ? t->len : destination_of_file(file, &addr);

	return request_connect(req, t->sock, (const struct sockaddr *)&addr, len);
}

/* A request_act_fn. */
static struct request_act carry_out(struct sluice_request *req, const void *target)
{
	return (struct request_act){ .value = connect_as(req, target), .fd = -1 };
}

/* A request_drop_fn. */
static void drop(const void *target)
{
	const struct target *t = target;

	if (t->sock >= 0)
		close(t->sock);
}

/* Fill in @t, and *ret_file if the address names one. */
static int look(struct sluice_request *req, const struct connect_bounds *b, struct target *t,
		int *ret_file)
{
	int r;

	t->sock = task_get_fd(request_task(req), (int)sluice_request_arg(req, 0));
	if (t->sock < 0 && t->sock != -EACCES)
		return t->sock;
	r = address(req, t);
	if (r == 0)
		r = request_compare_credentials(req);
	if (r == 0)
		r = destination_file(req, b, &t->addr, t->len, ret_file);
	if (r < 0)
		return r;
	/* refused, after what the address alone says */
	return t->sock < 0 ? t->sock : destination_check(b, t->sock, &t->addr, &t->len, false);
}

static struct sluice_verdict connect_handle(struct sluice_request *req, void *userdata)
{
	struct target t = { .sock = -1 };
	struct request_plan p = {
		.builtin = "connect",
		.act = carry_out,
		.drop = drop,
		.layer = SLUICE_LAYER_HOST,
		REQUEST_PLAN_NO_FILES,
		.data = &t,
		.size = sizeof(t),
	};
	int r = look(req, userdata, &t, &p.fds[0]);

	p.address = &t.addr;
	p.address_bytes = p.fds[0] < 0 ? t.len : 0;
	return request_plan_or_errno(req, &p, r);
}

int builtin_connect_register(struct dispatch *d, const struct connect_bounds *bounds)
{
	const bool trapped = !writable_is_all(bounds->writable) || bounds->tree || bounds->network;
	struct connect_bounds *b = malloc(sizeof(*b));
	struct sluice_handler h = sluice_handler_make("connect", SYS_connect, connect_handle, b);
	int r;

	if (!b)
		return -ENOMEM;
	*b = *bounds;
	r = dispatch_own(d, b, free);
	if (r == 0)
		r = dispatch_add_planner(d, SYS_connect, connect_handle, b);
	return r < 0 || !trapped ? r : dispatch_add(d, &h, true);
}
