/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that run chains: the receiver and the workers.
 *
 * The receiver's role moves: the control thread raises receiver_epoch and starts another receiver when this one is stuck; a receiver that
 * finds its epoch gone goes on as a worker. Two may wait in RECV, which is harmless: each serves what it gets. While there are several callers at a time a second receiver
 * does that on purpose (engine_internal.h says why).
 * Threads are made by engine threads only, because they inherit the maker's Landlock domain, credentials and fs_struct.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine_internal.h"
#include "sys/futex.h"
#include "sys/notif.h"

/* Room for a handler's printf of a few paths; only what is touched costs. */
#define RUNNER_STACK_BYTES (512u << 10)

#define WAIT_LOOK_MS_MAX 16

static bool receiver_is(const struct runner *r)
{
	return atomic_load(&r->engine->receiver_epoch) == atomic_load(&r->epoch);
}

int runner_replace_receiver(struct engine *e)
{
	int r;

	atomic_fetch_add(&e->receiver_epoch, 1);
	r = runner_start(e, RUNNER_RECEIVER);
	if (r < 0) /* no more threads: it stays the receiver */
		atomic_fetch_sub(&e->receiver_epoch, 1);
	else
		atomic_fetch_add(&e->takeovers, 1);
	return r;
}

int runner_wait_begin(struct runner *r)
{
	struct engine *e = r->engine;

	if (atomic_fetch_add(&e->n_blocked, 1) >= WAITS_MAX) {
		atomic_fetch_sub(&e->n_blocked, 1);
		return -EAGAIN;
	}
	atomic_store(&r->waits, true);
	/* what was pushed while this one still counted as busy, and all others are */
	atomic_thread_fence(memory_order_seq_cst);
	if (handoff_length(e->handoff))
		runner_want_worker(e, true);
	/* the control thread would find it stuck, some milliseconds later */
	if (e->config.mode != SLUICE_DISPATCH_INLINE && atomic_load(&r->role) == RUNNER_RECEIVER &&
	    receiver_is(r))
		runner_replace_receiver(e);
	return 0;
}

void runner_wait_end(struct runner *r)
{
	atomic_store(&r->waits, false);
	atomic_fetch_sub(&r->engine->n_blocked, 1);
}

bool runner_wait_is_over(struct runner *r, const struct task *t)
{
	return atomic_load(&r->engine->stopping) || task_check(t) < 0;
}

/* Longer from time to time. */
int runner_wait_ms(int ms)
{
	return ms < WAIT_LOOK_MS_MAX ? 2 * ms : ms;
}

static struct sluice_request *take_request(struct engine *e)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct sluice_request *req;

	/* all in use: those that wait in the pool free some; until then nobody is received, so memory stays bounded */
	while (!(req = slab_take(e->slab)) && !atomic_load(&e->stopping))
		nanosleep(&pause, NULL);
	return req;
}

static bool goes_to_pool(const struct engine *e, const struct chain *c)
{
	switch (e->config.mode) {
	case SLUICE_DISPATCH_POOL:
		return true;
	case SLUICE_DISPATCH_INLINE:
		return false;
	default:
		return atomic_load_explicit(&c->to_pool, memory_order_relaxed);
	}
}

/*
 * Wait for a notification. Only needed where RECV would not notice the filter's end. Returns false when the engine stops.
 */
static bool receiver_poll(struct engine *e)
{
	struct pollfd p = { .fd = e->listener, .events = POLLIN };

	while (!atomic_load(&e->stopping)) {
		int n = poll(&p, 1, 100);

		if (n > 0 && p.revents & POLLIN)
			return true;
		if (n > 0 && p.revents & POLLHUP)
			return false;
	}
	return false;
}

/* Receive into @req. 0, -EAGAIN (nothing this time), or -ESHUTDOWN when there is nothing more to come. */
static int receiver_recv(struct engine *e, struct sluice_request *req)
{
	int r;

	if (e->recv_hangs && !receiver_poll(e))
		return -ESHUTDOWN;
	r = notif_recv(e->listener, &req->notif);
	if (r == 0)
		return 0;
	if (r == -ENOENT && notif_hung_up(e->listener))
		return -ESHUTDOWN;
	return r == -ENOENT || r == -EINTR ? -EAGAIN : -ESHUTDOWN;
}

/* Hand @req to the pool. Returns the request to receive into next, or NULL when @req must be run here because no other is free. */
static struct sluice_request *receiver_hand_over(struct engine *e, struct sluice_request *req)
{
	struct sluice_request *next = slab_take(e->slab);

	if (!next)
		return NULL;
	if (!handoff_push(e->handoff, req))
		runner_want_worker(e, true);
	/* somebody must look at deadlines from now on */
	if (atomic_load(&e->control_parked))
		engine_ring(e);
	return next;
}

