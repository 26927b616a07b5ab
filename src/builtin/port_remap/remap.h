/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports of a sandbox: the one that a socket asked for (virtual), and the one that it has (real) where somebody outside of the sandbox had that already.
 *
 * A socket is known by its cookie, which the kernel gives it once and to no other. Nothing tells when a socket goes, and close must not be trapped: so
 * an entry is believed only after the kernel was asked whether that very socket still has that port, and those that are gone make room for new
 * ones. Any engine thread; one lock, held over system calls that do not wait.
 */
#ifndef SLUICE_BUILTIN_PORT_REMAP_REMAP_H
#define SLUICE_BUILTIN_PORT_REMAP_REMAP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <sluice/sandbox.h>

struct remap;

#define REMAP_PORTS_MAX \
	4096u /* sockets with a port at a time; more keep the port that they ask for */

struct remap *remap_new(void);
void remap_free(void *remap);

/*
 * bind(2) of @sock. Where somebody outside of the sandbox has the port, the socket gets a free one. A port that the sandbox has itself is in use as natively. 0 or
 * -errno.
 */
int remap_bind(struct remap *r, int sock, const struct sockaddr_storage *addr, socklen_t len);
/* The port of @addr becomes the real one where a socket of the sandbox has it as a virtual one. */
void remap_destination(struct remap *r, int sock, struct sockaddr_storage *addr, socklen_t len);
/* The address of @sock itself (@peer: of whom it is connected to), as getsockname has it, becomes the virtual one. */
void remap_show(struct remap *r, int sock, bool peer, struct sockaddr_storage *addr, socklen_t len);

/* The same for an address in /proc/net, of the socket of the sandbox with that inode; @host: IPv4 in its mapped form, all 0 for any. The port to be shown. */
uint16_t remap_port_of_inode(struct remap *r, int protocol, uint64_t inode, bool peer,
			     const struct in6_addr *host, uint16_t port);

/*
 * May what is sent to a socket of @protocol, or connects to it, come from a port that is to be shown as another one? Of TCP that is a socket that was bound and then
 * connected, of UDP any that was bound. Cheap; true for a while after the last one has gone.
 */
bool remap_peers_may_differ(struct remap *r, int protocol);
/* The same for the very socket @sock, whose own port does not matter. */
bool remap_peers_differ(struct remap *r, int protocol, int sock);

/* An eventfd, readable when remap_list may give something else than before, but for sockets that have gone: remap_list finds those. Borrowed. */
int remap_bell(const struct remap *r);
/* Those that differ and are there, at most @max; how many there are. */
size_t remap_list(struct remap *r, struct sluice_port *ret, size_t max);

#endif
