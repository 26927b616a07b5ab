/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text files that are read again when they have changed. Any thread, one at a time.
 */
#ifndef SLUICE_BUILTIN_NETWORK_WATCHED_H
#define SLUICE_BUILTIN_NETWORK_WATCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define WATCHED_BYTES_MAX (4u << 20)

struct watched {
	const char *path;
	char *text;	 /* owned; NULL: never looked at */
	struct stat was; /* when it was read; st_ino 0: read it again next time */
};

/* Read it where it may be another one than it was. True: the text is another one; what can't be read is empty. */
bool watched_look(struct watched *w);
void watched_fini(struct watched *w);

/* Was the file changed between @then and @now? Where @then was within 2 s of a change nobody can say: then watched_settle makes it differ from all that comes. */
bool watched_is_same(const struct stat *then, const struct stat *now);
void watched_settle(struct stat *then);
/* The first @size bytes of @fd, with a NUL behind them, the caller's; NULL: they can't be had. */
char *watched_read(int fd, size_t size);

#endif