static struct sluice_request *receiver_serve(struct runner *r, struct sluice_request *req)
{
	struct engine *e = r->engine;
	struct chain *c = dispatch_chain(e->dispatch, req->notif.data.nr);
	struct sluice_request *next;

	if (!c) { /* can't be: the filter asks only for calls that have a chain */
		notif_send_reply(e->listener, req->notif.id, ENOSYS, 0);
		return req;
	}
	request_begin(req, e, c, clock_now_ns());
	if (goes_to_pool(e, c)) {
		next = receiver_hand_over(e, req);
		if (next)
			return next;
	}
	return serve(r, req) ? take_request(e) : req;
}

/* ---- two at a time ---- */

/* Where no thread can be had it stays wanted, and nobody tries again. */
static void second_want(struct engine *e)
{
	if (atomic_load_explicit(&e->second, memory_order_relaxed) ||
	    atomic_exchange(&e->second, 1))
		return;
	if (atomic_exchange(&e->second_there, true))
		futex_wake(&e->second, 1);
	else if (runner_start(e, RUNNER_SECOND) < 0)
		atomic_store(&e->second_there, false);
}

/* A call of @tid came while another one was served. One caller alone can be that fast, too. */
static void crowd_note(struct runner *r, pid_t tid, bool meanwhile)
{
	pid_t before = atomic_exchange_explicit(&r->engine->last_tid, tid, memory_order_relaxed);

	r->crowd = r->crowd << 1 | (meanwhile && tid != before);
}

static int crowd_of(const struct runner *r)
{
	return __builtin_popcountll(r->crowd);
}

/* Serve what was received, and note whether the other receiver had a call then, or (@waited) it was there before this one was back. */
static struct sluice_request *serve_among(struct runner *r, struct sluice_request *req, bool waited)
{
	struct engine *e = r->engine;
	bool others = atomic_fetch_add_explicit(&e->n_receiving, 1, memory_order_relaxed) > 0;

	crowd_note(r, (pid_t)req->notif.pid, waited || others);
	req = receiver_serve(r, req);
	atomic_fetch_sub_explicit(&e->n_receiving, 1, memory_order_relaxed);
	return req;
}

static void receiver_loop(struct runner *r)
{
	struct engine *e = r->engine;
	/* of two that poll for one call one would stay in RECV for ever where that hangs */
	const bool may_be_two = e->config.mode == SLUICE_DISPATCH_ADAPTIVE && !e->recv_hangs;
	struct sluice_request *req = take_request(e);

	while (req && receiver_is(r)) {
		uint64_t begin = clock_now_ns();
		int got = receiver_recv(e, req);

		if (got == -ESHUTDOWN)
			break;
		if (got < 0)
			continue;
		req = serve_among(r, req, clock_now_ns() - begin < CROWD_PENDING_NS);
		if (may_be_two && crowd_of(r) >= CROWD_BEGIN)
			second_want(e);
	}
	if (req)
		request_put(e, req);
}

/* Until it is wanted. False: it leaves, or the engine stops. */
static bool second_park(struct engine *e)
{
	while (!atomic_load(&e->second)) {
		if (atomic_load(&e->stopping))
			return false;
		if (futex_wait(&e->second, 0, SECOND_IDLE_MS) != -ETIMEDOUT)
			continue;
		atomic_store(&e->second_there, false);
		/* wanted just now: by who started another one, or who took this one for waiting */
		if (!atomic_load(&e->second) || atomic_exchange(&e->second_there, true))
			return false;
	}
	return true;
}

static void second_loop(struct runner *r)
{
	struct engine *e = r->engine;
	struct sluice_request *req = take_request(e);
	unsigned calls = 0;

	while (req && second_park(e)) {
		int got = receiver_recv(e, req);

		if (got == -ESHUTDOWN)
			break;
		if (got < 0)
			continue;
		req = serve_among(r, req, false);
		if (++calls < CROWD_CALLS || crowd_of(r) >= CROWD_GOES_ON)
			continue;
		calls = 0;
		atomic_store(&e->second, 0);
	}
	if (req)
		request_put(e, req);
}

/*
 * Leave if more than @keep are there. Decided by one decrement, so that @keep stay. A push that still counted this one, or woke it, starts no other: so
 * the ring is looked at once more afterwards (full fence; pairs with runner_want_worker's look at n_workers after the push).
 */
