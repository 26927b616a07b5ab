/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/uname/uname.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "engine/dispatch.h"
#include "engine/request.h"

static struct sluice_verdict uname_handle(struct sluice_request *req, void *userdata)
{
	struct utsname u;

	(void)userdata;
	if (uname(&u) < 0)
		return sluice_errno(errno);
	memset(u.nodename, 0, sizeof(u.nodename));
	snprintf(u.nodename, sizeof(u.nodename), "%s", sluice_request_sandbox_name(req));
	if (request_plan_reply(req, "uname", 0, sluice_request_arg(req, 0), &u, sizeof(u)) < 0)
		return sluice_errno(EFAULT);
	return sluice_continue();
}

int builtin_uname_register(struct dispatch *d)
{
	const struct sluice_handler h = {
		.name = "uname",
		.nr = SYS_uname,
		.fn = uname_handle,
	};

	return dispatch_add(d, &h, true);
}
