/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sluice check: what this kernel and container allow, each lack with its remedy.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sluice/sluice.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "util/fail.h"
#include "util/quote.h"

#define MAX_PROBES 64

static const struct option_entry entries[] = {
	{ "json", 0, false, false, NULL, "off, text",
	  "one JSON object: {\"ok\",\"version\",\"probes\":[{\"name\",\"state\",\"detail\",\"remedy\"}]}",
	  NULL, 0 },
};
static const struct option_table table = { "check", entries, sizeof(entries) / sizeof(entries[0]) };

static const char *state_word(const struct sluice_probe *p)
{
	switch (p->state) {
	case SLUICE_PROBE_YES:
		return "yes";
	case SLUICE_PROBE_NO:
		return "no";
	default:
		return "required";
	}
}

static void print_json(const struct sluice_probe *p, int n, bool ok)
{
	char detail[sizeof(p->detail) * 6];

	printf("{\"ok\":%s,\"version\":\"%s\",\"probes\":[", ok ? "true" : "false",
	       sluice_version());
	for (int i = 0; i < n; i++) {
		quote_json(p[i].detail, strlen(p[i].detail), detail, sizeof(detail));
		printf("%s\n{\"name\":\"%s\",\"state\":\"%s\",\"detail\":\"%s\",\"remedy\":\"%s\"}",
		       i ? "," : "", p[i].name, state_word(&p[i]), detail, p[i].remedy);
	}
	puts("\n]}");
}

static void print_text(const struct sluice_probe *p, int n, bool ok)
{
	for (int i = 0; i < n; i++) {
		bool there = p[i].state == SLUICE_PROBE_YES;

		printf("%-8s %-28s %s\n",
		       there			       ? "ok"
		       : p[i].state == SLUICE_PROBE_NO ? "missing"
						       : "MISSING",
		       p[i].name, p[i].detail);
		if (!there)
			printf("%-8s %-28s -> %s\n", "", "", p[i].remedy);
	}
	puts(ok ? "sandboxes can run" : "sandboxes can't run without what is MISSING");
}

int cli_check(int argc, char *argv[])
{
	struct sluice_probe p[MAX_PROBES];
	struct sluice_error err = { 0 };
	bool json = false, ok = true;
	int rest = options_parse(&table, argc, argv, &json, &err), n;

	if (rest >= 0 && rest < argc) {
		rest = fail(&err, -EINVAL, "check: %s: takes no arguments", argv[rest]);
		fail_hint(&err, rest, "sluice check [--json]");
	}
	if (rest < 0)
		return cli_fail(&err);
	n = sluice_check(p, MAX_PROBES);
	if (n < 0) {
		fail_errno(&err, n, "check");
		return cli_fail(&err);
	}
	for (int i = 0; i < n; i++)
		ok &= p[i].state != SLUICE_PROBE_REQUIRED;
	if (json)
		print_json(p, n, ok);
	else
		print_text(p, n, ok);
	return ok ? CLI_OK : 1;
}

void cli_check_help(void)
{
	fputs("Usage: sluice check [--json]\n"
	      "\n"
	      "Try what sandboxes need of this kernel and container, and say for each lack what\n"
	      "to do. Exit status 0 when sandboxes can run, else 1.\n"
	      "\n"
	      "Flags:\n",
	      stdout);
	options_help(&table, stdout);
}
