/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Built-in: questions about interfaces, addresses and routes (NETLINK_ROUTE), of which there is loopback only.
 *
 * What the command gets for socket(2) is one end of a pair of Unix sockets, SOCK_SEQPACKET: it keeps messages apart and does not look at the address that a send
 * names. A thread of ours, made at first use, answers at the other end. The command sees the difference in bind and getsockname, which are answered here, and in
 * what is not: SO_DOMAIN, SO_TYPE, the options of SOL_NETLINK.
 */
#ifndef SLUICE_BUILTIN_NETWORK_NETLINK_H
#define SLUICE_BUILTIN_NETWORK_NETLINK_H

struct dispatch;

/* Before the built-ins that judge sockets. -errno. */
int builtin_netlink_register(struct dispatch *d);

#endif
