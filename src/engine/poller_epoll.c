/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The poller on epoll, for where io_uring is refused.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>
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

/* epoll_pwait2 came with 5.11; older kernels wait whole milliseconds, rounded up. */
static int epoll_wait_until(int fd, struct epoll_event *ev, int room, const struct timespec *ts)
{
	int n = epoll_pwait2(fd, ev, room, ts, NULL);
	int64_t ms = ts ? ts->tv_sec * 1000 + (ts->tv_nsec + 999999) / 1000000 : -1;

	if (n < 0 && errno == ENOSYS)
		n = epoll_wait(fd, ev, room, ms > INT_MAX ? INT_MAX : (int)ms);
	return n;
}

static int epoll_wait_events(struct poller *p, int64_t timeout_us, struct poller_event *ret,
			     size_t max)
{
	struct epoll_event ev[POLLER_MAX_FDS];
	struct timespec ts = { timeout_us / 1000000, (timeout_us % 1000000) * 1000 };
	int room = max < POLLER_MAX_FDS ? (int)max : POLLER_MAX_FDS;
	int n = epoll_wait_until(epoll_fd(p), ev, room, timeout_us < 0 ? NULL : &ts);

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
