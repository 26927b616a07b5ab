/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execveat by descriptor and from directories, raw and in every spelling, by fork and by vfork. With a tree whose root is the host's the kernel does
 * it, and it comes to the same as bare; where the kernel would not execute the very file, it is ENOSYS, and nothing is executed.
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
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

/* ---- inside ---- */

enum {
	DIR_FD = 40, /* the directory with the programs */
	PROGRAM_FD,
	CLOSING_FD, /* close-on-exec, as all but PROGRAM_FD and SCRIPT_FD are */
	SCRIPT_FD,
	CLOSING_SCRIPT_FD,
	PLAIN_FD,
	PATH_FD,
	MOUNTED_FD,
	MEMORY_FD,
};

static const struct spelling {
	const char *name;
	int dirfd;
	const char *path;
	int flags;
} spellings[] = {
	{ "fd", PROGRAM_FD, "", AT_EMPTY_PATH },
	{ "closing fd", CLOSING_FD, "", AT_EMPTY_PATH },
	{ "fd of a path", PATH_FD, "", AT_EMPTY_PATH },
	{ "script", SCRIPT_FD, "", AT_EMPTY_PATH },
	{ "closing script", CLOSING_SCRIPT_FD, "", AT_EMPTY_PATH },
	{ "memory", MEMORY_FD, "", AT_EMPTY_PATH },
	{ "no program", PLAIN_FD, "", AT_EMPTY_PATH },
	{ "directory", DIR_FD, "", AT_EMPTY_PATH },
	{ "here", AT_FDCWD, "", AT_EMPTY_PATH },
	{ "nothing", DIR_FD, "", 0 },
	{ "no fd", 99, "", AT_EMPTY_PATH },
	{ "no directory", 99, "prog", 0 },
	{ "not a directory", PROGRAM_FD, "prog", 0 },
	{ "name", DIR_FD, "prog", 0 },
	{ "name, empty allowed", DIR_FD, "prog", AT_EMPTY_PATH },
	{ "dots", DIR_FD, "./sub/../prog", 0 },
	{ "link", DIR_FD, "link", 0 },
	{ "link itself", DIR_FD, "link", AT_SYMLINK_NOFOLLOW },
	{ "file itself", DIR_FD, "prog", AT_SYMLINK_NOFOLLOW },
	{ "missing", DIR_FD, "none", 0 },
	{ "plain", DIR_FD, "plain", 0 },
	{ "absolute", DIR_FD, "/bin/true", 0 },
	{ "absolute, no directory", 99, "/bin/false", 0 },
	{ "flags", PROGRAM_FD, "", AT_EMPTY_PATH | 1 },
};

static const struct spelling elsewhere[] = {
	{ "fd of a mounted file", MOUNTED_FD, "", AT_EMPTY_PATH },
	{ "name in a mount", DIR_FD, "../../../../../../../../mounted/prog", 0 },
	{ "mounted, absolute", DIR_FD, "/mounted/prog", 0 },
};

/* 3 + what the program returns, or 200 + errno. The child of a vfork writes nothing of its parent's. */
static int execute(const struct spelling *s, bool by_vfork)
{
	char *const argv[] = { (char *)"prog", (char *)"-c", (char *)"exit 3", NULL };
	pid_t pid = by_vfork ? vfork() : fork();
	int status;

	if (pid == 0) {
		syscall(SYS_execveat, s->dirfd, s->path, argv, environ, s->flags);
		_exit(200 + errno);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 199;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 198;
}

static void put_fd(int fd, int at, int flags)
{
	if (fd < 0 || dup3(fd, at, flags) < 0)
		_exit(200);
	close(fd);
}

static int copy_to_memory(const char *path)
{
	int from = open(path, O_RDONLY | O_CLOEXEC), to = (int)syscall(SYS_memfd_create, "m", 1);
	char buf[4096];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		if (write(to, buf, (size_t)n) != n)
			return -1;
	}
	close(from);
	return to;
}

static int open_all(const char *dir, bool mounted)
{
	if (chdir(dir) < 0)
		return 201;
	put_fd(open(".", O_RDONLY | O_DIRECTORY), DIR_FD, O_CLOEXEC);
	put_fd(open("prog", O_RDONLY), PROGRAM_FD, 0);
	put_fd(open("prog", O_RDONLY), CLOSING_FD, O_CLOEXEC);
	put_fd(open("prog", O_PATH), PATH_FD, O_CLOEXEC);
	put_fd(open("script", O_RDONLY), SCRIPT_FD, 0);
	put_fd(open("script", O_RDONLY), CLOSING_SCRIPT_FD, O_CLOEXEC);
	put_fd(open("plain", O_RDONLY), PLAIN_FD, O_CLOEXEC);
	put_fd(copy_to_memory("prog"), MEMORY_FD, O_CLOEXEC);
	if (mounted)
		put_fd(open("/mounted/prog", O_RDONLY), MOUNTED_FD, O_CLOEXEC);
	return 0;
}

