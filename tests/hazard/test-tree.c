/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of one's own has no way out: every family of calls by raw system calls, by every path that led out of some sandbox once; with directories that
 * are moved while they are walked, and links that flip. A change outside, or a file of the outside that is seen, is what fails.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/families.h"
#include "../support/guest.h"
#include "../support/root.h"

#define CHECK ROOT_CHECK
#define FAILS(call, error) ((call) < 0 && errno == (error))

static struct test_root root;
static const struct timespec times[2] = { { 1000000, 0 }, { 1000000, 0 } };

/* ---- every family ---- */

/* Families that got there by @dir; the first is told. */
static int got_there(int dirfd, const char *dir)
{
	struct family_target t;
	int n = 0;

	family_fill(&t, dirfd, dir);
	for (unsigned i = 0; i < family_count; i++) {
		if (family_try(i, &t) == 0 && n++ == 0)
			fprintf(stderr, "%s reaches %s\n", family_name(i), dir);
	}
	return n;
}

/* Bare: all of them work where nothing is in the way. ARG: the directory. Returns how many did not. */
static int role_control(const char *dir)
{
	struct family_target t;
	int bad = 0;

	if (chdir(dir) < 0 || symlink("x", "link") < 0)
		return 200;
	family_fill(&t, AT_FDCWD, dir);
	for (unsigned i = 0; i < family_count; i++) {
		int error;

		unlink(t.new);
		error = family_try(i, &t);
		if (error && !family_is_unknown(error)) {
			fprintf(stderr, "%s: errno %d\n", family_name(i), error);
			bad++;
		}
	}
	unlink(t.new);
	unlink("taken");
	unlink("link");
	return bad;
}

/* ARG: the outside directory's path on the host, and the supervisor's process. */
static int role_escape(const char *arg)
{
	static const char *const ways[] = {
		"/links/absolute", "/links/up",	     "/links/far",
		"/links/proc",	   "/links/through", "/links/absolute/dir/..",
		"/links/up/.",	   "/ro/../../out",  "../../../../../../../../out",
	};
	char out[PATH_MAX], path[PATH_MAX + 64];
	long pid;
	int n = 0, fd;

	CHECK(sscanf(arg, "%4000s %ld", out, &pid) == 2);
	CHECK(access("/etc/hello", R_OK) == 0);
	for (size_t i = 0; i < N_OF(ways); i++)
		n += got_there(AT_FDCWD, ways[i]);
	n += got_there(AT_FDCWD, out);
	snprintf(path, sizeof(path), "../../../../../../../../../..%s", out);
	n += got_there(AT_FDCWD, path);
	for (const char *const *way =
		     (const char *const[]){ "/proc/self/root", "/proc/self/task/../root",
					    "/proc/self/cwd/../..", "/proc/thread-self/root",
					    "/proc/self/root/proc/self/root", "/proc/1/root",
					    "/proc/self/cwd/../../../../..", NULL };
	     *way; way++) {
		snprintf(path, sizeof(path), "%s%s", *way, out);
		n += got_there(AT_FDCWD, path);
	}
	for (const char *const *way =
		     (const char *const[]){ "root", "cwd", "task/1/../../root", NULL };
	     *way; way++) {
		snprintf(path, sizeof(path), "/proc/%ld/%s%.4000s", pid, *way, out);
		n += got_there(AT_FDCWD, path);
		snprintf(path, sizeof(path), "/proc/%ld/%s/../out", (long)getppid(), *way);
		n += got_there(AT_FDCWD, path);
	}
	fd = open("/rw/sub", O_RDONLY | O_DIRECTORY);
	CHECK(fd >= 0);
	n += got_there(fd, "../../out") + got_there(fd, "../../../../../../../../out");
	snprintf(path, sizeof(path), "../../../../../../..%s", out);
	n += got_there(fd, path);
	fd = open("/", O_PATH | O_DIRECTORY);
	n += got_there(fd, "../out") + got_there(fd, out);
	/* what the kernel knows of us: the private directory where programs are, and its parents */
	CHECK(FAILS(open("/proc/self/cwd/e", O_RDONLY), ENOENT) &&
	      FAILS(open("e", O_RDONLY), ENOENT));
	return n > 200 ? 200 : n;
}