static bool worker_retire(struct engine *e, uint32_t keep)
{
	uint32_t n = atomic_load(&e->n_workers);

	while (n > keep) {
		if (!atomic_compare_exchange_weak(&e->n_workers, &n, n - 1))
			continue;
		atomic_thread_fence(memory_order_seq_cst);
		if (!handoff_length(e->handoff))
			return true;
		atomic_fetch_add(&e->n_workers, 1);
		return false;
	}
	return false;
}

static void worker_loop(struct runner *r)
{
	struct engine *e = r->engine;

	while (!atomic_load(&e->stopping)) {
		struct sluice_request *req;

		/* a receiver that lost its role may be one too many */
		if (worker_retire(e, e->config.workers_max + atomic_load(&e->n_blocked)))
			return;
		req = handoff_pop(e->handoff);
		if (req) {
			if (!serve(r, req))
				request_put(e, req);
		} else if (handoff_park(e->handoff, WORKER_IDLE_MS) == -ETIMEDOUT &&
			   worker_retire(e, e->config.workers_min)) {
			return;
		}
	}
	atomic_fetch_sub(&e->n_workers, 1);
}

static void *runner_main(void *arg)
{
	struct runner *r = arg;
	struct engine *e = r->engine;

	atomic_store(&r->tid, gettid());
	if (atomic_load(&r->role) == RUNNER_RECEIVER) {
		receiver_loop(r);
		if (!atomic_load(&e->stopping) && !receiver_is(r)) {
			atomic_store(&r->role, RUNNER_WORKER);
			atomic_fetch_add(&e->n_workers, 1);
		}
	}
	if (atomic_load(&r->role) == RUNNER_SECOND)
		second_loop(r);
	if (atomic_load(&r->role) == RUNNER_WORKER)
		worker_loop(r);
	connect_ring_drop(r);
	atomic_store(&r->role, RUNNER_ENDED);
	atomic_fetch_sub(&e->n_live, 1);
	if (atomic_load(&e->stopping))
		futex_wake(&e->n_live, 1);
	return NULL;
}

static int runner_spawn(struct runner *r)
{
	pthread_attr_t attr;
	int r2;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, RUNNER_STACK_BYTES);
	r2 = pthread_create(&r->thread, &attr, runner_main, r);
	pthread_attr_destroy(&attr);
	return -r2;
}

/* A runner whose thread has ended or that never had one. */
static struct runner *runner_slot_locked(struct engine *e)
{
	uint32_t n = atomic_load(&e->n_runners);
	struct runner *r;

	for (uint32_t i = 0; i < n; i++) {
		r = e->runners[i];
		if (atomic_load(&r->role) == RUNNER_ENDED) {
			pthread_join(r->thread, NULL);
			atomic_store(&r->role, RUNNER_FREE);
		}
		if (atomic_load(&r->role) == RUNNER_FREE)
			return r;
	}
	if (n == RUNNERS_MAX)
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->engine = e;
	atomic_init(&r->waits, false);
	e->runners[n] = r;
	atomic_store(&e->n_runners, n + 1); /* publishes the pointer to the control thread's look */
	return r;
}

int runner_start(struct engine *e, enum runner_role role)
{
	struct runner *r;
	int err = -EAGAIN;

	pthread_mutex_lock(&e->runners_lock);
	r = atomic_load(&e->stopping) ? NULL : runner_slot_locked(e);
	if (r) {
		atomic_store(&r->epoch, atomic_load(&e->receiver_epoch));
		atomic_store(&r->role, role);
		r->crowd = 0;
		atomic_fetch_add(&e->n_live, 1);
		err = runner_spawn(r);
		if (err < 0) {
			atomic_fetch_sub(&e->n_live, 1);
			atomic_store(&r->role, RUNNER_FREE);
		}
	}
	pthread_mutex_unlock(&e->runners_lock);
	return err;
}

void runner_want_worker(struct engine *e, bool may_start)
{
	uint32_t n = atomic_load(&e->n_workers);

	if (n >= e->config.workers_max + atomic_load(&e->n_blocked))
		return; /* a busy one will take it */
	if (!may_start) {
		atomic_store(&e->want_worker, 1);
		engine_ring(e);
		return;
	}
	atomic_fetch_add(&e->n_workers, 1);
	if (runner_start(e, RUNNER_WORKER) < 0) {
		atomic_fetch_sub(&e->n_workers, 1);
		atomic_store(&e->want_worker, 1); /* the control thread tries again */
		engine_ring(e);
	}
}

void runners_join(struct engine *e)
{
	uint32_t n = atomic_load(&e->n_runners);

	for (uint32_t i = 0; i < n; i++) {
		struct runner *r = e->runners[i];

		if (atomic_load(&r->role) != RUNNER_FREE)
			pthread_join(r->thread, NULL);
		atomic_store(&r->role, RUNNER_FREE);
	}
}
