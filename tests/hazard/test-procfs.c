/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's own /proc: what is not of the sandbox is not there, by whatever name, and what is there behaves as files on procfs do.
 *
 * The outsider is a process of the same user that the sandbox does not know; each test first opens its files bare, by the same names.
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
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "as_seen.h"
#include "../support/cmocka.h"
#include "../support/guest.h"

/* ---- guests: names ---- */

/* A way to open NAME of process PID; DIR is a directory with links, FD a descriptor of /proc from before. */
struct way {
	const char *pid, *name, *dir;
	int fd;
};

static int open_formatted(const char *format, const struct way *w)
{
	char path[PATH_MAX];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(path, sizeof(path), format, w->pid, w->name);
#pragma GCC diagnostic pop
	return open(path, O_RDONLY);
}

static int from(int dir, const struct way *w)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", w->pid, w->name);
	fd = dir < 0 && dir != AT_FDCWD ? -1 : openat(dir, path, O_RDONLY);
	if (dir >= 0 && dir != w->fd)
		close(dir);
	return fd;
}

static int by_link(const char *link, const struct way *w)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", w->dir, link);
	return open(path, O_RDONLY);
}

static int by_openat2(uint64_t resolve, const struct way *w)
{
	struct open_how how = { .flags = O_RDONLY, .resolve = resolve };
	int dir = open("/proc", O_PATH);
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", w->pid, w->name);
	fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	close(dir);
	return fd;
}

static int from_cwd(int moved, const struct way *w)
{
	return moved < 0 ? -1 : from(AT_FDCWD, w);
}

static int from_directory_fd(const struct way *w)
{
	int dir = open("/proc", O_RDONLY | O_DIRECTORY), fd;

	if (dir < 0 || fchdir(dir) < 0)
		return -1;
	close(dir);
	fd = open(".", O_RDONLY | O_DIRECTORY);
	return from(fd, w);
}

/* By way of the process's own directory, which was opened as a name only. */
static int below_process(int flags, const struct way *w)
{
	char path[PATH_MAX];
	int dir, fd;

	snprintf(path, sizeof(path), "/proc/%s", w->pid);
	dir = open(path, flags);
	fd = dir < 0 ? -1 : openat(dir, w->name, O_RDONLY);
	if (dir >= 0)
		close(dir);
	return fd;
}

static int from_process_cwd(const struct way *w)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/proc/%s", w->pid);
	return chdir(path) < 0 ? -1 : open(w->name, O_RDONLY);
}

#define WAYS 24
static int open_by(int way, const struct way *w)
{
	switch (way) {
	case 0:
		return open_formatted("/proc/%s/%s", w);
	case 1:
		return open_formatted("//proc/./%s//%s", w);
	case 2:
		return open_formatted("/proc/self/../%s/%s", w);
	case 3:
		return open_formatted("/proc/self/root/proc/%s/%s", w);
	case 4:
		return open_formatted("/proc/thread-self/root/proc/%s/%s", w);
	case 5:
		return open_formatted("/usr/../proc/%s/%s", w);
	case 6:
		return open_formatted("/proc/sys/../%s/%s", w);
	case 7:
		return open_formatted("/dev/fd/../../%s/%s", w);
	case 8:
		return from(open("/proc", O_PATH), w);
	case 9:
		return from(open("/proc", O_RDONLY | O_DIRECTORY), w);
	case 10:
		return from(w->fd, w);
	case 11:
		return by_link("process/file", w);
	case 12:
		return by_link("file", w);
	case 13:
		return by_link("chain", w);
	case 14:
		return by_openat2(0, w);
	case 15:
		return by_openat2(RESOLVE_BENEATH, w);
	case 16:
		return by_openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, w);
	case 17:
		return by_openat2(RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV, w);
	case 18:
		return from_cwd(chdir("/proc"), w);
	case 19:
		return from_cwd(fchdir(w->fd), w);
	case 20:
		return from_directory_fd(w);
	case 21:
		return below_process(O_PATH, w);
	case 22:
		return below_process(O_RDONLY, w);
	default:
		return from_process_cwd(w);
	}
}

/*
 * "PID NAME DIR FD": open it in each way. PID "self": ours. Returns 0 when all of them opened the same, 201 when none did, for what is not there; else 1 + the
 * first that differs.
 */
