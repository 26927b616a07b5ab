/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysinfo(2), and how much the sandbox runs: as /proc/loadavg and /proc/meminfo have it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "builtin/procfs/internal.h"
#include "task/descendants.h"
#include "util/cleanup.h"

/* Its state in /proc/PID/stat, behind the name in parentheses, which may hold anything. */
static bool runs(int root, pid_t pid)
{
	char name[32], text[256];
	const char *end;
	_cleanup_close_ int fd = -1;
	ssize_t n;

	snprintf(name, sizeof(name), "%d/stat", (int)pid);
	fd = openat(root, name, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	end = strrchr(text, ')');
	return end && end[1] == ' ' && end[2] == 'R';
}

struct counting {
	int root; /* -1: which of them run is not asked */
	struct load *load;
};

static int count_one(pid_t pid, void *counting)
{
	const struct counting *c = counting;
	const unsigned threads = descendants_threads(pid);

	if (!threads)
		return 0;
	c->load->threads += threads;
	c->load->running += c->root >= 0 && runs(c->root, pid);
	if (pid > c->load->last)
		c->load->last = pid;
	return 0;
}

/*
 * All that descends from init. A process that ends meanwhile may be missed with what it leaves to init: the number is one of a moment anyway. The host's processes,
 * which would cost milliseconds, are looked at only where the kernel has no lists of children.
 */
static int count(const struct ownproc *o, struct counting *c)
{
	const pid_t init = atomic_load_explicit(&o->view.init, memory_order_relaxed);

	return descendants_check() == 0 ? descendants_each(init, count_one, c)
					: procfs_each_process(&o->view, count_one, c);
}

int load_count(const struct ownproc *o, struct load *ret)
{
	struct counting c = { o->view.root, ret };
	int r;

	*ret = (struct load){ 0 };
	r = count(o, &c);
	ret->running +=
		!ret->running; /* who asks is stopped for the answer, and runs as far as it knows */
	return r;
}

struct sluice_verdict sysinfo_handle(struct sluice_request *req, void *ownproc)
{
	const struct ownproc *o = ownproc;
	struct sysinfo info;
	struct load load = { 0 };
	struct counting c = { -1, &load };
	int r = sysinfo(&info) < 0 ? -errno : count(o, &c);

	if (r < 0)
		return sluice_errno(-r);
	info.procs = (unsigned short)load.threads;
	if (o->memory.bytes) {
		uint64_t used = o->memory.used(o->memory.userdata);

		info.mem_unit = 1;
		info.totalram = o->memory.bytes;
		info.freeram = used < o->memory.bytes ? o->memory.bytes - used : 0;
		info.sharedram = info.bufferram = 0;
		info.totalswap = info.freeswap = 0;
		info.totalhigh = info.freehigh = 0;
	}
	r = request_plan_reply(req, "procfs", 0, sluice_request_arg(req, 0), &info, sizeof(info));
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}
