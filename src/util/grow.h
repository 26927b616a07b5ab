/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists that double as they fill. Any thread, for lists of its own.
 */
#ifndef SLUICE_UTIL_GROW_H
#define SLUICE_UTIL_GROW_H

#include <stddef.h>
#include <stdlib.h>

#define GROW_FIRST 64u

/*
 * Room for one item more than the @n of @each bytes that @list has; there is some for *@room of them, NULL and 0 at first. Returns the list, which may have moved; NULL: no
 * memory, and @list is as it was.
 */
static inline void *grow_list(void *list, size_t n, size_t *room, size_t each)
{
	size_t wider = *room ? 2 * *room : GROW_FIRST;
	void *grown;

	if (n < *room)
		return list;
	grown = reallocarray(list, wider, each);
	if (grown)
		*room = wider;
	return grown;
}

#endif