static int outside_is(const char *path, const char *text)
{
	char seen[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, seen, sizeof(seen) - 1);

	if (fd >= 0)
		close(fd);
	return n >= 0 && !strcmp(seen, text);
}

/* Names, modes, times and links of all that is outside. */
static void list_outside(char *text, size_t size)
{
	char command[9000];
	FILE *f;
	size_t n;

	snprintf(
		command, sizeof(command),
		"cd %s && find . ! -type d -printf '%%P %%m %%n %%s %%T@ %%C@\\n' -o -printf '%%P %%m %%C@\\n' | sort",
		root_path(&root, "out"));
	f = popen(command, "r");
	assert_non_null(f);
	n = fread(text, 1, size - 1, f);
	text[n] = '\0';
	assert_int_equal(pclose(f), 0);
	assert_non_null(strstr(text, "secret"));
}

static void hazard_B1_no_family_leads_out_of_the_tree(void **state)
{
	static char before[8192], after[8192];
	const char *control = guest_dir();
	struct sluice_policy *p = root_policy(&root);
	char arg[PATH_MAX], command[9000];

	(void)state;
	snprintf(command, sizeof(command), "echo x >%s/secret; chmod 777 %s/secret", control,
		 control);
	assert_int_equal(system(command), 0);
	assert_int_equal(guest_bare("control", control), 0);
	guest_remove(control);
	list_outside(before, sizeof(before));
	snprintf(arg, sizeof(arg), "%.4000s %d", root_path(&root, "out"), getpid());
	assert_int_equal(root_inside(p, "escape", arg), 0);
	list_outside(after, sizeof(after));
	assert_string_equal(before, after);
	assert_true(outside_is(root_path(&root, "out/secret"), "outside\n"));
	sluice_policy_unref(p);
}

/* ---- B5, B6: odd paths, and calls that mean the link ---- */

