/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the filter refuses, by raw system calls: the deny list, other ABIs, namespaces, terminals, networks, and the tricks with the bits of an
 * argument that the kernel does not look at. Each is first made bare with arguments for which the kernel says something else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

#define HIGH_BITS (1L << 32) /* of an argument that the kernel takes as 32 bits */
#define NOWHERE "/nonexistent/place"
#define P(x) ((long)(uintptr_t)(x))
#define LINUX_TIOCLINUX 0x541C
#define LINUX_MSG_FASTOPEN 0x20000000
#define LINUX_IPPROTO_MPTCP 262
#define LINUX_AF_ALG 38
#define LINUX_AF_VSOCK 40
#define LINUX_AF_XDP 44

/* Numbers that are newer than some headers; the same on every architecture. */
enum {
	NR_OPEN_TREE = 428,
	NR_MOVE_MOUNT = 429,
	NR_FSOPEN = 430,
	NR_FSCONFIG = 431,
	NR_FSMOUNT = 432,
	NR_FSPICK = 433,
	NR_CLONE3 = 435,
	NR_PIDFD_GETFD = 438,
	NR_MOUNT_SETATTR = 442,
	NR_QUOTACTL_FD = 443,
	NR_MEMFD_SECRET = 447,
	NR_OPEN_TREE_ATTR = 467,
	NR_NEXT = 470, /* the first that is not known */
};

enum {
	ROOT_ONLY = 1, /* who is not root gets EPERM anyway */
};

struct refusal {
	const char *name;
	long nr;
	long args[6];
	int inside; /* errno */
	unsigned flags;
};

static const char zeros[64];

