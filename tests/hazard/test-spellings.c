/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every spelling of every call that takes a path: a handler on it sees the path, the second path and the directory descriptors where the
 * kernel takes them from. The table is written down here a second time, from the manual pages, so that it checks the library's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "engine/dispatch.h"
#include "builtin/builtin.h"
#include "sandbox/sandbox.h"
#include "sandbox/tree.h"

/* Newer than the headers of Debian 12. */
#define NR_SETXATTRAT 463
#define NR_GETXATTRAT 464
#define NR_LISTXATTRAT 465
#define NR_REMOVEXATTRAT 466

#define HIGH_BITS 0xabcd00000000ul /* what the kernel does not look at in a descriptor */

struct spelling {
	const char *name;
	int dirfd, path, dirfd2, path2; /* argument positions; -1 none */
};

/* clang-format off */
static const struct spelling spellings[] = {
	{ "open", -1, 0, -1, -1 },		{ "creat", -1, 0, -1, -1 },
	{ "openat", 0, 1, -1, -1 },		{ "openat2", 0, 1, -1, -1 },
	{ "stat", -1, 0, -1, -1 },		{ "lstat", -1, 0, -1, -1 },
	{ "newfstatat", 0, 1, -1, -1 },		{ "statx", 0, 1, -1, -1 },
	{ "access", -1, 0, -1, -1 },		{ "faccessat", 0, 1, -1, -1 },
	{ "faccessat2", 0, 1, -1, -1 },		{ "chmod", -1, 0, -1, -1 },
	{ "fchmodat", 0, 1, -1, -1 },		{ "fchmodat2", 0, 1, -1, -1 },
	{ "chown", -1, 0, -1, -1 },		{ "lchown", -1, 0, -1, -1 },
	{ "fchownat", 0, 1, -1, -1 },		{ "rename", -1, 0, -1, 1 },
	{ "renameat", 0, 1, 2, 3 },		{ "renameat2", 0, 1, 2, 3 },
	{ "link", -1, 0, -1, 1 },		{ "linkat", 0, 1, 2, 3 },
	{ "symlink", -1, 0, -1, 1 },		{ "symlinkat", -1, 0, 1, 2 },
	{ "mknod", -1, 0, -1, -1 },		{ "mknodat", 0, 1, -1, -1 },
	{ "mkdir", -1, 0, -1, -1 },		{ "mkdirat", 0, 1, -1, -1 },
	{ "rmdir", -1, 0, -1, -1 },		{ "unlink", -1, 0, -1, -1 },
	{ "unlinkat", 0, 1, -1, -1 },		{ "readlink", -1, 0, -1, -1 },
	{ "readlinkat", 0, 1, -1, -1 },		{ "utime", -1, 0, -1, -1 },
	{ "utimes", -1, 0, -1, -1 },		{ "futimesat", 0, 1, -1, -1 },
	{ "utimensat", 0, 1, -1, -1 },		{ "setxattr", -1, 0, -1, -1 },
	{ "lsetxattr", -1, 0, -1, -1 },		{ "getxattr", -1, 0, -1, -1 },
	{ "lgetxattr", -1, 0, -1, -1 },		{ "listxattr", -1, 0, -1, -1 },
	{ "llistxattr", -1, 0, -1, -1 },	{ "removexattr", -1, 0, -1, -1 },
	{ "lremovexattr", -1, 0, -1, -1 },	{ "setxattrat", 0, 1, -1, -1 },
	{ "getxattrat", 0, 1, -1, -1 },		{ "listxattrat", 0, 1, -1, -1 },
	{ "removexattrat", 0, 1, -1, -1 },	{ "file_getattr", 0, 1, -1, -1 },
	{ "file_setattr", 0, 1, -1, -1 },	{ "truncate", -1, 0, -1, -1 },
	{ "chdir", -1, 0, -1, -1 },		{ "chroot", -1, 0, -1, -1 },
	{ "statfs", -1, 0, -1, -1 },		{ "inotify_add_watch", -1, 1, -1, -1 },
	{ "fanotify_mark", 3, 4, -1, -1 },	{ "execve", -1, 0, -1, -1 },
	{ "execveat", 0, 1, -1, -1 },		{ "acct", -1, 0, -1, -1 },
	{ "swapon", -1, 0, -1, -1 },		{ "swapoff", -1, 0, -1, -1 },
	{ "pivot_root", -1, 0, -1, 1 },		{ "mount", -1, 1, -1, 0 },
	{ "umount2", -1, 0, -1, -1 },		{ "open_tree", 0, 1, -1, -1 },
	{ "open_tree_attr", 0, 1, -1, -1 },	{ "fspick", 0, 1, -1, -1 },
	{ "move_mount", 0, 1, 2, 3 },		{ "mount_setattr", 0, 1, -1, -1 },
	{ "name_to_handle_at", 0, 1, -1, -1 },	{ "quotactl", -1, 1, -1, -1 },
	{ "uselib", -1, 0, -1, -1 },
};

