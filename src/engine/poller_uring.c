/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The poller on io_uring: one one-shot POLL_ADD per watch, armed again before each wait, so a condition that still holds is reported again.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "engine/poller_internal.h"
#include "sys/tsan.h"

/* A poll and a removal for each watch fit: submissions never find the queue full. */
#define RING_ENTRIES 32

static uint64_t watch_tag(const struct poller *p, unsigned slot)
{
	return (uint64_t)p->watches[slot].generation << 8 | slot;
}

#define TAG_IGNORED UINT64_MAX

static int uring_init(struct poller *p)
{
	struct io_uring *ring = calloc(1, sizeof(*ring));
	int r;

	if (!ring)
		return -ENOMEM;
	r = io_uring_queue_init(RING_ENTRIES, ring, 0);
	/* waiting with a time-out in one call came with 5.11 */
	if (r == 0 && !(ring->features & IORING_FEAT_EXT_ARG)) {
		io_uring_queue_exit(ring);
		r = -ENOSYS;
	}
	if (r < 0) {
		free(ring);
		return r;
	}
	p->backend = ring;
	return 0;
}

static void uring_fini(struct poller *p)
{
	io_uring_queue_exit(p->backend);
	free(p->backend);
}

static int uring_arm(struct poller *p, unsigned slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(p->backend);

	if (!sqe)
		return -EBUSY;
	/* liburing maps rings out of the sanitizer's sight, so one at the address of an earlier one of another thread looks shared */
	tsan_ignore_begin();
	io_uring_prep_poll_add(sqe, p->watches[slot].fd, p->watches[slot].events);
	io_uring_sqe_set_data64(sqe, watch_tag(p, slot));
	tsan_ignore_end();
	p->watches[slot].armed = true;
	return 0;
}

static int uring_disarm(struct poller *p, unsigned slot)
{
	struct io_uring_sqe *sqe;

	if (!p->watches[slot].armed)
		return 0;
	sqe = io_uring_get_sqe(p->backend);
	if (!sqe)
		return -EBUSY;
	tsan_ignore_begin();
	io_uring_prep_poll_remove(sqe, watch_tag(p, slot));
	io_uring_sqe_set_data64(sqe, TAG_IGNORED);
	tsan_ignore_end();
	p->watches[slot].armed = false;
	/* now: the owner may close the descriptor next */
	return io_uring_submit(p->backend) < 0 ? -EIO : 0;
}

static void uring_arm_all(struct poller *p)
{
	for (unsigned slot = 0; slot < POLLER_MAX_FDS; slot++) {
		if (p->watches[slot].fd >= 0 && !p->watches[slot].armed)
			uring_arm(p, slot);
	}
}

static size_t uring_take(struct poller *p, struct io_uring_cqe *cqe, struct poller_event *ret)
{
	uint64_t tag = io_uring_cqe_get_data64(cqe);
	unsigned slot = tag & 0xff;

	if (tag == TAG_IGNORED || slot >= POLLER_MAX_FDS || tag != watch_tag(p, slot))
		return 0;
	p->watches[slot].armed = false;
	if (cqe->res < 0)
		return 0;
	ret->slot = slot;
	ret->events = (uint32_t)cqe->res;
	return 1;
}

static int uring_wait(struct poller *p, int64_t timeout_us, struct poller_event *ret, size_t max)
{
	struct __kernel_timespec ts = { timeout_us / 1000000, (timeout_us % 1000000) * 1000 };
	struct io_uring *ring = p->backend;
	struct io_uring_cqe *cqe;
	size_t n = 0;
	int r;

	uring_arm_all(p);
	tsan_ignore_begin();
	r = io_uring_submit_and_wait_timeout(ring, &cqe, 1, timeout_us < 0 ? NULL : &ts, NULL);
	if (r == -ETIME || r == -EINTR || r == -EAGAIN || r == -EBUSY)
		r = 0;
	while (r >= 0 && n < max && io_uring_peek_cqe(ring, &cqe) == 0) {
		n += uring_take(p, cqe, &ret[n]);
		io_uring_cqe_seen(ring, cqe);
	}
	tsan_ignore_end();
	return r < 0 ? r : (int)n;
}

const struct poller_ops poller_uring_ops = {
	.name = "io_uring",
	.init = uring_init,
	.fini = uring_fini,
	.arm = uring_arm,
	.disarm = uring_disarm,
	.wait = uring_wait,
};