static const struct refusal refusals[] = {
	{ "io_uring_setup", 425, { 1, 0 }, EPERM, 0 },
	{ "io_uring_enter", 426, { -1 }, EPERM, 0 },
	{ "io_uring_register", 427, { -1 }, EPERM, 0 },
	{ "ptrace", SYS_ptrace, { PTRACE_CONT, 0x7ffffff0 }, EPERM, 0 },
	{ "process_vm_writev", SYS_process_vm_writev, { 0x7ffffff0 }, EPERM, 0 },
	{ "pidfd_getfd", NR_PIDFD_GETFD, { -1 }, EPERM, 0 },
	{ "kexec_file_load", SYS_kexec_file_load, { -1, -1, 0, 0, -1 }, EPERM, ROOT_ONLY },
	{ "kexec_load", SYS_kexec_load, { 0, 1000, 0, -1 }, EPERM, ROOT_ONLY },
	{ "userfaultfd", SYS_userfaultfd, { 1 }, EPERM, 0 },
	{ "bpf", SYS_bpf, { 9999, 0, 0 }, EPERM, ROOT_ONLY },
	{ "perf_event_open", SYS_perf_event_open, { 0 }, EPERM, 0 },
	{ "keyctl", SYS_keyctl, { KEYCTL_GET_KEYRING_ID, 0x7ffffff0, 0 }, EPERM, 0 },
	{ "add_key", SYS_add_key, { 0 }, EPERM, 0 },
	{ "request_key", SYS_request_key, { 0 }, EPERM, 0 },
	{ "mount", SYS_mount, { 0, P(NOWHERE), 0 }, EPERM, 0 },
	{ "umount2", SYS_umount2, { P(NOWHERE) }, EPERM, 0 },
	{ "open_tree", NR_OPEN_TREE, { AT_FDCWD, P(NOWHERE) }, EPERM, 0 },
	{ "open_tree_attr", NR_OPEN_TREE_ATTR, { AT_FDCWD, P(NOWHERE) }, EPERM, 0 },
	{ "move_mount", NR_MOVE_MOUNT, { -1, P(NOWHERE), -1, P("") }, EPERM, ROOT_ONLY },
	{ "fsopen", NR_FSOPEN, { 0 }, EPERM, ROOT_ONLY },
	{ "fsconfig", NR_FSCONFIG, { -1 }, EPERM, 0 },
	{ "fsmount", NR_FSMOUNT, { -1 }, EPERM, ROOT_ONLY },
	{ "fspick", NR_FSPICK, { AT_FDCWD, P(NOWHERE) }, EPERM, ROOT_ONLY },
	{ "mount_setattr", NR_MOUNT_SETATTR, { AT_FDCWD, P(NOWHERE), 0, 0, 0 }, EPERM, 0 },
	{ "init_module", SYS_init_module, { 0, 0, 0 }, EPERM, ROOT_ONLY },
	{ "finit_module", SYS_finit_module, { -1, 0, 0 }, EPERM, ROOT_ONLY },
	{ "delete_module", SYS_delete_module, { P("no_such_module"), 0 }, EPERM, ROOT_ONLY },
	{ "swapon", SYS_swapon, { P(NOWHERE) }, EPERM, ROOT_ONLY },
	{ "swapoff", SYS_swapoff, { P(NOWHERE) }, EPERM, ROOT_ONLY },
	{ "reboot", SYS_reboot, { 0, 0, 0, 0 }, EPERM, ROOT_ONLY },
	{ "clock_settime", SYS_clock_settime, { 9999, 0 }, EPERM, 0 },
	{ "settimeofday", SYS_settimeofday, { 1, 0 }, EPERM, 0 },
	{ "setns", SYS_setns, { -1, 0 }, EPERM, 0 },
	{ "pivot_root", SYS_pivot_root, { P(NOWHERE), P(NOWHERE) }, EPERM, ROOT_ONLY },
	{ "chroot", SYS_chroot, { P(NOWHERE) }, EPERM, 0 },
	{ "open_by_handle_at", SYS_open_by_handle_at, { -1, 0, 0 }, EPERM, ROOT_ONLY },
	{ "acct", SYS_acct, { P(NOWHERE) }, EPERM, ROOT_ONLY },
	{ "quotactl", SYS_quotactl, { 0xff, 0, 0, 0 }, EPERM, 0 },
	{ "quotactl_fd", NR_QUOTACTL_FD, { -1, 0xff }, EPERM, 0 },
	{ "syslog", SYS_syslog, { 9999, 0, 0 }, EPERM, ROOT_ONLY },
#ifdef __x86_64__
	{ "iopl", SYS_iopl, { 0 }, EPERM, 0 },
	{ "ioperm", SYS_ioperm, { 0, 1, 0 }, EPERM, 0 },
	{ "create_module", SYS_create_module, { 0 }, EPERM, 0 },
	{ "nfsservctl", SYS_nfsservctl, { 0 }, EPERM, 0 },
#endif
	{ "lookup_dcookie", SYS_lookup_dcookie, { 0 }, EPERM, 0 },
	{ "clone3", NR_CLONE3, { 0, 0 }, ENOSYS, 0 },

	{ "unshare user", SYS_unshare, { CLONE_NEWUSER }, EPERM, 0 },
	{ "unshare mount", SYS_unshare, { CLONE_NEWNS }, EPERM, ROOT_ONLY },
	{ "unshare pid", SYS_unshare, { CLONE_NEWPID }, EPERM, ROOT_ONLY },
	{ "unshare net", SYS_unshare, { CLONE_NEWNET }, EPERM, ROOT_ONLY },
	{ "unshare ipc", SYS_unshare, { CLONE_NEWIPC }, EPERM, ROOT_ONLY },
	{ "unshare uts", SYS_unshare, { CLONE_NEWUTS }, EPERM, ROOT_ONLY },
	{ "unshare cgroup", SYS_unshare, { CLONE_NEWCGROUP }, EPERM, ROOT_ONLY },
	{ "unshare time", SYS_unshare, { 0x80 }, EPERM, ROOT_ONLY },
	{ "unshare among others", SYS_unshare, { CLONE_NEWUSER | CLONE_FS }, EPERM, 0 },

	{ "personality", SYS_personality, { READ_IMPLIES_EXEC }, EPERM, 0 },
	{ "personality mixed", SYS_personality, { ADDR_NO_RANDOMIZE | MMAP_PAGE_ZERO }, EPERM, 0 },
	{ "personality high", SYS_personality, { HIGH_BITS | READ_IMPLIES_EXEC }, EPERM, 0 },
	{ "TIOCSTI", SYS_ioctl, { -1, TIOCSTI }, EPERM, 0 },
	{ "TIOCSTI high", SYS_ioctl, { -1, HIGH_BITS | TIOCSTI }, EPERM, 0 },
	{ "TIOCSTI all high", SYS_ioctl, { -1, ~0xffffffffL | TIOCSTI }, EPERM, 0 },
	{ "TIOCLINUX", SYS_ioctl, { -1, LINUX_TIOCLINUX }, EPERM, 0 },
	{ "TIOCLINUX high", SYS_ioctl, { -1, HIGH_BITS | LINUX_TIOCLINUX }, EPERM, 0 },

	{ "priority of another", SYS_setpriority, { PRIO_PROCESS, 0x7ffffff0, 0 }, EPERM, 0 },
	{ "priority of a group", SYS_setpriority, { PRIO_PGRP, 0x7ffffff0, 0 }, EPERM, 0 },
	{ "priority of our group", SYS_setpriority, { PRIO_PGRP, 0, 0 }, EPERM, ROOT_ONLY },
	{ "priority of a user", SYS_setpriority, { PRIO_USER, 0x7ffffff0, 0 }, EPERM, 0 },
	{ "ioprio of another", SYS_ioprio_set, { 1, 0x7ffffff0, 4 << 13 }, EPERM, 0 },
	{ "ioprio of our group", SYS_ioprio_set, { 2, 0, 4 << 13 }, EPERM, 0 },
	{ "scheduler of another", SYS_sched_setscheduler, { 0x7ffffff0, 0, P(zeros) }, EPERM, 0 },
	{ "param of another", SYS_sched_setparam, { 0x7ffffff0, P(zeros) }, EPERM, 0 },
	{ "attr of another", SYS_sched_setattr, { 0x7ffffff0, P(zeros), 0 }, EPERM, 0 },
	{ "prlimit of another", SYS_prlimit64, { 1, RLIMIT_NOFILE, 1, 0 }, EPERM, 0 },
	{ "prlimit high", SYS_prlimit64, { HIGH_BITS | 1, RLIMIT_NOFILE, 1, 0 }, EPERM, 0 },
};

