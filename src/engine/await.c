/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting on behalf of a task, in its runner, which is left out of the pool's count meanwhile.
 *
 * The task would be woken by a signal, which only shows in /proc, and nothing tells of its end: so it is looked from time to time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "engine/engine_internal.h"

uint64_t request_send_deadline_ns(int fd)
{
	struct timeval tv = { 0 };
	socklen_t size = sizeof(tv);

	if (getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, &size) < 0 || (!tv.tv_sec && !tv.tv_usec))
		return UINT64_MAX;
	return clock_now_ns() + (uint64_t)tv.tv_sec * 1000000000u + (uint64_t)tv.tv_usec * 1000u;
}

int request_await(struct sluice_request *req, int fd, short events, uint64_t until_ns)
{
	struct pollfd p = { .fd = fd, .events = events };
	struct runner *runner = req->runner;
	int ms = 1, r = runner_wait_begin(runner);

	if (r < 0)
		return r;
	while (poll(&p, 1, ms) <= 0 && r == 0) {
		if (runner_wait_is_over(runner, &req->task) || task_is_signalled(&req->task))
			r = -ERESTARTSYS;
		else if (clock_now_ns() >= until_ns)
			r = -ETIME;
		ms = runner_wait_ms(ms);
	}
	runner_wait_end(runner);
	return r;
}
