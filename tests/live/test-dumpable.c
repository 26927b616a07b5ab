/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that ask not to be looked into, as agents of keys do: their calls are carried out all the same.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "../support/unix.h"

/* ---- inside ---- */

static int connected(const char *path)
{
	int listener = unix_listen(path, SOCK_STREAM, 4), fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un sa;
	socklen_t len = unix_address(&sa, path);

	if (listener < 0)
		return 10;
	return connect(fd, (struct sockaddr *)&sa, len) < 0 ? errno : 0;
}

static int files_made(void)
{
	int fd = open("file", O_RDWR | O_CREAT, 0600);
	struct stat st;

	if (fd < 0)
		return errno;
	return mkdir("dir", 0700) < 0 || rename("file", "dir/file") < 0 || stat("dir/file", &st) < 0
		       ? errno
		       : 0;
}

/* In directory @dir; a child of its as well. Which of them went wrong. */
static int guest_agent(const char *dir)
{
	struct utsname name;
	int status, r;

	if (chdir(dir) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return 200;
	if (uname(&name) < 0)
		return 201;
	r = files_made();
	if (r)
		return 202;
	if (fork() == 0)
		_exit(connected("socket"));
	wait(&status);
	return status ? 203 : 0;
}

/* Other values are the kernel's to judge. */
static int guest_values(const char *arg)
{
	(void)arg;
	if (prctl(PR_SET_DUMPABLE, 2, 0, 0, 0) == 0 || errno != EINVAL)
		return 1;
	if (prctl(PR_SET_DUMPABLE, 1UL << 32, 0, 0, 0) == 0 || errno != EINVAL)
		return 2;
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0 || prctl(PR_GET_DUMPABLE) != 1)
		return 3;
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ? 4 : 0;
}

/* ---- outside ---- */

/* @dir may be written; @as_kernel: prctl is the kernel's alone. */
static struct sluice_policy *policy(const char *dir, bool as_kernel)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_allow_write(p, dir, NULL), 0);
	if (as_kernel)
		assert_int_equal(sluice_policy_allow_syscall(p, "prctl", NULL), 0);
	return p;
}

static int agent(bool root, bool as_kernel)
{
	const char *dir = guest_dir();
	struct sluice_policy *p = policy(dir, as_kernel);
	int r;

	if (root)
		assert_int_equal(sluice_policy_set_chroot(p, ROOT_BY_ANOTHER_NAME, NULL), 0);
	r = guest_inside(p, "agent", dir);
	sluice_policy_unref(p);
	guest_remove(dir);
	return r;
}

static void test_agents_work(void **state)
{
	const char *dir = guest_dir();

	(void)state;
	assert_int_equal(guest_bare("agent", dir), 0);
	guest_remove(dir);
	if (!guest_descriptors_can_be_got())
		return; /* sockets can't be had of any process */
	assert_int_equal(agent(false, false), 0);
	assert_int_equal(agent(true, false), 0);
}

/* What it is for: the kernel keeps us from whom it may not be looked into. */
static void test_the_kernel_keeps_it(void **state)
{
	(void)state;
	assert_int_equal(agent(false, true), 201);
	assert_int_equal(agent(true, true), 201);
}

static void test_other_values(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("values", ""), 0);
	assert_int_equal(guest_inside(NULL, "values", ""), 0);
}

int main(int argc, char *argv[])
{
	static const struct guest_role roles[] = { { "agent", guest_agent },
						   { "values", guest_values },
						   { NULL, NULL } };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agents_work),
		cmocka_unit_test(test_the_kernel_keeps_it),
		cmocka_unit_test(test_other_values),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("dumpable", tests, NULL, NULL);
}
