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

#include <sluice/handler.h>

#define BIND_TEXT_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

struct bind_names;
struct dispatch;
struct sluice_request;
struct tree;

/*
 * @tree: borrowed until @d is freed; one without a view, the host's: nothing is trapped, bind is carried out where somebody asks for it. @trap: false: who has bind
 * trapped all the same calls bind_plan. *ret: the table's, for those who are given addresses. -ENOMEM.
 */
int builtin_bind_register(struct dispatch *d, const struct tree *tree, bool trap,
			  struct bind_names **ret);
/* The plan of the bind that @req is, whatever its address: on @sock, a duplicate of the task's socket (consumed; -errno: why there is none). */
struct sluice_verdict bind_plan(struct sluice_request *req, struct bind_names *names, int sock);
/* Is @text (an address that a task has from the kernel, of a peer) one that stands for a task's own? Then that, in @given. Any engine thread. */
bool bind_names_given(struct bind_names *n, const char *text, char given[BIND_TEXT_BYTES + 1]);

#endif
