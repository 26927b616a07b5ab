/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quoting of any bytes into any room: printable, never longer, and without loss where nothing was cut. See fuzz.h.
 */
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "fuzz.h"
#include "util/fail.h"
#include "util/quote.h"

#define ROOM_MAX 65536u

typedef size_t (*quote_fn)(const void *bytes, size_t n, char *buf, size_t size);

/* Returns the length; checks what holds for each style. */
static size_t quoted(quote_fn quote, const uint8_t *data, size_t size, char *buf, size_t room)
{
	size_t n;

	memset(buf, '\n', room + 1);
	n = quote(data, size, buf, room);
	CHECK(buf[room] == '\n'); /* not a byte more */
	if (!room) {
		CHECK(n == 0);
		return 0;
	}
	CHECK(n < room && buf[n] == '\0');
	for (size_t i = 0; i < n; i++)
		CHECK(buf[i] >= 0x20 && buf[i] < 0x7f);
	return n;
}

static unsigned hex(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

/* quote_bytes read backwards. */
static void check_lossless(const char *text, const uint8_t *data, size_t size)
{
	size_t n = 0;

	for (const char *c = text; *c; c++) {
		unsigned byte = (unsigned char)*c;

		if (*c == '\\' && c[1] == 'x') {
			byte = hex(c[2]) << 4 | hex(c[3]);
			c += 3;
		} else if (*c == '\\') {
			byte = (unsigned char)*++c;
		}
		CHECK(n < size && data[n] == byte);
		n++;
	}
	CHECK(n == size);
}

static void check_json(const char *text, const uint8_t *data, size_t size)
{
	static char document[ROOM_MAX + 8];
	size_t at = 0;
	json_t *s;

	snprintf(document, sizeof(document), "[\"%s\"]", text);
	s = json_loads(document, JSON_ALLOW_NUL, NULL);
	CHECK(s);
	/* one code point a byte, in UTF-8 */
	for (const char *c = json_string_value(json_array_get(s, 0)); at < size; at++, c++) {
		unsigned code = (unsigned char)*c;

		if (code >= 0x80)
			code = (code & 3) << 6 | ((unsigned char)*++c & 0x3f);
		CHECK(code == data[at]);
	}
	json_decref(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const quote_fn styles[] = { quote_text, quote_bytes, quote_json };
	static char buf[ROOM_MAX + 1];
	size_t room = size ? data[0] % 64u : 0;
	struct sluice_error err;

	if (size > 4096)
		size = 4096;
	for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++) {
		char one[8];

		quoted(styles[i], data, size, buf, room);
		/* cut to nothing else than "..." at its end */
		if (room > 8 && quoted(styles[i], data, size, buf, room) + 1 == room)
			CHECK(buf[0]);
		quoted(styles[i], data, size ? 1 : 0, one, sizeof(one) - 1);
	}
	quoted(quote_bytes, data, size, buf, ROOM_MAX);
	check_lossless(buf, data, size);
	quoted(quote_json, data, size, buf, ROOM_MAX);
	check_json(buf, data, size);
	/* errors for people are of the same make */
	CHECK(fail_errno(&err, -2, "%.*s", (int)size, (const char *)data) == -2);
	CHECK(strlen(err.text) < sizeof(err.text) && err.code == 2);
	for (const char *c = err.text; *c; c++)
		CHECK(*c >= 0x20 && *c < 0x7f);
	CHECK(strstr(err.text, "No such file"));
	return 0;
}
