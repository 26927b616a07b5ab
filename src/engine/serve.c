/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a chain and answering.
 *
 * Order of things for one request: handlers until the first verdict that is not CONTINUE; the claim DECIDED (a verdict that came too late has no
 * side effect); the act that the verdict or the plan asks for; the claim ACTED (an act that came too late is dropped); what the task will see
 * (injected descriptor, written bytes); observers; the claim SENT; SEND. ADDFD, close of our copy and SEND are three steps, so that the
 * task never runs while we still hold its file. Where the control thread was first, it has answered and the runner only tells observers.
 * Thread: a runner.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine_internal.h"
#include "sys/fd.h"
#include "sys/notif.h"
#include "task/family.h"
#include "task/ledger.h"
#include "util/histogram.h"

#define INJECT_BYTES_MAX (16u << 20)
#define ERRNO_MAX 4095

static const char by_engine[] = "sluice";

/* What a verdict leads to: a reply, and maybe a descriptor that goes with it. */
struct act {
	struct reply reply;
	int fd; /* to inject, ours until then; -1 none */
	uint32_t fd_flags;
	bool write_plan; /* write the plan's bytes before replying */
};

static struct act act_errno(int error)
{
	return (struct act){ .reply = { .error = error }, .fd = -1 };
}

static struct act act_fd(int fd, uint32_t flags)
{
	if (fd == -EMFILE) /* our limit, not the task's */
		fd = -ENFILE;
	if (fd < 0)
		return act_errno(-fd);
	return (struct act){ .fd = fd, .fd_flags = flags & O_CLOEXEC };
}

static struct act act_value(int64_t value)
{
	struct act a = { .reply = { .value = value }, .fd = -1 };

	return value < 0 && value >= -ERRNO_MAX ? act_errno(EPERM) : a;
}

/* What was done on behalf, as an answer. */
static struct act act_done(struct request_act done)
{
	if (done.go_on)
		return (struct act){ .reply = { .go_on = true }, .fd = -1 };
	if (done.fd >= 0 || done.value == -EMFILE)
		return act_fd(done.fd >= 0 ? done.fd : -EMFILE, done.fd_flags);
	return done.value < 0 ? act_errno((int)-done.value) : act_value(done.value);
}

static struct act act_plan(struct sluice_request *req)
{
	struct act a = { .fd = -1 };

	switch (req->plan.kind) {
	case SLUICE_PLAN_ACT:
		if (req->act)
			return act_done(req->act(req, req->buffers.plan_bytes));
		a.reply.go_on = true;
		break;
	case SLUICE_PLAN_REPLY:
		a.reply.value = req->plan.value;
		a.write_plan = req->plan.size > 0;
		break;
	default:
		a.reply.go_on = true;
	}
	return a;
}

static int bytes_fd(const void *data, size_t size)
{
	return size > INJECT_BYTES_MAX || (size && !data) ? -EINVAL
							  : fd_sealed("sluice", data, size);
}

static struct act act_as_seen(struct sluice_request *req)
{
	const struct planner *planner = &req->chain->planner;
	struct sluice_verdict v;

	if (req->plan.kind != SLUICE_PLAN_KERNEL)
		return act_plan(req);
	if (req->chain->family && req->chain->family->family == FAMILY_OPEN)
		return act_done(as_seen_open(req));
	if (!planner->fn)
		return act_errno(EOPNOTSUPP);
	v = planner->fn(req, planner->userdata);
	if (v.kind == SLUICE_CONTINUE)
		return act_plan(req);
	if (v.kind == SLUICE_VALUE)
		return act_value(v.value);
	return act_errno(v.kind == SLUICE_ERRNO ? v.error : EPERM);
}

static struct act act_kill(struct sluice_request *req, int sig)
{
	if (sig < 1 || sig > 64)
		return act_errno(EPERM);
	/* by thread id kill(2) reaches the whole process; the check keeps it from a reused id */
	if (notif_id_valid(req->engine->listener, req->notif.id) == 0)
		kill(req->task.tid, sig);
	return act_errno(EPERM);
}

