/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "task/descendants.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/grow.h"

#define TEXT_BYTES 4096

struct found {
	pid_t *pids;
	size_t n, room;
};

int descendants_check(void)
{
	return access("/proc/thread-self/children", R_OK) < 0 ? -errno : 0;
}

static int found_add(struct found *f, pid_t pid)
{
	pid_t *grown = grow_list(f->pids, f->n, &f->room, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	f->pids = grown;
	f->pids[f->n++] = pid;
	return 0;
}

/* The numbers in @text, each followed by a blank; *@pid holds what a piece begins of one that the next piece ends. */
static int add_numbers(struct found *f, const char *text, size_t size, pid_t *pid)
{
	for (size_t i = 0; i < size; i++) {
		if (text[i] >= '0' && text[i] <= '9') {
			*pid = 10 * *pid + (text[i] - '0');
			continue;
		}
		if (*pid && found_add(f, *pid) < 0)
			return -ENOMEM;
		*pid = 0;
	}
	return 0;
}

static int add_children_of_thread(struct found *f, int task_fd, const char *tid)
{
	char name[32], text[TEXT_BYTES];
	pid_t pid = 0;
	int fd, r = 0;
	ssize_t n;

	snprintf(name, sizeof(name), "%.20s/children", tid);
	fd = openat(task_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0; /* it has ended */
	while (r == 0 && (n = read(fd, text, sizeof(text))) > 0)
		r = add_numbers(f, text, (size_t)n, &pid);
	close(fd);
	return r;
}

static int add_children(struct found *f, pid_t pid)
{
	char path[32];
	struct dirent *e;
	DIR *d;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	if (!d)
		return errno == ENOMEM ? -ENOMEM : 0;
	while (r == 0 && (e = readdir(d))) {
		if (e->d_name[0] != '.')
			r = add_children_of_thread(f, dirfd(d), e->d_name);
	}
	closedir(d);
	return r;
}

int descendants_each(pid_t top, int (*fn)(pid_t pid, void *arg), void *arg)
{
	struct found f = { 0 };
	int sum = 0, r = add_children(&f, top);

	for (size_t i = 0; r == 0 && i < f.n; i++) {
		sum += fn(f.pids[i], arg);
		r = add_children(&f, f.pids[i]);
	}
	free(f.pids);
	return r < 0 ? r : sum;
}
