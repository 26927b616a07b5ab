/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recvfrom with room for an address, recvmsg and recvmmsg, of datagrams.
 *
 * A look at the next one (MSG_PEEK) tells where it comes from. In the rare case that somebody else takes that one first, the kernel may give the task another: then its
 * address is what it is outside.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "builtin/port_remap/peers.h"
#include "builtin/port_remap/remap.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define DATAGRAM_BYTES_MAX 65536u /* no datagram, nor a row of them (UDP_GRO), is longer */
#define CONTROL_BYTES_MAX 4096u	  /* nor is all that the kernel tells of one */
#define MESSAGES_MAX 1024u	  /* the kernel's UIO_MAXIOV */

/* Where one datagram is to go. */
struct place {
	struct iovec *iov; /* addresses of the task's */
	size_t n_iov, bytes;
	size_t control_bytes; /* room */
};

/* One that came. */
struct datagram {
	struct sockaddr_storage name;
	struct msghdr h; /* with name, control and flags as the kernel gave them */
	_Alignas(struct cmsghdr) char control[CONTROL_BYTES_MAX];
	ssize_t n; /* what the call returns */
};

/* Is the address of what comes next to be another one? 1, 0, or what the call fails with. */
static int look(const struct peers *p, unsigned flags)
{
	struct sockaddr_storage name = { 0 }, shown;
	struct msghdr h = { .msg_name = &name, .msg_namelen = sizeof(name) };

	if (flags & MSG_ERRQUEUE) /* which a look would take from */
		return 1;
	if (recvmsg(p->sock, &h, MSG_PEEK | MSG_DONTWAIT) < 0)
		return errno == EAGAIN ? 0 : -errno;
	shown = name;
	remap_show(p->remap, p->sock, true, &shown, h.msg_namelen);
	return memcmp(&shown, &name, sizeof(name)) != 0;
}

/* Take the next one, with its address as it is to be shown, to @to. 0 or -errno. */
static int take(struct sluice_request *req, const struct peers *p, unsigned flags,
		const struct place *to, struct datagram *d)
{
	const size_t room = to->bytes < DATAGRAM_BYTES_MAX ? to->bytes : DATAGRAM_BYTES_MAX;
	_cleanup_free_ char *buf = malloc(room + 1);
	struct iovec iov = { buf, room };

	if (!buf)
		return -ENOBUFS;
	memset(&d->name, 0, sizeof(d->name));
	d->h = (struct msghdr){
		.msg_name = &d->name,
		.msg_namelen = sizeof(d->name),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = d->control,
		.msg_controllen = to->control_bytes < sizeof(d->control) ? to->control_bytes
									 : sizeof(d->control),
	};
	d->n = recvmsg(p->sock, &d->h, (int)flags | MSG_DONTWAIT);
	if (d->n < 0)
		return -errno;
	remap_show(p->remap, p->sock, true, &d->name, d->h.msg_namelen);
	return request_copy_iov(req, to->iov, to->n_iov, 0, buf,
				(size_t)d->n < room ? (size_t)d->n : room, true);
}

/* ---- recvfrom ---- */

static ssize_t receive_from(struct sluice_request *req, const struct peers *p)
{
	const unsigned flags = (unsigned)sluice_request_arg(req, 3);
	const size_t bytes = request_iov_cap(sluice_request_arg(req, 2));
	struct iovec iov = { (void *)(uintptr_t)sluice_request_arg(req, 1), bytes };
	const struct place to = { &iov, 1, bytes, 0 };
	struct datagram d;
	int r = take(req, p, flags, &to, &d);

	if (r == 0)
		r = request_give_address(req, sluice_request_arg(req, 4),
					 sluice_request_arg(req, 5), &d.name, d.h.msg_namelen);
	return r < 0 ? r : d.n;
}

/* ---- recvmsg ---- */

