/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this kernel and container allow, found by trying: the table of probes, and the caller's side.
 *
 * Each group of probes runs in a forked child without an exit signal, which writes what it found into pages shared with us; one that hangs is killed, one that
 * dies leaves "did not finish".
 */
#define _GNU_SOURCE
#include "sandbox/check.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/pidfd.h"

#define LANDLOCK_REMEDY(kernel, name) \
	"Linux " kernel " or newer, or run with --allow-degraded " name " (weaker)"

static const struct {
	const char *name, *remedy;
	bool required;
} probes[N_PROBES] = {
	[PROBE_NOTIFY] = { "seccomp-notify",
			   "Linux 5.5 or newer with CONFIG_SECCOMP_FILTER; no other supervisor above; in a "
			   "container a profile that allows seccomp",
			   true },
	[PROBE_SYNC] = { "sync-wake-up",
			 "Linux 6.6 or newer: supervised calls are 5 to 20 times slower", false },
	[PROBE_KILLABLE] = { "wait-killable",
			     "Linux 6.0 or newer: signals may make supervised calls fail with EINTR",
			     false },
	[PROBE_ADDFD] = { "addfd", "Linux 5.9 or newer: no descriptor can be injected", false },
	[PROBE_ADDFD_SEND] = { "addfd-send", "none is needed: sluice injects in two steps", false },
	[PROBE_URING] = { "io_uring",
			  "none is needed: epoll is used (kernel.io_uring_disabled=0, or a container profile "
			  "that allows it)",
			  false },
	[PROBE_LANDLOCK] = { "landlock",
			     "a kernel with CONFIG_SECURITY_LANDLOCK and landlock in lsm=; in a container a "
			     "profile that allows landlock_*",
			     true },
	[PROBE_REFER] = { "fs-refer", LANDLOCK_REMEDY("5.19", "fs-refer"), true },
	[PROBE_TRUNCATE] = { "fs-truncate", LANDLOCK_REMEDY("6.2", "fs-truncate"), true },
	[PROBE_NET] = { "net-tcp", LANDLOCK_REMEDY("6.7", "net-tcp"), true },
	[PROBE_IOCTL] = { "fs-ioctl-dev", LANDLOCK_REMEDY("6.10", "fs-ioctl-dev"), true },
	[PROBE_SIGNAL] = { "signal-scope", LANDLOCK_REMEDY("6.12", "signal-scope"), true },
	[PROBE_ABSTRACT] = { "abstract-unix-socket-scope",
			     LANDLOCK_REMEDY("6.12", "abstract-unix-socket-scope"), true },
	[PROBE_MEMORY] = { "memory-access",
			   "allow process_vm_readv or mount /proc; kernel.yama.ptrace_scope at most 1",
			   true },
	[PROBE_PIDFD] = { "pidfd",
			  "Linux 5.4 or newer; a container profile that allows pidfd calls", true },
	[PROBE_USERNS] = { "user-namespaces",
			   "user.max_user_namespaces above 0, kernel.unprivileged_userns_clone=1, "
			   "kernel.apparmor_restrict_unprivileged_userns=0",
			   false },
	[PROBE_OVERLAY] = { "overlayfs", "Linux 5.11 or newer and user namespaces", false },
	[PROBE_CGROUP] = { "cgroup-delegation",
			   "run below a delegated cgroup: systemd-run --user --scope -p Delegate=yes",
			   false },
};

SLUICE_PRINTF(2, 3) void check_yes(struct report *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->detail, sizeof(r->detail), fmt, ap);
	va_end(ap);
	r->found = 1;
}

void check_no(struct report *r, const char *what, int error)
{
	const char *why = error ? strerrordesc_np(error) : NULL;

	snprintf(r->detail, sizeof(r->detail), "%s%s%s", what, why ? ": " : "", why ? why : "");
	r->found = 2;
}

/* fork by the bare call: @flags is what clone takes, SIGCHLD included or not. */
pid_t check_fork(unsigned long flags, int *pidfd)
{
	return (pid_t)syscall(SYS_clone, flags | (pidfd ? CLONE_PIDFD : 0), NULL, pidfd, NULL, 0);
}

/* ---- the caller's side ---- */

static void (*const groups[])(struct report *r) = {
	check_notify, check_uring,  check_landlock, check_refer,    check_truncate,
	check_net,    check_ioctl,  check_signal,   check_abstract, check_memory,
	check_pidfd,  check_userns, check_overlay,  check_cgroup,
};

/* Run @group in a child and wait for its end. */
static int run_group(void (*group)(struct report *), struct report *r)
{
	struct pollfd p = { .fd = -1, .events = POLLIN };
	siginfo_t info;
	pid_t pid = check_fork(0, &p.fd);

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		group(r);
		_exit(0);
	}
	if (poll(&p, 1, CHECK_LIMIT_MS) != 1)
		pidfd_kill(p.fd, SIGKILL);
	while (waitid(P_PIDFD, (id_t)p.fd, &info, WEXITED | __WALL) < 0 && errno == EINTR)
		continue;
	close(p.fd);
	return 0;
}

static void probe_result(enum probe_id id, const struct report *r, struct sluice_probe *ret)
{
	bool there = r->found == 1;

	ret->name = probes[id].name;
	ret->remedy = there ? "" : probes[id].remedy;
	ret->state = there		   ? SLUICE_PROBE_YES
		     : probes[id].required ? SLUICE_PROBE_REQUIRED
					   : SLUICE_PROBE_NO;
	snprintf(ret->detail, sizeof(ret->detail), "%s", r->found ? r->detail : "did not finish");
}

int sluice_check(struct sluice_probe *ret, size_t max)
{
	size_t size = N_PROBES * sizeof(struct report);
	struct report *reports =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigset_t all, old;
	int r = 0;

	if (reports == MAP_FAILED)
		return -errno;
	/* the children must not run the caller's handlers */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (size_t i = 0; r == 0 && i < sizeof(groups) / sizeof(groups[0]); i++)
		r = run_group(groups[i], reports);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	for (size_t i = 0; r == 0 && ret && i < N_PROBES && i < max; i++)
		probe_result((enum probe_id)i, &reports[i], &ret[i]);
	munmap(reports, size);
	return r < 0 ? r : N_PROBES;
}
