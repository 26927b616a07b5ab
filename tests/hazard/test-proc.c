/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc as seen by the task: self is the caller, magic links are the task's own, and nothing of the supervisor's process can be opened
 * through an act on behalf, although the kernel would let an engine thread open all of it. With the host's /proc it is refused, with the sandbox's own it
 * is not there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "as_seen.h"
#include "../support/cmocka.h"
#include "../support/guest.h"

/* ---- guests ---- */

static int guest_open(const char *path)
{
	int fd = open(path, O_RDONLY);

	return fd < 0 ? errno : 0;
}

static int guest_open_write(const char *path)
{
	int fd = open(path, O_RDWR);

	return fd < 0 ? errno : 0;
}

/* "DIR NAME": open NAME relative to an O_PATH descriptor of DIR. */
static int guest_open_below(const char *arg)
{
	char dir[PATH_MAX], name[PATH_MAX];
	int at, fd;

	if (sscanf(arg, "%4095s %4095s", dir, name) != 2)
		return 200;
	at = open(dir, O_PATH | O_DIRECTORY);
	if (at < 0)
		return errno;
	fd = openat(at, name, O_RDONLY);
	return fd < 0 ? errno : 0;
}

/* A descriptor that only names PATH (the kernel gives it to anybody), opened again by openat2, which alone is trapped. */
static int guest_open_named(const char *path)
{
	struct open_how how = { .flags = O_RDONLY };
	char again[64];
	int fd = open(path, O_PATH);

	if (fd < 0)
		return 200;
	snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
	return syscall(SYS_openat2, AT_FDCWD, again, &how, sizeof(how)) < 0 ? errno : 0;
}

/* The descriptor that was opened by the first path must be found through the second. */
static int same_file(int a, int b)
{
	struct stat x, y;

	if (fstat(a, &x) < 0 || fstat(b, &y) < 0)
		return 0;
	return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Is what PATH (with %d for the thread id) opens the one that NAME says? */
static int says(const char *path, const char *needle)
{
	char text[8192];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return 0;
	text[n] = '\0';
	return strstr(text, needle) != NULL;
}

static void *self_in_thread(void *ret)
{
	char pid[32], path[64];
	int bad = 0;

	snprintf(pid, sizeof(pid), "\nPid:\t%d\n", gettid());
	snprintf(path, sizeof(path), "/proc/self/task/%d/status", gettid());
	bad += !says("/proc/thread-self/status", pid) ? 1 : 0;
	bad += !says(path, pid) ? 2 : 0;
	snprintf(pid, sizeof(pid), "\nPid:\t%d\n", getpid());
	bad += !says("/proc/self/status", pid) ? 4 : 0;
	*(int *)ret = bad;
	return NULL;
}

static int guest_self(const char *link)
{
	char pid[32];
	pthread_t t;
	int bad = 0, in_thread = 0;

	snprintf(pid, sizeof(pid), "\nPid:\t%d\n", getpid());
	if (!says("/proc/self/status", pid))
		return 201;
	if (!says("/proc/self/../self/status", pid) || !says("/proc//self/./status", pid))
		return 202;
	if (!says(link, pid)) /* a symbolic link to /proc/self/status */
		return 203;
	if (chdir("/proc") < 0 || !says("self/status", pid))
		return 204;
	if (chdir("/proc/self") < 0 || !says("status", pid) || !says("task/../status", pid))
		return 205;
	if (pthread_create(&t, NULL, self_in_thread, &in_thread))
		return 206;
	pthread_join(t, NULL);
	if (in_thread)
		return 100 + in_thread;
	/* a new process: nothing of its parent was kept */
	if (!fork()) {
		snprintf(pid, sizeof(pid), "\nPid:\t%d\n", getpid());
		_exit(says("/proc/self/status", pid) ? 0 : 1);
	}
	wait(&bad);
	return bad ? 207 : 0;
}

/* Descriptors that the task has and the supervisor has not, by each of their magic names. */
static int guest_magic(const char *file)
{
	static const char *const forms[] = { "/proc/self/fd/%d", "/dev/fd/%d",
					     "/proc/thread-self/fd/%d",
					     "/proc/self/task/../fd/%d" };
	int high, fd = open(file, O_RDONLY);
	char path[PATH_MAX];

	if (fd < 0)
		return 200;
	high = fcntl(fd, F_DUPFD, 200);
	if (high < 0)
		return 201;
	for (size_t i = 0; i < N_OF(forms); i++) {
		int again;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(path, sizeof(path), forms[i], high);
#pragma GCC diagnostic pop
		again = open(path, O_RDONLY);
		if (again < 0)
			return 10 + (int)i;
		if (!same_file(again, fd))
			return 20 + (int)i;
	}
	snprintf(path, sizeof(path), "/proc/self/cwd%s", file);
	if (chdir("/") < 0 || !same_file(fd, open(path, O_RDONLY)))
		return 30;
	snprintf(path, sizeof(path), "/proc/self/root%s", file);
	if (!same_file(fd, open(path, O_RDONLY)))
		return 31;
	if (dup2(fd, 0) != 0 || !same_file(fd, open("/dev/stdin", O_RDONLY)))
		return 32;
	return same_file(open("/proc/self/exe", O_RDONLY), open(guest_program(), O_RDONLY)) ? 0
											    : 33;
}

/* NAME in the /proc directory of our parent: the test when bare, the sandbox's init inside. */
static int guest_parent(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", getppid(), name);
	return guest_open(path);
}

/* "SECONDS DIR PID FD": the last component of DIR/flip is a file and a link to somebody's descriptor in turn; none of the opens may be that descriptor. */
static atomic_int stop;

struct flip {
	char name[PATH_MAX], one[PATH_MAX], two[PATH_MAX];
};

static void *flipper(void *arg)
{
	const struct flip *f = arg;

	while (!atomic_load(&stop)) {
		renameat2(AT_FDCWD, f->one, AT_FDCWD, f->name, RENAME_EXCHANGE);
	}
	return NULL;
}

static int guest_flip(const char *arg)
{
	struct flip f;
	char dir[PATH_MAX - 64], path[PATH_MAX];
	struct stat st;
	pthread_t t;
	int pid, n, opened = 0, leaked = 0;

	if (sscanf(arg, "%4000s %d %d", dir, &pid, &n) != 3)
		return 200;
	snprintf(f.name, sizeof(f.name), "%s/flip", dir);
	snprintf(f.one, sizeof(f.one), "%s/other", dir);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", n);
	if (symlink(path, f.one) < 0 || close(open(f.name, O_CREAT | O_WRONLY, 0600)) < 0)
		return 201;
	/* by way of a magic link, so that the supervisor has to walk */
	snprintf(path, sizeof(path), "/proc/self/root%s", f.name);
	if (pthread_create(&t, NULL, flipper, &f))
		return 202;
	for (int i = 0; i < 20000; i++) {
		int fd = open(path, O_RDONLY | O_NONBLOCK);

		if (fd < 0)
			continue;
		opened++;
		if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode))
			leaked++;
		close(fd);
	}
	atomic_store(&stop, 1);
	pthread_join(t, NULL);
	if (!opened)
		return 203;
	return leaked ? 1 : 0;
}

