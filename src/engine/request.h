/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a built-in may do with a request beyond the public accessors: record the plan.
 */
#ifndef SLUICE_ENGINE_REQUEST_H
#define SLUICE_ENGINE_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include <sluice/handler.h>

/* Bytes that a plan can carry along without allocating (struct utsname is 390). */
#define REQUEST_PLAN_BYTES 512

/*
 * Plan: the call returns @value, and @size bytes of @data (copied, at most REQUEST_PLAN_BYTES) are written to the caller's memory at @addr
 * (EFAULT for the caller when that fails). The built-in then returns CONTINUE; extras may still refuse. -E2BIG.
 */
int request_plan_reply(struct sluice_request *req, const char *builtin, int64_t value,
		       uint64_t addr, const void *data, size_t size);

#endif
