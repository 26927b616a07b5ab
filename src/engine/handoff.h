/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hand-off of requests to the pool.
 *
 * Many producers (the receiver, and whoever answers a deferral), many consumers (the workers). Producers take turns by a mutex: the ring's own way for several spins
 * while one of them is preempted. The ring has more slots than there are requests, so
 * a push never fails and never allocates. It is Concurrency Kit's; this header and handoff.c are the only ones that
 * know, because its fences are inline assembly and the thread sanitizer must be told what they order.
 *
 * Wake-ups: a worker parks only after it has published its intent (parked + 1) and seen the ring empty once more after that; a push looks at
 * `parked` after it has enqueued, with a full fence on both sides, so one of the two always sees the other. A push claims one parked
 * worker (parked - 1, claims + 1), so that two quick pushes never count on the same sleeper.
 */
#ifndef SLUICE_ENGINE_HANDOFF_H
#define SLUICE_ENGINE_HANDOFF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct sluice_request;
struct handoff;

struct handoff *handoff_new(unsigned slots_power_of_two);
struct handoff *handoff_free(struct handoff *h);

/* Offer @req. Returns true when a parked worker was claimed for it, false when none was parked: it waits for a busy one, or a new one. */
bool handoff_push(struct handoff *h, struct sluice_request *req);
/* Take one, or NULL when there is none. */
struct sluice_request *handoff_pop(struct handoff *h);
/* Sleep until something may be there, or @timeout_ms passed (-ETIMEDOUT), or handoff_close. */
int handoff_park(struct handoff *h, int64_t timeout_ms);
/* Wake everybody, now and at every later park. */
void handoff_close(struct handoff *h);
unsigned handoff_length(struct handoff *h);

#endif
