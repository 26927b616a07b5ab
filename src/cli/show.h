/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `sluice ps` and `sluice inspect` print of the answers that they get: one line, printable, whatever a name holds.
 */
#ifndef SLUICE_CLI_SHOW_H
#define SLUICE_CLI_SHOW_H

#include <jansson.h>
#include <stddef.h>

#define SHOW_TIME_BYTES sizeof("-2147483648-12-31 23:59:59")
#define SHOW_NAME_BYTES 128

/* Seconds since 1970 as a local time. */
void show_time(double seconds, char buf[SHOW_TIME_BYTES]);
/* The string behind @key; empty where there is none. Returns its length. */
size_t show_text(const json_t *object, const char *key, char *buf, size_t size);
/* The strings of @list with blanks between them. */
void show_words(const json_t *list, char *buf, size_t size);

#endif
