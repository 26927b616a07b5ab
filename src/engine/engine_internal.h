/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of an engine: shared by the files of this folder only.
 */
#ifndef SLUICE_ENGINE_ENGINE_INTERNAL_H
#define SLUICE_ENGINE_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/chain.h"
#include "engine/engine.h"
#include "engine/handoff.h"
#include "engine/poller.h"
#include "engine/request_internal.h"
#include "task/identity.h"
#include "task/pidfds.h"
#include "util/clock.h"

/* Runners beyond workers_max: receivers stuck in handlers, and acts that wait as long as their task does. */
#define RUNNERS_SPARE 272u
#define RUNNERS_MAX (256u + RUNNERS_SPARE)
/* ... of which these may wait at a time, so that takeovers stay possible. */
#define WAITS_MAX 256u
/* A worker above workers_min leaves after this long without work. */
#define WORKER_IDLE_MS 5000
/*
 * While the receiver is busy the control thread looks every TICK_BUSY_US. A receiver that has been in one call for longer than STUCK_US is under suspicion: one
 * that sleeps is stuck, one that has used the CPU for SPIN_US since the last look is too, and one that could run but does not is only
 * waiting for its turn. Together that stays below 2 ms. Each look costs the running task some 20 us on a busy CPU, so it is not
 * done more often than that asks for.
 */
#define TICK_BUSY_US 1000
#define STUCK_US 400
#define TICK_SUSPECT_US 400
#define SPIN_US 200
/* ... and this often while only workers or deferrals are on their way. */
#define TICK_POOL_US 10000
/* Looks without any progress before the control thread goes back to sleep. */
#define TICKS_UNTIL_PARKED 20

/*
 * A call that is trapped while the receiver serves another waits, and until it is received a signal fails it with EINTR. So a second receiver is there while of the last CROWD_CALLS
 * calls (bits of a word) at least CROWD_BEGIN were there already when the receiver came back, which takes it no longer than CROWD_PENDING_NS to see; and as long as it meets the first one
 * in CROWD_GOES_ON of its own. Each call wakes both, so it is not there for one caller. It leaves when it was not needed for SECOND_IDLE_MS.
 */
#define CROWD_CALLS 64u
#define CROWD_BEGIN 6
#define CROWD_GOES_ON 2
#define CROWD_PENDING_NS 2000u
#define SECOND_IDLE_MS 1000

/* How long the end of a sandbox waits for handlers that still run. */
#define WIND_UP_MS 1000u

enum runner_role {
	RUNNER_FREE = 0,
	RUNNER_RECEIVER,
	RUNNER_SECOND, /* receives too, while there are several callers at a time */
	RUNNER_WORKER,
	RUNNER_ENDED, /* the thread is about to return; to be joined before the slot is used again */
};

/*
 * A thread that runs chains. The fields that the control thread reads are a sequence-locked record: `seq` is odd while a chain runs, and raised
 * at its begin and end, so a look is valid when seq was odd and the same before and after.
 */
struct runner {
	struct engine *engine;
	pthread_t thread;
	_Atomic uint32_t role;
	_Atomic pid_t tid; /* 0 until it runs */
	_Atomic uint32_t
		epoch; /* of the receiver's role, as given to this runner when it was started */

	uint64_t
		crowd; /* a bit for each of the last calls that were received: did others wait or run? Its thread only */

	_Atomic uint64_t seq;
	_Atomic(struct sluice_request *) current;
	_Atomic(struct chain *) chain;
	_Atomic uint64_t notif_id;
	_Atomic uint64_t ticket;
	_Atomic uint64_t since_ns;		 /* when it began */
	_Atomic(struct chain_handler *) handler; /* NULL: the engine itself acts */
	_Atomic uint64_t deadline_ns;		 /* 0: none */
	_Atomic bool waits; /* for a FIFO or a listener, as long as its task does: no deadline */
	struct connect_ring *connect_ring; /* made at the first connect; owned by the runner */
};

struct engine_source {
	unsigned slot;
	engine_source_fn fn;
	void *userdata;
	bool used;
};

struct engine {
	_Atomic uint32_t refs;
	struct engine_config config;
	char name[72];
	struct dispatch *dispatch; /* owned */
	int listener;		   /* owned; -1 before engine_run; constant while runners exist */
	bool recv_hangs;	   /* kernel older than 6.11: RECV does not see the filter's end */

	/* made before the first receiver starts */
	struct slab *slab;
	struct handoff *handoff;

	/* owned by the control thread */
	struct poller *poller;
	int listener_slot, doorbell_slot;
	struct engine_source sources[POLLER_MAX_FDS];
	struct engine_timer {
		uint64_t at_ns; /* UINT64_MAX: none */
		engine_source_fn fn;
		void *userdata;
	} timers[ENGINE_TIMERS];
	unsigned quiet_ticks;
	struct suspect {
		uint64_t seq; /* of the receiver's call; 0: nobody is under suspicion */
		uint64_t cpu_ns;
	} suspect;