static int guest_ways(const char *arg)
{
	char pid[16], name[64], dir[PATH_MAX];
	struct way w = { pid, name, dir, -1 };
	int opened = 0, missing = 0, odd = -1;

	if (sscanf(arg, "%15s %63s %4000s %d", pid, name, dir, &w.fd) != 4)
		return 202;
	if (!strcmp(pid, "self"))
		snprintf(pid, sizeof(pid), "%d", getpid());
	for (int i = 0; i < WAYS; i++) {
		int before = opened, fd;

		errno = 0;
		fd = open_by(i, &w);
		opened += fd >= 0;
		missing += fd < 0 && errno == ENOENT;
		if (odd < 0 && (before + missing < i || (fd < 0 && errno != ENOENT)))
			odd = i;
		if (fd >= 0)
			close(fd);
	}
	if (opened == WAYS)
		return 0;
	return missing == WAYS ? 201 : 1 + (odd < 0 ? 0 : odd);
}

/* ---- guests: processes ---- */

static int is_listed(int fd, const char *name)
{
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int found = 0;

	while (d && !found && (e = readdir(d)))
		found = !strcmp(e->d_name, name);
	if (d)
		closedir(d);
	return found;
}

/* Is NAME listed in /proc, by all of its names? 0 no, 1 yes, 2 by some. */
static int guest_listed(const char *name)
{
	static const char *const names[] = { "/proc", "/proc/", "/proc/self/root/proc",
					     "/proc/self/..", "//proc/." };
	char self[16];
	unsigned found = 0, own = 0;

	snprintf(self, sizeof(self), "%d", getpid());
	for (size_t i = 0; i < N_OF(names); i++) {
		found += is_listed(open(names[i], O_RDONLY | O_DIRECTORY), name) > 0;
		own += is_listed(open(names[i], O_RDONLY), self) > 0;
	}
	if (chdir("/proc") < 0)
		return 200;
	found += is_listed(open(".", O_RDONLY), name) > 0;
	own += is_listed(openat(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY), self) > 0;
	if (own != N_OF(names) + 1)
		return 201;
	return !found ? 0 : found == N_OF(names) + 1 ? 1 : 2;
}

static int guest_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK);

	return fd < 0 ? errno : 0;
}

static int guest_write(const char *path)
{
	int fd = open(path, O_WRONLY);

	return fd < 0 ? errno : 0;
}

static int guest_name_only(const char *path)
{
	int fd = open(path, O_PATH);

	return fd < 0 ? errno : 0;
}

static int guest_exec(const char *path)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		execl(path, path, "--inside", "open", "/dev/null", (char *)NULL);
		_exit(errno);
	}
	if (waitpid(pid, &status, 0) != pid)
		return 200;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 201;
}

/* "DIR PID": DIR/flip leads to /usr and /proc in turn, DIR/file to a file of ours and one of PID's. What is seen of PID? */
struct flip {
	char one[PATH_MAX], two[PATH_MAX];
};

static atomic_int stop;

static void *flipper(void *arg)
{
	const struct flip *f = arg;

	while (!atomic_load(&stop))
		renameat2(AT_FDCWD, f->one, AT_FDCWD, f->two, RENAME_EXCHANGE);
	return NULL;
}

static int make_flip(struct flip *f, const char *dir, const char *name, const char *one,
		     const char *two)
{
	snprintf(f->one, sizeof(f->one), "%s/%s", dir, name);
	snprintf(f->two, sizeof(f->two), "%s/%s.other", dir, name);
	return symlink(one, f->one) < 0 || symlink(two, f->two) < 0 ? -1 : 0;
}

static int holds(int fd, const char *needle)
{
	char text[4096];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, needle) != NULL;
}

