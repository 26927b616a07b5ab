/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/ports.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/network/address.h"
#include "builtin/network/bind.h"
#include "builtin/network/destination.h"
#include "builtin/network/rules.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "task/task.h"

#define SOCKET_TYPE_MASK 0xf /* the rest is SOCK_CLOEXEC and SOCK_NONBLOCK */

/* What the handlers are given: constant, the table's. */
struct ports {
	const struct network *network;
	struct bind_names *names;
	struct port_hooks hooks;
	bool any_unix_type;
};

/* ---- socket ---- */

/* 0 or the errno of socket(2) for a Unix socket. */
static int check_unix(const struct ports *p, int type)
{
	return p->any_unix_type || type == SOCK_STREAM || type == SOCK_SEQPACKET ? 0 : EACCES;
}

/* The same for one of the internet. Errors are those of a kernel without what is refused, so that programs do without. */
static int check_internet(const struct network *n, int domain, int type, int protocol)
{
	const int icmp = domain == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	unsigned wanted;

	if (type == SOCK_RAW)
		return EPERM;
	if (type == SOCK_STREAM && (!protocol || protocol == IPPROTO_TCP))
		wanted = NET_TCP;
	else if (type == SOCK_DGRAM && (!protocol || protocol == IPPROTO_UDP))
		wanted = NET_UDP;
	else if (type == SOCK_DGRAM && protocol == icmp)
		wanted = NET_ICMP;
	else
		return type == SOCK_STREAM || type == SOCK_DGRAM ? EPROTONOSUPPORT
								 : ESOCKTNOSUPPORT;
	return network_protocols(n) & wanted ? 0 : EACCES;
}

static struct sluice_verdict socket_handle(struct sluice_request *req, void *ports)
{
	const struct ports *p = ports;
	const int domain = (int)sluice_request_arg(req, 0);
	const int type = (int)sluice_request_arg(req, 1) & SOCKET_TYPE_MASK;
	int error = EACCES;

	if (domain == AF_UNIX)
		error = check_unix(p, type);
	else if (domain == AF_INET || domain == AF_INET6)
		error = check_internet(p->network, domain, type, (int)sluice_request_arg(req, 2));
	return error ? sluice_errno(error) : sluice_continue();
}

/* ---- bind, listen ---- */

/* What the plans carry. */
struct port_plan {
	const struct ports *ports;
	int sock; /* owned; -1 */
	int backlog;
	socklen_t len;
	struct sockaddr_storage addr;
};
_Static_assert(sizeof(struct port_plan) <= REQUEST_PLAN_BYTES, "a plan holds an address");

static void drop(const void *plan)
{
	const struct port_plan *p = plan;

	if (p->sock >= 0)
		close(p->sock);
}

static struct request_act done(int r)
{
	return (struct request_act){ .value = r < 0 ? -errno : 0, .fd = -1 };
}

static struct request_act bind_act(struct sluice_request *req, const void *data)
{
	const struct port_plan *p = data;
	const struct port_hooks *h = &p->ports->hooks;

	(void)req;
	if (h->bind)
		return (struct request_act){ .value = h->bind(h->arg, p->sock, &p->addr, p->len),
					     .fd = -1 };
	return done(bind(p->sock, (const struct sockaddr *)&p->addr, p->len));
}

static struct request_act listen_act(struct sluice_request *req, const void *data)
{
	const struct port_plan *p = data;

	(void)req;
	return done(listen(p->sock, p->backlog));
}

/* The plan of @act, or @r as the call's errno. @p is consumed. */
static struct sluice_verdict plan(struct sluice_request *req, const struct port_plan *p, int r,
				  request_act_fn act)
{
	const struct request_plan planned = {
		.builtin = "network",
		.act = act,
		.drop = drop,
		REQUEST_PLAN_NO_FILES,
		.address = &p->addr,
		.address_bytes = p->len,
		.data = p,
		.size = sizeof(*p),
	};

	return request_plan_or_errno(req, &planned, r);
}

/* Bind takes an address of the family AF_UNSPEC for one of AF_INET, and has the port at the same place in all of them. */
static uint16_t port_in(const struct sockaddr_storage *addr)
{
	struct sockaddr_in v4;

	memcpy(&v4, addr, sizeof(v4));
	return ntohs(v4.sin_port);
}

static struct sluice_verdict bind_handle(struct sluice_request *req, void *ports)
{
	const struct network *n = ((const struct ports *)ports)->network;
	struct port_plan p = {
		.ports = ports,
		.sock = task_get_fd(request_task(req), (int)sluice_request_arg(req, 0)),
	};
	ssize_t len = sluice_request_sockaddr(req, &p.addr);
	int r = p.sock < 0 ? p.sock : 0;

	if (r == 0 && !socket_is_internet(p.sock)) /* by now the number may name one that is */
		return bind_plan(req, ((const struct ports *)ports)->names, p.sock);
	if (r == 0 && len < 0)
		r = (int)len;
	else if (r == 0 && !len && (int)sluice_request_arg(req, 2))
		r = -EFAULT; /* of a length, but nowhere */
	if (r == 0)
		r = request_compare_credentials(req);
	p.len = len < 0 ? 0 : (socklen_t)len;
	if (r == 0 && p.len >= sizeof(struct sockaddr_in) && !network_may_bind(n, port_in(&p.addr)))
		r = -EACCES;
	return plan(req, &p, r, bind_act);
}

/* A socket without a port gets one by listening. */
static int check_listen(const struct network *n, int sock)
{
	struct sockaddr_storage own = { 0 };
	socklen_t size = sizeof(own);

	if (!socket_is_internet(sock))
		return 0;
	if (getsockname(sock, (struct sockaddr *)&own, &size) < 0)
		return -errno;
	return port_in(&own) || network_may_bind(n, 0) ? 0 : -EACCES;
}

static struct sluice_verdict listen_handle(struct sluice_request *req, void *ports)
{
	const struct network *n = ((const struct ports *)ports)->network;
	struct port_plan p = {
		.sock = task_get_fd(request_task(req), (int)sluice_request_arg(req, 0)),
		.backlog = (int)sluice_request_arg(req, 1),
	};
	int r = p.sock < 0 ? p.sock : check_listen(n, p.sock);

	return plan(req, &p, r, listen_act);
}

/* ---- registration ---- */

int builtin_ports_register(struct dispatch *d, const struct connect_bounds *bounds,
			   bool any_unix_type)
{
	struct ports *p = malloc(sizeof(*p));
	const struct sluice_handler handlers[] = {
		sluice_handler_make("network", SYS_bind, bind_handle, p),
		sluice_handler_make("network", SYS_listen, listen_handle, p),
	};
	const struct sluice_handler made =
		sluice_handler_make("network", SYS_socket, socket_handle, p);
	int r;

	if (!p)
		return -ENOMEM;
	*p = (struct ports){ bounds->network, bounds->names, bounds->hooks, any_unix_type };
	r = dispatch_own(d, p, free);
	if (r == 0)
		r = dispatch_add_where_refused(d, &made);
	return r < 0 ? r
		     : dispatch_add_builtins(d, handlers, sizeof(handlers) / sizeof(handlers[0]));
}
