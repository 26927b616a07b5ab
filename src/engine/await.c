/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting on behalf of a task, in its runner, which is left out of the pool's count meanwhile.
 *
 * The task would be woken by a signal, which only shows in /proc: so it is looked from time to time. Of its end its pidfd tells at once, so that what it had open is
 * not held for longer; before Linux 6.9, which has none of threads, that is seen at the next look.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "engine/engine_internal.h"
#include "sys/pidfd.h"

/* By the time that option @name gives a call. */
static uint64_t deadline_ns(int fd, int name)
{
	struct timeval tv = { 0 };
	socklen_t size = sizeof(tv);

	if (getsockopt(fd, SOL_SOCKET, name, &tv, &size) < 0 || (!tv.tv_sec && !tv.tv_usec))
		return UINT64_MAX;
	return clock_now_ns() + (uint64_t)tv.tv_sec * 1000000000u + (uint64_t)tv.tv_usec * 1000u;
}

uint64_t request_send_deadline_ns(int fd)
{
	return deadline_ns(fd, SO_SNDTIMEO);
}

uint64_t request_receive_deadline_ns(int fd)
{
	return deadline_ns(fd, SO_RCVTIMEO);
}

int request_await(struct sluice_request *req, int fd, short events, uint64_t until_ns)
{
	struct pollfd p[2] = { { .fd = fd, .events = events }, { .fd = -1, .events = POLLIN } };
	struct runner *runner = req->runner;
	int ms = 1, r;

	if (events && poll(p, 1, 0) > 0) /* who does not wait needs nobody to stand in */
		return 0;
	r = runner_wait_begin(runner);
	if (r < 0)
		return r;
	p[1].fd = pidfd_open_thread(req->task.tid);
	while (r == 0 && (poll(p, 2, ms) <= 0 || !p[0].revents)) {
		if (runner_wait_is_over(runner, &req->task) || task_is_signalled(&req->task))
			r = -ERESTARTSYS;
		else if (clock_now_ns() >= until_ns)
			r = -ETIME;
		ms = runner_wait_ms(ms);
	}
	if (p[1].fd >= 0)
		close(p[1].fd);
	runner_wait_end(runner);
	return r;
}

#define LOOK_NS_MIN 50000u
#define LOOK_NS_MAX 8000000u
#define NS_PER_MS 1000000u

/* How long to sleep at @now after a wait that began at @begun. */
static uint64_t pause_ns(uint64_t begun, uint64_t now, uint64_t until_ns)
{
	uint64_t ns = (now - begun) / 32;

	if (ns < LOOK_NS_MIN)
		ns = LOOK_NS_MIN;
	if (ns > LOOK_NS_MAX)
		ns = LOOK_NS_MAX;
	return until_ns - now < ns ? until_ns - now : ns;
}

int request_await_look(struct sluice_request *req, request_look_fn look, const void *data,
		       uint64_t until_ns)
{
	struct runner *runner = req->runner;
	uint64_t begun = clock_now_ns(), now = begun, signals = begun + NS_PER_MS;
	int ms = 1, r = runner_wait_begin(runner), found = 0;

	if (r < 0)
		return r;
	while (r == 0 && (found = look ? look(req, data) : 0) == 0) {
		struct timespec pause = { .tv_nsec = 0 };

		if (now >= until_ns) {
			r = -ETIME;
		} else if (runner_wait_is_over(runner, &req->task)) {
			r = -ERESTARTSYS;
		} else if (now >= signals) { /* which takes longer than a look */
			if (task_is_signalled(&req->task))
				r = -ERESTARTSYS;
			ms = runner_wait_ms(ms);
			signals = now + (uint64_t)ms * NS_PER_MS;
		}
		if (r == 0) {
			pause.tv_nsec = (long)pause_ns(begun, now, until_ns);
			nanosleep(&pause, NULL);
			now = clock_now_ns();
		}
	}
	runner_wait_end(runner);
	return found < 0 ? found : r;
}