/* What sounds like it and takes no path. */
static const char *const pathless[] = {
	"fstat", "fstatfs", "ustat", "fchmod", "fchown", "ftruncate", "fchdir", "fsetxattr", "fgetxattr", "flistxattr",
	"fremovexattr", "fsmount", "statmount", "listmount", "open_by_handle_at", "mq_open", "mq_unlink", "mq_notify", "inotify_rm_watch", "quotactl_fd", "inotify_init", "inotify_init1", "perf_event_open",
	"pidfd_open", "fsopen", "sched_setattr", "sched_getattr", "mq_getsetattr", "rt_sigtimedwait", "epoll_pwait2",
	"preadv2", "pwritev2", "vmsplice", "set_mempolicy_home_node", "cachestat", "lsm_get_self_attr", "lsm_set_self_attr",
	"kexec_load", "kexec_file_load", "fanotify_init",
};
/* clang-format on */

static const char *const sounds[] = {
	"open",	   "stat",    "link",	  "xattr",  "chmod",  "chown",	   "mk",
	"rename",  "rmdir",   "chdir",	  "chroot", "mount",  "swapo",	   "truncate",
	"utime",   "access",  "exec",	  "acct",   "notify", "to_handle", "uselib",
	"getattr", "setattr", "quotactl", "pivot",  "fspick",
};

static bool is_in(const char *name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(name, list[i]))
			return true;
	}
	return false;
}

static bool is_spelling(const char *name)
{
	for (size_t i = 0; i < N_OF(spellings); i++) {
		if (!strcmp(name, spellings[i].name))
			return true;
	}
	return false;
}

static bool sounds_like_a_path(const char *name)
{
	for (size_t i = 0; i < N_OF(sounds); i++) {
		if (strstr(name, sounds[i]))
			return true;
	}
	return false;
}

/* -1: not on this architecture, or a built-in never lets an extra see it. */
static int number_of(const struct spelling *s)
{
	return strcmp(s->name, "file_setattr") != 0 ? sluice_syscall_number(s->name) : -1;
}

/* ---- the guest ---- */

static char first[PATH_MAX], second[PATH_MAX]; /* files that are there, where writing is granted */

static void name_files(const char *dir)
{
	snprintf(first, sizeof(first), "%s/first", dir);
	snprintf(second, sizeof(second), "%s/second", dir);
}

#define FIRST_FD 71
#define SECOND_FD 72

/* What a built-in looks at before it lets an extra see the call: the name of an attribute, and its size. */
static void fill_attribute(const char *call, unsigned long a[6])
{
	static const char zeros[64];
	bool at = strstr(call, "xattrat");

	if (!strstr(call, "xattr"))
		return;
	a[at ? 3 : 1] = (unsigned long)"user.test";
	a[at ? 4 : 2] = (unsigned long)zeros;
	if (at)
		a[5] = 16;
}

