/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/live.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "builtin/network/address.h"
#include "builtin/network/hosts_file.h"
#include "builtin/network/lookup.h"
#include "builtin/network/names.h"
#include "builtin/network/servers.h"
#include "builtin/network/watched.h"
#include "util/bell.h"
#include "util/clock.h"
#include "util/thread.h"

#define FULL_LOOK_NS 1000000000u

struct question {
	struct live *live;
	struct names_question q;
	bool open;
};

/* The thread's, but for `bell` and `thread`. */
struct live {
	struct names *names;
	struct servers servers;
	bool host; /* what the host's files say counts */
	struct watched hosts, resolv_conf;
	struct lookup *lookup;
	struct question questions[LIVE_QUESTIONS_MAX];
	int bell; /* eventfd: stop */
	pthread_t thread;
};

/* ---- questions ---- */

static struct question *unused(struct live *l)
{
	for (size_t i = 0; i < LIVE_QUESTIONS_MAX; i++) {
		if (!l->questions[i].open)
			return &l->questions[i];
	}
	return NULL;
}

/* A lookup_fn. */
static void answered(void *question, int error, const struct net_address *found, size_t n,
		     uint32_t ttl_s)
{
	struct question *q = question;
	struct names *names = q->live->names;

	q->open = false;
	if (error)
		names_failed(names, q->q, clock_now_ns());
	else
		names_answered(names, q->q, found, n, ttl_s, clock_now_ns(), address_is_own);
}

/* What the host's own file says of the name, of either family, is all there is of it, as for the C library. False: it says nothing. */
static bool answer_by_file(struct live *l, struct names_question q, const char *name)
{
	struct net_address found[NAMES_ANSWER_MAX], a;
	const char *at = l->hosts.text;
	bool known = false;
	size_t n = 0;

	while (l->host && at && n < NAMES_ANSWER_MAX && hosts_file_next(&at, name, &a)) {
		known = true;
		if (net_address_is_v4(&a) != q.v6)
			found[n++] = a;
	}
	if (known)
		names_answered(l->names, q, found, n, LIVE_HOSTS_TTL_S, clock_now_ns(),
			       address_is_own);
	return known;
}

/* True: there is no room for another question. */
static bool ask_due(struct live *l)
{
	struct question *to;
	struct names_question q;

	while ((to = unused(l)) && names_due(l->names, clock_now_ns(), &q)) {
		const char *name = names_name(l->names, q.name);

		if (answer_by_file(l, q, name))
			continue;
		*to = (struct question){ .live = l, .q = q, .open = true };
		lookup_ask(l->lookup, name, q.v6, answered, to);
	}
	return !to;
}

/* ---- whom to ask ---- */

/* Without memory who was asked is asked on. */
static int look_at_files(struct live *l)
{
	struct lookup *next;
	int r;

	if (!l->host)
		return 0;
	watched_look(&l->hosts);
	if (!watched_look(&l->resolv_conf))
		return 0;
	servers_read(l->resolv_conf.text, &l->servers);
	r = lookup_new(&l->servers, &next);
	if (r < 0)
		return r;
	lookup_free(l->lookup);
	l->lookup = next;
	return 0;
}

/* ---- the thread ---- */

/* Where no more questions can be asked what is due waits for those that are open. */
static uint64_t next_look(const struct live *l, bool full)
{
	return full ? clock_now_ns() + FULL_LOOK_NS : names_next(l->names);
}

static void *live_main(void *live)
{
	struct live *l = live;
	bool rung = false;

	while (!rung) {
		bool full;

		look_at_files(l);
		full = ask_due(l);
		names_publish(l->names, clock_now_ns());
		rung = lookup_wait(l->lookup, l->bell, next_look(l, full));
	}
	return NULL;
}

static int prepare(struct live *l)
{
	int r = l->host ? look_at_files(l) : lookup_new(&l->servers, &l->lookup);

	if (r < 0 || !l->lookup)
		return r < 0 ? r : -ENOMEM;
	l->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return l->bell < 0 ? -errno : 0;
}

static void dispose(struct live *l)
{
	lookup_free(l->lookup);
	watched_fini(&l->hosts);
	watched_fini(&l->resolv_conf);
	if (l->bell >= 0)
		close(l->bell);
	free(l);
}

int live_start(struct names *names, const struct net_server *servers, size_t n_servers,
	       struct live **ret)
{
	struct live *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->names = names;
	l->host = !n_servers;
	l->hosts.path = "/etc/hosts";
	l->resolv_conf.path = "/etc/resolv.conf";
	l->bell = -1;
	servers_given(servers, n_servers, &l->servers);
	r = prepare(l);
	if (r == 0)
		r = thread_start(&l->thread, NULL, live_main, l);
	if (r < 0)
		dispose(l);
	else
		*ret = l;
	return r;
}

void live_stop(struct live *live)
{
	bell_ring(live->bell);
}

void live_free(struct live *live)
{
	if (!live)
		return;
	live_stop(live);
	pthread_join(live->thread, NULL);
	dispose(live);
}
