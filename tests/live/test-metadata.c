/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mode, owner, times and attributes of files: every spelling of every call that changes them works bare, is refused where only reading is granted, and
 * does the same as bare below a write grant.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

#define NR_FCHMODAT2 452
#define NR_SETXATTRAT 463
#define NR_REMOVEXATTRAT 466

struct xattr_args_v0 {
	uint64_t value;
	uint32_t size, flags;
};

/* ---- inside: one change of the file "f" in directory @dir; returns errno ---- */

#define STAMP 1234567890

static const struct timespec stamps[2] = { { .tv_sec = STAMP }, { .tv_sec = STAMP } };
static const struct timeval stamps_micro[2] = { { .tv_sec = STAMP }, { .tv_sec = STAMP } };
static const struct utimbuf stamps_seconds = { STAMP, STAMP };

struct place {
	char path[4200];
	int dir, fd;
};

static long do_chmod(struct place *p)
{
	return syscall(SYS_chmod, p->path, 0604);
}

static long do_fchmod(struct place *p)
{
	return syscall(SYS_fchmod, p->fd, 0604);
}

static long do_fchmodat(struct place *p)
{
	return syscall(SYS_fchmodat, p->dir, "f", 0604);
}

static long do_fchmodat2(struct place *p)
{
	return syscall(NR_FCHMODAT2, p->dir, "f", 0604, AT_SYMLINK_NOFOLLOW);
}

static long do_fchmodat2_empty(struct place *p)
{
	return syscall(NR_FCHMODAT2, p->fd, "", 0604, AT_EMPTY_PATH);
}

static long do_chown(struct place *p)
{
	return syscall(SYS_chown, p->path, getuid(), getgid());
}

static long do_lchown(struct place *p)
{
	return syscall(SYS_lchown, p->path, getuid(), getgid());
}

static long do_fchown(struct place *p)
{
	return syscall(SYS_fchown, p->fd, getuid(), getgid());
}

static long do_fchownat(struct place *p)
{
	return syscall(SYS_fchownat, p->dir, "./f", getuid(), getgid(), 0);
}

static long do_utime(struct place *p)
{
	return syscall(SYS_utime, p->path, &stamps_seconds);
}

static long do_utimes(struct place *p)
{
	return syscall(SYS_utimes, p->path, stamps_micro);
}

static long do_futimesat(struct place *p)
{
	return syscall(SYS_futimesat, p->dir, "f", stamps_micro);
}

static long do_futimesat_fd(struct place *p)
{
	return syscall(SYS_futimesat, p->fd, NULL, stamps_micro);
}

static long do_utimensat(struct place *p)
{
	return syscall(SYS_utimensat, p->dir, "f", stamps, AT_SYMLINK_NOFOLLOW);
}

static long do_utimensat_fd(struct place *p)
{
	return syscall(SYS_utimensat, p->fd, NULL, stamps, 0);
}

static long do_setxattr(struct place *p)
{
	return syscall(SYS_setxattr, p->path, "user.k", "v", 1, 0);
}

static long do_lsetxattr(struct place *p)
{
	return syscall(SYS_lsetxattr, p->path, "user.k", "v", 1, 0);
}

static long do_fsetxattr(struct place *p)
{
	return syscall(SYS_fsetxattr, p->fd, "user.k", "v", 1, 0);
}

static long do_setxattrat(struct place *p)
{
	struct xattr_args_v0 a = { (uintptr_t) "v", 1, 0 };

	return syscall(NR_SETXATTRAT, p->dir, "f", 0, "user.k", &a, sizeof(a));
}

static long do_removexattr(struct place *p)
{
	return syscall(SYS_removexattr, p->path, "user.gone");
}

static long do_lremovexattr(struct place *p)
{
	return syscall(SYS_lremovexattr, p->path, "user.gone");
}

static long do_fremovexattr(struct place *p)
{
	return syscall(SYS_fremovexattr, p->fd, "user.gone");
}

static long do_removexattrat(struct place *p)
{
	return syscall(NR_REMOVEXATTRAT, p->dir, "f", 0, "user.gone");
}

