/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/port_remap/port_remap.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "builtin/port_remap/peers.h"
#include "builtin/port_remap/remap.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "task/task.h"
#include "util/cleanup.h"

/* What the plan carries: the call's own addresses, and what is to be shown. */
struct shown {
	uint64_t addr, len;
	socklen_t size;
	struct sockaddr_storage name;
};
_Static_assert(sizeof(struct shown) <= REQUEST_PLAN_BYTES, "a plan holds an address");

static struct request_act show_act(struct sluice_request *req, const void *data)
{
	const struct shown *s = data;
	int r = request_give_address(req, s->addr, s->len, &s->name, s->size);

	return (struct request_act){ .value = r, .fd = -1 };
}

/* Is another port to be shown than the kernel's? */
static bool differs(struct sluice_request *req, struct remap *r, struct shown *s)
{
	_cleanup_close_ int fd = task_get_fd(request_task(req), (int)sluice_request_arg(req, 0));
	const bool peer = sluice_request_nr(req) == SYS_getpeername;
	struct sockaddr_storage kernel;
	int e;

	s->size = sizeof(s->name);
	if (fd < 0)
		return false;
	e = peer ? getpeername(fd, (struct sockaddr *)&s->name, &s->size)
		 : getsockname(fd, (struct sockaddr *)&s->name, &s->size);
	if (e < 0)
		return false;
	kernel = s->name;
	remap_show(r, fd, peer, &s->name, s->size);
	return memcmp(&kernel, &s->name, s->size) != 0;
}

static struct sluice_verdict show_handle(struct sluice_request *req, void *remap)
{
	struct shown s = { .addr = sluice_request_arg(req, 1), .len = sluice_request_arg(req, 2) };
	const struct request_plan p = {
		.builtin = "port_remap",
		.act = show_act,
		REQUEST_PLAN_NO_FILES,
		.data = &s,
		.size = sizeof(s),
	};
	int r;

	if (!differs(req, remap, &s))
		return sluice_continue();
	r = request_plan_act(req, &p);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

/* ---- registration ---- */

static const struct trapped {
	sluice_handler_fn fn;
	int nr;
	int only_with; /* of interest only where this argument is not 0; -1: always */
} calls[] = {
	{ show_handle, SYS_getsockname, -1 }, { show_handle, SYS_getpeername, -1 },
	{ accept_handle, SYS_accept, 1 },     { accept_handle, SYS_accept4, 1 },
	{ receive_handle, SYS_recvfrom, 4 },  { receive_handle, SYS_recvmsg, -1 },
	{ receive_handle, SYS_recvmmsg, -1 },
};

/* Can there be sockets that it is about? */
static bool is_wanted(const struct trapped *t, bool tcp, bool udp)
{
	return (t->fn != accept_handle || tcp) && (t->fn != receive_handle || udp);
}

int builtin_port_remap_register(struct dispatch *d, struct remap *r, bool tcp, bool udp)
{
	int e = 0;

	for (size_t i = 0; e == 0 && i < sizeof(calls) / sizeof(calls[0]); i++) {
		const struct trapped *t = &calls[i];
		const struct sluice_handler h = sluice_handler_make("port_remap", t->nr, t->fn, r);

		if (!is_wanted(t, tcp, udp))
			continue;
		e = dispatch_add(d, &h, true);
		if (e == 0 && t->only_with >= 0)
			dispatch_trap_only_with(d, t->nr, t->only_with);
	}
	return e;
}
