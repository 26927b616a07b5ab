/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sock_diag(7): which TCP and UDP sockets there are in our network namespace. No privilege is needed. Any thread.
 */
#ifndef SLUICE_SYS_SOCK_DIAG_H
#define SLUICE_SYS_SOCK_DIAG_H

#include <netinet/in.h>
#include <stdint.h>

/*
 * Is there a listening TCP socket, or a UDP one, with port @port and that cookie (SO_COOKIE)? @address: what it is bound to, IPv4 in its mapped
 * form, all 0 for any. 1, 0, or -errno.
 */
int sock_diag_serves(int protocol, const struct in6_addr *address, uint16_t port, uint64_t cookie);

/* @fn for each socket of @protocol, whatever state it is in. 0 or -errno. */
int sock_diag_each(int protocol, void (*fn)(uint64_t cookie, uint16_t port, void *arg), void *arg);

#endif
