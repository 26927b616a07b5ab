/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/watched.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/cleanup.h"

#define SETTLED_S \
	2 /* a file that was written so long ago shows by its time that it is written again */

bool watched_is_same(const struct stat *then, const struct stat *now)
{
	return then->st_dev == now->st_dev && then->st_ino == now->st_ino &&
	       then->st_size == now->st_size && then->st_mtim.tv_sec == now->st_mtim.tv_sec &&
	       then->st_mtim.tv_nsec == now->st_mtim.tv_nsec;
}

void watched_settle(struct stat *then)
{
	if (time(NULL) - then->st_mtim.tv_sec < SETTLED_S)
		then->st_ino = 0; /* which no file has */
}

char *watched_read(int fd, size_t size)
{
	char *text = malloc(size + 1);
	size_t done = 0;
	ssize_t n = 1;

	while (text && done < size && n > 0) {
		n = read(fd, text + done, size - done);
		done += n > 0 ? (size_t)n : 0;
	}
	if (text && n >= 0) {
		text[done] = '\0';
		return text;
	}
	free(text);
	return NULL;
}

/* Its text, and what it is now. */
static char *read_now(struct watched *w)
{
	_cleanup_close_ int fd = open(w->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *text = NULL;

	memset(&w->was, 0, sizeof(w->was));
	if (fd >= 0 && fstat(fd, &w->was) == 0 && S_ISREG(w->was.st_mode) &&
	    w->was.st_size <= (off_t)WATCHED_BYTES_MAX)
		text = watched_read(fd, (size_t)w->was.st_size);
	watched_settle(&w->was);
	return text ? text : strdup("");
}

bool watched_look(struct watched *w)
{
	struct stat now = { 0 };
	char *text;
	bool same;

	if (w->text && stat(w->path, &now) == 0 && w->was.st_ino && watched_is_same(&w->was, &now))
		return false;
	text = read_now(w);
	same = !text || (w->text && !strcmp(w->text, text));
	if (same) {
		free(text);
		return false;
	}
	free(w->text);
	w->text = text;
	return true;
}

void watched_fini(struct watched *w)
{
	free(w->text);
	w->text = NULL;
}
