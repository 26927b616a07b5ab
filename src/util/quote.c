/* SPDX-License-Identifier: Apache-2.0 */
#include "util/quote.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ESCAPE_MAX 6 /* \u00NN */
#define CUT "..."

struct quote_style {
	const char *
		prefix; /* of a byte that is not printable; two hexadecimal digits follow, or (NULL) it is a backslash and three octal ones */
	bool escape_specials; /* backslash before backslash and double quote */
};

/* How one byte is shown. Returns the length, at most ESCAPE_MAX. */
static size_t quote_one(const struct quote_style *s, uint8_t c, char out[ESCAPE_MAX])
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	if (c >= 0x20 && c < 0x7f) {
		if (s->escape_specials && (c == '"' || c == '\\'))
			out[n++] = '\\';
		out[n++] = (char)c;
		return n;
	}
	if (!s->prefix) {
		out[n++] = '\\';
		out[n++] = digits[c >> 6];
		out[n++] = digits[c >> 3 & 7];
		out[n++] = digits[c & 7];
		return n;
	}
	n = strlen(s->prefix);
	memcpy(out, s->prefix, n);
	out[n++] = digits[c >> 4];
	out[n++] = digits[c & 15];
	return n;
}

/*
 * @safe is the last end at which the cut mark still fits, so that a text that proves too long is shortened to there.
 */
static size_t quote(const struct quote_style *s, const void *bytes, size_t n, char *buf,
		    size_t size)
{
	const uint8_t *in = bytes;
	size_t at = 0, safe = 0, mark = strlen(CUT);
	char one[ESCAPE_MAX];

	if (!size)
		return 0;
	for (size_t i = 0; i < n; i++) {
		size_t len = quote_one(s, in[i], one);

		if (at + len >= size) {
			if (mark >= size)
				mark = size - 1;
			memcpy(buf + safe, CUT, mark);
			at = safe + mark;
			break;
		}
		memcpy(buf + at, one, len);
		at += len;
		if (at + mark < size)
			safe = at;
	}
	buf[at] = '\0';
	return at;
}

size_t quote_text(const void *bytes, size_t n, char *buf, size_t size)
{
	static const struct quote_style style = { "\\x", false };

	return quote(&style, bytes, n, buf, size);
}

size_t quote_bytes(const void *bytes, size_t n, char *buf, size_t size)
{
	static const struct quote_style style = { "\\x", true };

	return quote(&style, bytes, n, buf, size);
}

size_t quote_json(const void *bytes, size_t n, char *buf, size_t size)
{
	static const struct quote_style style = { "\\u00", true };

	return quote(&style, bytes, n, buf, size);
}

size_t quote_octal(const void *bytes, size_t n, char *buf, size_t size)
{
	static const struct quote_style style = { NULL, true };

	return quote(&style, bytes, n, buf, size);
}
