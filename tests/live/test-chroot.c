/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox with a tree of its own, as a program in there sees it: paths, mounts, working directories, /proc, programs and scripts. What must not be
 * seen is hazard/tree's business; that every result is the kernel's is live/files'. The one argument is the program that is alone in its root.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "../support/root.h"

#define CHECK ROOT_CHECK
#define FAILS(call, error) ((call) < 0 && errno == (error))

static struct test_root root;
static const char *alone;

/* ---- inside ---- */

static int is_at(const char *want)
{
	char buf[PATH_MAX];

	return getcwd(buf, sizeof(buf)) && !strcmp(buf, want);
}

static int says(const char *path, const char *want)
{
	char text[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	return n >= 0 && !strcmp(text, want);
}

static int links_to(const char *path, const char *want)
{
	char buf[PATH_MAX];
	ssize_t n = readlink(path, buf, sizeof(buf) - 1);

	if (n < 0)
		return 0;
	buf[n] = '\0';
	return !strcmp(buf, want);
}

static int same(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int role_look(const char *arg)
{
	struct stat st;

	CHECK(is_at("/tmp"));
	CHECK(says("/etc/hello", "inside\n") && says("../etc/hello", "inside\n"));
	CHECK(says("/../../etc/hello", "inside\n") && says("//etc/./hello", "inside\n"));
	CHECK(says("/links/hello", "inside\n") && says("/links/etc/hello", "inside\n"));
	CHECK(says("/etc/file", "inside\n") && says("/ro/f", "ro\n") && says("/rw/sub/f", "rw\n"));
	CHECK(says("/ro/deep/f", "deep\n") && says("/ro/deep/../f", "ro\n"));
	CHECK(says("/ro/sub/../../rw/sub/../../as/f", "as\n"));
	CHECK(FAILS(stat("/links/loop", &st), ELOOP) && FAILS(stat("/etc/hello/", &st), ENOTDIR));
	CHECK(FAILS(stat("/etc/file/x", &st), ENOTDIR) &&
	      FAILS(stat("/etc/file/..", &st), ENOTDIR));
	CHECK(FAILS(stat("", &st), ENOENT) && FAILS(stat(arg, &st), ENOENT));
	CHECK(same("/", "/..") && same("/ro/deep/..", "/ro") && same("/rw", "/rw/sub/.."));
	return 0;
}

static int role_proc(const char *arg)
{
	char path[PATH_MAX], want[64];
	pid_t child;
	int fd = open("/ro/deep/f", O_RDONLY | O_CLOEXEC), status;

	CHECK(fd >= 0 && chdir("/ro/deep") == 0);
	CHECK(links_to("/proc/self/exe", "/bin/guest") && links_to("/proc/self/root", "/"));
	CHECK(links_to("/proc/self/cwd", "/ro/deep") &&
	      links_to("/proc/thread-self/cwd", "/ro/deep"));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(links_to(path, "/ro/deep/f") && says(path, "deep\n"));
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
	CHECK(links_to(path, "/ro/deep/f"));
	CHECK(says("/proc/self/cwd/f", "deep\n") && says("/proc/self/cwd/../f", "ro\n"));
	CHECK(says("/proc/self/root/etc/hello", "inside\n"));
	CHECK(says("/proc/self/root/../etc/hello", "inside\n"));
	CHECK(same("/proc/self/exe", "/bin/guest") && same("/proc/self/cwd", "/ro/deep"));
	snprintf(want, sizeof(want), "%d", getpid());
	CHECK(links_to("/proc/self", want));
	child = fork();
	if (child == 0) {
		if (chdir("/rw") == 0)
			pause();
		_exit(1);
	}
	/* until it has moved */
	snprintf(path, sizeof(path), "/proc/%d/cwd", child);
	while (!links_to(path, "/rw"))
		sched_yield();
	snprintf(path, sizeof(path), "/proc/%d/exe", child);
	CHECK(links_to(path, "/bin/guest"));
	snprintf(path, sizeof(path), "/proc/%d/root", child);
	CHECK(links_to(path, "/"));
	snprintf(path, sizeof(path), "/proc/%d/cwd/f", child);
	CHECK(says(path, "rw\n"));
	kill(child, SIGKILL);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(is_at("/ro/deep"));
	(void)arg;
	return 0;
}

static int role_dev(const char *arg)
{
	int fd = open("/etc/hello", O_RDONLY), out = open("/dev/null", O_WRONLY);
	char path[32], byte;

	CHECK(fd >= 0 && out >= 0 && write(out, "x", 1) == 1);
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	/* the root has no /dev/fd of its own, but what a link to it would lead to is there */
	CHECK(open(path, O_RDONLY) < 0 && symlink("/proc/self/fd", "/tmp/fd") == 0);
	snprintf(path, sizeof(path), "/tmp/fd/%d", fd);
	CHECK(says(path, "inside\n"));
	fd = open("/dev/urandom", O_RDONLY);
	CHECK(fd >= 0 && read(fd, &byte, 1) == 1);
	CHECK(FAILS(open("/dev/mem", O_RDONLY), ENOENT) &&
	      FAILS(open("/dev/kmsg", O_RDONLY), ENOENT));
	(void)arg;
	return 0;
}

/* Every spelling of a change below @dir, which holds "f" and "sub/f". */
static int count_not(const char *dir, int error)
{
	struct timespec now[2] = { { 1, 0 }, { 1, 0 } };
	char f[256], n[256], d[256], x[256];
	int bad = 0;

	snprintf(f, sizeof(f), "%s/f", dir);
	snprintf(n, sizeof(n), "%s/new", dir);
	snprintf(d, sizeof(d), "%s/sub", dir);
	snprintf(x, sizeof(x), "%s/sub/f", dir);
#define EACH(call)                                                                \
	do {                                                                      \
		if (!FAILS(call, error)) {                                        \
			fprintf(stderr, "%s: %s: errno %d\n", dir, #call, errno); \
			bad++;                                                    \
		}                                                                 \
	} while (0)
	EACH(open(f, O_WRONLY));
	EACH(open(f, O_RDWR | O_APPEND));
	EACH(open(f, O_RDONLY | O_TRUNC));
	EACH(open(n, O_RDONLY | O_CREAT, 0600));
	EACH(creat(n, 0600));
	EACH(openat(AT_FDCWD, dir, O_TMPFILE | O_RDWR, 0600));
	EACH(truncate(f, 0));
	EACH(mkdir(n, 0700));
	EACH(mkdirat(AT_FDCWD, n, 0700));
	EACH(mknod(n, S_IFIFO | 0600, 0));
	EACH(mknod(n, S_IFREG | 0600, 0));
	EACH(symlink("x", n));
	EACH(link(f, n));
	EACH(linkat(AT_FDCWD, f, AT_FDCWD, n, AT_SYMLINK_FOLLOW));
	EACH(unlink(f));
	EACH(unlinkat(AT_FDCWD, f, 0));
	EACH(rmdir(d));
	EACH(rename(f, n));
	EACH(renameat2(AT_FDCWD, f, AT_FDCWD, x, RENAME_EXCHANGE));
	EACH(chmod(f, 0600));
	EACH(fchmodat(AT_FDCWD, f, 0600, 0));
	EACH(lchown(f, getuid(), getgid()));
	EACH(chown(f, getuid(), getgid()));
	EACH(utimensat(AT_FDCWD, f, now, 0));
	EACH(utimensat(AT_FDCWD, f, now, AT_SYMLINK_NOFOLLOW));
	EACH(setxattr(f, "user.x", "x", 1, 0));
	EACH(lsetxattr(f, "user.x", "x", 1, 0));
	EACH(removexattr(f, "user.x"));
#undef EACH
	return bad;
}

static int role_refused(const char *arg)
{
	CHECK(count_not("/ro", EROFS) == 0);
	CHECK(says("/ro/f", "ro\n") && says("/ro/sub/f", "ro\n"));
	CHECK(FAILS(access("/ro/f", W_OK), EROFS) && access("/ro/f", R_OK) == 0);
	CHECK(FAILS(open("/etc/file", O_WRONLY), EROFS));
	CHECK(FAILS(open("/as/f", O_WRONLY), EACCES) &&
	      FAILS(open("/as/n", O_CREAT | O_WRONLY, 0600), EACCES));
	CHECK(FAILS(mkdir("/as/n", 0700), EACCES) && FAILS(mkdir("/n", 0700), EACCES));
	CHECK(FAILS(unlink("/as/f"), EACCES) && FAILS(chmod("/as/f", 0600), EACCES));
	CHECK(FAILS(open("/etc/hello", O_WRONLY), EACCES) &&
	      FAILS(truncate("/etc/hello", 0), EACCES));
	/* mount points are not names of what is below them */
	CHECK(FAILS(rmdir("/rw"), EBUSY) && FAILS(rename("/rw", "/tmp/x"), EXDEV));
	CHECK(FAILS(unlink("/etc/file"), EBUSY) && FAILS(rmdir("/ro/deep"), EBUSY));
	CHECK(FAILS(rename("/rw/f", "/tmp/f"), EXDEV) && FAILS(link("/rw/f", "/tmp/f"), EXDEV));
	(void)arg;
	return 0;
}

/* The same in a directory where it is granted. */
static int can_change(const char *dir)
{
	char f[256], n[256], d[256];
	int fd;

	snprintf(f, sizeof(f), "%s/made", dir);
	snprintf(n, sizeof(n), "%s/other", dir);
	snprintf(d, sizeof(d), "%s/directory", dir);
	fd = open(f, O_RDWR | O_CREAT | O_EXCL, 0666);
	CHECK(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
	CHECK(mkdir(d, 0777) == 0 && link(f, n) == 0 && unlink(n) == 0 && rename(f, n) == 0);
	CHECK(symlink(n, f) == 0 && says(f, "x") && chmod(f, 0640) == 0 && truncate(f, 3) == 0);
	CHECK(setxattr(f, "user.x", "x", 1, 0) == 0 || errno == EOPNOTSUPP);
	CHECK(rmdir(d) == 0 && unlink(f) == 0 && unlink(n) == 0);
	return 0;
}

static int role_allowed(const char *arg)
{
	(void)arg;
	return can_change("/tmp") || can_change("/rw") || can_change("/rw/sub") ||
	       can_change("/ro/deep") || can_change(".");
}

/* ---- where one is ---- */

static void *move_in_thread(void *to)
{
	return (void *)(intptr_t)chdir(to);
}

static int exit_of(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int role_move(const char *arg)
{
	pthread_t t;
	pid_t pid;
	int fd = open("/rw/sub", O_RDONLY | O_DIRECTORY), file = open("/rw/f", O_RDONLY);

	CHECK(fd >= 0 && file >= 0);
	CHECK(chdir("/ro/deep") == 0 && is_at("/ro/deep") && chdir("..") == 0 && is_at("/ro"));
	CHECK(chdir("..") == 0 && is_at("/") && chdir("..") == 0 && is_at("/"));
	CHECK(fchdir(fd) == 0 && is_at("/rw/sub") && says("f", "rw\n"));
	CHECK(FAILS(fchdir(file), ENOTDIR) && FAILS(fchdir(-1), EBADF) && is_at("/rw/sub"));
	CHECK(FAILS(chdir("/etc/hello"), ENOTDIR) && FAILS(chdir("/none"), ENOENT));
	pid = fork();
	if (pid == 0)
		_exit(is_at("/rw/sub") && chdir("/tmp") == 0 && is_at("/tmp") ? 0 : 1);
	CHECK(exit_of(pid) == 0 && is_at("/rw/sub"));
	CHECK(pthread_create(&t, NULL, move_in_thread, (void *)(uintptr_t) "/etc") == 0);
	CHECK(pthread_join(t, NULL) == 0 && is_at("/etc") && says("hello", "inside\n"));
	/* a name that moves, and one that goes */
	CHECK(mkdir("/tmp/d", 0700) == 0 && chdir("/tmp/d") == 0 &&
	      rename("/tmp/d", "/tmp/e") == 0);
	CHECK(is_at("/tmp/e") && rmdir("/tmp/e") == 0);
	CHECK(!getcwd((char[99]){ 0 }, 99) && errno == ENOENT);
	CHECK(FAILS(open("x", O_CREAT | O_WRONLY, 0600), ENOENT) && chdir("/") == 0 && is_at("/"));
	CHECK(syscall(SYS_getcwd, (char[2]){ 0 }, 1) < 0 && errno == ERANGE);
	(void)arg;
	return 0;
}

/* Many processes that each go their own way. */
static int role_crowd(const char *arg)
{
	pid_t pids[40];
	char path[32];

	for (int i = 0; i < (int)N_OF(pids); i++) {
		snprintf(path, sizeof(path), "/tmp/%d", i);
		CHECK(mkdir(path, 0700) == 0);
		pids[i] = fork();
		if (pids[i] == 0) {
			for (int k = 0; k < 50; k++) {
				if (chdir(path) < 0 || !is_at(path) || chdir("..") < 0 ||
				    !is_at("/tmp"))
					_exit(1);
			}
			_exit(0);
		}
	}
	for (size_t i = 0; i < N_OF(pids); i++)
		CHECK(exit_of(pids[i]) == 0);
	(void)arg;
	return 0;
}

static int role_start(const char *want)
{
	return is_at(want) ? 0 : 1;
}

/* ---- kinds of open ---- */

static int how(const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how h = { .flags = flags, .resolve = resolve };

	return (int)syscall(SYS_openat2, AT_FDCWD, path, &h, sizeof(h));
}

static int how_at(int dirfd, const char *path, uint64_t resolve)
{
	struct open_how h = { .flags = O_RDONLY, .resolve = resolve };

	return (int)syscall(SYS_openat2, dirfd, path, &h, sizeof(h));
}

static int mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 ? -1 : (int)(st.st_mode & 07777);
}

/* Is @pid asleep, and stays so for as long as it takes to look a hundred times? */
static bool sleeps(pid_t pid)
{
	char path[32], text[128] = "";

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	for (int i = 0; i < 100; i++) {
		int fd = open(path, O_RDONLY);
		ssize_t n = read(fd, text, sizeof(text) - 1);
		const char *state = n > 0 ? strrchr(text, ')') : NULL;

		close(fd);
		if (!state || state[2] != 'S')
			return false;
	}
	return true;
}

/* Each end of FIFO @path may come first, and waits for the other. */
static bool fifo_ends_meet(const char *path, bool writer_first)
{
	int first = writer_first ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY, fd, status;
	pid_t parent = getpid(), child = fork();

	if (child == 0) {
		while (!sleeps(parent))
			sched_yield();
		fd = open(path, writer_first ? O_RDONLY : O_WRONLY);
		_exit(fd < 0);
	}
	fd = open(path, first, 0666);
	return fd >= 0 && close(fd) == 0 && waitpid(child, &status, 0) == child && status == 0;
}

static int role_open(const char *arg)
{
	char path[32];
	struct stat st;
	int fd;

	umask(027);
	CHECK(close(open("/tmp/masked", O_CREAT | O_WRONLY, 0666)) == 0 &&
	      mode_of("/tmp/masked") == 0640);
	CHECK(mkdir("/tmp/dir", 0777) == 0 && mode_of("/tmp/dir") == 0750);
	CHECK(mknod("/tmp/fifo", S_IFIFO | 0666, 0) == 0 && mode_of("/tmp/fifo") == 0640);
	CHECK(fifo_ends_meet("/tmp/fifo", false));
	CHECK(fifo_ends_meet("/tmp/fifo", true));
	umask(0);
	CHECK(mkdir("/tmp/dir0", 0777) == 0 && mode_of("/tmp/dir0") == 0777);
	fd = open("/tmp", O_TMPFILE | O_RDWR, 0644);
	CHECK(fd >= 0 && write(fd, "unnamed", 7) == 7);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "/tmp/named", AT_SYMLINK_FOLLOW) == 0);
	CHECK(says("/tmp/named", "unnamed") && mode_of("/tmp/named") == 0644);
	CHECK(FAILS(open("/links/hello", O_RDONLY | O_NOFOLLOW), ELOOP));
	CHECK(open("/links/etc/hello", O_RDONLY | O_NOFOLLOW) >= 0);
	CHECK(FAILS(open("/links/hello", O_PATH | O_NOFOLLOW), EOPNOTSUPP));
	CHECK(FAILS(open("/links/hello", O_PATH | O_NOFOLLOW | O_DIRECTORY), ENOTDIR));
	CHECK(open("/links/hello", O_PATH) >= 0);
	CHECK(FAILS(fchmodat(AT_FDCWD, "/links/hello", 0600, AT_SYMLINK_NOFOLLOW), EOPNOTSUPP));
	CHECK(FAILS(open("/etc/hello", O_RDONLY | O_DIRECTORY), ENOTDIR));
	CHECK(FAILS(open("/links/hello", O_CREAT | O_EXCL | O_WRONLY, 0600), EEXIST));
	fd = open("/etc", O_PATH | O_DIRECTORY);
	CHECK(fd >= 0 && fstatat(fd, "hello", &st, 0) == 0 &&
	      fstatat(fd, "", &st, AT_EMPTY_PATH) == 0);
	CHECK(S_ISDIR(st.st_mode) && faccessat(fd, "hello", R_OK, 0) == 0);
	CHECK(FAILS(fstatat(fd, "", &st, 0), ENOENT) &&
	      FAILS(fstatat(fd, "/none", &st, 0), ENOENT));
	CHECK(fcntl(fd, F_GETFD) == 0 &&
	      fcntl(open("/etc", O_RDONLY | O_CLOEXEC), F_GETFD) == FD_CLOEXEC);
	CHECK(how_at(fd, "hello", RESOLVE_BENEATH) >= 0);
	CHECK(FAILS(how_at(fd, "../etc/hello", RESOLVE_BENEATH), EXDEV));
	CHECK(FAILS(how_at(fd, "/etc/hello", RESOLVE_BENEATH), EXDEV));
	CHECK(how_at(fd, "/hello", RESOLVE_IN_ROOT) >= 0 &&
	      how_at(fd, "../hello", RESOLVE_IN_ROOT) >= 0);
	CHECK(FAILS(how("/links/hello", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP));
	CHECK(FAILS(how("/proc/self/exe", O_RDONLY, RESOLVE_NO_MAGICLINKS), ELOOP));
	CHECK(FAILS(how("/rw/f", O_RDONLY, RESOLVE_NO_XDEV), EXDEV));
	CHECK(FAILS(how_at(fd, "../rw/f", RESOLVE_NO_XDEV), EXDEV));
	CHECK(FAILS(how("/etc/hello", O_RDONLY, 0x8000), EINVAL));
	(void)arg;
	return 0;
}

/* Directories and files whose path is longer than any call takes. */
static int role_deep(const char *arg)
{
	char name[201] = { 0 };
	struct stat st;
	int fd;

	memset(name, 'x', sizeof(name) - 1);
	CHECK(chdir("/tmp") == 0);
	for (int i = 0; i < 25; i++)
		CHECK(mkdir(name, 0700) == 0 && chdir(name) == 0);
	fd = open("f", O_CREAT | O_RDWR, 0600);
	CHECK(fd >= 0 && write(fd, "deep", 4) == 4 && says("f", "deep"));
	CHECK(chmod(".", 0750) == 0 && stat(".", &st) == 0 && (st.st_mode & 0777) == 0750);
	CHECK(rename("f", "g") == 0 && symlink("g", "l") == 0 && says("l", "deep"));
	CHECK(unlink("g") == 0 && unlink("l") == 0);
	for (int i = 0; i < 25; i++)
		CHECK(chdir("..") == 0 && rmdir(name) == 0);
	(void)arg;
	return 0;
}

/* What the kernel answers before it looks at the path. */
static int role_before(const char *arg)
{
	const struct timespec nothing[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };
	const struct timespec one[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_NOW } };

	CHECK(FAILS(mknod("/none/x", S_IFREG | 0600, 0), ENOENT));
	CHECK(FAILS(mknod("/none/x", S_IFDIR | 0600, 0), EPERM));
	CHECK(FAILS(mknod("/none/x", S_IFLNK | 0600, 0), EINVAL) &&
	      FAILS(mknod("/", S_IFMT | 0600, 0), EINVAL));
	CHECK(FAILS(utimensat(AT_FDCWD, "/none", one, 0), ENOENT));
	CHECK(utimensat(AT_FDCWD, "/none", nothing, 0) == 0 &&
	      utimensat(-1, "none", nothing, 0xffff) == 0);
	CHECK(FAILS((int)syscall(SYS_utimensat, AT_FDCWD, "/none", 8L, 0), EFAULT));
	(void)arg;
	return 0;
}

/* ---- what few programs use ---- */

struct handle {
	struct file_handle head;
	unsigned char bytes[128];
};

static int handle_of(const char *path, int flags, struct handle *h)
{
	int mount;

	memset(h, 0, sizeof(*h));
	h->head.handle_bytes = sizeof(h->bytes);
	return name_to_handle_at(AT_FDCWD, path, &h->head, &mount, flags);
}

static int role_rest(const char *arg)
{
	struct handle a, b;
	char events[512];
	int fd, dir;

	CHECK(handle_of("/etc/hello", 0, &a) == 0 || errno == EOPNOTSUPP);
	if (a.head.handle_bytes && errno != EOPNOTSUPP) {
		CHECK(handle_of("/links/hello", AT_SYMLINK_FOLLOW, &b) == 0 &&
		      !memcmp(&a, &b, sizeof(a)));
		CHECK(handle_of("/links/hello", 0, &b) == 0 && memcmp(&a, &b, sizeof(a)) != 0);
	}
	CHECK(FAILS(handle_of(arg, 0, &a), ENOENT));
	fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_NONBLOCK, 0);
	CHECK(fd >= 0 || errno == ENOSYS || errno == EPERM);
	if (fd >= 0 && fanotify_mark(fd, FAN_MARK_ADD, FAN_MODIFY, AT_FDCWD, "/rw/f") < 0) {
		CHECK(errno == EACCES && getenv("SLUICE_TEST_CONTAINER"));
	} else if (fd >= 0) {
		/* as the kernel has it, in spite of fanotify_mark(2) */
		CHECK(FAILS(fanotify_mark(fd, FAN_MARK_ADD, FAN_MODIFY, AT_FDCWD, NULL), EBADF));
		CHECK((dir = open("/rw", O_RDONLY | O_DIRECTORY)) >= 0);
		CHECK(fanotify_mark(fd, FAN_MARK_ADD, FAN_MODIFY, dir, NULL) == 0);
		CHECK(FAILS(fanotify_mark(fd, FAN_MARK_ADD, FAN_MODIFY, AT_FDCWD, arg), ENOENT));
		CHECK(FAILS(fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_MODIFY, AT_FDCWD,
					  "/rw"),
			    EPERM));
		CHECK(truncate("/rw/f", 1) == 0 && read(fd, events, sizeof(events)) > 0);
		CHECK(fanotify_mark(fd, FAN_MARK_REMOVE, FAN_MODIFY, AT_FDCWD, "/rw/f") == 0);
		CHECK(fanotify_mark(fd, FAN_MARK_FLUSH, 0, AT_FDCWD, NULL) == 0);
	}
	return 0;
}

