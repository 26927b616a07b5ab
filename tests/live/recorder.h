/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests of handlers share: a handler that gives a fixed verdict and records that it ran, and a guest that makes a call which nothing
 * else makes. Handlers run on engine threads: they record into atomics, the main thread asserts.
 */
#ifndef SLUICE_TESTS_LIVE_RECORDER_H
#define SLUICE_TESTS_LIVE_RECORDER_H

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sluice/sluice.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

#define RECORDED_MAX 128

struct record {
	_Atomic int calls;
	_Atomic int order[RECORDED_MAX]; /* ids of the handlers that ran */
};

struct answer {
	struct record *record;
	int id;
	struct sluice_verdict verdict;
	int times; /* the verdict is given to that many calls, then CONTINUE; 0: to all */
	_Atomic int given;
};

static inline struct sluice_verdict answer_handle(struct sluice_request *req, void *userdata)
{
	struct answer *a = userdata;
	int at = atomic_fetch_add(&a->record->calls, 1);

	(void)req;
	if (at < RECORDED_MAX)
		atomic_store(&a->record->order[at], a->id);
	if (a->times && atomic_fetch_add(&a->given, 1) >= a->times)
		return sluice_continue();
	return a->verdict;
}

static inline struct sluice_handler answers(int nr, struct answer *a)
{
	return sluice_handler_make("answer", nr, answer_handle, a);
}

/* ---- guests ---- */

/* The errno of a getpriority, the last of @arg many (default 1); 0 when it succeeded. */
static inline int role_getpriority(const char *arg)
{
	int n = *arg ? atoi(arg) : 1, error = 0;

	for (int i = 0; i < n; i++)
		error = syscall(SYS_getpriority, 0, 0) < 0 ? errno : 0;
	return error;
}

/* Does a getpriority return @arg? */
static inline int role_value(const char *arg)
{
	long got = syscall(SYS_getpriority, 0, 0);

	return got == atol(arg) ? 0 : 1;
}

/* Descriptors of this process, without the one that looks. */
static inline int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n - 3;
}

#endif