/* Make each call raw, with the files in directory ARG: 0, or 1 + the index of the first whose errno is not the handler's. */
static int guest_all(const char *dir)
{
	name_files(dir);
	for (size_t i = 0; i < N_OF(spellings); i++) {
		const struct spelling *s = &spellings[i];
		unsigned long a[6] = { 0 };
		int nr = number_of(s);

		if (nr < 0)
			continue;
		fill_attribute(s->name, a);
		if (s->dirfd >= 0)
			a[s->dirfd] = HIGH_BITS | FIRST_FD;
		if (s->dirfd2 >= 0)
			a[s->dirfd2] = HIGH_BITS | SECOND_FD;
		if (s->path >= 0)
			a[s->path] = (unsigned long)first;
		if (s->path2 >= 0)
			a[s->path2] = (unsigned long)second;
		if (syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]) >= 0 || errno != ENOANO)
			return 1 + (int)i;
	}
	return 0;
}

/* The calls that take a socket's address; each must come back with the handler's errno. */
static int guest_addresses(const char *arg)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "/nonexistent/socket" };
	long p = (long)(uintptr_t)&sa;

	(void)arg;
	if (syscall(SYS_connect, 9, p, sizeof(sa)) >= 0 || errno != ENOANO)
		return 1;
	if (syscall(SYS_bind, 9, p, sizeof(sa)) >= 0 || errno != ENOANO)
		return 2;
	if (syscall(SYS_sendto, 9, "x", 1, 0, p, sizeof(sa)) >= 0 || errno != ENOANO)
		return 3;
	return 0;
}

/* ---- no path at all ---- */

#define SAY(call) printf("%s: %d\n", #call, (call) < 0 ? errno : 0)

/* What AT_EMPTY_PATH and its kind make of no path, and of structures that grew. */
static int guest_no_path(const char *dir)
{
	const int here = open(dir, O_RDONLY | O_DIRECTORY),
		  file = openat(here, "f", O_RDWR | O_CREAT, 0600);
	const long none = 0, cwd = AT_FDCWD, nobody = -99, empty = AT_EMPTY_PATH;
	const struct timespec times[2] = { { 1, 0 }, { 2, 0 } };
	struct {
		uint64_t value;
		uint32_t size, flags;
		uint64_t more;
	} set = { (uintptr_t) "v", 1, 0, 0 }, get = { 0 }, grown = { (uintptr_t) "v", 1, 0, 1 };
	char buf[4096];

	get.value = (uintptr_t)buf;
	get.size = sizeof(buf);
	if (here < 0 || file < 0 || fchdir(here) < 0)
		return 1;
	for (int i = 0; i < 3; i++) {
		const long fd = i == 0 ? file : i == 1 ? cwd : nobody;

		SAY(syscall(SYS_newfstatat, fd, none, buf, empty));
		SAY(syscall(SYS_newfstatat, fd, none, buf, 0));
		SAY(syscall(SYS_newfstatat, fd, "f", buf, AT_STATX_FORCE_SYNC));
		SAY(syscall(SYS_statx, fd, none, empty, STATX_BASIC_STATS, buf));
		SAY(syscall(SYS_utimensat, fd, none, times, 0));
		SAY(syscall(SYS_utimensat, fd, none, times, AT_SYMLINK_NOFOLLOW));
		SAY(syscall(SYS_utimensat, fd, none, times, empty));
		SAY(syscall(SYS_futimesat, fd, none, none));
		SAY(syscall(NR_SETXATTRAT, fd, none, empty, "user.one", &set, 16));
		SAY(syscall(NR_SETXATTRAT, fd, none, empty, "user.one", &set, 24));
		SAY(syscall(NR_SETXATTRAT, fd, none, empty, "user.one", &grown, 24));
		SAY(syscall(NR_SETXATTRAT, fd, none, empty, "user.one", buf, 4097));
		SAY(syscall(NR_GETXATTRAT, fd, none, empty, "user.one", &get, 16));
		SAY(syscall(NR_GETXATTRAT, fd, none, empty, "user.one", &get, 24));
		SAY(syscall(NR_GETXATTRAT, fd, none, empty, "user.one", &grown, 24));
		SAY(syscall(NR_REMOVEXATTRAT, fd, none, 0, "user.one"));
	}
	/* not of the working directory: Linux 6.18 takes that for setxattrat and getxattrat alone */
	SAY(syscall(NR_LISTXATTRAT, (long)file, none, empty, buf, sizeof(buf)));
	SAY(syscall(NR_REMOVEXATTRAT, (long)file, none, empty, "user.one"));
	return fflush(stdout);
}

