/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The init process of a sandbox and the command until its exec. See launch.h for the events, init.h for what may be used here.
 *
 * Init outlives the launching thread on purpose: the kernel sends it SIGUSR1 when that thread is gone, however it went, and it kills the tree.
 * It leads a session of its own, so that a SIGKILL to the embedder's process group does not reach it.
 */
#define _GNU_SOURCE
#include "confine/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "sys/landlock.h"
#include "sys/raw.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1ul << 5) /* 6.0 */
#endif
#define KERNEL_SIGSET_BYTES 8
#define LAST_SIGNAL 64
#define CHANNEL_FD 0 /* where init keeps its end once the command has its own descriptors */
#define CHILDREN_FD 1

struct limit {
	uint64_t current, maximum;
};

/* How long the listener may stay here while the command executes. */
#define EXEC_PATIENCE_NS 2000000

static long futex_wait(uint32_t *word, uint32_t value, const struct timespec *limit)
{
	return raw_call(SYS_futex, word, FUTEX_WAIT, value, limit, 0);
}

static void futex_set(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	raw_call(SYS_futex, word, FUTEX_WAKE, 1, 0, 0);
}

/* Sleep while *@word is @value; returns what it is then. */
static uint32_t futex_leave(uint32_t *word, uint32_t value)
{
	uint32_t now;

	while ((now = __atomic_load_n(word, __ATOMIC_ACQUIRE)) == value)
		futex_wait(word, value, NULL);
	return now;
}

/* Plain loops: the compiler is told not to make calls of them. */
static void copy_bytes(void *to, const void *from, size_t n)
{
	volatile char *t = to;
	const volatile char *f = from;

	while (n--)
		*t++ = *f++;
}

/* ---- the command ---- */

static void __attribute__((noreturn)) give_up(struct init_shared *s, int stage, long error)
{
	s->stage = stage;
	s->error = (int)-error;
	for (;;)
		raw_call(SYS_exit, 127, 0, 0, 0, 0);
}

static long install_filter(struct init_shared *s)
{
	unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
	long r = raw_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			  flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &s->filter, 0, 0);

	if (r == -EINVAL)
		r = raw_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &s->filter, 0, 0);
	return r;
}

/* As execvp does with a file that has no format the kernel knows. */
static long exec_script(struct init_shared *s, const char *path)
{
	s->script_argv[1] = path;
	return raw_call(SYS_execve, s->script_argv[0], s->script_argv, s->spec.envp, 0, 0);
}

/* Try the candidates in turn as execvp does. Returns only when none could be executed. */
static long exec_command(struct init_shared *s)
{
	const struct launch_spec *spec = &s->spec;
	bool refused = false;
	long r = -ENOENT;

	for (char *const *path = spec->candidates; *path; path++) {
		r = raw_call(SYS_execve, *path, spec->argv, spec->envp, 0, 0);
		if (r == -ENOEXEC)
			return exec_script(s, *path);
		if (r == -EACCES)
			refused = true;
		else if (r != -ENOENT && r != -ENOTDIR && r != -ESTALE && r != -ENODEV &&
			 r != -ETIMEDOUT)
			return r;
	}
	return refused ? -EACCES : r;
}

/* Never above what the caller may have. A write that is refused shall fail, as on a full disk, and not kill. */
static void bound_files(uint64_t bytes)
{
	const uint64_t ignore[4] = { (uint64_t)(uintptr_t)SIG_IGN };
	struct limit limit = { 0, 0 };

	if (raw_call(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, &limit, 0) < 0)
		return;
	if (limit.current > bytes)
		limit.current = bytes;
	if (limit.maximum > bytes)
		limit.maximum = bytes;
	raw_call(SYS_prlimit64, 0, RLIMIT_FSIZE, &limit, 0, 0);
	raw_call(SYS_rt_sigaction, SIGXFSZ, ignore, 0, KERNEL_SIGSET_BYTES, 0);
}

