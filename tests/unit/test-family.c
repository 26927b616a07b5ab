/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of path calls: every spelling is there, and its arguments are where the kernel has them.
 */
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#include "confine/confinement.h"
#include "task/family.h"

#include "../support/cmocka.h"

static const struct {
	const char *name;
	enum family family;
	int dirfd, path, dirfd2, path2;
} wanted[] = {
	{ "open", FAMILY_OPEN, -1, 0, -1, -1 },
	{ "creat", FAMILY_OPEN, -1, 0, -1, -1 },
	{ "openat", FAMILY_OPEN, 0, 1, -1, -1 },
	{ "openat2", FAMILY_OPEN, 0, 1, -1, -1 },
	{ "stat", FAMILY_STAT, -1, 0, -1, -1 },
	{ "lstat", FAMILY_STAT, -1, 0, -1, -1 },
	{ "newfstatat", FAMILY_STAT, 0, 1, -1, -1 },
	{ "statx", FAMILY_STAT, 0, 1, -1, -1 },
	{ "access", FAMILY_ACCESS, -1, 0, -1, -1 },
	{ "faccessat", FAMILY_ACCESS, 0, 1, -1, -1 },
	{ "faccessat2", FAMILY_ACCESS, 0, 1, -1, -1 },
	{ "chmod", FAMILY_CHMOD, -1, 0, -1, -1 },
	{ "fchmodat", FAMILY_CHMOD, 0, 1, -1, -1 },
	{ "fchmodat2", FAMILY_CHMOD, 0, 1, -1, -1 },
	{ "chown", FAMILY_CHOWN, -1, 0, -1, -1 },
	{ "lchown", FAMILY_CHOWN, -1, 0, -1, -1 },
	{ "fchownat", FAMILY_CHOWN, 0, 1, -1, -1 },
	{ "rename", FAMILY_RENAME, -1, 0, -1, 1 },
	{ "renameat", FAMILY_RENAME, 0, 1, 2, 3 },
	{ "renameat2", FAMILY_RENAME, 0, 1, 2, 3 },
	{ "link", FAMILY_LINK, -1, 0, -1, 1 },
	{ "linkat", FAMILY_LINK, 0, 1, 2, 3 },
	{ "symlink", FAMILY_SYMLINK, -1, 0, -1, 1 },
	{ "symlinkat", FAMILY_SYMLINK, -1, 0, 1, 2 },
	{ "mknod", FAMILY_MKNOD, -1, 0, -1, -1 },
	{ "mknodat", FAMILY_MKNOD, 0, 1, -1, -1 },
	{ "mkdir", FAMILY_MKDIR, -1, 0, -1, -1 },
	{ "mkdirat", FAMILY_MKDIR, 0, 1, -1, -1 },
	{ "rmdir", FAMILY_UNLINK, -1, 0, -1, -1 },
	{ "unlink", FAMILY_UNLINK, -1, 0, -1, -1 },
	{ "unlinkat", FAMILY_UNLINK, 0, 1, -1, -1 },
	{ "readlink", FAMILY_READLINK, -1, 0, -1, -1 },
	{ "readlinkat", FAMILY_READLINK, 0, 1, -1, -1 },
	{ "utime", FAMILY_UTIME, -1, 0, -1, -1 },
	{ "utimes", FAMILY_UTIME, -1, 0, -1, -1 },
	{ "futimesat", FAMILY_UTIME, 0, 1, -1, -1 },
	{ "utimensat", FAMILY_UTIME, 0, 1, -1, -1 },
	{ "setxattr", FAMILY_XATTR, -1, 0, -1, -1 },
	{ "lsetxattr", FAMILY_XATTR, -1, 0, -1, -1 },
	{ "getxattr", FAMILY_XATTR, -1, 0, -1, -1 },
	{ "lgetxattr", FAMILY_XATTR, -1, 0, -1, -1 },
	{ "listxattr", FAMILY_XATTR, -1, 0, -1, -1 },
	{ "llistxattr", FAMILY_XATTR, -1, 0, -1, -1 },
	{ "removexattr", FAMILY_XATTR, -1, 0, -1, -1 },
	{ "lremovexattr", FAMILY_XATTR, -1, 0, -1, -1 },
	{ "setxattrat", FAMILY_XATTR, 0, 1, -1, -1 },
	{ "getxattrat", FAMILY_XATTR, 0, 1, -1, -1 },
	{ "listxattrat", FAMILY_XATTR, 0, 1, -1, -1 },
	{ "removexattrat", FAMILY_XATTR, 0, 1, -1, -1 },
	{ "truncate", FAMILY_TRUNCATE, -1, 0, -1, -1 },
	{ "chdir", FAMILY_CHDIR, -1, 0, -1, -1 },
	{ "statfs", FAMILY_STATFS, -1, 0, -1, -1 },
	{ "inotify_add_watch", FAMILY_WATCH, -1, 1, -1, -1 },
	{ "fanotify_mark", FAMILY_WATCH, 3, 4, -1, -1 },
	{ "execve", FAMILY_EXEC, -1, 0, -1, -1 },
	{ "execveat", FAMILY_EXEC, 0, 1, -1, -1 },
	{ "connect", FAMILY_SOCKADDR, -1, -1, -1, -1 },
	{ "bind", FAMILY_SOCKADDR, -1, -1, -1, -1 },
	{ "sendto", FAMILY_SOCKADDR, -1, -1, -1, -1 },
};

static void test_every_spelling(void **state)
{
	int there = 0;

	(void)state;
	for (size_t i = 0; i < N_OF(wanted); i++) {
		int nr = syscall_number(wanted[i].name);
		const struct family_call *f;

		if (nr < 0) /* an architecture without the old spellings */
			continue;
		there++;
		f = family_of(nr);
		if (!f)
			fail_msg("%s is not in the table", wanted[i].name);
		if (f->nr != nr || f->family != wanted[i].family || f->dirfd != wanted[i].dirfd ||
		    f->path != wanted[i].path || f->dirfd2 != wanted[i].dirfd2 ||
		    f->path2 != wanted[i].path2)
			fail_msg("%s: family %d, arguments %d %d %d %d", wanted[i].name, f->family,
				 f->dirfd, f->path, f->dirfd2, f->path2);
	}
	assert_true(there > 35);
}

static void test_arguments_lie_within_a_call(void **state)
{
	int n = 0;

	(void)state;
	for (int nr = -2; nr < 2000; nr++) {
		const struct family_call *f = family_of(nr);

		if (!f)
			continue;
		n++;
		assert_int_equal(f->nr, nr);
		assert_non_null(syscall_name(nr));
		assert_true(f->dirfd >= -1 && f->dirfd <= 5);
		assert_true(f->path >= -1 && f->path <= 5);
		assert_true(f->dirfd2 >= -1 && f->dirfd2 <= 5);
		assert_true(f->path2 >= -1 && f->path2 <= 5);
		assert_true(f->path2 < 0 || f->path2 != f->path);
	}
	assert_true(n >= 40);
}

static void test_calls_without_a_path_are_not_there(void **state)
{
	static const int nrs[] = { -1, SYS_read, SYS_write, SYS_close, SYS_getpid, SYS_uname };

	(void)state;
	for (size_t i = 0; i < N_OF(nrs); i++)
		assert_null(family_of(nrs[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_spelling),
		cmocka_unit_test(test_arguments_lie_within_a_call),
		cmocka_unit_test(test_calls_without_a_path_are_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
