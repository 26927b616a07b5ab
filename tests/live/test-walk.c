/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking in a view. The oracle is the kernel: the same tree bound together and entered by chroot in a user and mount namespace, the same random
 * paths, the same files and errors. SLUICE_SEED replays a run, SLUICE_PATHS sets their number.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "sys/openat2.h"
#include "task/pidfds.h"
#include "tree/cwd.h"
#include "tree/view.h"
#include "tree/walk.h"

static uint64_t rng;

static unsigned pick(unsigned n)
{
	/* xorshift64*, Vigna 2016 */
	rng ^= rng >> 12;
	rng ^= rng << 25;
	rng ^= rng >> 27;
	return (unsigned)((rng * 2685821657736338717ull) >> 33) % n;
}

/* ---- a random tree ---- */

static const char *const names[] = { "a", "b", "c", "d", "mnt", "ro" };

static void random_path(char *buf, size_t size, bool absolute)
{
	unsigned n = 1 + pick(6);
	size_t at = 0;

	buf[0] = '\0';
	if (absolute)
		at += (size_t)snprintf(buf, size, "%s", pick(20) ? "/" : "//");
	for (unsigned i = 0; i < n; i++) {
		unsigned kind = pick(12);
		const char *c = kind < 2 ? ".." : kind == 2 ? "." : names[pick(N_OF(names))];

		at += (size_t)snprintf(buf + at, size - at, "%s%s",
				       i ? (pick(15) ? "/" : "//") : "", c);
	}
	if (!pick(8))
		snprintf(buf + at, size - at, "/");
}

static void fill(const char *dir, unsigned depth)
{
	char path[4096], target[256];

	for (size_t i = 0; i < N_OF(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		switch (pick(5)) {
		case 0:
			close(open(path, O_CREAT | O_WRONLY, 0644));
			break;
		case 1:
		case 2:
			if (mkdir(path, 0755) == 0 && depth)
				fill(path, depth - 1);
			break;
		case 3:
			random_path(target, sizeof(target), pick(2));
			if (symlink(target, path) < 0 && errno != EEXIST)
				fail_msg("symlink: %s", path);
			break;
		default:
			break;
		}
	}
}

struct place {
	char root[4096], one[4096], two[4096];
};

static void join(char *buf, size_t size, const char *dir, const char *name)
{
	snprintf(buf, size, "%s/%s", dir, name);
}

/* "mnt" of the root is a directory with a mount on it, which has another mount on its "mnt". */
static void make_place(struct place *p, const char *top)
{
	char path[8200];

	join(p->root, sizeof(p->root), top, "root");
	join(p->one, sizeof(p->one), top, "one");
	join(p->two, sizeof(p->two), top, "two");
	assert_int_equal(mkdir(p->root, 0755), 0);
	assert_int_equal(mkdir(p->one, 0755), 0);
	assert_int_equal(mkdir(p->two, 0755), 0);
	join(path, sizeof(path), p->root, "mnt");
	assert_int_equal(mkdir(path, 0755), 0);
	join(path, sizeof(path), p->one, "mnt");
	assert_int_equal(mkdir(path, 0755), 0);
	fill(p->root, 3);
	fill(p->one, 2);
	fill(p->two, 2);
}

/* ---- the kernel's answers ---- */

struct answer {
	int error;
	dev_t dev;
	ino_t ino;
};

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(1);
	close(fd);
}