/* ---- Unix sockets ---- */

static socklen_t named(struct sockaddr_un *sun, const char *path)
{
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(sun->sun_path, path, strnlen(path, sizeof(sun->sun_path)));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
			   strnlen(path, sizeof(sun->sun_path)));
}

static int bind_to(const char *path)
{
	struct sockaddr_un sun;
	socklen_t n = named(&sun, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (const struct sockaddr *)&sun, n) == 0)
		return fd;
	close(fd);
	return -1;
}

static int is_named(int fd, const char *want, bool peer)
{
	struct sockaddr_un sun = { 0 };
	socklen_t n = sizeof(sun);
	int r = peer ? getpeername(fd, (struct sockaddr *)&sun, &n)
		     : getsockname(fd, (struct sockaddr *)&sun, &n);

	return r == 0 && sun.sun_family == AF_UNIX &&
	       !strncmp(sun.sun_path, want, sizeof(sun.sun_path)) &&
	       n == offsetof(struct sockaddr_un, sun_path) + strlen(want) + 1;
}

/* Bound, found there, connected to, and called by the name that was given. */
static int serves(const char *path, const char *to)
{
	int server = bind_to(path), client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), got;
	struct sockaddr_un sun;
	socklen_t n = named(&sun, to);
	struct stat st;

	CHECK(server >= 0 && client >= 0 && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode));
	CHECK((st.st_mode & 07777) == 0751 && is_named(server, path, false));
	CHECK(bind(server, (const struct sockaddr *)&sun, n) < 0 && listen(server, 1) == 0);
	CHECK(connect(client, (const struct sockaddr *)&sun, n) == 0 &&
	      is_named(client, path, true));
	got = accept(server, NULL, NULL);
	CHECK(got >= 0 && is_named(got, path, false) && write(client, "x", 1) == 1);
	CHECK(read(got, &sun, 1) == 1 && getsockname(client, (struct sockaddr *)&sun, &n) == 0);
	close(got);
	close(client);
	close(server);
	CHECK(unlink(path) == 0);
	return 0;
}

