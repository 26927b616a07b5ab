/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/resource/memfds.h"

#include <sys/syscall.h>

#include "engine/dispatch.h"

static struct sluice_verdict memfd_handle(struct sluice_request *req, void *made)
{
	(void)req;
	atomic_store_explicit((atomic_bool *)made, true, memory_order_relaxed);
	return sluice_continue();
}

int builtin_memfds_register(struct dispatch *d, atomic_bool *made)
{
	const struct sluice_handler h =
		sluice_handler_make("memfds", SYS_memfd_create, memfd_handle, made);

	return made ? dispatch_add(d, &h, true) : 0;
}