static int guest_flip(const char *arg)
{
	char dir[PATH_MAX / 2], pid[16], theirs[64], line[64];
	static struct flip list, file;
	pthread_t one, two;
	int seen = 0, opened = 0;

	if (sscanf(arg, "%2000s %15s", dir, pid) != 2)
		return 200;
	snprintf(theirs, sizeof(theirs), "/proc/%s/status", pid);
	snprintf(line, sizeof(line), "\nPid:\t%s\n", pid);
	if (make_flip(&list, dir, "list", "/usr", "/proc") < 0 ||
	    make_flip(&file, dir, "file", "/etc/passwd", theirs) < 0)
		return 201;
	if (pthread_create(&one, NULL, flipper, &list) ||
	    pthread_create(&two, NULL, flipper, &file))
		return 202;
	for (int i = 0; i < 4000; i++) {
		int fd = open(list.one, O_RDONLY | O_DIRECTORY);

		opened += fd >= 0;
		seen += is_listed(fd, pid);
		seen += holds(open(file.one, O_RDONLY), line);
	}
	atomic_store(&stop, 1);
	pthread_join(one, NULL);
	pthread_join(two, NULL);
	return !opened ? 203 : seen ? 1 : 0;
}

/* Its own memory is a process's own; a sibling's is its own too. */
static int guest_memory(const char *arg)
{
	char path[64];
	int status, ours, theirs, fd;
	pid_t pid;

	(void)arg;
	fd = open("/proc/self/mem", O_RDWR);
	if (fd < 0)
		return 200;
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	theirs = guest_open(path);
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	ours = guest_open(path);
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		return 201;
	return ours ? 202 : theirs;
}

