/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answering later.
 *
 * `defer_state` settles who owns a parked request: the first of GIVEN (somebody answers) and EXPIRED (deadline, or the engine's end) after
 * RETURNED (its runner has let go). GIVEN before RETURNED means that the runner itself goes on with the verdict. The generation above the bits
 * keeps the control thread's look at a request of an earlier life from doing anything.
 * A deferral holds a reference on its request and on its engine, so it can be given back long after the sandbox. It is a value, an index into the slab and
 * that generation, so that a second answer is noticed instead of reaching a later life.
 */
#include <errno.h>
#include <unistd.h>

#include "engine/engine_internal.h"
#include "sys/notif.h"

/* Tokens: how many deferrals the request has seen, times DEFER_STEP, is far from reaching the index above TOKEN_SHIFT. */
#define TOKEN_SHIFT 52

int sluice_request_defer(struct sluice_request *req, struct sluice_deferral *ret)
{
	struct engine *e = req->engine;

	if (req->deferred)
		return -EALREADY;
	if (atomic_fetch_add(&e->n_deferred, 1) >= DEFERRALS_MAX) {
		atomic_fetch_sub(&e->n_deferred, 1);
		return -EAGAIN;
	}
	engine_ref(e);
	atomic_fetch_add_explicit(&req->refs, 1, memory_order_relaxed);
	req->took_deferral = true;
	req->deferred = true;
	req->defer_serial += DEFER_STEP;
	atomic_store(&req->defer_state, req->defer_serial);
	ret->engine = e;
	ret->token = (uint64_t)slab_index(e->slab, req) << TOKEN_SHIFT | req->defer_serial;
	return 0;
}

bool deferral_park(struct engine *e, struct sluice_request *req, struct chain_handler *h)
{
	uint64_t old;

	req->deferring = h;
	atomic_store_explicit(&req->defer_until_ns,
			      req->received_ns + (uint64_t)h->deadline_ms * 1000000u,
			      memory_order_relaxed);
	old = atomic_fetch_or(&req->defer_state, DEFER_RETURNED);
	if (old & DEFER_GIVEN)
		return false;
	if (atomic_load(&e->control_parked))
		engine_ring(e); /* somebody must look at its deadline */
	return true;
}

void deferral_void(struct sluice_request *req)
{
	atomic_fetch_or(&req->defer_state, DEFER_EXPIRED);
}

/* Win a parked request from its deferral. */
static bool deferral_take(struct sluice_request *req, uint64_t state)
{
	return (state & DEFER_BITS) == DEFER_RETURNED &&
	       atomic_compare_exchange_strong(&req->defer_state, &state, state | DEFER_EXPIRED);
}

void deferral_expire(struct engine *e, uint64_t now_ns)
{
	uint32_t n = slab_used(e->slab);
	bool last = now_ns == UINT64_MAX; /* no runner is left */

	for (uint32_t i = 0; i < n; i++) {
		struct sluice_request *req = slab_at(e->slab, i);
		uint64_t state = atomic_load(&req->defer_state);
		struct chain_handler *h;

		if ((state & DEFER_BITS) != DEFER_RETURNED ||
		    atomic_load(&req->defer_until_ns) > now_ns || !deferral_take(req, state))
			continue;
		h = req->deferring;
		if (request_claim(req, request_ticket(req), 0, CLAIM_BITS))
			serve_deny(e, req, h, h->deadline_errno);
		req->denied_late = true;
		if (last || !(req->chain->n_observers || e->config.trace_fd >= 0)) {
			request_plan_drop(req);
			request_put(e, req);
		} else if (!handoff_push(e->handoff, req)) { /* observers run on a runner */
			runner_want_worker(e, true);
		}
	}
}

static void give_back(struct engine *e, struct sluice_request *req)
{
	request_put(e, req);
	atomic_fetch_sub(&e->n_deferred, 1);
	engine_unref(e);
}

static void verdict_close(const struct sluice_verdict *v)
{
	if (v->kind == SLUICE_INJECT_FD && v->fd >= 0)
		close(v->fd);
}

/* Win the right to store a verdict for the life that @generation names. */
static bool deferral_begin(struct sluice_request *req, uint64_t generation)
{
	uint64_t state = atomic_load(&req->defer_state);

	do {
		if ((state & ~(uint64_t)DEFER_BITS) != generation ||
		    state & (DEFER_TAKEN | DEFER_GIVEN))
			return false;
	} while (!atomic_compare_exchange_weak(&req->defer_state, &state, state | DEFER_TAKEN));
	return true;
}

int sluice_deferral_answer(const struct sluice_deferral *d, struct sluice_verdict verdict)
{
	struct engine *e = d->engine;
	struct sluice_request *req = slab_at(e->slab, (uint32_t)(d->token >> TOKEN_SHIFT));
	uint64_t old;
	int r;

	if (!deferral_begin(req, d->token & ((1ULL << TOKEN_SHIFT) - 1))) {
		verdict_close(&verdict);
		return -EALREADY;
	}
	/* a task that has died waits no more; its request goes the usual way all the same */
	r = notif_id_valid(e->listener, req->notif.id) < 0 ? -ENOENT : 0;
	req->given = verdict;
	old = atomic_fetch_or(&req->defer_state, DEFER_GIVEN);
	if (old & DEFER_EXPIRED) {
		verdict_close(&verdict);
		give_back(e, req);
		return -ENOENT;
	}
	/* parked: it is ours to hand on; the rest of the chain, and acts, belong on a confined thread */
	if (old & DEFER_RETURNED && !handoff_push(e->handoff, req))
		runner_want_worker(e, false);
	give_back(e, req);
	return r;
}

bool deferral_answered(const struct sluice_request *req)
{
	return atomic_load(&req->defer_state) & DEFER_GIVEN;
}
