/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Built-in: whom a socket may be connected to. Landlock has no right for Unix sockets with a name in the file system, so one whose file lies
 * outside the write grants is refused here; of the internet only ports, so there the policy's rules decide.
 *
 * The address is looked at in a private copy, its file once, and the task's own socket is connected to that very file: no call is let
 * through to the kernel with an address that the task could still change. Nothing is trapped where everything may be written and there is no network.
 */
#ifndef SLUICE_BUILTIN_NETWORK_CONNECT_H
#define SLUICE_BUILTIN_NETWORK_CONNECT_H

struct connect_bounds;
struct dispatch;

/* -ENOMEM. */
int builtin_connect_register(struct dispatch *d, const struct connect_bounds *bounds);

#endif
