/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugins that --plugin must refuse, and one whose handlers are: by how it is compiled.
 *
 *	BAD_ABI      made for another version
 *	BAD_SYMBOL   has no init
 *	otherwise    does what its ARGS say: refuse, silent, positive, null, close (a call that is never retried), deny:CALL
 */
#include <sluice/plugin.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#ifdef BAD_ABI
const uint32_t sluice_plugin_abi = SLUICE_PLUGIN_ABI + 1;
#else
const uint32_t sluice_plugin_abi = SLUICE_PLUGIN_ABI;
#endif

#ifndef BAD_SYMBOL
static struct sluice_verdict deny(struct sluice_request *req, void *userdata)
{
	(void)req;
	(void)userdata;
	return sluice_errno(EDOM);
}

static struct sluice_handler handler = { .name = "bad", .fn = deny };

int sluice_plugin_init(const char *args, struct sluice_plugin *ret, struct sluice_error *err)
{
	if (!strcmp(args, "refuse")) {
		snprintf(err->text, sizeof(err->text), "not today");
		snprintf(err->hint, sizeof(err->hint), "try tomorrow");
		return -EACCES;
	}
	if (!strcmp(args, "silent"))
		return -EACCES;
	if (!strcmp(args, "positive"))
		return 7;
	ret->n_handlers = 1;
	if (!strcmp(args, "null"))
		return 0;
	ret->handlers = &handler;
	handler.nr = sluice_syscall_number(!strncmp(args, "deny:", 5) ? args + 5 : args);
	return 0;
}
#endif