static int traced(bool is)
{
	char path[64];
	int status, r;
	pid_t pid = fork();

	if (!pid) {
		if (is && ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(errno);
		raise(SIGSTOP);
		_exit(0);
	}
	if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
		return 200;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	r = guest_open(path);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return r;
}

/* A debugger's: whom it traces it may look into by any way, and by none whom it does not. */
static int guest_traced(const char *arg)
{
	(void)arg;
	return traced(true);
}

static int guest_not_traced(const char *arg)
{
	(void)arg;
	return traced(false);
}

/* ---- guests: files of ours ---- */

static ssize_t read_all(int fd, char *buf, size_t size)
{
	size_t done = 0;
	ssize_t n;

	while ((n = read(fd, buf + done, size - done)) > 0)
		done += (size_t)n;
	return n < 0 ? -1 : (ssize_t)done;
}

static int read_in_parts(int fd, const char *whole, size_t size)
{
	char part[7];
	size_t done = 0;
	ssize_t n;

	if (lseek(fd, 0, SEEK_SET) != 0)
		return 10;
	while ((n = read(fd, part, sizeof(part))) > 0) {
		if (done + (size_t)n > size || memcmp(whole + done, part, (size_t)n) != 0)
			return 11;
		done += (size_t)n;
	}
	if (n < 0 || done != size)
		return 12;
	if (size > 3 && (pread(fd, part, 2, 1) != 2 || memcmp(whole + 1, part, 2) != 0))
		return 13;
	return lseek(fd, (off_t)size, SEEK_SET) == (off_t)size && read(fd, part, 1) == 0 ? 0 : 14;
}

static int read_again(int fd, const char *form, const char *whole, size_t size)
{
	char path[64], text[65536];
	int again;
	ssize_t n;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(path, sizeof(path), form, fd);
#pragma GCC diagnostic pop
	again = open(path, O_RDONLY);
	if (again < 0)
		return 20;
	n = read_all(again, text, sizeof(text));
	close(again);
	if (n != (ssize_t)size || memcmp(text, whole, size) != 0)
		return 21;
	n = readlink(path, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "proc/") || strstr(text, "etc/") ? 0 : 22;
}

/* PATH reads like a file, and as often as one likes. */
static int guest_file(const char *path)
{
	char whole[65536];
	int fd = open(path, O_RDONLY | O_CLOEXEC), plain = open(path, O_RDONLY | O_NONBLOCK), r;
	struct stat st;
	ssize_t n;

	if (fd < 0 || plain < 0)
		return errno;
	n = read_all(fd, whole, sizeof(whole));
	if (n <= 0)
		return 201;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_mode & 0222)
		return 202;
	if (st.st_size && st.st_size != n) /* the kernel says 0 */
		return 203;
	if (fcntl(fd, F_GETFD) != FD_CLOEXEC || fcntl(plain, F_GETFD) != 0)
		return 204;
	if (!(fcntl(plain, F_GETFL) & O_NONBLOCK) || fcntl(fd, F_GETFL) & O_NONBLOCK ||
	    (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY)
		return 205;
	if (write(fd, "x", 1) >= 0 || ftruncate(fd, 0) == 0)
		return 206;
	r = read_in_parts(fd, whole, (size_t)n);
	return r ? r : 0;
}

/* The same for what is there anew at each open: of one open all reads agree. */
static int guest_reopened(const char *path)
{
	char whole[65536];
	int fd = open(path, O_RDONLY), r;
	ssize_t n = fd < 0 ? -1 : read_all(fd, whole, sizeof(whole));

	if (n <= 0)
		return 201;
	r = read_again(fd, "/proc/self/fd/%d", whole, (size_t)n);
	return r ? r : read_again(fd, "/dev/fd/%d", whole, (size_t)n);
}

/* Errors that the kernel has for what is there. */
static int guest_errors(const char *path)
{
	if (open(path, O_RDONLY | O_DIRECTORY) >= 0 || errno != ENOTDIR)
		return 201;
	if (open(path, O_RDONLY | O_CREAT | O_EXCL, 0600) >= 0 || errno != EEXIST)
		return 202;
	if (open("/proc", O_RDWR) >= 0 || errno != EISDIR)
		return 203;
	if (open("/proc/self", O_RDONLY | O_NOFOLLOW) >= 0 || errno != ELOOP)
		return 204;
	if (open("/proc/nothing", O_RDONLY) >= 0 || errno != ENOENT)
		return 205;
	return open("/proc/self/status/x", O_RDONLY) >= 0 || errno != ENOTDIR ? 206 : 0;
}

/* List /proc N times, with another process there each time. */
static int guest_list_often(const char *n)
{
	for (int i = 0; i < atoi(n); i++) {
		pid_t pid = fork();
		char name[16];
		int found, status;

		if (!pid) {
			pause();
			_exit(0);
		}
		snprintf(name, sizeof(name), "%d", pid);
		found = is_listed(open("/proc", O_RDONLY), name);
		kill(pid, SIGKILL);
		if (waitpid(pid, &status, 0) != pid || !found)
			return 200;
	}
	return 0;
}

static int guest_wait(const char *arg)
{
	(void)arg;
	for (;;)
		pause();
	return 0;
}

static const struct guest_role roles[] = {
	{ "wait", guest_wait },		{ "ways", guest_ways },
	{ "listed", guest_listed },	{ "open", guest_open },
	{ "write", guest_write },	{ "flip", guest_flip },
	{ "file", guest_file },		{ "memory", guest_memory },
	{ "traced", guest_traced },	{ "not-traced", guest_not_traced },
	{ "reopened", guest_reopened }, { "errors", guest_errors },
	{ "exec", guest_exec },		{ "name", guest_name_only },
	{ "often", guest_list_often },	{ NULL, NULL },
};

/* ---- the outsider ---- */

static pid_t outsider;

static int outsider_start(void **state)
{
	int execed[2];
	char c;

	(void)state;
	assert_int_equal(pipe2(execed, O_CLOEXEC), 0);
	outsider = guest_fork_one();
	if (!outsider) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(guest_program(), guest_program(), "--inside", "wait", (char *)NULL);
		_exit(1);
	}
	close(execed[1]);
	assert_int_equal(read(execed[0], &c, 1), 0);
	close(execed[0]);
	return outsider < 0 ? -1 : 0;
}

static int outsider_end(void **state)
{
	(void)state;
	kill(outsider, SIGKILL);
	waitpid(outsider, NULL, 0);
	return 0;
}

static const char *of_outsider(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", outsider, name);
	return path;
}

/* Policies under which nothing of the outsider may be seen: the host's tree, one of the command's own, and without the kernel's scope of signals. */
enum kind {
	PLAIN,
	ROOT,
	NO_SCOPE,
	WRITING,
	KINDS
};

static struct sluice_policy *policy(enum kind kind)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_set_proc(p, SLUICE_PROC_OWN), 0);
	if (kind == ROOT)
		assert_int_equal(sluice_policy_set_chroot(p, ROOT_BY_ANOTHER_NAME, NULL), 0);
	if (kind == NO_SCOPE)
		assert_int_equal(sluice_policy_disable(p, "signal-scope", NULL), 0);
	if (kind == WRITING)
		assert_int_equal(sluice_policy_allow_write(p, "/", NULL), 0);
	return p;
}

static struct sluice_policy *own; /* PLAIN, for all tests */

