/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between bytes and jansson's values, where jansson alone falls short. Any thread.
 */
#ifndef SLUICE_UTIL_JSONTEXT_H
#define SLUICE_UTIL_JSONTEXT_H

#include <jansson.h>

/* @bytes as a string. JSON is text: where they are no UTF-8 each byte that is not printable ASCII is shown as \xNN. NULL: no memory. */
json_t *jsontext_string(const char *bytes);
/* The same, and null for NULL. */
json_t *jsontext_optional(const char *bytes);
/* The number behind @key of @object, 0 where there is none; and the string, "?". */
double jsontext_number(const json_t *object, const char *key);
const char *jsontext_text(const json_t *object, const char *key);
/* All of @value in one line, for free(); NULL: it is NULL, or there is no memory. */
char *jsontext_dump(const json_t *value);

#endif
