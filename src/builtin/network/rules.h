/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy's rules of the network with all names resolved: what the handlers of this folder ask.
 *
 * Made before anything runs, constant then: any thread.
 */
#ifndef SLUICE_BUILTIN_NETWORK_RULES_H
#define SLUICE_BUILTIN_NETWORK_RULES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <sluice/error.h>

#include "policy/net_rule.h"

struct network;
struct sluice_policy;

/* Resolves the policy's names, which can take seconds. -ENOENT (no such name), -EAGAIN, -ETIMEDOUT, -ENOMEM; @err names the rule. */
int network_new(const struct sluice_policy *p, struct network **ret, struct sluice_error *err);
void network_free(void *network);

/* Which sockets may be made at all: bits of enum net_protocol. */
unsigned network_protocols(const struct network *n);
bool network_may_reach(const struct network *n, enum net_protocol protocol,
		       const struct net_address *a, uint16_t port);
/* A name of the rules, and one of the addresses that were found for it. */
struct network_name {
	const char *name; /* lower case */
	struct net_address address;
};
/* The names with their addresses, each pair once; *ret_n of them, borrowed. NULL: no rule names a host. */
const struct network_name *network_names(const struct network *n, size_t *ret_n);
/* Port 0: one of the kernel's choice. */
bool network_may_bind(const struct network *n, uint16_t port);

#endif
