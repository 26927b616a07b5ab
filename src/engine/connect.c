/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect(2) and accept(2) on behalf.
 *
 * A listener whose backlog is full makes connect wait, for as long as it likes, on a socket whose O_NONBLOCK is the task's: it must not be touched, and to
 * read it says nothing, since the task may change it at any moment. Only io_uring offers an attempt that does not wait whatever the socket says, and
 * a wait that can be ended. So each runner that connects has a small ring of its own, with one connect at a time on it; the
 * kernel checks it against the runner's credentials and Landlock domain, whichever thread of the kernel carries it out. An accept that finds nobody there (somebody
 * else was quicker) is taken back at once, for the same reason on the same ring.
 *
 * Thread: the runner of the request.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "engine/engine_internal.h"
#include "sys/sockopt.h"
#include "sys/tsan.h"

#define RING_ENTRIES 4
#define TAG_CANCEL 0u

struct connect_ring {
	struct io_uring ring;
	uint64_t tag; /* of the connect on its way; each has its own */
};

/* Fails where io_uring is refused. */
static int ring_get(struct runner *r, struct connect_ring **ret)
{
	struct connect_ring *c = r->connect_ring;
	int error;

	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return -ENOMEM;
		error = io_uring_queue_init(RING_ENTRIES, &c->ring, 0);
		if (error < 0) {
			free(c);
			return error == -ENOMEM ? error : -EACCES;
		}
		r->connect_ring = c;
	}
	*ret = c;
	return 0;
}

void connect_ring_drop(struct runner *r)
{
	if (!r->connect_ring)
		return;
	io_uring_queue_exit(&r->connect_ring->ring);
	free(r->connect_ring);
	r->connect_ring = NULL;
}

static int submit(struct connect_ring *c, struct io_uring_sqe *sqe)
{
	io_uring_sqe_set_data64(sqe, ++c->tag);
	return io_uring_submit(&c->ring);
}

static int start(struct connect_ring *c, int fd, const struct sockaddr *addr, socklen_t len)
{
	struct io_uring_sqe *sqe;
	int r;

	tsan_ignore_begin();
	sqe = io_uring_get_sqe(&c->ring);	   /* there is room: the ring is empty */
	io_uring_prep_connect(sqe, fd, addr, len); /* the address is copied at submission */
	r = submit(c, sqe);
	tsan_ignore_end();
	return r < 0 ? r : 0;
}

static int start_accept(struct connect_ring *c, int fd, struct sockaddr *addr, socklen_t *len,
			int flags)
{
	struct io_uring_sqe *sqe;
	int r;

	tsan_ignore_begin();
	sqe = io_uring_get_sqe(&c->ring);
	io_uring_prep_accept(sqe, fd, addr, len, flags);
	r = submit(c, sqe);
	tsan_ignore_end();
	return r < 0 ? r : 0;
}

static void cancel(struct connect_ring *c)
{
	struct io_uring_sqe *sqe;

	tsan_ignore_begin();
	sqe = io_uring_get_sqe(&c->ring);
	if (sqe) {
		io_uring_prep_cancel64(sqe, c->tag, 0);
		io_uring_sqe_set_data64(sqe, TAG_CANCEL);
		io_uring_submit(&c->ring);
	}
	tsan_ignore_end();
}

/* Has the connect ended, within @ms milliseconds? */
static bool has_ended(struct connect_ring *c, int ms, int *ret)
{
	struct __kernel_timespec wait = { .tv_nsec = ms * 1000000LL };
	struct io_uring_cqe *cqe;
	bool ended = false;

	tsan_ignore_begin();
	while (!ended && (ms ? io_uring_wait_cqe_timeout(&c->ring, &cqe, &wait)
			     : io_uring_peek_cqe(&c->ring, &cqe)) == 0) {
		ended = cqe->user_data == c->tag;
		*ret = cqe->res;
		io_uring_cqe_seen(&c->ring, cqe);
	}
	tsan_ignore_end();
	return ended;
}

static bool was_ended(int result)
{
	return result == -ECANCELED || result == -EINTR;
}

static bool is_unix(int fd)
{
	int domain = sockopt_get(fd, SO_DOMAIN);

	return domain < 0 || domain == AF_UNIX;
}