static int command_main(void *arg)
{
	struct init_shared *s = arg;
	const struct launch_spec *spec = &s->spec;
	long r = 0;

	/* without init: whom the kernel kills for memory takes all with it that have the same, and that would be the embedder */
	if (spec->group >= 0)
		r = raw_call(SYS_write, spec->group, "0", 1, 0, 0);
	if (r < 0)
		give_up(s, LAUNCH_STAGE_GROUP, r);
	if (spec->cwd)
		r = raw_call(SYS_chdir, spec->cwd, 0, 0, 0, 0);
	if (r < 0)
		give_up(s, LAUNCH_STAGE_CWD, r);
	if (spec->max_file_bytes)
		bound_files(spec->max_file_bytes);
	if (spec->fixed_addresses)
		raw_call(SYS_personality,
			 raw_call(SYS_personality, 0xffffffff, 0, 0, 0, 0) | ADDR_NO_RANDOMIZE, 0,
			 0, 0, 0);
	if (spec->cores)
		r = raw_call(SYS_sched_setaffinity, 0, sizeof(*spec->cores), spec->cores, 0, 0);
	if (r < 0)
		give_up(s, LAUNCH_STAGE_CORES, r);
	raw_call(SYS_umask, spec->umask, 0, 0, 0, 0);
	raw_call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	raw_call(SYS_rt_sigaction, SIGCHLD, s->sigchld, 0, KERNEL_SIGSET_BYTES, 0);
	r = raw_call(NR_LANDLOCK_RESTRICT_SELF, s->ruleset_b, 0, 0, 0, 0);
	if (r < 0)
		give_up(s, LAUNCH_STAGE_LANDLOCK, r);
	raw_call(SYS_rt_sigprocmask, SIG_SETMASK, &spec->sigmask, 0, KERNEL_SIGSET_BYTES, 0);
	r = install_filter(s);
	if (r < 0)
		give_up(s, LAUNCH_STAGE_FILTER, r);
	/* From here on a call may be trapped: nothing but futex and execve. */
	s->listener = (int)r;
	s->filtered = true;
	if (s->early)
		futex_set(&s->here, INIT_FILTERED);
	else
		__atomic_store_n(&s->here, INIT_FILTERED, __ATOMIC_RELEASE);
	if (spec->max_open_files)
		futex_leave(&s->go, 0);
	give_up(s, LAUNCH_STAGE_EXEC, exec_command(s));
}

/* ---- events ---- */

static void event_begin(struct init_shared *s, enum launch_event_kind kind)
{
	volatile char *p = (volatile char *)&s->event;

	for (size_t i = 0; i < sizeof(s->event); i++)
		p[i] = 0;
	s->event.kind = kind;
}

static void event_send(struct init_shared *s, bool with_descriptors)
{
	struct iovec iov = { &s->event, sizeof(s->event) };
	struct msghdr msg;

	msg.msg_name = NULL;
	msg.msg_namelen = 0;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = NULL;
	msg.msg_controllen = 0;
	msg.msg_flags = 0;
	if (with_descriptors) {
		struct cmsghdr *c = &s->control.align;
		int *fds = (int *)(void *)CMSG_DATA(c);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(2 * sizeof(int));
		fds[0] = s->listener;
		fds[1] = s->pidfd;
		msg.msg_control = s->control.bytes;
		msg.msg_controllen = sizeof(s->control.bytes);
	}
	raw_call(SYS_sendmsg, s->channel, &msg, MSG_NOSIGNAL, 0, 0);
}

static void fail_event(struct init_shared *s, int stage, long error)
{
	event_begin(s, LAUNCH_FAILED);
	s->event.stage = (uint32_t)stage;
	s->event.error = (int32_t)-error;
	event_send(s, false);
}

/* ---- the end of the tree ---- */

/* Next number in what /proc/TASK/children holds, or 0. */
static long next_number(const char **at, const char *end)
{
	long n = 0;

	while (*at < end && (**at < '0' || **at > '9'))
		(*at)++;
	while (*at < end && **at >= '0' && **at <= '9')
		n = 10 * n + (*(*at)++ - '0');
	return n;
}

/* Where no scope bounds kill(-1): the children we have now. Theirs become ours as they end, since we are the subreaper. */
static void kill_children(struct init_shared *s)
{
	char *buf = s->children;
	const char *at = buf;
	long n = raw_call(SYS_pread64, s->children_fd, buf, sizeof(s->children), 0, 0);

	/* a number that was cut at the end of the buffer is not a pid */
	if (n == (long)sizeof(s->children)) {
		while (n > 0 && buf[n - 1] != ' ')
			n--;
	}
	for (long pid; n > 0 && (pid = next_number(&at, buf + n)) > 0;)
		raw_call(SYS_kill, pid, SIGKILL, 0, 0, 0);
}

static void kill_tree(struct init_shared *s)
{
	if (s->signal_scope)
		raw_call(SYS_kill, -1, SIGKILL, 0, 0, 0);
	else
		kill_children(s);
}

/*
 * Has the tree nobody left, the dead included? Whoever loses its parent becomes our child before that parent can be reaped, so no children
 * means no descendants.
 */
static bool alone(void)
{
	return raw_call(SYS_waitid, P_ALL, 0, 0, WEXITED | WNOHANG | WNOWAIT | __WALL, 0) ==
	       -ECHILD;
}

static void usage_of_all(struct init_shared *s)
{
	raw_call(SYS_getrusage, RUSAGE_CHILDREN, &s->event.usage, 0, 0, 0);
	s->event.tree_gone = true;
}

