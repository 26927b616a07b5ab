/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files on procfs show something else than the kernel's content, and what. Thread: a runner; nothing is kept.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builtin/procfs/internal.h"
#include "sys/fd.h"
#include "tree/tree.h"
#include "util/cleanup.h"

#define READ_FIRST (16u << 10)
#define READ_MAX (64u << 20) /* smaps of as many mappings as the kernel allows by default */

int content_read(int fd, char **ret)
{
	char link[FD_LINK_BYTES];
	_cleanup_close_ int in = open(fd_link(fd, link), O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t room = 0, done = 0;

	if (in < 0)
		return -errno;
	for (;;) {
		ssize_t n;

		if (done + 1 >= room) {
			char *more;

			room = room ? 2 * room : READ_FIRST;
			more = room > READ_MAX ? NULL : realloc(text, room);
			if (!more)
				return room > READ_MAX ? -EFBIG : -ENOMEM;
			text = more;
		}
		n = read(in, text + done, room - done - 1);
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
	}
	text[done] = '\0';
	*ret = TAKE_PTR(text);
	return 0;
}

/* ---- general files ---- */

static int cpuinfo(const struct content *c, FILE *out)
{
	_cleanup_free_ char *native = NULL;
	int r = content_read(c->fd, &native);

	if (r == 0)
		render_cpuinfo(out, native, c->o->cpus);
	return r;
}

static int stat_of_machine(const struct content *c, FILE *out)
{
	_cleanup_free_ char *native = NULL;
	int r = content_read(c->fd, &native);

	if (r == 0)
		render_stat(out, native, c->o->cpus, c->o->clock ? &c->o->boot_s : NULL);
	return r;
}

static int meminfo(const struct content *c, FILE *out)
{
	const struct sluice_memory_limit *m = &c->o->memory;
	_cleanup_free_ char *native = NULL;
	int r = content_read(c->fd, &native);

	if (r == 0)
		render_meminfo(out, native, m->bytes, m->used(m->userdata));
	return r;
}

static int loadavg(const struct content *c, FILE *out)
{
	_cleanup_free_ char *native = NULL;
	struct load load;
	int r = content_read(c->fd, &native);

	if (r == 0)
		r = load_count(c->o, &load);
	if (r == 0)
		render_loadavg(out, native, load.running, load.threads, load.last);
	return r;
}

static int hostname(const struct content *c, FILE *out)
{
	fprintf(out, "%s\n", c->o->name);
	return 0;
}

/* ---- a process's ---- */

static int cgroup(const struct content *c, FILE *out)
{
	_cleanup_free_ char *native = NULL;
	int r = content_read(c->fd, &native);

	if (r == 0)
		render_cgroup(out, native);
	return r;
}

static int status(const struct content *c, FILE *out)
{
	uint32_t mask[POLICY_CPUS_MAX / 32];
	_cleanup_free_ char *native = NULL;
	int r = cpus_of_thread(c->o, c->part.thread ? c->part.thread : c->part.process, mask);

	if (r == 0)
		r = content_read(c->fd, &native);
	if (r == 0)
		render_status(out, native, mask, c->o->cpus);
	return r;
}

/* The path inside. Of our own files a program is told no more than that they are no one's. */
static bool inside(void *arg, const char *path, char buf[PATH_MAX])
{
	const struct tree *tree = arg;
	const size_t n = strlen(tree->private_path);

	if (!strncmp(path, tree->private_path, n) && path[n] == '/') {
		strcpy(buf, "[sluice]");
		return true;
	}
	return view_path_of_host(tree->view, path, buf, PATH_MAX) >= 0 && strcmp(path, buf) != 0;
}

static int maps(const struct content *c, FILE *out)
{
	_cleanup_free_ char *native = NULL;
	int r = content_read(c->fd, &native);

	if (r == 0)
		render_maps(out, native, inside, (void *)(uintptr_t)c->o->tree);
	return r;
}

/* ---- which ---- */

enum needs {
	ALWAYS,
	CPUS, /* a number of them was set */
	CPUS_OR_CLOCK,
	MEMORY, /* there is a limit */
	TREE,	/* the command has one of its own */
};

static const struct {
	const char *name;
	bool process; /* of one, below its directory or that of a thread */
	enum needs needs;
	content_fn fn;
} contents[] = {
	{ "cpuinfo", false, CPUS, cpuinfo },
	{ "stat", false, CPUS_OR_CLOCK, stat_of_machine },
	{ "meminfo", false, MEMORY, meminfo },
	{ "loadavg", false, ALWAYS, loadavg },
	{ "sys/kernel/hostname", false, ALWAYS, hostname },
	{ "cgroup", true, ALWAYS, cgroup },
	{ "status", true, CPUS, status },
	{ "maps", true, TREE, maps },
	{ "smaps", true, TREE, maps },
	{ "numa_maps", true, TREE, maps },
	{ "mounts", true, TREE, content_mounts },
	{ "mountinfo", true, TREE, content_mounts },
	{ "mountstats", true, TREE, content_mounts },
};

static bool is_needed(const struct ownproc *o, enum needs needs)
{
	switch (needs) {
	case CPUS:
		return o->cpus;
	case CPUS_OR_CLOCK:
		return o->cpus || o->clock;
	case MEMORY:
		return o->memory.bytes;
	case TREE:
		return o->tree;
	default:
		return true;
	}
}

content_fn content_of(const struct ownproc *o, const struct procfs_name *part)
{
	if (part->process && !strncmp(part->rest, "net/", 4))
		return content_net_table;
	for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
		if (contents[i].process == (part->process != 0) &&
		    !strcmp(contents[i].name, part->rest))
			return is_needed(o, contents[i].needs) ? contents[i].fn : NULL;
	}
	return NULL;
}
