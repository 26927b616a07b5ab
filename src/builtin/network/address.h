/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of the internet and their addresses, as the kernel reads them. Any thread; nothing is kept.
 */
#ifndef SLUICE_BUILTIN_NETWORK_ADDRESS_H
#define SLUICE_BUILTIN_NETWORK_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "policy/net_rule.h"

/* Is @addr of AF_INET or AF_INET6, and long enough for the kernel to take it? Then address and port. */
bool address_of(const struct sockaddr *addr, socklen_t len, struct net_address *ret,
		uint16_t *ret_port);
/* Which protocol the socket behind @fd speaks: an enum net_protocol; 0: none of ours. */
unsigned socket_protocol(int fd);
/* Is the socket behind @fd one of AF_INET or AF_INET6? */
bool socket_is_internet(int fd);
/* Does the machine itself have @a, as the kernel would route to it now? Where that can't be told: true. */
bool address_is_own(const struct net_address *a);
/*
 * Write out where a packet to the unspecified address (0.0.0.0, ::) goes: the socket's own address or loopback. Others stay.
 */
void address_specify(int fd, struct sockaddr_storage *addr, socklen_t len);

#endif
