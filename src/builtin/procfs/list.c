/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listings: directories of ours that hold names and nothing else.
 *
 *	PARENT/RANDOM/pN	/proc, as it was at the Nth open of it that found other processes than the one before
 *	PARENT/RANDOM/cpu	the CPUs' directory in sysfs
 *
 * Reading one is native. What is opened relative to one is looked for in the directory that it stands for. Entries are made in the
 * order in which they are to be listed, last one first, which is the order in which tmpfs gives them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin/procfs/internal.h"
#include "sys/dir.h"
#include "sys/fd.h"
#include "sys/openat2.h"
#include "util/cleanup.h"
#include "util/grow.h"

/* Listings of /proc that exist at a time: who reads one is not to find it emptied by the next few. */
#define KEPT 32u

struct listings {
	pthread_mutex_t lock;
	int parent; /* borrowed; -1 */
	int dir; /* O_PATH descriptor of our directory in it; -1: not made yet; guarded by lock */
	char name[24], path[PATH_MAX]; /* of dir; constant once `made` */
	dev_t dev;		       /* as well */
	_Atomic bool made; /* release: name, path and dev are set; acquire by who looks at them */
	unsigned
		newest; /* directory "pN" is the last listing of /proc; 0: there is none; guarded by lock */
	pid_t *pids; /* that it holds; guarded by lock */
	size_t n_pids;
};

/* ---- life ---- */

struct listings *listings_new(void)
{
	struct listings *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	l->parent = l->dir = -1;
	return l;
}

void listings_allow(struct listings *l, int parent)
{
	l->parent = parent;
}

bool listings_are_made(const struct ownproc *o)
{
	/* acquire: pairs with make_dir_locked */
	return atomic_load_explicit(&o->listings->made, memory_order_acquire);
}

bool listings_may_have(const struct ownproc *o, const struct stat *st)
{
	return listings_are_made(o) && S_ISDIR(st->st_mode) && st->st_dev == o->listings->dev;
}

/* With what is in it: one level of empty directories, files and links. */
static void remove_listing(int at, const char *name)
{
	const struct dirent *e;
	DIR *d;

	if (dir_open(at, name, O_NOFOLLOW, &d) < 0)
		return;
	while ((e = dir_next(d)))
		unlinkat(dirfd(d), e->d_name, e->d_type == DT_DIR ? AT_REMOVEDIR : 0);
	closedir(d);
	unlinkat(at, name, AT_REMOVEDIR);
}

static void proc_name(unsigned number, char name[24])
{
	snprintf(name, 24, "p%u", number);
}

struct listings *listings_free(struct listings *l)
{
	char name[24];

	if (l->dir >= 0) {
		remove_listing(l->dir, "cpu");
		for (unsigned i = 0; i < KEPT && i < l->newest; i++) {
			proc_name(l->newest - i, name);
			remove_listing(l->dir, name);
		}
		close(l->dir);
		unlinkat(l->parent, l->name, AT_REMOVEDIR);
	}
	free(l->pids);
	pthread_mutex_destroy(&l->lock);
	free(l);
	return NULL;
}

/* Keep what is known of our directory @dir. */
static int note_dir_locked(struct listings *l, int dir)
{
	ssize_t n = fd_path(dir, l->path, sizeof(l->path));
	struct stat st;

	if (n < 0)
		return (int)n;
	if (fstat(dir, &st) < 0)
		return -errno;
	l->dev = st.st_dev;
	return 0;
}

