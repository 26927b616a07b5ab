/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling a caller's sluice_error. Pure; nothing is allocated, so it works when memory is short.
 *
 * What the caller formats may hold bytes of a hostile file name, so everything is escaped after formatting. The reason (fail_errno) always
 * survives: when the text is too long, the part before it is cut.
 */
#define _GNU_SOURCE
#include "util/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/quote.h"

/* Formatted text is looked at up to here: more can't survive the cut to SLUICE_ERROR_TEXT_SIZE. */
#define RAW_BYTES 1024

/* Format, escape, and cut to @size bytes with the final NUL. */
static SLUICE_PRINTF(3, 0) void put(char *buf, size_t size, const char *fmt, va_list ap)
{
	char raw[RAW_BYTES];
	int n = vsnprintf(raw, sizeof(raw), fmt, ap);

	if (n < 0)
		n = 0;
	quote_text(raw, (size_t)n < sizeof(raw) ? (size_t)n : sizeof(raw) - 1, buf, size);
}

int fail(struct sluice_error *err, int negative_errno, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return negative_errno;
	err->code = -negative_errno;
	err->hint[0] = '\0';
	va_start(ap, fmt);
	put(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return negative_errno;
}

int fail_errno(struct sluice_error *err, int negative_errno, const char *fmt, ...)
{
	const char *why = strerrordesc_np(-negative_errno);
	char number[32];
	va_list ap;
	size_t room;

	if (!err)
		return negative_errno;
	if (!why) {
		snprintf(number, sizeof(number), "errno %d", -negative_errno);
		why = number;
	}
	err->code = -negative_errno;
	err->hint[0] = '\0';
	room = sizeof(err->text) - strlen(why) - strlen(": ");
	va_start(ap, fmt);
	put(err->text, room, fmt, ap);
	va_end(ap);
	strcat(err->text, ": ");
	strcat(err->text, why);
	return negative_errno;
}

int fail_hint(struct sluice_error *err, int negative_errno, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return negative_errno;
	va_start(ap, fmt);
	put(err->hint, sizeof(err->hint), fmt, ap);
	va_end(ap);
	return negative_errno;
}
