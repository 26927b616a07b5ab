/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/send.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/network/address.h"
#include "builtin/network/destination.h"
#include "builtin/network/message.h"
#include "builtin/network/rules.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "sys/sockopt.h"
#include "task/task.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define MESSAGES_MAX 1024u	      /* the kernel's UIO_MAXIOV, of sendmmsg */
#define DATAGRAM_BYTES_MAX (4u << 20) /* no socket buffer by default takes a larger one */
#define CHUNK_BYTES (256u << 10)      /* of a stream at a time */
#define PAUSE_NS 4000000u	      /* where a socket is ready and its peer is not */
#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

/* What the plan carries. */
struct sending {
	const struct connect_bounds *bounds;
	int sock;    /* owned; -1 */
	bool judged; /* the one message goes to `addr`, or the plan's first file; else each is read and judged when it is sent */
	socklen_t len;
	struct sockaddr_storage addr;
};
_Static_assert(sizeof(struct sending) <= REQUEST_PLAN_BYTES, "a plan holds an address");

static void drop(const void *sending)
{
	const struct sending *s = sending;

	if (s->sock >= 0)
		close(s->sock);
}

/* ---- one message ---- */

/* What is on its way. */
struct flight {
	struct sluice_request *req;
	const struct sending *s;
	struct message m;
	unsigned flags; /* the call's */
	uint64_t until_ns;
};

/* Would the call itself wait? */
static bool may_wait(const struct flight *f)
{
	return !(f->flags & MSG_DONTWAIT) && !(fcntl(f->s->sock, F_GETFL) & O_NONBLOCK);
}

/* Until the socket takes more; one that says so and does not is asked again a little later. */
static int await(const struct flight *f, bool again)
{
	uint64_t pause_ns = clock_now_ns() + PAUSE_NS;
	int r = 0;

	if (again)
		r = request_await(f->req, f->s->sock, 0,
				  pause_ns < f->until_ns ? pause_ns : f->until_ns);
	if (r == -ETIME && clock_now_ns() < f->until_ns)
		r = 0;
	if (r == 0)
		r = request_await(f->req, f->s->sock, POLLOUT, f->until_ns);
	return r == -ETIME ? -EAGAIN : r;
}

/* @size bytes at once, waiting as the task would. What was sent, or -errno. */
static ssize_t send_bytes(const struct flight *f, void *buf, size_t size, bool with_control)
{
	struct iovec iov = { buf, size };
	struct msghdr h = {
		.msg_name = f->m.addr_len ? (void *)(uintptr_t)&f->m.addr : NULL,
		.msg_namelen = f->m.addr_len,
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = with_control ? f->m.control : NULL,
		.msg_controllen = with_control ? f->m.control_bytes : 0,
	};
	const int flags = (int)(f->flags | MSG_DONTWAIT | MSG_NOSIGNAL);

	for (bool again = false;; again = true) {
		ssize_t n = sendmsg(f->s->sock, &h, flags);
		int r;

		if (n >= 0)
			return n;
		if (errno != EAGAIN || !may_wait(f))
			return errno == EMFILE ? -ENFILE : -errno; /* our limit, not the task's */
		r = await(f, again);
		if (r < 0)
			return r;
	}
}

static ssize_t send_datagram(const struct flight *f)
{
	_cleanup_free_ char *buf = f->m.bytes > DATAGRAM_BYTES_MAX ? NULL : malloc(f->m.bytes + 1);
	int r;

	if (!buf)
		return f->m.bytes > DATAGRAM_BYTES_MAX ? -EMSGSIZE : -ENOBUFS;
	r = message_bytes(f->req, &f->m, 0, buf, f->m.bytes);
	return r < 0 ? r : send_bytes(f, buf, f->m.bytes, true);
}

/* All of it, or what went before something came in between. */
static ssize_t send_stream(const struct flight *f)
{
	size_t room = f->m.bytes < CHUNK_BYTES ? f->m.bytes : CHUNK_BYTES, done = 0;
	_cleanup_free_ char *buf = malloc(room + 1);
	bool first = true;
	ssize_t n;

	if (!buf)
		return -ENOBUFS;
	do {
		size_t size = f->m.bytes - done < room ? f->m.bytes - done : room;
		int r = message_bytes(f->req, &f->m, done, buf, size);

		n = r < 0 ? r : send_bytes(f, buf, size, first);
		if (n < 0)
			break;
		done += (size_t)n;
		first = false;
	} while (done < f->m.bytes && n > 0);
	return done ? (ssize_t)done : n;
}

/* A write to a stream that nobody reads any more signals its thread. */
static void signal_pipe(const struct flight *f)
{
	pid_t process = task_lookup_process(request_task(f->req));

	if (!(f->flags & MSG_NOSIGNAL) && process > 0)
		syscall(SYS_tgkill, process, request_task(f->req)->tid, SIGPIPE);
}

static ssize_t send_as_is(const struct flight *f, int type)
{
	ssize_t n = type == SOCK_STREAM ? send_stream(f) : send_datagram(f);

	if (n == -EPIPE && type == SOCK_STREAM)
		signal_pipe(f);
	return n;
}

/* May @sock send to @addr, which is written out, or *ret_file (the caller's; -1)? */
static int judge(struct sluice_request *req, const struct connect_bounds *b, int sock,
		 struct sockaddr_storage *addr, socklen_t *len, int *ret_file)
{
	int r = destination_file(req, b, addr, *len, ret_file);

	return r < 0 || *ret_file >= 0 ? r : destination_check(b, sock, addr, len, true);
}