static int group_begin(void **state)
{
	own = policy(PLAIN);
	return outsider_start(state);
}

static int group_end(void **state)
{
	sluice_policy_unref(own);
	return outsider_end(state);
}

/* ---- tests ---- */

static void make_links(const char *dir, pid_t pid, const char *name)
{
	char path[PATH_MAX], target[PATH_MAX];

	snprintf(path, sizeof(path), "%s/process", dir);
	assert_int_equal(mkdir(path, 0755), 0);
	if (pid)
		snprintf(target, sizeof(target), "/proc/%d/%s", pid, name);
	else
		snprintf(target, sizeof(target), "/proc/self/%s", name);
	snprintf(path, sizeof(path), "%s/process/file", dir);
	assert_int_equal(symlink(target, path), 0);
	snprintf(path, sizeof(path), "%s/file", dir);
	assert_int_equal(symlink(target, path), 0);
	snprintf(path, sizeof(path), "%s/chain", dir);
	assert_int_equal(symlink("process/../file", path), 0);
}

static void hazard_G1_by_whatever_name(void **state)
{
	static const char *const names[] = { "status", "environ", "cmdline", "stat", "task" };
	int fd = open("/proc", O_RDONLY | O_DIRECTORY);

	(void)state;
	fd = fcntl(fd, F_DUPFD, 90); /* inherited */
	assert_true(fd >= 90);
	for (size_t i = 0; i < N_OF(names); i++) {
		const char *theirs = guest_dir(), *ours = guest_dir();
		char arg[PATH_MAX], mine[PATH_MAX];

		make_links(theirs, outsider, names[i]);
		make_links(ours, 0, names[i]);
		snprintf(arg, sizeof(arg), "%d %s %s %d", outsider, names[i], theirs, fd);
		snprintf(mine, sizeof(mine), "self %s %s %d", names[i], ours, fd);
		assert_int_equal(guest_bare("ways", arg), 0);
		for (enum kind k = 0; k < KINDS; k++) {
			struct sluice_policy *p = policy(k);

			assert_int_equal(guest_inside(p, "ways", mine), 0);
			assert_int_equal(guest_inside(p, "ways", arg), 201);
			sluice_policy_unref(p);
		}
		guest_remove(theirs);
		guest_remove(ours);
	}
	close(fd);
}

/* A procfs that is mounted once more is none of the sandbox's. */
static int mounted_elsewhere(const char *dir)
{
	char path[PATH_MAX], other[PATH_MAX];
	/* what a namespace of users may not: its processes are counted in another one */
	const int procs = geteuid() == 0 ? 2 : 1;

	snprintf(path, sizeof(path), "%s/bound", dir);
	snprintf(other, sizeof(other), "%s/new", dir);
	if (mkdir(path, 0755) < 0 || mkdir(other, 0755) < 0)
		return 1;
	if (guest_unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("/proc", path, NULL, MS_BIND | MS_REC, NULL) < 0 ||
	    (procs > 1 && mount("p", other, "proc", 0, NULL) < 0))
		return 77;
	for (int i = 0; i < procs; i++) {
		char file[PATH_MAX];

		snprintf(file, sizeof(file), "%.2000s/%d/status", i ? other : path, outsider);
		if (guest_bare("open", file) != 0)
			return 2;
		if (guest_inside(own, "open", file) == 0)
			return 3;
		snprintf(file, sizeof(file), "%.2000s/self/status", i ? other : path);
		if (guest_inside(own, "open", file) != EACCES)
			return 4;
		snprintf(file, sizeof(file), "%.2000s", i ? other : path);
		if (guest_inside(own, "open", file) != EACCES)
			return 5;
		if (guest_inside(own, "open", dir) != 0) /* the directory that leads there */
			return 6;
	}
	return 0;
}

static void hazard_G1_mounted_elsewhere(void **state)
{
	const char *dir = guest_dir();
	int status;
	pid_t pid = guest_fork_one();

	(void)state;
	if (!pid)
		_exit(mounted_elsewhere(dir));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	guest_remove(dir);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		return; /* a container's profile: nobody may mount here, so there is nothing to be found */
	assert_int_equal(status, 0);
}

