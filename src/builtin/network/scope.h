/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far an address reaches. Pure; any thread.
 */
#ifndef SLUICE_BUILTIN_NETWORK_SCOPE_H
#define SLUICE_BUILTIN_NETWORK_SCOPE_H

#include "policy/net_rule.h"

enum scope {
	SCOPE_GLOBAL = 1, /* what no other one is */
	SCOPE_PRIVATE,	  /* of a site: RFC 1918, RFC 6598, RFC 4193 */
	SCOPE_NEAR,	  /* of the machine or the link: loopback, link-local */
	SCOPE_NONE,	  /* of no host: unspecified, multicast, broadcast, reserved */
};

/* An IPv6 address that translators send to the IPv4 address in it (RFC 6052, RFC 3056) reaches as far as that. */
enum scope scope_of(const struct net_address *a);

#endif
