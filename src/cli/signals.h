/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals and job control of `sluice run`: what is sent to us goes to the command, what a terminal sends reaches it anyway, and when it stops we stop, so
 * that a shell sees one job.
 *
 * Handlers are set before the command is started and only write to a pipe; the mask is never touched, so the command inherits it, and
 * what was ignored stays ignored. Main thread; one at a time in a process.
 */
#ifndef SLUICE_CLI_SIGNALS_H
#define SLUICE_CLI_SIGNALS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <sluice/error.h>
#include <sluice/sandbox.h>

/* From the first TERM, INT or HUP until the whole tree is killed. */
#define SIGNALS_GRACE_MS 5000

struct signals {
	int read_fd;	  /* of the handlers' pipe */
	int stops[2];	  /* the library writes the signals that stop the command */
	int tty;	  /* terminal on which we were in the foreground at the start, or -1 */
	pid_t group;	  /* our own */
	int ending;	  /* the first TERM, INT or HUP, 0 before it */
	uint64_t ends_ns; /* when the tree is killed for it */
	uint64_t last_ns; /* when the last of them came */
	bool stop_sent;	  /* we forwarded a stop */
	bool continued;	  /* we were stopped, and a SIGCONT has ended that */
};

int signals_init(struct signals *g, struct sluice_error *err);

/* What to poll for while @s runs; the first one is readable when it has ended. Returns how many of @fds are set. */
#define SIGNALS_FDS 3
size_t signals_watch(const struct signals *g, const struct sluice_sandbox *s,
		     struct pollfd fds[SIGNALS_FDS]);
/* How long poll may take at most, in ms, or -1. Ends the tree when its time has come. */
int signals_patience_ms(struct signals *g, struct sluice_sandbox *s);
/* Pass on what has come. */
void signals_serve(struct signals *g, struct sluice_sandbox *s);
/* Is @signal one by which the whole tree is to end, and not the command's alone? */
bool signals_end(int signal);
/* As if somebody had sent @signal to us; SIGKILL ends the tree. 0, or -ESRCH: it has ended; -EINVAL. */
int signals_send(struct signals *g, struct sluice_sandbox *s, int signal);
/* Give the terminal back if a group of the tree, now gone, had it. */
void signals_fini(struct signals *g);

#endif
