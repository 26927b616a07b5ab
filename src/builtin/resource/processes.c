/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting without a look at procfs for each fork: `count` is what the last walk over the sandbox found plus the forks let go since, so never less than there are. Only when it
 * reaches the limit are the processes counted anew. A fork that was let go but has not made its child yet is in no list of children: such flights are counted on top.
 *
 * Lists of children tell quickly that there are as many as there may be. That there are fewer they can't tell: a process whose parent (a thread of it, too) ends in that moment moves to a list that
 * was read already. So before a fork is let go all processes of the machine are gone through by their numbers, which do not change.
 */
#define _GNU_SOURCE
#include "builtin/resource/processes.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>

#include "engine/dispatch.h"
#include "engine/request.h"
#include "task/descendants.h"
#include "task/procfs.h"
#include "task/usage.h"
#include "util/clock.h"

#define FLIGHTS 256u
/* No fork takes so long, but for one of a huge memory on a machine that is overrun. */
#define FLIGHT_NS UINT64_C(1000000000)
/* Looks at flights before the fork is refused for them, and between two of them. */
#define LOOKS 20
#define LOOK_NS 1000000

struct flight {
	pid_t tid;	/* 0: free */
	bool suspended; /* the parent sleeps until its child has executed */
	bool answered; /* the caller goes on; until then it waits for us, whatever it seems to do */
	uint64_t since_ns, number;
};

struct processes {
	pthread_mutex_t lock;
	const pid_t *top;
	const bool *signal_scope;
	struct procfs_view view; /* init and signal_scope are guarded by lock */
	uint64_t limit;
	uint64_t count;			/* guarded by lock */
	struct flight flights[FLIGHTS]; /* guarded by lock */
	uint64_t n_flights;		/* that there were; guarded by lock */
};

/* What the plan of a fork keeps. */
struct fork_plan {
	struct processes *p;
	size_t place;
	uint64_t number;
};

static int count_one(pid_t pid, void *n)
{
	(void)pid;
	++*(int *)n;
	return 0;
}

/* Is its child still to come? Once the parent does anything else, or waits for the child (D), there is one, or there never will be. */
static bool in_flight(const struct flight *f, uint64_t now)
{
	int state;

	if (!f->answered)
		return true;
	if (now - f->since_ns > FLIGHT_NS)
		return false;
	state = usage_state(f->tid);
	return state == 'R' || (state == 'D' && !f->suspended);
}

static uint64_t count_flights(struct processes *p)
{
	uint64_t now = clock_now_ns(), n = 0;

	for (size_t i = 0; i < FLIGHTS; i++) {
		struct flight *f = &p->flights[i];

		if (f->tid && !in_flight(f, now))
			f->tid = 0;
		n += f->tid != 0;
	}
	return n;
}

/* No procfs that counts as we do, or one that hides some: then the lists must do. */
static int count_by_number(struct processes *p)
{
	int n = 0;

	if (p->view.root < 0)
		return 0;
	atomic_store_explicit(&p->view.init, *p->top, memory_order_relaxed);
	atomic_store_explicit(&p->view.signal_scope, *p->signal_scope, memory_order_relaxed);
	return procfs_each_process(&p->view, count_one, &n) < 0 ? 0 : n;
}

