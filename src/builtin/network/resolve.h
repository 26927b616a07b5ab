/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to addresses, by the host's own resolver.
 */
#ifndef SLUICE_BUILTIN_NETWORK_RESOLVE_H
#define SLUICE_BUILTIN_NETWORK_RESOLVE_H

#include <sluice/error.h>

#include "policy/net_rule.h"

#define RESOLVE_MAX 64u		  /* addresses of a name; more are left out */
#define RESOLVE_TIMEOUT_MS 10000u /* then nobody waits any more */

/*
 * The addresses of @name, without doubles. Returns how many; -ENOENT there is no such name, -EAGAIN the resolver has no answer now, -ETIMEDOUT, -ENOMEM.
 * @err names @name. Any thread; its resolver runs in a thread of its own, which may outlive the call, but nothing else of it.
 */
int resolve_name(const char *name, struct net_address ret[RESOLVE_MAX], struct sluice_error *err);

#endif
