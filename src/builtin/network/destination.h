/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an address leads that a task gave for a socket, and whether it may: for connect and for sends.
 */
#ifndef SLUICE_BUILTIN_NETWORK_DESTINATION_H
#define SLUICE_BUILTIN_NETWORK_DESTINATION_H

#include <stdbool.h>
#include <sys/socket.h>

struct bind_names;
struct network;
struct sluice_request;
struct tree;
struct writable;

/* Who gives sockets other ports than they ask for. All 0: nobody. */
struct port_hooks {
	void *arg;
	/* bind(2); 0 or -errno */
	int (*bind)(void *arg, int sock, const struct sockaddr_storage *addr, socklen_t len);
	/* write the port that is meant into @addr, which was judged */
	void (*redirect)(void *arg, int sock, struct sockaddr_storage *addr, socklen_t len);
};

/* What bounds destinations. All borrowed until the dispatch table is freed. */
struct connect_bounds {
	const struct writable *writable;
	const struct tree *tree;       /* the command's own; NULL: the host's */
	struct bind_names *names;      /* what is known of addresses there; NULL: nothing is */
	const struct network *network; /* NULL: no rule */
	struct port_hooks hooks;
};

/*
 * The file that @addr, a private copy, names; -1: it names none, and then the kernel may judge it. Negative errno: -EACCES outside of the write grants. The
 * descriptor is the caller's. Thread: the runner of @req.
 */
int destination_file(struct sluice_request *req, const struct connect_bounds *b,
		     const struct sockaddr_storage *addr, socklen_t len, int *ret_file);
/* The address by which the kernel finds the file behind @file. Returns its length. */
socklen_t destination_of_file(int file, struct sockaddr_storage *ret);
/*
 * May the socket behind @sock reach @addr, by the rules of the internet? 0 or -EACCES. What the kernel would read in another way than it stands there is
 * written out in @addr, and the port is the one that is meant. @sends: of a message, for which no family means IPv4. What is short or strange is the kernel's to refuse.
 */
int destination_check(const struct connect_bounds *b, int sock, struct sockaddr_storage *addr,
		      socklen_t *len, bool sends);

#endif
