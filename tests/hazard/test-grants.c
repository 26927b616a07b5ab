/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Grants by names that lead elsewhere: a path is looked up when a sandbox is started, by the kernel's rules and by the built-ins' alike, however often the
 * policy was used before; a sandbox that runs keeps what its start found.
 */
#define _GNU_SOURCE
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

/* ---- inside ---- */

enum {
	OPEN_A = 1,
	CHANGE_A = 2,
	OPEN_B = 4,
	CHANGE_B = 8,
};
#define ONLY_A (OPEN_A | CHANGE_A)
#define ONLY_B (OPEN_B | CHANGE_B)

/* What may be done to a file: open it for writing (the kernel judges), change its mode (a built-in does). */
static int reach(const char *path, int opened, int changed)
{
	int fd = open(path, O_WRONLY), r = 0;

	if (fd >= 0) {
		close(fd);
		r |= opened;
	}
	return chmod(path, 0644) == 0 ? r | changed : r;
}

static int reach_both(const char *dir)
{
	return reach(guest_in(dir, "a/s/f"), OPEN_A, CHANGE_A) |
	       reach(guest_in(dir, "b/s/f"), OPEN_B, CHANGE_B);
}

static int guest_reach(const char *dir)
{
	return reach_both(dir);
}

/* "OUT IN DIR": the same before and after somebody has done something outside; 200 when they differ. */
static int guest_reach_twice(const char *arg)
{
	char dir[4000], c = 'x';
	int out, back, first;

	if (sscanf(arg, "%d %d %3999s", &out, &back, dir) != 3)
		return 201;
	first = reach_both(dir);
	if (write(out, &c, 1) != 1 || read(back, &c, 1) != 1)
		return 202;
	return reach_both(dir) == first ? first : 200;
}

static const struct guest_role roles[] = {
	{ "reach", guest_reach },
	{ "reach-twice", guest_reach_twice },
	{ NULL, NULL },
};

/* ---- outside ---- */

static void put(const char *top, const char *name)
{
	char dir[PATH_MAX];
	int fd;

	snprintf(dir, sizeof(dir), "%s/%s", top, name);
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(mkdir(guest_in(dir, "s"), 0755), 0);
	fd = open(guest_in(dir, "s/f"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	close(fd);
}

/* DIR/a/s/f, DIR/b/s/f, and DIR/link, which leads to a. */
static const char *place(void)
{
	const char *dir = guest_dir();

	put(dir, "a");
	put(dir, "b");
	assert_int_equal(symlink("a", guest_in(dir, "link")), 0);
	assert_int_equal(guest_bare("reach", dir), ONLY_A | ONLY_B);
	return dir;
}

/* In one step, so that it leads somewhere at any moment. */
static void point(const char *dir, const char *target)
{
	assert_int_equal(symlink(target, guest_in(dir, "new")), 0);
	assert_int_equal(rename(guest_in(dir, "new"), guest_in(dir, "link")), 0);
}

static struct sluice_policy *writable(const char *path)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_allow_write(p, path, NULL), 0);
	return p;
}

static void hazard_C1_a_grant_that_is_a_link(void **state)
{
	static const char *const grants[] = { "link", "link/s", "link/s/f" };

	(void)state;
	for (size_t i = 0; i < N_OF(grants); i++) {
		const char *dir = place();
		struct sluice_policy *p = writable(guest_in(dir, grants[i]));

		for (int round = 0; round < 3; round++) {
			assert_int_equal(guest_inside(p, "reach", dir), ONLY_A);
			assert_int_equal(guest_inside(p, "reach", dir), ONLY_A);
			point(dir, "b");
			assert_int_equal(guest_inside(p, "reach", dir), ONLY_B);
			assert_int_equal(guest_inside(p, "reach", dir), ONLY_B);
			point(dir, "a");
		}
		sluice_policy_unref(p);
		guest_remove(dir);
	}
}

