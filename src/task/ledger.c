/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The living have a slot in a table of fixed size, found by their number; the ended a place in a list, which sums up those beyond LEDGER_ENDED_MAX in one entry.
 */
#define _GNU_SOURCE
#include "task/ledger.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "task/usage.h"

#define BUCKETS 1024u
#define BUCKET_SLOTS 8u
#define LEDGER_ENDED_MAX 10000u

struct slot {
	_Atomic pid_t pid; /* 0: free */
	_Atomic uint64_t calls, supervised_ns;
	struct ledger_entry
		seen; /* as of the last look; guarded by lock; calls and time are above */
};

struct ledger {
	struct slot slots[BUCKETS][BUCKET_SLOTS];
	_Atomic uint64_t crowded_calls, crowded_ns; /* of those that found no slot */

	pthread_mutex_t lock;
	struct ledger_entry *ended;    /* guarded by lock */
	size_t n_ended, room;	       /* guarded by lock */
	struct ledger_entry summed_up; /* guarded by lock */
};

struct ledger *ledger_new(void)
{
	struct ledger *l = calloc(1, sizeof(*l));

	if (l && pthread_mutex_init(&l->lock, NULL)) {
		free(l);
		l = NULL;
	}
	return l;
}

struct ledger *ledger_free(struct ledger *l)
{
	if (!l)
		return NULL;
	pthread_mutex_destroy(&l->lock);
	free(l->ended);
	free(l);
	return NULL;
}

/* Numbers follow one another, so they spread by themselves. */
static struct slot *slot_get(struct ledger *l, pid_t pid)
{
	struct slot *bucket = l->slots[(uint32_t)pid % BUCKETS];

	for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
		if (atomic_load_explicit(&bucket[i].pid, memory_order_relaxed) == pid)
			return &bucket[i];
	}
	for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
		pid_t none = 0;

		if (atomic_compare_exchange_strong(&bucket[i].pid, &none, pid) || none == pid)
			return &bucket[i];
	}
	return NULL;
}

void ledger_count(struct ledger *l, pid_t pid, uint64_t supervised_ns)
{
	struct slot *s = pid > 0 ? slot_get(l, pid) : NULL;

	atomic_fetch_add_explicit(s ? &s->calls : &l->crowded_calls, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(s ? &s->supervised_ns : &l->crowded_ns, supervised_ns,
				  memory_order_relaxed);
}

/* ---- the ended ---- */

static void sum_up(struct ledger_entry *sum, const struct ledger_entry *e)
{
	sum->processes += e->processes;
	sum->cpu_ns += e->cpu_ns;
	sum->read_bytes += e->read_bytes;
	sum->written_bytes += e->written_bytes;
	sum->calls += e->calls;
	sum->supervised_ns += e->supervised_ns;
	if (e->peak_kib > sum->peak_kib)
		sum->peak_kib = e->peak_kib;
}

static void add_ended(struct ledger *l, const struct ledger_entry *e)
{
	if (l->n_ended == l->room && l->room < LEDGER_ENDED_MAX) {
		size_t room = l->room ? 2 * l->room : 64;
		struct ledger_entry *grown;

		room = room < LEDGER_ENDED_MAX ? room : LEDGER_ENDED_MAX;
		grown = reallocarray(l->ended, room, sizeof(*grown));
		if (grown) {
			l->ended = grown;
			l->room = room;
		}
	}
	if (l->n_ended < l->room)
		l->ended[l->n_ended++] = *e;
	else
		sum_up(&l->summed_up, e);
}

static struct ledger_entry entry_of(struct slot *s)
{
	struct ledger_entry e = s->seen;

	e.pid = atomic_load(&s->pid);
	e.calls = atomic_load(&s->calls);
	e.supervised_ns = atomic_load(&s->supervised_ns);
	e.processes = 1;
	return e;
}

/* A call that is counted meanwhile is the next process's: one in many. */
static void end_slot(struct ledger *l, struct slot *s)
{
	struct ledger_entry e = entry_of(s);

	add_ended(l, &e);
	s->seen = (struct ledger_entry){ 0 };
	atomic_store(&s->calls, 0);
	atomic_store(&s->supervised_ns, 0);
	atomic_store(&s->pid, 0);
}

/* ---- looks ---- */

/* False: it has gone. */
static bool look_at(pid_t pid, struct ledger_entry *e)
{
	struct usage_whole u;

	if (usage_whole(pid, &u) < 0)
		return false;
	e->parent = u.parent;
	e->start = u.start;
	e->cpu_ns = u.cpu_ns;
	e->peak_kib = u.peak_kib;
	e->read_bytes = u.read_bytes;
	e->written_bytes = u.written_bytes;
	memcpy(e->name, u.name, sizeof(e->name));
	return true;
}

/* Those of the bucket of @pid that have gone make room. The slot of one that is about to exit stays, for its last call is still to be counted. */
static void sweep(struct ledger *l, pid_t pid)
{
	struct slot *bucket = l->slots[(uint32_t)pid % BUCKETS];

	for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
		pid_t other = atomic_load(&bucket[i].pid);

		if (other && other != pid && kill(other, 0) < 0)
			end_slot(l, &bucket[i]);
	}
}

void ledger_look(struct ledger *l, pid_t pid, bool ends)
{
	struct ledger_entry now = { 0 };
	struct slot *s;

	if (!look_at(pid, &now))
		return;
	pthread_mutex_lock(&l->lock);
	sweep(l, pid);
	s = slot_get(l, pid);
	if (s && s->seen.start && s->seen.start != now.start) {
		end_slot(l, s);
		s = slot_get(l, pid);
	}
	now.whole = ends;
	now.processes = 1;
	/* what comes after the end adds nothing, and a zombie has no memory any more */
	if (s && !s->seen.whole)
		s->seen = now;
	else if (!s && ends)
		sum_up(&l->summed_up, &now);
	pthread_mutex_unlock(&l->lock);
}

void ledger_each(struct ledger *l, void (*fn)(const struct ledger_entry *e, void *arg), void *arg)
{
	struct ledger_entry rest;

	pthread_mutex_lock(&l->lock);
	for (size_t i = 0; i < l->n_ended; i++)
		fn(&l->ended[i], arg);
	for (size_t i = 0; i < BUCKETS * BUCKET_SLOTS; i++) {
		struct slot *s = &l->slots[i / BUCKET_SLOTS][i % BUCKET_SLOTS];
		struct ledger_entry e;

		if (!atomic_load(&s->pid))
			continue;
		e = entry_of(s);
		fn(&e, arg);
	}
	rest = l->summed_up;
	rest.calls += atomic_load(&l->crowded_calls);
	rest.supervised_ns += atomic_load(&l->crowded_ns);
	if (rest.processes || rest.calls)
		fn(&rest, arg);
	pthread_mutex_unlock(&l->lock);
}
