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
 * one), then the umask, if it was changed, then the index.
 */
#define MARK (UINT64_C(1) << 62)
#define INDEX_BITS 16
#define INDEX_MASK ((UINT64_C(1) << INDEX_BITS) - 1)
#define UMASK_BITS 9
#define UMASK_MASK (((UINT64_C(1) << UMASK_BITS) - 1) << INDEX_BITS)
#define UMASK_SET (UINT64_C(1) << (INDEX_BITS + UMASK_BITS))
#define KEY_SHIFT (INDEX_BITS + UMASK_BITS + 1)
#define KEY_MASK (~((UINT64_C(1) << KEY_SHIFT) - 1))

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
	mode_t umask; /* set before any process begins, constant from then on */
	_Atomic bool umasks_unknown;
	struct directory directories[DIRECTORIES_MAX]; /* [0]: where the command started */
};

int cwd_check_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_RTTIME, &limit) < 0)
		return -errno;
	return limit.rlim_max == RLIM_INFINITY ? 0 : -EPERM;
}

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
	t->key = MARK | (uint64_t)random << KEY_SHIFT;
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

static bool is_ours(const struct cwd_table *t, uint64_t value)
{
	return (value & KEY_MASK) == t->key;
}

/* The value that process @pid carries, without the key; 0 when it carries none of ours. */
static int64_t carried(const struct cwd_table *t, pid_t pid)
{
	struct rlimit limit;

	if (prlimit(pid, RLIMIT_RTTIME, NULL, &limit) < 0)
		return -errno;
	return is_ours(t, limit.rlim_cur) ? (int64_t)(limit.rlim_cur & ~KEY_MASK) : 0;
}

/* The part @mask of what process @pid carries is @value from now on. Under the lock, since the rest stays. */
static int carry_locked(const struct cwd_table *t, pid_t pid, uint64_t mask, uint64_t value)
{
	struct rlimit limit;
	uint64_t rest;

	if (prlimit(pid, RLIMIT_RTTIME, NULL, &limit) < 0)
		return -errno;
	rest = is_ours(t, limit.rlim_cur) ? limit.rlim_cur & ~KEY_MASK : 0;
	limit.rlim_cur = t->key | (rest & ~mask) | value;
	return prlimit(pid, RLIMIT_RTTIME, &limit, NULL) < 0 ? -errno : 0;
}

/* The index that process @pid carries. */
static int index_of(const struct cwd_table *t, pid_t pid)
{
	int64_t value = carried(t, pid);

	return value < 0 ? (int)value : (int)((uint64_t)value & INDEX_MASK);
}

void cwd_begin_umask(struct cwd_table *t, mode_t mask)
{
	t->umask = mask;
}

int cwd_umask(struct cwd_table *t, pid_t pid)
{
	int64_t value;

	if (atomic_load_explicit(&t->umasks_unknown, memory_order_relaxed))
		return -ENODATA;
	value = carried(t, pid);
	if (value < 0)
		return (int)value;
	return (uint64_t)value & UMASK_SET ? (int)(((uint64_t)value & UMASK_MASK) >> INDEX_BITS)
					   : (int)t->umask;
}

void cwd_set_umask(struct cwd_table *t, pid_t pid, mode_t mask)
{
	int r;

	pthread_mutex_lock(&t->lock);
	r = carry_locked(t, pid, UMASK_MASK | UMASK_SET, UMASK_SET | (uint64_t)mask << INDEX_BITS);
	pthread_mutex_unlock(&t->lock);
	if (r < 0 && r != -ESRCH)
		atomic_store_explicit(&t->umasks_unknown, true, memory_order_relaxed);
}

int cwd_limit(const struct cwd_table *t, pid_t pid, struct rlimit *ret)
{
	if (prlimit(pid, RLIMIT_RTTIME, NULL, ret) < 0)
		return -errno;
	if (is_ours(t, ret->rlim_cur))
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
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	pthread_mutex_lock(&t->lock);
	r = enter_locked(t, fd, &st);
	if (r > 0) /* under the lock: a sweep must see it carried */
		r = carry_locked(t, pid, INDEX_MASK, (uint64_t)r);
	pthread_mutex_unlock(&t->lock);
	return r;
}
