/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Built-in: Unix sockets that get a name in a tree of the command's own. The kernel would make the file in the host's root, so it is made here, on a
 * duplicate of the task's socket, in the directory that was found.
 *
 * What the kernel then keeps as the socket's address is what it was given here; getsockname and getpeername show the task's own text instead. Where
 * Landlock grants no making of sockets, bind is EACCES as everywhere.
 */
#ifndef SLUICE_BUILTIN_NETWORK_BIND_H
#define SLUICE_BUILTIN_NETWORK_BIND_H

struct dispatch;
struct tree;

/* @tree: borrowed until @d is freed. -ENOMEM. */
int builtin_bind_register(struct dispatch *d, const struct tree *tree);

#endif