static const struct refusal networks[] = {
	{ "inet", SYS_socket, { AF_INET, SOCK_STREAM, 0 }, EACCES, 0 },
	{ "inet dgram", SYS_socket, { AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0 }, EACCES, 0 },
	{ "inet6", SYS_socket, { AF_INET6, SOCK_STREAM, 0 }, EACCES, 0 },
	{ "inet high", SYS_socket, { HIGH_BITS | AF_INET, SOCK_STREAM, 0 }, EACCES, 0 },
	{ "inet minus", SYS_socket, { ~0xffffffffL | AF_INET, SOCK_STREAM, 0 }, EACCES, 0 },
	{ "mptcp", SYS_socket, { AF_INET, SOCK_STREAM, LINUX_IPPROTO_MPTCP }, EACCES, 0 },
	{ "raw", SYS_socket, { AF_INET, SOCK_RAW, 1 }, EACCES, 0 },
	{ "packet", SYS_socket, { AF_PACKET, SOCK_RAW, 0 }, EACCES, 0 },
	{ "netlink", SYS_socket, { AF_NETLINK, SOCK_RAW, 0 }, EACCES, 0 },
	{ "vsock", SYS_socket, { LINUX_AF_VSOCK, SOCK_STREAM, 0 }, EACCES, 0 },
	{ "alg", SYS_socket, { LINUX_AF_ALG, SOCK_SEQPACKET, 0 }, EACCES, 0 },
	{ "xdp", SYS_socket, { LINUX_AF_XDP, SOCK_RAW, 0 }, EACCES, 0 },
	{ "socketpair", SYS_socketpair, { AF_INET, SOCK_STREAM, 0, 0 }, EACCES, 0 },
	{ "fast open sendto",
	  SYS_sendto,
	  { -1, P("x"), 1, LINUX_MSG_FASTOPEN, 0, 0 },
	  EOPNOTSUPP,
	  0 },
	{ "fast open high",
	  SYS_sendto,
	  { -1, P("x"), 1, HIGH_BITS | LINUX_MSG_FASTOPEN, 0, 0 },
	  EOPNOTSUPP,
	  0 },
	{ "fast open sendmsg", SYS_sendmsg, { -1, 0, LINUX_MSG_FASTOPEN }, EOPNOTSUPP, 0 },
	{ "fast open sendmmsg", SYS_sendmmsg, { -1, 0, 1, LINUX_MSG_FASTOPEN }, EOPNOTSUPP, 0 },
};

