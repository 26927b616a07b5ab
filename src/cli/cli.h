/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the subcommands share. The command uses the public library and src/util only; everything here runs on the main thread.
 */
#ifndef SLUICE_CLI_CLI_H
#define SLUICE_CLI_CLI_H

#include <sluice/error.h>

#include "cli/options.h"

/* Exit statuses of our own, as env(1) and timeout(1) have them. */
enum cli_status {
	CLI_OK = 0,
	CLI_TIMEOUT = 124,
	CLI_FAILURE = 125,	  /* we could not run it */
	CLI_NOT_EXECUTABLE = 126, /* it is there, but exec refused it */
	CLI_NOT_FOUND = 127,
};

/* "sluice: TEXT" on stderr, and the hint on a line of its own where there is one and @hint. */
void cli_print_error(const struct sluice_error *err, bool hint);
/* The same with hints. Returns CLI_FAILURE. */
int cli_fail(const struct sluice_error *err);

/* A subcommand: argv[0] is its name; returns the exit status. */
typedef int (*cli_main_fn)(int argc, char *argv[]);
int cli_run(int argc, char *argv[]);
int cli_check(int argc, char *argv[]);
int cli_ps(int argc, char *argv[]);
int cli_inspect(int argc, char *argv[]);
int cli_kill(int argc, char *argv[]);
int cli_cow(int argc, char *argv[]);
/* Their help, on stdout. */
void cli_run_help(void);
void cli_check_help(void);
void cli_ps_help(void);
void cli_inspect_help(void);
void cli_kill_help(void);
void cli_cow_help(void);

#endif
