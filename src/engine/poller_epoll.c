/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The poller on epoll, for where io_uring is refused.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "engine/poller_internal.h"

static int epoll_fd(const struct poller *p)
{
	return (int)(intptr_t)p->backend;
}

static int epoll_init(struct poller *p)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	p->backend = (void *)(intptr_t)fd;
	return fd < 0 ? -errno : 0;
}

static void epoll_fini(struct poller *p)
{
	close(epoll_fd(p));
}

static int epoll_arm(struct poller *p, unsigned slot)
{
	struct epoll_event ev = {
		.events = p->watches[slot].events & POLLIN ? EPOLLIN : 0,
		.data.u32 = slot,
	};

	if (epoll_ctl(epoll_fd(p), EPOLL_CTL_ADD, p->watches[slot].fd, &ev) < 0)
		return -errno;
	p->watches[slot].armed = true;
	return 0;
}

static int epoll_disarm(struct poller *p, unsigned slot)
{
	if (!p->watches[slot].armed)
		return 0;
	p->watches[slot].armed = false;
	return epoll_ctl(epoll_fd(p), EPOLL_CTL_DEL, p->watches[slot].fd, NULL) < 0 ? -errno : 0;
}

static uint32_t epoll_to_poll(uint32_t events)
{
	return (events & EPOLLIN ? POLLIN : 0u) | (events & EPOLLHUP ? POLLHUP : 0u) |
	       (events & EPOLLERR ? POLLERR : 0u);
}

static int epoll_wait_events(struct poller *p, int64_t timeout_ms, struct poller_event *ret,
			     size_t max)
{
	struct epoll_event ev[POLLER_MAX_FDS];
	int timeout = timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms;
	int n = epoll_wait(epoll_fd(p), ev, max < POLLER_MAX_FDS ? (int)max : POLLER_MAX_FDS,
			   timeout);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		ret[i].slot = ev[i].data.u32;
		ret[i].events = epoll_to_poll(ev[i].events);
	}
	return n;
}

const struct poller_ops poller_epoll_ops = {
	.name = "epoll",
	.init = epoll_init,
	.fini = epoll_fini,
	.arm = epoll_arm,
	.disarm = epoll_disarm,
	.wait = epoll_wait_events,
};
