/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/show.h"

#include <string.h>
#include <time.h>

#include "util/quote.h"

void show_time(double seconds, char buf[SHOW_TIME_BYTES])
{
	const time_t t = (time_t)seconds;
	struct tm tm;

	if (!localtime_r(&t, &tm) || !strftime(buf, SHOW_TIME_BYTES, "%Y-%m-%d %H:%M:%S", &tm))
		strcpy(buf, "?");
}

static size_t quoted(const json_t *string, char *buf, size_t size)
{
	const char *text = json_string_value(string);

	return quote_text(text ? text : "", text ? strlen(text) : 0, buf, size);
}

size_t show_text(const json_t *object, const char *key, char *buf, size_t size)
{
	return quoted(json_object_get(object, key), buf, size);
}

void show_words(const json_t *list, char *buf, size_t size)
{
	size_t i, at = 0;
	json_t *word;

	*buf = '\0';
	json_array_foreach(list, i, word) {
		if (at && at + 2 < size)
			buf[at++] = ' ';
		at += quoted(word, buf + at, size - at);
	}
}