enum effect {
	MODE,
	OWNER,
	TIMES,
	SET,
	REMOVE
};

static const struct {
	const char *name;
	long (*fn)(struct place *p);
	enum effect effect;
} acts[] = {
	{ "chmod", do_chmod, MODE },
	{ "fchmod", do_fchmod, MODE },
	{ "fchmodat", do_fchmodat, MODE },
	{ "fchmodat2", do_fchmodat2, MODE },
	{ "fchmodat2-empty", do_fchmodat2_empty, MODE },
	{ "chown", do_chown, OWNER },
	{ "lchown", do_lchown, OWNER },
	{ "fchown", do_fchown, OWNER },
	{ "fchownat", do_fchownat, OWNER },
	{ "utime", do_utime, TIMES },
	{ "utimes", do_utimes, TIMES },
	{ "futimesat", do_futimesat, TIMES },
	{ "futimesat-fd", do_futimesat_fd, TIMES },
	{ "utimensat", do_utimensat, TIMES },
	{ "utimensat-fd", do_utimensat_fd, TIMES },
	{ "setxattr", do_setxattr, SET },
	{ "lsetxattr", do_lsetxattr, SET },
	{ "fsetxattr", do_fsetxattr, SET },
	{ "setxattrat", do_setxattrat, SET },
	{ "removexattr", do_removexattr, REMOVE },
	{ "lremovexattr", do_lremovexattr, REMOVE },
	{ "fremovexattr", do_fremovexattr, REMOVE },
	{ "removexattrat", do_removexattrat, REMOVE },
};

/* "NAME DIR" */
static int role_act(const char *arg)
{
	char name[32], dir[4096];
	struct place p;

	if (sscanf(arg, "%31s %4095s", name, dir) != 2)
		return GUEST_FAILED;
	snprintf(p.path, sizeof(p.path), "%s/f", dir);
	p.dir = open(dir, O_RDONLY | O_DIRECTORY);
	p.fd = open(p.path, O_RDONLY);
	for (size_t i = 0; i < N_OF(acts); i++) {
		if (!strcmp(acts[i].name, name))
			return acts[i].fn(&p) < 0 ? errno : 0;
	}
	return GUEST_FAILED;
}

/* What has no name elsewhere may be changed wherever it came from. */
static int role_nameless(const char *dir)
{
	char path[4200];
	int ends[2], fd = memfd_create("m", 0);
	struct stat st;

	if (fd < 0 || fchmod(fd, 0600) < 0 || fstat(fd, &st) < 0 || (st.st_mode & 07777) != 0600)
		return 1;
	if (pipe(ends) < 0 || fchmod(ends[0], 0600) < 0)
		return 2;
	snprintf(path, sizeof(path), "%s/f", dir);
	fd = open(path, O_PATH);
	if (fd < 0 || fchmod(fd, 0600) == 0 || errno != EBADF)
		return 3;
	if (fchmod(-1, 0600) == 0 || errno != EBADF)
		return 4;
	snprintf(path, sizeof(path), "%s/none", dir);
	if (chmod(path, 0600) == 0 || errno != ENOENT)
		return 5;
	if (syscall(SYS_chmod, (void *)8, 0600) == 0 || errno != EFAULT)
		return 6;
	return 0;
}

/* The link itself is changed, not what it leads to. */
static int role_link(const char *dir)
{
	char path[4200];
	struct stat st;

	snprintf(path, sizeof(path), "%s/l", dir);
	if (symlink("f", path) < 0)
		return errno;
	if (utimensat(AT_FDCWD, path, stamps, AT_SYMLINK_NOFOLLOW) < 0)
		return errno;
	if (lstat(path, &st) < 0 || st.st_mtime != STAMP)
		return 201;
	if (stat(path, &st) < 0 || st.st_mtime == STAMP)
		return 202;
	return lchown(path, getuid(), getgid()) < 0 ? errno : 0;
}

/* Without the kernel's flag word being touched: setting what is set already is a change too. */
static int role_flags(const char *dir)
{
	char path[4200];
	int fd, flags = 0;

	snprintf(path, sizeof(path), "%s/f", dir);
	fd = open(path, O_RDONLY);
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return 200;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 ? errno : 0;
}

