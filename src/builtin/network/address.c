/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "sys/sockopt.h"
#include "util/cleanup.h"

/* The kernel takes IPv6 addresses without a scope, as RFC 2133 had them. */
#define SIN6_BYTES_MIN offsetof(struct sockaddr_in6, sin6_scope_id)

#define SOME_PORT 9 /* any but 0 will do */

static const uint8_t mapped[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool address_of(const struct sockaddr *addr, socklen_t len, struct net_address *ret,
		uint16_t *ret_port)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)addr;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)addr;

	if (len >= sizeof(*v4) && addr->sa_family == AF_INET) {
		memcpy(ret->bytes, mapped, sizeof(mapped));
		memcpy(ret->bytes + sizeof(mapped), &v4->sin_addr, sizeof(v4->sin_addr));
		*ret_port = ntohs(v4->sin_port);
		return true;
	}
	if (len >= SIN6_BYTES_MIN && addr->sa_family == AF_INET6) {
		memcpy(ret->bytes, &v6->sin6_addr, sizeof(ret->bytes));
		*ret_port = ntohs(v6->sin6_port);
		return true;
	}
	return false;
}

/* The socket address of @a with some port. Returns its length. */
static socklen_t sockaddr_of(const struct net_address *a, struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (net_address_is_v4(a)) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(SOME_PORT);
		memcpy(&v4->sin_addr, a->bytes + sizeof(mapped), sizeof(v4->sin_addr));
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(SOME_PORT);
	memcpy(&v6->sin6_addr, a->bytes, sizeof(a->bytes));
	return sizeof(*v6);
}

/* To an address of its own the kernel sends from that very address. Connecting a datagram socket sends nothing. */
bool address_is_own(const struct net_address *a)
{
	struct sockaddr_storage to, from = { 0 };
	const socklen_t len = sockaddr_of(a, &to);
	_cleanup_close_ int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t from_len = sizeof(from);
	struct net_address own;
	uint16_t port;

	if (fd < 0 && errno == EAFNOSUPPORT)
		return false; /* and nobody reaches it */
	if (fd < 0)
		return true;
	if (connect(fd, (const struct sockaddr *)&to, len) < 0)
		return errno != ENETUNREACH && errno != EHOSTUNREACH;
	return getsockname(fd, (struct sockaddr *)&from, &from_len) < 0 ||
	       !address_of((const struct sockaddr *)&from, from_len, &own, &port) ||
	       !memcmp(&own, a, sizeof(own));
}

bool socket_is_internet(int fd)
{
	int domain = sockopt_get(fd, SO_DOMAIN);

	return domain == AF_INET || domain == AF_INET6;
}

unsigned socket_protocol(int fd)
{
	if (!socket_is_internet(fd))
		return 0;
	switch (sockopt_get(fd, SO_PROTOCOL)) {
	case IPPROTO_TCP:
		return sockopt_get(fd, SO_TYPE) == SOCK_STREAM ? NET_TCP : 0;
	case IPPROTO_UDP:
		return sockopt_get(fd, SO_TYPE) == SOCK_DGRAM ? NET_UDP : 0;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return sockopt_get(fd, SO_TYPE) == SOCK_DGRAM ? NET_ICMP : 0;
	default:
		return 0;
	}
}

void address_specify(int fd, struct sockaddr_storage *addr, socklen_t len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)addr;
	struct sockaddr_storage own = { 0 };
	const struct sockaddr_in6 *own6 = (const struct sockaddr_in6 *)&own;
	socklen_t size = sizeof(own);

	if (len >= sizeof(*v4) && addr->ss_family == AF_INET && !v4->sin_addr.s_addr) {
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		if (getsockname(fd, (struct sockaddr *)&own, &size) < 0)
			return;
		if (own.ss_family == AF_INET && ((struct sockaddr_in *)&own)->sin_addr.s_addr)
			v4->sin_addr = ((struct sockaddr_in *)&own)->sin_addr;
	} else if (len >= SIN6_BYTES_MIN && addr->ss_family == AF_INET6 &&
		   IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr)) {
		v6->sin6_addr = in6addr_loopback;
		if (getsockname(fd, (struct sockaddr *)&own, &size) == 0 &&
		    own.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&own6->sin6_addr)) {
			memcpy(&v6->sin6_addr, mapped, sizeof(mapped));
			memcpy(v6->sin6_addr.s6_addr + sizeof(mapped),
			       &(in_addr_t){ htonl(INADDR_LOOPBACK) }, sizeof(in_addr_t));
		}
	}
}
