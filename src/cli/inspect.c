/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sluice inspect: what a running sandbox may do, and what it does at the moment.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/show.h"
#include "util/cleanup.h"
#include "util/fail.h"
#include "util/jsontext.h"

#define LINE_BYTES (4 * PATH_MAX)

static const struct option_entry entries[] = {
	{ "json", 0, false, false, NULL, "off, text", "one JSON object, with all that is known",
	  NULL, 0 },
};
static const struct option_table table = { "inspect", entries,
					   sizeof(entries) / sizeof(entries[0]) };

__attribute__((format(printf, 2, 3))) static void line(const char *what, const char *fmt, ...)
{
	va_list ap;

	printf("%-12s ", what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* The string behind @key, quoted, on a line of its own; none where there is none. */
static void text_line(const char *what, const json_t *object, const char *key)
{
	char text[LINE_BYTES];

	if (show_text(object, key, text, sizeof(text)))
		line(what, "%s", text);
}

/* ---- policy ---- */

static void print_grants(const json_t *policy)
{
	static const char *const kinds[] = { "read", "write", "list", "device" };
	const json_t *g, *grants = json_object_get(policy, "grants");
	char path[LINE_BYTES];
	size_t i;

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		bool any = false;

		json_array_foreach(grants, i, g) {
			if (strcmp(jsontext_text(g, "access"), kinds[k]) != 0)
				continue;
			if (!any)
				printf("%-12s", kinds[k]);
			any = true;
			show_text(g, "path", path, sizeof(path));
			printf(" %s", path);
		}
		if (any)
			putchar('\n');
	}
	if (json_array_size(json_object_get(policy, "denials"))) {
		show_words(json_object_get(policy, "denials"), path, sizeof(path));
		line("denied", "%s", path);
	}
}

static void print_tree(const json_t *policy)
{
	const json_t *m, *cow = json_object_get(policy, "cow");
	char at[LINE_BYTES], host[LINE_BYTES];
	size_t i;

	text_line("root", policy, "root");
	json_array_foreach(json_object_get(policy, "mounts"), i, m) {
		show_text(m, "at", at, sizeof(at));
		show_text(m, "host", host, sizeof(host));
		line("mount", "%s: %s (%s)", at, host, jsontext_text(m, "access"));
	}
	if (json_is_object(cow)) {
		show_text(cow, "workdir", at, sizeof(at));
		line("changes of", "%s: %s at the end, %s on error", at,
		     jsontext_text(cow, "on_exit"), jsontext_text(cow, "on_error"));
		text_line("branch", cow, "branch");
		if (json_array_size(json_object_get(cow, "lowers"))) {
			show_words(json_object_get(cow, "lowers"), at, sizeof(at));
			line("on top of", "%s", at);
		}
	}
	text_line("cwd", policy, "cwd");
	line("/proc", "%s", jsontext_text(policy, "proc"));
}

static void print_network(const json_t *policy)
{
	const json_t *t, *n = json_object_get(policy, "network");
	char words[LINE_BYTES], host[LINE_BYTES];
	size_t i;

	if (!json_is_object(n)) {
		line("network", "none");
		return;
	}
	json_array_foreach(json_object_get(n, "targets"), i, t) {
		show_words(json_object_get(t, "protocols"), words, sizeof(words));
		show_text(t, "host", host, sizeof(host));
		line("network", "%s %s, ports %s: %s", words, host, jsontext_text(t, "ports"),
		     jsontext_text(n, "targets_are"));
	}
	if (json_array_size(json_object_get(n, "binds"))) {
		show_words(json_object_get(n, "binds"), words, sizeof(words));
		line("bind", "%s: %s%s", words, jsontext_text(n, "binds_are"),
		     json_is_true(json_object_get(n, "port_remap")) ? ", remapped where taken"
								    : "");
	}
}

static void print_limits(const json_t *policy)
{
	static const struct {
		const char *key, *what;
		double unit;
	} known[] = {
		{ "memory", "MiB of memory", 1 << 20 },
		{ "processes", "processes", 1 },
		{ "cpu_percent", "% of a processor", 1 },
		{ "open_files", "open files each", 1 },
		{ "timeout_ms", "s", 1000 },
	};
	const json_t *limits = json_object_get(policy, "limits");
	bool any = false;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		double n = jsontext_number(limits, known[i].key);

		if (n == 0)
			continue;
		printf(any ? ", " : "%-12s ", "limits");
		printf("%.7g %s", n / known[i].unit, known[i].what);
		any = true;
	}
	if (any)
		putchar('\n');
}

