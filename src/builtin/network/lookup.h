/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to addresses and their time to live, by name servers (c-ares).
 *
 * A lookup is used by one thread at a time, which waits in lookup_wait: no other thread is made, no file is read. What servers say is bounded: answers of 64 KiB at most, of which
 * NAMES_ANSWER_MAX addresses are taken; packets that come faster than they can be wanted are left to the kernel to drop.
 */
#ifndef SLUICE_BUILTIN_NETWORK_LOOKUP_H
#define SLUICE_BUILTIN_NETWORK_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/error.h>

#include "policy/net_rule.h"

struct lookup;
struct servers;

/* -ENOMEM, -EINVAL (what a search domain says is none). */
int lookup_new(const struct servers *servers, struct lookup **ret);
/* Open questions are answered with -ECANCELED. */
void lookup_free(struct lookup *l);

/*
 * @error 0: @n addresses, the least time to live of what led to them. -ENOENT there are none, or no such name; -ETIMEDOUT, -EAGAIN (no answer of use), -ENOMEM, -ECANCELED.
 * It must not free the lookup.
 */
typedef void (*lookup_fn)(void *arg, int error, const struct net_address *found, size_t n,
			  uint32_t ttl_s);
/* Ask for @name's addresses of a family. @fn is called once, in here, in lookup_wait or in lookup_free. */
void lookup_ask(struct lookup *l, const char *name, bool v6, lookup_fn fn, void *arg);
/* Wait until clock_now_ns() is @until, or something of the servers' was dealt with; true: or until @bell (-1: none) can be read. */
bool lookup_wait(struct lookup *l, int bell, uint64_t until);

/* resolve_name() by these servers, with its errors and its bounds. */
int lookup_name(const struct servers *servers, const char *name, struct net_address *ret,
		struct sluice_error *err);

#endif