static int make_dir_locked(struct listings *l)
{
	_cleanup_close_ int dir = -1;
	uint64_t number;
	int r;

	if (l->dir >= 0)
		return 0;
	if (l->parent < 0)
		return -EACCES;
	do {
		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			return -EIO;
		snprintf(l->name, sizeof(l->name), "%016llx", (unsigned long long)number);
	} while (mkdirat(l->parent, l->name, 0700) < 0 && errno == EEXIST);
	dir = openat(l->parent, l->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = dir < 0 ? -errno : note_dir_locked(l, dir);
	if (r < 0) {
		unlinkat(l->parent, l->name, AT_REMOVEDIR);
		return r;
	}
	l->dir = TAKE_FD(dir);
	/* release: dev, name and path are set, for listings_stand_for */
	atomic_store_explicit(&l->made, true, memory_order_release);
	return 0;
}

/* ---- entries ---- */

/* An entry of the kind and name that @like has in @from. One that is not there is none here. */
static int add_like(int from, int to, const char *name)
{
	char target[64];
	struct stat st;
	ssize_t n;
	int r;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (S_ISDIR(st.st_mode)) {
		r = mkdirat(to, name, 0555);
	} else if (S_ISLNK(st.st_mode)) {
		n = readlinkat(from, name, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		r = n < 0 ? -1 : symlinkat(target, to, name);
	} else {
		r = mknodat(to, name, S_IFREG | (st.st_mode & 0444), 0);
	}
	return r < 0 ? -errno : 0;
}

/* What says another thing to each that reads it leads there by a path that does so too. */
static int add_self(const struct ownproc *o, int to, const char *name)
{
	char target[sizeof(o->view.path) + 16];

	snprintf(target, sizeof(target), "%s/%s", o->view.path, name);
	return symlinkat(target, to, name) < 0 ? -errno : 0;
}

static int add_general(const struct ownproc *o, int to)
{
	size_t n = 0;
	int r = 0;

	while (procfs_general[n])
		n++;
	while (r == 0 && n--) {
		const char *name = procfs_general[n];

		if (!strcmp(name, "self") || !strcmp(name, "thread-self"))
			r = add_self(o, to, name);
		else
			r = add_like(o->view.root, to, name);
	}
	return r;
}

static int add_number(int to, pid_t pid)
{
	char name[16];

	snprintf(name, sizeof(name), "%d", (int)pid);
	return mkdirat(to, name, 0555) < 0 ? -errno : 0;
}

/* ---- /proc ---- */

struct pids {
	pid_t *list;
	size_t n, room;
};

static int add_pid(pid_t pid, void *arg)
{
	struct pids *p = arg;
	pid_t *grown = grow_list(p->list, p->n, &p->room, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	p->list = grown;
	p->list[p->n++] = pid;
	return 0;
}

static bool is_newest_locked(const struct listings *l, const struct pids *p)
{
	return l->newest && l->n_pids == p->n && !memcmp(l->pids, p->list, p->n * sizeof(pid_t));
}

/* A new listing of @p's processes, whose list is taken when that succeeds. */
static int make_listing_locked(const struct ownproc *o, struct listings *l, struct pids *p)
{
	char name[24];
	_cleanup_close_ int dir = -1;
	int r = 0;

	proc_name(l->newest + 1, name);
	if (mkdirat(l->dir, name, 0755) < 0)
		return -errno;
	dir = openat(l->dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		r = -errno;
	for (size_t i = p->n; r == 0 && i > 0; i--)
		r = add_number(dir, p->list[i - 1]);
	if (r == 0)
		r = add_general(o, dir);
	if (r < 0) {
		remove_listing(l->dir, name);
		return r;
	}
	if (++l->newest > KEPT) {
		proc_name(l->newest - KEPT, name);
		remove_listing(l->dir, name);
	}
	free(l->pids);
	l->pids = TAKE_PTR(p->list);
	l->n_pids = p->n;
	return 0;
}

static int open_listing(int at, const char *name, uint64_t flags)
{
	return open_at_how(at, name, (flags & O_NONBLOCK) | O_RDONLY | O_DIRECTORY, 0,
			   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

int listings_open_proc(const struct ownproc *o, uint64_t flags)
{
	struct listings *l = o->listings;
	struct pids p = { 0 };
	char name[24];
	int r = procfs_each_process(&o->view, add_pid, &p);

	if (r == 0) {
		pthread_mutex_lock(&l->lock);
		r = make_dir_locked(l);
		if (r == 0 && !is_newest_locked(l, &p))
			r = make_listing_locked(o, l, &p);
		proc_name(l->newest, name);
		if (r == 0)
			r = open_listing(l->dir, name, flags);
		pthread_mutex_unlock(&l->lock);
	}
	free(p.list);
	return r;
}

/* ---- CPUs ---- */

/*
 * All that the machine has there but its CPUs, and the command's. Directories are links to their own, so that a look relative to the listing finds
 * what is in them; a CPU that the machine has not is an empty one.
 */
static int add_entry(const struct ownproc *o, int to, const char *name)
{
	char target[sizeof(o->system_path) + 24 + NAME_MAX], real[24 + NAME_MAX];
	struct stat st;
	int r;

	snprintf(real, sizeof(real), "cpu/%s", name);
	if (fstatat(o->system_dir, real, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		r = mkdirat(to, name, 0555);
	} else if (S_ISDIR(st.st_mode)) {
		snprintf(target, sizeof(target), "%s/%s", o->system_path, real);
		r = symlinkat(target, to, name);
	} else {
		r = mknodat(to, name, S_IFREG | (st.st_mode & 0444), 0);
	}
	return r < 0 ? -errno : 0;
}

static int add_cpus(const struct ownproc *o, int to)
{
	int r = 0;

	for (unsigned i = o->cpus; r == 0 && i > 0; i--) {
		char name[16];

		snprintf(name, sizeof(name), "cpu%u", i - 1);
		r = add_entry(o, to, name);
	}
	return r;
}

static int add_rest(const struct ownproc *o, int to)
{
	const struct dirent *e;
	DIR *d;
	int r = dir_open(o->system_dir, "cpu", 0, &d);

	if (r < 0)
		return r;
	while (r == 0 && (e = dir_next(d))) {
		const bool cpu =
			!strncmp(e->d_name, "cpu", 3) && e->d_name[3] >= '0' && e->d_name[3] <= '9';

		if (!cpu)
			r = add_entry(o, to, e->d_name);
	}
	closedir(d);
	return r;
}

static int make_cpus_locked(const struct ownproc *o, struct listings *l)
{
	_cleanup_close_ int dir = -1;
	int r;

	if (mkdirat(l->dir, "cpu", 0755) < 0)
		return errno == EEXIST ? 0 : -errno;
	dir = openat(l->dir, "cpu", O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = dir < 0 ? -errno : add_rest(o, dir);
	if (r == 0)
		r = add_cpus(o, dir);
	if (r < 0)
		remove_listing(l->dir, "cpu");
	return r;
}

int listings_open_cpus(const struct ownproc *o, uint64_t flags)
{
	struct listings *l = o->listings;
	int r;

	pthread_mutex_lock(&l->lock);
	r = make_dir_locked(l);
	if (r == 0)
		r = make_cpus_locked(o, l);
	if (r == 0)
		r = open_listing(l->dir, "cpu", flags);
	pthread_mutex_unlock(&l->lock);
	return r;
}

/* ---- what one stands for ---- */

int listings_stand_for(const struct procfs_view *v, int fd)
{
	const struct ownproc *o = ownproc_of(v);
	const struct listings *l = o->listings;
	char path[PATH_MAX];
	const char *rest;
	struct stat st;
	size_t n;

	if (!listings_are_made(o) || fstat(fd, &st) < 0 || !listings_may_have(o, &st))
		return -ENODATA;
	n = strlen(l->path);
	if (fd_path(fd, path, sizeof(path)) < 0 || strncmp(path, l->path, n) != 0 || path[n] != '/')
		return -ENODATA;
	n++;
	if (path[n] == 'c') /* its name is the same in sysfs */
		return open_at_how(o->system_dir, path + n, O_PATH, 0,
				   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	rest = strchr(path + n, '/');
	return open_at_how(v->root, rest ? rest + 1 : ".", O_PATH, 0,
			   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}
