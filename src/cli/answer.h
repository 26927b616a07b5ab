/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's side of running.h: `sluice run` answers who asks about it, on its main thread, which has nothing else to do while the command runs. Nothing of a
 * call's way comes here, and nothing happens before somebody asks. Whoever asks and does not read holds up nobody: what a pipe does not take at once waits for a
 * moment, and is dropped then.
 */
#ifndef SLUICE_CLI_ANSWER_H
#define SLUICE_CLI_ANSWER_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/sluice.h>

#include "cli/signals.h"

#define ANSWERS_PENDING 8
/* Descriptors that answers_watch may name. */
#define ANSWERS_FDS (1 + ANSWERS_PENDING)

/* What an asker's pipe has not taken yet. */
struct answer {
	int fd;
	char *text; /* owned */
	size_t bytes, at;
	uint64_t until_ns;
};

struct answers {
	/* borrowed until answers_end */
	struct sluice_policy *policy;
	const char *const *argv;
	struct signals *signals;
	struct sluice_sandbox *sandbox;

	int mark;    /* -1: there is none */
	int pipe[2]; /* stays open until the process ends, whose end its askers see by that */
	uint64_t since_ms, started_ns;
	struct answer pending[ANSWERS_PENDING];
	size_t n_pending;
};

/* Let @a be found. -errno: it is not, and the others do nothing. */
int answers_begin(struct answers *a);
/* What to poll for, beside others. Returns how many of @fds are set. */
size_t answers_watch(const struct answers *a, struct pollfd fds[ANSWERS_FDS]);
/* Answer what has been asked. Never waits. */
void answers_serve(struct answers *a);
/* The sandbox has ended: be found no more. */
void answers_end(struct answers *a);

#endif