static const struct guest_role roles[] = {
	{ "act", role_act },   { "nameless", role_nameless },
	{ "link", role_link }, { "flags", role_flags },
	{ NULL, NULL },
};

/* ---- outside ---- */

static const char *new_place(void)
{
	const char *dir = guest_dir();
	char path[4200];
	int fd;

	snprintf(path, sizeof(path), "%s/f", dir);
	fd = open(path, O_CREAT | O_WRONLY, 0644);
	assert_true(fd >= 0);
	assert_int_equal(fsetxattr(fd, "user.gone", "v", 1, 0), 0);
	close(fd);
	return dir;
}

static bool changed(const char *dir, enum effect effect)
{
	char path[4200], value[8];
	struct stat st;

	snprintf(path, sizeof(path), "%s/f", dir);
	assert_int_equal(stat(path, &st), 0);
	switch (effect) {
	case MODE:
		return (st.st_mode & 07777) == 0604;
	case TIMES:
		return st.st_mtime == STAMP;
	case SET:
		return getxattr(path, "user.k", value, sizeof(value)) == 1;
	case REMOVE:
		return getxattr(path, "user.gone", value, sizeof(value)) < 0;
	default: /* the owner stays: an ordinary user can't give files away */
		return true;
	}
}

static bool can_show(enum effect effect)
{
	return effect != OWNER;
}

static struct sluice_policy *policy_with(const char *write)
{
	struct sluice_policy *p = guest_policy();

	if (write)
		assert_int_equal(sluice_policy_allow_write(p, write, NULL), 0);
	return p;
}

static int inside(const char *write, const char *act, const char *dir)
{
	struct sluice_policy *p = policy_with(write);
	char arg[4200];
	int r;

	snprintf(arg, sizeof(arg), "%s %s", act, dir);
	r = guest_inside(p, "act", arg);
	sluice_policy_unref(p);
	return r;
}

static void test_bare_it_works(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(acts); i++) {
		const char *dir = new_place();
		char arg[4200];

		snprintf(arg, sizeof(arg), "%s %s", acts[i].name, dir);
		if (guest_bare("act", arg) != 0 || !changed(dir, acts[i].effect))
			fail_msg("%s: does not work bare", acts[i].name);
		guest_remove(dir);
	}
}

static void test_hazard_B1_refused_below_a_read_grant(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(acts); i++) {
		const char *dir = new_place();
		int r = inside(NULL, acts[i].name, dir);

		if (r != EACCES || (can_show(acts[i].effect) && changed(dir, acts[i].effect)))
			fail_msg("%s: %d", acts[i].name, r);
		guest_remove(dir);
	}
}

static void test_done_below_a_write_grant(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(acts); i++) {
		const char *dir = new_place();
		int r = inside(dir, acts[i].name, dir);

		if (r != 0 || !changed(dir, acts[i].effect))
			fail_msg("%s: %d", acts[i].name, r);
		guest_remove(dir);
	}
}

static void test_everything_writable_traps_nothing(void **state)
{
	struct sluice_policy *p = policy_with("/");
	struct sluice_result res;
	const char *dir = new_place();
	char arg[4200];

	(void)state;
	snprintf(arg, sizeof(arg), "chmod %s", dir);
	res = guest_run(p, NULL, 0, "act", arg);
	assert_int_equal(res.exit_code, 0);
	assert_int_equal(res.notifications, 0);
	assert_true(changed(dir, MODE));
	sluice_policy_unref(p);
	guest_remove(dir);
}

static void test_a_sibling_with_the_same_beginning_is_not_granted(void **state)
{
	const char *dir = new_place(), *parent = guest_dir();
	char granted[4200];

	(void)state;
	/* grant the path without its last letter, a directory of its own */
	snprintf(granted, sizeof(granted), "%.*s", (int)strlen(dir) - 1, dir);
	assert_int_equal(mkdir(granted, 0755), 0);
	assert_int_equal(inside(granted, "chmod", dir), EACCES);
	assert_int_equal(rmdir(granted), 0);
	guest_remove(dir);
	guest_remove(parent);
}

