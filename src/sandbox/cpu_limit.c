/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allowance that time fills and use empties. While it is below 0 the processes are stopped, parents before their children and let go in the other order, so that nobody who waits for a
 * child runs while the child is stopped.
 *
 * Used is what living processes used since the last look, plus what parents were credited for children they waited for, less what was counted of these while they lived.
 */
#define _GNU_SOURCE
#include "sandbox/cpu_limit.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "policy/policy.h"
#include "sandbox/sandbox.h"
#include "task/descendants.h"
#include "task/usage.h"
#include "util/clock.h"
#include "util/fail.h"
#include "util/grow.h"

#define PERIOD_NS INT64_C(100000000) /* what is not used within one is lost */
#define LOOK_MIN_MS 2u
#define LOOK_MAX_MS 50u
#define NS_PER_MS 1000000
#define WALKS_MAX 100u
#define UNFINISHED_MS 1u
#define STOPPING_NS 2000000 /* how long one look may wait for parents to stop */

struct seen {
	pid_t pid;
	uint64_t own_ns;
};

struct list {
	struct seen *items;
	size_t n, room;
};

struct cpu_limit {
	struct list now, before;  /* sorted by number, but while `now` is being filled */
	struct list order;	  /* who is stopped, in that order */
	uint64_t children_ns;	  /* what parents were credited, as of the last look */
	uint64_t now_children_ns; /* and of this one */
	int64_t allowance_ns;
	uint64_t looked_ns, stopped_since_ns, stopped_ns;
	bool held;
	bool unfinished; /* some have still to be stopped */
};

static struct seen *list_add(struct list *l, pid_t pid)
{
	struct seen *grown = grow_list(l->items, l->n, &l->room, sizeof(*grown));

	if (!grown)
		return NULL;
	l->items = grown;
	l->items[l->n] = (struct seen){ .pid = pid };
	return &l->items[l->n++];
}

static int compare(const void *a, const void *b)
{
	pid_t x = ((const struct seen *)a)->pid, y = ((const struct seen *)b)->pid;

	return (x > y) - (x < y);
}

static struct seen *list_find(const struct list *l, pid_t pid)
{
	const struct seen key = { .pid = pid };

	return l->n ? bsearch(&key, l->items, l->n, sizeof(key), compare) : NULL;
}

/* ---- what was used ---- */

static int add_use(pid_t pid, void *limit)
{
	struct cpu_limit *c = limit;
	struct usage_cpu u;
	struct seen *s;

	if (usage_cpu(pid, &u) < 0)
		return 0;
	s = list_add(&c->now, pid);
	if (!s)
		return 0;
	s->own_ns = u.own_ns;
	c->now_children_ns += u.children_ns;
	return 1;
}

/* Nanoseconds since the last look. */
static uint64_t take_use(struct cpu_limit *c, pid_t init)
{
	uint64_t used = 0, counted = 0, credited;
	struct list swap = c->before;
	struct usage_cpu u;

	c->now.n = 0;
	c->now_children_ns = usage_cpu(init, &u) == 0 ? u.children_ns : 0;
	descendants_each(init, add_use, c);
	if (c->now.n)
		qsort(c->now.items, c->now.n, sizeof(*c->now.items), compare);
	for (size_t i = 0; i < c->now.n; i++) {
		const struct seen *s = &c->now.items[i];
		const struct seen *old = list_find(&c->before, s->pid);

		used += s->own_ns - (old && old->own_ns <= s->own_ns ? old->own_ns : 0);
	}
	for (size_t i = 0; i < c->before.n; i++) {
		if (!list_find(&c->now, c->before.items[i].pid))
			counted += c->before.items[i].own_ns;
	}
	credited = c->now_children_ns > c->children_ns ? c->now_children_ns - c->children_ns : 0;
	if (credited > counted)
		used += credited - counted;
	c->children_ns = c->now_children_ns;
	c->before = c->now;
	c->now = swap;
	return used;
}

/* ---- stopping ---- */

static bool is_held(const struct cpu_limit *c, pid_t pid)
{
	for (size_t i = 0; i < c->order.n; i++) {
		if (c->order.items[i].pid == pid)
			return true;
	}
	return false;
}

/*
 * A parent that has been sent its SIGSTOP may still be on its way out of a wait, and find a child stopped that is quicker: its children have to wait until it has stopped. One that sleeps for a
 * vfork child (D) waits for nobody else.
 */
static bool is_on_its_way(const struct cpu_limit *c, pid_t pid)
{
	struct usage_cpu u;

	return is_held(c, pid) && usage_cpu(pid, &u) == 0 && (u.state == 'R' || u.state == 'S');
}

