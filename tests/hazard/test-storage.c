/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the supervisor keeps on disk: branches, and a private directory with what the kernel executes. A command that may write where they lie does not reach them, and what it leaves in
 * their place leads the next start nowhere else.
 *
 *	DIR/work		the working directory, DIR is granted for writing
 *	DIR/storage		the branches
 *	DIR/sluice-UID		private directories
 *	DIR/victim/some/file	not ours
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "../support/root.h"

#define CHECK ROOT_CHECK
#define NOT_THERE 100

static char base[PATH_MAX];

static const char *at(const char *name)
{
	static char buf[8][PATH_MAX + 300];
	static unsigned next;
	char *path = buf[next++ % 8];

	snprintf(path, sizeof(buf[0]), "%s/%s", base, name);
	return path;
}

static const char *private_parent(void)
{
	char name[32];

	snprintf(name, sizeof(name), "sluice-%u", (unsigned)geteuid());
	return at(name);
}

/* ---- inside ---- */

/* How many entries a directory shows by any of its names. */
static int role_entries(const char *dir)
{
	char path[4][2 * PATH_MAX];
	const char *last = strrchr(dir, '/') + 1;
	int most = 0;

	snprintf(path[0], sizeof(path[0]), "%s", dir);
	snprintf(path[1], sizeof(path[1]), "/proc/self/root%s", dir);
	snprintf(path[2], sizeof(path[2]), "%s/../%s/.", dir, last);
	snprintf(path[3], sizeof(path[3]), "%.*s/link-there", (int)(last - dir - 1), dir);
	unlink(path[3]);
	CHECK(symlink(dir, path[3]) == 0);
	for (unsigned i = 0; i < 4; i++) {
		int n = guest_entries(path[i]);

		n = n < 0 ? NOT_THERE : n;
		most = n > most ? n : most;
	}
	return most;
}

static int role_make(const char *dir)
{
	return mkdir(dir, 0700) < 0 ? errno : 0;
}

/* Sleeps until its standard input ends. */
static int role_wait(const char *arg)
{
	char c;

	(void)arg;
	return read(STDIN_FILENO, &c, 1) == 0 ? 0 : 1;
}

static int role_nothing(const char *arg)
{
	(void)arg;
	return 0;
}

/* ---- branches ---- */

static struct sluice_policy *policy(void)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_allow_write(p, base, NULL), 0);
	return p;
}

static struct sluice_policy *branch_policy(enum sluice_cow_action action)
{
	struct sluice_policy *p = policy();

	assert_int_equal(sluice_policy_set_workdir(p, at("work"), NULL), 0);
	assert_int_equal(sluice_policy_set_storage(p, at("storage"), NULL), 0);
	assert_int_equal(sluice_policy_set_on_exit(p, action), 0);
	return p;
}

static int inside(enum sluice_cow_action action, const char *role, const char *arg)
{
	struct sluice_policy *p = branch_policy(action);
	int r = guest_inside(p, role, arg);

	sluice_policy_unref(p);
	return r;
}

/* The name of a branch in the storage. */
static bool find_branch(char name[NAME_MAX + 1])
{
	DIR *d = opendir(at("storage"));
	struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d))) {
		found = e->d_name[0] != '.';
		if (found)
			strcpy(name, e->d_name);
	}
	if (d)
		closedir(d);
	return found;
}

/* Who may write there could say which directory a commit goes to. */
static void hazard_F1_branches_are_not_the_commands(void **state)
{
	char name[NAME_MAX + 1], path[2 * NAME_MAX];

	(void)state;
	if (!guest_descriptors_can_be_got())
		return;
	assert_int_equal(inside(SLUICE_COW_KEEP, "nothing", ""), 0);
	assert_true(find_branch(name));
	assert_int_equal(guest_bare("entries", at("storage")), 1);
	/* neither another branch nor the command's own */
	assert_int_equal(inside(SLUICE_COW_ABORT, "entries", at("storage")), 0);
	snprintf(path, sizeof(path), "storage/%s/upper/new", name);
	assert_int_equal(guest_bare("make", at(path)), 0);
	assert_int_equal(rmdir(at(path)), 0);
	assert_int_equal(inside(SLUICE_COW_ABORT, "make", at(path)), ENOENT);
	assert_int_equal(inside(SLUICE_COW_ABORT, "make", at("storage/new")), EROFS);
}

