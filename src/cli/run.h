/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of `sluice run`: what its files share. All of it belongs to the main thread.
 */
#ifndef SLUICE_CLI_RUN_H
#define SLUICE_CLI_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <sluice/sluice.h>

#include "cli/options.h"

/* What the flags asked for; descriptors are -1 where there is none. */
struct run {
	struct sluice_policy *policy;
	bool grants;		/* -r or -w was given */
	const char *exec_shell; /* borrowed from argv, as the other strings */
	const char *trace;	/* FILE, "-", or NULL */
	bool stats;
	const char *stats_file; /* NULL: text to stderr */
	const char *timeout;	/* as it was written */
	const char **plugins;	/* FILE[:ARGS] */
	size_t n_plugins;
	const char *name; /* as given, or NULL */
	int status_fd;
	int trace_fd, stats_fd;
	bool quiet, verbose;
};

/* run_options.c */
extern const struct option_table run_options;
int run_init(struct run *r, struct sluice_error *err);
void run_fini(struct run *r);

/* report.c: what is said at the end. @s may be NULL with @error: nothing ran. */
void report_status(const struct run *r, const char *name, const struct sluice_result *result,
		   const struct sluice_error *error);
/* How a sandbox ended as one word. */
const char *report_end(const struct sluice_result *result);
int report_stats(const struct run *r, struct sluice_sandbox *s, const struct sluice_result *result,
		 struct sluice_error *err);

#endif