/* ---- guests ---- */

static int call(const struct refusal *r)
{
	const long *a = r->args;

	return syscall(r->nr, a[0], a[1], a[2], a[3], a[4], a[5]) < 0 ? errno : 0;
}

static int guest_refusal(const char *index)
{
	return call(&refusals[atoi(index)]);
}

static int guest_network(const char *index)
{
	return call(&networks[atoi(index)]);
}

/* All of a table in one process: 0, or 1 + the index of the first call that was not refused as it should be. */
static int guest_all(const char *which)
{
	const struct refusal *r = *which == 'n' ? networks : refusals;
	size_t n = *which == 'n' ? N_OF(networks) : N_OF(refusals);

	for (size_t i = 0; i < n; i++) {
		if (call(&r[i]) != r[i].inside)
			return 1 + (int)i;
	}
	return 0;
}

static int ended(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 199;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* clone with the flags that ARG gives in hexadecimal: its errno, or how the child ended. */
static int guest_clone(const char *arg)
{
	unsigned long flags = strtoul(arg, NULL, 16);
	long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return pid < 0 ? errno : ended((pid_t)pid);
}

static void *thread_main(void *arg)
{
	*(int *)arg = 1;
	return NULL;
}

/* What clone3's absence must not break. */
static int guest_processes(const char *arg)
{
	char *argv[] = { (char *)(uintptr_t) "true", NULL };
	pthread_t threads[8];
	int ran[8] = { 0 };
	pid_t pid;

	(void)arg;
	for (int i = 0; i < 8; i++) {
		if (pthread_create(&threads[i], NULL, thread_main, &ran[i]))
			return 1;
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], NULL);
		if (!ran[i])
			return 2;
	}
	pid = fork();
	if (pid == 0)
		_exit(7);
	if (ended(pid) != 7)
		return 3;
	if (posix_spawnp(&pid, "true", NULL, NULL, argv, NULL) || ended(pid))
		return 4;
	return system("exit 5") >> 8 == 5 ? 0 : 5;
}

#ifdef __x86_64__
/* A 32-bit call by the old gate; the number is of the 32-bit table (20: getpid). */
static int guest_gate(const char *nr)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(atol(nr))
			 : "memory", "r8", "r9", "r10", "r11");
	return ret < 0 ? (int)-ret : 0;
}

static int guest_x32(const char *arg)
{
	int fd = (int)syscall(0x40000000 | SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);

	(void)arg;
	return fd < 0 ? errno : 0;
}
#endif

static int guest_number(const char *nr)
{
	return syscall(atol(nr), 0, 0, 0, 0, 0, 0) < 0 ? errno : 0;
}

