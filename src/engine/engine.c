/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's life and its control thread.
 *
 * The control thread sleeps in the poller. It is parked while nothing is on its way; whoever starts something then rings it (runner_enter,
 * deferral_park, the hand-over), and it ticks until it has seen no progress for a while: each tick it looks for a receiver
 * that is stuck in a call (takeover) and for deadlines.
 */
#define _GNU_SOURCE
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine_internal.h"
#include "sys/futex.h"
#include "sys/notif.h"
#include "util/bell.h"
#include "util/histogram.h"

void engine_ring(struct engine *e)
{
	bell_ring(e->doorbell);
}

/* ---- life ---- */

/* RECV wakes up at the filter's end from 6.11 on. */
static bool kernel_recv_hangs(void)
{
	unsigned major = 0, minor = 0;
	struct utsname u;

	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		return true;
	return major < 6 || (major == 6 && minor < 11);
}

static int engine_histograms(struct dispatch *d)
{
	for (int nr = 0; nr < DISPATCH_MAX_NR; nr++) {
		if (!d->chains[nr])
			continue;
		d->chains[nr]->latency = calloc(1, sizeof(struct histogram));
		if (!d->chains[nr]->latency)
			return -ENOMEM;
	}
	return 0;
}

static int engine_watch_doorbell(struct engine *e)
{
	e->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->doorbell < 0)
		return -errno;
	e->doorbell_slot = poller_add(e->poller, e->doorbell, POLLIN);
	if (e->doorbell_slot >= 0)
		return 0;
	close(e->doorbell);
	e->doorbell = -1;
	return e->doorbell_slot;
}

static int engine_init(struct engine *e, const struct engine_config *config)
{
	int r;

	atomic_init(&e->refs, 1);
	e->config = *config;
	snprintf(e->name, sizeof(e->name), "%s", config->name);
	e->config.name = e->name;
	e->dispatch = config->dispatch;
	e->listener = e->listener_slot = e->doorbell = e->doorbell_slot = -1;
	for (unsigned i = 0; i < ENGINE_TIMERS; i++)
		e->timers[i].at_ns = UINT64_MAX;
	pthread_mutex_init(&e->runners_lock, NULL);
	r = poller_new(&e->poller, POLLER_PPOLL);
	return r == 0 && config->histograms ? engine_histograms(e->dispatch) : r;
}

int engine_new(const struct engine_config *config, struct engine **ret)
{
	struct engine *e = calloc(1, sizeof(*e));
	int r;

	if (!e) {
		dispatch_free(config->dispatch);
		return -ENOMEM;
	}
	r = engine_init(e, config);
	if (r < 0) {
		engine_unref(e);
		return r;
	}
	*ret = e;
	return 0;
}

struct engine *engine_ref(struct engine *e)
{
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	return e;
}

/*
 * What no worker has taken. Verdicts that were given but never carried out may own descriptors; of a call that was denied past its deadline
 * the observers have still to hear, on @teller (NULL: nobody can be left).
 */
static void engine_drain(struct engine *e, struct runner *teller)
{
	struct sluice_request *req;

	while (e->handoff && (req = handoff_pop(e->handoff))) {
		if (req->denied_late && teller) {
			serve(teller, req);
			continue;
		}
		request_plan_drop(req);
		if (req->deferred && !req->denied_late && req->given.kind == SLUICE_INJECT_FD &&
		    req->given.fd >= 0)
			close(req->given.fd);
	}
}

struct engine *engine_unref(struct engine *e)
{
	uint32_t n;

