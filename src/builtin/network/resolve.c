/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "builtin/network/address.h"
#include "util/fail.h"
#include "util/thread.h"

/* Shared by who asks and the thread that is asked, which may answer when nobody waits any more. */
struct question {
	pthread_mutex_t lock;
	pthread_cond_t answered;
	char name[NET_HOST_MAX + 1]; /* constant */
	/* guarded by lock */
	bool done, left; /* answered; nobody waits */
	int error;	 /* EAI_* */
	struct addrinfo *found;
};

static void question_free(struct question *q)
{
	if (q->found)
		freeaddrinfo(q->found);
	pthread_cond_destroy(&q->answered);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

static void *answer(void *question)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct question *q = question;
	struct addrinfo *found = NULL;
	int error = getaddrinfo(q->name, NULL, &hints, &found);
	bool left;

	pthread_mutex_lock(&q->lock);
	q->done = true;
	q->error = error;
	q->found = error ? NULL : found;
	left = q->left;
	pthread_cond_signal(&q->answered);
	pthread_mutex_unlock(&q->lock);
	if (left)
		question_free(q);
	return NULL;
}

static struct question *question_new(const char *name)
{
	struct question *q = calloc(1, sizeof(*q));
	pthread_condattr_t attr;

	if (!q)
		return NULL;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&q->answered, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&q->lock, NULL);
	snprintf(q->name, sizeof(q->name), "%s", name);
	return q;
}

/* The thread belongs to nobody. */
static int ask(struct question *q)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = thread_start(&thread, &attr, answer, q);
	pthread_attr_destroy(&attr);
	return r;
}

/* True: answered, and @q is the caller's alone. False: it is the thread's alone. */
static bool await(struct question *q)
{
	struct timespec until;
	bool done;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += RESOLVE_TIMEOUT_MS / 1000;
	pthread_mutex_lock(&q->lock);
	while (!q->done && r == 0)
		r = pthread_cond_timedwait(&q->answered, &q->lock, &until);
	done = q->done;
	q->left = !done;
	pthread_mutex_unlock(&q->lock);
	return done;
}

static int failed(const struct question *q, struct sluice_error *err)
{
	int r = q->error == EAI_AGAIN ? -EAGAIN : q->error == EAI_MEMORY ? -ENOMEM : -ENOENT;

	fail(err, r, "network: %s: %s", q->name, gai_strerror(q->error));
	return fail_hint(
		err, r,
		"a rule's name is resolved when the sandbox starts; an address needs no resolver");
}

static int take(const struct question *q, struct net_address ret[RESOLVE_MAX])
{
	unsigned n = 0;

	for (const struct addrinfo *i = q->found; i && n < RESOLVE_MAX; i = i->ai_next) {
		uint16_t port;
		unsigned k = 0;

		if (!address_of(i->ai_addr, i->ai_addrlen, &ret[n], &port))
			continue;
		while (k < n && memcmp(&ret[k], &ret[n], sizeof(ret[n])) != 0)
			k++;
		n += k == n;
	}
	return (int)n;
}

int resolve_name(const char *name, struct net_address ret[RESOLVE_MAX], struct sluice_error *err)
{
	struct question *q = question_new(name);
	int r = q ? ask(q) : -ENOMEM;

	if (r < 0) {
		if (q)
			question_free(q);
		return fail_errno(err, r, "network: %s", name);
	}
	if (!await(q)) {
		fail(err, -ETIMEDOUT, "network: %s: no answer within %u s", name,
		     RESOLVE_TIMEOUT_MS / 1000);
		return fail_hint(err, -ETIMEDOUT, "is there a name server? an address needs none");
	}
	r = q->error ? failed(q, err) : take(q, ret);
	question_free(q);
	return r;
}
