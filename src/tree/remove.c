/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/remove.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/dir.h"
#include "sys/fd.h"

/* A directory that waits to be removed. */
struct lifted {
	struct lifted *next;
	char name[];
};

static bool wait_for_removal(struct lifted **list, const char *name)
{
	struct lifted *l = malloc(sizeof(*l) + strlen(name) + 1);

	if (!l)
		return false;
	strcpy(l->name, name);
	l->next = *list;
	*list = l;
	return true;
}

/* A directory of the task's that its owner may not list, or write. Whatever else has the name by now is left alone. */
static void let_in(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char link[FD_LINK_BYTES];

	if (fd < 0)
		return;
	chmod(fd_link(fd, link), 0700);
	close(fd);
}

static DIR *open_to_empty(int dir_fd, const char *name)
{
	struct stat st;
	DIR *d;
	int r = dir_open(dir_fd, name, O_NOFOLLOW, &d);

	if (r == -EACCES) {
		let_in(dir_fd, name);
		r = dir_open(dir_fd, name, O_NOFOLLOW, &d);
	}
	if (r < 0)
		return NULL;
	/* or not search or write */
	if (fstat(dirfd(d), &st) == 0 && (st.st_mode & 0700) != 0700)
		fchmod(dirfd(d), 0700);
	return d;
}

#define LIFT_ATTEMPTS 1000u
#define LIFTED_BYTES 24

/* Where the tree has directories of such names itself, another number is free. */
static int move_to_top(int from, const char *name, int top, char lifted[LIFTED_BYTES])
{
	static _Atomic unsigned n_lifted;
	int r = -EEXIST;

	for (unsigned i = 0;
	     i < LIFT_ATTEMPTS && (r == -EEXIST || r == -ENOTEMPTY || r == -ENOTDIR); i++) {
		snprintf(lifted, LIFTED_BYTES, "#x%x.%x", (unsigned)getpid(),
			 atomic_fetch_add(&n_lifted, 1));
		r = renameat(from, name, top, lifted) < 0 ? -errno : 0;
	}
	return r;
}

/*
 * A directory with something in it waits at the @top of the tree under a name of its own, so that no depth needs a descriptor each; there it is, too, for whoever goes on after a crash.
 */
static void lift(int from, const char *name, int top, struct lifted **list)
{
	char lifted[LIFTED_BYTES];
	int r = move_to_top(from, name, top, lifted);

	if (r == -EACCES) {
		/* a directory that may not be written itself cannot have its ".." changed */
		let_in(from, name);
		r = move_to_top(from, name, top, lifted);
	}
	if (r == 0)
		wait_for_removal(list, lifted);
}

static bool remove_one(int dir_fd, const char *name)
{
	return unlinkat(dir_fd, name, 0) == 0 || unlinkat(dir_fd, name, AT_REMOVEDIR) == 0;
}

static void remove_dir(int top, const char *name, struct lifted **list)
{
	const struct dirent *below;
	DIR *d = open_to_empty(top, name);

	while (d && (below = dir_next(d))) {
		if (!remove_one(dirfd(d), below->d_name))
			lift(dirfd(d), below->d_name, top, list);
	}
	if (d)
		closedir(d);
	unlinkat(top, name, AT_REMOVEDIR);
}

void remove_tree(int dir_fd, const char *name)
{
	struct lifted *list = NULL, *l;
	const struct dirent *below;
	DIR *top;

	if (remove_one(dir_fd, name))
		return;
	top = open_to_empty(dir_fd, name);
	while (top && (below = dir_next(top))) {
		if (!remove_one(dirfd(top), below->d_name))
			wait_for_removal(&list, below->d_name);
	}
	while ((l = list)) {
		list = l->next;
		remove_dir(dirfd(top), l->name, &list);
		free(l);
	}
	if (top)
		closedir(top);
	unlinkat(dir_fd, name, AT_REMOVEDIR);
}
