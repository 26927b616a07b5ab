/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of `sluice run`: what its files share. All of it belongs to the main thread.
 */
#ifndef SLUICE_CLI_RUN_H
#define SLUICE_CLI_RUN_H

#include <stdbool.h>

#include <sluice/sluice.h>

#include "cli/options.h"
#include "cli/plugins.h"

/* What the flags asked for. Strings are borrowed from argv; descriptors are -1 where there is none. */
struct run {
	struct sluice_policy *policy;
	bool grants; /* -r or -w was given */
	const char *exec_shell;
	const char *name;
	const char *timeout;
	const char *trace; /* FILE, or "-": stderr */
	bool stats;
	const char *stats_file; /* NULL: text on stderr */
	const char **plugin_specs;
	size_t n_plugin_specs;
	int status_number; /* as given */
	bool quiet, verbose;
	bool dry_run, json, nul; /* of copy-on-write */
	bool workdir, branch;

	/* opened by run.c; CLOEXEC */
	struct plugins plugins;
	int status_fd, trace_fd, stats_fd;
};

/* run_options.c: --durability, of `sluice cow` too. */
int parse_durability(const char *value, enum sluice_durability *ret, struct sluice_error *err);

/* cow_report.c: settle the branch of @s, which has ended with @result, and say what is to be said. Returns the exit status. */
int report_branch(const struct run *r, struct sluice_sandbox *s,
		  const struct sluice_result *result);

/* run_options.c */
extern const struct option_table run_options;
int run_init(struct run *r, struct sluice_error *err);
void run_fini(struct run *r);

/*
 * report.c: to --status-fd, where there is one: how it ended, or that and why nothing ran. A reader that is gone is no failure.
 */
void report_status(const struct run *r, const char *name, const struct sluice_result *result);
void report_failure(const struct run *r, int status, const struct sluice_error *err);
/* How it ended in one word. */
const char *report_end(const struct sluice_result *result);
/* What supervision cost, to stats_fd. */
int report_stats(const struct run *r, struct sluice_sandbox *s, const struct sluice_result *result,
		 struct sluice_error *err);

#endif
