/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/determinism/feeder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "sys/attendant.h"
#include "util/stream.h"

#define PIPES_MAX 64u
#define BLOCK_BYTES 4096u

struct flow {
	struct stream stream;
	size_t done; /* bytes of `block` that are in the pipe already */
	unsigned char block[BLOCK_BYTES];
};

struct feeder {
	struct attendant attendant;
	struct flow flows[PIPES_MAX]; /* by slot; guarded by the attendant's lock */
};

/* As much as there is room for. false: nobody reads any more. */
static bool fill(void *feeder, unsigned slot, int fd, short revents)
{
	struct flow *f = &((struct feeder *)feeder)->flows[slot];
	ssize_t n;

	do {
		if (f->done == BLOCK_BYTES) {
			stream_bytes(&f->stream, f->block, BLOCK_BYTES);
			f->done = 0;
		}
		n = write(fd, f->block + f->done, BLOCK_BYTES - f->done);
		if (n > 0)
			f->done += (size_t)n;
	} while (n > 0);
	return errno == EAGAIN;
}

struct feeder *feeder_new(void)
{
	struct feeder *f = calloc(1, sizeof(*f));

	if (f && attendant_init(&f->attendant, PIPES_MAX, POLLOUT, fill, f) < 0) {
		free(f);
		return NULL;
	}
	return f;
}

struct feeder *feeder_free(struct feeder *f)
{
	if (!f)
		return NULL;
	attendant_fini(&f->attendant);
	free(f);
	return NULL;
}

/* @fd is the feeder's then. */
static int add(struct feeder *f, int fd, uint64_t key)
{
	int slot;

	pthread_mutex_lock(&f->attendant.lock);
	slot = attendant_add_locked(&f->attendant, fd);
	if (slot >= 0) {
		f->flows[slot].stream = (struct stream){ key };
		f->flows[slot].done = BLOCK_BYTES;
		fill(f, (unsigned)slot, fd, POLLOUT);
	}
	pthread_mutex_unlock(&f->attendant.lock);
	return slot < 0 ? slot : 0;
}

int feeder_open(struct feeder *f, uint64_t key)
{
	int ends[2], r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return errno == EMFILE ? -ENFILE : -errno;
	r = fcntl(ends[1], F_SETFL, O_NONBLOCK) < 0 ? -errno : add(f, ends[1], key);
	if (r == 0)
		return ends[0];
	close(ends[0]);
	close(ends[1]);
	return r;
}
