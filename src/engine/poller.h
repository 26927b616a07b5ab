/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the control thread waits on: descriptors, through io_uring, or through epoll where io_uring is refused (container default
 * profiles, kernel.io_uring_disabled), or through ppoll. All behave the same: level-triggered.
 *
 * ppoll needs nothing of the kernel between two waits, so it is where a poller begins: a sandbox of which no call is ever trapped starts and
 * ends without a ring (making and unmaking one takes some 90 us), and an idle one holds none (18 KiB).
 *
 * Owned by the control thread; no call may come from another.
 */
#ifndef SLUICE_ENGINE_POLLER_H
#define SLUICE_ENGINE_POLLER_H

#include <stddef.h>
#include <stdint.h>

#define POLLER_MAX_FDS 16

struct poller;

struct poller_event {
	unsigned slot;	 /* as poller_add returned it */
	uint32_t events; /* POLLIN, POLLHUP, POLLERR */
};

struct poller_ops {
	const char *name;
	int (*init)(struct poller *p);
	void (*fini)(struct poller *p);
	int (*arm)(struct poller *p, unsigned slot);
	int (*disarm)(struct poller *p, unsigned slot);
	int (*wait)(struct poller *p, int64_t timeout_us, struct poller_event *ret, size_t max);
};

enum poller_backend {
	POLLER_RING, /* io_uring, or epoll where that is refused */
	POLLER_EPOLL,
	POLLER_PPOLL,
};

/* Returns 0, or -errno of the last one tried. */
int poller_new(struct poller **ret, enum poller_backend backend);
/* Go on with another backend and the same watches. On failure (-errno) it stays with the one it has. */
int poller_switch(struct poller *p, enum poller_backend backend);
struct poller *poller_free(struct poller *p);
/* "io_uring", "epoll" or "ppoll". */
const char *poller_name(const struct poller *p);

/* Watch @fd (borrowed) for @events (POLLIN or 0: only hang-up and errors). Returns a slot, or -ENOSPC, -errno. */
int poller_add(struct poller *p, int fd, uint32_t events);
/* Watch it for other events from now on. */
int poller_modify(struct poller *p, unsigned slot, uint32_t events);
int poller_remove(struct poller *p, unsigned slot);
/* Wait at most @timeout_us microseconds (-1: for ever). Returns how many events, 0 on time-out or interruption, or -errno. */
int poller_wait(struct poller *p, int64_t timeout_us, struct poller_event *ret, size_t max);

#endif
