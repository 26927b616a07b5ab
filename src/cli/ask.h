/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other side of running.h: finding the sandboxes that this user runs, and asking their supervisors.
 */
#ifndef SLUICE_CLI_ASK_H
#define SLUICE_CLI_ASK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <sluice/error.h>

#include "cli/running.h"

/* Until a supervisor is thought not to answer. */
#define ASK_PATIENCE_MS 3000

/* One with the mark of a supervisor. It is one when it has answered. */
struct running {
	pid_t pid;
	int wake; /* its pipe, for writing, in error once the process has ended; -1 of those of ask_everybody */
	json_t *summary; /* of RUNNING_SUMMARY; NULL: no answer came */
	char state;	 /* of a process that did not answer, as in /proc/PID/stat */
};

struct running_list {
	struct running *items;
	size_t n, room;
};

/* All that run as this user: those that answered, in the order of their processes' numbers, and those that did not. -errno. */
int ask_everybody(struct running_list *ret, struct sluice_error *err);
void running_list_fini(struct running_list *l);

/* The words behind the flags of @command must be one, NAME. -EINVAL. */
int ask_name(const char *command, int argc, char *const *argv, struct sluice_error *err);
/*
 * The one whose sandbox has the name @name, or whose process has that number. -ENOENT there is none, -ENOTUNIQ there are several: @err says which. @command: for errors.
 */
int ask_for(const char *command, const char *name, struct running *ret, struct sluice_error *err);
void running_fini(struct running *r);

/* Ask @r for @wish; *ret is its answer, for json_decref. -ETIMEDOUT, -ESRCH it has ended, -EPROTO; @err says it. */
int ask(const struct running *r, enum running_wish wish, int signal, json_t **ret,
	struct sluice_error *err);
/* What @inner says of @error, as @err of `sluice COMMAND NAME`. Returns @error. */
int ask_failed(const char *command, const char *name, int error, const struct sluice_error *inner,
	       struct sluice_error *err);

#endif
