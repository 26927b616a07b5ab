/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes of everything else: io_uring, processes, namespaces, cgroups. See check.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/check.h"
#include "sys/cgroup.h"
#include "sys/memory.h"
#include "sys/pidfd.h"

#define NR_IO_URING_SETUP 425

void check_uring(struct report *r)
{
	uint64_t params[15] = { 0 }; /* struct io_uring_params: 120 bytes */
	long fd = syscall(NR_IO_URING_SETUP, 4, params);

	if (fd < 0)
		check_no(&r[PROBE_URING], "refused, epoll is used", errno);
	else
		check_yes(&r[PROBE_URING], "a ring was made");
}

/* ---- processes ---- */

void check_memory(struct report *r)
{
	static volatile int value = 1;
	int pidfd = -1, by_call = 0, by_proc = 0;
	ssize_t n, m;
	pid_t pid;

	value = 3;
	pid = check_fork(SIGCHLD, &pidfd);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (;;)
			pause();
	}
	value = 2; /* ours; the child keeps its own */
	n = memory_read(pid, (uint64_t)(uintptr_t)&value, &by_call, sizeof(by_call), false);
	m = memory_read(pid, (uint64_t)(uintptr_t)&value, &by_proc, sizeof(by_proc), true);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (n == sizeof(by_call) && by_call != 2)
		check_yes(&r[PROBE_MEMORY], "process_vm_readv");
	else if (m == sizeof(by_proc) && by_proc != 2)
		check_yes(&r[PROBE_MEMORY], "/proc/PID/mem, process_vm_readv is refused");
	else
		check_no(&r[PROBE_MEMORY], "process_vm_readv and /proc/PID/mem", (int)-m);
}

void check_pidfd(struct report *r)
{
	struct pollfd p = { .fd = -1, .events = POLLIN };
	siginfo_t info;
	pid_t pid = check_fork(SIGCHLD, &p.fd);
	int e;

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (;;)
			pause();
	}
	if (pid < 0) {
		check_no(&r[PROBE_PIDFD], "clone", errno);
		return;
	}
	e = pidfd_kill(p.fd, SIGKILL);
	if (e < 0)
		kill(pid, SIGKILL);
	if (poll(&p, 1, CHECK_LIMIT_MS / 2) != 1 && e == 0)
		e = -ETIMEDOUT;
	if (waitid(P_PIDFD, (id_t)p.fd, &info, WEXITED) < 0 && e == 0)
		e = -errno;
	if (e < 0)
		check_no(&r[PROBE_PIDFD], "signal, poll and wait", -e);
	else
		check_yes(&r[PROBE_PIDFD], "signal, poll and wait");
}

/* ---- namespaces, cgroups ---- */

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* New user namespace, and others in @flags, in which we are root. */
static int enter_namespaces(int flags)
{
	char map[64];
	int uid = (int)geteuid(), gid = (int)getegid(), r;

	if (unshare(CLONE_NEWUSER | flags) < 0)
		return -errno;
	snprintf(map, sizeof(map), "0 %d 1", uid);
	r = write_file("/proc/self/uid_map", map);
	/* an ordinary user may map a group only after giving up setgroups */
	if (r == 0)
		r = write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %d 1", gid);
	return r == 0 ? write_file("/proc/self/gid_map", map) : r;
}

void check_userns(struct report *r)
{
	int e = enter_namespaces(0);

	if (e < 0)
		check_no(&r[PROBE_USERNS], "refused", -e);
	else
		check_yes(&r[PROBE_USERNS], "one was made and its maps written");
}

void check_overlay(struct report *r)
{
	int e = enter_namespaces(CLONE_NEWNS);

	if (e < 0) {
		check_no(&r[PROBE_OVERLAY], "no user namespace", -e);
		return;
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/tmp", "tmpfs", 0, NULL) < 0 || chdir("/tmp") < 0) {
		check_no(&r[PROBE_OVERLAY], "tmpfs", errno);
		return;
	}
	mkdir("lower", 0700);
	mkdir("upper", 0700);
	mkdir("work", 0700);
	mkdir("merged", 0700);
	if (mount("overlay", "merged", "overlay", 0,
		  "lowerdir=lower,upperdir=upper,workdir=work,userxattr") < 0)
		check_no(&r[PROBE_OVERLAY], "mount in a user namespace", errno);
	else if (mkdir("merged/x", 0700) < 0 || access("upper/x", F_OK) < 0)
		check_no(&r[PROBE_OVERLAY],
			 "mounted, but a change did not reach the upper directory", errno);
	else
		check_yes(&r[PROBE_OVERLAY], "mounted and written in a user namespace");
}

void check_cgroup(struct report *r)
{
	char own[CGROUP_PATH_BYTES], path[600], procs[640];
	int status = EAGAIN << 8;
	pid_t pid;

	if (!cgroup_own(own, sizeof(own))) {
		check_no(&r[PROBE_CGROUP], "the unified hierarchy (cgroup2) is not mounted", 0);
		return;
	}
	snprintf(path, sizeof(path), "%s/sluice-check.%d", own, (int)getpid());
	if (mkdir(path, 0755) < 0) {
		check_no(&r[PROBE_CGROUP], "no cgroup can be made below ours", errno);
		return;
	}
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	pid = check_fork(SIGCHLD, NULL);
	if (pid == 0)
		_exit(-write_file(procs, "0"));
	if (pid > 0)
		waitpid(pid, &status, 0);
	rmdir(path);
	if (status)
		check_no(&r[PROBE_CGROUP], "no process can be moved into one below ours",
			 WEXITSTATUS(status));
	else
		check_yes(&r[PROBE_CGROUP], "a cgroup was made and entered");
}
