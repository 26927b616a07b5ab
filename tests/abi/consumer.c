/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program as an embedder writes it, in the common part of C99 and C++11: built against the installed tree only. Exit status 0: all was well.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sluice/sluice.h>

static struct sluice_verdict refuse(struct sluice_request *req, void *userdata)
{
	++*(unsigned long *)userdata;
	return sluice_request_nr(req) < 0 ? sluice_continue() : sluice_errno(EXDEV);
}

/* `uname` inside: it fails if the handler refuses the call. */
static int run(struct sluice_policy *policy, unsigned long *calls, int *status)
{
	const char *const argv[] = { "uname", "-n", NULL };
	struct sluice_handler handler;
	struct sluice_result result;
	struct sluice_error err;
	int r;

	memset(&handler, 0, sizeof(handler));
	memset(&err, 0, sizeof(err));
	handler.name = "refuse";
	handler.nr = sluice_syscall_number("uname");
	handler.fn = refuse;
	handler.userdata = calls;
	if (calls)
		r = sluice_run_with_extra_handlers(policy, argv, &handler, 1, &result, &err);
	else
		r = sluice_run(policy, argv, &result, &err);
	if (r < 0)
		printf("%s\n%s\n", err.text, err.hint);
	*status = r < 0 ? -1 : result.exit_code;
	return r;
}

int main(void)
{
	char version[32];
	struct sluice_policy *policy = sluice_policy_new();
	unsigned long calls = 0;
	int allowed, refused;

	snprintf(version, sizeof(version), "%d.%d.%d", SLUICE_VERSION_MAJOR, SLUICE_VERSION_MINOR,
		 SLUICE_VERSION_PATCH);
	if (strcmp(version, sluice_version()) != 0)
		return 2;
	if (!policy || sluice_policy_allow_system(policy, NULL) < 0 ||
	    sluice_policy_set_name(policy, "consumer", NULL) < 0)
		return 3;
	if (run(policy, NULL, &allowed) < 0 || run(policy, &calls, &refused) < 0)
		return 4;
	sluice_policy_unref(policy);
	return allowed == 0 && refused == 1 && calls > 0 ? 0 : 5;
}