static ssize_t send_message(struct flight *f)
{
	const struct sending *s = f->s;
	_cleanup_close_ int own = -1;
	int file = -1, r = 0;

	if (f->flags & MSG_ZEROCOPY) /* the pages would be ours */
		return -ENOBUFS;
	if (s->judged) {
		f->m.addr = s->addr;
		f->m.addr_len = s->len;
		file = request_plan_fd(f->req, 0);
	} else {
		r = judge(f->req, s->bounds, s->sock, &f->m.addr, &f->m.addr_len, &own);
		file = own;
	}
	if (r == 0 && file >= 0)
		f->m.addr_len = destination_of_file(file, &f->m.addr);
	return r < 0 ? r : send_as_is(f, sockopt_get(s->sock, SO_TYPE));
}

/* ---- the three calls ---- */

static struct flight flight_of(struct sluice_request *req, const struct sending *s, uint64_t flags)
{
	return (struct flight){
		.req = req,
		.s = s,
		.flags = (unsigned)flags,
		.until_ns = request_send_deadline_ns(s->sock),
	};
}

static ssize_t send_to(struct sluice_request *req, const struct sending *s)
{
	struct flight f = flight_of(req, s, sluice_request_arg(req, 3));
	ssize_t n = message_of_buffer(&f.m, sluice_request_arg(req, 1), sluice_request_arg(req, 2),
				      &s->addr, s->len);

	if (n < 0)
		return n;
	n = send_message(&f);
	message_fini(&f.m);
	return n;
}

static ssize_t send_msg(struct sluice_request *req, const struct sending *s, uint64_t addr,
			uint64_t flags)
{
	struct flight f = flight_of(req, s, flags);
	ssize_t n = message_read(req, addr, &f.m);

	if (n < 0)
		return n;
	n = send_message(&f);
	message_fini(&f.m);
	return n;
}

/* How many were sent, or why not even one was. */
static ssize_t send_mmsg(struct sluice_request *req, const struct sending *s)
{
	const uint64_t addr = sluice_request_arg(req, 1);
	uint64_t n = (uint32_t)sluice_request_arg(req, 2);
	ssize_t done = 0, r = 0;

	n = n < MESSAGES_MAX ? n : MESSAGES_MAX;
	if (s->judged)
		n = 1;
	for (; r >= 0 && (uint64_t)done < n; done += r >= 0) {
		uint64_t at = addr + (uint64_t)done * sizeof(struct mmsghdr);
		uint32_t length;

		r = send_msg(req, s, at, sluice_request_arg(req, 3));
		if (r < 0)
			break;
		length = (uint32_t)r;
		r = sluice_request_write(req, at + offsetof(struct mmsghdr, msg_len), &length,
					 sizeof(length));
	}
	return done ? done : r;
}

static struct request_act send_act(struct sluice_request *req, const void *sending)
{
	const struct sending *s = sending;
	ssize_t n;

	switch (sluice_request_nr(req)) {
	case SYS_sendto:
		n = send_to(req, s);
		break;
	case SYS_sendmsg:
		n = send_msg(req, s, sluice_request_arg(req, 1), sluice_request_arg(req, 2));
		break;
	default:
		n = send_mmsg(req, s);
	}
	return (struct request_act){ .value = n, .fd = -1 };
}

/* Of sendto: where to. */
static int take_address(struct sluice_request *req, struct sending *s)
{
	ssize_t n = sluice_request_sockaddr(req, &s->addr);

	s->len = n < 0 ? 0 : (socklen_t)n;
	if (n < 0)
		return (int)n;
	/* unlike sendmsg, for which that is no address */
	return sluice_request_arg(req, 4) && !n && socket_protocol(s->sock) & (NET_UDP | NET_ICMP)
		       ? -EINVAL
		       : 0;
}

/*
 * What can be judged before it is sent, so that others can look at it: of sendto always; of the others where somebody looks, and then sendmmsg sends one message,
 * which callers have to expect of it.
 */
static int look(struct sluice_request *req, struct sending *s, int *ret_file)
{
	const int nr = sluice_request_nr(req);
	int r;

	if (nr != SYS_sendto && !request_has_extras(req))
		return 0;
	if (nr == SYS_sendmmsg && !(uint32_t)sluice_request_arg(req, 2))
		return 0;
	r = nr == SYS_sendto ? take_address(req, s)
			     : message_address(req, sluice_request_arg(req, 1), &s->addr, &s->len);
	s->judged = true;
	return r < 0 ? r : judge(req, s->bounds, s->sock, &s->addr, &s->len, ret_file);
}

static struct sluice_verdict send_handle(struct sluice_request *req, void *bounds)
{
	struct sending s = {
		.bounds = bounds,
		.sock = task_get_fd(request_task(req), (int)sluice_request_arg(req, 0)),
	};
	struct request_plan p = {
		.builtin = "network",
		.act = send_act,
		.drop = drop,
		REQUEST_PLAN_NO_FILES,
		.address = &s.addr,
		.data = &s,
		.size = sizeof(s),
	};
	int r = s.sock < 0 ? s.sock : request_compare_credentials(req);

	if (r == 0)
		r = look(req, &s, &p.fds[0]);
	p.address_bytes = p.fds[0] < 0 ? s.len : 0;
	return request_plan_or_errno(req, &p, r);
}

/* ---- registration ---- */

int builtin_send_register(struct dispatch *d, const struct connect_bounds *bounds)
{
	static const int calls[] = { SYS_sendto, SYS_sendmsg, SYS_sendmmsg };
	struct connect_bounds *b = malloc(sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	*b = *bounds;
	r = dispatch_own(d, b, free);
	for (size_t i = 0; r == 0 && i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct sluice_handler h = sluice_handler_make("network", calls[i], send_handle, b);

		r = dispatch_add(d, &h, true);
	}
	if (r == 0)
		dispatch_trap_only_with(d, SYS_sendto, 4);
	return r;
}
