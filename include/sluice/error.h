/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for people about a failure.
 *
 * Every call that can fail for a reason worth a sentence takes a `struct sluice_error *` that the caller
 * owns (on its stack, say) and may be NULL. It is written only on failure. The call's return value is always
 * the negative errno; `code` repeats it as a positive number.
 */
#ifndef SLUICE_ERROR_H
#define SLUICE_ERROR_H

#include <sluice/export.h>

SLUICE_BEGIN_DECLS

#define SLUICE_ERROR_TEXT_SIZE 512
#define SLUICE_ERROR_HINT_SIZE 256

/*
 * code: positive errno value, 0 when nothing was reported.
 * text: one line, NUL-terminated, no newline: "what: which path, rule or call: why". Bytes that are not printable
 *       ASCII are shown as \xNN, so that a hostile file name can't write to a terminal or forge a line.
 * hint: one line that says what to do about it; may be empty.
 */
struct sluice_error {
	int code;
	char text[SLUICE_ERROR_TEXT_SIZE];
	char hint[SLUICE_ERROR_HINT_SIZE];
};

SLUICE_END_DECLS

#endif
