/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory that a bench shares with its guests: what the next round is, and what the clients measured.
 *
 * An area is a memfd that guests inherit. Up to AREA_CLIENTS client threads, in one guest or several, wait for their `go` to change. The first
 * `active` of them are started, make calls for `duration_ns`, each timing its own, and the last one to end wakes the bench. Nothing of the
 * bench runs meanwhile but the supervisor that is measured.
 * Fields without a comment are written by the bench between rounds; a client's own slot by that client during a round. The futex words order both.
 */
#ifndef SLUICE_BENCH_AREA_H
#define SLUICE_BENCH_AREA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AREA_CLIENTS 64u
#define AREA_SAMPLES (1u << 20) /* of all clients together */

/* The calls that guests make. Chosen because a program that is run for its own sake hardly makes them. */
#define AREA_NR_PROMPT SYS_getpriority
#define AREA_NR_BLOCKING SYS_sched_get_priority_max
#define AREA_NR_STUCK SYS_sched_get_priority_min
#define AREA_ANSWER 7777

/* Untrapped calls are timed by the batch: a clock's reading costs as much as one of them. */
#define AREA_BATCH 64u

/* What an active client does, again and again. */
enum area_op {
	AREA_PROMPT =
		1, /* AREA_NR_PROMPT, or blocking_permille of them AREA_NR_BLOCKING; the answer must be AREA_ANSWER */
	AREA_REFUSED, /* openat of `path`, which must fail with EDOM */
	AREA_OPEN,    /* openat of `path`, which must succeed; only the open is timed */
	AREA_GETPPID, /* AREA_BATCH times getppid, one sample */
	AREA_STUCK,   /* client 0 makes one AREA_NR_STUCK call, the others do as in AREA_PROMPT */
};

/* A sample: nanoseconds, and in the top bit whether the call was one that blocks. */
#define AREA_SAMPLE_BLOCKING (1u << 31)

struct area_client {
	_Atomic uint32_t go; /* futex: raised by the bench to start a round */
	uint64_t calls;	     /* samples, see AREA_GETPPID */
	uint64_t wrong;	     /* of these, answered otherwise than they should */
	uint32_t n_samples;
	double calls_s; /* calls that ended within the round, per second: what is still waiting at its end counts for nothing */
	uint64_t cpu_ns;
} __attribute__((aligned(64)));

struct area {
	_Atomic uint32_t ended; /* futex: clients that ended this round */
	_Atomic uint32_t ready; /* futex: client threads that exist */
	uint32_t active;
	uint32_t op;
	uint32_t blocking_permille;
	uint64_t duration_ns;
	char path[256];
	struct area_client clients[AREA_CLIENTS];
	uint32_t samples[AREA_SAMPLES];
};

/* First sample of client @index, and how many it may keep, when @active take part. */
static inline uint32_t area_room(uint32_t active)
{
	return AREA_SAMPLES / active;
}

static inline uint32_t *area_samples(struct area *a, uint32_t active, uint32_t index)
{
	return a->samples + (size_t)index * area_room(active);
}

/* A new, zeroed area. Returns its descriptor (CLOEXEC, owned by the caller) and *ret, or -errno. */
int area_new(struct area **ret);
void area_free(struct area *a, int fd);

/*
 * Run one round of @active clients and wait for its end. Returns 0, or -ETIMEDOUT when the clients do not come to an end, which means that
 * the guest or its supervisor is gone.
 */
int area_round(struct area *a, uint32_t active);
/* The same in two steps: start, and wait for the end. */
void area_begin(struct area *a, uint32_t active);
int area_wait_end(struct area *a);
/* Wait until @n client threads exist. 0 or -ETIMEDOUT. */
int area_wait_ready(struct area *a, uint32_t n);

/*
 * The guest's whole life: map descriptor @fd, run clients @first to @first + @count - 1, serve rounds until killed. Returns only on failure,
 * with an exit status.
 */
int area_guest(int fd, uint32_t first, uint32_t count);

#endif
