/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `sluice run --workdir` does and says once the command has ended.
 */
#include <errno.h>
#include <string.h>

#include "cli/changes.h"
#include "cli/cli.h"
#include "cli/run.h"

static enum changes_format format_of(const struct run *r)
{
	return r->json ? CHANGES_JSON : r->nul ? CHANGES_NUL : CHANGES_LINES;
}

int report_branch(const struct run *r, struct sluice_sandbox *s, const struct sluice_result *result)
{
	struct sluice_cow *cow = sluice_sandbox_cow(s);
	struct sluice_error err = { 0 };
	char name[256];
	int kept;

	if (!cow)
		return result->exit_code;
	strncpy(name, sluice_cow_name(cow), sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	if (r->dry_run && changes_write(cow, format_of(r), stdout, &err) < 0) {
		cli_print_error(&err, !r->quiet);
		sluice_sandbox_settle(s, SLUICE_COW_ABORT, NULL, NULL, NULL);
		return CLI_FAILURE;
	}
	kept = sluice_sandbox_settle(s, r->dry_run ? SLUICE_COW_ABORT : -1, NULL, NULL, &err);
	if (kept == 0)
		return result->exit_code;
	cli_print_error(&err, !r->quiet);
	if (kept > 0)
		fprintf(stderr, "sluice: %d change%s not committed: sluice cow show %s\n", kept,
			kept > 1 ? "s were" : " was", name);
	return result->exit_code ? result->exit_code : CLI_FAILURE;
}
