/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/ipc/mqueue.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/syscall.h>

#include "engine/dispatch.h"
#include "sys/mqueue.h"
#include "tree/writable.h"
#include "util/cleanup.h"

static struct sluice_verdict refuse(struct sluice_request *req, void *userdata)
{
	(void)req;
	(void)userdata;
	return sluice_errno(EACCES);
}

int builtin_mqueue_register(struct dispatch *d, const struct writable *w)
{
	const struct sluice_handler handlers[] = {
		sluice_handler_make("mqueue", SYS_mq_open, refuse, NULL),
		sluice_handler_make("mqueue", SYS_mq_unlink, refuse, NULL),
	};
	_cleanup_close_ int fd = mqueue_mount();

	if (w && fd >= 0 && writable_has(w, fd))
		return 0;
	return dispatch_add_builtins(d, handlers, sizeof(handlers) / sizeof(handlers[0]));
}
