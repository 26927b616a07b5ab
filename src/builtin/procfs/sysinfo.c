/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysinfo(2), and how much the sandbox runs: as /proc/loadavg and /proc/meminfo have it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "builtin/procfs/internal.h"
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

/* Processes that are still to be counted. */
struct queue {
	pid_t *list;
	size_t n, room;
};

static int add(struct queue *q, pid_t pid)
{
	if (q->n == q->room) {
		size_t room = q->room ? 2 * q->room : 64;
		pid_t *more = reallocarray(q->list, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		q->list = more;
		q->room = room;
	}
	q->list[q->n++] = pid;
	return 0;
}

/* The children that @thread of @pid has started, or that were left to it. -ENOENT: the kernel does not say, or the thread is gone. */
static int add_children(int root, pid_t pid, pid_t thread, struct queue *q)
{
	char name[64], text[4096];
	_cleanup_close_ int fd = -1;
	size_t kept = 0;
	ssize_t n;

	snprintf(name, sizeof(name), "%d/task/%d/children", (int)pid, (int)thread);
	fd = openat(root, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while ((n = read(fd, text + kept, sizeof(text) - 1 - kept)) > 0) {
		char *at = text, *end;

		text[kept + (size_t)n] = '\0';
		for (; (end = strchr(at, ' ')); at = end + 1) {
			int r = add(q, (pid_t)strtol(at, NULL, 10));

			if (r < 0)
				return r;
		}
		kept = strlen(at); /* a number that goes on */
		memmove(text, at, kept);
	}
	return 0;
}

static int add_children_of_all(int root, pid_t pid, struct queue *q)
{
	char name[32];
	struct dirent *e;
	DIR *d;
	int fd, r = 0;

	snprintf(name, sizeof(name), "%d/task", (int)pid);
	fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while ((r == 0 || r == -ENOENT) && (e = readdir(d))) {
		if (e->d_name[0] != '.')
			r = add_children(root, pid, (pid_t)strtol(e->d_name, NULL, 10), q);
	}
	closedir(d);
	return r == -ENOENT ? 0 : r;
}

/* Count @pid in; *ret_threads: how many it has, 0: it is gone. */
static void count_one(int root, pid_t pid, struct load *load, unsigned *ret_threads)
{
	char name[32];
	struct stat st;

	*ret_threads = 0;
	snprintf(name, sizeof(name), "%d/task", (int)pid);
	if (fstatat(root, name, &st, 0) < 0)
		return;
	*ret_threads = st.st_nlink > 2 ? (unsigned)st.st_nlink - 2 : 1;
	load->threads += *ret_threads;
	load->running += runs(root, pid);
	if (pid > load->last)
		load->last = pid;
}

/*
 * All that descends from init, generation by generation. A process that ends meanwhile may be missed with what it leaves to init: the number is one of a moment
 * anyway. No look at the host's processes is taken, which would cost milliseconds.
 */
static int count_tree(const struct ownproc *o, struct load *load)
{
	const int root = o->view.root;
	pid_t init = atomic_load_explicit(&o->view.init, memory_order_relaxed);
	struct queue q = { 0 };
	int r = add_children(root, init, init, &q);

	for (size_t i = 0; r == 0 && i < q.n; i++) {
		unsigned threads;

		count_one(root, q.list[i], load, &threads);
		if (threads == 1)
			r = add_children(root, q.list[i], q.list[i], &q);
		else if (threads)
			r = add_children_of_all(root, q.list[i], &q);
		if (r == -ENOENT)
			r = 0;
	}
	free(q.list);
	return r;
}

struct counting {
	const struct ownproc *o;
	struct load *load;
};

static int count_listed(pid_t pid, void *arg)
{
	const struct counting *c = arg;
	unsigned threads;

	count_one(c->o->view.root, pid, c->load, &threads);
	return 0;
}

int load_count(const struct ownproc *o, struct load *ret)
{
	struct counting c = { o, ret };
	int r;

	*ret = (struct load){ 0 };
	r = count_tree(o, ret);
	if (r == -ENOENT) /* a kernel without lists of children */
		r = procfs_each_process(&o->view, count_listed, &c);
	ret->running +=
		!ret->running; /* who asks is stopped for the answer, and runs as far as it knows */
	return r;
}

struct sluice_verdict sysinfo_handle(struct sluice_request *req, void *ownproc)
{
	const struct ownproc *o = ownproc;
	struct sysinfo info;
	struct load load = { 0 };
	int r = sysinfo(&info) < 0 ? -errno : load_count(o, &load);

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
