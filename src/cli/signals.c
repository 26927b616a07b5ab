/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/fail.h"

#define MS UINT64_C(1000000)
/*
 * timeout(1) and shells send the same signal to a process and then to its group: what comes again within this time is the same wish,
 * not a second one.
 */
#define SAME_WISH_NS (100 * MS)

/* SIGPIPE is met by the error of a write; all others are passed on. */
static const int caught[] = {
	SIGTERM, SIGINT,  SIGHUP,   SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM,
	SIGCONT, SIGTSTP, SIGWINCH, SIGIO,   SIGPWR,  SIGPIPE,
};

struct arrival {
	int signal;
	int by_kernel; /* a terminal, mostly */
};

static int handler_fd = -1;

static void on_signal(int signal, siginfo_t *info, void *context)
{
	struct arrival a = { signal, info->si_code == SI_KERNEL };
	int saved = errno;

	(void)context;
	if (signal != SIGPIPE && write(handler_fd, &a, sizeof(a)) < 0)
		errno = saved; /* the pipe is full of signals that are passed on soon */
	errno = saved;
}

static void catch_signal(int signal)
{
	struct sigaction old,
		action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };

	sigfillset(&action.sa_mask);
	if (sigaction(signal, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
		sigaction(signal, &action, NULL);
}

/* The controlling terminal among our standard descriptors, if we are in its foreground. */
static int find_tty(pid_t group)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (tcgetpgrp(fd) == group)
			return fcntl(fd, F_DUPFD_CLOEXEC, 3);
	}
	return -1;
}

int signals_init(struct signals *g, struct sluice_error *err)
{
	int ends[2];

	*g = (struct signals){ .read_fd = -1, .stops = { -1, -1 }, .group = getpgrp() };
	g->tty = find_tty(g->group);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return fail_errno(err, -errno, "pipe for signals");
	g->read_fd = ends[0];
	handler_fd = ends[1];
	if (pipe2(g->stops, O_CLOEXEC | O_NONBLOCK) < 0)
		return fail_errno(err, -errno, "pipe for signals");
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		catch_signal(caught[i]);
	return 0;
}

/* ---- the end ---- */

static int end_tree(struct signals *g, struct sluice_sandbox *s, int signal)
{
	uint64_t now = clock_now_ns();
	bool again = g->ending && now - g->last_ns > SAME_WISH_NS;

	g->last_ns = now;
	if (again)
		return sluice_sandbox_kill(s, SIGKILL);
	if (!g->ending) {
		g->ending = signal;
		g->ends_ns = now + SIGNALS_GRACE_MS * MS;
	}
	return sluice_sandbox_kill(s, signal);
}

bool signals_end(int signal)
{
	return signal == SIGTERM || signal == SIGINT || signal == SIGHUP;
}

int signals_send(struct signals *g, struct sluice_sandbox *s, int signal)
{
	if (signal <= 0 || signal >= NSIG)
		return -EINVAL;
	return signals_end(signal) ? end_tree(g, s, signal) : sluice_sandbox_kill(s, signal);
}

int signals_patience_ms(struct signals *g, struct sluice_sandbox *s)
{
	uint64_t now = clock_now_ns();

	if (!g->ending)
		return -1;
	if (now < g->ends_ns)
		return (int)((g->ends_ns - now) / MS) + 1;
	sluice_sandbox_kill(s, SIGKILL);
	return -1;
}

/* ---- job control ---- */

/* Is the command still stopped? The letter after its name in /proc/PID/stat. */
static bool command_stopped(pid_t pid)
{
	char path[40], text[512];
	const char *end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	end = strrchr(text, ')');
	return end && !strncmp(end, ") T", 3);
}

/*
 * Stop as the command did. Only where somebody can continue us: a shell on our terminal, or whoever sent us the stop; a command
 * that stops and continues itself without those must not leave its supervisor stopped.
 */
static void stop_too(struct signals *g, struct sluice_sandbox *s, int signal)
{
	struct sigaction old, action = { .sa_handler = SIG_DFL };

	if ((g->tty < 0 && !g->stop_sent) || !command_stopped(sluice_sandbox_pid(s)))
		return;
	g->stop_sent = false;
	sigaction(signal, &action, &old); /* SIGSTOP: EINVAL, and it needs none */
	raise(signal);
	/* continued: the SIGCONT is in the pipe */
	g->continued = true;
	if (signal != SIGSTOP)
		sigaction(signal, &old, NULL);
}

static void on_stop(struct signals *g, struct sluice_sandbox *s)
{
	uint64_t signal;

	while (read(g->stops[0], &signal, sizeof(signal)) == sizeof(signal))
		stop_too(g, s, (int)signal);
}

/* ---- what comes ---- */

/*
 * A terminal's signals go to its foreground group, where the command is beside us or has its own. Only a hang-up is told to a session's leader alone,
 * which the command would be in our place.
 */
static bool command_has_it(const struct arrival *a)
{
	return a->by_kernel && a->signal != SIGCONT &&
	       !(a->signal == SIGHUP && getsid(0) == getpid());
}

static void on_arrival(struct signals *g, struct sluice_sandbox *s, const struct arrival *a)
{
	if (command_has_it(a))
		return;
	if (signals_end(a->signal) && !a->by_kernel) {
		end_tree(g, s, a->signal);
		return;
	}
	if (a->signal == SIGTSTP)
		g->stop_sent = true;
	if (a->signal == SIGCONT && g->continued) {
		g->continued = false;
		if (!command_stopped(sluice_sandbox_pid(s)))
			return; /* a shell continues the whole group: the command has it */
	}
	sluice_sandbox_kill(s, a->signal);
}

size_t signals_watch(const struct signals *g, const struct sluice_sandbox *s,
		     struct pollfd fds[SIGNALS_FDS])
{
	const int watched[SIGNALS_FDS] = { sluice_sandbox_fd(s), g->read_fd, g->stops[0] };

	for (size_t i = 0; i < SIGNALS_FDS; i++)
		fds[i] = (struct pollfd){ .fd = watched[i], .events = POLLIN };
	return SIGNALS_FDS;
}

void signals_serve(struct signals *g, struct sluice_sandbox *s)
{
	struct arrival a;

	while (read(g->read_fd, &a, sizeof(a)) == sizeof(a))
		on_arrival(g, s, &a);
	on_stop(g, s);
}

void signals_fini(struct signals *g)
{
	sigset_t ttou, old;
	pid_t front = g->tty >= 0 ? tcgetpgrp(g->tty) : -1;

	/* not from a living group: it may be the shell's, which has put us into the background */
	if (front > 0 && front != g->group && kill(-front, 0) < 0 && errno == ESRCH) {
		sigemptyset(&ttou);
		sigaddset(&ttou, SIGTTOU);
		sigprocmask(SIG_BLOCK, &ttou, &old);
		tcsetpgrp(g->tty, g->group);
		sigprocmask(SIG_SETMASK, &old, NULL);
	}
}
