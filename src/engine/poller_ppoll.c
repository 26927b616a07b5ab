/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The poller on ppoll(2): the watches are handed to the kernel at each wait, so nothing has to be set up and nothing can fail before.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "engine/poller_internal.h"

static int ppoll_init(struct poller *p)
{
	p->backend = NULL;
	return 0;
}

static void ppoll_fini(struct poller *p)
{
	(void)p;
}

static int ppoll_arm(struct poller *p, unsigned slot)
{
	p->watches[slot].armed = true;
	return 0;
}

static int ppoll_disarm(struct poller *p, unsigned slot)
{
	p->watches[slot].armed = false;
	return 0;
}

static int ppoll_wait(struct poller *p, int64_t timeout_us, struct poller_event *ret, size_t max)
{
	struct timespec ts = { timeout_us / 1000000, (timeout_us % 1000000) * 1000 };
	struct pollfd fds[POLLER_MAX_FDS];
	unsigned n_fds = 0;
	size_t n = 0;

	/*
	 * The kernel passes over a negative descriptor: a free slot. Not more slots than there are, since the limit of open files, which may
	 * be lowered at any time, is one of watched files too.
	 */
	for (unsigned slot = 0; slot < POLLER_MAX_FDS; slot++) {
		const struct poller_watch *w = &p->watches[slot];

		fds[slot] = (struct pollfd){ .fd = w->fd, .events = (short)w->events };
		if (w->fd >= 0)
			n_fds = slot + 1;
	}
	if (ppoll(fds, n_fds, timeout_us < 0 ? NULL : &ts, NULL) < 0)
		return errno == EINTR ? 0 : -errno;
	/* none is passed over for ever when @ret is too short for all */
	p->first = (p->first + 1) % POLLER_MAX_FDS;
	for (unsigned i = 0; i < POLLER_MAX_FDS && n < max; i++) {
		unsigned slot = (p->first + i) % POLLER_MAX_FDS;

		if (fds[slot].revents)
			ret[n++] = (struct poller_event){ slot, (uint32_t)fds[slot].revents };
	}
	return (int)n;
}

const struct poller_ops poller_ppoll_ops = {
	.name = "ppoll",
	.init = ppoll_init,
	.fini = ppoll_fini,
	.arm = ppoll_arm,
	.disarm = ppoll_disarm,
	.wait = ppoll_wait,
};
