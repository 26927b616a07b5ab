/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of a dispatch table: the chain of one call and what is counted about it.
 *
 * Shape is constant once the engine runs. Counters are atomic, statistics only, except `demoted`, which moves a chain to the pool
 * and needs no order with anything either: a call that misses it runs inline once more.
 */
#ifndef SLUICE_ENGINE_CHAIN_H
#define SLUICE_ENGINE_CHAIN_H

#include "engine/dispatch.h"

struct family_call;
struct histogram;

/* A prompt handler whose running mean passes this is moved to the pool: about four hand-offs, so that moving it costs less than it gives. */
#define CHAIN_SLOW_MEAN_NS 150000u
/* What one call counts at most in that mean. */
#define CHAIN_SAMPLE_MAX_NS (4u * CHAIN_SLOW_MEAN_NS)
/* Calls before the mean is believed. */
#define CHAIN_SLOW_AFTER 16u
/*
 * A built-in was held up by something else, a cold disk or a busy machine, where so many calls in a row were prompt since; a hand-off costs every one of them more than their work. Twice as many the next
 * time, up to the limit, so that who is slow now and then costs the receiver next to nothing.
 */
#define CHAIN_PROMPT_AGAIN 256u
#define CHAIN_PROMPT_AGAIN_MAX (1u << 20)

struct chain_handler {
	sluice_handler_fn fn;
	void *userdata;
	char *name; /* owned */
	uint32_t flags;
	uint32_t deadline_ms;
	int deadline_errno;
	bool builtin;

	_Atomic uint64_t calls, total_ns, max_ns;
	_Atomic uint64_t mean_ns; /* running mean over about 16 calls */
	_Atomic uint64_t late;	  /* missed deadlines */
	_Atomic bool demoted;	  /* proved slow: runs in the pool */
	/* since it was moved there: prompt calls in a row, and how many of them bring it back */
	_Atomic uint32_t prompt, probation;
};

/* Who plans call nr when an extra says AS_SEEN. */
struct planner {
	int nr;
	sluice_handler_fn fn;
	void *userdata;
};

struct chain {
	int nr;
	const struct family_call *family; /* NULL: no paths */
	struct planner planner;		  /* for AS_SEEN; fn NULL: none */
	int only_with; /* trapped only where this argument is not 0; -1: always */
	uint32_t n_handlers;
	uint32_t n_observers;
	uint32_t deadline_ms;		 /* longest of its handlers' */
	struct chain_handler *handlers;	 /* deciding ones, in order */
	struct chain_handler *observers; /* in order */
	_Atomic bool to_pool;		 /* a handler may block or was demoted */
	bool everywhere, where_refused;	 /* trapped: see NOTIF_WHERE_REFUSED */

	_Atomic uint64_t count, failed, dropped, supervised_ns;
	struct histogram *latency; /* NULL unless asked for */
};

struct dispatch {
	struct chain *chains[DISPATCH_MAX_NR]; /* NULL: not trapped */
	bool extras_begun;
	unsigned n_extras;
	struct planner *planners; /* of calls that have a chain and of those that may get one */
	size_t n_planners;
	struct dispatch_owned *owned; /* list */
};

static inline struct chain *dispatch_chain(const struct dispatch *d, int nr)
{
	return nr >= 0 && nr < DISPATCH_MAX_NR ? d->chains[nr] : NULL;
}

/* Account one call of @h that took @ns; moves its chain to the pool when it proves slow, and back when a built-in has been prompt for long. */
void chain_account(struct chain *c, struct chain_handler *h, uint64_t ns);
/* Move @c to the pool because @h (may be NULL) was stuck. */
void chain_demote(struct chain *c, struct chain_handler *h);

#endif