static struct act act_of(struct sluice_request *req, const struct sluice_verdict *v)
{
	switch (v->kind) {
	case SLUICE_CONTINUE:
		return act_plan(req);
	case SLUICE_AS_SEEN:
		return act_as_seen(req);
	case SLUICE_ERRNO:
		return act_errno(v->error >= 1 && v->error <= ERRNO_MAX ? v->error : EPERM);
	case SLUICE_VALUE:
		return act_value(v->value);
	case SLUICE_INJECT_FD:
		return act_fd(v->fd >= 0 ? v->fd : -EPERM, v->flags);
	case SLUICE_INJECT_BYTES:
		return act_fd(bytes_fd(v->data, v->size), v->flags);
	case SLUICE_KILL:
		return act_kill(req, v->error);
	default: /* SLUICE_DENY and nonsense */
		return act_errno(EPERM);
	}
}

/* A verdict that nobody will carry out may own a descriptor. */
static void verdict_drop(const struct sluice_verdict *v)
{
	if (v->kind == SLUICE_INJECT_FD && v->fd >= 0)
		close(v->fd);
}

/* ---- after the claim ---- */

static void deliver_fd(struct sluice_request *req, struct act *a)
{
	int n = notif_addfd(req->engine->listener, req->notif.id, a->fd, a->fd_flags);

	close(a->fd);
	if (n < 0)
		a->reply.error = -n;
	else
		a->reply.value = n;
}

static void deliver(struct sluice_request *req, struct act *a)
{
	if (a->fd >= 0)
		deliver_fd(req, a);
	if (a->write_plan &&
	    task_write(&req->task, req->plan.addr, req->plan.data, req->plan.size) < 0) {
		a->reply.error = EFAULT;
		a->reply.value = 0;
	}
}

static void publish_outcome(struct sluice_request *req, uint32_t kind, const char *by)
{
	const struct reply *p = &req->reply;

	req->outcome.kind = kind;
	req->outcome.by = by;
	req->outcome.result = p->error ? -(int64_t)p->error : p->value;
	req->outcome.elapsed_ns = clock_now_ns() - req->received_ns;
}

/* From @start_ns on @h runs, or the engine's own act where it is NULL. */
static void set_deadline(struct runner *r, struct chain_handler *h, uint64_t start_ns)
{
	uint64_t ms = h ? h->deadline_ms : SLUICE_DEADLINE_DEFAULT_MS;

	atomic_store_explicit(&r->handler, h, memory_order_relaxed);
	atomic_store_explicit(&r->deadline_ns, start_ns + ms * 1000000u, memory_order_relaxed);
}

static void run_observers(struct runner *r, struct sluice_request *req)
{
	struct chain *c = req->chain;

	for (uint32_t i = 0; i < c->n_observers; i++) {
		struct chain_handler *h = &c->observers[i];
		uint64_t start = clock_now_ns();
		struct sluice_verdict v;

		set_deadline(r, h, start);
		v = h->fn(req, h->userdata);
		verdict_drop(&v);
		chain_account(c, h, clock_now_ns() - start);
	}
}

/* Is it the plan that lets the call go on? */
static bool plan_sends(const struct sluice_request *req)
{
	return req->reply.go_on && req->plan.kind == SLUICE_PLAN_ACT && req->send;
}

void serve_send(struct engine *e, struct sluice_request *req)
{
	struct chain *c = req->chain;
	const struct reply *p = &req->reply;
	int r;

	if (plan_sends(req)) {
		r = req->send(req, req->buffers.plan_bytes);
		if (r < 0)
			r = notif_send_reply(e->listener, req->notif.id, -r, 0);
	} else if (p->go_on) {
		r = notif_send_continue(e->listener, req->notif.id);
	} else {
		r = notif_send_reply(e->listener, req->notif.id, p->error, p->value);
	}
	if (r < 0)
		atomic_fetch_add_explicit(&c->dropped, 1, memory_order_relaxed);
}