/* ---- now ---- */

static void print_times(const json_t *all)
{
	const json_t *left = json_object_get(all, "time_left_ms");
	char since[SHOW_TIME_BYTES];

	show_time(jsontext_number(all, "since"), since);
	line("since", "%s, %.1f s", since, jsontext_number(all, "running_ms") / 1e3);
	if (json_is_integer(left))
		line("time left", "%.1f s", (double)json_integer_value(left) / 1e3);
}

static void print_ports(const json_t *all)
{
	size_t i;
	json_t *p;

	json_array_foreach(json_object_get(all, "ports"), i, p)
		line("port", "%s %.0f is %.0f outside", jsontext_text(p, "protocol"),
		     jsontext_number(p, "virtual"), jsontext_number(p, "real"));
}

static void print_processes(const json_t *all)
{
	const json_t *list = json_object_get(all, "processes");
	double left = jsontext_number(all, "n_processes") - (double)json_array_size(list);
	char name[SHOW_NAME_BYTES];
	size_t i;
	json_t *p;

	printf("\n%8s %8s %s %7s %10s %9s %s\n", "PID", "PARENT", "S", "THREADS", "CPU s", "MiB",
	       "NAME");
	json_array_foreach(list, i, p) {
		show_text(p, "name", name, sizeof(name));
		printf("%8.0f %8.0f %s %7.0f %10.2f %9.1f %s\n", jsontext_number(p, "pid"),
		       jsontext_number(p, "parent"), jsontext_text(p, "state"),
		       jsontext_number(p, "threads"), jsontext_number(p, "cpu_us") / 1e6,
		       jsontext_number(p, "resident_bytes") / (1 << 20), name);
	}
	if (left > 0)
		printf("... and %.0f more\n", left);
}

static void print_text(const json_t *all)
{
	const json_t *policy = json_object_get(all, "policy");
	const json_t *stats = json_object_get(all, "stats");
	char command[LINE_BYTES];

	text_line("name", all, "name");
	line("supervisor", "process %.0f", jsontext_number(all, "pid"));
	show_words(json_object_get(all, "command"), command, sizeof(command));
	line("command", "process %.0f: %s", jsontext_number(all, "command_pid"), command);
	print_times(all);
	line("calls", "%.0f supervised, %.0f denied", jsontext_number(stats, "notifications"),
	     jsontext_number(stats, "denied"));
	text_line("directory", all, "directory");
	print_tree(policy);
	print_grants(policy);
	print_network(policy);
	print_ports(all);
	print_limits(policy);
	print_processes(all);
}

static int print_json(const json_t *all)
{
	_cleanup_free_ char *text = jsontext_dump(all);

	if (!text)
		return -ENOMEM;
	puts(text);
	return 0;
}

static int inspect(const char *name, bool json, struct sluice_error *err)
{
	struct sluice_error inner = { 0 };
	struct running r = { .wake = -1 };
	json_t *all = NULL;
	int e = ask_for("inspect", name, &r, err);

	if (e < 0)
		return e;
	e = ask(&r, RUNNING_ALL, 0, &all, &inner);
	running_fini(&r);
	if (e < 0)
		return ask_failed("inspect", name, e, &inner, err);
	if (json)
		e = print_json(all);
	else
		print_text(all);
	json_decref(all);
	if (e == 0 && fflush(stdout) != 0)
		e = -errno;
	return e < 0 ? fail_errno(err, e, "inspect: standard output") : 0;
}

int cli_inspect(int argc, char *argv[])
{
	struct sluice_error err = { 0 };
	bool json = false;
	int rest = options_parse(&table, argc, argv, &json, &err), e = rest;

	if (rest >= 0)
		e = ask_name("inspect", argc - rest, argv + rest, &err);
	if (e == 0)
		e = inspect(argv[rest], json, &err);
	return e < 0 ? cli_fail(&err) : CLI_OK;
}

void cli_inspect_help(void)
{
	fputs("Usage: sluice inspect [--json] NAME\n"
	      "\n"
	      "Say what the sandbox NAME may do (files, network, limits), what time it has left,\n"
	      "which of its ports are others outside, how many calls were supervised, and which\n"
	      "processes it has. NAME is one that `sluice ps` lists, or the number of its\n"
	      "process.\n"
	      "\n"
	      "Flags:\n",
	      stdout);
	options_help(&table, stdout);
}
