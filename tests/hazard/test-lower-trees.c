/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lower trees are never written: every family of calls by descriptors that were opened in them from outside, by their own paths and through links, and what acts on such descriptors
 * directly. The same acts are first shown to write there without a branch.
 *
 *	DIR/work/upper	of the working directory; DIR/first/middle, DIR/second/deep of further lower trees; in each `secret` and `link`
 *	DIR/out		links to the three
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/families.h"
#include "../support/guest.h"
#include "../support/root.h"

#define CHECK ROOT_CHECK

static const char *const trees[] = { "work", "first", "second" };
static const char *const dirs[] = { "work/upper", "first/middle", "second/deep" };

/* ---- inside ---- */

static int all_families(int dirfd, const char *dir)
{
	const int here = open(".", O_PATH | O_DIRECTORY);
	struct family_target t;
	int n = 0;

	family_fill(&t, dirfd, dir);
	for (unsigned i = 0; i < family_count; i++) {
		if (dirfd != AT_FDCWD && !(family_uses(i) & FAMILY_TAKES_DIRFD))
			continue;
		n += family_try(i, &t) == 0;
		if (fchdir(here) < 0)
			return -1;
	}
	close(here);
	return n;
}

/* What acts on a descriptor for reading. */
static int by_descriptor(int fd)
{
	const struct timespec times[2] = { { 1, 0 }, { 2, 0 } };
	int n = 0;

	n += fchmod(fd, 0600) == 0;
	n += fchown(fd, getuid(), getgid()) == 0;
	n += futimens(fd, times) == 0;
	n += fsetxattr(fd, "user.changed", "x", 1, 0) == 0;
	n += fremovexattr(fd, "user.changed") == 0;
	return n;
}

static int by_file(int fd)
{
	char path[64];
	int n = by_descriptor(fd), again;

	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	CHECK(ftruncate(fd, 1) < 0 && write(fd, "x", 1) < 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n += truncate(path, 3) == 0;
	again = open(path, O_WRONLY | O_APPEND);
	n += again >= 0 && write(again, "new", 3) == 3;
	close(again);
	return n;
}

/* ARG: DIR, and a descriptor of each directory and its file. How much was done; 255: something failed that must not. */
static int role_write(const char *arg)
{
	char top[PATH_MAX], path[64], place[PATH_MAX + 64];
	const char *rest = strchr(arg, ' ');
	int fds[2 * N_OF(dirs)], n = 0;

	CHECK(rest && sscanf(arg, "%4000s", top) == 1);
	CHECK(sscanf(rest, "%d %d %d %d %d %d", &fds[0], &fds[1], &fds[2], &fds[3], &fds[4],
		     &fds[5]) == 6);
	CHECK(chdir(guest_in(top, "work")) == 0);
	for (size_t i = 0; i < N_OF(dirs); i++) {
		n += all_families(fds[2 * i], ".");
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[2 * i]);
		n += all_families(AT_FDCWD, path);
		snprintf(place, sizeof(place), "%s", guest_in(top, dirs[i]));
		n += all_families(AT_FDCWD, place);
		snprintf(place, sizeof(place), "%s/out/%s", top, trees[i]);
		n += all_families(AT_FDCWD, place);
		n += by_descriptor(fds[2 * i]) + by_file(fds[2 * i + 1]);
	}
	return n > 200 ? 200 : n;
}

static const struct guest_role roles[] = {
	{ "write", role_write },
	{ NULL, NULL },
};

/* ---- outside ---- */

static void write_file(const char *path)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs("hidden\n", f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static const char *make_trees(void)
{
	const char *dir = guest_dir();

	assert_int_equal(mkdir(guest_in(dir, "out"), 0755) | mkdir(guest_in(dir, "storage"), 0755),
			 0);
	for (size_t i = 0; i < N_OF(dirs); i++) {
		char path[PATH_MAX + 64];

		assert_int_equal(mkdir(guest_in(dir, trees[i]), 0755) |
					 mkdir(guest_in(dir, dirs[i]), 0755),
				 0);
		snprintf(path, sizeof(path), "%s", guest_in(dir, dirs[i]));
		write_file(guest_in(path, "secret"));
		assert_int_equal(chmod(guest_in(path, "secret"), 0777), 0);
		assert_int_equal(symlink("x", guest_in(path, "link")), 0);
		assert_int_equal(symlink(path, guest_in(guest_in(dir, "out"), trees[i])), 0);
	}
	return dir;
}

/* All that a write would change: ctime tells of attributes too. What was made unreadable bare is missing, which is a difference as well. */
static char *list_trees(const char *dir)
{
	char command[PATH_MAX + 300], *text = calloc(1, 65536);
	FILE *f;

	snprintf(
		command, sizeof(command),
		"cd %.4000s && find work first second -printf '%%p %%i %%m %%n %%s %%T@ %%C@ %%l\\n' 2>/dev/null | sort; "
		"find work first second -type f 2>/dev/null | sort | xargs cksum 2>/dev/null",
		dir);
	f = popen(command, "r");
	assert_true(f && text);
	assert_true(fread(text, 1, 65535, f) > 0);
	assert_int_not_equal(pclose(f), -1);
	return text;
}

static struct sluice_policy *branch_policy(const char *dir)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_allow_write(p, dir, NULL), 0);
	assert_int_equal(sluice_policy_set_workdir(p, guest_in(dir, "work"), NULL), 0);
	assert_int_equal(sluice_policy_set_storage(p, guest_in(dir, "storage"), NULL), 0);
	for (size_t i = 1; i < N_OF(trees); i++)
		assert_int_equal(sluice_policy_add_lower(p, guest_in(dir, trees[i]), NULL), 0);
	assert_int_equal(sluice_policy_set_on_exit(p, SLUICE_COW_ABORT), 0);
	return p;
}

/* The role, bare or in a branch: how much was done, and whether the trees are as they were. */
static int run(bool branch, bool *ret_same)
{
	const char *dir = make_trees();
	char arg[PATH_MAX + 64], *before = list_trees(dir), *after;
	struct sluice_policy *p = branch ? branch_policy(dir) : NULL;
	int fds[2 * N_OF(dirs)], n = snprintf(arg, sizeof(arg), "%s", dir), r;

	for (size_t i = 0; i < N_OF(fds); i++) {
		char path[PATH_MAX + 64];

		snprintf(path, sizeof(path), "%s", guest_in(dir, dirs[i / 2]));
		fds[i] = open(i % 2 ? guest_in(path, "secret") : path, O_RDONLY);
		assert_true(fds[i] >= 0);
		n += snprintf(arg + n, sizeof(arg) - (size_t)n, " %d", fds[i]);
	}
	r = branch ? guest_inside(p, "write", arg) : guest_bare("write", arg);
	after = list_trees(dir);
	*ret_same = !strcmp(before, after);
	if (branch && !*ret_same)
		guest_text_differences("lower trees", before, after);
	for (size_t i = 0; i < N_OF(fds); i++)
		close(fds[i]);
	sluice_policy_unref(p);
	free(before);
	free(after);
	guest_remove(dir);
	return r;
}

static void hazard_F1_lower_trees_are_never_written(void **state)
{
	bool same;

	(void)state;
	assert_true(run(false, &same) >= 150);
	assert_false(same);
	if (guest_descriptors_can_be_got()) {
		/* the changes are made, elsewhere */
		assert_true(run(true, &same) >= 150);
		assert_true(same);
	}
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_F1_lower_trees_are_never_written),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("lower-trees", tests, NULL, NULL);
}
