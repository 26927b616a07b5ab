/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probe of the listener: a task under a filter, and a supervisor that answers it. See check.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/check.h"
#include "sys/notif.h"

#define KILLABLE_LOOKS 5 /* of a millisecond each */
#define ANSWER 4711

/* Newer than the oldest headers that we build with. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1ul << 5)
#endif
#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1ul << 1)
#endif

struct notify {
	struct report *r; /* of all probes */
	int task[2];	  /* pipe: the task tells the listener's number */
	pid_t pid;
	int listener;
};

static void do_nothing(int signal)
{
	(void)signal;
}

static long install(unsigned long flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		       flags | SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

/* The task: four trapped calls, of which the values must come from the supervisor. Exit status: how many did not. */
static void __attribute__((noreturn)) notify_task(const struct notify *n)
{
	struct sigaction action = { .sa_handler = do_nothing };
	int message[2] = { 0, 0 };
	sigset_t usr1;
	long fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	sigaction(SIGUSR1, &action, NULL);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_UNBLOCK, &usr1, NULL);
	message[0] = (int)install(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
	message[1] = message[0] < 0 ? errno : 0;
	if (message[0] < 0)
		message[0] = (int)install(0);
	if (message[0] < 0)
		message[0] = -errno;
	if (write(n->task[1], message, sizeof(message)) < 0 || message[0] < 0)
		_exit(1);
	if (syscall(SYS_getppid) != ANSWER)
		check_no(&n->r[PROBE_NOTIFY], "the answer did not arrive", 0);
	if (syscall(SYS_getppid) != ANSWER && n->r[PROBE_KILLABLE].found != 2)
		check_no(&n->r[PROBE_KILLABLE], "a signal interrupted the call", 0);
	for (int i = 0; i < 2; i++) {
		struct report *r = &n->r[i ? PROBE_ADDFD_SEND : PROBE_ADDFD];

		fd = syscall(SYS_getppid);
		if (r->found != 2 && (fd < 0 || fcntl((int)fd, F_GETFD) < 0))
			check_no(r, "the descriptor did not arrive", 0);
	}
	_exit(0);
}

static bool notify_next(const struct notify *n, struct seccomp_notif *ret)
{
	return notif_recv(n->listener, ret) == 0 && ret->data.nr == SYS_getppid;
}

static void notify_killable(const struct notify *n, int flag_error)
{
	struct timespec ms = { 0, 1000000 };
	struct seccomp_notif notif;
	int r = 0;

	if (!notify_next(n, &notif))
		return;
	if (flag_error) {
		check_no(&n->r[PROBE_KILLABLE], "the filter flag is refused", flag_error);
	} else {
		kill(n->pid, SIGUSR1);
		for (int i = 0; r == 0 && i < KILLABLE_LOOKS; i++) {
			nanosleep(&ms, NULL);
			r = notif_id_valid(n->listener, notif.id);
		}
		if (r < 0)
			check_no(&n->r[PROBE_KILLABLE], "a signal interrupted the call", 0);
		else
			check_yes(&n->r[PROBE_KILLABLE], "a signal left a received call alone");
	}
	notif_send_reply(n->listener, notif.id, 0, ANSWER);
}

static void notify_addfd(const struct notify *n)
{
	struct seccomp_notif_addfd add = { .flags = SECCOMP_ADDFD_FLAG_SEND };
	struct seccomp_notif notif;
	int fd;

	if (!notify_next(n, &notif))
		return;
	fd = notif_addfd(n->listener, notif.id, n->task[0], O_CLOEXEC);
	if (fd < 0)
		check_no(&n->r[PROBE_ADDFD], "refused", -fd);
	else
		check_yes(&n->r[PROBE_ADDFD], "a descriptor was injected");
	notif_send_reply(n->listener, notif.id, 0, fd < 0 ? -1 : fd);
	if (!notify_next(n, &notif))
		return;
	add.id = notif.id;
	add.srcfd = (uint32_t)n->task[0];
	if (ioctl(n->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0) {
		check_no(&n->r[PROBE_ADDFD_SEND], "refused", errno);
		notif_send_reply(n->listener, notif.id, 0, -1);
	} else {
		check_yes(&n->r[PROBE_ADDFD_SEND], "a descriptor was injected in one step");
	}
}

static void notify_answer(struct notify *n, int flag_error)
{
	struct seccomp_notif notif;
	int r = notif_set_sync_wake_up(n->listener);

	if (r < 0)
		check_no(&n->r[PROBE_SYNC], "refused", -r);
	else
		check_yes(&n->r[PROBE_SYNC], "on");
	if (!notify_next(n, &notif))
		return;
	check_yes(&n->r[PROBE_NOTIFY], "a call was trapped and answered");
	notif_send_reply(n->listener, notif.id, 0, ANSWER);
	notify_killable(n, flag_error);
	notify_addfd(n);
}

void check_notify(struct report *r)
{
	struct notify n = { .r = r };
	int message[2] = { -EPIPE, 0 };

	if (pipe2(n.task, O_CLOEXEC) < 0)
		return;
	n.pid = check_fork(CLONE_FILES | SIGCHLD, NULL);
	if (n.pid == 0)
		notify_task(&n);
	if (n.pid < 0 || read(n.task[0], message, sizeof(message)) < 0 || message[0] < 0) {
		const char *what =
			message[0] == -EBUSY ? "a supervisor listens to us already" : "no listener";

		for (int i = PROBE_NOTIFY; i <= PROBE_ADDFD_SEND; i++)
			check_no(&r[i], what, message[0] == -EBUSY ? 0 : -message[0]);
		return;
	}
	n.listener = message[0];
	notify_answer(&n, message[1]);
	close(n.listener);
	waitpid(n.pid, NULL, 0);
}
