/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a sandbox, as procfs has them. On the caller's thread: whoever does not ask pays nothing.
 */
#include <errno.h>
#include <string.h>

#include "sandbox/sandbox.h"
#include "task/descendants.h"
#include "task/usage.h"

struct listing {
	struct sluice_process *ret;
	size_t max, n;
};

static int add_process(pid_t pid, void *listing)
{
	struct listing *l = listing;
	struct sluice_process *p;
	struct usage_now now;

	if (usage_now(pid, &now) < 0)
		return 0; /* it has gone */
	if (l->n >= l->max)
		return 1;
	p = &l->ret[l->n++];
	*p = (struct sluice_process){
		.pid = pid,
		.parent = now.parent,
		.state = now.state,
		.threads = now.threads,
		.cpu_us = now.cpu_ns / 1000,
		.resident_bytes = now.resident_bytes,
	};
	memcpy(p->name, now.name, sizeof(p->name));
	return 1;
}

/* init's number while it is not reaped; 0 otherwise. */
static pid_t init_of(struct sluice_sandbox *s)
{
	pid_t init;

	pthread_mutex_lock(&s->lock);
	init = s->signalable ? s->launch.init_pid : 0;
	pthread_mutex_unlock(&s->lock);
	return init;
}

int sluice_sandbox_processes(struct sluice_sandbox *s, struct sluice_process *ret, size_t max)
{
	struct listing l = { .ret = ret, .max = max };
	pid_t init = init_of(s);
	int n = init ? descendants_check() : 0;

	if (!init || n < 0)
		return n;
	n = descendants_each(init, add_process, &l);
	return init_of(s) ? n : 0; /* else somebody else may have had the number */
}
