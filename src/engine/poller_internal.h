/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the poller's backends.
 */
#ifndef SLUICE_ENGINE_POLLER_INTERNAL_H
#define SLUICE_ENGINE_POLLER_INTERNAL_H

#include <stdbool.h>

#include "engine/poller.h"

struct poller_watch {
	int fd; /* -1: free slot */
	uint32_t events;
	uint32_t generation; /* raised when the watch changes: an event of an older one is stale */
	bool armed;
};

struct poller {
	const struct poller_ops *ops;
	void *backend;
	unsigned first; /* ppoll: the slot that is looked at first */
	struct poller_watch watches[POLLER_MAX_FDS];
};

extern const struct poller_ops poller_uring_ops;
extern const struct poller_ops poller_epoll_ops;
extern const struct poller_ops poller_ppoll_ops;

#endif