/* A client that is called @own connects to a server: whom does the server see, and can that be connected to? */
static int is_seen_as(const char *own, const char *seen)
{
	int server = bind_to("/tmp/server"), client = bind_to(own), got, again;
	struct sockaddr_un sun, peer = { 0 };
	socklen_t n = named(&sun, "/tmp/server"), size = sizeof(peer);

	CHECK(server >= 0 && client >= 0 && listen(server, 1) == 0);
	CHECK(connect(client, (const struct sockaddr *)&sun, n) == 0);
	got = accept(server, (struct sockaddr *)&peer, &size);
	CHECK(got >= 0 && is_named(got, own, true));
	CHECK(!seen || !strncmp(peer.sun_path, seen, sizeof(peer.sun_path)));
	close(client);
	CHECK(unlink(own) == 0 && (client = bind_to(own)) >= 0 && listen(client, 1) == 0);
	again = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(again >= 0 && connect(again, (const struct sockaddr *)&peer, size) == 0);
	close(again);
	close(client);
	close(got);
	close(server);
	CHECK(unlink(own) == 0 && unlink("/tmp/server") == 0);
	return 0;
}

static int role_sockets(const char *arg)
{
	struct sockaddr_un sun;
	socklen_t n = 4;
	int fd;

	umask(026);
	fd = bind_to("/tmp/first");
	if (fd < 0 && errno == EACCES && getenv("SLUICE_TEST_CONTAINER"))
		return 0;
	CHECK(fd >= 0 && getsockname(fd, (struct sockaddr *)&sun, &n) == 0 && n == 2 + 10 + 1);
	CHECK(serves("/tmp/s", "/tmp/s") == 0 && serves("s", "/tmp/../tmp/s") == 0);
	CHECK(serves("/rw/sub/../s", "/rw/s") == 0 &&
	      serves("/ro/deep/a-name-that-is-longer", "/ro/deep/a-name-that-is-longer") == 0);
	CHECK(bind_to("/tmp/first") < 0 && errno == EADDRINUSE);
	CHECK(bind_to("/tmp") < 0 && errno == EADDRINUSE && bind_to("/tmp/..") < 0 &&
	      errno == EADDRINUSE);
	CHECK(bind_to("/ro/s") < 0 && errno == EROFS && bind_to("/as/s") < 0 && errno == EACCES);
	CHECK(bind_to("/etc/s") < 0 && errno == EACCES && bind_to("/none/s") < 0 &&
	      errno == ENOENT);
	CHECK(bind_to("/tmp/x/") < 0 && errno == ENOENT && bind_to("/tmp/first/x") < 0 &&
	      errno == ENOTDIR);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	n = named(&sun, "");
	CHECK(bind(fd, (const struct sockaddr *)&sun, 2) == 0); /* a name of the kernel's choice */
	n = sizeof(sun);
	CHECK(getsockname(fd, (struct sockaddr *)&sun, &n) == 0 && n == 2 + 6 && !sun.sun_path[0]);
	/* a name without room for anything else */
	umask(0);
	CHECK(chdir("/tmp") == 0);
	fd = bind_to(
		"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
	CHECK(fd >= 0);
	/* the kernel has the task's own text, where that leads there by the host's paths as well */
	CHECK(mkdir("sub", 0755) == 0 && is_seen_as("c", "c") == 0 &&
	      is_seen_as("./c", "./c") == 0);
	CHECK(is_seen_as("sub/c", "sub/c") == 0 && is_seen_as("sub//../c", "sub//../c") == 0);
	CHECK(is_seen_as("/tmp/c", NULL) == 0 && is_seen_as("/rw/c", NULL) == 0);
	CHECK(symlink("/rw", "to-rw") == 0 && is_seen_as("to-rw/c", NULL) == 0);
	(void)arg;
	return 0;
}

/* ---- programs ---- */

static int make_script_file(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0755);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0;
}

