/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Built-in: which Unix sockets may be connected to. Landlock has no right for those with a name in the file system, so a socket whose file lies
 * outside the write grants is refused here.
 *
 * The address is looked at in a private copy, its file once, and the task's own socket is connected to that very file: no call is let
 * through to the kernel with an address that the task could still change. Nothing is trapped where everything may be written.
 */
#ifndef SLUICE_BUILTIN_NETWORK_UNIX_H
#define SLUICE_BUILTIN_NETWORK_UNIX_H

struct bind_names;
struct dispatch;
struct tree;
struct writable;

/*
 * @w is the table's, or lives as long. @tree: the command's own, borrowed until @d is freed, and @names what is known of addresses there; NULL: the
 * host's. -ENOMEM.
 */
int builtin_unix_register(struct dispatch *d, struct writable *w, const struct tree *tree,
			  struct bind_names *names);

#endif
