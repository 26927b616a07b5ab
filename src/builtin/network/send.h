/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Built-in: whom messages are sent to, where the policy lets the command have sockets that are not connected (udp, icmp, datagrams of AF_UNIX).
 *
 * sendto with an address, sendmsg and sendmmsg are carried out here, whatever the socket is: what is sent, to whom and what goes along with it are private
 * copies, and the socket is a duplicate, so that neither can be another one by the time it matters. Sends without an address by other calls go to whom
 * the socket is connected to, and are not trapped.
 */
#ifndef SLUICE_BUILTIN_NETWORK_SEND_H
#define SLUICE_BUILTIN_NETWORK_SEND_H

struct connect_bounds;
struct dispatch;

/* @bounds: copied, what is in it borrowed as there. -ENOMEM. */
int builtin_send_register(struct dispatch *d, const struct connect_bounds *bounds);

#endif