enum start_by {
	BY_FORK,
	BY_VFORK,
	BY_SPAWN,
	BY_EXECVEAT,
	BY_DIRFD
};

/* The exit code of program @path with argument @arg, or 200 + errno. */
static int start(enum start_by by, const char *path, const char *arg)
{
	char *const argv[] = { (char *)path, (char *)arg, NULL };
	pid_t pid;
	int r, dir;

	if (by == BY_SPAWN) {
		r = posix_spawn(&pid, path, NULL, NULL, argv, environ);
		return r ? 200 + r : exit_of(pid);
	}
	pid = by == BY_VFORK ? vfork() : fork();
	if (pid == 0) {
		if (by == BY_EXECVEAT) {
			syscall(SYS_execveat, AT_FDCWD, path, argv, environ, 0);
		} else if (by == BY_DIRFD) {
			dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			syscall(SYS_execveat, dir, strrchr(path, '/') + 1, argv, environ, 0);
		} else {
			execv(path, argv);
		}
		_exit(200 + errno);
	}
	return exit_of(pid);
}

static int role_execute(const char *arg)
{
	struct stat st;

	CHECK(make_script_file(
		"/tmp/s",
		"#!/bin/sh\n[ \"$1\" = a ] && [ \"$0\" = /tmp/s ] && exit 7; echo \"$0 $1\" >&2\n"));
	CHECK(make_script_file("/tmp/r", "#!bin/../s\nexit 3\n") && mkdir("/tmp/bin", 0755) == 0);
	CHECK(make_script_file("/tmp/e", "#!/bin/env sh\nexit 8\n"));
	CHECK(make_script_file("/tmp/n", "#!/no/such\n") && make_script_file("/tmp/empty", ""));
	CHECK(make_script_file("/tmp/plain", "exit 9\n") && symlink("s", "/tmp/l") == 0);
	for (int by = BY_FORK; by <= BY_EXECVEAT; by++) {
		CHECK(start(by, "/tmp/s", "a") == 7);
		CHECK(start(by, "/tmp/e", "a") == 8);
		CHECK(start(by, "/bin/true", "") == 0);
		CHECK(start(by, "/tmp/n", "") == 200 + ENOENT &&
		      start(by, "/none", "") == 200 + ENOENT);
		CHECK(start(by, "/tmp/plain", "") == 200 + ENOEXEC &&
		      start(by, "/tmp/empty", "") == 200 + ENOEXEC);
		CHECK(start(by, "/etc/hello", "") == 200 + EACCES &&
		      start(by, "/tmp", "") == 200 + EACCES);
		CHECK(start(by, "/links/loop", "") == 200 + ELOOP);
	}
	/* relative, from a directory of one's own; an interpreter of a relative name is looked for there too */
	CHECK(chdir("/tmp") == 0 && system("./s b 2>/dev/null; test $? = 0") == 0);
	CHECK(make_script_file("/tmp/t", "#!./u\n") &&
	      make_script_file("/tmp/u", "#!/bin/sh\nexit 5\n"));
	CHECK(WEXITSTATUS(system("./t")) == 5 &&
	      WEXITSTATUS(system("cd bin && ../t 2>/dev/null")) == 126 + 1);
	CHECK(system("PATH=/bin; true && env true && sh -c 'cat /etc/hello' >/tmp/o") == 0);
	CHECK(says("/tmp/o", "inside\n"));
	CHECK(system("[ $(readlink /proc/self/exe) = /bin/readlink ]") == 0);
	CHECK(stat("/bin/true", &st) == 0 && st.st_mode & 0100);
	(void)arg;
	return 0;
}

