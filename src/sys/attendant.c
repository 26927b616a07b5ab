/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sys/attendant.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/bell.h"

int attendant_init(struct attendant *a, unsigned max, short events, attendant_serve_fn serve,
		   void *arg)
{
	int r = -ENOMEM;

	*a = (struct attendant){
		.bell = -1,
		.fds = malloc(max * sizeof(*a->fds)),
		.max = max,
		.events = events,
		.polled = malloc((max + 1) * sizeof(*a->polled)),
		.which = malloc((max + 1) * sizeof(*a->which)),
		.serve = serve,
		.arg = arg,
	};
	if (a->fds && a->polled && a->which) {
		a->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r = a->bell < 0 ? -errno : 0;
	}
	if (r < 0) {
		free(a->fds);
		free(a->polled);
		free(a->which);
		return r;
	}
	for (unsigned i = 0; i < max; i++)
		a->fds[i] = -1;
	pthread_mutex_init(&a->lock, NULL);
	return 0;
}

void attendant_fini(struct attendant *a)
{
	bool started;

	pthread_mutex_lock(&a->lock);
	a->stopping = true;
	started = a->started;
	pthread_mutex_unlock(&a->lock);
	bell_ring(a->bell);
	if (started)
		pthread_join(a->thread, NULL);
	for (unsigned i = 0; i < a->max; i++) {
		if (a->fds[i] >= 0)
			close(a->fds[i]);
	}
	close(a->bell);
	pthread_mutex_destroy(&a->lock);
	free(a->fds);
	free(a->polled);
	free(a->which);
}

/* The bell's descriptor, and behind it those in use. */
static nfds_t list_locked(const struct attendant *a)
{
	nfds_t n = 1;

	a->polled[0] = (struct pollfd){ .fd = a->bell, .events = POLLIN };
	for (unsigned i = 0; i < a->max; i++) {
		if (a->fds[i] < 0)
			continue;
		a->which[n] = i;
		a->polled[n++] = (struct pollfd){ .fd = a->fds[i], .events = a->events };
	}
	return n;
}

static void serve_locked(struct attendant *a, unsigned slot, short revents)
{
	if (a->serve(a->arg, slot, a->fds[slot], revents))
		return;
	close(a->fds[slot]);
	a->fds[slot] = -1;
}

static void *attend(void *attendant)
{
	struct attendant *a = attendant;

	pthread_mutex_lock(&a->lock);
	while (!a->stopping) {
		nfds_t n = list_locked(a);
		uint64_t rings;

		pthread_mutex_unlock(&a->lock);
		if (poll(a->polled, n, -1) < 0 && errno != EINTR)
			return NULL;
		if (read(a->bell, &rings, sizeof(rings)) < 0 && errno != EAGAIN)
			return NULL;
		pthread_mutex_lock(&a->lock);
		for (nfds_t i = 1; i < n; i++) {
			if (a->polled[i].revents)
				serve_locked(a, a->which[i], a->polled[i].revents);
		}
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

int attendant_add_locked(struct attendant *a, int fd)
{
	unsigned slot = 0;
	int r = 0;

	while (slot < a->max && a->fds[slot] >= 0)
		slot++;
	if (slot == a->max)
		return -ENFILE;
	if (!a->started)
		r = -pthread_create(&a->thread, NULL, attend, a);
	if (r < 0)
		return r;
	a->started = true;
	a->fds[slot] = fd;
	bell_ring(a->bell);
	return (int)slot;
}
