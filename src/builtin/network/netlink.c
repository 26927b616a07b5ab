/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/network/route.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "sys/attendant.h"
#include "sys/sockopt.h"
#include "task/task.h"
#include "util/cleanup.h"

#define SOCKETS_MAX 256u     /* at a time; more are ENFILE */
#define QUESTION_BYTES 4096u /* what is longer is cut off */
#define SOCKET_TYPE_MASK 0xf
#define NAME_TRIES 16

struct end {
	uint64_t cookie; /* of the command's end; 0: the slot is free */
	uint32_t port;	 /* by which the command calls it; its answers carry that */
	uint32_t groups; /* nothing is ever told to them: loopback stays as it is */
};

struct netlink {
	_Atomic unsigned n; /* ends in use: while there are none, no socket is looked at */
	struct attendant attendant;
	struct end ends[SOCKETS_MAX]; /* by slot; guarded by the attendant's lock */
};

/* ---- answers ---- */

/* One question, so that nobody waits for another one's many. false: nobody has the command's end any more. */
static bool serve(void *netlink, unsigned slot, int fd, short revents)
{
	unsigned char question[QUESTION_BYTES], answer[ROUTE_ANSWER_BYTES];
	struct netlink *n = netlink;
	ssize_t size = recv(fd, question, sizeof(question), MSG_DONTWAIT);

	if (size > 0) {
		size = (ssize_t)route_answer(question, (size_t)size, n->ends[slot].port, answer);
		if (size && send(fd, answer, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			return true; /* who does not read his answers gets no more of them */
		return true;
	}
	if (!(revents & POLLHUP) || (size < 0 && errno == EAGAIN))
		return true;
	n->ends[slot].cookie = 0;
	atomic_fetch_sub(&n->n, 1);
	return false;
}

static void netlink_free(void *netlink)
{
	struct netlink *n = netlink;

	attendant_fini(&n->attendant);
	free(n);
}

static struct netlink *netlink_new(void)
{
	struct netlink *n = calloc(1, sizeof(*n));

	if (n && attendant_init(&n->attendant, SOCKETS_MAX, POLLIN, serve, n) < 0) {
		free(n);
		return NULL;
	}
	return n;
}

/* ---- socket ---- */

/*
 * Who receives reads where it came from as a sockaddr_nl, and wants the number 0 in it, the kernel's. So our end has an abstract name with 0 where that number would be,
 * as long as such an address; the rest of it makes it the only one.
 */
static int name_end(int fd)
{
	struct {
		sa_family_t family;
		uint8_t zero, some;
		uint32_t number, groups;
	} name = { .family = AF_UNIX };
	_Static_assert(sizeof(name) == sizeof(struct sockaddr_nl), "read as one");
	int r = -EADDRINUSE;

	for (unsigned i = 0; r == -EADDRINUSE && i < NAME_TRIES; i++) {
		if (getrandom(&name.some, sizeof(name.some), 0) < 0 ||
		    getrandom(&name.groups, sizeof(name.groups), 0) < 0)
			return -errno;
		r = bind(fd, (const struct sockaddr *)&name, sizeof(name)) < 0 ? -errno : 0;
	}
	return r;
}

/* @fd becomes the table's. */
static int add(struct netlink *n, int fd, uint64_t cookie, uint32_t port)
{
	int slot;

	pthread_mutex_lock(&n->attendant.lock);
	slot = attendant_add_locked(&n->attendant, fd);
	if (slot >= 0) {
		n->ends[slot] = (struct end){ .cookie = cookie, .port = port };
		atomic_fetch_add(&n->n, 1);
	}
	pthread_mutex_unlock(&n->attendant.lock);
	return slot < 0 ? slot : 0;
}

/* The command's end, or -errno. */
static int pair(struct netlink *n, uint32_t port, bool nonblocking)
{
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return errno == EMFILE ? -ENFILE : -errno; /* our limit, not the task's */
	r = name_end(ends[0]);
	if (r == 0 && nonblocking && fcntl(ends[1], F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	if (r == 0)
		r = add(n, ends[0], sockopt_cookie(ends[1]), port);
	if (r == 0)
		return ends[1];
	close(ends[0]);
	close(ends[1]);
	return r;
}

static struct sluice_verdict socket_handle(struct sluice_request *req, void *netlink)
{
	const int type = (int)sluice_request_arg(req, 1), kind = type & SOCKET_TYPE_MASK;
	pid_t process;
	int fd;

	if ((int)sluice_request_arg(req, 0) != AF_NETLINK ||
	    (int)sluice_request_arg(req, 2) != NETLINK_ROUTE ||
	    (kind != SOCK_RAW && kind != SOCK_DGRAM) ||
	    type & ~(SOCKET_TYPE_MASK | SOCK_CLOEXEC | SOCK_NONBLOCK))
		return sluice_continue();
	process = sluice_request_tgid(req);
	fd = process < 0 ? process : pair(netlink, (uint32_t)process, type & SOCK_NONBLOCK);
	return fd < 0 ? sluice_errno(-fd)
		      : sluice_inject_fd(fd, type & SOCK_CLOEXEC ? (uint32_t)O_CLOEXEC : 0);
}

/* ---- bind, getsockname ---- */

/* The end of which the task's descriptor is the other one; NULL. */
static struct end *find_locked(struct netlink *n, uint64_t cookie)
{
	for (unsigned i = 0; cookie && i < SOCKETS_MAX; i++) {
		if (n->ends[i].cookie == cookie)
			return &n->ends[i];
	}
	return NULL;
}

/* The cookie of the socket that the call is about, or 0: it can't be one of ours. */
static uint64_t cookie_asked(struct sluice_request *req, struct netlink *n)
{
	_cleanup_close_ int fd = -1;

	if (!atomic_load(&n->n))
		return 0;
	fd = task_get_fd(request_task(req), (int)sluice_request_arg(req, 0));
	return fd < 0 ? 0 : sockopt_cookie(fd);
}

static int bind_locked(struct end *e, const struct sockaddr_storage *addr, ssize_t len)
{
	struct sockaddr_nl nl;

	if (len < 0)
		return (int)len;
	if (len < (ssize_t)sizeof(nl) || addr->ss_family != AF_NETLINK)
		return -EINVAL;
	memcpy(&nl, addr, sizeof(nl));
	if (nl.nl_pid)
		e->port = nl.nl_pid;
	e->groups = nl.nl_groups;
	return 0;
}

static struct sluice_verdict bind_handle(struct sluice_request *req, void *netlink)
{
	struct netlink *n = netlink;
	uint64_t cookie = cookie_asked(req, n);
	struct sockaddr_storage addr = { 0 };
	ssize_t len = cookie ? sluice_request_sockaddr(req, &addr) : 0;
	struct end *e;
	int r = 0;

	pthread_mutex_lock(&n->attendant.lock);
	e = find_locked(n, cookie);
	if (e)
		r = bind_locked(e, &addr, len);
	pthread_mutex_unlock(&n->attendant.lock);
	if (!e)
		return sluice_continue();
	return r < 0 ? sluice_errno(-r) : sluice_value(0);
}

/* A request_act_fn. */
static struct request_act show_act(struct sluice_request *req, const void *name)
{
	int r = request_give_address(req, sluice_request_arg(req, 1), sluice_request_arg(req, 2),
				     name, sizeof(struct sockaddr_nl));

	return (struct request_act){ .value = r, .fd = -1 };
}

static struct sluice_verdict getsockname_handle(struct sluice_request *req, void *netlink)
{
	struct netlink *n = netlink;
	const uint64_t cookie = cookie_asked(req, n);
	struct sockaddr_nl name = { .nl_family = AF_NETLINK };
	const struct request_plan p = {
		.builtin = "netlink",
		.act = show_act,
		REQUEST_PLAN_NO_FILES,
		.data = &name,
		.size = sizeof(name),
	};
	const struct end *e;

	pthread_mutex_lock(&n->attendant.lock);
	e = find_locked(n, cookie);
	if (e) {
		name.nl_pid = e->port;
		name.nl_groups = e->groups;
	}
	pthread_mutex_unlock(&n->attendant.lock);
	return e ? request_plan_or_errno(req, &p, 0) : sluice_continue();
}

/* ---- registration ---- */

int builtin_netlink_register(struct dispatch *d)
{
	struct netlink *n = netlink_new();
	const struct sluice_handler handlers[] = {
		sluice_handler_make("netlink", SYS_bind, bind_handle, n),
		sluice_handler_make("netlink", SYS_getsockname, getsockname_handle, n),
	};
	const struct sluice_handler made =
		sluice_handler_make("netlink", SYS_socket, socket_handle, n);
	int r = n ? dispatch_own(d, n, netlink_free) : -ENOMEM;

	if (r == 0)
		r = dispatch_add_where_refused(d, &made);

	return r < 0 ? r
		     : dispatch_add_builtins(d, handlers, sizeof(handlers) / sizeof(handlers[0]));
}
