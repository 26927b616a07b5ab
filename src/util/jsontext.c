/* SPDX-License-Identifier: Apache-2.0 */
#include "util/jsontext.h"

#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/quote.h"

#define QUOTED_BYTES 4 /* "\xNN" */

json_t *jsontext_string(const char *bytes)
{
	size_t n = strlen(bytes), room = QUOTED_BYTES * n + 1;
	json_t *text = json_string(bytes);
	_cleanup_free_ char *quoted = text ? NULL : malloc(room);

	if (text || !quoted)
		return text;
	quote_bytes(bytes, n, quoted, room);
	return json_string(quoted);
}

json_t *jsontext_optional(const char *bytes)
{
	return bytes ? jsontext_string(bytes) : json_null();
}

double jsontext_number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

const char *jsontext_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "?";
}

/* Not json_dumps: jansson 2.14 goes on without a key for which its buffer could not grow. */
char *jsontext_dump(const json_t *value)
{
	size_t n = value ? json_dumpb(value, NULL, 0, JSON_COMPACT) : 0;
	char *text = n ? malloc(n + 1) : NULL;

	if (!text || json_dumpb(value, text, n, JSON_COMPACT) != n) {
		free(text);
		return NULL;
	}
	text[n] = '\0';
	return text;
}