static void account(struct sluice_request *req)
{
	struct ledger *ledger = req->engine->config.ledger;
	struct chain *c = req->chain;
	uint64_t ns = clock_now_ns() - req->received_ns;

	atomic_fetch_add_explicit(&c->supervised_ns, ns, memory_order_relaxed);
	if (req->reply.error)
		atomic_fetch_add_explicit(&c->failed, 1, memory_order_relaxed);
	if (c->latency)
		histogram_add(c->latency, ns);
	if (ledger)
		ledger_count(ledger, identity_process(&req->engine->identity, &req->task), ns);
}

static bool is_told(const struct sluice_request *req)
{
	return req->chain->n_observers || req->engine->config.trace_fd >= 0;
}

/* Observers and trace hear of a call that the control thread has answered. */
static void tell_denied(struct runner *r, struct sluice_request *req)
{
	/* the control thread is between its claim and its answer */
	while (!atomic_load_explicit(&req->settled, memory_order_acquire))
		sched_yield();
	run_observers(r, req);
	if (req->engine->config.trace_fd >= 0)
		trace_request(req->engine, req);
}

/* The act is there and in time: give it to the task. */
static void answer(struct runner *r, struct sluice_request *req, uint64_t ticket, struct act *a,
		   uint32_t kind, const char *by)
{
	struct engine *e = req->engine;

	deliver(req, a);
	req->reply = a->reply;
	account(req);
	if (is_told(req))
		publish_outcome(req, kind, by);
	if (req->chain->n_observers) {
		atomic_store_explicit(&req->settled, true, memory_order_release);
		run_observers(r, req);
		if (!request_claim(req, ticket, CLAIM_DECIDED | CLAIM_ACTED, CLAIM_BITS))
			return; /* the control thread sent it for a late observer */
	}
	if (e->config.trace_fd >= 0)
		trace_request(e, req);
	if (!plan_sends(
		    req)) /* what it keeps open is closed before the task runs, and not while it waits for this CPU */
		request_plan_drop(req);
	serve_send(e, req);
}

/* Does it lead to an act beyond an answer? */
static bool verdict_takes_time(const struct sluice_request *req, const struct sluice_verdict *v)
{
	switch (v->kind) {
	case SLUICE_CONTINUE:
		return req->plan.kind == SLUICE_PLAN_ACT;
	case SLUICE_ERRNO:
	case SLUICE_VALUE:
		return false;
	default:
		return true;
	}
}

static void finish(struct runner *r, struct sluice_request *req, uint64_t ticket,
		   const struct sluice_verdict *v, const char *by)
{
	const uint32_t acted = CLAIM_DECIDED | CLAIM_ACTED;
	bool takes_time = verdict_takes_time(req, v);
	struct act a;

	if (!request_claim(req, ticket, 0, takes_time ? CLAIM_DECIDED : acted)) {
		verdict_drop(v);
		tell_denied(r, req);
		return;
	}
	if (takes_time)
		set_deadline(r, NULL, clock_now_ns());
	a = act_of(req, v);
	if (!takes_time || request_claim(req, ticket, CLAIM_DECIDED, acted)) {
		answer(r, req, ticket, &a, v->kind, by);
		return;
	}
	if (a.fd >= 0)
		close(a.fd);
	tell_denied(r, req);
}

void serve_deny(struct engine *e, struct sluice_request *req, struct chain_handler *h, int error)
{
	if (h)
		atomic_fetch_add_explicit(&h->late, 1, memory_order_relaxed);
	req->reply = (struct reply){ .error = error };
	account(req);
	publish_outcome(req, SLUICE_ERRNO, h ? h->name : by_engine);
	serve_send(e, req);
	/* last: from here on the runner may tell observers and give the request back */
	atomic_store_explicit(&req->settled, true, memory_order_release);
}

/* ---- the chain ---- */

/*
 * The control thread denies a call whose handler is late; on a busy machine it may be later still, and a handler that is back by then is late all the
 * same. The verdict finds its call decided.
 */
static bool deny_late(struct runner *r, struct sluice_request *req, struct chain_handler *h,
		      uint64_t now_ns)
{
	uint64_t deadline_ns = atomic_load_explicit(&r->deadline_ns, memory_order_relaxed);

	if (!deadline_ns || now_ns <= deadline_ns)
		return false;
	if (request_claim(req, request_ticket(req), 0, CLAIM_BITS))
		serve_deny(req->engine, req, h, h->deadline_errno);
	return true;
}

