/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sums. The cheap one counts pages that several processes share for each of them, so it is never too low; where it passes the limit the exact one, which takes a look at every page table,
 * decides. The distance to the limit says when to look again: as if memory were filled at 4 GiB a second, which two processors do not do with pages of 4 KiB.
 */
#define _GNU_SOURCE
#include "sandbox/memory_limit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "policy/policy.h"
#include "sandbox/memory_group.h"
#include "sandbox/sandbox.h"
#include "sys/pidfd.h"
#include "task/descendants.h"
#include "task/usage.h"
#include "util/fail.h"
#include "util/grow.h"

#define BYTES_PER_MS (UINT64_C(4) << 20)
#define LOOK_MIN_MS 1u
#define LOOK_MAX_MS 100u
/* A look takes at most this part of the time until the next one. */
#define COST_PART 10u

struct holder {
	pid_t pid;
	struct usage_memory has;
};

struct memfd {
	dev_t dev;
	ino_t ino;
	uint64_t bytes;
};

struct memory_limit {
	struct holder *holders;
	struct memfd *memfds; /* of all processes, each once */
	size_t n, room, n_memfds, memfd_room;
	uint64_t peak, kills;
	int victim; /* pidfd of who was killed and is not gone yet; -1 */
};

/* Where there is no memory for it, the next look finds what this one left out. */
static int add_holder(pid_t pid, void *limit)
{
	struct memory_limit *m = limit;
	struct holder h = { .pid = pid }, *grown;

	if (usage_memory(pid, &h.has) < 0)
		return 0;
	grown = grow_list(m->holders, m->n, &m->room, sizeof(h));
	if (!grown)
		return 0;
	m->holders = grown;
	m->holders[m->n++] = h;
	return 1;
}

static void add_memfd(const struct stat *st, void *limit)
{
	struct memory_limit *m = limit;
	struct memfd *grown;

	for (size_t i = 0; i < m->n_memfds; i++) {
		if (m->memfds[i].ino == st->st_ino && m->memfds[i].dev == st->st_dev)
			return;
	}
	grown = grow_list(m->memfds, m->n_memfds, &m->memfd_room, sizeof(*grown));
	if (!grown)
		return;
	m->memfds = grown;
	m->memfds[m->n_memfds++] =
		(struct memfd){ st->st_dev, st->st_ino, (uint64_t)st->st_blocks * 512 };
}

static void find_memfds(struct memory_limit *m)
{
	m->n_memfds = 0;
	for (size_t i = 0; i < m->n; i++)
		usage_memfds(m->holders[i].pid, add_memfd, m);
}

/* A memfd that is mapped shows among what is shared too, so the larger of both. */
static uint64_t sum(const struct memory_limit *m)
{
	uint64_t bytes = 0, shared = 0, memfds = 0;

	for (size_t i = 0; i < m->n; i++) {
		bytes += m->holders[i].has.anonymous;
		shared += m->holders[i].has.shared;
	}
	for (size_t i = 0; i < m->n_memfds; i++)
		memfds += m->memfds[i].bytes;
	return bytes + (shared > memfds ? shared : memfds);
}

/* A vfork child has its parent's memory, not as much again. */
static bool is_counted_before(const struct memory_limit *m, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (usage_same_memory(m->holders[k].pid, m->holders[i].pid))
			return true;
	}
	return false;
}

static void look_closely(struct memory_limit *m)
{
	for (size_t i = 0; i < m->n; i++) {
		struct holder *h = &m->holders[i];

		if (is_counted_before(m, i) || usage_memory_share(h->pid, &h->has) < 0)
			h->has = (struct usage_memory){ 0 };
	}
}

static bool victim_is_gone(struct memory_limit *m)
{
	struct pollfd p = { .fd = m->victim, .events = POLLIN };

	if (m->victim >= 0 && poll(&p, 1, 0) == 0)
		return false;
	if (m->victim >= 0)
		close(m->victim);
	m->victim = -1;
	return true;
}

static void add_size(const struct stat *st, void *bytes)
{
	*(uint64_t *)bytes += (uint64_t)st->st_blocks * 512;
}