static const struct guest_role roles[] = {
	{ "open", guest_open }, { "write", guest_open_write }, { "below", guest_open_below },
	{ "self", guest_self }, { "magic", guest_magic },      { "parent", guest_parent },
	{ "flip", guest_flip }, { "named", guest_open_named }, { NULL, NULL },
};

static struct sluice_policy *own_policy(void)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_set_proc(p, SLUICE_PROC_OWN), 0);
	return p;
}

static int on_behalf(struct sluice_policy *p, const char *role, const char *arg)
{
	return guest_run(p, as_seen_opens, N_AS_SEEN_OPENS, role, arg).exit_code;
}

/* ---- the caller ---- */

static void hazard_A7_proc_self_is_the_caller(void **state)
{
	const char *dir = guest_dir();
	char link[PATH_MAX];

	(void)state;
	snprintf(link, sizeof(link), "%s/link", dir);
	assert_int_equal(symlink("/proc/self/status", link), 0);
	assert_int_equal(guest_bare("self", link), 0);
	assert_int_equal(guest_inside(NULL, "self", link), 0);
	assert_int_equal(on_behalf(NULL, "self", link), 0);
	guest_remove(dir);
}

static void hazard_B8_magic_links_are_the_tasks_own(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("magic", "/etc/passwd"), 0);
	assert_int_equal(guest_inside(NULL, "magic", "/etc/passwd"), 0);
	assert_int_equal(on_behalf(NULL, "magic", "/etc/passwd"), 0);
}

/* ---- the supervisor ---- */