static const struct guest_role roles[] = {
	{ "all", guest_all },
	{ "no_path", guest_no_path },
	{ "addresses", guest_addresses },
	{ NULL, NULL },
};

/* ---- the handlers ---- */

struct sight {
	const struct spelling *spelling;
	_Atomic int calls; /* with our path */
	_Atomic int wrong; /* bit a question: path, dirfd, path2, dirfd2, one too many */
};

static bool is_path(struct sluice_request *req, unsigned which, const char *want)
{
	const char *path;

	return sluice_request_path(req, which, &path) == (ssize_t)strlen(want) &&
	       !strcmp(path, want);
}

static struct sluice_verdict look(struct sluice_request *req, void *userdata)
{
	struct sight *s = userdata;
	const struct spelling *is = s->spelling;
	const char *path;
	int wrong = 0;

	if (!is_path(req, 0, first)) { /* the guest's own start, or wrong */
		atomic_fetch_or(&s->wrong, s->calls ? 0 : 1);
		return sluice_continue();
	}
	atomic_store(&s->wrong, 0);
	wrong |= sluice_request_dirfd(req, 0) != (is->dirfd < 0 ? AT_FDCWD : FIRST_FD) ? 2 : 0;
	if (is->path2 >= 0) {
		wrong |= !is_path(req, 1, second) ? 4 : 0;
		wrong |= sluice_request_dirfd(req, 1) != (is->dirfd2 < 0 ? AT_FDCWD : SECOND_FD)
				 ? 8
				 : 0;
	} else {
		wrong |= sluice_request_path(req, 1, &path) != -EINVAL ? 16 : 0;
	}
	atomic_fetch_add(&s->calls, 1);
	atomic_fetch_or(&s->wrong, wrong);
	return sluice_errno(ENOANO);
}

