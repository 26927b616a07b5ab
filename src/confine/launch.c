/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launching thread's side of a sandbox's start and end. See launch.h; the other side is init.c.
 */
#define _GNU_SOURCE
#include "confine/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine/confinement.h"
#include "confine/init.h"
#include "sys/fd.h"
#include "sys/pidfd.h"
#include "sys/raw.h"
#include "util/fail.h"

/*
 * The memory: init's stack, then struct init_shared and the words of script_argv; and the command's stack. On the heap: only pages that are touched
 * cost anything, the stack's end and what follows it may share one, and the next sandbox has them mapped already.
 */
#define SHARED_OFFSET INIT_STACK_BYTES

static size_t count(char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

int launch_init(struct launch *l, char *const *argv)
{
	memset(l, 0, sizeof(*l));
	l->init_pidfd = l->pidfd = l->listener = l->channel = -1;
	l->memory = malloc(SHARED_OFFSET + sizeof(struct init_shared) +
			   (count(argv) + 3) * sizeof(char *));
	l->command_stack = malloc(INIT_STACK_BYTES);
	if (l->memory && l->command_stack)
		return 0;
	launch_free(l);
	return -ENOMEM;
}

void launch_trim(struct launch *l)
{
	free(l->command_stack);
	l->command_stack = NULL;
}

void launch_free(struct launch *l)
{
	launch_trim(l);
	free(l->memory);
	l->memory = NULL;
}

static int channel_open(int ret[2])
{
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret) < 0)
		return -errno;
	r = fd_above_stdio(ret[1]);
	if (r < 0) {
		close(ret[0]);
		return r;
	}
	ret[1] = r;
	return 0;
}

/* Only trapped when a handler wants to see them. */
static bool traps_exec(const struct confinement *c)
{
	for (size_t i = 0; i < c->n_notify; i++) {
		if (c->notify[i] == SYS_execve || c->notify[i] == SYS_execveat)
			return true;
	}
	return false;
}

static struct init_shared *shared_of(const struct launch *l)
{
	return (struct init_shared *)(void *)((char *)l->memory + SHARED_OFFSET);
}

static struct init_shared *shared_fill(struct launch *l, const struct launch_spec *spec,
				       int channel)
{
	size_t argc = count(spec->argv);
	struct init_shared *s = shared_of(l);

	memset(s, 0, offsetof(struct init_shared, children));
	s->spec = *spec;
	s->filter = spec->confinement->filter;
	s->ruleset_b = spec->confinement->rules.ruleset_b;
	s->signal_scope = spec->confinement->rules.signal_scope;
	s->early = traps_exec(spec->confinement) || spec->max_open_files;
	s->channel = channel;
	s->parent = getpid();
	s->command_stack_top = (char *)l->command_stack + INIT_STACK_BYTES;
	s->script_argv = (const char **)(s + 1);
	s->script_argv[0] = "/bin/sh";
	for (size_t i = 1; i <= argc; i++)
		s->script_argv[i + 1] = spec->argv[i];
	return s;
}

/* No exit signal: invisible to the embedder's wait(-1) and SIGCHLD. */
static long clone_init(struct launch *l, struct init_shared *s, int *ret_pidfd)
{
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)ret_pidfd,
		.stack = (uint64_t)(uintptr_t)l->memory,
		.stack_size = INIT_STACK_BYTES,
	};
	long pid;

	s->handlers_dropped = true;
	pid = raw_clone3(&args, init_main, s);
	if (pid >= 0)
		return pid;
	/* older than 5.5, or a container's profile refuses clone3 */
	s->handlers_dropped = false;
	return raw_clone(CLONE_VM | CLONE_PIDFD, (char *)l->memory + INIT_STACK_BYTES, ret_pidfd,
			 NULL, init_main, s);
}

static int start_init(struct launch *l, const struct launch_spec *spec, int channel)
{
	struct init_shared *s = shared_fill(l, spec, channel);
	int pidfd = -1;
	long pid = clone_init(l, s, &pidfd);

	if (pid < 0)
		return (int)pid;
	l->init_pid = (pid_t)pid;
	l->init_pidfd = pidfd;
	return 0;
}

