/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/ledger/ledger.h"

#include <sys/syscall.h>

#include "engine/dispatch.h"
#include "task/ledger.h"

static struct sluice_verdict exit_handle(struct sluice_request *req, void *ledger)
{
	pid_t process = sluice_request_tgid(req);

	if (process > 0)
		ledger_look(ledger, process, true);
	return sluice_continue();
}

int builtin_ledger_register(struct dispatch *d, struct ledger *ledger)
{
	const struct sluice_handler h =
		sluice_handler_make("ledger", SYS_exit_group, exit_handle, ledger);

	return ledger ? dispatch_add(d, &h, true) : 0;
}