static void hazard_B1_every_spelling_is_seen(void **state)
{
	static struct sight sights[N_OF(spellings)];
	static struct sluice_handler extras[N_OF(spellings)];
	struct sluice_policy *p = guest_policy();
	const char *dir = guest_dir();
	size_t n = 0;
	int r;

	(void)state;
	name_files(dir);
	close(open(first, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	close(open(second, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(sluice_policy_allow_write(p, dir, NULL), 0);
	for (size_t i = 0; i < N_OF(spellings); i++) {
		int nr = number_of(&spellings[i]);

		if (nr < 0)
			continue;
		sights[n].spelling = &spellings[i];
		extras[n] = (struct sluice_handler){ .nr = nr, .fn = look, .userdata = &sights[n] };
		n++;
		/* those on the deny list, too */
		assert_int_equal(sluice_policy_allow_syscall(p, spellings[i].name, NULL), 0);
	}
	r = guest_run(p, extras, n, "all", dir).exit_code;
	if (r)
		fail_msg("%s: not answered by its handler", spellings[r - 1].name);
	for (size_t i = 0; i < n; i++) {
		if (!sights[i].calls || sights[i].wrong)
			fail_msg("%s: seen %d times, wrong: 0x%x", sights[i].spelling->name,
				 sights[i].calls, sights[i].wrong);
	}
	sluice_policy_unref(p);
	guest_remove(dir);
}

static void hazard_B1_no_call_with_a_path_is_forgotten(void **state)
{
	int n = 0;

	(void)state;
	for (int nr = 0; nr < 1000; nr++) {
		const char *name = sluice_syscall_name(nr);

		if (!name || !sounds_like_a_path(name))
			continue;
		if (!is_spelling(name) && !is_in(name, pathless, N_OF(pathless)))
			fail_msg("%s (%d): has it a path?", name, nr);
		n++;
	}
	assert_true(n > 60);
}

/* With a tree of the command's own, the kernel must resolve no path: each call is a built-in's, or refused by the filter whatever its arguments. */
static void hazard_B1_every_call_with_a_path_is_the_trees(void **state)
{
	int numbers[DISPATCH_MAX_NR];
	struct sluice_policy *p = guest_policy();
	struct sandbox_tree *tree = NULL;
	struct dispatch *d = NULL;
	const char *dir = guest_dir();
	size_t n, found = 0;

	(void)state;
	assert_int_equal(sluice_policy_set_chroot(p, dir, NULL), 0);
	assert_int_equal(sandbox_tree_new(p, "test", &tree, NULL), 0);
	assert_int_equal(dispatch_build(p, tree, &(struct builtin_sandbox){ 0 }, NULL, 0, &d, NULL),
			 0);
	n = dispatch_numbers(d, numbers, DISPATCH_MAX_NR);
	for (size_t i = 0; i < N_OF(spellings); i++) {
		int nr = sluice_syscall_number(spellings[i].name);
		bool trapped = nr < 0;

		for (size_t k = 0; k < n && !trapped; k++)
			trapped = numbers[k] == nr;
		found += trapped && nr >= 0;
		if (!trapped)
			fail_msg("%s (%d): is it the kernel that resolves its path?",
				 spellings[i].name, nr);
	}
	assert_true(found > 60);
	dispatch_free(d);
	sandbox_tree_free(tree);
	sluice_policy_unref(p);
	guest_remove(dir);
}

static struct sluice_verdict look_at_address(struct sluice_request *req, void *userdata)
{
	struct sockaddr_storage sa;
	const struct sockaddr_un *un = (const struct sockaddr_un *)&sa;

	(void)userdata;
	if (sluice_request_sockaddr(req, &sa) != sizeof(*un) || un->sun_family != AF_UNIX ||
	    strcmp(un->sun_path, "/nonexistent/socket") != 0)
		return sluice_continue();
	return sluice_errno(ENOANO);
}

static void hazard_B1_every_socket_address_is_seen(void **state)
{
	const struct sluice_handler extras[] = {
		{ .nr = SYS_connect, .fn = look_at_address },
		{ .nr = SYS_bind, .fn = look_at_address },
		{ .nr = SYS_sendto, .fn = look_at_address },
	};

	struct sluice_policy *p = guest_policy();

	(void)state;
	/* then no built-in answers connect before the extras */
	assert_int_equal(sluice_policy_allow_write(p, "/", NULL), 0);
	assert_int_equal(guest_bare("addresses", ""), 1);
	assert_int_equal(guest_run(p, extras, 3, "addresses", "").exit_code, 0);
	sluice_policy_unref(p);
}

static void hazard_B1_no_path_is_as_bare(void **state)
{
	const char *dirs[] = { guest_dir(), guest_dir(), guest_dir() };
	char *text[3];
	struct sluice_policy *p = guest_policy();

	(void)state;
	assert_int_equal(sluice_policy_allow_write(p, "/", NULL), 0);
	text[0] = guest_text(NULL, NULL, 0, "no_path", dirs[0]);
	text[1] = guest_text(p, NULL, 0, "no_path", dirs[1]);
	assert_int_equal(sluice_policy_deny_path(p, dirs[0], NULL),
			 0); /* with that it has a tree of its own */
	text[2] = guest_text(p, NULL, 0, "no_path", dirs[2]);
	if (!strncmp(strchr(text[0], '\n') - 3, ": 0", 3)) { /* Linux 6.11 */
		assert_int_equal(guest_text_differences("plain", text[0], text[1]), 0);
		assert_int_equal(guest_text_differences("tree", text[0], text[2]), 0);
	}
	sluice_policy_unref(p);
	for (unsigned i = 0; i < 3; i++) {
		free(text[i]);
		guest_remove(dirs[i]);
	}
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_B1_every_spelling_is_seen),
		cmocka_unit_test(hazard_B1_no_call_with_a_path_is_forgotten),
		cmocka_unit_test(hazard_B1_every_call_with_a_path_is_the_trees),
		cmocka_unit_test(hazard_B1_every_socket_address_is_seen),
		cmocka_unit_test(hazard_B1_no_path_is_as_bare),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("spellings", tests, NULL, NULL);
}
