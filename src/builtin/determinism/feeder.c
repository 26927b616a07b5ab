/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/determinism/feeder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/stream.h"

#define PIPES_MAX 64u
#define BLOCK_BYTES 4096u

struct pipe_end {
	int fd; /* -1: free */
	struct stream stream;
	size_t done; /* bytes of `block` that are in the pipe already */
	unsigned char block[BLOCK_BYTES];
};

struct feeder {
	pthread_mutex_t lock;
	pthread_t thread;
	bool started, stopping;		  /* guarded by lock */
	struct pipe_end pipes[PIPES_MAX]; /* guarded by lock */
	int bell;			  /* eventfd: look again */
};

struct feeder *feeder_new(void)
{
	struct feeder *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->bell < 0) {
		free(f);
		return NULL;
	}
	pthread_mutex_init(&f->lock, NULL);
	for (unsigned i = 0; i < PIPES_MAX; i++)
		f->pipes[i].fd = -1;
	return f;
}

static void ring(struct feeder *f)
{
	const uint64_t one = 1;

	if (write(f->bell, &one, sizeof(one)) < 0)
		return; /* it has been rung already */
}

struct feeder *feeder_free(struct feeder *f)
{
	bool started;

	if (!f)
		return NULL;
	pthread_mutex_lock(&f->lock);
	f->stopping = true;
	started = f->started;
	pthread_mutex_unlock(&f->lock);
	ring(f);
	if (started)
		pthread_join(f->thread, NULL);
	for (unsigned i = 0; i < PIPES_MAX; i++) {
		if (f->pipes[i].fd >= 0)
			close(f->pipes[i].fd);
	}
	close(f->bell);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return NULL;
}

/* As much as there is room for. Nobody reads any more: closed. */
static void fill(struct pipe_end *p)
{
	ssize_t n;

	do {
		if (p->done == BLOCK_BYTES) {
			stream_bytes(&p->stream, p->block, BLOCK_BYTES);
			p->done = 0;
		}
		n = write(p->fd, p->block + p->done, BLOCK_BYTES - p->done);
		if (n > 0)
			p->done += (size_t)n;
	} while (n > 0);
	if (errno == EAGAIN)
		return;
	close(p->fd);
	p->fd = -1;
}

/* Descriptors of the pipes in use, behind the bell's. */
static nfds_t list(struct feeder *f, struct pollfd *polled, unsigned *which)
{
	nfds_t n = 1;

	polled[0] = (struct pollfd){ .fd = f->bell, .events = POLLIN };
	for (unsigned i = 0; i < PIPES_MAX; i++) {
		if (f->pipes[i].fd < 0)
			continue;
		which[n] = i;
		polled[n++] = (struct pollfd){ .fd = f->pipes[i].fd, .events = POLLOUT };
	}
	return n;
}

static void *feed(void *feeder)
{
	struct pollfd polled[PIPES_MAX + 1];
	unsigned which[PIPES_MAX + 1];
	struct feeder *f = feeder;

	pthread_mutex_lock(&f->lock);
	while (!f->stopping) {
		nfds_t n = list(f, polled, which);
		uint64_t rings;

		pthread_mutex_unlock(&f->lock);
		if (poll(polled, n, -1) < 0 && errno != EINTR)
			return NULL;
		if (read(f->bell, &rings, sizeof(rings)) < 0 && errno != EAGAIN)
			return NULL;
		pthread_mutex_lock(&f->lock);
		for (nfds_t i = 1; i < n; i++) {
			if (polled[i].revents)
				fill(&f->pipes[which[i]]);
		}
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

static struct pipe_end *free_end(struct feeder *f)
{
	for (unsigned i = 0; i < PIPES_MAX; i++) {
		if (f->pipes[i].fd < 0)
			return &f->pipes[i];
	}
	return NULL;
}

static int add_locked(struct feeder *f, int fd, uint64_t key)
{
	struct pipe_end *p = free_end(f);
	int r = 0;

	if (!p)
		return -ENFILE;
	if (!f->started)
		r = pthread_create(&f->thread, NULL, feed, f);
	if (r)
		return -r;
	f->started = true;
	*p = (struct pipe_end){ .fd = fd, .stream = { key }, .done = BLOCK_BYTES };
	fill(p);
	return 0;
}

int feeder_open(struct feeder *f, uint64_t key)
{
	int ends[2], r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return errno == EMFILE ? -ENFILE : -errno;
	if (fcntl(ends[1], F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	else {
		pthread_mutex_lock(&f->lock);
		r = add_locked(f, ends[1], key);
		pthread_mutex_unlock(&f->lock);
	}
	if (r < 0) {
		close(ends[0]);
		close(ends[1]);
		return r;
	}
	ring(f);
	return ends[0];
}
