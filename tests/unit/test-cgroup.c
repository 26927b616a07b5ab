/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a group is made, and what is left of it, on files that look like a hierarchy. What the kernel does with a real one needs a delegated group, which live/limits uses where there is one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "sys/cgroup.h"

static const char *put(const char *own, const char *name, const char *text)
{
	static char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", own, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	return path;
}

static bool is_there(const char *own, const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", own, name);
	return access(path, F_OK) == 0;
}

static void test_a_controller_that_is_handed_down(void **state)
{
	const char *own = guest_dir();
	struct cgroup a, b;

	(void)state;
	put(own, "cgroup.subtree_control", "cpu pids\n");
	put(own, "cgroup.controllers", "cpu memoryx pids\n");
	assert_int_equal(cgroup_make(&a, own, "memory"), -EOPNOTSUPP);
	put(own, "cgroup.subtree_control", "cpu memory pids\n");
	assert_int_equal(cgroup_make(&a, own, "memory"), -ENOENT);
	put(own, "cgroup.procs", "");
	assert_int_equal(cgroup_make(&a, own, "memory"), 0);
	assert_int_equal(cgroup_make(&b, own, "memory"), 0);
	assert_true(is_there(own, a.name));
	assert_string_not_equal(a.name, b.name);
	assert_int_equal(cgroup_set(&a, "memory.max", "1"), -ENOENT);
	cgroup_drop(&a);
	cgroup_drop(&b);
	assert_int_equal(guest_entries(own), 3);
	guest_remove(own);
}

static void test_a_controller_that_must_be_asked_for(void **state)
{
	const char *own = guest_dir();
	char text[64] = "", path[4096];
	struct cgroup c;
	int fd;

	(void)state;
	put(own, "cgroup.subtree_control", "");
	put(own, "cgroup.controllers", "memory\n");
	put(own, "cgroup.procs", "");
	if (geteuid() == 0) {
		assert_int_equal(cgroup_make(&c, own, "memory"), -EPERM);
		if (setxattr(own, "user.delegate", "1", 1, 0) < 0) {
			guest_remove(own); /* a file system without such attributes */
			return;
		}
	}
	assert_int_equal(cgroup_make(&c, own, "memory"), 0);
	cgroup_drop(&c);
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", own);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "+memory");
	close(fd);
	guest_remove(own);
}

static void test_what_the_dead_have_left(void **state)
{
	const char *own = guest_dir();
	char name[64], path[4096];
	struct cgroup c;
	pid_t dead = fork();

	(void)state;
	if (dead == 0)
		_exit(0);
	assert_true(dead > 0);
	assert_int_equal(waitpid(dead, NULL, 0), dead);
	put(own, "cgroup.subtree_control", "memory\n");
	put(own, "cgroup.procs", "");
	snprintf(path, sizeof(path), "%s/sluice-%d-7", own, (int)dead);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/sluice-supervisor", own);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(name, sizeof(name), "sluice-%d-77", (int)getpid());
	snprintf(path, sizeof(path), "%s/%s", own, name);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(cgroup_make(&c, own, "memory"), 0);
	assert_true(is_there(own, name));
	assert_true(is_there(own, "sluice-supervisor"));
	cgroup_drop(&c);
	assert_int_equal(guest_entries(own), 4);
	guest_remove(own);
}

static void test_numbers(void **state)
{
	const char *own = guest_dir();
	int fd = open(put(own, "memory.current", "4096000\n"), O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(cgroup_number(fd, NULL), 4096000);
	assert_int_equal(cgroup_number(fd, NULL), 4096000);
	close(fd);
	fd = open(put(own, "memory.events", "low 0\noom 9\noom_kill 3\noom_group_kill 1\n"),
		  O_RDONLY | O_CLOEXEC);
	assert_int_equal(cgroup_number(fd, "oom_kill"), 3);
	assert_int_equal(cgroup_number(fd, "oom"), 9);
	assert_int_equal(cgroup_number(fd, "oo"), 0);
	close(fd);
	assert_int_equal(cgroup_number(-1, NULL), 0);
	guest_remove(own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_controller_that_is_handed_down),
		cmocka_unit_test(test_a_controller_that_must_be_asked_for),
		cmocka_unit_test(test_what_the_dead_have_left),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
