/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execve through the launcher, in a sandbox where nothing else is trapped: the resolver is the host's own tree, so whatever differs from a bare exec
 * is the doing of images, slots, and the two bytes. Hazard A10 has its tests here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "builtin/files/exec.h"

#define EXECS (2000 / GUEST_SLOW)
/* What is executed many times: a sanitizer's start would take longer than all else. It takes any arguments. */
#define QUICK "/bin/true"

/* ---- inside ---- */

/* Ends well when it is executed at all. */
static int role_true(const char *arg)
{
	return 0;
}

static char *const child_argv[] = { (char *)"self", (char *)"--inside", (char *)"true", (char *)"",
				    NULL };

/* Execute @path in a vfork child; its exit status, or 200 + errno when the exec failed. */
static int vfork_exec(const char *path, char *const *argv)
{
	int status;
	pid_t pid = vfork();

	if (pid == 0) {
		execve(path, argv, environ);
		_exit(errno + 200 > 255 ? 255 : 200 + errno);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 199;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 198;
}

/* By which file does the kernel say that we run? */
static int role_image(const char *arg)
{
	char exe[PATH_MAX], path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n < 0)
		return 1;
	exe[n] = '\0';
	if (exec_path_of(getpid(), path, sizeof(path)) < 0)
		return 2;
	return strstr(exe, "/e/") && !strcmp(path, arg) ? 0 : 3;
}

static int role_shell(const char *arg)
{
	int status = system(arg);

	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* The vfork parent looks at the string as soon as it can: @place holds it, with neighbours. */
static int look_after_exec(char *place, size_t size, const char *path)
{
	char *before = malloc(size);
	int changed = 0;

	if (!before)
		return 150;
	memcpy(before, place, size);
	for (int i = 0; i < EXECS; i++) {
		if (vfork_exec(path, child_argv) != 0)
			return 151;
		changed += memcmp(place, before, size) != 0;
	}
	free(before);
	return changed ? 152 : 0;
}

static int role_vfork_heap(const char *arg)
{
	char *path = strdup(arg);

	return path ? look_after_exec(path, strlen(path) + 1, path) : 149;
}

/* Behind the path's NUL comes other data at once, and before it too. */
static int role_vfork_packed(const char *arg)
{
	size_t n = strlen(arg);
	char *place = malloc(n + 33);

	memset(place, 'x', n + 33);
	memcpy(place + 16, arg, n + 1);
	return look_after_exec(place, n + 33, place + 16);
}

/* One page that ends with the path's NUL; then nothing. */
static int role_vfork_page_end(const char *arg)
{
	size_t n = strlen(arg) + 1;
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(pages + 4096, 4096);
	memcpy(pages + 4096 - n, arg, n);
	return look_after_exec(pages + 4096 - n, n, pages + 4096 - n);
}

static int role_vfork_read_only(const char *arg)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	strcpy(page, arg);
	mprotect(page, 4096, PROT_READ);
	return look_after_exec(page, strlen(arg) + 1, page);
}

static int role_vfork_shared(const char *arg)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	strcpy(page, arg);
	return look_after_exec(page, strlen(arg) + 1, page);
}

/* Shared and read-only: nobody can write there, so the exec is refused and nothing is changed. */
static int role_shared_read_only(const char *arg)
{
	int fd = memfd_create("path", MFD_CLOEXEC);
	const char *page;

	if (write(fd, arg, strlen(arg) + 1) < 0 || ftruncate(fd, 4096) < 0)
		return 1;
	page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return 2;
	if (vfork_exec(page, child_argv) != 200 + EACCES)
		return 3;
	return strcmp(page, arg) ? 4 : 0;
}

/* ---- another thread looks all the time: it is told how often it saw the slot's name, which is not never ---- */

struct watch {
	const char *path;
	char first;
	_Atomic int stop;
	_Atomic long looks, changes;
};

static void *watch_path(void *arg)
{
	struct watch *w = arg;
	bool was = false;

	while (!atomic_load(&w->stop)) {
		bool is = *(volatile const char *)w->path != w->first;

		w->looks++;
		w->changes += is && !was;
		was = is;
	}
	return NULL;
}

static int role_watched(const char *arg)
{
	struct watch w = { .path = strdup(arg), .first = arg[0] };
	pthread_t t;
	int r = 0;

	if (!w.path || pthread_create(&t, NULL, watch_path, &w))
		return 1;
	for (int i = 0; i < EXECS / 4 && r == 0; i++)
		r = vfork_exec(w.path, child_argv);
	atomic_store(&w.stop, 1);
	pthread_join(t, NULL);
	fprintf(stderr, "another thread saw %ld of %d execs in %ld looks\n", w.changes, EXECS / 4,
		w.looks);
	return r || strcmp(w.path, arg) ? 2 : 0;
}