static void hazard_G2_others_are_not_listed(void **state)
{
	char name[16];

	(void)state;
	snprintf(name, sizeof(name), "%d", outsider);
	assert_int_equal(guest_bare("listed", name), 1);
	for (enum kind k = 0; k < KINDS; k++) {
		struct sluice_policy *p = policy(k);

		assert_int_equal(guest_inside(p, "listed", name), 0);
		assert_int_equal(guest_inside(p, "listed", "meminfo"), 1);
		assert_int_equal(guest_inside(p, "listed", "kmsg"), 0);
		sluice_policy_unref(p);
	}
	assert_int_equal(guest_bare("listed", "kmsg"), 1);
}

static void hazard_G2_others_are_not_there(void **state)
{
	static const char *const names[] = { "status",		"stat",	  "cmdline",
					     "environ",		"maps",	  "task",
					     "net/tcp",		"cgroup", "fd",
					     "root/etc/passwd", "cwd",	  "exe" };

	(void)state;
	for (size_t i = 0; i < N_OF(names); i++) {
		assert_int_equal(guest_bare("open", of_outsider(names[i])), 0);
		for (enum kind k = 0; k < KINDS; k++) {
			struct sluice_policy *p = policy(k);

			assert_int_equal(guest_inside(p, "open", of_outsider(names[i])), ENOENT);
			sluice_policy_unref(p);
		}
	}
	assert_int_equal(guest_bare("name", of_outsider("status")), 0);
	assert_int_equal(guest_inside(own, "name", of_outsider("status")), ENOENT);
	assert_int_equal(guest_bare("write", of_outsider("comm")), 0);
	assert_int_equal(guest_inside(own, "write", of_outsider("comm")), ENOENT);
	assert_int_equal(guest_bare("exec", of_outsider("exe")), 0);
	assert_int_not_equal(guest_inside(own, "exec", of_outsider("exe")), 0);
}

static void hazard_G2_secrets_are_not_there(void **state)
{
	static const char *const names[] = {
		"/proc/kcore",
		"/proc/kallsyms",
		"/proc/keys",
		"/proc/key-users",
		"/proc/kmsg",
		"/proc/iomem",
		"/proc/modules",
		"/proc/sysrq-trigger",
		"/proc/timer_list",
		"/proc/slabinfo",
		"/proc/sched_debug",
		"/proc/interrupts",
		"/proc/locks",
		"/proc/cmdline",
		"/proc/kpageflags",
		"/proc/vmallocinfo",
		"/proc/bus",
		"/proc/fs",
		"/sys/firmware",
		"/proc/self/net/netlink",
		"/proc/self/root/proc/kallsyms",
	};
	unsigned there = 0;

	(void)state;
	for (size_t i = 0; i < N_OF(names); i++) {
		there += access(names[i], F_OK) == 0;
		for (enum kind k = 0; k < KINDS; k++) {
			struct sluice_policy *p = policy(k);

			assert_int_equal(guest_inside(p, "open", names[i]), ENOENT);
			sluice_policy_unref(p);
		}
	}
	assert_true(there > 8);
	/* what is left is as it was, but for writing */
	assert_int_equal(guest_bare("open", "/proc/version"), 0);
	assert_int_equal(guest_inside(own, "open", "/proc/version"), 0);
	assert_int_equal(guest_inside(own, "open", "/proc/sys/kernel/pid_max"), 0);
	if (!geteuid())
		assert_int_equal(guest_bare("write", "/proc/sys/kernel/hostname"), 0);
	assert_int_equal(guest_inside(own, "write", "/proc/sys/kernel/hostname"), EACCES);
	assert_int_equal(guest_inside(own, "write", "/proc/sys/vm/swappiness"), EACCES);
}

static void hazard_G2_no_race_shows_others(void **state)
{
	const char *dir = guest_dir(), *bare = guest_dir();
	char arg[PATH_MAX];

	(void)state;
	snprintf(arg, sizeof(arg), "%s %d", bare, outsider);
	assert_int_equal(guest_bare("flip", arg), 1);
	for (enum kind k = PLAIN; k <= ROOT; k++) {
		struct sluice_policy *p = policy(k);
		char work[PATH_MAX];

		snprintf(work, sizeof(work), "%s/%d", dir, k);
		assert_int_equal(mkdir(work, 0755), 0);
		assert_int_equal(sluice_policy_allow_write(p, work, NULL), 0);
		snprintf(arg, sizeof(arg), "%.2000s %d", work, outsider);
		assert_int_equal(guest_inside(p, "flip", arg), 0);
		sluice_policy_unref(p);
	}
	guest_remove(dir);
	guest_remove(bare);
}

