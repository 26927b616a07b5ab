/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/process/dumpable.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#include "confine/confinement.h"
#include "engine/dispatch.h"

/* All that matters is in registers, so the kernel sees what was judged. */
static struct sluice_verdict prctl_handle(struct sluice_request *req, void *userdata)
{
	(void)userdata;
	if ((int)sluice_request_arg(req, 0) == PR_SET_DUMPABLE && !sluice_request_arg(req, 1))
		return sluice_value(0);
	return sluice_continue();
}

int builtin_dumpable_register(struct dispatch *d, const struct sluice_policy *p)
{
	const struct sluice_handler h =
		sluice_handler_make("dumpable", SYS_prctl, prctl_handle, NULL);

	return confine_call_keeps_condition(p, SYS_prctl) ? dispatch_add_where_refused(d, &h) : 0;
}
