/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times of files with a time of day of the command's own: every call that shows one and every one that sets one agrees with the clock inside, whether it lies before the host's or behind, and on disk
 * are the host's times. Each role passes bare, too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

#define NS_PER_S 1000000000LL
#define TICK_NS \
	(500 *  \
	 1000000LL) /* of the clock that files are given, and what a machine may be late with it */
#define OLD_S 915148800 /* before any start */

static const int64_t starts[] = { 1000000000, 4000000000 };

static long long ns_of(struct timespec ts)
{
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static struct timespec timespec_of(long long ns)
{
	return (struct timespec){ ns / NS_PER_S, ns % NS_PER_S };
}

static long long wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ns_of(ts);
}

/* ---- inside: every spelling of a look ---- */

struct seen {
	long long accessed, modified, changed, born; /* 0: not known */
};

static struct seen seen_in(const struct stat *st)
{
	return (struct seen){ ns_of(st->st_atim), ns_of(st->st_mtim), ns_of(st->st_ctim), 0 };
}

static long long ns_of_statx(struct statx_timestamp t)
{
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static int by_statx(int dirfd, const char *path, int flags, struct seen *ret)
{
	struct statx s;

	if (syscall(SYS_statx, dirfd, path, flags, STATX_BASIC_STATS | STATX_BTIME, &s))
		return -errno;
	*ret = (struct seen){ ns_of_statx(s.stx_atime), ns_of_statx(s.stx_mtime),
			      ns_of_statx(s.stx_ctime),
			      s.stx_mask & STATX_BTIME ? ns_of_statx(s.stx_btime) : 0 };
	return 0;
}

#define LOOKS 9

/* Spelling @how of a look at @path, which is open as @fd. 0 or -errno. */
static int look(int how, const char *path, int fd, struct seen *ret)
{
	struct stat st;
	long r = -1;

	switch (how) {
	case 0:
		return by_statx(AT_FDCWD, path, 0, ret);
	case 1:
		return by_statx(fd, "", AT_EMPTY_PATH, ret);
	case 2:
		return by_statx(fd, NULL, AT_EMPTY_PATH, ret);
	case 3:
		r = syscall(SYS_newfstatat, AT_FDCWD, path, &st, 0);
		break;
	case 4:
		r = syscall(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH);
		break;
	case 5:
		r = syscall(SYS_newfstatat, fd, NULL, &st, AT_EMPTY_PATH);
		break;
	case 6:
		r = syscall(SYS_fstat, fd, &st);
		break;
#ifdef SYS_stat
	case 7:
		r = syscall(SYS_stat, path, &st);
		break;
	case 8:
		r = syscall(SYS_lstat, path, &st);
		break;
#endif
	default:
		r = syscall(SYS_newfstatat, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW);
	}
	if (r)
		return -errno;
	*ret = seen_in(&st);
	return 0;
}

/* What all of them say. 0, or which says something else, from 1 on. */
static int look_by_all(const char *path, int fd, struct seen *ret)
{
	if (look(0, path, fd, ret))
		return 1;
	for (int how = 1; how < LOOKS; how++) {
		struct seen s;
		int r = look(how, path, fd, &s);

		if (r == -EFAULT && (how == 2 || how == 5)) /* before Linux 6.11 */
			continue;
		if (r || s.accessed != ret->accessed || s.modified != ret->modified ||
		    s.changed != ret->changed || (s.born && s.born != ret->born))
			return how + 1;
	}
	return 0;
}

/* ---- inside: every spelling of a change ---- */

#define CHANGES 8

static struct timeval timeval_of(long long ns)
{
	return (struct timeval){ ns / NS_PER_S, ns % NS_PER_S / 1000 };
}

/* What spelling @how can say of a time. */
static long long as_said(int how, long long ns)
{
	return ns /
	       (how == 0  ? NS_PER_S
		: how < 4 ? 1000
			  : 1) *
	       (how == 0  ? NS_PER_S
		: how < 4 ? 1000
			  : 1);
}

static int change(int how, const char *path, int fd, long long accessed, long long modified)
{
	const struct timespec ts[2] = { timespec_of(accessed), timespec_of(modified) };
	const struct timeval tv[2] = { timeval_of(accessed), timeval_of(modified) };
	const struct utimbuf buf = { accessed / NS_PER_S, modified / NS_PER_S };
	long r;

	(void)tv;
	(void)buf;
	switch (how) {
#ifdef SYS_utime
	case 0:
		r = syscall(SYS_utime, path, &buf);
		break;
	case 1:
		r = syscall(SYS_utimes, path, tv);
		break;
	case 2:
		r = syscall(SYS_futimesat, AT_FDCWD, path, tv);
		break;
	case 3:
		r = syscall(SYS_futimesat, fd, NULL, tv);
		break;
#endif
	case 4:
		r = syscall(SYS_utimensat, fd, NULL, ts, 0);
		break;
	case 5:
		r = syscall(SYS_utimensat, AT_FDCWD, path, ts, AT_SYMLINK_NOFOLLOW);
		break;
	case 6:
		r = syscall(SYS_utimensat, fd, "", ts, AT_EMPTY_PATH);
		break;
	default:
		r = syscall(SYS_utimensat, AT_FDCWD, path, ts, 0);
	}
	return r ? -errno : 0;
}

/* Set by every spelling, it is what every look says. 0, or 10 x the spelling + the look. */
static int set_by_all(const char *path, int fd, long long accessed, long long modified)
{
	for (int how = 0; how < CHANGES; how++) {
		struct seen s;
		int r = change(how, path, fd, accessed, modified);

		if (r)
			return 10 * how + 9;
		r = look_by_all(path, fd, &s);
#ifndef SYS_utime
		if (how < 4)
			continue;
#endif
		if (r == 0 && s.accessed == as_said(how, accessed) &&
		    s.modified == as_said(how, modified))
			continue;
		return 10 * how + r;
	}
	return 0;
}

/* ---- inside ---- */

static int make(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	return fd < 0 || write(fd, "x", 1) != 1 ? -1 : fd;
}

static bool is_between(long long from, long long at, long long to)
{
	return at >= from - TICK_NS && at <= to;
}

/* What is written now shows now. */
static int role_written(const char *dir)
{
	const long long before = wall();
	struct seen s;
	struct stat st;
	int fd, r, pipes[2];

	if (chdir(dir))
		return 1;
	fd = make("written");
	if (fd < 0)
		return 2;
	r = look_by_all("written", fd, &s);
	if (r)
		return 10 + r;
	if (!is_between(before, s.accessed, wall()) || !is_between(before, s.modified, wall()) ||
	    !is_between(before, s.changed, wall()) ||
	    (s.born && !is_between(before, s.born, wall())))
		return 3;
	if (pipe(pipes) || syscall(SYS_fstat, pipes[0], &st))
		return 4;
	if (!is_between(before, ns_of(st.st_mtim), wall()))
		return 5;
	if (syscall(SYS_newfstatat, AT_FDCWD, ".", &st, 0) ||
	    !is_between(before, ns_of(st.st_mtim), wall()))
		return 6;
	close(fd);
	return 0;
}

/* What is set is what is seen. */
static int role_set(const char *dir)
{
	const struct timespec now[2] = { { 0, UTIME_NOW }, { 0, UTIME_OMIT } };
	const struct timespec old = { OLD_S, 5 };
	long long before;
	struct seen s;
	int fd, r;

	if (chdir(dir))
		return 1;
	fd = make("set");
	if (fd < 0)
		return 2;
	r = set_by_all("set", fd, wall(), wall() + 3600 * NS_PER_S);
	if (r)
		return 100 + r;
	r = set_by_all("set", fd, ns_of(old), ns_of(old) + 123456789);
	if (r)
		return 100 + r;
	before = wall();
	if (syscall(SYS_utimensat, AT_FDCWD, "set", now, 0) || look_by_all("set", fd, &s))
		return 3;
	if (!is_between(before, s.accessed, wall()) || s.modified != ns_of(old) + 123456789)
		return 4;
	if (syscall(SYS_utimensat, AT_FDCWD, "set", NULL, 0) || look_by_all("set", fd, &s) ||
	    !is_between(before, s.modified, wall()))
		return 5;
	close(fd);
	return 0;
}

/* Files "fresh", of its own time, "past", of OLD_S, and "copy", of the time of "young", as cp -p makes it. */
static int role_leave(const char *dir)
{
	const char *const names[] = { "fresh", "past", "copy" };
	long long times[] = { 0, OLD_S * NS_PER_S, 0 };
	struct seen s;

	if (chdir(dir) || look(3, "young", -1, &s))
		return 1;
	times[2] = s.modified;
	for (int i = 0; i < 3; i++) {
		int fd = make(names[i]);

		if (fd < 0 || look(6, "", fd, &s))
			return 2;
		if (change(4, "", fd, s.accessed, i ? times[i] : s.modified))
			return 3;
		if (look(6, "", fd, &s) || (i && s.modified != times[i]))
			return 4;
		close(fd);
	}
	return 0;
}

/* Files that were there, "old" first, then "young", then "younger", are of OLD_S and in their order; a new one is newer than all. */
static int role_order(const char *dir)
{
	struct seen old, young, younger, made;
	int fd;

	if (chdir(dir) || look(0, "old", -1, &old) || look(0, "young", -1, &young) ||
	    look(0, "younger", -1, &younger))
		return 1;
	fd = make("made");
	if (fd < 0 || look(0, "made", -1, &made))
		return 2;
	if (old.modified != OLD_S * NS_PER_S)
		return 3;
	if (young.modified <= old.modified || younger.modified <= young.modified)
		return 4;
	if (made.modified <= younger.modified || made.modified > wall())
		return 5;
	return 0;
}

/* What cannot be looked at for it is told by the kernel. */
static int role_undumpable(const char *dir)
{
	struct stat st;

	if (chdir(dir) || prctl(PR_SET_DUMPABLE, 0))
		return 1;
	if (syscall(SYS_fstat, 0, &st))
		return 2;
	return syscall(SYS_newfstatat, AT_FDCWD, "young", &st, 0) ? 3 : 0;
}

#define FAILS_WITH(error, call) ((call) == -1 && errno == (error))

static int role_errors(const char *dir)
{
	const struct timespec bad[2] = { { 1, NS_PER_S }, { 1, 0 } };
	struct stat st;
	void *const nowhere = (void *)1;

	if (chdir(dir))
		return 1;
	if (!FAILS_WITH(EBADF, syscall(SYS_fstat, -1, &st)) ||
	    !FAILS_WITH(EBADF, syscall(SYS_fstat, 987, &st)))
		return 2;
	if (!FAILS_WITH(EFAULT, syscall(SYS_fstat, 0, nowhere)) ||
	    !FAILS_WITH(EFAULT, syscall(SYS_newfstatat, AT_FDCWD, ".", nowhere, 0)) ||
	    !FAILS_WITH(EFAULT, syscall(SYS_newfstatat, AT_FDCWD, nowhere, &st, 0)))
		return 3;
	if (!FAILS_WITH(ENOENT, syscall(SYS_newfstatat, AT_FDCWD, "absent", &st, 0)) ||
	    !FAILS_WITH(ENOENT, syscall(SYS_newfstatat, AT_FDCWD, "", &st, 0)) ||
	    !FAILS_WITH(ENOTDIR, syscall(SYS_newfstatat, AT_FDCWD, "young/", &st, 0)) ||
	    !FAILS_WITH(EINVAL, syscall(SYS_newfstatat, AT_FDCWD, ".", &st, 0x8000)))
		return 4;
	if (!FAILS_WITH(EINVAL, syscall(SYS_utimensat, AT_FDCWD, "young", bad, 0)) ||
	    !FAILS_WITH(EFAULT, syscall(SYS_utimensat, AT_FDCWD, "young", nowhere, 0)) ||
	    !FAILS_WITH(ENOENT, syscall(SYS_utimensat, AT_FDCWD, "absent", NULL, 0)))
		return 5;
	return 0;
}

static const struct guest_role roles[] = {
	{ "written", role_written },
	{ "set", role_set },
	{ "leave", role_leave },
	{ "order", role_order },
	{ "errors", role_errors },
	{ "undumpable", role_undumpable },
	{ NULL, NULL },
};

/* ---- outside ---- */

enum kind {
	HOST_TREE,
	ALL_WRITABLE, /* no change of metadata is trapped for its own sake */
	CHROOT,
	WORKDIR, /* committed at the end */
	KINDS,
};

struct world {
	const char *dir, *storage;
};

static struct sluice_policy *policy_of(const struct world *w, enum kind kind, int64_t start,
				       bool files)
{
	struct sluice_policy *p = guest_policy();
	const char *writable = kind == ALL_WRITABLE ? "/" : w->dir;

	assert_int_equal(sluice_policy_set_time_start(p, &start, NULL), 0);
	assert_int_equal(sluice_policy_set_time_start_files(p, files, NULL), 0);
	if (kind != WORKDIR)
		assert_int_equal(sluice_policy_allow_write(p, writable, NULL), 0);
	if (kind == CHROOT)
		assert_int_equal(sluice_policy_set_chroot(p, ROOT_BY_ANOTHER_NAME, NULL), 0);
	if (kind == WORKDIR) {
		assert_int_equal(sluice_policy_set_workdir(p, w->dir, NULL), 0);
		assert_int_equal(sluice_policy_set_storage(p, w->storage, NULL), 0);
		assert_int_equal(sluice_policy_set_on_exit(p, SLUICE_COW_COMMIT), 0);
	}
	return p;
}

static struct timespec ago(int seconds)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec -= seconds;
	return ts;
}