static void enter_oracle(const struct place *p)
{
	char path[8200], map[64];
	uid_t uid = getuid();
	gid_t gid = getgid();

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		_exit(77);
	write_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	write_text("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "0 %u 1", gid);
	write_text("/proc/self/gid_map", map);
	join(path, sizeof(path), p->root, "mnt");
	if (mount(p->one, path, NULL, MS_BIND, NULL) < 0)
		_exit(78);
	snprintf(path, sizeof(path), "%s/mnt/mnt", p->root);
	if (mount(p->two, path, NULL, MS_BIND, NULL) < 0)
		_exit(79);
	if (chroot(p->root) < 0 || chdir("/mnt") < 0)
		_exit(80);
}

struct question {
	char path[256];
	bool nofollow;
	uint64_t resolve;
};

static void ask_kernel(const struct place *p, const struct question *q, struct answer *ret,
		       size_t n)
{
	int ends[2], status;
	size_t done = 0;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = guest_fork_one();
	if (pid == 0) {
		enter_oracle(p);
		for (size_t i = 0; i < n; i++) {
			struct stat st = { 0 };
			int fd = open_at_how(AT_FDCWD, q[i].path,
					     O_PATH | (q[i].nofollow ? O_NOFOLLOW : 0u), 0,
					     q[i].resolve);
			int r = fd < 0 ? -1 : fstat(fd, &st);
			struct answer a = { r < 0 ? -fd : 0, r < 0 ? 0 : st.st_dev,
					    r < 0 ? 0 : st.st_ino };

			if (fd >= 0)
				close(fd);
			if (write(ends[1], &a, sizeof(a)) != sizeof(a))
				_exit(81);
		}
		_exit(0);
	}
	close(ends[1]);
	while (done < n * sizeof(*ret)) {
		ssize_t r = read(ends[0], (char *)ret + done, n * sizeof(*ret) - done);

		if (r <= 0)
			break;
		done += (size_t)r;
	}
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WEXITSTATUS(status) == 77)
		skip_because("user namespaces are not allowed here");
	assert_int_equal(status, 0);
}

/* ---- ours ---- */

static struct view *make_view(const struct place *p, int skeleton)
{
	const struct view_spec root = { .at = "/", .host = p->root };
	const struct view_spec mounts[] = {
		{ .at = "/mnt/mnt", .host = p->two },
		{ .at = "/mnt", .host = p->one },
	};
	struct sluice_error err = { 0 };
	struct view *v = NULL;

	if (view_new(&root, mounts, 2, skeleton, &v, &err) < 0)
		fail_msg("view: %s", err.text);
	return v;
}

/* @open: as walk_from.open. */
static struct answer ask_view(const struct view *v, const struct question *q, uint32_t flags,
			      uint64_t open)
{
	struct walk_from from = {
		.view = v,
		.dirfd = AT_FDCWD,
		.base = view_mount(v, 1)->fd,
		.path = q->path,
		.resolve = q->resolve,
		.flags = flags | (q->nofollow ? WALK_NOFOLLOW : 0),
		.open = open,
	};
	struct walk_end end;
	struct answer a = { 0, 0, 0 };
	int r = walk(NULL, &from, &end);

	a.error = -r;

	if (r == 0 && end.fd < 0 && !(flags & WALK_STAT && end.plain))
		a.error = ENOENT;
	if (r == 0 && end.slash && end.fd >= 0 && !S_ISDIR(end.st.st_mode))
		a.error = ENOTDIR;
	if (r == 0 && !a.error) {
		a.dev = end.st.st_dev;
		a.ino = end.st.st_ino;
	}
	if (r == 0)
		walk_end_close(&end);
	return a;
}