static int role_links(const char *arg)
{
	struct stat st;
	int fd;

	CHECK(symlink("/etc/hello", "/tmp/l") == 0 && symlink("/links", "/tmp/d") == 0);
	CHECK(lstat("/tmp/l", &st) == 0 && S_ISLNK(st.st_mode) && stat("/tmp/l", &st) == 0 &&
	      S_ISREG(st.st_mode));
	CHECK(rename("/tmp/l", "/tmp/m") == 0 && lstat("/tmp/m", &st) == 0 && S_ISLNK(st.st_mode));
	CHECK(link("/tmp/m", "/tmp/n") == 0 && lstat("/tmp/n", &st) == 0 && S_ISLNK(st.st_mode) &&
	      st.st_nlink == 2);
	CHECK(utimensat(AT_FDCWD, "/tmp/m", times, AT_SYMLINK_NOFOLLOW) == 0);
	CHECK(lstat("/tmp/m", &st) == 0 && st.st_mtim.tv_sec == 1000000);
	CHECK(stat("/etc/hello", &st) == 0 && st.st_mtim.tv_sec != 1000000);
	CHECK(lchown("/tmp/m", getuid(), getgid()) == 0 &&
	      FAILS(chown("/tmp/m", getuid(), getgid()), EACCES));
	CHECK(FAILS(rmdir("/tmp/d"), ENOTDIR) && FAILS(unlink("/tmp/d/"), ENOTDIR) &&
	      unlink("/tmp/d") == 0);
	CHECK(unlink("/tmp/m") == 0 && unlink("/tmp/n") == 0 && access("/etc/hello", R_OK) == 0);
	CHECK(symlink("gone", "/tmp/g") == 0 && FAILS(symlink("x", "/tmp/g"), EEXIST) &&
	      FAILS(mkdir("/tmp/g", 0700), EEXIST));
	CHECK(FAILS(open("/tmp/g", O_RDONLY), ENOENT) &&
	      FAILS(open("/tmp/g", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST));
	fd = open("/tmp/g", O_CREAT | O_RDWR, 0600);
	CHECK(fd >= 0 && access("/tmp/gone", F_OK) == 0);
	/* a creation through a link that leads out is one inside */
	CHECK(symlink("/new-outside", "/tmp/h") == 0 &&
	      FAILS(open("/tmp/h", O_CREAT | O_RDWR, 0600), EACCES));
	CHECK(symlink("../../../tmp/i2", "/tmp/i") == 0 &&
	      open("/tmp/i", O_CREAT | O_RDWR, 0600) >= 0 && access("/tmp/i2", F_OK) == 0);
	(void)arg;
	return 0;
}

static void hazard_B6_links_are_meant_themselves_in_a_tree(void **state)
{
	struct sluice_policy *p = root_policy(&root);

	(void)state;
	assert_int_equal(root_inside(p, "links", ""), 0);
	sluice_policy_unref(p);
}

static int role_odd(const char *arg)
{
	char path[64];
	struct stat st, other;
	int fd, dir = open("/etc", O_PATH | O_DIRECTORY);

	CHECK(dir >= 0);
	CHECK(FAILS(open("/etc/hello/", O_RDONLY), ENOTDIR) &&
	      FAILS(open("/etc/hello/.", O_RDONLY), ENOTDIR));
	CHECK(FAILS(open("/tmp/x/", O_CREAT | O_RDWR, 0600), EISDIR) &&
	      mkdir("/tmp/y//", 0700) == 0 && rmdir("/tmp/y/") == 0);
	CHECK(FAILS(rmdir("/tmp/."), EINVAL) && FAILS(rmdir("/tmp/.."), ENOTEMPTY) &&
	      FAILS(unlink("/tmp/.."), EISDIR));
	CHECK(FAILS(rmdir("/"), EBUSY) && FAILS(rename("/", "/tmp/x"), EBUSY) &&
	      FAILS(mkdir("/", 0700), EEXIST));
	/* a directory of O_PATH is a place to start from, and no way to read */
	CHECK(fstatat(dir, "..", &st, 0) == 0 && stat("/", &other) == 0 &&
	      st.st_ino == other.st_ino && st.st_dev == other.st_dev);
	CHECK(fstatat(dir, "../..", &st, 0) == 0 && st.st_ino == other.st_ino);
	fd = open("/tmp", O_TMPFILE | O_RDWR | O_EXCL, 0600);
	CHECK(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "/tmp/t", AT_SYMLINK_FOLLOW) <
	      0); /* that is what O_EXCL is for */
	fd = open("/tmp/u", O_CREAT | O_RDWR, 0600);
	CHECK(fd >= 0 && linkat(fd, "", AT_FDCWD, "/tmp/v", AT_EMPTY_PATH) == 0);
	CHECK(stat("/tmp/v", &st) == 0 && st.st_nlink == 2);
	CHECK(FAILS(open("/etc/hello", O_RDONLY | O_TRUNC), EACCES) &&
	      FAILS(open("/etc/none", O_RDONLY | O_CREAT, 0600), EACCES));
	CHECK(FAILS(fstatat(99, "x", &st, 0), EBADF) && fstatat(99, "/etc/hello", &st, 0) == 0);
	CHECK(FAILS(fstatat(fd, "x", &st, 0), ENOTDIR) &&
	      FAILS(syscall(SYS_newfstatat, dir, (void *)1, &st, 0), EFAULT));
	(void)arg;
	return 0;
}

static void hazard_B5_odd_paths_in_a_tree(void **state)
{
	struct sluice_policy *p = root_policy(&root);

	(void)state;
	assert_int_equal(root_inside(p, "odd", ""), 0);
	sluice_policy_unref(p);
}

/* ---- B8: magic links ---- */

