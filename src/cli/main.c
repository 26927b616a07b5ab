/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sluice command: finds the subcommand. What each does is in a file of its name.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sluice/sluice.h>

#include "cli/cli.h"
#include "util/fail.h"

static const struct command {
	const char *name, *summary;
	cli_main_fn run;
	void (*help)(void);
} commands[] = {
	{ "run", "run a command in a sandbox", cli_run, cli_run_help },
	{ "check", "what this kernel and container allow, and what to do about it", cli_check,
	  cli_check_help },
	{ "ps", "the sandboxes that run", cli_ps, cli_ps_help },
	{ "inspect", "what one of them may do, and what it does", cli_inspect, cli_inspect_help },
	{ "kill", "end one of them", cli_kill, cli_kill_help },
	{ "cow", "the copy-on-write branches that were kept", cli_cow, cli_cow_help },
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

void cli_print_error(const struct sluice_error *err, bool hint)
{
	fprintf(stderr, "sluice: %s\n", err->text);
	if (hint && err->hint[0])
		fprintf(stderr, "sluice: hint: %s\n", err->hint);
}

int cli_fail(const struct sluice_error *err)
{
	cli_print_error(err, true);
	return CLI_FAILURE;
}

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	}
	return NULL;
}

static int command_unknown(const char *name)
{
	struct sluice_error err = { 0 };

	fail(&err, -EINVAL, "%s: no such command", name);
	fail_hint(&err, -EINVAL, "`sluice help` lists them; to run a program: sluice run -- %s",
		  name);
	return cli_fail(&err);
}

static void usage(FILE *out)
{
	fputs("Usage: sluice COMMAND [FLAGS]\n\n", out);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fputs("  help       this, or `sluice help COMMAND`\n"
	      "\n"
	      "  --version  of the command and of the library in use\n"
	      "  --help     this\n",
	      out);
}

static int help(const char *name)
{
	const struct command *c;

	if (!name) {
		usage(stdout);
		return CLI_OK;
	}
	c = command_find(name);
	if (!c)
		return command_unknown(name);
	c->help();
	return CLI_OK;
}

/* --help or -h before the command of `sluice run` and the like. */
static bool asks_for_help(const char *word)
{
	return word && (!strcmp(word, "--help") || !strcmp(word, "-h"));
}

static int version(void)
{
	printf("sluice %d.%d.%d (libsluice %s)\n", SLUICE_VERSION_MAJOR, SLUICE_VERSION_MINOR,
	       SLUICE_VERSION_PATCH, sluice_version());
	return CLI_OK;
}

int main(int argc, char *argv[])
{
	const struct command *c;

	if (argc < 2) {
		usage(stderr);
		return CLI_FAILURE;
	}
	if (!strcmp(argv[1], "--version"))
		return version();
	if (!strcmp(argv[1], "help") || asks_for_help(argv[1]))
		return help(argc > 2 ? argv[2] : NULL);
	c = command_find(argv[1]);
	if (!c)
		return command_unknown(argv[1]);
	if (asks_for_help(argv[2]))
		return help(c->name);
	return c->run(argc - 1, argv + 1);
}