/* One that was stopped before, by a signal of its own or by a debugger, is not ours to let go. */
static int stop_one(pid_t pid, void *limit)
{
	struct cpu_limit *c = limit;
	struct usage_cpu u;

	if (is_held(c, pid) || usage_cpu(pid, &u) < 0 || u.state == 'T' || u.state == 't' ||
	    u.state == 'Z' || u.state == 'X')
		return 0;
	if (is_on_its_way(c, u.parent)) {
		c->unfinished = true;
		return 0;
	}
	if (!list_add(&c->order, pid))
		return 0;
	return kill(pid, SIGSTOP) == 0;
}

/*
 * Who was being made during one walk is found by the next. Children run on until their parent has stopped, and on a busy machine the next look comes late: so
 * the parent is given the processor, and is waited for here as long as that is soon.
 */
static void stop_all(struct sluice_sandbox *s)
{
	const uint64_t begin = clock_now_ns();
	struct cpu_limit *c = s->cpu;

	for (unsigned i = 0; i < WALKS_MAX; i++) {
		int n;

		c->unfinished = false;
		n = descendants_each(s->launch.init_pid, stop_one, c);
		if (n < 0 || (n == 0 && !c->unfinished))
			return;
		if (n == 0 && clock_now_ns() - begin > STOPPING_NS)
			return;
		if (n == 0)
			sched_yield();
	}
}

static void hold(struct sluice_sandbox *s)
{
	struct cpu_limit *c = s->cpu;

	launch_hold(&s->launch, true);
	c->order.n = 0;
	c->held = true;
	c->stopped_since_ns = clock_now_ns();
}

static void let_go(struct sluice_sandbox *s)
{
	struct cpu_limit *c = s->cpu;

	for (size_t i = c->order.n; i-- > 0;)
		kill(c->order.items[i].pid, SIGCONT);
	c->held = false;
	c->stopped_ns += clock_now_ns() - c->stopped_since_ns;
	launch_hold(&s->launch, false);
}

static uint64_t next_look(const struct cpu_limit *c, int64_t percent)
{
	int64_t ms;

	if (c->held && c->unfinished)
		return UNFINISHED_MS;
	if (c->held)
		ms = -c->allowance_ns * 100 / percent / NS_PER_MS + 1;
	else
		ms = c->allowance_ns / NS_PER_MS / (percent / 100 + 1);
	if (ms > LOOK_MAX_MS)
		return LOOK_MAX_MS;
	return ms > LOOK_MIN_MS ? (uint64_t)ms : LOOK_MIN_MS;
}

static void look(struct engine *e, void *sandbox)
{
	struct sluice_sandbox *s = sandbox;
	struct cpu_limit *c = s->cpu;
	const int64_t percent = s->policy->cpu_percent, most = PERIOD_NS * percent / 100;
	const uint64_t now = clock_now_ns();

	c->allowance_ns += (int64_t)(now - c->looked_ns) * percent / 100;
	if (c->allowance_ns > most)
		c->allowance_ns = most;
	c->looked_ns = now;
	c->allowance_ns -= (int64_t)take_use(c, s->launch.init_pid);
	if (c->allowance_ns >= 0 && c->held)
		let_go(s);
	else if (c->allowance_ns < 0 && !c->held)
		hold(s);
	if (c->held)
		stop_all(s);
	engine_set_timer(e, TIMER_CPU, next_look(c, percent), look, s);
}

int cpu_limit_start(struct sluice_sandbox *s, struct sluice_error *err)
{
	if (!s->policy->cpu_percent)
		return 0;
	s->cpu = calloc(1, sizeof(*s->cpu));
	if (!s->cpu)
		return fail_errno(err, -ENOMEM, "limit of CPU");
	s->cpu->looked_ns = clock_now_ns();
	engine_set_timer(s->engine, TIMER_CPU, LOOK_MIN_MS, look, s);
	return 0;
}

void cpu_limit_stop(struct sluice_sandbox *s)
{
	struct cpu_limit *c = s->cpu;

	if (!c)
		return;
	engine_set_timer(s->engine, TIMER_CPU, UINT64_MAX, NULL, NULL);
	pthread_mutex_lock(&s->lock);
	s->result.stopped_us = c->stopped_ns / 1000;
	pthread_mutex_unlock(&s->lock);
	free(c->now.items);
	free(c->before.items);
	free(c->order.items);
	free(c);
	s->cpu = NULL;
}