/* ARG: a process outside, and a descriptor that the command inherits: a directory outside. */
static int role_magic(const char *arg)
{
	char path[PATH_MAX], text[PATH_MAX];
	struct stat st, other;
	long pid;
	int fd;

	CHECK(sscanf(arg, "%ld %d", &pid, &fd) == 2);
	CHECK(stat("/proc/self/root", &st) == 0 && stat("/", &other) == 0 &&
	      st.st_ino == other.st_ino);
	CHECK(stat("/proc/self/cwd", &st) == 0 && stat("/tmp", &other) == 0 &&
	      st.st_ino == other.st_ino);
	for (const char *const *name = (const char *const[]){ "root", "cwd", "exe", "fd/0", NULL };
	     *name; name++) {
		snprintf(path, sizeof(path), "/proc/%ld/%s", pid, *name);
		CHECK(open(path, O_RDONLY | O_NONBLOCK) < 0);
		CHECK(readlink(path, text, sizeof(text)) < 0);
		snprintf(path, sizeof(path), "/proc/%d/%s", getppid(), *name);
		CHECK(open(path, O_RDONLY | O_NONBLOCK) < 0);
	}
	/* a descriptor from outside is what it is, with no way up */
	CHECK(fstatat(fd, "secret", &st, 0) == 0);
	CHECK(FAILS(fstatat(fd, "..", &st, 0), EACCES) &&
	      FAILS(fstatat(fd, "dir/../..", &st, 0), EACCES));
	snprintf(path, sizeof(path), "/proc/self/fd/%d/..", fd);
	CHECK(FAILS(stat(path, &st), EACCES));
	CHECK(FAILS(openat(fd, "new", O_CREAT | O_WRONLY, 0600), EROFS) || errno == EACCES);
	if (fchdir(fd) == 0) {
		CHECK(FAILS(stat("..", &st), EACCES) && FAILS(stat("../out", &st), EACCES));
		CHECK(!getcwd(text, sizeof(text)) && errno == ENOENT);
	}
	return 0;
}