/* A storage that has other things, too, can't be taken out of sight: then it is the command's own branch. */
static void hazard_F1_the_commands_own_branch_is_not_its_own(void **state)
{
	struct sluice_policy *p;

	(void)state;
	if (!guest_descriptors_can_be_got())
		return;
	assert_int_equal(mkdir(at("storage/other"), 0755), 0);
	p = branch_policy(SLUICE_COW_KEEP);
	assert_int_equal(sluice_policy_set_branch(p, "own", NULL), 0);
	assert_int_equal(guest_inside(p, "nothing", ""), 0);
	assert_true(guest_bare("entries", at("storage/own")) >= 4);
	assert_int_equal(guest_inside(p, "entries", at("storage/other")), 0);
	assert_int_equal(guest_inside(p, "make", at("storage/other/new")), 0);
	assert_int_equal(access(at("storage/other/new"), F_OK), 0);
	assert_int_equal(guest_inside(p, "entries", at("storage/own")), 0);
	assert_int_equal(guest_inside(p, "make", at("storage/own/upper/new")), ENOENT);
	sluice_policy_unref(p);
}

/* ---- the private directory ---- */

static struct sluice_policy *tree_policy(void)
{
	struct sluice_policy *p = policy();

	assert_int_equal(sluice_policy_deny_path(p, at("victim"), NULL), 0);
	return p;
}

/* What the kernel executes for one sandbox is not another's to write. */
static void hazard_C1_programs_of_others_are_not_reached(void **state)
{
	struct sluice_policy *plain = policy(), *tree = tree_policy();
	struct sluice_spawn_options o = { .size = sizeof(o), .stdio = { SLUICE_STDIO_PIPE } };
	struct sluice_sandbox *s = guest_spawn(tree, &o, "wait", "");
	int end = sluice_sandbox_pipe(s, 0);

	(void)state;
	assert_true(end >= 0);
	assert_in_range(guest_bare("entries", private_parent()), 1, NOT_THERE - 1);
	assert_in_range(guest_inside(plain, "entries", private_parent()), 1, NOT_THERE - 1);
	assert_int_equal(guest_inside(tree, "entries", private_parent()), 0);
	close(end);
	assert_int_equal(sluice_sandbox_wait(s, -1, NULL), 0);
	sluice_sandbox_free(s);
	sluice_policy_unref(plain);
	sluice_policy_unref(tree);
}

static bool victim_is_whole(void)
{
	return access(at("victim/some/file"), F_OK) == 0;
}

/* What killed processes left is removed by the next start, but not what a link of the command's leads to. */
static void hazard_C2_a_link_where_ours_should_be(void **state)
{
	struct sluice_policy *kinds[] = { tree_policy(), policy() };
	char left[PATH_MAX + 340];

	(void)state;
	assert_int_equal(sluice_policy_set_proc(kinds[1], SLUICE_PROC_OWN), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(mkdir(private_parent(), 0700), 0);
		snprintf(left, sizeof(left), "%s/left", private_parent());
		assert_int_equal(mkdir(left, 0700), 0);
		assert_int_equal(guest_inside(kinds[i], "nothing", ""), 0);
		assert_int_equal(access(left, F_OK), -1);
		sluice_policy_unref(kinds[i]);
		assert_int_equal(access(private_parent(), F_OK), -1);
	}
	kinds[0] = tree_policy();
	kinds[1] = policy();
	assert_int_equal(sluice_policy_set_proc(kinds[1], SLUICE_PROC_OWN), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(symlink(at("victim"), private_parent()), 0);
		assert_int_equal(guest_inside(kinds[i], "nothing", ""), 0);
		assert_true(victim_is_whole());
		sluice_policy_unref(kinds[i]);
		assert_true(victim_is_whole());
		assert_int_equal(unlink(private_parent()), 0);
	}
}

/* ---- */

static const struct guest_role roles[] = {
	{ "entries", role_entries }, { "make", role_make }, { "wait", role_wait },
	{ "nothing", role_nothing }, { NULL, NULL },
};

static int make_base(void **state)
{
	static const char *const names[] = { "work", "storage", "victim", "victim/some" };
	int fd;

	(void)state;
	snprintf(base, sizeof(base), "%s", guest_dir());
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(mkdir(at(names[i]), 0700), 0);
	fd = open(at("victim/some/file"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	return setenv("XDG_RUNTIME_DIR", base, 1);
}

static int remove_base(void **state)
{
	(void)state;
	guest_remove(base);
	return 0;
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_C1_programs_of_others_are_not_reached),
		cmocka_unit_test(hazard_C2_a_link_where_ours_should_be),
		cmocka_unit_test(hazard_F1_branches_are_not_the_commands),
		cmocka_unit_test(hazard_F1_the_commands_own_branch_is_not_its_own),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("storage", tests, make_base, remove_base);
}