/* ---- one string, many threads ---- */

static const char *shared_path;

static void *spawn_many(void *arg)
{
	_Atomic int *wrong = arg;

	for (int i = 0; i < EXECS / 10; i++) {
		pid_t pid;
		int status;

		if (posix_spawn(&pid, shared_path, NULL, NULL, child_argv, environ) ||
		    waitpid(pid, &status, 0) != pid || status)
			(*wrong)++;
	}
	return NULL;
}

static int role_threads(const char *arg)
{
	_Atomic int wrong = 0;
	pthread_t t[4];

	shared_path = arg;
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, spawn_many, &wrong);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	return wrong > 100 ? 100 : wrong;
}

/* Forked children that execute at the same time: same address, other memory. */
static int role_storm(const char *arg)
{
	int wrong = 0, status;

	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 80; i++) {
			if (fork() == 0) {
				execve(arg, child_argv, environ);
				_exit(1);
			}
		}
		for (int i = 0; i < 80; i++)
			wrong += wait(&status) < 0 || status != 0;
	}
	return wrong > 100 ? 100 : wrong;
}

/* A thread that is not the first executes; the others end. */
static void *exec_here(void *arg)
{
	execve(arg, child_argv, environ);
	return NULL;
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static int role_thread_execs(const char *arg)
{
	pthread_t t;

	pthread_create(&t, NULL, idle, NULL);
	pthread_create(&t, NULL, exec_here, (void *)(uintptr_t)arg);
	pthread_join(t, NULL);
	return 1;
}

/* ---- failures ---- */

static int role_errors(const char *arg)
{
	char path[] = "/nowhere/x", *big = malloc(300000);
	char *huge[] = { (char *)"x", big, NULL };
	char *name = strdup(arg);

	memset(big, 'b', 299999);
	big[299999] = '\0';
	if (vfork_exec(path, child_argv) != 200 + ENOENT || strcmp(path, "/nowhere/x"))
		return 1;
	if (vfork_exec("/etc/passwd", child_argv) != 200 + EACCES)
		return 2;
	if (vfork_exec("/", child_argv) != 200 + EACCES)
		return 3;
	if (vfork_exec("", child_argv) != 200 + ENOENT)
		return 4;
	if (vfork_exec((char *)8, child_argv) != 200 + EFAULT)
		return 5;
	/* the kernel itself refuses it, after it was let go */
	if (vfork_exec(name, huge) != 200 + E2BIG || strcmp(name, arg))
		return 6;
	if (vfork_exec(name, child_argv) != 0)
		return 7;
	return 0;
}

static int role_descriptor(const char *arg)
{
	int fd = open(arg, O_RDONLY | O_CLOEXEC), status;
	pid_t pid = fork();

	if (pid == 0) {
		fexecve(fd, child_argv, environ);
		_exit(1);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		return 1;
	if (syscall(SYS_execveat, fd, "", child_argv, environ, AT_EMPTY_PATH) == 0 ||
	    errno != ENOSYS)
		return 2;
	if (syscall(SYS_execveat, AT_FDCWD, arg, child_argv, environ, 0x1000000) == 0 ||
	    errno != EINVAL)
		return 3;
	syscall(SYS_execveat, AT_FDCWD, arg, child_argv, environ, 0);
	return 4;
}

/* No descriptor is left over in the new program. */
static int role_descriptors(const char *arg)
{
	int n = 0;

	for (int fd = 0; fd < 200; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int role_spawn_rate(const char *arg)
{
	char path[PATH_MAX];
	char *const argv[] = { path, (char *)"version", NULL };
	struct timespec a, b;
	int n = 300;

	snprintf(path, sizeof(path), "%s", arg);
	for (int i = 0; i < 20; i++)
		vfork_exec(path, argv);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < n; i++)
		vfork_exec(path, argv);
	clock_gettime(CLOCK_MONOTONIC, &b);
	fprintf(stderr, "%s: %.1f us\n", path,
		((double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3) / n);
	return 0;
}

static const struct guest_role roles[] = {
	{ "true", role_true },
	{ "image", role_image },
	{ "shell", role_shell },
	{ "vfork-heap", role_vfork_heap },
	{ "vfork-packed", role_vfork_packed },
	{ "vfork-page-end", role_vfork_page_end },
	{ "vfork-read-only", role_vfork_read_only },
	{ "vfork-shared", role_vfork_shared },
	{ "shared-read-only", role_shared_read_only },
	{ "watched", role_watched },
	{ "threads", role_threads },
	{ "storm", role_storm },
	{ "thread-execs", role_thread_execs },
	{ "errors", role_errors },
	{ "descriptor", role_descriptor },
	{ "descriptors", role_descriptors },
	{ "spawn-rate", role_spawn_rate },
	{ NULL, NULL },
};

/* ---- the embedder ---- */

static int resolve_host(void *ctx, struct sluice_request *req, int dirfd, const char *path,
			int flags, char ret_virtual[PATH_MAX], bool *ret_native)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char link[32], proc[64];
	struct stat st;
	ssize_t n;

	*ret_native = false; /* it is the launcher that is tested */
	/* what the task's own descriptor names */
	if (!*path || !strncmp(path, "/proc/self/", 11)) {
		if (*path)
			snprintf(proc, sizeof(proc), "/proc/%d/%s", (int)sluice_request_tid(req),
				 path + 11);
		else
			snprintf(proc, sizeof(proc), "/proc/%d/fd/%d", (int)sluice_request_tid(req),
				 dirfd);
		if (fd >= 0)
			close(fd);
		fd = open(proc, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0)
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, ret_virtual, PATH_MAX - 1);
	if (n < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || access(link, X_OK) < 0) {
		close(fd);
		return -EACCES;
	}
	ret_virtual[n] = '\0';
	return fd;
}

static int inside(const char *role, const char *arg)
{
	const char *dir = guest_dir();
	struct sluice_policy *p = guest_policy();
	struct sluice_error err = { 0 };
	struct sluice_handler extras[2];
	struct sluice_result r;
	struct exec *x = NULL;

	if (exec_new(dir, resolve_host, NULL, &x, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(sluice_policy_allow_write(p, dir, NULL), 0);
	assert_int_equal(sluice_policy_allow_write(p, "/proc", NULL), 0);
	assert_int_equal(sluice_policy_set_cwd(p, dir, NULL), 0);
	extras[0] = sluice_handler_make("exec", SYS_execve, exec_handle, x);
	extras[1] = sluice_handler_make("exec", SYS_execveat, exec_handle, x);
	r = guest_run(p, extras, 2, role, arg);
	sluice_policy_unref(p);
	exec_free(x);
	guest_remove(dir);
	return r.exit_code;
}

static void same(const char *role, const char *arg)
{
	assert_int_equal(guest_bare(role, arg), 0);
	assert_int_equal(inside(role, arg), 0);
}

static void test_image(void **state)
{
	assert_int_equal(guest_bare("image", guest_program()), 2);
	assert_int_equal(inside("image", guest_program()), 0);
}

static void test_shell(void **state)
{
	same("shell", "test \"$(echo a | cat | tr a b)\" = b");
	same("shell", "x=$(/bin/ls /etc | wc -l); test $x -gt 3");
	same("shell", "for i in 1 2 3 4 5 6 7 8; do /bin/true & done; wait");
}

static void test_unchanged(void **state)
{
	same("vfork-heap", QUICK);
	same("vfork-packed", QUICK);
	same("vfork-page-end", QUICK);
	same("vfork-read-only", QUICK);
	same("vfork-shared", QUICK);
}

static void test_unwritable(void **state)
{
	assert_int_equal(guest_bare("shared-read-only", guest_program()), 3); /* works */
	assert_int_equal(inside("shared-read-only", guest_program()), 0);
}

static void test_watched(void **state)
{
	same("watched", QUICK);
}

static void test_threads(void **state)
{
	same("threads", QUICK);
}

static void test_storm(void **state)
{
	same("storm", QUICK);
}

static void test_thread_execs(void **state)
{
	same("thread-execs", guest_program());
}

static void test_errors(void **state)
{
	same("errors", guest_program());
}

static void test_descriptor(void **state)
{
	assert_int_equal(inside("descriptor", guest_program()), 0);
	assert_int_equal(inside("descriptors", ""), guest_bare("descriptors", ""));
}

/* A measurement, only where it is asked for: EXEC_RATE=/bin/true:/other/program. */
static void test_rate(void **state)
{
	const char *programs = getenv("EXEC_RATE");
	char *copy = strdup(programs ? programs : ""), *save = NULL;

	for (char *path = strtok_r(copy, ":", &save); path; path = strtok_r(NULL, ":", &save))
		same("spawn-rate", path);
	free(copy);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_image),	  cmocka_unit_test(test_shell),
		cmocka_unit_test(test_errors),	  cmocka_unit_test(test_descriptor),
		cmocka_unit_test(test_unchanged), cmocka_unit_test(test_unwritable),
		cmocka_unit_test(test_watched),	  cmocka_unit_test(test_threads),
		cmocka_unit_test(test_storm),	  cmocka_unit_test(test_thread_execs),
		cmocka_unit_test(test_rate),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
