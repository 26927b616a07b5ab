/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the library is measured against: guests under hand-written supervisors that do nothing but answer, and guests without any.
 *
 * A supervisor here is one thread, one listener, no dispatch, no accounting, no deadline. Its filter traps AREA_NR_PROMPT alone, or openat.
 */
#ifndef SLUICE_BENCH_FLOOR_H
#define SLUICE_BENCH_FLOOR_H

#include "area.h"

enum floor_kind {
	FLOOR_RAW = 0, /* RECV, SEND: the floor of all ratios */
	FLOOR_PINNED,  /* the same, guest and supervisor on one CPU */
	FLOOR_URING,   /* io_uring multishot poll, then RECV and SEND while there is something */
	FLOOR_BATCH,   /* RECV all that is there, then SEND all answers */
	FLOOR_READ, /* traps openat: RECV, read the path, ID_VALID, SEND of EDOM: what a decoded path costs in the kernel alone */
	FLOOR_EMPTY, /* a filter that allows everything, no supervisor */
	FLOOR_BARE,  /* no filter */
	FLOOR_KINDS
};

struct floor;

/* Start a guest of @clients client threads under @kind. Returns 0 and *ret, or -errno. */
int floor_start(enum floor_kind kind, uint32_t clients, struct floor **ret);
struct area *floor_area(struct floor *f);
/* Ends guest and supervisor. NULL is fine. */
void floor_stop(struct floor *f);
/* Start FLOOR_RAW with one client, measure for @duration_ns, stop: the median. 0, or -1 after a message. */
int floor_p50_us(uint64_t duration_ns, double *ret);

/*
 * First statement of a bench's main: `--guest AREA FIRST COUNT [KIND CHANNEL]` is how it starts itself as a guest (see subject.c for the form without
 * KIND). Returns only where it is none.
 */
void floor_be_guest(int argc, char *argv[]);

#endif
