/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flags of a subcommand as one table, from which both parsing and --help come, so that the two can't differ.
 *
 * Accepted: --name, --name=VALUE, --name VALUE, -n, -nVALUE, -n VALUE, and short flags without a value joined (-ab). Names are not abbreviated.
 * A flag that may be repeated hands over each value; of the others the last one wins. Flags end at "--" or at the first word that is no flag.
 * Pure; fails with -EINVAL and an error that names the flag.
 */
#ifndef SLUICE_CLI_OPTIONS_H
#define SLUICE_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <sluice/error.h>

/*
 * name:     without dashes.
 * letter:   short form, or 0.
 * value:    what the help calls the value; NULL: the flag has none.
 * optional: the value may be left out: --name=VALUE, or --name VALUE if a "--" comes later. @set gets NULL then.
 * initial:  the default as the help shows it.
 * set:      takes the value (NULL without one). Returns 0, or a negative errno and @err; the flag's name is put before its text.
 * on:       without a set: where in the target a bool is that becomes true.
 */
struct option_entry {
	const char *name;
	char letter;
	bool repeat;
	bool optional;
	const char *value;
	const char *initial;
	const char *help;
	int (*set)(void *target, const char *value, struct sluice_error *err);
	size_t on;
};

struct option_table {
	const char *command; /* for hints: "run" */
	const struct option_entry *entries;
	size_t n;
};

/*
 * Parse argv[1 ...], calling the setters on @target in the order of the words. Returns the index of the first word that is no flag
 * ("--" passed over; argc when there is none).
 */
int options_parse(const struct option_table *t, int argc, char *const argv[], void *target,
		  struct sluice_error *err);
/* The list of flags, wrapped to 80 columns. */
void options_help(const struct option_table *t, FILE *out);

#endif
