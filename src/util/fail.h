/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling a caller's sluice_error.
 */
#ifndef SLUICE_UTIL_FAIL_H
#define SLUICE_UTIL_FAIL_H

#include <sluice/error.h>

/*
 * Set @err (may be NULL) to the printf-style text, hint cleared, and return @negative_errno, so that callers write
 * `return fail(err, -EINVAL, "--workers: %s: ...", arg);`. Bytes that are not printable ASCII are escaped as \xNN; text that is too long is cut.
 * When the text ends in ": %m"-like need, write fail_errno, which appends ": " and the error's message.
 */
int fail(struct sluice_error *err, int negative_errno, const char *fmt, ...) SLUICE_PRINTF(3, 4);
int fail_errno(struct sluice_error *err, int negative_errno, const char *fmt, ...)
	SLUICE_PRINTF(3, 4);
/* Add the line that says what to do. Returns @negative_errno. */
int fail_hint(struct sluice_error *err, int negative_errno, const char *fmt, ...)
	SLUICE_PRINTF(3, 4);

#endif