static void reaped(struct init_shared *s, pid_t pid, int status)
{
	if (pid != s->command)
		return;
	if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP &&
	    __atomic_load_n(&s->held, __ATOMIC_ACQUIRE))
		return;
	if (WIFSTOPPED(status)) {
		event_begin(s, LAUNCH_STOPPED);
		s->event.status = status;
		event_send(s, false);
		return;
	}
	event_begin(s, LAUNCH_EXITED);
	s->event.status = status;
	if (alone())
		usage_of_all(s);
	else
		copy_bytes(&s->event.usage, &s->usage, sizeof(s->usage));
	s->tree_gone = s->event.tree_gone;
	event_send(s, false);
	s->killing = true;
}

/* Reap until nobody is left. Once the tree is being killed, wait for it without looking at signals. */
static void reap_all(struct init_shared *s)
{
	uint64_t all = ~UINT64_C(0);
	int status = 0;

	while (!s->tree_gone) {
		long pid = raw_call(SYS_wait4, -1, &status,
				    __WALL | (s->killing ? 0 : WNOHANG | WUNTRACED), &s->usage, 0);
		bool was_killing = s->killing;

		if (pid == -ECHILD)
			return;
		if (pid > 0)
			reaped(s, (pid_t)pid, status);
		if (pid == 0) {
			long sig =
				raw_call(SYS_rt_sigtimedwait, &all, 0, 0, KERNEL_SIGSET_BYTES, 0);

			s->killing = sig == SIGUSR1 || sig == SIGTERM;
		}
		if (s->killing && !s->tree_gone && (!was_killing || !s->signal_scope))
			kill_tree(s);
	}
}

/* ---- init ---- */

/* Descriptors 0 to 2 as the command shall have them; a source that would be overwritten is moved out of the way first. */
static long set_stdio(struct init_shared *s)
{
	int *from = s->spec.stdio;
	long r = 0;

	for (int i = 0; i < 3 && r >= 0; i++) {
		if (from[i] < 0 || from[i] > 2 || from[i] == i)
			continue;
		r = raw_call(SYS_fcntl, from[i], F_DUPFD_CLOEXEC, 3, 0, 0);
		from[i] = (int)r;
	}
	for (int i = 0; i < 3 && r >= 0; i++) {
		if (from[i] < 0)
			continue;
		r = from[i] == i ? raw_call(SYS_fcntl, i, F_SETFD, 0, 0, 0)
				 : raw_call(SYS_dup3, from[i], i, 0, 0, 0);
	}
	return r;
}

/* The list of our children, above 2. */
static long open_children(struct init_shared *s)
{
	long fd = raw_call(SYS_openat, AT_FDCWD, "/proc/thread-self/children", O_RDONLY | O_CLOEXEC,
			   0, 0);

	if (fd < 0)
		return fd;
	s->children_fd = (int)raw_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3, 0, 0);
	raw_call(SYS_close, fd, 0, 0, 0, 0);
	return s->children_fd < 0 ? s->children_fd : 0;
}

/*
 * Signals may be delivered to the command before its exec, into memory that is the embedder's: they must not find its handlers. What is ignored stays
 * ignored, as after any exec.
 */
static void drop_handlers(void)
{
	uint64_t action[4];

	for (int sig = 1; sig <= LAST_SIGNAL; sig++) {
		action[0] = 0;
		raw_call(SYS_rt_sigaction, sig, 0, action, KERNEL_SIGSET_BYTES, 0);
		if (action[0] <= (uint64_t)(uintptr_t)SIG_IGN)
			continue;
		for (int i = 0; i < 4; i++)
			((volatile uint64_t *)action)[i] = 0;
		raw_call(SYS_rt_sigaction, sig, action, 0, KERNEL_SIGSET_BYTES, 0);
	}
}

