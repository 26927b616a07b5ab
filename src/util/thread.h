/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of ours in an embedder's process.
 */
#ifndef SLUICE_UTIL_THREAD_H
#define SLUICE_UTIL_THREAD_H

#include <pthread.h>
#include <signal.h>

/* pthread_create of a thread that has all signals blocked from its first instruction: the embedder's are for its own. 0 or -errno. */
static inline int thread_start(pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *),
			       void *arg)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(ret, attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

#endif
