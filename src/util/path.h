/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts of canonical paths against each other: no "..", no doubled and no last slash.
 */
#ifndef SLUICE_UTIL_PATH_H
#define SLUICE_UTIL_PATH_H

#include <stdbool.h>
#include <string.h>

/* Is @path strictly below @dir? Both are relative to one root, which is "". */
static inline bool path_is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return n == 0 || (!strncmp(path, dir, n) && path[n] == '/');
}

/* Is @path @dir, or below it? All absolute ones are below "/". */
static inline bool path_is_within(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (n == 1 && *dir == '/')
		return *path == '/';
	return !strncmp(path, dir, n) && (path[n] == '/' || path[n] == '\0');
}

#endif