static void hazard_B8_memory_is_the_processs_own(void **state)
{
	(void)state;
	/* a parent may, bare; ptrace and process_vm_writev are refused inside, and so is this */
	assert_int_equal(guest_bare("memory", ""), 0);
	for (enum kind k = PLAIN; k <= ROOT; k++) {
		struct sluice_policy *p = policy(k);

		assert_int_equal(guest_inside(p, "memory", ""), EACCES);
		assert_int_equal(sluice_policy_allow_syscall(p, "@ptrace", NULL), 0);
		assert_int_equal(guest_inside(p, "memory", ""), EACCES);
		assert_int_equal(guest_inside(p, "not-traced", ""), EACCES);
		if (guest_bare("traced", "") == 0) /* a container's profile may refuse it */
			assert_int_equal(guest_inside(p, "traced", ""), 0);
		sluice_policy_unref(p);
	}
}

static const char *const shown[] = {
	"/proc/cpuinfo",     "/proc/stat",
	"/proc/loadavg",     "/proc/meminfo",
	"/proc/uptime",	     "/proc/sys/kernel/hostname",
	"/proc/self/cgroup", "/proc/self/status",
	"/proc/net/dev",     "/proc/self/mountinfo",
	"/proc/self/mounts", "/proc/mounts",
	"/proc/net/unix",    "/proc/self/mountstats",
};

static void hazard_G3_files_of_ours_read_as_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(shown); i++) {
		const bool moves =
			!strcmp(shown[i], "/proc/self/status") ||
			!strcmp(shown[i], "/proc/meminfo") || !strcmp(shown[i], "/proc/stat") ||
			!strcmp(shown[i], "/proc/uptime") || !strcmp(shown[i], "/proc/mounts") ||
			strstr(shown[i], "mount") || strstr(shown[i], "/proc/net/");

		for (enum kind k = PLAIN; k <= ROOT; k++) {
			struct sluice_policy *p = policy(k);

			assert_int_equal(sluice_policy_set_num_cpus(p, 3), 0);
			/* what is the kernel's may have changed between two reads */
			if (!moves)
				assert_int_equal(guest_inside(p, "file", shown[i]), 0);
			if (!moves)
				assert_int_equal(guest_inside(p, "reopened", shown[i]), 0);
			assert_int_equal(guest_inside(p, "errors", shown[i]), 0);
			sluice_policy_unref(p);
		}
		assert_int_equal(guest_bare("errors", shown[i]), 0);
	}
}

static void hazard_D8_listings_leave_nothing(void **state)
{
	const char *dir = guest_dir();
	struct sluice_policy *p = policy(PLAIN); /* whose directory goes with it */

	char *old = getenv("XDG_RUNTIME_DIR");

	(void)state;
	old = old ? strdup(old) : NULL;
	assert_int_equal(setenv("XDG_RUNTIME_DIR", dir, 1), 0);
	assert_int_equal(guest_bare("often", "3"), 0);
	assert_int_equal(guest_inside(p, "often", "40"), 0);
	sluice_policy_unref(p);
	assert_int_equal(guest_entries(dir), 0);
	if (old)
		setenv("XDG_RUNTIME_DIR", old, 1);
	else
		unsetenv("XDG_RUNTIME_DIR");
	free(old);
	guest_remove(dir);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_G1_by_whatever_name),
		cmocka_unit_test(hazard_G1_mounted_elsewhere),
		cmocka_unit_test(hazard_G2_others_are_not_listed),
		cmocka_unit_test(hazard_G2_others_are_not_there),
		cmocka_unit_test(hazard_G2_secrets_are_not_there),
		cmocka_unit_test(hazard_G2_no_race_shows_others),
		cmocka_unit_test(hazard_B8_memory_is_the_processs_own),
		cmocka_unit_test(hazard_G3_files_of_ours_read_as_files),
		cmocka_unit_test(hazard_D8_listings_leave_nothing),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("procfs", tests, group_begin, group_end);
}