/* The acts on processes, on process or thread @number, which is set to what it has; returns how many are refused, and how many in another way than EPERM in hundreds. */
static int acts_on(pid_t number)
{
	const int prio = getpriority(PRIO_PROCESS, 0);
	struct sched_attr_head {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t rest[3];
	} attr = { .size = 48, .nice = prio };
	struct rlimit lim;
	int refused = 0;
	long r[5];

	getrlimit(RLIMIT_NOFILE, &lim);
	for (unsigned i = 0; i < N_OF(r); i++) {
		switch (i) {
		case 0:
			r[i] = setpriority(PRIO_PROCESS, (id_t)number, prio);
			break;
		case 1:
			r[i] = syscall(SYS_ioprio_set, 1, number, 2 << 13 | 4);
			break;
		case 2:
			r[i] = syscall(SYS_sched_setscheduler, number, 0, zeros);
			break;
		case 3:
			r[i] = syscall(SYS_sched_setattr, number, &attr, 0);
			break;
		default:
			r[i] = prlimit(number, RLIMIT_NOFILE, &lim, NULL);
		}
		if (r[i] < 0)
			refused += errno == EPERM ? 1 : 100;
	}
	return refused;
}

/* Pin thread @number to where it may run: the errno. */
static int pin(pid_t number)
{
	cpu_set_t set;

	if (sched_getaffinity(number, sizeof(set), &set) < 0)
		return 201;
	return sched_setaffinity(number, sizeof(set), &set) < 0 ? errno : 0;
}

struct numbers {
	pid_t thread;
	int of_thread; /* what the thread itself said of its process and itself */
	pthread_barrier_t barrier;
};

static void *thread_with_number(void *arg)
{
	struct numbers *n = arg;

	n->thread = gettid();
	n->of_thread = acts_on(getpid()) + acts_on(n->thread);
	pthread_barrier_wait(&n->barrier);
	pthread_barrier_wait(&n->barrier);
	return NULL;
}

/* The caller and its threads by number, and a child of it: bare all is allowed (ARG "bare"). */
static int guest_own_numbers(const char *arg)
{
	int of_others = !strcmp(arg, "bare") ? 0 : 5, of_limits = of_others / 5, hold[2], r = 0;
	struct numbers n = { 0 };
	pthread_t thread;
	pid_t child;
	char byte;

	if (pipe(hold) < 0)
		return 90;
	child = fork();
	if (child == 0) {
		close(hold[1]);
		_exit((int)read(hold[0], &byte, 1));
	}
	pthread_barrier_init(&n.barrier, NULL, 2);
	if (child < 0 || pthread_create(&thread, NULL, thread_with_number, &n))
		return 91;
	pthread_barrier_wait(&n.barrier);
	if (n.of_thread != 0)
		r = 1;
	else if (acts_on(getpid()) != 0)
		r = 2;
	else if (acts_on(n.thread) != of_limits) /* limits are the process's: see builtin/process */
		r = 3;
	else if (acts_on(child) != of_others)
		r = 4;
	else if (prlimit(child, RLIMIT_NOFILE, NULL, &(struct rlimit){ 0 }) < 0)
		r = 5;
	else if (pin(0) || pin(getpid()) || pin(n.thread) || pin(child))
		r = 6;
	pthread_barrier_wait(&n.barrier);
	pthread_join(thread, NULL);
	close(hold[1]);
	return waitpid(child, NULL, 0) == child ? r : 92;
}

/* What stays allowed beside its refused neighbours. */
static int guest_allowed(const char *arg)
{
	struct rlimit lim;
	int sv[2];

	(void)arg;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) || send(sv[0], "x", 1, MSG_NOSIGNAL) != 1)
		return 1;
	if (syscall(SYS_socket, HIGH_BITS | AF_UNIX, SOCK_STREAM, 0) < 0)
		return 2;
	if (personality(0xffffffff) < 0 || personality(ADDR_NO_RANDOMIZE) < 0)
		return 3;
	if (unshare(CLONE_FILES | CLONE_FS) < 0)
		return 4;
	if (getrlimit(RLIMIT_NOFILE, &lim) || setrlimit(RLIMIT_NOFILE, &lim))
		return 5;
	if (prlimit(getppid(), RLIMIT_NOFILE, NULL, &lim) && errno != EPERM)
		return 6;
	if (setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0)) < 0 ||
	    syscall(SYS_sched_setscheduler, 0, 0, zeros) < 0 ||
	    syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 4) < 0)
		return 8;
	return ioctl(-1, TIOCGWINSZ, 0) < 0 && errno == EBADF ? 0 : 7;
}