/* Program @path, which says on @ret_from what it is told on @ret_to, and runs by now. */
static pid_t start_echo(const char *path, int *ret_to)
{
	int to[2], from[2];
	char c = 'x';
	pid_t pid;

	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		execl(path, path, NULL);
		_exit(200);
	}
	close(to[0]);
	close(from[1]);
	*ret_to = to[1];
	if (write(to[1], &c, 1) != 1 || read(from[0], &c, 1) != 1)
		pid = -1;
	close(from[0]);
	return pid;
}

/* How many of the ways to change program @path are there? */
static int count_ways_to_change(const char *path)
{
	static const int flags[] = { O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_CREAT };
	int n = 0;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		int fd = open(path, flags[i] | O_CLOEXEC, 0700);

		if (fd < 0 && errno != ETXTBSY)
			return -1;
		n += fd >= 0;
		if (fd >= 0)
			close(fd);
	}
	return n + (truncate(path, 0) == 0);
}

/*
 * Program busy in @dir, which is executed from there, cannot be written to while it runs, nor while a second one does. The exit code is 2 where the kernel allows
 * it.
 */
static int role_busy(const char *dir)
{
	char path[PATH_MAX];
	int to, second, n;
	pid_t pid, again;

	snprintf(path, sizeof(path), "%s/busy", dir);
	pid = start_echo(path, &to);
	again = start_echo(path, &second);
	CHECK(pid > 0 && again > 0 && close(second) == 0 && exit_of(again) == 0);
	CHECK(close(open(path, O_RDONLY | O_CLOEXEC)) == 0);
	n = count_ways_to_change(path);
	close(to);
	CHECK(exit_of(pid) == 0 && (n == 0 || n == 5));
	CHECK(count_ways_to_change(path) == 5);
	return n ? 2 : 0;
}

