/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/port_remap/peers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <unistd.h>

#include "builtin/port_remap/remap.h"
#include "sys/sockopt.h"
#include "task/task.h"

#ifndef ERESTARTSYS
#define ERESTARTSYS 512 /* the kernel's own */
#endif

static void drop(const void *peers)
{
	close(((const struct peers *)peers)->sock);
}

struct sluice_verdict peers_plan(struct sluice_request *req, struct remap *r, int protocol,
				 request_act_fn act)
{
	struct peers p = { .remap = r };
	const struct request_plan plan = {
		.builtin = "port_remap",
		.act = act,
		.drop = drop,
		REQUEST_PLAN_NO_FILES,
		.data = &p,
		.size = sizeof(p),
	};

	if (!remap_peers_may_differ(r, protocol))
		return sluice_continue();
	/* what can't be had is the kernel's to refuse, or at worst shows what it shows outside */
	p.sock = task_get_fd(request_task(req), (int)sluice_request_arg(req, 0));
	if (p.sock < 0)
		return sluice_continue();
	if (sockopt_get(p.sock, SO_PROTOCOL) == protocol && remap_peers_differ(r, protocol, p.sock))
		return request_plan_or_errno(req, &plan, 0);
	close(p.sock);
	return sluice_continue();
}

int peers_wait(struct sluice_request *req, int sock, unsigned flags)
{
	uint64_t until_ns;
	int r;

	if (flags & MSG_DONTWAIT || fcntl(sock, F_GETFL) & O_NONBLOCK)
		return 0;
	until_ns = request_receive_deadline_ns(sock);
	r = request_await(req, sock, POLLIN, until_ns);
	if (r == -ETIME)
		return -EAGAIN;
	if (r == -ERESTARTSYS && until_ns != UINT64_MAX) /* the time would begin anew */
		return -EINTR;
	return r == -EAGAIN ? PEERS_KERNEL : r;
}

struct request_act peers_go_on(void)
{
	return (struct request_act){ .fd = -1, .go_on = true };
}
