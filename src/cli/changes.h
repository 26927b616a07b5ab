/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the changes of a branch are written down: "A path" lines with odd names quoted, NUL-terminated records, or one JSON array.
 */
#ifndef SLUICE_CLI_CHANGES_H
#define SLUICE_CLI_CHANGES_H

#include <stdio.h>

#include <sluice/cow.h>

enum changes_format {
	CHANGES_LINES,
	CHANGES_NUL,
	CHANGES_JSON
};

/* All changes of @cow to @out. 0 or a negative errno with @err. */
int changes_write(struct sluice_cow *cow, enum changes_format format, FILE *out,
		  struct sluice_error *err);

#endif