static void hazard_G2_nothing_of_the_supervisor_can_be_opened(void **state)
{
	static const char *const names[] = { "environ", "maps", "fd/%d",	  "cwd/.",
					     "exe",	"mem",	"root/etc/passwd" };
	char path[PATH_MAX], name[64], below[PATH_MAX];
	struct sluice_policy *own = own_policy();
	const char *dir = guest_dir();
	int pipes[2];

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	for (size_t i = 0; i < N_OF(names); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(name, sizeof(name), names[i], pipes[0]);
#pragma GCC diagnostic pop
		snprintf(path, sizeof(path), "/proc/%d/%s", getpid(), name);
		if (strcmp(name, "mem") !=
		    0) /* opening that asks for more than a parent may have */
			assert_int_equal(guest_bare("open", path), 0);
		assert_int_equal(guest_inside(NULL, "open", path), EACCES);
		assert_int_equal(on_behalf(NULL, "open", path), EACCES);
		assert_int_equal(on_behalf(NULL, "write", path), EACCES);
		assert_int_equal(guest_inside(own, "open", path), ENOENT);
		assert_int_equal(on_behalf(own, "open", path), ENOENT);
		assert_int_equal(on_behalf(own, "write", path), ENOENT);
		snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", getpid(), gettid(), name);
		assert_int_equal(on_behalf(NULL, "open", path), EACCES);
		assert_int_equal(on_behalf(own, "open", path), ENOENT);
		/* from a descriptor that is in there already, and by a link */
		snprintf(below, sizeof(below), "/proc/%d %s", getpid(), name);
		assert_int_equal(on_behalf(NULL, "below", below), EACCES);
		assert_int_equal(on_behalf(own, "below", below), ENOENT);
		snprintf(below, sizeof(below), "%s/%zu", dir, i);
		assert_int_equal(symlink(path, below), 0);
		assert_int_equal(on_behalf(NULL, "open", below), EACCES);
		assert_int_equal(on_behalf(own, "open", below), ENOENT);
	}
	close(pipes[0]);
	close(pipes[1]);
	sluice_policy_unref(own);
	guest_remove(dir);
}

static void hazard_G2_a_name_of_our_memory_is_not_our_memory(void **state)
{
	const struct sluice_handler openat2_only = {
		.nr = SYS_openat2,
		.fn = as_seen_verdict,
	};
	struct sluice_policy *own = own_policy();
	char path[64];

	(void)state;
	assert_int_equal(guest_run(NULL, &openat2_only, 1, "named", "/etc/passwd").exit_code, 0);
	snprintf(path, sizeof(path), "/proc/%d/environ", getpid());
	assert_int_equal(guest_bare("named", path), 0);
	assert_int_equal(guest_run(NULL, &openat2_only, 1, "named", path).exit_code, EACCES);
	/* not even a name of it can be had */
	assert_int_equal(guest_run(own, &openat2_only, 1, "named", path).exit_code, 200);
	snprintf(path, sizeof(path), "/proc/%d/mem", getpid());
	assert_int_equal(guest_run(NULL, &openat2_only, 1, "named", path).exit_code, EACCES);
	sluice_policy_unref(own);
}

/* Init shares the embedder's memory, and the engine's threads may look into it. */
static void hazard_G2_nothing_of_init_can_be_opened(void **state)
{
	static const char *const names[] = { "environ", "maps", "mem", "fd/0", "cwd/." };
	struct sluice_policy *own = own_policy();

	(void)state;
	assert_int_equal(guest_bare("parent", "environ"), 0);
	for (size_t i = 0; i < N_OF(names); i++) {
		assert_int_equal(on_behalf(NULL, "parent", names[i]), EACCES);
		assert_int_equal(on_behalf(own, "parent", names[i]), ENOENT);
		assert_int_equal(guest_inside(own, "parent", names[i]), ENOENT);
	}
	sluice_policy_unref(own);
}

static void hazard_C2_a_flipping_link_never_gives_a_descriptor_of_ours(void **state)
{
	struct sluice_policy *p = guest_policy();
	const char *dir = guest_dir();
	char arg[PATH_MAX];
	int pipes[2], high;

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	high = fcntl(pipes[0], F_DUPFD_CLOEXEC, 300);
	assert_true(high >= 300);
	assert_int_equal(sluice_policy_allow_write(p, dir, NULL), 0);
	snprintf(arg, sizeof(arg), "%s %d %d", dir, getpid(), high);
	assert_int_equal(on_behalf(p, "flip", arg), 0);
	close(high);
	close(pipes[0]);
	close(pipes[1]);
	sluice_policy_unref(p);
	guest_remove(dir);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_A7_proc_self_is_the_caller),
		cmocka_unit_test(hazard_B8_magic_links_are_the_tasks_own),
		cmocka_unit_test(hazard_G2_nothing_of_the_supervisor_can_be_opened),
		cmocka_unit_test(hazard_G2_a_name_of_our_memory_is_not_our_memory),
		cmocka_unit_test(hazard_G2_nothing_of_init_can_be_opened),
		cmocka_unit_test(hazard_C2_a_flipping_link_never_gives_a_descriptor_of_ours),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("proc", tests, NULL, NULL);
}