/* What the kernel writes to the struct msghdr at @addr, and where that points. */
static int give_header(struct sluice_request *req, uint64_t addr, const struct msghdr *h,
		       const struct datagram *d)
{
	const socklen_t size = d->h.msg_namelen;
	const size_t room = h->msg_namelen < size ? h->msg_namelen : size;
	int r = 0;

	if (h->msg_name && room)
		r = sluice_request_write(req, (uintptr_t)h->msg_name, &d->name, room);
	if (r == 0 && h->msg_name)
		r = sluice_request_write(req, addr + offsetof(struct msghdr, msg_namelen), &size,
					 sizeof(size));
	if (r == 0)
		r = sluice_request_write(req, addr + offsetof(struct msghdr, msg_flags),
					 &d->h.msg_flags, sizeof(d->h.msg_flags));
	if (r == 0 && d->h.msg_controllen)
		r = sluice_request_write(req, (uintptr_t)h->msg_control, d->control,
					 d->h.msg_controllen);
	return r < 0 ? r
		     : sluice_request_write(req, addr + offsetof(struct msghdr, msg_controllen),
					    &d->h.msg_controllen, sizeof(d->h.msg_controllen));
}

static ssize_t receive_msg(struct sluice_request *req, const struct peers *p, uint64_t addr,
			   unsigned flags)
{
	struct place to = { 0 };
	struct datagram d;
	struct msghdr h;
	int r = sluice_request_read(req, addr, &h, sizeof(h));

	if (r == 0 && h.msg_name && (int)h.msg_namelen < 0)
		r = -EINVAL;
	if (r == 0)
		r = request_read_iov(req, (uintptr_t)h.msg_iov, h.msg_iovlen, &to.iov, &to.bytes);
	if (r < 0)
		return r;
	to.n_iov = h.msg_iovlen;
	to.control_bytes = h.msg_control ? h.msg_controllen : 0;
	r = take(req, p, flags, &to, &d);
	free(to.iov);
	if (r == 0)
		r = give_header(req, addr, &h, &d);
	return r < 0 ? r : d.n;
}

/* Does the call want to know where it comes from? What can't be read is the kernel's to refuse. */
static bool wants_name(struct sluice_request *req, uint64_t addr)
{
	struct msghdr h;

	return sluice_request_read(req, addr, &h, sizeof(h)) == 0 && h.msg_name;
}

/* ---- recvmmsg ---- */

/* The time that the caller gives, which is looked at after each message and not while one is waited for. */
struct patience {
	uint64_t addr; /* 0: without end */
	uint64_t until_ns;
};

