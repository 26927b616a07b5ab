/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sluice kill: end a sandbox by its name, or send its command a signal.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/signals.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fail.h"
#include "util/parse.h"

/* Beyond the time after which the tree is killed: what is left is to settle a branch and to report. */
#define END_MS (SIGNALS_GRACE_MS + 10000)

struct kill {
	int signal;
};

/* TERM, SIGTERM or 15. */
static int set_signal(void *target, const char *value, struct sluice_error *err)
{
	struct kill *k = target;
	const char *name = strncasecmp(value, "SIG", 3) != 0 ? value : value + 3;
	unsigned number;

	if (parse_uint(value, NSIG - 1, &number) == 0 && number > 0) {
		k->signal = (int)number;
		return 0;
	}
	for (int s = 1; s < NSIG; s++) {
		const char *known = sigabbrev_np(s);

		if (!known || strcasecmp(name, known) != 0)
			continue;
		k->signal = s;
		return 0;
	}
	fail(err, -EINVAL, "%s: no such signal", value);
	return fail_hint(err, -EINVAL, "a name as `kill -l` lists them, or a number up to %d",
			 NSIG - 1);
}

static const struct option_entry entries[] = {
	{ "signal", 's', false, false, "SIGNAL", "TERM",
	  "send this one; TERM, INT, HUP and KILL end the sandbox, others go to its command",
	  set_signal, 0 },
};
static const struct option_table table = { "kill", entries, sizeof(entries) / sizeof(entries[0]) };

/* Until the process of @pidfd has ended, for END_MS. */
static bool wait_for_end(int pidfd)
{
	const uint64_t end = clock_now_ns() + END_MS * UINT64_C(1000000);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	for (;;) {
		uint64_t now = clock_now_ns();

		if (now >= end)
			return false;
		if (poll(&p, 1, (int)((end - now) / 1000000) + 1) > 0)
			return true;
	}
}

static int send_it(const struct running *r, const char *name, int signal, struct sluice_error *err)
{
	/* of the process that answers afterwards, so its number was not somebody else's */
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
	struct sluice_error inner = { 0 };
	json_t *answer = NULL;
	int e = pidfd < 0 ? fail_errno(&inner, -errno, "process %d", (int)r->pid)
			  : ask(r, RUNNING_SIGNAL, signal, &answer, &inner);

	json_decref(answer);
	if (e < 0)
		return ask_failed("kill", name, e, &inner, err);
	if ((signal != SIGKILL && !signals_end(signal)) || wait_for_end(pidfd))
		return 0;
	fail(err, -ETIMEDOUT, "kill: %s: process %d was told, and has not ended after %d s", name,
	     (int)r->pid, END_MS / 1000);
	return fail_hint(err, -ETIMEDOUT, "kill -KILL %d ends it, whatever it is at", (int)r->pid);
}

int cli_kill(int argc, char *argv[])
{
	struct kill k = { .signal = SIGTERM };
	struct sluice_error err = { 0 };
	struct running r = { .wake = -1 };
	int rest = options_parse(&table, argc, argv, &k, &err), e = rest;

	if (rest >= 0)
		e = ask_name("kill", argc - rest, argv + rest, &err);
	if (e == 0)
		e = ask_for("kill", argv[rest], &r, &err);
	if (e == 0) {
		e = send_it(&r, argv[rest], k.signal, &err);
		running_fini(&r);
	}
	return e < 0 ? cli_fail(&err) : CLI_OK;
}

void cli_kill_help(void)
{
	fputs("Usage: sluice kill [--signal SIGNAL] NAME\n"
	      "\n"
	      "End the sandbox NAME: its command gets SIGTERM, and after 5 seconds, or when it has\n"
	      "ended, all that is left of the sandbox is killed. Returns when `sluice run` has\n"
	      "ended. NAME is one that `sluice ps` lists, or the number of its process.\n"
	      "\n"
	      "Flags:\n",
	      stdout);
	options_help(&table, stdout);
	fputs("\nExit status: 0; 125 when there is no such sandbox, or it could not be told.\n",
	      stdout);
}