	int doorbell; /* eventfd; written by any thread; made before the first runner, -1 until then */
	_Atomic bool stopping;
	_Atomic bool control_parked;	 /* full fence with a receiver's seq, see control_park */
	_Atomic uint32_t receiver_epoch; /* raised to take the role away */
	_Atomic uint32_t second;	 /* 1: a second receiver is wanted; futex word */
	_Atomic bool second_there;
	_Atomic uint32_t n_receiving; /* receivers that have a call */
	_Atomic pid_t last_tid;	      /* whose call was received last */
	_Atomic uint32_t n_deferred;
	_Atomic uint32_t n_workers;   /* runners with a worker's role */
	_Atomic uint32_t n_blocked;   /* of all runners, those with `waits` */
	_Atomic uint32_t want_worker; /* set by a thread that may not make one itself */
	_Atomic uint64_t takeovers;
	struct identity_cache identity;
	struct pidfd_cache pidfds; /* emptied when nothing is on its way */

	pthread_mutex_t runners_lock; /* guards making, joining and freeing of runners */
	struct runner *runners
		[RUNNERS_MAX]; /* written under runners_lock; pointers once set stay until the end */
	_Atomic uint32_t n_runners;
	_Atomic uint32_t n_live; /* threads of runners that have not ended; futex word */

	bool trace_begun; /* owned by the control thread */
};

/* Ring the control thread. Any thread, once there is a runner; async-signal-safe. */
void engine_ring(struct engine *e);

/* runner.c: start a thread with @role. 0, -EAGAIN when no more are allowed, -errno. Engine threads only (it inherits their confinement). */
int runner_start(struct engine *e, enum runner_role role);
/* Make sure that some worker will take what was just pushed without a parked worker. @may_start: the caller is an engine thread. */
void runner_want_worker(struct engine *e, bool may_start);
void runners_join(struct engine *e);

/* serve.c: run what is left of @req's chain on @r and answer. Returns true when @req was released or handed on, false when the caller may reuse it. */
bool serve(struct runner *r, struct sluice_request *req);
/* Send what was decided. */
void serve_send(struct engine *e, struct sluice_request *req);
/* Fail @req, of which the caller has won all claims, because of @h that missed its deadline (NULL: the engine's own act did). */
void serve_deny(struct engine *e, struct sluice_request *req, struct chain_handler *h, int error);
/* Drop one reference; the last one gives the request back to the slab. Returns true when it was the last. */
bool request_put(struct engine *e, struct sluice_request *req);

/* deferral.c: the handler returned SLUICE_DEFER. Returns true when the request is parked (or was handed on), false when a verdict is there already. */
bool deferral_park(struct engine *e, struct sluice_request *req, struct chain_handler *h);
/* The chain ended otherwise although the right was taken: whoever has it finds that nobody waits. */
void deferral_void(struct sluice_request *req);
/* Was a verdict given already? */
bool deferral_answered(const struct sluice_request *req);
/* Deny parked requests that are overdue at @now_ns (UINT64_MAX: all, once no runner is left). Control thread. */
void deferral_expire(struct engine *e, uint64_t now_ns);

/*
 * An act of @r begins to wait as long as its task does: it is left out of the pool's count, has no deadline, and gives the receiver's role to another
 * thread. -EAGAIN: too many do. It then looks from time to time (after runner_wait_ms(ms) milliseconds, beginning with 1) whether the task or the engine has gone.
 */
int runner_wait_begin(struct runner *r);
/* A new thread receives in the place of the one that does. -errno: there is none to be had. */
int runner_replace_receiver(struct engine *e);
void runner_wait_end(struct runner *r);
bool runner_wait_is_over(struct runner *r, const struct task *t);
int runner_wait_ms(int ms);

#ifndef ERESTARTSYS
#define ERESTARTSYS 512 /* the kernel's own: restart, unless the signal's handler wants EINTR */
#endif

/* connect.c: free what connects of @r were made with. */
void connect_ring_drop(struct runner *r);

/* as_seen.c: carry out an open on behalf, in the host's tree. */
struct request_act as_seen_open(struct sluice_request *req);

/* trace.c */
void trace_begin(struct engine *e);
/* The name of call @nr, or "syscall-N" in @buf. */
#define CALL_NAME_BYTES 24
const char *trace_call_name(const struct engine *e, int nr, char buf[CALL_NAME_BYTES]);
void trace_request(struct engine *e, const struct sluice_request *req);
void trace_end(struct engine *e);

#endif
