/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Built-in: Unix sockets that get a name in a tree of the command's own. The kernel would make the file in the host's root, so it is made here, on a
 * duplicate of the task's socket, in the directory that was found.
 *
 * What the kernel then keeps as the socket's address is what it was given here. That is the task's own text where this leads to the same directory by the host's
 * paths; else getsockname and getpeername show the task's text in its place. Where Landlock grants no making of sockets, bind is EACCES as everywhere.
 */
#ifndef SLUICE_BUILTIN_NETWORK_BIND_H
#define SLUICE_BUILTIN_NETWORK_BIND_H

#include <stdbool.h>
#include <sys/un.h>

#define BIND_TEXT_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

struct bind_names;
struct dispatch;
struct tree;

/*
 * @tree: borrowed until @d is freed; one without a view, the host's: nothing is trapped, bind is carried out where an extra asks for it. *ret: the
 * table's, for those who are given addresses. -ENOMEM.
 */
int builtin_bind_register(struct dispatch *d, const struct tree *tree, struct bind_names **ret);
/* Is @text (an address that a task has from the kernel, of a peer) one that stands for a task's own? Then that, in @given. Any engine thread. */
bool bind_names_given(struct bind_names *n, const char *text, char given[BIND_TEXT_BYTES + 1]);

#endif