/* The same of a program that was made here. Who may not write to it anyway is told so. */
static int role_busy_here(const char *dir)
{
	char path[PATH_MAX], command[PATH_MAX + 64];
	pid_t pid;
	int to;

	snprintf(path, sizeof(path), "%s/busy", dir);
	snprintf(command, sizeof(command), "cat /bin/cat >%s", path);
	CHECK(system(command) == 0 && chmod(path, 0755) == 0);
	pid = start_echo(path, &to);
	CHECK(pid > 0 && chmod(path, 0555) == 0);
	CHECK(access(path, W_OK) == 0 || FAILS(open(path, O_WRONLY | O_CLOEXEC), EACCES));
	CHECK(chmod(path, 0755) == 0 && close(to) == 0 && exit_of(pid) == 0);
	return role_busy(dir);
}

/* Does @way, as a path and from the working directory, lead to what is mounted at to/there, and not to what lies below the mount? */
static int way_leads(const char *way, const char *relative)
{
	char path[PATH_MAX], cwd[PATH_MAX];
	const char *const starts[] = { way, relative };

	for (size_t i = 0; i < N_OF(starts); i++) {
		snprintf(path, sizeof(path), "%s/to/there/inside", starts[i]);
		CHECK(access(path, F_OK) == 0);
		snprintf(path, sizeof(path), "%s/to/there/hidden", starts[i]);
		CHECK(FAILS(access(path, F_OK), ENOENT));
		snprintf(path, sizeof(path), "%s/to/./there/hidden", starts[i]); /* the slow way */
		CHECK(FAILS(access(path, F_OK), ENOENT));
		snprintf(path, sizeof(path), "%s/to/none", starts[i]);
		CHECK(close(creat(path, 0600)) == 0 && unlink(path) == 0);
	}
	snprintf(path, sizeof(path), "%s/to/there", way);
	CHECK(chdir(path) == 0 && getcwd(cwd, sizeof(cwd)) && !strcmp(path, cwd));
	CHECK(access("inside", F_OK) == 0 && access("../there/inside", F_OK) == 0);
	CHECK(chdir("/tmp") == 0);
	return 0;
}

static int no_way(const char *way)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/to/there/inside", way);
	return FAILS(access(path, F_OK), ENOENT) ? 0 : 1;
}

/* Directories on the way to a mount point are renamed. */
static int role_way(const char *arg)
{
	CHECK(way_leads("/tmp/way", "way") == 0);
	CHECK(FAILS(rename("/tmp/way", "/ro/way"), EXDEV) && way_leads("/tmp/way", "way") == 0);
	CHECK(rename("/tmp/way", "/tmp/moved") == 0 && no_way("/tmp/way") == 0);
	CHECK(way_leads("/tmp/moved", "moved") == 0);
	CHECK(mkdir("/tmp/other", 0755) == 0 && rename("/tmp/moved", "/tmp/other/way") == 0);
	CHECK(no_way("/tmp/moved") == 0 && way_leads("/tmp/other/way", "other/way") == 0);
	CHECK(chdir("other") == 0 && access("way/to/there/inside", F_OK) == 0);
	CHECK(FAILS(access("way/to/there/hidden", F_OK), ENOENT) && chdir("/tmp") == 0);
	CHECK(mkdir("/tmp/way", 0755) == 0);
	CHECK(renameat2(AT_FDCWD, "/tmp/way", AT_FDCWD, "/tmp/other/way", RENAME_EXCHANGE) == 0);
	CHECK(no_way("/tmp/other/way") == 0 && way_leads("/tmp/way", "way") == 0);
	(void)arg;
	return 0;
}

/* By somebody on the host, who is told that we are ready. */
static int role_way_of_others(const char *arg)
{
	CHECK(way_leads("/tmp/way", "way") == 0 && close(creat("/tmp/ready", 0600)) == 0);
	for (int i = 0; access("/tmp/moved/to/there/inside", F_OK) < 0; i++) {
		CHECK(i < 100000);
		usleep(100);
	}
	CHECK(no_way("/tmp/way") == 0 && way_leads("/tmp/moved", "moved") == 0);
	(void)arg;
	return 0;
}

/* The mode of a file that is made now, with all that may be asked for; 0: none. */
static mode_t mode_made(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0777);
	mode_t mode = fd < 0 ? 0 : mode_of(path);

	return fd >= 0 && close(fd) == 0 && unlink(path) == 0 ? mode : 0;
}

static void *take_mask(void *ret_old)
{
	*(mode_t *)ret_old = umask(07);
	return NULL;
}

/* An umask is a process's: its threads share it, a fork copies it, an exec keeps it, and where the process is has nothing to do with it. */
static int role_masks(const char *arg)
{
	const mode_t first = (mode_t)strtoul(arg, NULL, 8);
	char at[PATH_MAX];
	mode_t old = 0;
	pthread_t other;
	pid_t child;
	int status;

	CHECK(mode_made("/tmp/m") == (0777 & ~first));
	CHECK(umask(077 | 07000) == first && mode_made("/tmp/m") == 0700);
	CHECK(pthread_create(&other, NULL, take_mask, &old) == 0);
	CHECK(pthread_join(other, NULL) == 0 && old == 077 && mode_made("/tmp/m") == 0770);
	CHECK(mkdir("/tmp/deep", 0777) == 0 && mode_of("/tmp/deep") == 0770);
	child = fork();
	if (child == 0)
		_exit(!(mode_made("/tmp/m") == 0770 && umask(0) == 07 &&
			mode_made("/tmp/m") == 0777));
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(mode_made("/tmp/m") == 0770);
	CHECK(system("test $(umask) = 0007 && : > /tmp/s && umask 0 && : > /tmp/t") == 0);
	CHECK(mode_of("/tmp/s") == 0660 && mode_of("/tmp/t") == 0666);
	CHECK(chdir("/tmp/deep") == 0 && mode_made("m") == 0770 && umask(022) == 07);
	CHECK(getcwd(at, sizeof(at)) && !strcmp(at, "/tmp/deep") && mode_made("m") == 0755);
	CHECK(chdir("/") == 0 && rmdir("/tmp/deep") == 0 && mode_made("/tmp/m") == 0755);
	CHECK(umask(0) == 022 && umask(first) == 0 && mode_made("/tmp/m") == (0777 & ~first));
	return unlink("/tmp/s") < 0 || unlink("/tmp/t") < 0;
}

static int role_sleep(const char *arg)
{
	CHECK(close(creat("/tmp/asleep", 0600)) == 0);
	(void)arg;
	pause();
	return 0;
}