/* Take the descriptors away from process ARG, and give them back so that the test can go on. */
static int guest_limit(const char *pid)
{
	struct rlimit old, none = { 0, 0 };
	pid_t p = atoi(pid);

	if (prlimit(p, RLIMIT_NOFILE, NULL, &old) < 0)
		return errno;
	none.rlim_max = old.rlim_max;
	if (prlimit(p, RLIMIT_NOFILE, &none, NULL) < 0)
		return errno;
	prlimit(p, RLIMIT_NOFILE, &old, NULL);
	return 0;
}

static int guest_pin(const char *pid)
{
	return pin(atoi(pid));
}

/* Connect to the abstract socket ARG. */
static int guest_abstract(const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t n = strlen(name);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(sa.sun_path + 1, name, n);
	return connect(fd, (struct sockaddr *)&sa,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)) < 0
		       ? errno
		       : 0;
}

static const struct guest_role roles[] = {
	{ "refusal", guest_refusal },
	{ "network", guest_network },
	{ "all", guest_all },
	{ "clone", guest_clone },
	{ "processes", guest_processes },
#ifdef __x86_64__
	{ "gate", guest_gate },
	{ "x32", guest_x32 },
#endif
	{ "number", guest_number },
	{ "allowed", guest_allowed },
	{ "abstract", guest_abstract },
	{ "limit", guest_limit },
	{ "pin", guest_pin },
	{ "own-numbers", guest_own_numbers },
	{ NULL, NULL },
};

/* ---- tests ---- */

/* Bare, each call of the table says something else than inside. */
static void check_controls(const char *role, const struct refusal *r, size_t n)
{
	char index[16];

	for (size_t i = 0; i < n; i++) {
		int bare;

		if (r[i].flags & ROOT_ONLY && geteuid() != 0)
			continue;
		snprintf(index, sizeof(index), "%zu", i);
		bare = guest_bare(role, index);
		if (bare == r[i].inside)
			fail_msg("%s: errno %d without any sandbox", r[i].name, bare);
	}
}

static void check_inside(const char *which, const struct refusal *r)
{
	int first = guest_inside(NULL, "all", which);

	if (first)
		fail_msg("%s: not refused", r[first - 1].name);
}

static void hazard_B4_deny_list(void **state)
{
	(void)state;
	check_controls("refusal", refusals, N_OF(refusals));
	check_inside("refusals", refusals);
}

static void hazard_B7_no_network(void **state)
{
	(void)state;
	check_controls("network", networks, N_OF(networks));
	check_inside("networks", networks);
}

static void hazard_G2_processors_of_the_supervisor(void **state)
{
	char pid[16];

	(void)state;
	snprintf(pid, sizeof(pid), "%d", getpid());
	assert_int_equal(guest_bare("pin", pid), 0);
	assert_int_equal(guest_inside(NULL, "pin", pid), EPERM);
}

static void hazard_G2_limits_of_the_supervisor(void **state)
{
	char pid[16];

	(void)state;
	snprintf(pid, sizeof(pid), "%d", getpid());
	assert_int_equal(guest_bare("limit", pid), 0);
	assert_int_equal(guest_inside(NULL, "limit", pid), EPERM);
}

static void hazard_G2_own_process_by_number(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("own-numbers", "bare"), 0);
	assert_int_equal(guest_inside(NULL, "own-numbers", ""), 0);
}

static void hazard_B4_neighbours_stay_allowed(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("allowed", ""), 0);
	assert_int_equal(guest_inside(NULL, "allowed", ""), 0);
}

