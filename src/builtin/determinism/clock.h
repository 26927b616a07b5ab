/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time of day that a command sees: CLOCK_MONOTONIC and a constant, so that it begins where it was told to, and nothing that happens to the host's moves it. Constant after its registration; any
 * thread.
 */
#ifndef SLUICE_BUILTIN_DETERMINISM_CLOCK_H
#define SLUICE_BUILTIN_DETERMINISM_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "builtin/determinism/clock_code.h"

#define CLOCK_NS_PER_S 1000000000

struct dispatch;

struct clock {
	int64_t shift_ns; /* time of day - CLOCK_MONOTONIC */
	int64_t tai_ns;	  /* CLOCK_TAI - time of day */
	struct clock_code code;
};

/* What clock @id shows, as of its last tick where it is a coarse one; nanoseconds. Not a time of day: as CLOCK_REALTIME. */
int64_t clock_show_ns(const struct clock *c, clockid_t id);
struct timespec clock_timespec(int64_t ns);
/* A time that a caller gave: nanoseconds, at most INT64_MAX; -EINVAL where the kernel takes it for none. */
int clock_from_timespec(const struct timespec *ts, int64_t *ret_ns);

/* The calls that wait until a time of day, or set timers to one. 0 or -errno. */
int clock_waits_register(struct dispatch *d, struct clock *c);

#endif
