/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a plan (protocol.h) from strings. Pure; any thread.
 */
#ifndef SLUICE_LAUNCHER_PLAN_H
#define SLUICE_LAUNCHER_PLAN_H

#include <stddef.h>
#include <sys/types.h>

struct launcher_plan;

/* All borrowed. */
struct plan_strings {
	const char *execfn;	   /* what AT_EXECFN shows */
	const char *comm;	   /* name of the process, cut at 15 bytes */
	const char *const *prefix; /* arguments before those that the kernel leaves on the stack */
	size_t n_prefix;
};

/*
 * Returns the plan's bytes; they were written (no descriptors set) when that is at most @size. -E2BIG: a string or all of them are longer
 * than a plan takes, or there are too many.
 */
ssize_t plan_write(const struct plan_strings *s, void *buf, size_t size);

#endif
