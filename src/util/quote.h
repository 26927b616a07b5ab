/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte strings (file names, arguments) made safe to print: one line, printable ASCII.
 *
 * Each writes at most @size bytes with the final NUL, never half an escape, ends with "..." when the text was cut, and returns the
 * length written. @size 0 writes nothing and returns 0. Pure; any thread.
 */
#ifndef SLUICE_UTIL_QUOTE_H
#define SLUICE_UTIL_QUOTE_H

#include <stddef.h>

/* For sentences: what is not printable ASCII becomes \xNN, all else stays, backslash and quotes included. */
size_t quote_text(const void *bytes, size_t n, char *buf, size_t size);
/* For between double quotes, without loss: also \\ and \". */
size_t quote_bytes(const void *bytes, size_t n, char *buf, size_t size);
/* For between the double quotes of a JSON string: \\, \", and \u00NN where the byte is not printable ASCII (one code point a byte). */
size_t quote_json(const void *bytes, size_t n, char *buf, size_t size);
/* For between the double quotes of a name in a patch: \\, \", and \NNN in octal. */
size_t quote_octal(const void *bytes, size_t n, char *buf, size_t size);

#endif