static int patience_read(struct sluice_request *req, struct patience *ret)
{
	struct timespec ts;
	int r;

	*ret = (struct patience){ .addr = sluice_request_arg(req, 4), .until_ns = UINT64_MAX };
	r = ret->addr ? sluice_request_read(req, ret->addr, &ts, sizeof(ts)) : 0;
	if (r < 0 || !ret->addr)
		return r;
	if (ts.tv_sec < 0 || ts.tv_nsec < 0 || ts.tv_nsec >= 1000000000)
		return -EINVAL;
	if ((uint64_t)ts.tv_sec < UINT64_MAX / 2000000000u)
		ret->until_ns =
			clock_now_ns() + (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	return 0;
}

/* Tell the caller what is left of it. */
static int patience_write(struct sluice_request *req, const struct patience *t)
{
	const uint64_t now_ns = clock_now_ns(),
		       left = t->until_ns > now_ns ? t->until_ns - now_ns : 0;
	const struct timespec ts = { (time_t)(left / 1000000000u), (long)(left % 1000000000u) };

	return t->addr ? sluice_request_write(req, t->addr, &ts, sizeof(ts)) : 0;
}

/* Message @i, and its length for the caller. What was received, or -errno. */
static ssize_t receive_one_of(struct sluice_request *req, const struct peers *p, uint64_t i,
			      unsigned flags)
{
	const uint64_t at = sluice_request_arg(req, 1) + i * sizeof(struct mmsghdr);
	ssize_t n = receive_msg(req, p, at, flags);
	uint32_t length = (uint32_t)n;
	int r = n < 0 ? 0
		      : sluice_request_write(req, at + offsetof(struct mmsghdr, msg_len), &length,
					     sizeof(length));

	return r < 0 ? r : n;
}

/* All of them are taken here, whoever they come from; the first one is there. How many, or why not even one. */
static ssize_t receive_mmsg(struct sluice_request *req, const struct peers *p, unsigned flags,
			    const struct patience *t)
{
	const uint64_t asked = (uint32_t)sluice_request_arg(req, 2);
	const uint64_t n = asked < MESSAGES_MAX ? asked : MESSAGES_MAX;
	const bool one_will_do = flags & MSG_WAITFORONE;
	uint64_t done = 0;
	ssize_t r = 0;

	flags &= ~(unsigned)MSG_WAITFORONE;
	while (r >= 0 && done < n) {
		r = receive_one_of(req, p, done, flags);
		if (r < 0 || ++done == n || clock_now_ns() >= t->until_ns)
			break;
		r = peers_wait(req, p->sock, flags | (one_will_do ? MSG_DONTWAIT : 0));
	}
	if (!done)
		return r;
	r = patience_write(req, t);
	return r < 0 ? r : (ssize_t)done;
}

/* ---- all of them ---- */

static unsigned flags_of(struct sluice_request *req)
{
	return (unsigned)sluice_request_arg(req, sluice_request_nr(req) == SYS_recvmsg ? 2 : 3);
}

/* Would the kernel refuse the call before it waits? */
static bool is_refused(struct sluice_request *req, struct patience *ret)
{
	struct iovec *iov;
	struct msghdr h;
	size_t bytes;

	if (sluice_request_nr(req) == SYS_recvmmsg)
		return patience_read(req, ret) < 0;
	if (sluice_request_nr(req) != SYS_recvmsg)
		return false;
	if (sluice_request_read(req, sluice_request_arg(req, 1), &h, sizeof(h)) < 0 ||
	    request_read_iov(req, (uintptr_t)h.msg_iov, h.msg_iovlen, &iov, &bytes) < 0)
		return true;
	free(iov);
	return false;
}

/* Is it to be done here? 1, 0: the kernel does it, or what the call fails with. Waits as the call would. */
static int decide(struct sluice_request *req, const struct peers *p, unsigned flags)
{
	int r = flags & MSG_ERRQUEUE ? 0 : peers_wait(req, p->sock, flags);

	if (r < 0 || r == PEERS_KERNEL)
		return r < 0 ? r : 0;
	return sluice_request_nr(req) == SYS_recvmmsg ? 1 : look(p, flags);
}

/* What the call gives, or -errno; -EAGAIN: nothing is there after all. */
static ssize_t receive(struct sluice_request *req, const struct peers *p, unsigned flags,
		       const struct patience *t)
{
	switch (sluice_request_nr(req)) {
	case SYS_recvfrom:
		return receive_from(req, p);
	case SYS_recvmsg:
		return receive_msg(req, p, sluice_request_arg(req, 1), flags);
	default:
		return receive_mmsg(req, p, flags, t);
	}
}

static struct request_act receive_act(struct sluice_request *req, const void *peers)
{
	const struct peers *p = peers;
	const unsigned flags = flags_of(req);
	struct patience t = { .until_ns = UINT64_MAX };
	ssize_t r;

	if (is_refused(req, &t))
		return peers_go_on();
	r = decide(req, p, flags);
	if (r > 0) {
		r = receive(req, p, flags, &t);
		if (r == -EAGAIN)
			return peers_go_on();
	} else if (r == 0) {
		return peers_go_on();
	}
	return (struct request_act){ .value = r, .fd = -1 };
}

struct sluice_verdict receive_handle(struct sluice_request *req, void *remap)
{
	const int nr = sluice_request_nr(req);

	if ((nr == SYS_recvfrom && !sluice_request_arg(req, 4)) ||
	    (nr == SYS_recvmmsg && !(uint32_t)sluice_request_arg(req, 2)) ||
	    !remap_peers_may_differ(remap, IPPROTO_UDP))
		return sluice_continue();
	if (nr != SYS_recvfrom && !wants_name(req, sluice_request_arg(req, 1)))
		return sluice_continue();
	return peers_plan(req, remap, IPPROTO_UDP, receive_act);
}
