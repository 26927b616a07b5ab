/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/process/process.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include "confine/confinement.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "sys/pidfd.h"
#include "task/descendants.h"

struct process {
	const pid_t *top;
};

/* The argument that has the number. */
static unsigned number_arg(int nr)
{
	return nr == SYS_setpriority || nr == SYS_ioprio_set ? 1 : 0;
}

/*
 * The caller itself stays what it is while it is stopped; another thread of it may end, and its number go to somebody else before the kernel looks, which
 * takes as many new processes as there are numbers. So limits, which can end a process, are the caller's own only.
 */
static int check_own(struct sluice_request *req, const struct process *p, pid_t number)
{
	pid_t process = sluice_request_tgid(req);

	if (process < 0)
		return process;
	if (number == 0 || number == process || number == sluice_request_tid(req))
		return 0;
	if (number < 0 || sluice_request_nr(req) == SYS_prlimit64)
		return -EPERM;
	if (thread_is_of(number, process))
		return 0;
	if (sluice_request_nr(req) != SYS_sched_setaffinity)
		return -EPERM;
	return descendants_check_thread(*p->top, number);
}

/* A look at another's limits is the kernel's to refuse. */
static bool only_looks(const struct sluice_request *req)
{
	return sluice_request_nr(req) == SYS_prlimit64 && !sluice_request_arg(req, 2);
}

static struct sluice_verdict process_handle(struct sluice_request *req, void *userdata)
{
	const struct process *p = userdata;
	int nr = sluice_request_nr(req), r = 0;

	if (!only_looks(req))
		r = check_own(req, p, (pid_t)sluice_request_arg(req, number_arg(nr)));
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

int builtin_process_register(struct dispatch *d, const struct sluice_policy *p, const pid_t *top)
{
	static const int calls[] = { SYS_setpriority,	 SYS_ioprio_set,    SYS_sched_setscheduler,
				     SYS_sched_setparam, SYS_sched_setattr, SYS_sched_setaffinity,
				     SYS_prlimit64 };
	struct process *process = malloc(sizeof(*process));
	int r;

	if (!process)
		return -ENOMEM;
	*process = (struct process){ top };
	r = dispatch_own(d, process, free);

	for (size_t i = 0; r == 0 && i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct sluice_handler h =
			sluice_handler_make("process", calls[i], process_handle, process);

		if (confine_call_keeps_condition(p, calls[i]))
			r = dispatch_add_where_refused(d, &h);
	}
	return r;
}
