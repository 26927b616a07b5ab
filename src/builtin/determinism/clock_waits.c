/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits until a time of day, and timers that are set to one. The kernel would compare with the host's clock, so each is carried out by CLOCK_MONOTONIC, to which the command's has a constant distance.
 *
 * Nobody can wait for a futex in another process's memory. So its word is looked at from time to time, as the waiter would when it is woken: whoever wakes a waiter has changed the word before. The caller is told
 * of a change as of a wake-up, which may come without a reason (futex(2)), and of a signal by EINTR.
 *
 * Relative times, those of CLOCK_MONOTONIC and waits without end are the kernel's own and not trapped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "builtin/determinism/clock.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "task/task.h"
#include "util/cleanup.h"

/* What the plans carry. */
struct wait {
	const struct clock *clock;
};

static struct request_act value(int64_t v)
{
	return (struct request_act){ .value = v, .fd = -1 };
}

static struct sluice_verdict plan(struct sluice_request *req, struct clock *clock,
				  request_act_fn act, int fd)
{
	const struct wait w = { clock };
	struct request_plan p = {
		.builtin = "clock",
		.act = act,
		.fds = { fd, -1 },
		.dirs = { -1, -1 },
		.data = &w,
		.size = sizeof(w),
	};

	return request_plan_or_errno(req, &p, 0);
}

static bool is_wall(clockid_t id)
{
	return id == CLOCK_REALTIME || id == CLOCK_REALTIME_ALARM || id == CLOCK_TAI;
}

/* Nanoseconds of CLOCK_MONOTONIC at which clock @id shows @ns. */
static uint64_t monotonic_at(const struct clock *c, clockid_t id, int64_t ns)
{
	int64_t shift = c->shift_ns + (id == CLOCK_TAI ? c->tai_ns : 0), at;

	if (__builtin_sub_overflow(ns, shift, &at))
		return UINT64_MAX;
	return at < 0 ? 0 : (uint64_t)at;
}

/* The time at @addr. 0, -EFAULT, -EINVAL. */
static int read_time(struct sluice_request *req, uint64_t addr, int64_t *ret_ns)
{
	struct timespec ts;
	int r = sluice_request_read(req, addr, &ts, sizeof(ts));

	return r < 0 ? r : clock_from_timespec(&ts, ret_ns);
}

/* Wait; -ETIME, 0 (what was looked for), -EINTR or what the look failed with. */
static int await(struct sluice_request *req, request_look_fn look, const void *data,
		 uint64_t until_ns)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int r = request_await_look(req, look, data, until_ns);

	if (r == -EAGAIN) /* too many do: it asks again, but not all the time */
		nanosleep(&pause, NULL);
	return r < 0 && r != -ETIME && r != -EFAULT ? -EINTR : r;
}

/* ---- clock_nanosleep ---- */

static struct request_act sleep_act(struct sluice_request *req, const void *data)
{
	const struct clock *c = ((const struct wait *)data)->clock;
	clockid_t id = (clockid_t)sluice_request_arg(req, 0);
	int64_t ns;
	int r = read_time(req, sluice_request_arg(req, 2), &ns);

	if (r < 0)
		return value(r);
	r = await(req, NULL, NULL, monotonic_at(c, id, ns));
	return value(r == -ETIME ? 0 : r);
}

static struct sluice_verdict sleep_handle(struct sluice_request *req, void *clock)
{
	clockid_t id = (clockid_t)sluice_request_arg(req, 0);

	if (!is_wall(id) || !(sluice_request_arg(req, 1) & TIMER_ABSTIME))
		return sluice_continue();
	/* it would wake the machine, which takes a privilege */
	return id == CLOCK_REALTIME_ALARM ? sluice_errno(EPERM) : plan(req, clock, sleep_act, -1);
}

/* ---- futexes ---- */

static int word_changed(struct sluice_request *req, const void *data)
{
	const uint32_t *expected = data;
	uint32_t now;
	int r = sluice_request_read(req, sluice_request_arg(req, 0), &now, sizeof(now));

	return r < 0 ? r : now != *expected;
}

static struct request_act futex_act(struct sluice_request *req, const void *data)
{
	const struct clock *c = ((const struct wait *)data)->clock;
	const uint32_t expected = (uint32_t)sluice_request_arg(req, 2);
	int64_t ns;
	int r = read_time(req, sluice_request_arg(req, 3), &ns);

	if (r == 0 && (!(uint32_t)sluice_request_arg(req, 5) ||
		       sluice_request_arg(req, 0) % sizeof(expected)))
		r = -EINVAL;
	if (r == 0)
		r = word_changed(req, &expected);
	if (r < 0)
		return value(r);
	if (r > 0)
		return value(-EAGAIN);
	r = await(req, word_changed, &expected, monotonic_at(c, CLOCK_REALTIME, ns));
	return value(r == -ETIME ? -ETIMEDOUT : r);
}

static struct sluice_verdict futex_handle(struct sluice_request *req, void *clock)
{
	unsigned op = (unsigned)sluice_request_arg(req, 1) & ~(unsigned)FUTEX_PRIVATE_FLAG;