/* Flights first: a child that is made in between is counted twice rather than not at all. */
static int count_all(struct processes *p)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	uint64_t flights = 0;

	for (int i = 0; i < LOOKS; i++) {
		int n = 0, by_number, r;

		flights = count_flights(p);
		r = descendants_each(*p->top, count_one, &n);
		if (r < 0)
			return r;
		if ((uint64_t)n + flights < p->limit) {
			by_number = count_by_number(p);
			n = by_number > n ? by_number : n;
		}
		p->count = (uint64_t)n + flights;
		if (p->count < p->limit || !flights)
			break;
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* The caller is here, so a fork of its own is over. Returns a place for the next, or NULL. */
static struct flight *flight_of(struct processes *p, pid_t tid)
{
	struct flight *free = NULL;

	for (size_t i = 0; i < FLIGHTS; i++) {
		if (p->flights[i].tid == tid)
			return &p->flights[i];
		if (!p->flights[i].tid)
			free = &p->flights[i];
	}
	return free;
}

static int let_go(struct processes *p, pid_t tid, bool suspended, struct flight **ret)
{
	struct flight *f = flight_of(p, tid);
	int r = 0;

	if (f)
		f->tid = 0;
	if (!f || p->count >= p->limit) {
		r = count_all(p);
		f = flight_of(p, tid);
	}
	if (r < 0 || !f || p->count >= p->limit)
		return r < 0 ? r : -EAGAIN;
	*f = (struct flight){ .tid = tid, .suspended = suspended, .number = ++p->n_flights };
	*ret = f;
	p->count++;
	return 0;
}

/* The flight is still the plan's own. NULL: another one has its place. */
static struct flight *planned_flight(const struct fork_plan *plan)
{
	struct flight *f = &plan->p->flights[plan->place];

	return f->tid && f->number == plan->number ? f : NULL;
}

/* Under the lock: who counts sees the caller as waiting for its answer, or as running. */
static int fork_send(struct sluice_request *req, const void *data)
{
	const struct fork_plan *plan = data;
	struct flight *f;
	int r;

	pthread_mutex_lock(&plan->p->lock);
	r = request_go_on(req);
	f = planned_flight(plan);
	if (f) {
		f->answered = true;
		f->since_ns = clock_now_ns();
	}
	pthread_mutex_unlock(&plan->p->lock);
	return r;
}

/* Somebody else refused the fork, or its caller is gone. */
static void fork_drop(const void *data)
{
	const struct fork_plan *plan = data;
	struct flight *f;

	pthread_mutex_lock(&plan->p->lock);
	f = planned_flight(plan);
	if (f && !f->answered)
		f->tid = 0;
	pthread_mutex_unlock(&plan->p->lock);
}

static int plan_fork(struct sluice_request *req, struct processes *p, const struct flight *f)
{
	const struct fork_plan keep = { p, (size_t)(f - p->flights), f->number };
	const struct request_plan plan = {
		.builtin = "processes",
		.send = fork_send,
		.drop = fork_drop,
		REQUEST_PLAN_NO_FILES,
		.data = &keep,
		.size = sizeof(keep),
	};

	return request_plan_act(req, &plan);
}

static struct sluice_verdict fork_handle(struct sluice_request *req, void *userdata)
{
	struct processes *p = userdata;
	struct flight *f = NULL;
	uint64_t flags = 0;
	int r;

	if (sluice_request_nr(req) == SYS_clone)
		flags = sluice_request_arg(req, 0);
	if (flags & CLONE_THREAD)
		return sluice_continue();
#ifdef SYS_vfork
	if (sluice_request_nr(req) == SYS_vfork)
		flags = CLONE_VFORK;
#endif
	pthread_mutex_lock(&p->lock);
	r = let_go(p, sluice_request_tid(req), flags & CLONE_VFORK, &f);
	pthread_mutex_unlock(&p->lock);
	if (r == 0)
		r = plan_fork(req, p, f);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

static void processes_free(void *data)
{
	struct processes *p = data;

	procfs_view_fini(&p->view);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int builtin_processes_register(struct dispatch *d, uint64_t limit, const pid_t *top,
			       const bool *signal_scope)
{
	static const int calls[] = {
#ifdef SYS_fork
		SYS_fork,
		SYS_vfork,
#endif
		SYS_clone,
	};
	struct processes *p;
	int r;

	if (!limit)
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	p->limit = limit;
	p->top = top;
	p->signal_scope = signal_scope;
	if (procfs_view_init(&p->view) < 0)
		procfs_view_fini(&p->view);
	p->count = limit; /* the first fork counts */
	r = dispatch_own(d, p, processes_free);
	for (size_t i = 0; r == 0 && i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct sluice_handler h =
			sluice_handler_make("processes", calls[i], fork_handle, p);

		h.flags |= SLUICE_MAY_BLOCK;
		r = dispatch_add(d, &h, true);
	}
	return r;
}