static void hazard_B8_magic_links_stay_in_the_tree(void **state)
{
	struct sluice_policy *p = root_policy(&root);
	char arg[64];
	int fd = open(root_path(&root, "out"), O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_true(fd >= 0);
	snprintf(arg, sizeof(arg), "%d %d", getpid(), fd);
	assert_int_equal(root_inside(p, "magic", arg), 0);
	close(fd);
	sluice_policy_unref(p);
}

/* ---- B7: sockets that the kernel would look for by itself ---- */

static int role_datagram(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	if (fd < 0)
		return errno;
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	return sendto(fd, "x", 1, 0, (const struct sockaddr *)&sun, sizeof(sun)) < 0 ? errno : 0;
}

static void hazard_B7_no_datagrams_past_a_tree(void **state)
{
	struct sluice_policy *p = guest_policy();
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *dir = guest_dir();
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	(void)state;
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%.80s/socket", dir);
	assert_int_equal(bind(fd, (const struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(sluice_policy_allow_write(p, "/", NULL), 0);
	assert_int_equal(guest_inside(p, "datagram", sun.sun_path), 0);
	/* the same policy, but something else is mounted there */
	assert_int_equal(sluice_policy_add_mount(p, dir, "/etc", SLUICE_MOUNT_READ_ONLY, NULL), 0);
	assert_int_equal(sluice_policy_set_cwd(p, "/", NULL), 0);
	assert_int_equal(guest_inside(p, "datagram", sun.sun_path), EACCES);
	close(fd);
	sluice_policy_unref(p);
	guest_remove(dir);
}

/* ---- C2, C3: what moves while it is walked ---- */

/* A directory of the tree is moved between its place and the outside, by somebody there. */
static void flip_outside(const char *in, const char *out, int until)
{
	char c;

	while (read(until, &c, 1) < 0 && errno == EAGAIN) {
		for (int i = 0; i < 100; i++) {
			if (rename(in, out) < 0 || rename(out, in) < 0)
				_exit(1);
		}
	}
	_exit(0);
}

static bool is_ours(int fd, const struct stat *outside)
{
	struct stat st;

	return fstat(fd, &st) == 0 &&
	       (st.st_ino != outside->st_ino || st.st_dev != outside->st_dev);
}

/* ARG: inode and device of the directory that is above the outside one. */
static int role_moved(const char *arg)
{
	struct stat above = { 0 }, st;
	unsigned long ino, dev;
	int fd = open("/rw/d/e", O_RDONLY | O_DIRECTORY), n = 0;

	CHECK(sscanf(arg, "%lu %lu", &ino, &dev) == 2);
	above.st_ino = (ino_t)ino;
	above.st_dev = (dev_t)dev;
	while (fd < 0)
		fd = open("/rw/d/e", O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 20000; i++) {
		int got = openat(fd, "../../..", O_RDONLY | O_DIRECTORY);

		/* in the tree that is "/" */
		if (got >= 0) {
			CHECK(is_ours(got, &above));
			close(got);
			n++;
		}
		if (fstatat(fd, "../../out/secret", &st, 0) == 0 ||
		    fstatat(fd, "../../secret", &st, 0) == 0)
			return 1;
		if (fstatat(fd, "../../../root", &st, 0) == 0 ||
		    fstatat(fd, "../../../../../etc/passwd", &st, 0) == 0)
			return 2;
	}
	CHECK(n > 0);
	return 0;
}

static void hazard_C3_a_directory_that_is_moved_out_has_no_way_up(void **state)
{
	struct sluice_policy *p = root_policy(&root);
	char arg[64], in[PATH_MAX], out[PATH_MAX], e[PATH_MAX];
	struct stat st;
	int ends[2], status;
	pid_t pid;

	(void)state;
	snprintf(in, sizeof(in), "%.4000s/d", root_path(&root, "rw"));
	snprintf(out, sizeof(out), "%.4000s/dir/d", root_path(&root, "out"));
	snprintf(e, sizeof(e), "%.4090s/e", in);
	assert_int_equal(mkdir(in, 0777) | mkdir(e, 0777), 0);
	assert_int_equal(stat(root.top, &st), 0);
	assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		close(ends[1]);
		flip_outside(in, out, ends[0]);
	}
	snprintf(arg, sizeof(arg), "%lu %lu", (unsigned long)st.st_ino, (unsigned long)st.st_dev);
	assert_int_equal(root_inside(p, "moved", arg), 0);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	sluice_policy_unref(p);
}

/* Mounts that overlap on the host: /whole shows what /part is a piece of, so a task moves directories out of /part by itself. */
static void *flip_inside(void *stop)
{
	while (!atomic_load((atomic_bool *)stop)) {
		if (rename("/whole/part/d", "/whole/d") < 0 ||
		    rename("/whole/d", "/whole/part/d") < 0)
			return (void *)1;
	}
	return NULL;
}

static int role_overlap(const char *arg)
{
	atomic_bool stop = false;
	pthread_t t;
	struct stat st;
	void *r;
	int fd, bad = 0;

	CHECK(mkdir("/whole/part/d", 0777) == 0 && mkdir("/part/d/e", 0777) == 0);
	fd = open("/part/d", O_RDONLY | O_DIRECTORY);
	CHECK(fd >= 0 && pthread_create(&t, NULL, flip_inside, &stop) == 0);
	for (int i = 0; i < 30000 && !bad; i++) {
		bad = fstatat(fd, "../../out/secret", &st, 0) == 0 ||
		      fstatat(fd, "../../../out/secret", &st, 0) == 0 ||
		      fstatat(fd, "e/../../../out", &st, 0) == 0;
	}
	atomic_store(&stop, true);
	CHECK(pthread_join(t, &r) == 0 && !r && !bad);
	(void)arg;
	return 0;
}

static void hazard_C3_mounts_that_overlap(void **state)
{
	struct sluice_policy *p = root_policy(&root);
	char part[PATH_MAX];

	(void)state;
	snprintf(part, sizeof(part), "%.4000s/part", root_path(&root, "rw"));
	assert_int_equal(mkdir(part, 0777), 0);
	assert_int_equal(sluice_policy_add_mount(p, "/part", part, SLUICE_MOUNT_READ_WRITE, NULL),
			 0);
	assert_int_equal(sluice_policy_add_mount(p, "/whole", root_path(&root, "rw"),
						 SLUICE_MOUNT_READ_WRITE, NULL),
			 0);
	assert_int_equal(root_inside(p, "overlap", ""), 0);
	sluice_policy_unref(p);
}

/* A name that is a directory, a link out and a link in, by turns. */
static void *flip_links(void *stop)
{
	static const char *const targets[] = { "/links/absolute", "/etc", "/proc/self/root",
					       "../../../../out" };

	if (mkdir("/tmp/real", 0700) < 0)
		return (void *)1;
	for (unsigned i = 0; !atomic_load((atomic_bool *)stop); i++) {
		if (symlink(targets[i % N_OF(targets)], "/tmp/next") < 0 ||
		    rename("/tmp/next", "/tmp/flip") < 0)
			return (void *)2;
		if (unlink("/tmp/flip") < 0 || rename("/tmp/real", "/tmp/flip") < 0 ||
		    rename("/tmp/flip", "/tmp/real") < 0)
			return (void *)3;
	}
	return NULL;
}

static int role_flip(const char *arg)
{
	atomic_bool stop = false;
	struct family_target t;
	pthread_t thread;
	void *r;
	int bad = 0;

	CHECK(pthread_create(&thread, NULL, flip_links, &stop) == 0);
	family_fill(&t, AT_FDCWD, "/tmp/flip");
	for (int i = 0; i < 400; i++) {
		/* the first one reads the outside's file; what others make there is seen from there */
		for (unsigned family = 0; family < family_count; family++)
			bad += family_try(family, &t) == 0 && family == 0;
		if (chdir("/tmp") < 0)
			return 1;
	}
	atomic_store(&stop, true);
	CHECK(pthread_join(thread, &r) == 0 && !r && !bad);
	(void)arg;
	return 0;
}

static void hazard_C2_links_that_flip_lead_nowhere_else(void **state)
{
	static char before[8192], after[8192];
	struct sluice_policy *p = root_policy(&root);

	(void)state;
	list_outside(before, sizeof(before));
	assert_int_equal(root_inside(p, "flip", ""), 0);
	list_outside(after, sizeof(after));
	assert_string_equal(before, after);
	sluice_policy_unref(p);
}

/* Two directories trade places, each with a file and a link to it by a name of its own; and a link leads to the one or the other. */
static void *exchange(void *stop)
{
	while (!atomic_load((atomic_bool *)stop)) {
		if (syscall(SYS_renameat2, AT_FDCWD, "/tmp/x/now", AT_FDCWD, "/tmp/x/then",
			    RENAME_EXCHANGE) < 0)
			return (void *)1;
		if (symlink("now/../then", "/tmp/x/new") < 0 ||
		    rename("/tmp/x/new", "/tmp/x/to") < 0 ||
		    symlink("then/../now", "/tmp/x/new") < 0 ||
		    rename("/tmp/x/new", "/tmp/x/to") < 0)
			return (void *)2;
	}
	return NULL;
}

static int write_at(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0644);
	bool written = fd >= 0 && write(fd, text, strlen(text)) > 0;

	close(fd);
	return written ? 0 : -1;
}

/* What is there is found at any moment, as bare: by the kernel alone, and by what is put together of several looks. */
static int role_exchange(const char *arg)
{
	static const char *const paths[] = {
		"/tmp/x/now/link", "/tmp/x/to/link", "/tmp/x/../x/then/./link", "now/link", "link",
	};
	atomic_bool stop = false;
	pthread_t thread;
	struct stat st;
	int bad = 0, at;
	void *r;

	CHECK(mkdir("/tmp/x", 0755) == 0 && mkdir("/tmp/x/now", 0755) == 0 &&
	      mkdir("/tmp/x/then", 0755) == 0);
	CHECK(write_at("/tmp/x/now/one", "1") == 0 && symlink("one", "/tmp/x/now/link") == 0);
	CHECK(write_at("/tmp/x/then/two", "2") == 0 && symlink("two", "/tmp/x/then/link") == 0);
	CHECK(symlink("now", "/tmp/x/to") == 0 && chdir("/tmp/x") == 0);
	at = open("/tmp/x/now", O_RDONLY | O_DIRECTORY);
	CHECK(at >= 0 && pthread_create(&thread, NULL, exchange, &stop) == 0);
	for (int i = 0; i < 2000 && !bad; i++) {
		for (unsigned p = 0; p < N_OF(paths); p++) {
			int from = p == N_OF(paths) - 1 ? at : AT_FDCWD;
			int fd = openat(from, paths[p], O_RDONLY);

			if (fd < 0 || fstatat(from, paths[p], &st, 0) < 0) {
				fprintf(stderr, "%s: errno %d\n", paths[p], errno);
				bad++;
			}
			close(fd);
		}
	}
	atomic_store(&stop, true);
	CHECK(pthread_join(thread, &r) == 0 && !r && !bad);
	(void)arg;
	return 0;
}

static void hazard_C2_what_is_exchanged_is_found(void **state)
{
	struct sluice_policy *p = root_policy(&root);

	(void)state;
	assert_int_equal(root_inside(p, "exchange", ""), 0);
	sluice_policy_unref(p);
}

/* Threads whose tables of descriptors differ: each call means the caller's own. */
static int look_in(int fd, const char *name)
{
	struct stat st;

	return fstatat(fd, name, &st, 0);
}

static void *look_in_hello(void *arg)
{
	const int fd = *(int *)arg;
	int other;

	if (unshare(CLONE_FILES) < 0)
		return (void *)1;
	other = open("/etc", O_RDONLY | O_DIRECTORY);
	if (other < 0 || dup2(other, fd) < 0)
		return (void *)2;
	for (int i = 0; i < 300; i++) {
		if (look_in(fd, "hello") < 0 || !FAILS(look_in(fd, "mine"), ENOENT))
			return (void *)3;
	}
	return NULL;
}

static int role_tables(const char *arg)
{
	pthread_t thread;
	int fd, bad = 0;
	void *r;

	CHECK(mkdir("/tmp/t", 0755) == 0 && write_at("/tmp/t/mine", "x") == 0);
	fd = open("/tmp/t", O_RDONLY | O_DIRECTORY);
	CHECK(fd >= 0 && look_in(fd, "mine") == 0);
	CHECK(pthread_create(&thread, NULL, look_in_hello, &fd) == 0);
	for (int i = 0; i < 300; i++)
		bad += look_in(fd, "mine") < 0 || !FAILS(look_in(fd, "hello"), ENOENT);
	CHECK(pthread_join(thread, &r) == 0 && !r && !bad);
	(void)arg;
	return 0;
}

static void hazard_A6_descriptors_are_the_callers_own_in_a_tree(void **state)
{
	struct sluice_policy *p = root_policy(&root);

	(void)state;
	assert_int_equal(root_inside(p, "tables", ""), 0);
	sluice_policy_unref(p);
}

/* A descriptor that was looked at for the task is nobody's but the task's afterwards: the last writer of a pipe is gone when it says so. */
static int role_let_go(const char *arg)
{
	struct stat st;
	int ends[2];
	char c;

	for (int i = 0; i < 2000; i++) {
		CHECK(pipe2(ends, O_NONBLOCK) == 0);
		CHECK(FAILS(read(ends[0], &c, 1), EAGAIN));
		CHECK(syscall(SYS_newfstatat, ends[1], "", &st, AT_EMPTY_PATH) == 0 &&
		      S_ISFIFO(st.st_mode));
		CHECK(FAILS(syscall(SYS_newfstatat, ends[1], "x", &st, 0), ENOTDIR));
		close(ends[1]);
		CHECK(read(ends[0], &c, 1) == 0);
		close(ends[0]);
	}
	(void)arg;
	return 0;
}

static void hazard_C12_a_descriptor_that_was_looked_at_is_let_go(void **state)
{
	struct sluice_policy *p = root_policy(&root);

	(void)state;
	assert_int_equal(root_inside(p, "let_go", ""), 0);
	sluice_policy_unref(p);
}

/* ---- the host's mounts ---- */

#define NR_STATMOUNT 457
#define NR_LISTMOUNT 458
#define ALL_MOUNTS UINT64_C(0xffffffffffffffff) /* LSMT_ROOT */

/* Lists the mounts of the namespace, and asks for the first one's root and place. */
static int role_mounts(const char *arg)
{
	struct {
		uint32_t size, spare;
		uint64_t id, param;
	} req = { .size = sizeof(req), .id = ALL_MOUNTS };
	uint64_t first, answer[512];

	(void)arg;
	if (syscall(NR_LISTMOUNT, &req, &first, 1, 0) < 0)
		return errno;
	req.id = first;
	req.param = 0x18; /* STATMOUNT_MNT_ROOT, STATMOUNT_MNT_POINT */
	return syscall(NR_STATMOUNT, &req, answer, sizeof(answer), 0) < 0 ? errno : 0;
}

static int role_one_mount(const char *arg)
{
	struct {
		uint32_t size, spare;
		uint64_t id, param;
	} req = { .size = sizeof(req), .id = 1, .param = 0x18 };
	uint64_t answer[512];

	(void)arg;
	return syscall(NR_STATMOUNT, &req, answer, sizeof(answer), 0) < 0 ? errno : 0;
}

static void hazard_G1_no_call_lists_the_hosts_mounts(void **state)
{
	struct sluice_policy *p = root_policy(&root);
	int bare = guest_bare("mounts", "");

	(void)state;
	if (bare == 0)
		assert_int_equal(guest_inside(NULL, "mounts", ""), 0);
	else
		assert_int_equal(bare, ENOSYS); /* Linux before 6.8 */
	assert_int_equal(root_inside(p, "mounts", ""), ENOSYS);
	assert_int_equal(root_inside(p, "one_mount", ""), ENOSYS);
	sluice_policy_unref(p);
}

static const struct guest_role roles[] = {
	{ "control", role_control },   { "escape", role_escape },	{ "links", role_links },
	{ "odd", role_odd },	       { "magic", role_magic },		{ "moved", role_moved },
	{ "datagram", role_datagram }, { "overlap", role_overlap },	{ "flip", role_flip },
	{ "exchange", role_exchange }, { "tables", role_tables },	{ "let_go", role_let_go },
	{ "mounts", role_mounts },     { "one_mount", role_one_mount }, { NULL, NULL },
};

static int make_root(void **state)
{
	(void)state;
	root_make(&root);
	return 0;
}

static int remove_root(void **state)
{
	(void)state;
	root_remove(&root);
	return 0;
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_A6_descriptors_are_the_callers_own_in_a_tree),
		cmocka_unit_test(hazard_B1_no_family_leads_out_of_the_tree),
		cmocka_unit_test(hazard_B5_odd_paths_in_a_tree),
		cmocka_unit_test(hazard_B6_links_are_meant_themselves_in_a_tree),
		cmocka_unit_test(hazard_B7_no_datagrams_past_a_tree),
		cmocka_unit_test(hazard_B8_magic_links_stay_in_the_tree),
		cmocka_unit_test(hazard_C2_links_that_flip_lead_nowhere_else),
		cmocka_unit_test(hazard_C2_what_is_exchanged_is_found),
		cmocka_unit_test(hazard_C3_a_directory_that_is_moved_out_has_no_way_up),
		cmocka_unit_test(hazard_C3_mounts_that_overlap),
		cmocka_unit_test(hazard_C12_a_descriptor_that_was_looked_at_is_let_go),
		cmocka_unit_test(hazard_G1_no_call_lists_the_hosts_mounts),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("tree", tests, make_root, remove_root);
}