/*
 * Run handlers from req->next on. Returns the verdict that ended the chain, *ret_by who gave it.
 */
static struct sluice_verdict run_chain(struct runner *r, struct sluice_request *req,
				       struct chain_handler **ret_by)
{
	struct chain *c = req->chain;
	uint64_t start = req->received_ns;
	struct sluice_verdict v = sluice_continue();

	*ret_by = NULL;
	if (req->next || r->role == RUNNER_WORKER)
		start = clock_now_ns();
	while (req->next < c->n_handlers) {
		struct chain_handler *h = &c->handlers[req->next++];
		uint64_t end;

		set_deadline(r, h, start);
		v = h->fn(req, h->userdata);
		end = clock_now_ns();
		chain_account(c, h, end - start);
		start = end;
		if (deny_late(r, req, h, end) || v.kind != SLUICE_CONTINUE) {
			*ret_by = h;
			break;
		}
	}
	return v;
}

static void runner_enter(struct runner *r, struct sluice_request *req, uint64_t ticket)
{
	atomic_fetch_add_explicit(&r->seq, 1, memory_order_acq_rel);
	atomic_store_explicit(&r->current, req, memory_order_relaxed);
	atomic_store_explicit(&r->chain, req->chain, memory_order_relaxed);
	atomic_store_explicit(&r->notif_id, req->notif.id, memory_order_relaxed);
	atomic_store_explicit(&r->since_ns, req->received_ns, memory_order_relaxed);
	/* full fence: seq is published before the look at control_parked; pairs with control_park */
	atomic_store(&r->ticket, ticket);
	if (atomic_load(&r->engine->control_parked))
		engine_ring(r->engine);
}

static void runner_leave(struct runner *r)
{
	atomic_store_explicit(&r->deadline_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&r->handler, NULL, memory_order_relaxed);
	atomic_fetch_add_explicit(&r->seq, 1, memory_order_release);
}

bool request_put(struct engine *e, struct sluice_request *req)
{
	if (atomic_fetch_sub_explicit(&req->refs, 1, memory_order_acq_rel) != 1)
		return false;
	slab_give(e->slab, req);
	return true;
}

/* A verdict that was given to a deferral opens the rest of the chain. */
static bool take_given(struct sluice_request *req, struct sluice_verdict *v,
		       struct chain_handler **by)
{
	if (!req->deferred ||
	    !(atomic_load_explicit(&req->defer_state, memory_order_acquire) & DEFER_GIVEN))
		return false;
	*v = req->given;
	*by = req->deferring;
	req->deferred = false;
	return true;
}

bool serve(struct runner *r, struct sluice_request *req)
{
	struct engine *e = r->engine;
	uint64_t ticket = request_ticket(req);
	struct chain_handler *by = NULL;
	struct sluice_verdict v;

	runner_enter(r, req, ticket);
	req->runner = r;
	if (req->denied_late) {
		tell_denied(r, req);
		request_plan_drop(req);
		runner_leave(r);
		request_put(e, req);
		return true;
	}
	for (;;) {
		if (!take_given(req, &v, &by) || v.kind == SLUICE_CONTINUE)
			v = run_chain(r, req, &by);
		if (v.kind != SLUICE_DEFER || !req->deferred)
			break;
		if (deferral_park(e, req, by)) {
			runner_leave(r);
			return true;
		}
	}
	/* DEFER without the right to answer, or an answer beside one that was given already */
	if (v.kind == SLUICE_DEFER || (req->deferred && deferral_answered(req))) {
		verdict_drop(&v);
		v = sluice_errno(EPERM);
	}
	finish(r, req, ticket, &v, by ? by->name : by_engine);
	request_plan_drop(req);
	runner_leave(r);
	if (!req->took_deferral)
		return false;
	if (req->deferred)
		deferral_void(req);
	request_put(e, req);
	return true;
}
