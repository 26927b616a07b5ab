/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "sys/sockopt.h"

/* The kernel takes IPv6 addresses without a scope, as RFC 2133 had them. */
#define SIN6_BYTES_MIN offsetof(struct sockaddr_in6, sin6_scope_id)

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