/* One line a spelling. ARG: the directory. */
static int role_spell(const char *dir)
{
	int r = open_all(dir, false);

	for (size_t i = 0; r == 0 && i < N_OF(spellings); i++)
		printf("%s: %d %d\n", spellings[i].name, execute(&spellings[i], false),
		       execute(&spellings[i], true));
	return r;
}

static int role_elsewhere(const char *dir)
{
	int r = open_all(dir, true);

	for (size_t i = 0; r == 0 && i < N_OF(elsewhere); i++) {
		if (execute(&elsewhere[i], false) != 200 + ENOSYS ||
		    execute(&elsewhere[i], true) != 200 + ENOSYS)
			r = 1 + (int)i;
	}
	return r;
}

/* What C libraries make of ENOSYS. */
static int role_fexecve(const char *dir)
{
	char *const argv[] = { (char *)"prog", (char *)"-c", (char *)"exit 3", NULL };
	const int fds[] = { PROGRAM_FD, CLOSING_FD, MOUNTED_FD, SCRIPT_FD };
	int status, r = open_all(dir, true);

	for (size_t i = 0; r == 0 && i < N_OF(fds); i++) {
		pid_t pid = fork();

		if (pid == 0) {
			fexecve(fds[i], argv, environ);
			_exit(200 + errno);
		}
		if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != (i < 3 ? 3 : 4))
			r = 1 + (int)i;
	}
	return r;
}

static int role_inherited(const char *arg)
{
	const struct spelling s = { "inherited", PROGRAM_FD, "", AT_EMPTY_PATH };

	(void)arg;
	return execute(&s, true);
}

static const struct guest_role roles[] = {
	{ "spell", role_spell },
	{ "inherited", role_inherited },
	{ "elsewhere", role_elsewhere },
	{ "fexecve", role_fexecve },
	{ NULL, NULL },
};

/* ---- outside ---- */

static void put_file(const char *dir, const char *name, const char *text, mode_t mode)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0700);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

/* The programs: a shell, a script of it, and what is none. */
static const char *programs(void)
{
	const char *dir = guest_dir();
	char command[PATH_MAX + 64];

	assert_int_equal(chmod(dir, 0755), 0);
	snprintf(command, sizeof(command),
		 "cp -L /bin/sh %s/prog && mkdir %s/sub && ln -s prog %s/link", dir, dir, dir);
	assert_int_equal(system(command), 0);
	put_file(dir, "script", "#!/bin/sh\nexit 4\n", 0755);
	put_file(dir, "plain", "nothing\n", 0755);
	return dir;
}

/* The host's root, with something mounted. */
static struct sluice_policy *host_root(const char *mounted)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(
		sluice_policy_add_mount(p, "/mounted", mounted, SLUICE_MOUNT_READ_ONLY, NULL), 0);
	return p;
}

static void test_as_the_kernel_where_it_is_the_hosts(void **state)
{
	const char *dir = programs(), *other = programs();
	struct sluice_policy *p = host_root(other);
	char *bare = guest_text(NULL, NULL, 0, "spell", dir);
	char *inside = guest_text(p, NULL, 0, "spell", dir);

	(void)state;
	assert_non_null(strstr(bare, "fd: 3 3\n"));
	assert_non_null(strstr(bare, "script: 4 4\n"));
	assert_non_null(strstr(bare, "name: 3 3\n"));
	assert_int_equal(guest_text_differences("spellings", bare, inside), 0);
	free(inside);
	free(bare);
	assert_int_equal(guest_inside(p, "elsewhere", dir), 0);
	assert_int_equal(guest_inside(p, "fexecve", dir), 0);
	sluice_policy_unref(p);
	guest_remove(other);
	guest_remove(dir);
}

/* A descriptor from before, of a program that nothing grants. */
static void test_grants_hold(void **state)
{
	static const char *const granted[] = { "/usr", "/lib", "/lib32", "/lib64", "/proc" };
	const char *dir = programs(), *other = programs();
	struct sluice_policy *all = host_root(other), *p = sluice_policy_new();
	char path[PATH_MAX];

	(void)state;
	snprintf(path, sizeof(path), "%s/prog", dir);
	put_fd(open(path, O_RDONLY), PROGRAM_FD, 0);
	assert_int_equal(guest_inside(all, "inherited", ""), 3);
	for (size_t i = 0; i < N_OF(granted); i++) {
		if (access(granted[i], F_OK) == 0)
			assert_int_equal(sluice_policy_allow_read(p, granted[i], NULL), 0);
	}
	assert_int_equal(sluice_policy_allow_read(p, guest_program(), NULL), 0);
	assert_int_equal(
		sluice_policy_add_mount(p, "/mounted", other, SLUICE_MOUNT_READ_ONLY, NULL), 0);
	assert_int_equal(guest_inside(p, "inherited", ""), 200 + EACCES);
	close(PROGRAM_FD);
	sluice_policy_unref(all);
	sluice_policy_unref(p);
	guest_remove(other);
	guest_remove(dir);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_the_kernel_where_it_is_the_hosts),
		cmocka_unit_test(test_grants_hold),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
