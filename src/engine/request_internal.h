/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request: one notification on its way through a chain, and the slab that requests come from.
 *
 * Life: FREE -> taken by the receiver -> run by one runner at a time -> answered once -> released by the runner (or, for a deferred one, by whoever is
 * last of engine and deferral) -> FREE. Who answers is settled by one compare-and-swap on `claim`, so that a deadline, a late
 * handler and a deferral never answer twice.
 *
 * Paths and plan bytes lie inside the request; a slab is one lazily touched mapping, so requests that were never used cost nothing.
 */
#ifndef SLUICE_ENGINE_REQUEST_INTERNAL_H
#define SLUICE_ENGINE_REQUEST_INTERNAL_H

#include <limits.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "engine/request.h"
#include "task/task.h"

struct chain;
struct chain_handler;
struct engine;
struct runner;

/* Requests of one engine: running, queued and deferred together. */
#define REQUESTS_MAX 2048u
#define DEFERRALS_MAX 1024u

/*
 * Low bits of `claim`; the generation of the request's life stands above them. Each is won once, in this order, by the runner or by the control
 * thread when the runner is late:
 *   DECIDED  the verdict stands: who misses it has no side effect
 *   ACTED    what was done on behalf stands, and goes to the task now
 *   SENT     the answer is sent (a late observer must not keep it)
 */
enum request_claim_bits {
	CLAIM_DECIDED = 1u << 0,
	CLAIM_ACTED = 1u << 1,
	CLAIM_SENT = 1u << 2,
	CLAIM_BITS = CLAIM_DECIDED | CLAIM_ACTED | CLAIM_SENT,
	CLAIM_STEP = CLAIM_BITS + 1,
};

/* Low bits of `defer_state`; the deferral's serial stands above them. The first of GIVEN and EXPIRED after RETURNED owns the parked request. */
enum request_defer_bits {
	DEFER_RETURNED =
		1u << 0,       /* the handler has returned SLUICE_DEFER and its runner has let go */
	DEFER_GIVEN = 1u << 1, /* sluice_deferral_answer has stored a verdict */
	DEFER_EXPIRED = 1u << 2, /* deadline, end of the engine, or another verdict: nobody waits */
	DEFER_TAKEN = 1u << 3,	 /* somebody is storing a verdict: a second answer finds it */
	DEFER_BITS = DEFER_RETURNED | DEFER_GIVEN | DEFER_EXPIRED | DEFER_TAKEN,
	DEFER_STEP = DEFER_BITS + 1,
};

/* What will be sent: the kernel's three ways. */
struct reply {
	bool go_on; /* let the kernel run the call */
	int error;  /* positive errno, or 0 */
	int64_t value;
};

struct decoded_path {
	bool done;
	ssize_t result; /* length or -errno */
};

struct sluice_request {
	struct seccomp_notif notif;
	struct engine *engine;
	struct chain *chain;
	struct runner *runner; /* that runs it; its own */
	struct task task;
	uint64_t received_ns;
	uint32_t next; /* index of the first handler that has not run */

	/* generation and request_claim_bits; atomic. A runner's ticket is the value with all bits 0. */
	_Atomic uint64_t claim;
	/* references: 1 of the engine, 1 of a deferral; atomic; the last one releases */
	_Atomic uint32_t refs;
	struct reply reply; /* written by who won ACTED, before `settled` */
	_Atomic bool
		settled; /* release: reply and outcome are set; acquire by the other of runner and control thread */

	/* deferral; `given` is written before DEFER_GIVEN (release) and read after it (acquire) */
	bool took_deferral; /* in this life, so that refs may be 2; owned by the runner */
	bool deferred;	    /* the right is out now; owned by the runner */
	bool denied_late; /* answered by the control thread: only observers are left to be told; set before it is handed on */
	uint64_t
		defer_serial; /* DEFER_STEP more at each deferral, over all lives; owned by the runner */
	_Atomic uint64_t defer_state;
	_Atomic uint64_t defer_until_ns; /* read by the control thread once DEFER_RETURNED is set */
	struct chain_handler *deferring;
	struct sluice_verdict given;

	struct sluice_plan plan;
	request_act_fn act; /* of a plan of kind ACT; NULL: send */
	request_send_fn send;
	request_drop_fn drop;	       /* of the plan's bytes; NULL: nothing to do */
	int plan_fds[2], plan_dirs[2]; /* owned; -1 */
	const char *plan_names[2];     /* in plan_dirs; in plan_bytes, or NULL */
	struct sluice_outcome outcome;
	struct decoded_path decoded[2];
	struct decoded_path decoded_address; /* of sockaddr */
	struct sockaddr_storage sockaddr;
	struct request_buffers {
		char path[2][PATH_MAX];
		char host_path[2][PATH_MAX]; /* of the plan's descriptors, once somebody asks */
		_Alignas(8) unsigned char plan_bytes[REQUEST_PLAN_BYTES];
	} buffers;
};

/* ---- the slab; owned by the engine ---- */

struct slab;
struct slab *slab_new(void);
struct slab *slab_free(struct slab *s);
/* A request of generation + 1, refs 1, or NULL when all are in use. Any thread; no lock, no malloc. */
struct sluice_request *slab_take(struct slab *s);
void slab_give(struct slab *s, struct sluice_request *req);
/* Requests that were ever used: [0, slab_used) of slab_at. */
uint32_t slab_used(const struct slab *s);
struct sluice_request *slab_at(struct slab *s, uint32_t index);
uint32_t slab_index(const struct slab *s, const struct sluice_request *req);

/* Make @req ready for the notification that was just received into it. */
void request_begin(struct sluice_request *req, struct engine *e, struct chain *chain,
		   uint64_t now_ns);

/* Close what the plan keeps. Whoever ends the request's life. */
void request_plan_drop(struct sluice_request *req);

static inline uint64_t request_ticket(struct sluice_request *req)
{
	return atomic_load_explicit(&req->claim, memory_order_relaxed) & ~(uint64_t)CLAIM_BITS;
}

/* Move the request that @ticket was taken of from @from to @to (request_claim_bits). False when another was first. */
static inline bool request_claim(struct sluice_request *req, uint64_t ticket, uint32_t from,
				 uint32_t to)
{
	uint64_t expected = ticket | from;

	return atomic_compare_exchange_strong(&req->claim, &expected, ticket | to);
}

#endif