	if (!sluice_request_arg(req, 3))
		return sluice_continue();
	switch (op) {
	case FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME:
		return plan(req, clock, futex_act, -1);
	case FUTEX_LOCK_PI: /* the kernel would make the caller its owner, which nobody else can */
		return sluice_errno(EINVAL);
	default:
		return op & FUTEX_CLOCK_REALTIME ? sluice_errno(ENOSYS) : sluice_continue();
	}
}

/* ---- timers ---- */

/* The number behind @key, at the beginning of a line of @text from @from on. -1. */
static long number_after(const char *from, const char *key)
{
	const char *at = from ? strstr(from, key) : NULL;

	return at ? strtol(at + strlen(key), NULL, 10) : -1;
}

/* The clock of the caller's POSIX timer @id; -1: it cannot be told. */
static long clock_of_timer(struct sluice_request *req, int id)
{
	char path[48], line[128], wanted[32];
	FILE *in;
	bool found = false;
	long clock = -1;

	snprintf(path, sizeof(path), "/proc/%d/timers", (int)sluice_request_tid(req));
	snprintf(wanted, sizeof(wanted), "ID: %d\n", id);
	in = fopen(path, "re");
	while (in && clock < 0 && fgets(line, sizeof(line), in)) {
		if (!strncmp(line, "ID:", 3))
			found = !strcmp(line, wanted);
		else if (found)
			clock = number_after(line, "ClockID: ");
	}
	if (in)
		fclose(in);
	return clock;
}

static struct sluice_verdict timer_handle(struct sluice_request *req, void *clock)
{
	long id;

	(void)clock;
	if (!(sluice_request_arg(req, 1) & TIMER_ABSTIME))
		return sluice_continue();
	id = clock_of_timer(req, (int)sluice_request_arg(req, 0));
	if (id >= 0 && !is_wall((clockid_t)id))
		return sluice_continue();
	return sluice_errno(EOPNOTSUPP);
}

/* The clock of timerfd @fd, ours; -1: it is none. */
static long clock_of_timerfd(int fd)
{
	char path[48], text[1024];
	_cleanup_close_ int info = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	n = info < 0 ? -1 : read(info, text, sizeof(text) - 1);
	if (n < 0)
		return -1;
	text[n] = '\0';
	return number_after(text, "\nclockid: ");
}

/* What the host's clock shows when the command's shows @ns; never 0, which would disarm a timer. */
static int64_t host_at(const struct clock *c, int64_t ns)
{
	struct timespec host;
	int64_t shift, at;

	clock_gettime(CLOCK_REALTIME, &host);
	shift = (int64_t)host.tv_sec * CLOCK_NS_PER_S + host.tv_nsec -
		clock_show_ns(c, CLOCK_REALTIME);
	if (__builtin_add_overflow(ns, shift, &at))
		return INT64_MAX;
	return at < 1 ? 1 : at;
}

static struct request_act timerfd_act(struct sluice_request *req, const void *data)
{
	const struct clock *c = ((const struct wait *)data)->clock;
	uint64_t old = sluice_request_arg(req, 3);
	struct itimerspec set, was;
	int64_t ns;
	int r = sluice_request_read(req, sluice_request_arg(req, 2), &set, sizeof(set));

	if (r < 0)
		return value(r);
	/* 0 disarms; the kernel says what is wrong with others */
	if (clock_from_timespec(&set.it_value, &ns) == 0 && ns)
		set.it_value = clock_timespec(host_at(c, ns));
	if (timerfd_settime(request_plan_fd(req, 0), (int)sluice_request_arg(req, 1), &set, &was) <
	    0)
		return value(-errno);
	return value(old ? sluice_request_write(req, old, &was, sizeof(was)) : 0);
}

static struct sluice_verdict timerfd_handle(struct sluice_request *req, void *clock)
{
	long id;
	int fd;

	if (!(sluice_request_arg(req, 1) & TFD_TIMER_ABSTIME))
		return sluice_continue();
	fd = task_get_fd(request_task(req), (int)sluice_request_arg(req, 0));
	if (fd < 0)
		return sluice_errno(-fd);
	id = clock_of_timerfd(fd);
	if (id >= 0 && is_wall((clockid_t)id))
		return plan(req, clock, timerfd_act, fd);
	close(fd);
	return sluice_continue();
}

/* ---- registration ---- */

int clock_waits_register(struct dispatch *d, struct clock *c)
{
	struct sluice_handler handlers[] = {
		sluice_handler_make("clock", SYS_clock_nanosleep, sleep_handle, c),
		sluice_handler_make("clock", SYS_futex, futex_handle, c),
		sluice_handler_make("clock", SYS_timer_settime, timer_handle, c),
		sluice_handler_make("clock", SYS_timerfd_settime, timerfd_handle, c),
	};
	int r = 0;

	handlers[0].flags = handlers[1].flags = SLUICE_MAY_BLOCK;
	for (size_t i = 0; r == 0 && i < sizeof(handlers) / sizeof(handlers[0]); i++)
		r = dispatch_add_where_refused(d, &handlers[i]);
	return r;
}