/* What would be free if it ended, as far as one can tell. */
static uint64_t weight(const struct memory_limit *m, const struct holder *h)
{
	uint64_t memfds = 0;

	if (m->n_memfds)
		usage_memfds(h->pid, add_size, &memfds);
	return h->has.anonymous + (h->has.shared > memfds ? h->has.shared : memfds);
}

/* The number may be somebody else's by now: a descriptor is of one process, and what that has says whether it is still this one. */
static void kill_largest(struct memory_limit *m)
{
	const struct holder *largest = NULL;
	struct holder again;
	uint64_t most = 0;
	int fd;

	for (size_t i = 0; i < m->n; i++) {
		uint64_t bytes = weight(m, &m->holders[i]);

		if (bytes > most) {
			largest = &m->holders[i];
			most = bytes;
		}
	}
	if (!largest)
		return;
	again = *largest;
	fd = (int)syscall(SYS_pidfd_open, again.pid, 0);
	if (fd < 0)
		return;
	if (usage_memory(again.pid, &again.has) == 0 && weight(m, &again) >= most / 2 &&
	    pidfd_kill(fd, SIGKILL) == 0) {
		m->victim = fd;
		m->kills++;
	} else {
		close(fd);
	}
}

/* Of this thread: on a busy machine a look takes longer than it costs. */
static uint64_t cpu_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t next_look(uint64_t bytes, uint64_t limit, uint64_t cost_ns)
{
	uint64_t ms = bytes < limit ? (limit - bytes) / BYTES_PER_MS : 0;
	uint64_t least = cost_ns * COST_PART / 1000000;

	if (ms > LOOK_MAX_MS)
		ms = LOOK_MAX_MS;
	if (ms < least)
		ms = least;
	return ms > LOOK_MIN_MS ? ms : LOOK_MIN_MS;
}

static void look(struct engine *e, void *sandbox)
{
	struct sluice_sandbox *s = sandbox;
	struct memory_limit *m = s->memory;
	uint64_t limit = s->policy->max_memory, begin = cpu_now_ns(), bytes;

	m->n = 0;
	descendants_each(s->launch.init_pid, add_holder, m);
	if (atomic_load_explicit(&s->memfds_made, memory_order_relaxed))
		find_memfds(m);
	bytes = sum(m);
	if (bytes > limit) {
		look_closely(m);
		bytes = sum(m);
	}
	atomic_store_explicit(&s->memory_used, bytes, memory_order_relaxed);
	if (bytes > m->peak)
		m->peak = bytes;
	if (victim_is_gone(m) && bytes > limit)
		kill_largest(m);
	engine_set_timer(e, TIMER_MEMORY, next_look(bytes, limit, cpu_now_ns() - begin), look, s);
}

uint64_t memory_limit_used(void *sandbox)
{
	const struct sluice_sandbox *s = sandbox;

	return s->memory_group ? memory_group_used(s->memory_group)
			       : atomic_load_explicit(&s->memory_used, memory_order_relaxed);
}

int memory_limit_start(struct sluice_sandbox *s, struct sluice_error *err)
{
	if (!s->policy->max_memory || s->memory_group)
		return 0;
	s->memory = calloc(1, sizeof(*s->memory));
	if (!s->memory)
		return fail_errno(err, -ENOMEM, "limit of memory");
	s->memory->victim = -1;
	engine_set_timer(s->engine, TIMER_MEMORY, LOOK_MIN_MS, look, s);
	return 0;
}

void memory_limit_stop(struct sluice_sandbox *s)
{
	const struct memory_group *g = s->memory_group;
	struct memory_limit *m = s->memory;

	if (!m && !g)
		return;
	pthread_mutex_lock(&s->lock);
	s->result.memory_peak = g ? memory_group_peak(g) : m->peak;
	s->result.memory_kills = g ? memory_group_kills(g) : m->kills;
	pthread_mutex_unlock(&s->lock);
	if (!m)
		return;
	engine_set_timer(s->engine, TIMER_MEMORY, UINT64_MAX, NULL, NULL);
	if (m->victim >= 0)
		close(m->victim);
	free(m->holders);
	free(m->memfds);
	free(m);
	s->memory = NULL;
}
