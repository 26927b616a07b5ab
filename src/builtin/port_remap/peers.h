/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses that accept and the calls that receive datagrams give: of a peer that is a socket of the sandbox with another port than it shows.
 *
 * They come with what has to be waited for, and the kernel writes them. So these calls are the kernel's, which waits as ever, as long as no such peer can be there;
 * where one is, they are waited for here, and what comes is looked at: the kernel's still, or, where an address is to be another, carried out on behalf. Thread: the
 * runner of the request.
 */
#ifndef SLUICE_BUILTIN_PORT_REMAP_PEERS_H
#define SLUICE_BUILTIN_PORT_REMAP_PEERS_H

#include <sluice/handler.h>

#include "engine/request.h"

struct remap;

/* What the plans carry. */
struct peers {
	struct remap *remap;
	int sock; /* owned */
};

/*
 * @act, with a struct peers, where the call's socket is one of @protocol and may have such a peer; else the kernel's.
 */
struct sluice_verdict peers_plan(struct sluice_request *req, struct remap *r, int protocol,
				 request_act_fn act);

/* Wait until the socket has something, if the call with @flags (MSG_*) would. 0, or the errno that it fails with; PEERS_KERNEL: the kernel may as well wait. */
#define PEERS_KERNEL 1
int peers_wait(struct sluice_request *req, int sock, unsigned flags);

/* An act's result: nothing was done. */
struct request_act peers_go_on(void);

/* Handlers of accept and accept4, and of recvfrom, recvmsg and recvmmsg; the userdata is a struct remap. */
struct sluice_verdict accept_handle(struct sluice_request *req, void *remap);
struct sluice_verdict receive_handle(struct sluice_request *req, void *remap);

#endif