/* One event; @fds (two of them) if it carries descriptors. Returns 1, 0, or a negative errno as launch_next_event. */
static int event_read(int channel, struct launch_event *ret, int flags, int fds[2])
{
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { ret, sizeof(*ret) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	const struct cmsghdr *c;
	ssize_t n;

	do
		n = recvmsg(channel, &msg, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS && fds)
		memcpy(fds, CMSG_DATA(c), 2 * sizeof(int));
	return n == sizeof(*ret) ? 1 : -EPROTO;
}

static const char *stage_text(uint32_t stage)
{
	switch (stage) {
	case LAUNCH_STAGE_FORK:
		return "starting the command's process";
	case LAUNCH_STAGE_GROUP:
		return "cgroup of the command's memory";
	case LAUNCH_STAGE_STDIO:
		return "starting the init process";
	case LAUNCH_STAGE_LIMITS:
		return "limit of open files";
	case LAUNCH_STAGE_CORES:
		return "processors of the command";
	case LAUNCH_STAGE_LANDLOCK:
		return "Landlock domain of the command";
	case LAUNCH_STAGE_FILTER:
		return "seccomp filter";
	default:
		return "start of the command";
	}
}

int launch_failure(uint32_t stage, int error, struct sluice_error *err)
{
	fail_errno(err, -error, "%s", stage_text(stage));
	if (stage == LAUNCH_STAGE_FILTER && error == EBUSY)
		return fail_hint(err, -error,
				 "a supervisor listens to this process already (sluice in "
				 "sluice?); only one can");
	if (stage == LAUNCH_STAGE_LIMITS)
		return fail_hint(err, -error, "at most the hard limit (ulimit -Hn)");
	if (stage == LAUNCH_STAGE_CORES)
		return fail_hint(err, -error,
				 "`taskset -p $$` shows what there is for --cpu-cores");
	if (error == EAGAIN)
		return fail_hint(err, -error, "the limit of processes is reached (ulimit -u)");
	return -error;
}

/* Wait for the listener. */
static int await_listener(struct launch *l, const struct launch_spec *spec,
			  struct sluice_error *err)
{
	struct launch_event ev;
	int fds[2] = { -1, -1 };
	int r = event_read(l->channel, &ev, 0, fds);

	if (r < 0)
		return fail_errno(err, r, "start of the command: its init process ended early");
	if (ev.kind == LAUNCH_FAILED && ev.stage == LAUNCH_STAGE_CWD)
		return fail_errno(err, -ev.error, "working directory: %s",
				  spec->cwd ? spec->cwd : ".");
	if (ev.kind == LAUNCH_FAILED)
		return launch_failure(ev.stage, ev.error, err);
	if (ev.kind != LAUNCH_LISTENER || fds[0] < 0)
		return fail(err, -EPROTO, "start of the command: event %u", ev.kind);
	l->listener = fds[0];
	l->pidfd = fds[1];
	l->pid = ev.status;
	l->execed = ev.execed;
	return 0;
}

int launch_start(struct launch *l, const struct launch_spec *spec, struct sluice_error *err)
{
	int channel[2];
	int r;

	l->signal_scope = spec->confinement->rules.signal_scope;
	r = channel_open(channel);
	if (r < 0)
		return fail_errno(err, r, "channel to the init process");
	l->channel = channel[0];
	r = start_init(l, spec, channel[1]);
	close(channel[1]);
	r = r < 0 ? launch_failure(LAUNCH_STAGE_FORK, -r, err) : await_listener(l, spec, err);
	if (r < 0)
		launch_fini(l);
	return r;
}

int launch_next_event(struct launch *l, struct launch_event *ret)
{
	int r = event_read(l->channel, ret, MSG_DONTWAIT, NULL);

	if (r == 1 && ret->tree_gone)
		l->empty = true;
	return r;
}

void launch_hold(struct launch *l, bool on)
{
	__atomic_store_n(&shared_of(l)->held, on, __ATOMIC_RELEASE);
}

int launch_kill_tree(const struct launch *l)
{
	int r = pidfd_kill(l->init_pidfd, SIGTERM);

	/* the command itself too: before its exec init waits for it and takes no signals */
	if (r == 0)
		pidfd_kill(l->pidfd, SIGKILL);
	return r;
}

/* Read events until init is gone. True when it said that the tree is. */
static bool drain(struct launch *l)
{
	struct launch_event ev;
	bool empty = false;

	while (event_read(l->channel, &ev, 0, NULL) == 1)
		empty |= ev.tree_gone;
	return empty;
}

void launch_fini(struct launch *l)
{
	bool empty = l->empty;

	if (l->channel >= 0) {
		if (l->init_pidfd >= 0 && !empty)
			empty = drain(l);
		close(l->channel);
	}
	if (l->init_pidfd >= 0) {
		siginfo_t info;

		while (waitid(P_PIDFD, (id_t)l->init_pidfd, &info, WEXITED | __WALL) < 0 &&
		       errno == EINTR)
			continue;
		/* Init was killed from outside. What it left is in our domain and, with the scope, all that a signal of ours reaches. */
		if (!empty && l->signal_scope)
			kill(-1, SIGKILL);
		close(l->init_pidfd);
	}
	if (l->pidfd >= 0) {
		if (!empty)
			pidfd_kill(l->pidfd, SIGKILL);
		close(l->pidfd);
	}
	if (l->listener >= 0)
		close(l->listener);
	l->init_pidfd = l->pidfd = l->listener = l->channel = -1;
}
