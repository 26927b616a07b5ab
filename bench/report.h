/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the benches print and write: where and how it was measured, the targets, and the JSON file.
 */
#ifndef SLUICE_BENCH_REPORT_H
#define SLUICE_BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

struct options {
	const char *json; /* file to write, or NULL */
	const char *plot; /* file to write, or NULL */
	const char *only; /* names with commas between them, or NULL */
	unsigned rounds;
	bool quick;
	char text[512]; /* as given */
};

/*
 * Read the command line; exits with a message where it is wrong, and after --help. @names: what --only may name, NULL-terminated, or NULL when
 * the bench has no parts. @can_plot: --plot is known.
 */
void options_parse(struct options *o, int argc, char *argv[], const char *const *names,
		   bool can_plot);
/* Is @name to be measured? */
bool options_wants(const struct options *o, const char *name);

/* Kernel, CPU, commit, options and so on; a new reference. */
json_t *report_meta(const struct options *o);
/* Two lines for people. */
void report_heading(const json_t *meta);

/* A bound that the project promises. */
struct target {
	const char *what;
	double bound;
	bool at_least; /* else at most */
	double reached;
	bool measured;
};

/* Prints them; returns them as a JSON array. */
json_t *report_targets(const struct target *t, size_t n);

/* Write {"meta","rows","targets"} to o->json, if one is asked for. Takes all three. 0 or -errno, said on stderr. */
int report_write(const struct options *o, json_t *meta, json_t *rows, json_t *targets);

/* Where gnuplot takes its commands for @png, histograms by default. NULL after a message. */
FILE *report_plot_begin(const char *png);
/* 0, or -1 after a message. */
int report_plot_end(FILE *f);

/* One line on stderr that begins with the bench's name, and the exit status of a bench that could not measure. */
int report_failure(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
