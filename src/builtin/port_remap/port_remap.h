/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Built-in: a socket whose port somebody outside of the sandbox has gets another one, and the command goes on seeing the one that it asked for.
 *
 * Bind and destinations are the network built-in's, which asks the functions of remap.h; getsockname and getpeername are here. Sources that recvfrom and
 * accept give are the real ones: those calls must not be trapped, and answers to them arrive.
 */
#ifndef SLUICE_BUILTIN_PORT_REMAP_PORT_REMAP_H
#define SLUICE_BUILTIN_PORT_REMAP_PORT_REMAP_H

struct dispatch;
struct remap;

/* @r: borrowed until @d is freed. -ENOMEM. */
int builtin_port_remap_register(struct dispatch *d, struct remap *r);

#endif