/* To be killed with the launching thread, to inherit orphans, and to hear of the end of children. */
static long become_init(struct init_shared *s)
{
	static const uint64_t default_action[4];

	raw_call(SYS_prctl, PR_SET_NAME, "sluice-init", 0, 0, 0);
	raw_call(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	raw_call(SYS_prctl, PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0);
	if (raw_call(SYS_getppid, 0, 0, 0, 0, 0) != s->parent)
		return -ECHILD; /* killed before we could ask to be told */
	if (!s->handlers_dropped)
		drop_handlers();
	raw_call(SYS_rt_sigaction, SIGCHLD, 0, s->sigchld, KERNEL_SIGSET_BYTES, 0);
	raw_call(SYS_rt_sigaction, SIGCHLD, default_action, 0, KERNEL_SIGSET_BYTES, 0);
	/* a handler of the embedder is no action for the command, as after any exec; SIG_IGN is */
	if (s->sigchld[0] != (uint64_t)(uintptr_t)SIG_IGN)
		s->sigchld[0] = (uint64_t)(uintptr_t)SIG_DFL;
	s->children_fd = -1;
	return s->signal_scope ? 0 : open_children(s);
}

static long start_command(struct init_shared *s)
{
	/* the table of descriptors is shared until the exec: the listener appears in it */
	unsigned long flags = CLONE_VM | CLONE_FILES | CLONE_PIDFD | CLONE_CHILD_CLEARTID | SIGCHLD;
	long pid;

	s->here = INIT_STARTING;
	pid = raw_clone(flags, s->command_stack_top, &s->pidfd, &s->here, command_main, s);
	if (pid > 0)
		s->command = (pid_t)pid;
	raw_call(SYS_setsid, 0, 0, 0, 0, 0);
	return pid;
}

static void let_go(struct init_shared *s)
{
	struct limit limit = { s->spec.max_open_files, s->spec.max_open_files };
	long r;

	if (!s->spec.max_open_files)
		return;
	r = raw_call(SYS_prlimit64, s->command, RLIMIT_NOFILE, &limit, 0, 0);
	if (r < 0) {
		s->stage = LAUNCH_STAGE_LIMITS;
		s->error = (int)-r;
		raw_call(SYS_kill, s->command, SIGKILL, 0, 0, 0);
	}
	futex_set(&s->go, 1);
}

/*
 * Wait until the listener is to be handed over. Where nothing can trap the exec that is after it, which spares a turn of each of the three; but an exec
 * that takes long (from a file system that hangs) must find a supervisor that can end it.
 */
static void await_filter(struct init_shared *s)
{
	static const struct timespec patience = { .tv_nsec = EXEC_PATIENCE_NS };
	uint32_t here;

	if (s->early) {
		futex_leave(&s->here, INIT_STARTING);
		return;
	}
	while ((here = __atomic_load_n(&s->here, __ATOMIC_ACQUIRE)) != INIT_GONE) {
		if (futex_wait(&s->here, here, &patience) == -ETIMEDOUT && here == INIT_FILTERED)
			return;
	}
}

static bool has_executed(struct init_shared *s)
{
	return __atomic_load_n(&s->here, __ATOMIC_ACQUIRE) == INIT_GONE && !s->stage;
}

static void hand_over(struct init_shared *s)
{
	event_begin(s, LAUNCH_LISTENER);
	s->event.status = s->command;
	s->event.execed = !s->early && has_executed(s);
	event_send(s, true);
	/*
	 * Until the exec the table is shared, so the command loses it too: were the supervisor gone by now, a trapped exec would fail and
	 * not wait for ever.
	 */
	raw_call(SYS_close, s->listener, 0, 0, 0, 0);
}

/* Hand over the listener, and say how the start went once the command has executed or ended. */
static void follow_start(struct init_shared *s)
{
	await_filter(s);
	if (s->filtered) {
		hand_over(s);
		if (s->event.execed)
			return;
		let_go(s);
	}
	futex_leave(&s->here, INIT_FILTERED);
	if (s->stage) {
		fail_event(s, s->stage, -s->error);
		return;
	}
	event_begin(s, LAUNCH_EXECED);
	event_send(s, false);
}

/* Keep the channel and, where it is needed, the list of children; nothing of the embedder's stays open here. */
static void close_all(struct init_shared *s)
{
	/* both sources lie above 2 */
	raw_call(SYS_dup3, s->channel, CHANNEL_FD, O_CLOEXEC, 0, 0);
	s->channel = CHANNEL_FD;
	if (s->children_fd >= 0)
		raw_call(SYS_dup3, s->children_fd, CHILDREN_FD, O_CLOEXEC, 0, 0);
	raw_call(SYS_close_range, s->children_fd >= 0 ? CHILDREN_FD + 1 : CHANNEL_FD + 1, ~0u, 0, 0,
		 0);
	if (s->children_fd >= 0)
		s->children_fd = CHILDREN_FD;
}

int init_main(void *shared)
{
	struct init_shared *s = shared;
	long r = become_init(s);

	if (r == 0)
		r = set_stdio(s);
	if (r < 0) {
		fail_event(s, LAUNCH_STAGE_STDIO, r);
	} else {
		r = start_command(s);
		if (r < 0)
			fail_event(s, LAUNCH_STAGE_FORK, r);
		else
			follow_start(s);
		close_all(s);
		reap_all(s);
	}
	if (!s->tree_gone) {
		event_begin(s, LAUNCH_EMPTY);
		usage_of_all(s);
		event_send(s, false);
	}
	for (;;)
		raw_call(SYS_exit_group, 0, 0, 0, 0, 0);
}
