/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Built-in: a socket whose port somebody outside of the sandbox has gets another one, and the command goes on seeing the one that it asked for.
 *
 * Bind and destinations are the network built-in's, which asks the functions of remap.h; the calls that give addresses are here: getsockname and getpeername, and
 * (peers.h) accept and those that receive datagrams.
 */
#ifndef SLUICE_BUILTIN_PORT_REMAP_PORT_REMAP_H
#define SLUICE_BUILTIN_PORT_REMAP_PORT_REMAP_H

#include <stdbool.h>

struct dispatch;
struct remap;

/* @r: borrowed until @d is freed. @tcp, @udp: whether there can be such sockets. -ENOMEM. */
int builtin_port_remap_register(struct dispatch *d, struct remap *r, bool tcp, bool udp);

#endif
