/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting without a look at procfs for each fork: `count` is what the last walk over the sandbox found plus the forks let go since, so never less than there are. Only when it
 * reaches the limit are the processes counted anew. A fork that was let go but has not made its child yet is in no list of children: such flights are counted on top.
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
	uint64_t since_ns;
};

struct processes {
	pthread_mutex_t lock;
	const pid_t *top;
	uint64_t limit;
	uint64_t count;			/* guarded by lock */
	struct flight flights[FLIGHTS]; /* guarded by lock */
};

static int count_one(pid_t pid, void *arg)
{
	(void)pid;
	(void)arg;
	return 1;
}

/* Is its child still to come? Once the parent does anything else, or waits for the child (D), there is one, or there never will be. */
static bool in_flight(const struct flight *f, uint64_t now)
{
	struct usage_cpu u;

	if (now - f->since_ns > FLIGHT_NS || usage_cpu(f->tid, &u) < 0)
		return false;
	return u.state == 'R' || (u.state == 'D' && !f->suspended);
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

/* Flights first: a child that is made in between is counted twice rather than not at all. */
static int count_all(struct processes *p)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	uint64_t flights = 0;

	for (int i = 0; i < LOOKS; i++) {
		int n;

		flights = count_flights(p);
		n = descendants_each(*p->top, count_one, NULL);
		if (n < 0)
			return n;
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

static int let_go(struct processes *p, pid_t tid, bool suspended)
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
	*f = (struct flight){ tid, suspended, clock_now_ns() };
	p->count++;
	return 0;
}

static struct sluice_verdict fork_handle(struct sluice_request *req, void *userdata)
{
	struct processes *p = userdata;
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
	r = let_go(p, sluice_request_tid(req), flags & CLONE_VFORK);
	pthread_mutex_unlock(&p->lock);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

static void processes_free(void *data)
{
	struct processes *p = data;

	pthread_mutex_destroy(&p->lock);
	free(p);
}

int builtin_processes_register(struct dispatch *d, uint64_t limit, const pid_t *top)
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
