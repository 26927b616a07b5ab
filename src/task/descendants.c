/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "task/descendants.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/pidfd.h"
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

unsigned descendants_threads(pid_t pid)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	if (stat(path, &st) < 0)
		return 0;
	return st.st_nlink > 2 ? (unsigned)st.st_nlink - 2 : 1;
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

/* What the thread behind @name, TID/children or a path to it, has started or was left. */
static int add_children_of_thread(struct found *f, int dir, const char *name)
{
	char text[TEXT_BYTES];
	pid_t pid = 0;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC), r = 0;
	ssize_t n;

	if (fd < 0)
		return 0; /* it has ended */
	while (r == 0 && (n = read(fd, text, sizeof(text))) > 0)
		r = add_numbers(f, text, (size_t)n, &pid);
	close(fd);
	return r;
}

static int add_children_of_all(struct found *f, const char *path)
{
	char name[32];
	struct dirent *e;
	DIR *d = opendir(path);
	int r = 0;

	if (!d)
		return errno == ENOMEM ? -ENOMEM : 0;
	while (r == 0 && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%.20s/children", e->d_name);
		r = add_children_of_thread(f, dirfd(d), name);
	}
	closedir(d);
	return r;
}

static int add_children(struct found *f, pid_t pid)
{
	char path[64];
	unsigned threads = descendants_threads(pid);

	if (!threads)
		return 0;
	if (threads == 1) { /* as most have: no list of them is read */
		snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
		return add_children_of_thread(f, AT_FDCWD, path);
	}
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	return add_children_of_all(f, path);
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

static int has_thread(pid_t pid, void *tid)
{
	return thread_is_of(*(const pid_t *)tid, pid);
}

int descendants_check_thread(pid_t top, pid_t tid)
{
	int r = descendants_each(top, has_thread, &tid);

	if (r < 0)
		return r;
	if (r > 0)
		return 0;
	return syscall(SYS_tkill, tid, 0) < 0 && errno == ESRCH ? -ESRCH : -EPERM;
}