static void hazard_B7_abstract_sockets_outside(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct sluice_policy *p = guest_policy();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char name[32];
	size_t n;

	(void)state;
	n = (size_t)snprintf(name, sizeof(name), "sluice-test-%d", getpid());
	memcpy(sa.sun_path + 1, name, n);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)),
			 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(guest_bare("abstract", name), 0);
	assert_int_equal(guest_inside(NULL, "abstract", name), EPERM);
	assert_int_equal(sluice_policy_disable(p, "abstract-unix-socket-scope", NULL), 0);
	assert_int_equal(guest_inside(p, "abstract", name), 0);
	sluice_policy_unref(p);
	close(fd);
}

#ifdef __x86_64__
static void hazard_B2_other_abis(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("gate", "20"), 0);
	assert_int_equal(guest_inside(NULL, "gate", "20"), ENOSYS);
	/* numbers that the 64-bit table allows or lists: none of them counts */
	assert_int_equal(guest_inside(NULL, "gate", "5"), ENOSYS);
	assert_int_equal(guest_inside(NULL, "gate", "41"), ENOSYS);
	assert_int_equal(guest_inside(NULL, "gate", "135"), ENOSYS);
	assert_int_equal(guest_inside(NULL, "x32", ""), ENOSYS);
}
#endif

static void hazard_B3_namespaces_through_clone(void **state)
{
	static const unsigned long all[] = { CLONE_NEWUSER,  CLONE_NEWNS,  CLONE_NEWPID,
					     CLONE_NEWNET,   CLONE_NEWIPC, CLONE_NEWUTS,
					     CLONE_NEWCGROUP };
	char flags[32];

	(void)state;
	assert_int_equal(guest_bare("clone", "0"), 0);
	assert_int_equal(guest_inside(NULL, "clone", "0"), 0);
	for (size_t i = 0; i < N_OF(all); i++) {
		snprintf(flags, sizeof(flags), "%lx", all[i]);
		if (geteuid() == 0 || all[i] == CLONE_NEWUSER)
			assert_int_equal(guest_bare("clone", flags), 0);
		assert_int_equal(guest_inside(NULL, "clone", flags), EPERM);
	}
	assert_int_equal(guest_bare("processes", ""), 0);
	assert_int_equal(guest_inside(NULL, "processes", ""), 0);
}

static void hazard_A5_no_memory_that_only_its_owner_reads(void **state)
{
	char nr[16];

	(void)state;
	snprintf(nr, sizeof(nr), "%d", NR_MEMFD_SECRET);
	assert_int_equal(guest_bare("number", nr), 0);
	assert_int_equal(guest_inside(NULL, "number", nr), ENOSYS);
}

static void hazard_B4_unknown_calls_are_not_there(void **state)
{
	char nr[16];

	(void)state;
	for (int i = NR_NEXT; i < NR_NEXT + 100; i++) {
		snprintf(nr, sizeof(nr), "%d", i);
		assert_int_equal(guest_inside(NULL, "number", nr), ENOSYS);
		i += 16;
	}
	assert_int_equal(guest_inside(NULL, "number", "-1"), ENOSYS);
	assert_int_equal(guest_inside(NULL, "number", "2147483647"), ENOSYS);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_B4_deny_list),
		cmocka_unit_test(hazard_G2_processors_of_the_supervisor),
		cmocka_unit_test(hazard_G2_limits_of_the_supervisor),
		cmocka_unit_test(hazard_G2_own_process_by_number),
		cmocka_unit_test(hazard_B4_neighbours_stay_allowed),
		cmocka_unit_test(hazard_B4_unknown_calls_are_not_there),
		cmocka_unit_test(hazard_B7_no_network),
		cmocka_unit_test(hazard_B7_abstract_sockets_outside),
#ifdef __x86_64__
		cmocka_unit_test(hazard_B2_other_abis),
#endif
		cmocka_unit_test(hazard_B3_namespaces_through_clone),
		cmocka_unit_test(hazard_A5_no_memory_that_only_its_owner_reads),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("deny-list", tests, NULL, NULL);
}