/*
 * It would wait. So it does, until there is a place, a signal for the task (whose handler then restarts the call or not, as the kernel knows by
 * ERESTARTSYS), or the task or the engine goes. It is over before this returns, since the address may name a descriptor of ours.
 */
static int await(struct runner *r, struct sluice_request *req, struct connect_ring *c, int fd)
{
	const uint64_t until_ns = request_send_deadline_ns(fd);
	int begun = runner_wait_begin(r);
	bool late = false;
	int ms = 1, result;

	while (!has_ended(c, ms, &result)) {
		late = clock_now_ns() >= until_ns;
		if (begun < 0 || late || runner_wait_is_over(r, &req->task) ||
		    task_is_signalled(&req->task))
			cancel(c);
		ms = runner_wait_ms(ms);
	}
	if (begun == 0)
		runner_wait_end(r);
	if (!was_ended(result))
		return result;
	if (late) /* what the kernel says after SO_SNDTIMEO */
		return is_unix(fd) ? -EAGAIN : -EINPROGRESS;
	if (begun < 0)
		return begun;
	/* a connection that was begun is not begun anew */
	return is_unix(fd) || until_ns == UINT64_MAX ? -ERESTARTSYS : -EINTR;
}

/* Does the connection come about by itself, and the task not wait for it? A Unix socket's has no such state. */
static bool goes_on_alone(int fd)
{
	return fcntl(fd, F_GETFL) & O_NONBLOCK && !is_unix(fd);
}

/* Of TCP; 0: it is no such socket. */
static uint8_t tcp_state(int fd)
{
	uint8_t state; /* the first of struct tcp_info */
	socklen_t size = sizeof(state);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &size) < 0 ? 0 : state;
}

/*
 * Over loopback the other side has answered when connect(2) returns, which says EINPROGRESS nonetheless; io_uring looks once more. TCP_FASTOPEN_CONNECT begins
 * nothing yet.
 */
static int as_begun(int fd, int result)
{
	return result == 0 && tcp_state(fd) != TCP_CLOSE ? -EINPROGRESS : result;
}

/* Only the ring's interest in it is taken back, unless it has ended by then. */
static int take_back(struct connect_ring *c)
{
	int result;

	do
		cancel(c);
	while (!has_ended(c, 1, &result));
	return result;
}

static int leave(struct connect_ring *c)
{
	int result = take_back(c);

	return was_ended(result) ? -EINPROGRESS : result;
}

static int connect_once(struct sluice_request *req, int fd, const struct sockaddr *addr,
			socklen_t len)
{
	struct runner *r = req->runner;
	struct connect_ring *c = NULL;
	const bool begins = goes_on_alone(fd) && tcp_state(fd) == TCP_CLOSE;
	int result = ring_get(r, &c);

	if (result < 0)
		return result;
	result = start(c, fd, addr, len);
	if (result < 0) { /* an entry that was not taken would be at the next time */
		connect_ring_drop(r);
		return result;
	}
	if (!has_ended(c, 0, &result)) {
		if (!goes_on_alone(fd))
			return await(r, req, c, fd);
		result = leave(c);
	}
	return begins ? as_begun(fd, result) : result;
}

int request_connect(struct sluice_request *req, int fd, const struct sockaddr *addr, socklen_t len)
{
	int r;

	/* begun by an earlier call, which a signal ended: who may wait does so for the end of it */
	while ((r = connect_once(req, fd, addr, len)) == -EALREADY && !goes_on_alone(fd)) {
		r = request_await(req, fd, POLLOUT, request_send_deadline_ns(fd));
		if (r < 0)
			return r == -ETIME ? -EALREADY : r;
	}
	return r;
}

int request_accept(struct sluice_request *req, int fd, struct sockaddr_storage *addr,
		   socklen_t *len, int flags)
{
	struct runner *r = req->runner;
	struct connect_ring *c = NULL;
	int result = ring_get(r, &c);

	if (result < 0)
		return result;
	result = start_accept(c, fd, (struct sockaddr *)addr, len, flags);
	if (result < 0) {
		connect_ring_drop(r);
		return result;
	}
	if (!has_ended(c, 0, &result))
		result = take_back(c);
	return was_ended(result) ? -EAGAIN : result;
}