static void test_nameless_files_and_errors_are_as_bare(void **state)
{
	const char *dir = new_place();

	(void)state;
	assert_int_equal(guest_bare("nameless", dir), 0);
	assert_int_equal(guest_inside(NULL, "nameless", dir), 0);
	guest_remove(dir);
}

static void test_hazard_B6_the_link_itself(void **state)
{
	const char *bare = new_place(), *dir = new_place();
	struct sluice_policy *p = policy_with(dir);

	(void)state;
	assert_int_equal(guest_bare("link", bare), 0);
	assert_int_equal(guest_inside(p, "link", dir), 0);
	sluice_policy_unref(p);
	guest_remove(bare);
	guest_remove(dir);
}

static void test_flags_of_a_readable_file(void **state)
{
	const char *dir = new_place();

	(void)state;
	assert_int_equal(guest_bare("flags", dir), 0);
	assert_int_equal(guest_inside(NULL, "flags", dir), EPERM);
	guest_remove(dir);
}

/* ---- extras ---- */

struct seen {
	_Atomic int kind;
	char path[4096];
	struct sluice_verdict verdict;
};

static struct sluice_verdict look(struct sluice_request *req, void *userdata)
{
	struct seen *s = userdata;
	struct sluice_plan plan;

	sluice_request_plan(req, &plan);
	snprintf(s->path, sizeof(s->path), "%s", plan.host_path ? plan.host_path : "");
	atomic_store(&s->kind, (int)plan.kind);
	return s->verdict;
}

static void test_an_extra_sees_the_file_and_may_refuse(void **state)
{
	struct seen s = { .verdict = sluice_errno(EDOM) };
	struct sluice_handler extra = sluice_handler_make("look", SYS_fchmodat, look, &s);
	const char *dir = new_place();
	struct sluice_policy *p = policy_with(dir);
	char arg[4200], file[4200];

	(void)state;
	snprintf(arg, sizeof(arg), "fchmodat %s", dir);
	snprintf(file, sizeof(file), "%s/f", dir);
	assert_int_equal(guest_run(p, &extra, 1, "act", arg).exit_code, EDOM);
	assert_int_equal(s.kind, SLUICE_PLAN_ACT);
	assert_string_equal(s.path, file);
	assert_false(changed(dir, MODE));
	s.verdict = sluice_continue();
	assert_int_equal(guest_run(p, &extra, 1, "act", arg).exit_code, 0);
	assert_true(changed(dir, MODE));
	sluice_policy_unref(p);
	guest_remove(dir);
}

static void test_as_seen_where_nothing_is_trapped_by_itself(void **state)
{
	struct seen s = { .verdict = sluice_as_seen() };
	struct sluice_handler extra = sluice_handler_make("look", SYS_utimensat, look, &s);
	const char *dir = new_place();
	struct sluice_policy *p = policy_with("/");
	char arg[4200];

	(void)state;
	snprintf(arg, sizeof(arg), "utimensat %s", dir);
	assert_int_equal(guest_run(p, &extra, 1, "act", arg).exit_code, 0);
	assert_int_equal(s.kind, SLUICE_PLAN_KERNEL);
	assert_true(changed(dir, TIMES));
	sluice_policy_unref(p);
	guest_remove(dir);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bare_it_works),
		cmocka_unit_test(test_hazard_B1_refused_below_a_read_grant),
		cmocka_unit_test(test_done_below_a_write_grant),
		cmocka_unit_test(test_everything_writable_traps_nothing),
		cmocka_unit_test(test_a_sibling_with_the_same_beginning_is_not_granted),
		cmocka_unit_test(test_nameless_files_and_errors_are_as_bare),
		cmocka_unit_test(test_hazard_B6_the_link_itself),
		cmocka_unit_test(test_flags_of_a_readable_file),
		cmocka_unit_test(test_an_extra_sees_the_file_and_may_refuse),
		cmocka_unit_test(test_as_seen_where_nothing_is_trapped_by_itself),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