static bool same(const struct answer *a, const struct answer *b)
{
	return a->error == b->error && a->dev == b->dev && a->ino == b->ino;
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static const uint64_t resolves[] = {
	RESOLVE_BENEATH,
	RESOLVE_IN_ROOT,
	RESOLVE_NO_XDEV,
	RESOLVE_NO_SYMLINKS,
	RESOLVE_IN_ROOT | RESOLVE_NO_XDEV,
	RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
};

static void test_as_the_kernel_walks(void **state)
{
	const size_t n = (size_t)env_number("SLUICE_PATHS", 20000);
	struct question *q = calloc(n, sizeof(*q));
	struct answer *kernel = calloc(n, sizeof(*kernel));
	const char *top = guest_dir();
	size_t found = 0;
	struct place p;
	struct view *v;
	char empty[4200];
	int skeleton;

	(void)state;
	rng = env_number("SLUICE_SEED", (uint64_t)time(NULL) << 8 | 1);
	print_message("SLUICE_SEED=%llu\n", (unsigned long long)rng);
	make_place(&p, top);
	join(empty, sizeof(empty), top, "skeleton");
	assert_int_equal(mkdir(empty, 0755), 0);
	skeleton = open(empty, O_PATH | O_DIRECTORY);
	v = make_view(&p, skeleton);
	for (size_t i = 0; i < n; i++) {
		random_path(q[i].path, sizeof(q[i].path), pick(2));
		q[i].nofollow = pick(2);
		q[i].resolve = pick(3) ? 0 : resolves[pick(N_OF(resolves))];
	}
	ask_kernel(&p, q, kernel, n);
	for (size_t i = 0; i < n; i++) {
		struct answer quick = ask_view(v, &q[i], 0, 0);
		struct answer named = ask_view(v, &q[i], WALK_NAME, 0);
		struct answer looked = ask_view(v, &q[i], WALK_STAT, 0);
		struct answer opened = ask_view(
			v, &q[i], 0, O_RDONLY | O_NONBLOCK | (q[i].nofollow ? O_NOFOLLOW : 0u));

		found += !quick.error;
		if (!same(&quick, &kernel[i]) || !same(&named, &kernel[i]) ||
		    !same(&opened, &kernel[i]) || !same(&looked, &kernel[i]))
			fail_msg(
				"%s%s resolve %x: kernel %d %lu, quick %d %lu, named %d %lu, opened %d %lu, looked %d %lu",
				q[i].path, q[i].nofollow ? " (nofollow)" : "",
				(unsigned)q[i].resolve, kernel[i].error,
				(unsigned long)kernel[i].ino, quick.error, (unsigned long)quick.ino,
				named.error, (unsigned long)named.ino, opened.error,
				(unsigned long)opened.ino, looked.error, (unsigned long)looked.ino);
	}
	assert_true(found > n / 50);
	view_free(v);
	close(skeleton);
	guest_remove(top);
	free(q);
	free(kernel);
}

static void test_missing_mount_points(void **state)
{
	const char *top = guest_dir();
	char root[4200], data[4200], empty[4200], buf[4200];
	const struct view_spec r = { .at = "/", .host = root };
	const struct view_spec mounts[] = { { .at = "/x/y//z/", .host = data } };
	const struct question there = { .path = "/x/y/z/../z/f" },
			      up = { .path = "/x/y/z/../../.." };
	struct sluice_error err = { 0 };
	struct stat st;
	struct view *v = NULL;
	int skeleton, fd;

	(void)state;
	join(root, sizeof(root), top, "root");
	join(data, sizeof(data), top, "data");
	join(empty, sizeof(empty), top, "empty");
	assert_int_equal(mkdir(root, 0755) | mkdir(data, 0755) | mkdir(empty, 0755), 0);
	snprintf(buf, sizeof(buf), "%s/f", data);
	fd = open(buf, O_CREAT | O_RDWR, 0644);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	skeleton = open(empty, O_PATH | O_DIRECTORY);
	assert_int_equal(view_new(&r, mounts, 1, skeleton, &v, &err), 0);
	assert_int_equal(ask_view(v, &there, 0, 0).ino, st.st_ino);
	assert_int_equal(view_path(v, fd, buf, sizeof(buf)), strlen("/x/y/z/f"));
	assert_string_equal(buf, "/x/y/z/f");
	assert_int_equal(stat(root, &st), 0);
	assert_int_equal(ask_view(v, &up, 0, 0).ino, st.st_ino);
	view_free(v);
	close(fd);
	close(skeleton);
	guest_remove(top);
}

static void test_bad_mounts(void **state)
{
	static const struct {
		struct view_spec mount;
		int error;
	} bad[] = {
		{ { .at = "x", .host = "/tmp" }, -EINVAL },
		{ { .at = "/", .host = "/tmp" }, -EINVAL },
		{ { .at = "/a/../b", .host = "/tmp" }, -EINVAL },
		{ { .at = "/a", .host = "/nonexistent" }, -ENOENT },
	};
	const struct view_spec root = { .at = "/", .host = guest_dir() };
	const struct view_spec twice[] = { { .at = "/a", .host = "/tmp" },
					   { .at = "/a/", .host = "/usr" } };
	int skeleton = open(root.host, O_PATH | O_DIRECTORY);
	struct view *v = NULL;

	(void)state;
	for (size_t i = 0; i < N_OF(bad); i++) {
		struct sluice_error err = { 0 };

		assert_int_equal(view_new(&root, &bad[i].mount, 1, skeleton, &v, &err),
				 bad[i].error);
		assert_non_null(strstr(err.text, bad[i].mount.at));
	}
	assert_int_equal(view_new(&root, twice, 2, skeleton, &v, NULL), -EEXIST);
	close(skeleton);
	guest_remove(root.host);
}

/* ---- working directories ---- */

static ino_t inode_of(int fd)
{
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	return st.st_ino;
}

static void test_cwd_follows_forks(void **state)
{
	const char *a = guest_dir(), *b = guest_dir();
	int fd_a = open(a, O_PATH), fd_b = open(b, O_PATH), go[2], said[2];
	struct cwd_table *t = cwd_table_new(open(a, O_PATH | O_CLOEXEC));
	ino_t ino_a = inode_of(fd_a), ino_b = inode_of(dup(fd_b));
	pid_t parent, child;
	char c;

	(void)state;
	assert_int_equal(pipe(go) | pipe(said), 0);
	parent = fork();
	if (parent == 0) { /* forks once it was moved, and tells of the child */
		if (read(go[0], &c, 1) != 1)
			_exit(1);
		child = fork();
		if (child == 0)
			_exit(read(go[0], &c, 1) == 1 ? 0 : 1);
		if (write(said[1], &child, sizeof(child)) != sizeof(child))
			_exit(1);
		waitpid(child, NULL, 0);
		_exit(0);
	}
	assert_int_equal(inode_of(cwd_get(t, parent)), ino_a);
	assert_int_equal(cwd_set(t, parent, fd_b), 0);
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(read(said[0], &child, sizeof(child)), sizeof(child));
	assert_int_equal(inode_of(cwd_get(t, child)), ino_b);
	/* the parent moves on, the child stays */
	assert_int_equal(cwd_set(t, parent, open(a, O_PATH | O_CLOEXEC)), 0);
	assert_int_equal(inode_of(cwd_get(t, parent)), ino_a);
	assert_int_equal(inode_of(cwd_get(t, child)), ino_b);
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	assert_int_equal(cwd_get(t, parent), -ESRCH);
	cwd_table_free(t);
	guest_remove(a);
	guest_remove(b);
}

static void test_hazard_C12_directories_that_nobody_is_in_are_dropped(void **state)
{
	const char *top = guest_dir();
	struct cwd_table *t = cwd_table_new(open(top, O_PATH | O_CLOEXEC));
	struct rlimit before;
	char path[4200];

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_RTTIME, &before), 0);
	for (int i = 0; i < 3000; i++) {
		snprintf(path, sizeof(path), "%s/%d", top, i);
		assert_int_equal(mkdir(path, 0755), 0);
		assert_int_equal(cwd_set(t, getpid(), open(path, O_PATH | O_CLOEXEC)), 0);
	}
	close(cwd_get(t, getpid()));
	cwd_table_free(t);
	assert_int_equal(setrlimit(RLIMIT_RTTIME, &before), 0);
	guest_remove(top);
}