	if (!e || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
		return NULL;
	engine_drain(e, NULL);
	pidfd_cache_clear(&e->pidfds);
	n = atomic_load(&e->n_runners);
	for (uint32_t i = 0; i < n; i++)
		free(e->runners[i]);
	handoff_free(e->handoff);
	slab_free(e->slab);
	dispatch_free(e->dispatch);
	poller_free(e->poller);
	if (e->listener >= 0)
		close(e->listener);
	if (e->doorbell >= 0)
		close(e->doorbell);
	pthread_mutex_destroy(&e->runners_lock);
	free(e);
	return NULL;
}

void engine_stop(struct engine *e)
{
	atomic_store(&e->stopping, true);
}

/* ---- what the owner wants of the control thread ---- */

int engine_add_source(struct engine *e, int fd, engine_source_fn fn, void *userdata)
{
	int slot = poller_add(e->poller, fd, POLLIN);

	if (slot < 0)
		return slot;
	e->sources[slot] = (struct engine_source){ (unsigned)slot, fn, userdata, true };
	return slot;
}

void engine_remove_source(struct engine *e, int source)
{
	e->sources[source].used = false;
	poller_remove(e->poller, (unsigned)source);
}

void engine_set_timer(struct engine *e, unsigned timer, uint64_t delay_ms, engine_source_fn fn,
		      void *userdata)
{
	e->timers[timer] = (struct engine_timer){
		.at_ns = delay_ms == UINT64_MAX ? UINT64_MAX : clock_now_ns() + delay_ms * 1000000u,
		.fn = fn,
		.userdata = userdata,
	};
}

/* ---- looking after runners ---- */

struct look {
	uint64_t seq;
	struct sluice_request *req;
	uint64_t ticket;
	struct chain_handler *handler;
	uint64_t deadline_ns, since_ns;
	struct chain *chain;
	uint64_t notif_id;
};

/* A consistent look at what @r runs. Returns false when it runs nothing (or has just changed). */
static bool runner_look(struct runner *r, struct look *ret)
{
	ret->seq = atomic_load(&r->seq);
	if (!(ret->seq & 1))
		return false;
	ret->req = atomic_load(&r->current);
	ret->ticket = atomic_load(&r->ticket);
	ret->handler = atomic_load(&r->handler);
	ret->deadline_ns = atomic_load(&r->deadline_ns);
	ret->since_ns = atomic_load(&r->since_ns);
	ret->chain = atomic_load(&r->chain);
	ret->notif_id = atomic_load(&r->notif_id);
	return atomic_load(&r->seq) == ret->seq;
}

/* Past a deadline: deny in the handler's place, fail an act that hangs, or send what was decided when an observer is late. */
static void runner_overdue(struct engine *e, struct runner *r, const struct look *l)
{
	struct sluice_request *req = l->req;
	uint64_t deadline_ns = l->deadline_ns;

	if (request_claim(req, l->ticket, 0, CLAIM_BITS)) {
		serve_deny(e, req, l->handler, l->handler ? l->handler->deadline_errno : EPERM);
	} else if (atomic_load_explicit(&req->settled, memory_order_acquire)) {
		/* each late observer counts once; the first of them ends the wait for the rest */
		if (atomic_compare_exchange_strong(&r->deadline_ns, &deadline_ns, 0) && l->handler)
			atomic_fetch_add(&l->handler->late, 1);
		if (request_claim(req, l->ticket, CLAIM_DECIDED | CLAIM_ACTED, CLAIM_BITS))
			serve_send(e, req);
	} else if (
		!atomic_load(
			&r->waits) && /* an open of a FIFO or a connect waits as long as it likes */
		request_claim(req, l->ticket, CLAIM_DECIDED, CLAIM_BITS)) {
		serve_deny(e, req, NULL, ETIMEDOUT);
	}
}

/* The receiver has been in one call for too long: somebody else takes the role. */
static void take_over(struct engine *e, const struct look *l)
{
	if (runner_replace_receiver(e) < 0)
		return;
	if (l->handler) /* an act that is slow (an open that waits) says nothing about the handlers */
		chain_demote(l->chain, l->handler);
}

/* Is the thread asleep, in its handler or in the kernel? One that can run is not. */
static bool thread_sleeps(pid_t tid)
{
	char path[48], stat[128];
	const char *state;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true; /* can't tell: rather one thread too many than a sandbox that stands still */
	n = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	if (n <= 0)
		return true;
	stat[n] = '\0';
	state = strrchr(stat, ')'); /* the name before it may hold anything */
	return !state || state[1] != ' ' || state[2] != 'R';
}

static uint64_t thread_cpu_ns(pthread_t thread)
{
	struct timespec ts = { 0, 0 };
	clockid_t clock;

	if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Is receiver @r, too long in the call of @l, held up by that call? */
static bool receiver_stuck(struct engine *e, struct runner *r, const struct look *l)
{
	uint64_t cpu_ns;

	if (thread_sleeps(atomic_load(&r->tid)))
		return true;
	cpu_ns = thread_cpu_ns(r->thread);
	if (e->suspect.seq != l->seq) {
		e->suspect = (struct suspect){ l->seq, cpu_ns };
		return false;
	}
	return cpu_ns - e->suspect.cpu_ns > SPIN_US * 1000u;
}

static bool is_receiver(struct engine *e, struct runner *r)
{
	return atomic_load(&r->role) == RUNNER_RECEIVER &&
	       atomic_load(&r->epoch) == atomic_load(&e->receiver_epoch);
}

static void receiver_tick(struct engine *e, struct runner *r, const struct look *l, uint64_t now_ns)
{
	if (e->config.mode == SLUICE_DISPATCH_INLINE)
		return;
	if (now_ns < l->since_ns + STUCK_US * 1000u)
		e->suspect.seq = 0;
	else if (receiver_stuck(e, r, l))
		take_over(e, l);
}

/* Look at one runner. Returns true when it runs something. */
static bool runner_tick(struct engine *e, struct runner *r, uint64_t now_ns)
{
	struct look l;

	if (!runner_look(r, &l))
		return false;
	if (l.deadline_ns && now_ns > l.deadline_ns)
		runner_overdue(e, r, &l);
	if (is_receiver(e, r))
		receiver_tick(e, r, &l, now_ns);
	return true;
}

struct activity {
	bool receiver, others;
};

static struct activity engine_tick(struct engine *e)
{
	uint32_t n = atomic_load(&e->n_runners);
	uint64_t now = clock_now_ns();
	struct activity a = { false, false };

	for (uint32_t i = 0; i < n; i++) {
		struct runner *r = e->runners[i];

		if (runner_tick(e, r, now)) {
			if (is_receiver(e, r))
				a.receiver = true;
			else
				a.others = true;
		}
	}
	if (atomic_load(&e->n_deferred)) {
		a.others = true;
		deferral_expire(e, now);
	}
	if (e->handoff && handoff_length(e->handoff))
		a.others = true;
	if (atomic_exchange(&e->want_worker, 0))
		runner_want_worker(e, true);
	return a;
}

/* Is anything on its way? Asked once more after control_parked was published (full fence); pairs with runner_enter. */
static bool engine_busy(struct engine *e)
{
	uint32_t n = atomic_load(&e->n_runners);

	for (uint32_t i = 0; i < n; i++) {
		if (atomic_load(&e->runners[i]->seq) & 1)
			return true;
	}
	return atomic_load(&e->n_deferred) || atomic_load(&e->want_worker) ||
	       (e->handoff && handoff_length(e->handoff));
}

/* How long may the control thread sleep, in microseconds? -1: until it is rung. */
static int64_t engine_sleep_us(struct engine *e, struct activity a)
{
	if (a.receiver)
		e->quiet_ticks = 0;
	else if (e->quiet_ticks < TICKS_UNTIL_PARKED)
		e->quiet_ticks++;
	if (e->quiet_ticks < TICKS_UNTIL_PARKED)
		return e->suspect.seq ? TICK_SUSPECT_US : TICK_BUSY_US;
	if (a.others)
		return TICK_POOL_US;
	pidfd_cache_clear(&e->pidfds); /* of threads that may be gone by the next call */
	atomic_store(&e->control_parked, true);
	if (!engine_busy(e))
		return -1;
	atomic_store(&e->control_parked, false);
	e->quiet_ticks = 0;
	return TICK_BUSY_US;
}

static int64_t engine_timer_us(const struct engine *e, int64_t sleep_us)
{
	uint64_t at_ns = UINT64_MAX, now, left;

	for (unsigned i = 0; i < ENGINE_TIMERS; i++)
		at_ns = e->timers[i].at_ns < at_ns ? e->timers[i].at_ns : at_ns;
	if (at_ns == UINT64_MAX)
		return sleep_us;
	now = clock_now_ns();
	left = at_ns > now ? (at_ns - now + 999) / 1000 : 0;
	return sleep_us < 0 || left < (uint64_t)sleep_us ? (int64_t)left : sleep_us;
}

static void engine_run_timers(struct engine *e)
{
	for (unsigned i = 0; i < ENGINE_TIMERS; i++) {
		struct engine_timer *t = &e->timers[i];

		if (t->at_ns == UINT64_MAX || clock_now_ns() < t->at_ns)
			continue;
		t->at_ns = UINT64_MAX;
		t->fn(e, t->userdata);
	}
}

/* ---- events ---- */

/* The first notification: from now on a receiver takes them, and only the listener's end is waited for here. */
static int engine_wake_up(struct engine *e)
{
	if (e->doorbell < 0) {
		int r = engine_watch_doorbell(e);

		if (r < 0)
			return r;
		e->recv_hangs = kernel_recv_hangs();
	}
	if (!e->slab) {
		poller_switch(e->poller,
			      POLLER_RING); /* where nothing else can be had, ppoll does it */
		e->slab = slab_new();
	}
	if (!e->handoff)
		e->handoff = handoff_new(REQUESTS_MAX * 2);
	if (!e->slab || !e->handoff)
		return -ENOMEM;
	for (unsigned i = 0; i < e->config.workers_min; i++)
		runner_want_worker(e, true);
	return runner_start(e, RUNNER_RECEIVER);
}

static int on_listener(struct engine *e, uint32_t events)
{
	int r = 0;

	if (events & POLLIN) {
		r = engine_wake_up(e);
		if (r < 0) /* tried again at the next turn: the task waits meanwhile */
			return r;
	}
	if (events & (POLLIN | POLLHUP)) {
		poller_remove(e->poller, (unsigned)e->listener_slot);
		e->listener_slot = -1;
	}
	return r;
}

static void on_event(struct engine *e, const struct poller_event *ev)
{
	uint64_t count;

	if ((int)ev->slot == e->listener_slot) {
		if (on_listener(e, ev->events) < 0)
			poll(NULL, 0, 10); /* memory or threads are short: not in a busy loop */
	} else if ((int)ev->slot == e->doorbell_slot) {
		if (read(e->doorbell, &count, sizeof(count)) < 0)
			return;
		e->quiet_ticks = 0;
	} else if (e->sources[ev->slot].used) {
		e->sources[ev->slot].fn(e, e->sources[ev->slot].userdata);
	}
}

static void engine_loop(struct engine *e)
{
	struct poller_event ev[POLLER_MAX_FDS];
	struct activity a = { false, false };

	e->quiet_ticks = TICKS_UNTIL_PARKED;
	while (!atomic_load(&e->stopping)) {
		int64_t us = engine_timer_us(e, engine_sleep_us(e, a));
		int n = poller_wait(e->poller, us, ev, POLLER_MAX_FDS);

		atomic_store(&e->control_parked, false);
		for (int i = 0; i < n; i++)
			on_event(e, &ev[i]);
		engine_run_timers(e);
		a = engine_tick(e);
	}
}

/*
 * All runners leave: the receiver because the filter has no task left, workers because the ring is closed, acts that wait because they look. One whose
 * handler does not return is left to engine_join.
 */
static void engine_wind_up(struct engine *e)
{
	uint64_t until = clock_now_ns() + WIND_UP_MS * 1000000ull;
	uint32_t live;

	if (e->handoff)
		handoff_close(e->handoff);
	atomic_store(&e->second, 1);
	futex_wake(&e->second, 1);
	while ((live = atomic_load(&e->n_live)) && clock_now_ns() < until)
		futex_wait(&e->n_live, live, 1);
}

int engine_serve(struct engine *e, int listener)
{
	int slot;

	e->listener = listener;
	notif_set_sync_wake_up(listener); /* older than 6.6: slower, not wrong */
	slot = poller_add(e->poller, listener, POLLIN);
	e->listener_slot = slot;
	return slot < 0 ? slot : 0;
}

void engine_run(struct engine *e)
{
	trace_begin(e);
	engine_loop(e);
	engine_wind_up(e);
}

void engine_join(struct engine *e)
{
	struct runner teller = { .engine = e };

	runners_join(e);
	engine_drain(e, &teller);
	if (e->slab)
		deferral_expire(e, UINT64_MAX);
	trace_end(e);
	poller_switch(e->poller,
		      POLLER_PPOLL); /* a ring is given back by the thread that made it */
}

void engine_counts(const struct engine *e, struct engine_counts *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (int nr = 0; nr < DISPATCH_MAX_NR; nr++) {
		struct chain *c = e->dispatch->chains[nr];

		if (!c)
			continue;
		ret->notifications += atomic_load(&c->count);
		ret->denied += atomic_load(&c->failed);
		ret->dropped += atomic_load(&c->dropped);
	}
	ret->takeovers = atomic_load(&e->takeovers);
}
