/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin: counts system calls, and how many of them failed because somebody refused them.
 *
 *	sluice run --plugin ./plugin_count.so:openat,connect -- make
 *
 * After the run it prints a line for each call to stderr. With FILE=calls the lines are appended to that file, e.g.
 * plugin_count.so:counts.txt=openat. Its handlers are observers: they are told the outcome and change nothing.
 */
#include <sluice/plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_CALLS 32
#define USAGE "write plugin_count.so:openat,connect or plugin_count.so:FILE=openat"

struct count {
	atomic_ulong calls, refused;
};

static struct count counts[MAX_CALLS];
static struct sluice_handler handlers[MAX_CALLS];
static size_t n_handlers;
static int out = STDERR_FILENO;

const uint32_t sluice_plugin_abi = SLUICE_PLUGIN_ABI;

/* Called on engine threads, several at once. */
static struct sluice_verdict count(struct sluice_request *req, void *userdata)
{
	struct count *c = userdata;
	struct sluice_outcome outcome;

	sluice_request_outcome(req, &outcome);
	atomic_fetch_add(&c->calls, 1);
	if (outcome.kind == SLUICE_ERRNO || outcome.kind == SLUICE_DENY)
		atomic_fetch_add(&c->refused, 1);
	return sluice_continue();
}

static void print_counts(void *userdata)
{
	(void)userdata;
	for (size_t i = 0; i < n_handlers; i++)
		dprintf(out, "plugin_count: %s: %lu calls, %lu refused\n",
			sluice_syscall_name(handlers[i].nr), atomic_load(&counts[i].calls),
			atomic_load(&counts[i].refused));
	if (out != STDERR_FILENO)
		close(out);
}

/* Handlers can't open files that the sandbox does not grant, so it is opened before. */
static int open_output(const char *file, size_t len, struct sluice_error *err)
{
	char *path = strndup(file, len);

	out = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
	if (out < 0)
		snprintf(err->text, sizeof(err->text), "%.*s: %s", (int)len, file, strerror(errno));
	free(path);
	return out < 0 ? -EIO : 0;
}

static int add_call(const char *name, struct sluice_error *err)
{
	int nr = sluice_syscall_number(name);

	if (nr < 0 || n_handlers == MAX_CALLS) {
		snprintf(err->text, sizeof(err->text),
			 nr < 0 ? "%s: no such system call" : "%s: too many calls", name);
		snprintf(err->hint, sizeof(err->hint), USAGE);
		return -EINVAL;
	}
	handlers[n_handlers] = (struct sluice_handler){
		.name = "plugin_count",
		.nr = nr,
		.flags = SLUICE_OBSERVER,
		.fn = count,
		.userdata = &counts[n_handlers],
	};
	n_handlers++;
	return 0;
}

int sluice_plugin_init(const char *args, struct sluice_plugin *ret, struct sluice_error *err)
{
	const char *equals = strrchr(args, '=');
	char *calls, *save = NULL, *name;
	int r = equals ? open_output(args, (size_t)(equals - args), err) : 0;

	if (r < 0)
		return r;
	calls = strdup(equals ? equals + 1 : args);
	name = calls ? strtok_r(calls, ",", &save) : NULL;
	if (!name) {
		snprintf(err->text, sizeof(err->text), "no call is named");
		snprintf(err->hint, sizeof(err->hint), USAGE);
		r = -EINVAL;
	}
	for (; r == 0 && name; name = strtok_r(NULL, ",", &save))
		r = add_call(name, err);
	free(calls);
	if (r < 0)
		return r;
	ret->handlers = handlers;
	ret->n_handlers = n_handlers;
	ret->fini = print_counts;
	return 0;
}