/* The names of a and b are exchanged: the same text, another file. */
static void hazard_C1_a_grant_that_is_another_directory_now(void **state)
{
	const char *dir = place();
	struct sluice_policy *p = writable(guest_in(dir, "a"));

	(void)state;
	for (int round = 0; round < 3; round++) {
		assert_int_equal(guest_inside(p, "reach", dir), ONLY_A);
		assert_int_equal(renameat2(AT_FDCWD, guest_in(dir, "a"), AT_FDCWD,
					   guest_in(dir, "b"), RENAME_EXCHANGE),
				 0);
	}
	sluice_policy_unref(p);
	guest_remove(dir);
}

/* The directory was moved, and a link is left where it was: the same file by another name. */
static void hazard_C1_a_grant_that_became_a_link(void **state)
{
	static const char *const grants[] = { "a", "a/s" };

	(void)state;
	for (size_t i = 0; i < N_OF(grants); i++) {
		const char *dir = place();
		struct sluice_policy *p = writable(guest_in(dir, grants[i]));

		assert_int_equal(guest_inside(p, "reach", dir), ONLY_A);
		assert_int_equal(rename(guest_in(dir, "a"), guest_in(dir, "moved")), 0);
		assert_int_equal(symlink("moved", guest_in(dir, "a")), 0);
		assert_int_equal(guest_inside(p, "reach", dir), ONLY_A);
		sluice_policy_unref(p);
		guest_remove(dir);
	}
}

static void hazard_C1_a_running_sandbox_keeps_its_grants(void **state)
{
	struct sluice_spawn_options o = { .size = sizeof(o) };
	const char *dir = place();
	struct sluice_policy *p = writable(guest_in(dir, "link"));
	struct sluice_sandbox *s;
	struct sluice_result r;
	char arg[PATH_MAX], c;
	int out[2], back[2];

	(void)state;
	assert_int_equal(pipe(out), 0);
	assert_int_equal(pipe(back), 0);
	snprintf(arg, sizeof(arg), "%d %d %s", out[1], back[0], dir);
	s = guest_spawn(p, &o, "reach-twice", arg);
	assert_int_equal(read(out[0], &c, 1), 1);
	point(dir, "b");
	assert_int_equal(guest_inside(p, "reach", dir), ONLY_B);
	assert_int_equal(write(back[1], &c, 1), 1);
	assert_int_equal(sluice_sandbox_wait(s, 20000, &r), 0);
	assert_int_equal(r.exit_code, ONLY_A);
	sluice_sandbox_free(s);
	for (int i = 0; i < 2; i++) {
		close(out[i]);
		close(back[i]);
	}
	sluice_policy_unref(p);
	guest_remove(dir);
}

/* A link to nowhere is no grant, and no sandbox without it either. */
static void hazard_D1_a_grant_that_leads_nowhere(void **state)
{
	const char *const argv[] = { "/bin/true", NULL };
	const char *dir = place();
	struct sluice_policy *p = writable(guest_in(dir, "link"));
	struct sluice_error err = { 0 };

	(void)state;
	assert_int_equal(sluice_run(p, argv, NULL, &err), 0);
	point(dir, "nowhere");
	assert_int_equal(sluice_run(p, argv, NULL, &err), -ENOENT);
	assert_non_null(strstr(err.text, "link"));
	point(dir, "b");
	assert_int_equal(guest_inside(p, "reach", dir), ONLY_B);
	sluice_policy_unref(p);
	guest_remove(dir);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_C1_a_grant_that_is_a_link),
		cmocka_unit_test(hazard_C1_a_grant_that_is_another_directory_now),
		cmocka_unit_test(hazard_C1_a_grant_that_became_a_link),
		cmocka_unit_test(hazard_C1_a_running_sandbox_keeps_its_grants),
		cmocka_unit_test(hazard_D1_a_grant_that_leads_nowhere),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("grants", tests, NULL, NULL);
}
