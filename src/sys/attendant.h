/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that waits for a few descriptors of the supervisor's own, and serves those that are ready. It is made when the first one is added. Each descriptor has a slot, a number below `max`
 * by which its owner keeps what belongs to it in a table of his own, under the attendant's lock. No order of locks: `serve` is called with this one held.
 */
#ifndef SLUICE_SYS_ATTENDANT_H
#define SLUICE_SYS_ATTENDANT_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>

/* @fd of @slot has @revents. false: nothing is to be expected of it any more; it is closed, and its slot is free. Called under the lock, must not block. */
typedef bool (*attendant_serve_fn)(void *arg, unsigned slot, int fd, short revents);

struct attendant {
	pthread_mutex_t lock;
	pthread_t thread;	/* joined by attendant_fini */
	bool started, stopping; /* guarded by lock */
	int bell;		/* eventfd: look again */
	int *fds;		/* of each slot; -1: free; guarded by lock */
	unsigned max;
	short events;
	struct pollfd *polled; /* the thread's own, the bell's is the first */
	unsigned *which;       /* slots of these */
	attendant_serve_fn serve;
	void *arg;
};

/* @events as poll(2) has them. 0, or -ENOMEM, -EMFILE ... after which nothing is to be freed. */
int attendant_init(struct attendant *a, unsigned max, short events, attendant_serve_fn serve,
		   void *arg);
/* Ends the thread and closes all descriptors. */
void attendant_fini(struct attendant *a);
/* A slot for @fd (non-blocking; it is the attendant's then); the lock is held. -ENFILE: all are in use. -EAGAIN: no thread can be had. */
int attendant_add_locked(struct attendant *a, int fd);

#endif
