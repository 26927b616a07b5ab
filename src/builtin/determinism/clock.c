/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/determinism/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>

#include "builtin/determinism/determinism.h"
#include "builtin/determinism/start.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "tree/file_times.h"
#include "util/clock.h"

/* ---- what it shows ---- */

int64_t clock_show_ns(const struct clock *c, clockid_t id)
{
	int64_t now = (int64_t)(id == CLOCK_REALTIME_COARSE ? clock_coarse_ns() : clock_now_ns());

	return now + c->shift_ns + (id == CLOCK_TAI ? c->tai_ns : 0);
}

struct timespec clock_timespec(int64_t ns)
{
	return (struct timespec){ ns / CLOCK_NS_PER_S, ns % CLOCK_NS_PER_S };
}

int clock_from_timespec(const struct timespec *ts, int64_t *ret_ns)
{
	if (ts->tv_sec < 0 || ts->tv_nsec < 0 || ts->tv_nsec >= CLOCK_NS_PER_S)
		return -EINVAL;
	if (__builtin_mul_overflow(ts->tv_sec, CLOCK_NS_PER_S, ret_ns) ||
	    __builtin_add_overflow(*ret_ns, ts->tv_nsec, ret_ns))
		*ret_ns = INT64_MAX;
	return 0;
}

/* ---- calls that read it ---- */

static struct sluice_verdict reply(struct sluice_request *req, int64_t value, uint64_t addr,
				   const void *data, size_t size)
{
	int r = request_plan_reply(req, "clock", value, addr, data, size);

	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

static struct sluice_verdict gettime_handle(struct sluice_request *req, void *clock)
{
	clockid_t id = (clockid_t)sluice_request_arg(req, 0);
	struct timespec ts = clock_timespec(clock_show_ns(clock, id));

	return reply(req, 0, sluice_request_arg(req, 1), &ts, sizeof(ts));
}

struct zoned {
	struct timeval time;
	struct timezone zone;
};

/* Two results. */
static struct request_act timeofday_act(struct sluice_request *req, const void *data)
{
	const struct zoned *z = data;
	uint64_t time = sluice_request_arg(req, 0), zone = sluice_request_arg(req, 1);
	int r = time ? sluice_request_write(req, time, &z->time, sizeof(z->time)) : 0;

	if (r == 0 && zone)
		r = sluice_request_write(req, zone, &z->zone, sizeof(z->zone));
	return (struct request_act){ .value = r, .fd = -1 };
}

static struct request_plan act_plan(request_act_fn act, const void *data, size_t size)
{
	return (struct request_plan){
		.builtin = "clock",
		.act = act,
		REQUEST_PLAN_NO_FILES,
		.data = data,
		.size = size,
	};
}

static struct sluice_verdict timeofday_handle(struct sluice_request *req, void *clock)
{
	struct timespec ts = clock_timespec(clock_show_ns(clock, CLOCK_REALTIME));
	struct zoned z = { .time = { ts.tv_sec, ts.tv_nsec / 1000 } };
	struct request_plan p = act_plan(timeofday_act, &z, sizeof(z));
	struct timeval unused;

	gettimeofday(&unused, &z.zone);
	return request_plan_or_errno(req, &p, 0);
}

#ifdef SYS_time
static struct sluice_verdict time_handle(struct sluice_request *req, void *clock)
{
	time_t seconds = clock_show_ns(clock, CLOCK_REALTIME_COARSE) / CLOCK_NS_PER_S;
	uint64_t addr = sluice_request_arg(req, 0);

	return reply(req, seconds, addr, &seconds, addr ? sizeof(seconds) : 0);
}
#endif

/* Looks of adjtimex; what would change the clock is refused as to anybody without privilege. */
static struct request_act adjust_act(struct sluice_request *req, const void *data)
{
	const struct clock *c = *(const struct clock *const *)data;
	uint64_t addr = sluice_request_arg(req, sluice_request_nr(req) == SYS_clock_adjtime);
	struct timespec ts;
	struct timex t;
	int state, r = sluice_request_read(req, addr, &t, sizeof(t));

	if (r == 0 && t.modes && t.modes != ADJ_OFFSET_SS_READ)
		r = -EPERM;
	state = r == 0 ? adjtimex(&t) : 0;
	if (state < 0)
		r = -errno;
	ts = clock_timespec(clock_show_ns(c, CLOCK_REALTIME));
	t.time.tv_sec = ts.tv_sec;
	t.time.tv_usec = t.status & STA_NANO ? ts.tv_nsec : ts.tv_nsec / 1000;
	if (r == 0)
		r = sluice_request_write(req, addr, &t, sizeof(t));
	return (struct request_act){ .value = r < 0 ? r : state, .fd = -1 };
}

static struct sluice_verdict adjust_handle(struct sluice_request *req, void *clock)
{
	struct request_plan p = act_plan(adjust_act, &clock, sizeof(clock));

	if (sluice_request_nr(req) == SYS_clock_adjtime &&
	    (clockid_t)sluice_request_arg(req, 0) != CLOCK_REALTIME)
		return sluice_continue();
	return request_plan_or_errno(req, &p, 0);
}

/* ---- programs that begin ---- */

static struct sluice_verdict start_handle(struct sluice_request *req, void *clock)
{
	const struct clock *c = clock;
	struct start s;
	int r = start_open(req, &s);

	if (r < 0)
		return r == -ENOENT ? sluice_continue() : sluice_errno(-r);
	r = clock_code_put(&c->code, &s);
	start_close(&s);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

/* ---- registration ---- */

static int clock_init(struct clock *c, int64_t start_s, const struct file_times *times)
{
	struct timex t = { .modes = 0 };

	c->shift_ns = times ? file_times_clock_shift_ns(times)
			    : start_s * CLOCK_NS_PER_S - (int64_t)clock_now_ns();
	c->tai_ns = adjtimex(&t) < 0 ? 0 : (int64_t)t.tai * CLOCK_NS_PER_S;
	return clock_code_make(&c->code, c->shift_ns);
}

int builtin_clock_register(struct dispatch *d, int64_t start_s, const struct file_times *times)
{
	struct clock *c = malloc(sizeof(*c));
	const struct sluice_handler gettime =
		sluice_handler_make("clock", SYS_clock_gettime, gettime_handle, c);
	const struct sluice_handler handlers[] = {
		sluice_handler_make("clock", START_CALL, start_handle, c),
		sluice_handler_make("clock", SYS_gettimeofday, timeofday_handle, c),
#ifdef SYS_time
		sluice_handler_make("clock", SYS_time, time_handle, c),
#endif
		sluice_handler_make("clock", SYS_adjtimex, adjust_handle, c),
		sluice_handler_make("clock", SYS_clock_adjtime, adjust_handle, c),
	};
	int r;

	if (!c)
		return -ENOMEM;
	r = dispatch_own(d, c, free);
	if (r == 0)
		r = clock_init(c, start_s, times);
	if (r == 0)
		r = dispatch_add_where_refused(d, &gettime);
	if (r == 0)
		r = dispatch_add_builtins(d, handlers, sizeof(handlers) / sizeof(handlers[0]));
	return r < 0 ? r : clock_waits_register(d, c);
}
