/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sluice ps: the sandboxes that this user runs.
 */
#define _GNU_SOURCE
#include <errno.h>
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

#define COMMAND_BYTES 4096

static const struct option_entry entries[] = {
	{ "json", 0, false, false, NULL, "off, text",
	  "one JSON object: {\"sandboxes\":[{\"name\",\"pid\",\"command_pid\",\"since\",\"running_ms\",\"command\"}],\"silent\":[{\"pid\",\"state\"}]}",
	  NULL, 0 },
};
static const struct option_table table = { "ps", entries, sizeof(entries) / sizeof(entries[0]) };

static int print_json(const struct running_list *l)
{
	json_t *sandboxes = json_array(), *silent = json_array(), *all;
	_cleanup_free_ char *text = NULL;

	for (size_t i = 0; i < l->n; i++) {
		const struct running *r = &l->items[i];
		const char state[2] = { r->state };

		if (r->summary)
			json_array_append(sandboxes, r->summary);
		else
			json_array_append_new(silent, json_pack("{s:i, s:s}", "pid", (int)r->pid,
								"state", state));
	}
	all = json_pack("{s:o, s:o}", "sandboxes", sandboxes, "silent", silent);
	text = jsontext_dump(all);
	json_decref(all);
	if (!text)
		return -ENOMEM;
	puts(text);
	return 0;
}

static int width_of_names(const struct running_list *l)
{
	char name[SHOW_NAME_BYTES];
	size_t width = strlen("NAME");

	for (size_t i = 0; i < l->n; i++) {
		size_t n = show_text(l->items[i].summary, "name", name, sizeof(name));

		width = n > width ? n : width;
	}
	return (int)width;
}

static void print_text(const struct running_list *l)
{
	char since[SHOW_TIME_BYTES], name[SHOW_NAME_BYTES], command[COMMAND_BYTES];
	int width = width_of_names(l);

	printf("%-*s %8s %8s %-19s %s\n", width, "NAME", "PID", "COMMAND", "SINCE", "COMMAND LINE");
	for (size_t i = 0; i < l->n; i++) {
		const json_t *s = l->items[i].summary;

		if (!s)
			continue;
		show_text(s, "name", name, sizeof(name));
		show_time(jsontext_number(s, "since"), since);
		show_words(json_object_get(s, "command"), command, sizeof(command));
		printf("%-*s %8d %8.0f %-19s %s\n", width, name, (int)l->items[i].pid,
		       jsontext_number(s, "command_pid"), since, command);
	}
	for (size_t i = 0; i < l->n; i++) {
		const struct running *r = &l->items[i];

		if (!r->summary)
			fprintf(stderr,
				"sluice: process %d has the mark of a sandbox's supervisor, but does not answer%s\n",
				(int)r->pid, r->state == 'T' ? ": it is stopped" : "");
	}
}

int cli_ps(int argc, char *argv[])
{
	struct running_list l = { 0 };
	struct sluice_error err = { 0 };
	bool json = false;
	int e = options_parse(&table, argc, argv, &json, &err);

	if (e >= 0 && e < argc) {
		e = fail(&err, -EINVAL, "ps: %s: takes no arguments", argv[e]);
		fail_hint(&err, e, "sluice ps [--json]; sluice inspect NAME tells of one");
	}
	if (e >= 0)
		e = ask_everybody(&l, &err);
	if (e < 0)
		return cli_fail(&err);
	if (json)
		e = print_json(&l);
	else
		print_text(&l);
	running_list_fini(&l);
	if (e == 0 && fflush(stdout) != 0)
		e = -errno;
	if (e < 0)
		fail_errno(&err, e, "ps: standard output");
	return e < 0 ? cli_fail(&err) : CLI_OK;
}

void cli_ps_help(void)
{
	fputs("Usage: sluice ps [--json]\n"
	      "\n"
	      "List the sandboxes that this user runs: name, process of `sluice run`, process of\n"
	      "the command, since when, and the command line.\n"
	      "\n"
	      "Flags:\n",
	      stdout);
	options_help(&table, stdout);
}