static int role_shell(const char *text)
{
	int status = system(text);

	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static const struct guest_role roles[] = {
	{ "sleep", role_sleep },
	{ "look", role_look },
	{ "proc", role_proc },
	{ "dev", role_dev },
	{ "refused", role_refused },
	{ "allowed", role_allowed },
	{ "move", role_move },
	{ "crowd", role_crowd },
	{ "start", role_start },
	{ "open", role_open },
	{ "rest", role_rest },
	{ "sockets", role_sockets },
	{ "execute", role_execute },
	{ "busy", role_busy },
	{ "busy-here", role_busy_here },
	{ "shell", role_shell },
	{ "way", role_way },
	{ "way-of-others", role_way_of_others },
	{ "deep", role_deep },
	{ "masks", role_masks },
	{ "before", role_before },
	{ NULL, NULL },
};

/* ---- outside ---- */

static void inside(const char *role, const char *arg)
{
	struct sluice_policy *p = root_policy(&root);

	assert_int_equal(root_inside(p, role, arg), 0);
	sluice_policy_unref(p);
}

static void test_paths(void **state)
{
	(void)state;
	/* what is there on the host */
	assert_int_equal(access(root_path(&root, "out/secret"), F_OK), 0);
	inside("look", root_path(&root, "out/secret"));
}

static void test_proc(void **state)
{
	(void)state;
	inside("proc", "");
}

static void test_dev(void **state)
{
	(void)state;
	inside("dev", "");
}

static void test_changes(void **state)
{
	(void)state;
	inside("allowed", "");
	inside("refused", "");
}

static void test_working_directories(void **state)
{
	(void)state;
	inside("move", "");
	inside("crowd", "");
}

static void test_umasks(void **state)
{
	const mode_t own = umask(013);

	(void)state;
	inside("masks", "013");
	umask(0);
	inside("masks", "0");
	umask(own);
}

/* Something is mounted at /tmp/way/to/there, where a file lies below it. */
static struct sluice_policy *policy_with_a_way(const char *mounted)
{
	struct sluice_policy *p = root_policy(&root);
	char path[PATH_MAX];

	assert_int_equal(mkdir(root_path(&root, "root/tmp/way"), 0755), 0);
	assert_int_equal(mkdir(root_path(&root, "root/tmp/way/to"), 0755), 0);
	assert_int_equal(mkdir(root_path(&root, "root/tmp/way/to/there"), 0755), 0);
	close(creat(root_path(&root, "root/tmp/way/to/there/hidden"), 0644));
	snprintf(path, sizeof(path), "%s/inside", mounted);
	close(creat(path, 0644));
	assert_int_equal(sluice_policy_add_mount(p, "/tmp/way/to/there", mounted,
						 SLUICE_MOUNT_READ_WRITE, NULL),
			 0);
	return p;
}

static void test_renames_above_a_mount(void **state)
{
	const char *mounted = guest_dir();
	struct sluice_policy *p = policy_with_a_way(mounted);

	(void)state;
	assert_int_equal(root_inside(p, "way", ""), 0);
	sluice_policy_unref(p);
	guest_remove(mounted);
}

static void test_renames_above_a_mount_by_others(void **state)
{
	const char *mounted = guest_dir();
	struct sluice_policy *p = policy_with_a_way(mounted);
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0) {
		for (int i = 0; access(root_path(&root, "root/tmp/ready"), F_OK) < 0; i++) {
			if (i > 100000)
				_exit(1);
			usleep(100);
		}
		_exit(rename(root_path(&root, "root/tmp/way"), root_path(&root, "root/tmp/moved")) <
		      0);
	}
	assert_int_equal(root_inside(p, "way-of-others", ""), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	sluice_policy_unref(p);
	guest_remove(mounted);
}

static void test_where_it_starts(void **state)
{
	static const char *const places[] = { "/", "/ro", "/ro/deep", "/rw/sub", "/links/etc" };
	struct sluice_policy *p = root_policy(&root);

	(void)state;
	for (size_t i = 0; i < N_OF(places); i++) {
		assert_int_equal(sluice_policy_set_cwd(p, places[i], NULL), 0);
		assert_int_equal(root_inside(p, "start",
					     !strcmp(places[i], "/links/etc") ? "/etc" : places[i]),
				 0);
	}
	sluice_policy_unref(p);
}

static void test_opens(void **state)
{
	(void)state;
	inside("open", "");
}

static void test_what_comes_before_the_path(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("before", ""), 0);
	inside("before", "");
}

static void test_paths_longer_than_any_call_takes(void **state)
{
	(void)state;
	inside("deep", "");
}

static void test_handles_and_marks(void **state)
{
	(void)state;
	inside("rest", root_path(&root, "out/secret"));
}

static void test_unix_sockets(void **state)
{
	(void)state;
	inside("sockets", "");
}

static void test_programs(void **state)
{
	(void)state;
	inside("execute", "");
	inside("shell", "ls / | cat >/tmp/ls && test \"$(cat /tmp/ls)\"");
}

static void test_a_program_that_runs_is_not_changed(void **state)
{
	const char *bare = guest_dir(), *lower = guest_dir(), *storage = guest_dir();
	struct sluice_policy *p = root_policy(&root);
	int expected = guest_bare("busy-here", bare);
	char command[PATH_MAX + 64];

	(void)state;
	assert_true(expected == 0 || expected == 2);
	assert_int_equal(root_inside(p, "busy-here", "/tmp"), expected);
	sluice_policy_unref(p);

	snprintf(command, sizeof(command), "cp /bin/cat %s/busy", lower);
	assert_int_equal(system(command), 0);
	p = guest_policy();
	assert_int_equal(sluice_policy_set_workdir(p, lower, NULL), 0);
	assert_int_equal(sluice_policy_set_storage(p, storage, NULL), 0);
	if (guest_descriptors_can_be_got()) /* which copy-on-write needs */
		assert_int_equal(guest_inside(p, "busy", lower), expected);
	sluice_policy_unref(p);
	guest_remove(storage);
	guest_remove(lower);
	guest_remove(bare);
}

static void test_a_program_alone(void **state)
{
	const char *dir = guest_dir();
	struct sluice_policy *p = sluice_policy_new();
	const char *const argv[] = { "/alone", NULL };
	char command[9000];

	(void)state;
	snprintf(command, sizeof(command), "cp '%s' %s/alone && chmod 755 %s %s/alone", alone, dir,
		 dir, dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(sluice_policy_set_chroot(p, dir, NULL), 0);
	assert_int_equal(sluice_policy_allow_read(p, "/", NULL), 0);
	assert_int_equal(sluice_policy_set_cwd(p, "/", NULL), 0);
	assert_int_equal(root_run(p, argv), 0);
	sluice_policy_unref(p);
	guest_remove(dir);
}

/* ---- bad input ---- */

/* What starting @argv says. */
static void fails(struct sluice_policy *p, const char *program, int error, const char *says)
{
	const char *const argv[] = { program, NULL };
	struct sluice_error err = { 0 };
	struct sluice_result res;
	int r = sluice_run(p, argv, &res, &err);

	if (r != error || !strstr(err.text, says))
		fail_msg("%s: %d: %s (%s) and not %d: %s", program, r, err.text, err.hint, error,
			 says);
	assert_null(strchr(err.text, '\n'));
	sluice_policy_unref(p);
}

static struct sluice_policy *with_root(const char *dir)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_set_chroot(p, dir, NULL), 0);
	assert_int_equal(sluice_policy_set_cwd(p, "/", NULL), 0);
	return p;
}

