/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What benches share that run whole programs: where those are, a directory of the bench's own, and starting one.
 */
#ifndef SLUICE_BENCH_PLACE_H
#define SLUICE_BENCH_PLACE_H

#include <limits.h>
#include <stdbool.h>

#include "report.h"

struct place {
	char self[PATH_MAX], command[PATH_MAX]; /* this program and sluice */
	char dir[PATH_MAX / 2];			/* empty, ours; the current one, and TMPDIR */
};

/* 0, or -1 after a message. What was made is removed by place_remove in either case. The paths of @o are made absolute first. */
int place_make(struct place *p, struct options *o);
void place_remove(const struct place *p);

/* Does a shell find @program? */
bool place_has(const char *program);

/* Run @argv with its output on @out (-1: ours) until it ends with status 0. 0, or -1 after a message. */
int place_run(const char *const argv[], int out);
/* The same for a program that prints @n numbers (at most 4), which are written to @ret. */
int place_figures(const char *const argv[], double *ret, unsigned n);

#endif
