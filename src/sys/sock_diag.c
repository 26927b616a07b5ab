/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sys/sock_diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/cleanup.h"

#define ALL_STATES 0xffffffffu /* those that only have a port too (6.8) */
#define ANSWER_BYTES 32768u    /* what the kernel gives at most at a time, by default */

struct question {
	struct nlmsghdr head;
	struct inet_diag_req_v2 req;
};

static int ask(const struct question *q)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	int error;

	if (fd < 0)
		return -errno;
	if (sendto(fd, q, sizeof(*q), 0, (const struct sockaddr *)&kernel, sizeof(kernel)) ==
	    (ssize_t)sizeof(*q))
		return fd;
	error = errno;
	close(fd);
	return -error;
}

static struct question question(int family, int protocol, uint16_t flags)
{
	return (struct question){
		.head = { .nlmsg_len = sizeof(struct question),
			  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			  .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) },
		.req = { .sdiag_family = (uint8_t)family,
			 .sdiag_protocol = (uint8_t)protocol,
			 .idiag_states = ALL_STATES },
	};
}

static uint64_t cookie_of(const struct inet_diag_sockid *id)
{
	return id->idiag_cookie[0] | (uint64_t)id->idiag_cookie[1] << 32;
}

/* ---- one ---- */

/* 1, 0 or -errno of an answer to one question. */
static int found(int fd)
{
	_Alignas(8) char buf[1024];
	const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
	ssize_t n = recv(fd, buf, sizeof(buf), 0);
	int error;

	if (n < 0)
		return -errno;
	if (!NLMSG_OK(h, n))
		return -EPROTO;
	if (h->nlmsg_type != NLMSG_ERROR)
		return 1;
	error = ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
	return error == -ENOENT || error == -ESTALE ? 0 : error;
}

static int serves(int family, int protocol, const struct in6_addr *address, uint16_t port,
		  uint64_t cookie)
{
	struct question q = question(family, protocol, 0);
	struct inet_diag_sockid *id = &q.req.id;
	/* of UDP the kernel looks for whom a packet from the one to the other would reach, of TCP for whose own address it is */
	void *own = protocol == IPPROTO_UDP ? id->idiag_dst : id->idiag_src;
	const size_t skip = family == AF_INET ? 12 : 0;
	_cleanup_close_ int fd = -1;

	memcpy(own, address->s6_addr + skip, sizeof(*address) - skip);
	/* a packet for "any" address has some address */
	if (IN6_IS_ADDR_UNSPECIFIED(address) && family == AF_INET)
		memcpy(own, &(in_addr_t){ htonl(INADDR_LOOPBACK) }, sizeof(in_addr_t));
	else if (IN6_IS_ADDR_UNSPECIFIED(address))
		memcpy(own, &in6addr_loopback, sizeof(in6addr_loopback));
	*(protocol == IPPROTO_UDP ? &id->idiag_dport : &id->idiag_sport) = htons(port);
	q.req.id.idiag_cookie[0] = (uint32_t)cookie;
	q.req.id.idiag_cookie[1] = (uint32_t)(cookie >> 32);
	fd = ask(&q);
	return fd < 0 ? fd : found(fd);
}

int sock_diag_serves(int protocol, const struct in6_addr *address, uint16_t port, uint64_t cookie)
{
	int r = 0;

	if (IN6_IS_ADDR_V4MAPPED(address) || IN6_IS_ADDR_UNSPECIFIED(address))
		r = serves(AF_INET, protocol, address, port, cookie);
	if (r == 0 && !IN6_IS_ADDR_V4MAPPED(address))
		r = serves(AF_INET6, protocol, address, port, cookie);
	return r;
}

/* ---- all ---- */

/* Of one datagram of the answer: 1: more comes, 0: that was the end, -errno. */
static int each_in(const char *buf, ssize_t n,
		   void (*fn)(uint64_t cookie, uint16_t port, void *arg), void *arg)
{
	unsigned left = (unsigned)n;

	for (const struct nlmsghdr *h = (const struct nlmsghdr *)buf; NLMSG_OK(h, left);
	     h = NLMSG_NEXT(h, left)) {
		const struct inet_diag_msg *m = NLMSG_DATA(h);

		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
		fn(cookie_of(&m->id), ntohs(m->id.idiag_sport), arg);
	}
	return 1;
}

static int each_of(int family, int protocol, void (*fn)(uint64_t cookie, uint16_t port, void *arg),
		   void *arg)
{
	const struct question q = question(family, protocol, NLM_F_DUMP);
	_Alignas(8) char buf[ANSWER_BYTES];
	_cleanup_close_ int fd = ask(&q);
	int r = fd < 0 ? fd : 1;

	while (r > 0) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		r = n < 0 ? -errno : each_in(buf, n, fn, arg);
	}
	return r;
}

int sock_diag_each(int protocol, void (*fn)(uint64_t cookie, uint16_t port, void *arg), void *arg)
{
	int r = each_of(AF_INET, protocol, fn, arg);

	return r < 0 ? r : each_of(AF_INET6, protocol, fn, arg);
}