/* ---- pidfds that are kept ---- */

#define CHILDREN 40

static unsigned count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* A child with a descriptor of its own at number @fd. */
static pid_t child_with(int fd, const char *path)
{
	int ends[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(ends), 0);
	pid = guest_fork_one();
	if (pid == 0) {
		dup2(open(path, O_RDONLY), fd);
		close(ends[0]);
		if (write(ends[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &c, 1), 1);
	close(ends[0]);
	return pid;
}

static ino_t inode_got(struct pidfd_cache *c, pid_t pid, int fd)
{
	struct stat st = { 0 };
	int got = pidfd_cache_get_fd(c, pid, fd);

	if (got < 0)
		fail_msg("descriptor of %d: %d", (int)pid, got);
	assert_int_equal(fstat(got, &st), 0);
	close(got);
	return st.st_ino;
}

static ino_t inode_at(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

static void test_hazard_C12_pidfds_are_few_and_dropped(void **state)
{
	const unsigned before = count_descriptors();
	static struct pidfd_cache c;
	pid_t children[CHILDREN];

	(void)state;
	for (unsigned i = 0; i < CHILDREN; i++) {
		children[i] = child_with(77, i % 2 ? "/" : "/usr");
		for (unsigned twice = 0; twice < 2; twice++)
			assert_int_equal(inode_got(&c, children[i], 77),
					 inode_at(i % 2 ? "/" : "/usr"));
		assert_int_equal(pidfd_cache_get_fd(&c, children[i], 78), -EBADF);
	}
	assert_in_range(count_descriptors(), before + 1, before + PIDFD_SLOTS);
	/* all of those that are kept, and others */
	for (unsigned i = 0; i < CHILDREN; i++)
		assert_int_equal(inode_got(&c, children[i], 77), inode_at(i % 2 ? "/" : "/usr"));
	for (unsigned i = 0; i < CHILDREN; i++) {
		kill(children[i], SIGKILL);
		assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
		assert_int_equal(pidfd_cache_get_fd(&c, children[i], 77), -ESRCH);
	}
	pidfd_cache_clear(&c);
	assert_int_equal(count_descriptors(), before);
}

struct other_table {
	pid_t tid;
	_Atomic int at; /* 1: it has its table, 2: it may go */
};

static void *own_table(void *arg)
{
	struct other_table *o = arg;

	o->tid = gettid();
	if (unshare(CLONE_FILES) == 0)
		dup2(open("/usr", O_RDONLY), 77);
	atomic_store(&o->at, 1);
	while (atomic_load(&o->at) != 2)
		usleep(1000);
	return NULL;
}

/* Threads of one process whose tables differ. */
static void test_hazard_A6_descriptors_are_the_threads_own(void **state)
{
	static struct pidfd_cache c;
	struct other_table o = { 0 };
	int ends[2], status;
	pthread_t thread;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	pid = guest_fork_one();
	if (pid == 0) {
		dup2(open("/", O_RDONLY), 77);
		pthread_create(&thread, NULL, own_table, &o);
		while (!atomic_load(&o.at))
			usleep(1000);
		if (write(ends[1], &o.tid, sizeof(o.tid)) != sizeof(o.tid))
			_exit(1);
		pause();
	}
	assert_int_equal(read(ends[0], &o.tid, sizeof(o.tid)), sizeof(o.tid));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(inode_got(&c, pid, 77), inode_at("/"));
		assert_int_equal(inode_got(&c, o.tid, 77), inode_at("/usr"));
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(ends[0]);
	close(ends[1]);
	pidfd_cache_clear(&c);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_the_kernel_walks),
		cmocka_unit_test(test_missing_mount_points),
		cmocka_unit_test(test_bad_mounts),
		cmocka_unit_test(test_cwd_follows_forks),
		cmocka_unit_test(test_hazard_C12_directories_that_nobody_is_in_are_dropped),
		cmocka_unit_test(test_hazard_C12_pidfds_are_few_and_dropped),
		cmocka_unit_test(test_hazard_A6_descriptors_are_the_threads_own),
	};
	static const struct guest_role none[] = { { NULL, NULL } };

	guest_begin(argc, argv, none);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
