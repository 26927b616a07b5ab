/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of procfs a sandbox sees. See procfs.h.
 *
 * Whose a process is, is asked of the kernel for this very moment: an engine thread's Landlock domain lets it signal what was started in it, which is the sandbox,
 * its init and (always) its own process. Where there is no such scope the processes above it are followed to init. A descriptor of a process's file
 * goes on meaning the process that had the number when it was opened, so one that was opened before the question is about it or about nobody.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/dir.h"
#include "sys/fd.h"
#include "sys/pidfd.h"
#include "task/procfs.h"
#include "util/cleanup.h"

#define DEPTH_MAX 4096 /* of ancestors that are followed: more than any tree that works has */

/* What a program needs to know of a machine. All others are the host's business, and so is what later kernels bring. */
const char *const procfs_general[] = {
	"buddyinfo", "cgroups",	    "config.gz",   "consoles", "cpuinfo",  "crypto", "devices",
	"diskstats", "execdomains", "filesystems", "loadavg",  "meminfo",  "misc",   "mounts",
	"net",	     "partitions",  "self",	   "stat",     "swaps",	   "sys",    "thread-self",
	"tty",	     "uptime",	    "version",	   "vmstat",   "zoneinfo", NULL,
};

/* Of /proc/PID/net. */
static const char *const shown_net[] = {
	"arp",	 "dev", "icmp", "icmp6", "if_inet6", "ipv6_route", "protocols", "raw",	"raw6",
	"route", "tcp", "tcp6", "udp",	 "udp6",     "udplite",	   "udplite6",	"unix", NULL,
};

static bool is_among(const char *const *names, const char *name, size_t n)
{
	for (; *names; names++) {
		if (strlen(*names) == n && !memcmp(*names, name, n))
			return true;
	}
	return false;
}

/* ---- names ---- */

/* A decimal number that is the whole of the first component: its length, or 0. */
static size_t number(const char *text, pid_t *ret)
{
	size_t n = strspn(text, "0123456789");
	long value;

	if (!n || n > 10 || text[0] == '0' || (text[n] && text[n] != '/'))
		return 0;
	value = strtol(text, NULL, 10);
	if (value > INT_MAX)
		return 0;
	*ret = (pid_t)value;
	return n + (text[n] == '/');
}

void procfs_name_parse(const char *name, struct procfs_name *ret)
{
	*ret = (struct procfs_name){ .rest = name };
	ret->rest += number(name, &ret->process);
	if (ret->process && !strncmp(ret->rest, "task/", 5)) {
		size_t n = number(ret->rest + 5, &ret->thread);

		if (n)
			ret->rest += 5 + n;
	}
}

int procfs_name_of(const struct procfs_view *v, int fd, char name[PROCFS_NAME_BYTES])
{
	static const char gone[] = " (deleted)";
	const size_t top = strlen(v->path);
	char path[PATH_MAX];
	struct stat st;
	ssize_t n = fd_path(fd, path, sizeof(path));

	if (n < 0)
		return (int)n;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != v->dev || strncmp(path, v->path, top) != 0 ||
	    (path[top] && path[top] != '/'))
		return -EXDEV;
	if ((size_t)n >= sizeof(gone) && !strcmp(path + n - (sizeof(gone) - 1), gone))
		return -ENOENT;
	if ((size_t)n - top >= PROCFS_NAME_BYTES)
		return -ENOENT;
	strcpy(name, path + top + (path[top] == '/'));
	return 0;
}

/* ---- processes ---- */

static pid_t parent_of(const struct procfs_view *v, pid_t pid)
{
	char name[32], text[512];
	const char *end;
	_cleanup_close_ int fd = -1;
	ssize_t n;

	snprintf(name, sizeof(name), "%d/stat", (int)pid);
	fd = openat(v->root, name, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	end = strrchr(text, ')'); /* the name before it may hold anything */
	return end && end[1] == ' ' && end[2] && end[3] == ' ' ? (pid_t)strtol(end + 4, NULL, 10)
							       : 0;
}

static bool descends(const struct procfs_view *v, pid_t pid, pid_t init)
{
	for (unsigned depth = 0; pid > 1 && depth < DEPTH_MAX; depth++) {
		pid = parent_of(v, pid);
		if (pid == init)
			return true;
	}
	return false;
}

int procfs_sees_process(const struct procfs_view *v, pid_t pid)
{
	const pid_t init = atomic_load_explicit(&v->init, memory_order_relaxed);
	bool ours;

	if (pid == init)
		return -ENOENT;
	if (atomic_load_explicit(&v->signal_scope, memory_order_relaxed))
		ours = kill(pid, 0) == 0;
	else /* twice: a number that is given anew on the way up would have to be so at the same place again */
		ours = init && descends(v, pid, init) && descends(v, pid, init);
	return ours && !thread_is_of(pid, getpid()) ? 0 : -ENOENT;
}

int procfs_sees(const struct procfs_view *v, const char *text)
{
	struct procfs_name name;

	procfs_name_parse(text, &name);
	if (!name.process)
		return !*text || is_among(procfs_general, text, strcspn(text, "/")) ? 0 : -ENOENT;
	if (!strncmp(name.rest, "net/", 4) &&
	    !is_among(shown_net, name.rest + 4, strlen(name.rest + 4)))
		return -ENOENT;
	return procfs_sees_process(v, name.process);
}

int procfs_sees_file(const struct procfs_view *v, int fd)
{
	char name[PROCFS_NAME_BYTES] = "";
	int r = procfs_name_of(v, fd, name);

	if (r < 0)
		return r == -EXDEV ? -EACCES : r;
	return procfs_sees(v, name);
}

int procfs_each_process(const struct procfs_view *v, int (*fn)(pid_t pid, void *arg), void *arg)
{
	struct dirent *e;
	DIR *d;
	int r = dir_open(v->root, ".", 0, &d);

	if (r < 0)
		return r;
	while (r == 0 && (e = readdir(d))) {
		struct procfs_name name;

		procfs_name_parse(e->d_name, &name);
		if (name.process && !*name.rest && procfs_sees_process(v, name.process) == 0)
			r = fn(name.process, arg);
	}
	closedir(d);
	return r;
}

/* ---- life ---- */

int procfs_view_init(struct procfs_view *v)
{
	struct stat st;
	ssize_t n;

	v->root = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (v->root < 0)
		return -errno;
	if (!procfs_is_root(v->root) || !procfs_counts_as_we(v->root))
		return -EOPNOTSUPP;
	if (fstat(v->root, &st) < 0)
		return -errno;
	v->dev = st.st_dev;
	n = fd_path(v->root, v->path, sizeof(v->path));
	return n < 0 ? (int)n : 0;
}

void procfs_view_fini(struct procfs_view *v)
{
	if (v->root >= 0)
		close(v->root);
	v->root = -1;
}
