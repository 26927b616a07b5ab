/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Built-in: which sockets may be made, bound and listened on where the policy has rules of the network.
 *
 * What is made is decided by numbers alone, so the kernel makes it. Ports are decided on a private copy of the address and on a duplicate of the
 * task's socket, on which bind and listen are then carried out: neither waits. Both are carried out for Unix sockets too, whose addresses are the business of
 * bind.h: the kernel would take the socket from the task's table again.
 */
#ifndef SLUICE_BUILTIN_NETWORK_PORTS_H
#define SLUICE_BUILTIN_NETWORK_PORTS_H

#include <stdbool.h>

struct connect_bounds;
struct dispatch;

/* @bounds: with rules of the network and names; copied, what is in it borrowed until @d is freed. @any_unix_type: Unix sockets that send to an address at each message may be made. -ENOMEM. */
int builtin_ports_register(struct dispatch *d, const struct connect_bounds *bounds,
			   bool any_unix_type);

#endif
