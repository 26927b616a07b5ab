/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is measured: guests in sandboxes of the library, made through its public interface, with extra handlers that answer their calls.
 */
#ifndef SLUICE_BENCH_SUBJECT_H
#define SLUICE_BENCH_SUBJECT_H

#include <sluice/sluice.h>

#include "area.h"

enum subject_file {
	SUBJECT_FILE_NONE = 0,
	SUBJECT_FILE_REFUSE, /* decode the path; EDOM when it is the area's */
	SUBJECT_FILE_AS_SEEN,
	SUBJECT_FILE_INJECT_FD, /* a descriptor of the same file that is open already */
	SUBJECT_FILE_INJECT_BYTES,
};

struct subject_config {
	enum sluice_dispatch mode;
	uint32_t clients;   /* of all sandboxes together */
	uint32_t sandboxes; /* divides clients */
	uint32_t chain;	    /* handlers of AREA_NR_PROMPT, of which the last one answers */
	uint32_t handler_us;
	enum subject_file file;
	const char *path; /* of the area, for SUBJECT_FILE_*; borrowed for the call */
	bool blocking;	  /* a handler of AREA_NR_BLOCKING that may block, and does for 1 ms */
	bool stuck;	  /* a handler of AREA_NR_STUCK that sleeps without having said so */
};

#define SUBJECT_BLOCK_NS 1000000
#define SUBJECT_STUCK_NS 200000000

struct subject;

/* Start the sandboxes. Returns 0 and *ret, or -errno with @err. */
int subject_start(const struct subject_config *config, struct subject **ret,
		  struct sluice_error *err);
struct area *subject_area(struct subject *s);
void subject_stop(struct subject *s);

/* "adaptive" ... */
const char *subject_mode_name(enum sluice_dispatch mode);

#endif
