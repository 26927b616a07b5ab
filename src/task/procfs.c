/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "task/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "util/cleanup.h"

#define DEPTH_MAX 8 /* /proc/PID/task/TID/net/stat/x is the deepest that there is */

bool procfs_has(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

bool procfs_is_root(int fd)
{
	struct stat st;

	return procfs_has(fd) && fstat(fd, &st) == 0 && st.st_ino == PROCFS_ROOT_INO;
}

/* Our process id as this procfs shows it; 0: we are not in it. */
static long our_number(int root)
{
	char text[24];
	ssize_t n = readlinkat(root, "self", text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return strtol(text, NULL, 10);
}

bool procfs_counts_as_we(int root)
{
	return our_number(root) == getpid();
}

static long number_after(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtol(at + strlen(key), NULL, 10) : -1;
}

/* @dir lies directly below @root. An init is a child of ours; the numbers are all of this procfs. */
static int place_of(int root, int dir)
{
	_cleanup_close_ int fd = openat(dir, "status", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	long me = our_number(root);
	char text[1024];
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? PROCFS_GENERAL : -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return errno == ESRCH ? -ENOENT : -errno;
	text[n] = '\0';
	if (me && (number_after(text, "\nTgid:") == me || number_after(text, "\nPPid:") == me))
		return -EACCES;
	return PROCFS_PROCESS;
}

static int place_on_host(int dir)
{
	_cleanup_close_ int at = fcntl(dir, F_DUPFD_CLOEXEC, 3);

	if (at < 0)
		return -errno;
	if (procfs_is_root(at))
		return PROCFS_ROOT;
	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		_cleanup_close_ int below = at;

		at = openat(below, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		/* a piece of procfs that is mounted elsewhere has no way up */
		if (at < 0 || !procfs_has(at))
			return -EACCES;
		if (procfs_is_root(at))
			return place_of(at, below);
	}
	return -EACCES;
}

static int place_in_view(const struct procfs_view *v, int dir)
{
	char text[PROCFS_NAME_BYTES];
	struct procfs_name name;
	int r = procfs_name_of(v, dir, text);

	if (r < 0)
		return r == -EXDEV ? -EACCES : r;
	if (!*text)
		return PROCFS_ROOT;
	procfs_name_parse(text, &name);
	if (!name.process)
		return PROCFS_GENERAL;
	r = procfs_sees_process(v, name.process);
	return r < 0 ? r : PROCFS_PROCESS;
}

int procfs_place(const struct procfs_view *v, int dir)
{
	return v ? place_in_view(v, dir) : place_on_host(dir);
}

pid_t procfs_process(int dir)
{
	_cleanup_close_ int fd = openat(dir, "stat", O_RDONLY | O_CLOEXEC);
	char text[32];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return -ESRCH;
	text[n] = '\0';
	return (pid_t)strtol(text, NULL, 10);
}
