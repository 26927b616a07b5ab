/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/cwd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORIES_MAX 1024u

/*
 * The limit's value: a mark far above any time, then a number that tells this table from others (a sandbox inside of a job that ran in another
 * one), then the index.
 */
#define MARK (UINT64_C(1) << 62)
#define INDEX_BITS 16
#define INDEX_MASK ((UINT64_C(1) << INDEX_BITS) - 1)

struct directory {
	int fd; /* -1: free */
	dev_t dev;
	ino_t ino;
	bool live; /* while a sweep runs */
	_Atomic unsigned
		borrowed; /* raised under the lock, lowered by release; a sweep's acquire comes before the close */
};

struct cwd_table {
	pthread_mutex_t lock; /* guards all below */
	uint64_t key;
	struct directory directories[DIRECTORIES_MAX]; /* [0]: where the command started */
};

struct cwd_table *cwd_table_new(int initial)
{
	struct cwd_table *t = calloc(1, sizeof(*t));
	uint32_t random = 0;

	if (!t) {
		close(initial);
		return NULL;
	}
	pthread_mutex_init(&t->lock, NULL);
	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint32_t)getpid();
	t->key = MARK | (uint64_t)random << INDEX_BITS;
	for (unsigned i = 0; i < DIRECTORIES_MAX; i++)
		t->directories[i].fd = -1;
	t->directories[0].fd = initial;
	return t;
}

struct cwd_table *cwd_table_free(struct cwd_table *t)
{
	if (!t)
		return NULL;
	for (unsigned i = 0; i < DIRECTORIES_MAX; i++) {
		if (t->directories[i].fd >= 0)
			close(t->directories[i].fd);
	}
	pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}

/* The index that process @pid carries; 0 when it carries none of ours. */
static int index_of(const struct cwd_table *t, pid_t pid)
{
	struct rlimit limit;

	if (prlimit(pid, RLIMIT_RTTIME, NULL, &limit) < 0)
		return -errno;
	if ((limit.rlim_cur & ~INDEX_MASK) != t->key)
		return 0;
	return (int)(limit.rlim_cur & INDEX_MASK);
}

int cwd_limit(const struct cwd_table *t, pid_t pid, struct rlimit *ret)
{
	if (prlimit(pid, RLIMIT_RTTIME, NULL, ret) < 0)
		return -errno;
	if ((ret->rlim_cur & ~INDEX_MASK) == t->key)
		ret->rlim_cur = ret->rlim_max;
	return 0;
}

int cwd_borrow(struct cwd_table *t, pid_t pid, int *ret_place)
{
	int fd, i = index_of(t, pid);

	if (i < 0)
		return i;
	if (i >= (int)DIRECTORIES_MAX)
		return -EACCES;
	pthread_mutex_lock(&t->lock);
	fd = t->directories[i].fd;
	if (fd >= 0) {
		atomic_fetch_add_explicit(&t->directories[i].borrowed, 1, memory_order_relaxed);
		*ret_place = i;
	}
	pthread_mutex_unlock(&t->lock);
	return fd < 0 ? -EACCES : fd;
}

void cwd_return(struct cwd_table *t, int place)
{
	atomic_fetch_sub_explicit(&t->directories[place].borrowed, 1, memory_order_release);
}

int cwd_get(struct cwd_table *t, pid_t pid)
{
	int place, fd = cwd_borrow(t, pid, &place);

	if (fd < 0)
		return fd;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		fd = -errno;
	cwd_return(t, place);
	return fd;
}

/* Drop the directories that no process has. A process that forks meanwhile hands on what it has itself, so none is missed. */
static void sweep_locked(struct cwd_table *t)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (!proc)
		return;
	for (unsigned i = 0; i < DIRECTORIES_MAX; i++)
		t->directories[i].live = i == 0;
	/* twice: the number of a child made during the first pass may lie before the place where its parent was seen to move */
	for (int pass = 0; pass < 2; pass++) {
		while ((entry = readdir(proc))) {
			long pid = strtol(entry->d_name, NULL, 10);
			int i = pid > 0 ? index_of(t, (pid_t)pid) : 0;

			if (i > 0 && i < (int)DIRECTORIES_MAX)
				t->directories[i].live = true;
		}
		rewinddir(proc);
	}
	closedir(proc);
	for (unsigned i = 0; i < DIRECTORIES_MAX; i++) {
		struct directory *d = &t->directories[i];

		if (!d->live && d->fd >= 0 &&
		    !atomic_load_explicit(&d->borrowed, memory_order_acquire)) {
			close(d->fd);
			d->fd = -1;
		}
	}
}

/* The index of the directory, or a free one; -1 when none is free. */
static int find_locked(const struct cwd_table *t, const struct stat *st, bool *ret_known)
{
	int free_one = -1;

	*ret_known = false;
	for (unsigned i = 1; i < DIRECTORIES_MAX; i++) {
		const struct directory *d = &t->directories[i];

		if (d->fd < 0) {
			if (free_one < 0)
				free_one = (int)i;
		} else if (d->ino == st->st_ino && d->dev == st->st_dev) {
			*ret_known = true;
			return (int)i;
		}
	}
	return free_one;
}

/* Put @fd (consumed) into the table. Returns its index or -ENFILE. */
static int enter_locked(struct cwd_table *t, int fd, const struct stat *st)
{
	bool known;
	int i = find_locked(t, st, &known);

	if (i < 0) {
		sweep_locked(t);
		i = find_locked(t, st, &known);
	}
	if (i < 0 || known)
		close(fd);
	else
		t->directories[i] =
			(struct directory){ .fd = fd, .dev = st->st_dev, .ino = st->st_ino };
	return i < 0 ? -ENFILE : i;
}

int cwd_set(struct cwd_table *t, pid_t pid, int fd)
{
	struct rlimit limit;
	struct stat st;
	int r = fstat(fd, &st) < 0 ? -errno : 0;

	if (r == 0 && prlimit(pid, RLIMIT_RTTIME, NULL, &limit) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	pthread_mutex_lock(&t->lock);
	r = enter_locked(t, fd, &st);
	if (r > 0) { /* under the lock: a sweep must see it carried */
		limit.rlim_cur = t->key | (uint64_t)r;
		r = prlimit(pid, RLIMIT_RTTIME, &limit, NULL) < 0 ? -errno : 0;
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}