static struct sluice_policy *with_mount(const char *at, const char *host)
{
	struct sluice_policy *p = root_policy(&root);

	assert_int_equal(sluice_policy_add_mount(p, at, host, SLUICE_MOUNT_READ_ONLY, NULL), 0);
	return p;
}

static struct sluice_policy *with_cwd(const char *dir)
{
	struct sluice_policy *p = root_policy(&root);

	assert_int_equal(sluice_policy_set_cwd(p, dir, NULL), 0);
	return p;
}

static void test_bad_input(void **state)
{
	const char *top = root.top;
	struct sluice_policy *p;

	(void)state;
	fails(with_root("/no/such"), "/bin/true", -ENOENT, "root: /no/such: No such file");
	fails(with_root(root_path(&root, "file")), "/bin/true", -ENOTDIR, "Not a directory");
	fails(with_mount("/etc/hello/x", top), "/bin/true", -ENOTDIR, "mount: /etc/hello/x");
	fails(with_mount("/rw", top), "/bin/true", -EEXIST, "mount: /rw");
	fails(with_mount("/x", "/no/such"), "/bin/true", -ENOENT, "/no/such");
	fails(with_mount("/x/../y", top), "/bin/true", -EINVAL, "/x/../y");
	fails(with_mount("/", top), "/bin/true", -EINVAL, "mount: /");
	fails(with_cwd("/no/such"), "/bin/true", -ENOENT, "working directory: /no/such");
	fails(with_cwd("/etc/hello"), "/bin/true", -ENOTDIR, "working directory: /etc/hello");
	p = with_cwd("/");
	assert_int_equal(sluice_policy_add_mount(p, "x", top, SLUICE_MOUNT_READ_ONLY, NULL),
			 -EINVAL);
	sluice_policy_unref(p);
	fails(with_cwd("/"), "/no/such", -ENOENT, "exec: /no/such: No such file");
	fails(with_cwd("/"), "nosuch", -ENOENT, "exec: nosuch: not found");
	fails(with_cwd("/"), "/etc/hello", -EACCES, "exec: /etc/hello");
	fails(with_cwd("/"), "/etc", -EACCES, "exec: /etc");
	fails(with_cwd("/"), "/links/loop", -ELOOP, "exec: /links/loop");
}

/* The error says which file it is that is missing. */
static void test_interpreter_missing(void **state)
{
	char command[9000];

	(void)state;
	snprintf(
		command, sizeof(command),
		"cd %s/root/bin && printf '#!/no/interp\\n' >s && chmod 755 s && printf '#!/bin/s\\n' >s2 && chmod 755 s2",
		root.top);
	assert_int_equal(system(command), 0);
	fails(with_cwd("/"), "/bin/s", -ENOENT, "exec: /bin/s: /no/interp: No such file");
	fails(with_cwd("/"), "/bin/s2", -ENOENT, "exec: /bin/s2: /no/interp: No such file");
	/* a program without its loader */
	fails(with_root(root_path(&root, "root/bin")), "/true", -ENOENT, "exec: /true: /lib");
}

static void test_a_root_that_may_not_be_searched(void **state)
{
	const char *dir = root_path(&root, "closed");

	(void)state;
	assert_int_equal(mkdir(dir, 0000), 0);
	fails(with_root(dir), "/bin/true", -EACCES, "Permission denied");
	assert_int_equal(rmdir(dir), 0);
}

static unsigned count_private(void)
{
	char command[300];
	unsigned n = 0;
	FILE *f;

	snprintf(command, sizeof(command), "ls -d $XDG_RUNTIME_DIR/sluice-%u/* 2>/dev/null | wc -l",
		 geteuid());
	f = popen(command, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%u", &n), 1);
	pclose(f);
	return n;
}

static void start_another(void)
{
	struct sluice_policy *p = root_policy(&root);

	assert_int_equal(root_inside(p, "start", "/tmp"), 0);
	sluice_policy_unref(p);
}

/* A supervisor that is killed leaves its private directories; whoever starts next removes them. Others' are left alone. */
static void test_hazard_D8_what_a_killed_supervisor_left(void **state)
{
	struct sluice_policy *p = root_policy(&root);
	const char *tmp = guest_dir();
	char path[64];
	pid_t pid;
	int status;

	(void)state;
	assert_int_equal(setenv("XDG_RUNTIME_DIR", tmp, 1), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when an assertion fails */
		_exit(root_inside(p, "sleep", ""));
	}
	while (access(root_path(&root, "root/tmp/asleep"), F_OK) < 0) {
		if (waitpid(pid, &status, WNOHANG))
			fail_msg("the supervisor ended: %x", status);
		sched_yield();
	}
	assert_int_equal(count_private(), 2); /* for programs, for listings of /proc */
	start_another();
	assert_int_equal(count_private(), 2); /* in use */
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(count_private(), 2);
	/* its init goes a moment later, and holds the lock until then */
	for (int i = 0; i < 500 && count_private(); i++)
		start_another();
	assert_int_equal(count_private(), 0);
	snprintf(path, sizeof(path), "%.40s/sluice-%u", tmp, geteuid());
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
	sluice_policy_unref(p);
	guest_remove(tmp);
}

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
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_proc),
		cmocka_unit_test(test_dev),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_working_directories),
		cmocka_unit_test(test_umasks),
		cmocka_unit_test(test_renames_above_a_mount),
		cmocka_unit_test(test_renames_above_a_mount_by_others),
		cmocka_unit_test(test_where_it_starts),
		cmocka_unit_test(test_opens),
		cmocka_unit_test(test_what_comes_before_the_path),
		cmocka_unit_test(test_paths_longer_than_any_call_takes),
		cmocka_unit_test(test_handles_and_marks),
		cmocka_unit_test(test_unix_sockets),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_a_program_that_runs_is_not_changed),
		cmocka_unit_test(test_a_program_alone),
		cmocka_unit_test(test_bad_input),
		cmocka_unit_test(test_interpreter_missing),
		cmocka_unit_test(test_a_root_that_may_not_be_searched),
		cmocka_unit_test(test_hazard_D8_what_a_killed_supervisor_left),
	};

	guest_begin(argc, argv, roles);
	if (argc < 2)
		return 2;
	alone = argv[1];
	return cmocka_run_group_tests_name("chroot", tests, make_root, remove_root);
}
