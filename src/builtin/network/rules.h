/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy's rules of the network with all names resolved: what the handlers of this folder ask.
 *
 * Made before anything runs, and constant then but for the addresses of names, where the policy wants them live. Any thread; who asks waits for nobody.
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

/* Resolves the policy's names, which can take seconds, and goes on doing so where they are live. -ENOENT (no such name), -EAGAIN, -ETIMEDOUT, -ENOMEM; @err names the rule. */
int network_new(const struct sluice_policy *p, struct network **ret, struct sluice_error *err);
void network_free(void *network);
/* Names are what they are from now on. Any thread; waits for nothing. */
void network_settle(struct network *n);

/* Which sockets may be made at all: bits of enum net_protocol. */
unsigned network_protocols(const struct network *n);
bool network_may_reach(const struct network *n, enum net_protocol protocol,
		       const struct net_address *a, uint16_t port);
/* Does any rule name a host? */
bool network_has_names(const struct network *n);
/* Call @fn for each name of the rules (lower case) with each address that it has. */
void network_each_name(const struct network *n,
		       void (*fn)(void *arg, const char *name, const struct net_address *a),
		       void *arg);
/* Raised whenever what network_each_name says has changed. */
uint64_t network_generation(const struct network *n);
/* Port 0: one of the kernel's choice. */
bool network_may_bind(const struct network *n, uint16_t port);

#endif