static void make_file(const char *dir, const char *name, struct timespec at)
{
	const struct timespec times[2] = { at, at };
	char path[4200];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static void world_init(struct world *w)
{
	w->dir = guest_dir();
	w->storage = guest_dir();
	make_file(w->dir, "old", (struct timespec){ OLD_S, 0 });
	make_file(w->dir, "young", ago(3600));
	make_file(w->dir, "younger", ago(3590));
}

static void world_fini(const struct world *w)
{
	guest_remove(w->dir);
	guest_remove(w->storage);
}

static int bare(const char *role)
{
	struct world w;
	int r;

	world_init(&w);
	r = guest_bare(role, w.dir);
	world_fini(&w);
	return r;
}

/* Copy-on-write takes what container profiles refuse. */
static int kinds(void)
{
	return guest_descriptors_can_be_got() ? KINDS : WORKDIR;
}

/* In every kind of tree, whether the clock is behind the host's or before it. */
static void run_everywhere(const char *role)
{
	assert_int_equal(bare(role), 0);
	for (int i = 0; i < kinds() * 2; i++) {
		struct sluice_policy *p;
		struct world w;
		int r;

		world_init(&w);
		p = policy_of(&w, i / 2, starts[i % 2], true);
		r = guest_inside(p, role, w.dir);
		if (r)
			fail_msg("%s from %lld on, tree %d: %d", role, (long long)starts[i % 2],
				 i / 2, r);
		sluice_policy_unref(p);
		world_fini(&w);
	}
}

static int without_files(int64_t start, const char *role)
{
	struct sluice_policy *p;
	struct world w;
	int r;

	world_init(&w);
	p = policy_of(&w, HOST_TREE, start, false);
	r = guest_inside(p, role, w.dir);
	sluice_policy_unref(p);
	world_fini(&w);
	return r;
}

static void test_what_is_written_now_shows_now(void **state)
{
	(void)state;
	assert_int_equal(without_files(starts[0], "written"), 3);
	run_everywhere("written");
}

static void test_what_is_set_is_seen(void **state)
{
	(void)state;
	run_everywhere("set");
}

static void test_older_files_are_older_in_their_order(void **state)
{
	(void)state;
	assert_int_equal(without_files(starts[0], "order"), 5);
	run_everywhere("order");
}

static void test_errors_are_the_kernels(void **state)
{
	(void)state;
	run_everywhere("errors");
}

static void test_a_process_that_may_not_be_looked_into(void **state)
{
	(void)state;
	assert_int_equal(bare("undumpable"), 0);
	for (int i = 0; i < 2; i++) {
		struct sluice_policy *p;
		struct world w;

		world_init(&w);
		p = policy_of(&w, i ? ALL_WRITABLE : HOST_TREE, starts[0], true);
		assert_int_equal(sluice_policy_allow_syscall(p, "prctl", NULL), 0);
		assert_int_equal(guest_inside(p, "undumpable", w.dir), 0);
		sluice_policy_unref(p);
		world_fini(&w);
	}
}

static long long time_of(const char *dir, const char *name)
{
	char path[4200];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (stat(path, &st))
		fail_msg("%s: %s", path, strerror(errno));
	return ns_of(st.st_mtim);
}

static void check_on_disk(enum kind kind, int64_t start)
{
	struct sluice_policy *p;
	struct world w;
	long long before, young, copy;

	world_init(&w);
	young = time_of(w.dir, "young");
	before = wall();
	p = policy_of(&w, kind, start, true);
	assert_int_equal(guest_inside(p, "leave", w.dir), 0);
	assert_true(is_between(before, time_of(w.dir, "fresh"), wall()));
	assert_int_equal(time_of(w.dir, "past"), OLD_S * NS_PER_S);
	assert_int_equal(time_of(w.dir, "young"), young);
	/* to what it looked like: an hour has a place for each millisecond */
	copy = time_of(w.dir, "copy");
	assert_true(copy >= young && copy - young < 1000000);
	if (start > before / NS_PER_S)
		assert_int_equal(copy, young);
	sluice_policy_unref(p);
	world_fini(&w);
}

static void test_on_disk_are_the_hosts_times(void **state)
{
	(void)state;
	for (int i = 0; i < kinds() * 2; i++)
		check_on_disk(i / 2, starts[i % 2]);
}

static void test_files_go_with_a_start_only(void **state)
{
	struct sluice_policy *p = guest_policy();
	struct sluice_error err = { 0 };
	struct world w;

	(void)state;
	world_init(&w);
	assert_int_equal(sluice_policy_set_time_start_files(p, true, &err), -EINVAL);
	assert_int_equal(sluice_policy_set_time_start_files(p, false, &err), 0);
	assert_int_equal(sluice_policy_set_time_start(p, &starts[0], &err), 0);
	assert_int_equal(sluice_policy_set_time_start_files(p, true, &err), 0);
	/* and off again, both */
	assert_int_equal(sluice_policy_set_time_start(p, NULL, &err), 0);
	assert_int_equal(sluice_policy_allow_write(p, w.dir, &err), 0);
	assert_int_equal(guest_inside(p, "written", w.dir), 0);
	sluice_policy_unref(p);
	world_fini(&w);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_written_now_shows_now),
		cmocka_unit_test(test_what_is_set_is_seen),
		cmocka_unit_test(test_older_files_are_older_in_their_order),
		cmocka_unit_test(test_errors_are_the_kernels),
		cmocka_unit_test(test_a_process_that_may_not_be_looked_into),
		cmocka_unit_test(test_on_disk_are_the_hosts_times),
		cmocka_unit_test(test_files_go_with_a_start_only),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
