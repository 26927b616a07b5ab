/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/poller.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/poller_internal.h"

static int poller_try(struct poller *p, const struct poller_ops *ops)
{
	p->ops = ops;
	return ops->init(p);
}

static int poller_begin(struct poller *p, enum poller_backend backend)
{
	int r = -ENOSYS;

	if (backend == POLLER_PPOLL)
		return poller_try(p, &poller_ppoll_ops);
	if (backend == POLLER_RING)
		r = poller_try(p, &poller_uring_ops);
	return r < 0 ? poller_try(p, &poller_epoll_ops) : r;
}

int poller_new(struct poller **ret, enum poller_backend backend)
{
	struct poller *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	for (unsigned i = 0; i < POLLER_MAX_FDS; i++)
		p->watches[i].fd = -1;
	r = poller_begin(p, backend);
	if (r < 0) {
		free(p);
		return r;
	}
	*ret = p;
	return 0;
}

static int poller_arm_all(struct poller *p)
{
	int r = 0;

	for (unsigned slot = 0; slot < POLLER_MAX_FDS && r == 0; slot++) {
		p->watches[slot].armed = false;
		if (p->watches[slot].fd >= 0)
			r = p->ops->arm(p, slot);
	}
	return r;
}

int poller_switch(struct poller *p, enum poller_backend backend)
{
	struct poller next = *p;
	int r = poller_begin(&next, backend);

	if (r < 0)
		return r;
	r = poller_arm_all(&next);
	if (r < 0) {
		next.ops->fini(&next);
		return r;
	}
	p->ops->fini(p);
	*p = next;
	return 0;
}

struct poller *poller_free(struct poller *p)
{
	if (p) {
		p->ops->fini(p);
		free(p);
	}
	return NULL;
}

const char *poller_name(const struct poller *p)
{
	return p->ops->name;
}

int poller_add(struct poller *p, int fd, uint32_t events)
{
	for (unsigned slot = 0; slot < POLLER_MAX_FDS; slot++) {
		struct poller_watch *w = &p->watches[slot];
		int r;

		if (w->fd >= 0)
			continue;
		w->fd = fd;
		w->events = events;
		w->generation++;
		r = p->ops->arm(p, slot);
		if (r < 0) {
			w->fd = -1;
			return r;
		}
		return (int)slot;
	}
	return -ENOSPC;
}

int poller_modify(struct poller *p, unsigned slot, uint32_t events)
{
	int r = p->ops->disarm(p, slot);

	p->watches[slot].events = events;
	p->watches[slot].generation++;
	return r < 0 ? r : p->ops->arm(p, slot);
}

int poller_remove(struct poller *p, unsigned slot)
{
	int r = p->ops->disarm(p, slot);

	p->watches[slot].fd = -1;
	p->watches[slot].generation++;
	return r;
}

int poller_wait(struct poller *p, int64_t timeout_us, struct poller_event *ret, size_t max)
{
	return p->ops->wait(p, timeout_us, ret, max);
}
