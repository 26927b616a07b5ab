/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: takes notifications from one listener, runs the chains, answers.
 *
 * It knows no built-in and no policy: it is given a listener descriptor, a dispatch table and options. Threads:
 *
 *   control    the thread that calls engine_run; waits on the poller (ppoll until a call is trapped, then io_uring, or epoll) for the listener's first event and its hang-up,
 *              the doorbell, sources of the owner (the launch channel) and timers; watches deadlines; runs no handler
 *   receiver   one at a time, and a second one while there are several callers at a time; blocks in NOTIF_RECV, runs prompt chains itself, hands others over through the ring; when it is stuck in a
 *              handler the control thread gives the role to another pool thread within 2 ms
 *   worker     pops requests from the ring, runs chains, answers
 *
 * All are made by the control thread or its children, so they share its Landlock domain, credentials and fs_struct.
 */
#ifndef SLUICE_ENGINE_ENGINE_H
#define SLUICE_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/error.h>
#include <sluice/handler.h>
#include <sluice/policy.h>

struct engine;
struct dispatch;
struct procfs_view;
struct sluice_request;

struct ledger;

struct engine_config {
	const char *name;	   /* of the sandbox; borrowed */
	struct dispatch *dispatch; /* consumed by engine_new in every case */
	enum sluice_dispatch mode;
	unsigned workers_min, workers_max;
	bool histograms;       /* keep latencies per call */
	struct ledger *ledger; /* what is counted per process; borrowed; NULL: nothing is */
	int trace_fd;	       /* -1: none; borrowed */
	bool trace_chrome;     /* else lines of text */
	bool proc_memory;      /* read task memory through /proc/PID/mem */
	bool proc_granted;     /* the policy grants /proc for reading */
	bool proc_writable;    /* and for writing */
	const struct procfs_view
		*proc;		/* what the command sees of procfs; borrowed; NULL: the host's */
	bool check_credentials; /* a task's may come to differ from ours: compare them before each act */
	/* The umask of the process that @tid is of; -ENODATA: /proc must tell. NULL: it always must. */
	int (*umask_of)(void *userdata, pid_t tid);
	void *umask_userdata;
	/* Name of a call for traces and statistics, or NULL; any thread. May be left out: then they show numbers. */
	const char *(*call_name)(int nr);
};

int engine_new(const struct engine_config *config, struct engine **ret);

/* A descriptor the owner wants watched on the control thread; @fn is called while it is readable or hung up. Returns a handle or -errno. */
typedef void (*engine_source_fn)(struct engine *e, void *userdata);
int engine_add_source(struct engine *e, int fd, engine_source_fn fn, void *userdata);
void engine_remove_source(struct engine *e, int source);
/* Call @fn on the control thread after @delay_ms, once; a later call with the same @timer replaces it; UINT64_MAX disarms. Control thread. */
#define ENGINE_TIMERS 5u
void engine_set_timer(struct engine *e, unsigned timer, uint64_t delay_ms, engine_source_fn fn,
		      void *userdata);

/* Take @listener (consumed in every case) and watch it. Control thread, once. */
int engine_serve(struct engine *e, int listener);
/*
 * Wait and serve on the calling thread until engine_stop; then give the other engine threads a moment to end. No task may be left under the
 * listener's filter when it is stopped.
 */
void engine_run(struct engine *e);
/* Wait for threads whose handlers have still not returned. Same thread, after engine_run or in its place. */
void engine_join(struct engine *e);
/* Make engine_run return. Control thread: from a source or a timer. */
void engine_stop(struct engine *e);

struct engine_counts {
	uint64_t notifications, denied, dropped, takeovers;
};
void engine_counts(const struct engine *e, struct engine_counts *ret);
char *engine_stats_json(struct engine *e);
struct engine *engine_ref(struct engine *e);
struct engine *engine_unref(struct engine *e);

#endif
