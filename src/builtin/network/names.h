/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of a policy's rules and the addresses that they have: what the start found, and later what a resolver says. No system call is made, and time comes from the
 * caller, in ns of one monotonic clock.
 *
 * A question is about the addresses of one family of a name. What it answers is present then, until the next answer; an address that is not in it any more has left, and
 * is allowed for NAMES_GRACE_S all the same. A question that fails changes nothing.
 *
 * Which addresses a name may gain after the start: those that it had then; others of SCOPE_GLOBAL; of SCOPE_PRIVATE where it had such ones at the start; and none that
 * is this machine's own.
 *
 * Threads: who asks and writes is one at a time; names_have and names_each are any thread's, and wait for nobody.
 */
#ifndef SLUICE_BUILTIN_NETWORK_NAMES_H
#define SLUICE_BUILTIN_NETWORK_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/net_rule.h"

#define NAMES_TTL_MIN_S 1u
#define NAMES_TTL_MAX_S 3600u
#define NAMES_GRACE_S 30u
#define NAMES_RETRY_MIN_S 1u /* after a question that failed; twice as long after each more */
#define NAMES_RETRY_MAX_S 60u
#define NAMES_ANSWER_MAX 64u /* addresses of an answer; more are left out */
#define NAMES_MAX \
	192u /* addresses of a name, those that have left included: the first that left make room */

struct names;

/* Those of @targets that name a host, each once, without any address. -ENOMEM. */
int names_new(const struct net_target *targets, size_t n_targets, struct names **ret);
void names_free(struct names *names);
size_t names_count(const struct names *names);
const char *names_name(const struct names *names, size_t name); /* lower case */
/* Which one @name is; names_count() where it is none. */
size_t names_find(const struct names *names, const char *name);

/* ---- who asks ---- */

/* What the start found; present. Before any other of these, then names_publish. */
void names_begin(struct names *names, size_t name, const struct net_address *found, size_t n);

struct names_question {
	size_t name;
	bool v6;
};
/* A question that is due at @now and not being asked; true, and it is being asked then. */
bool names_due(struct names *names, uint64_t now, struct names_question *ret);
/* @ttl_s as the answer says it. @is_own: is it an address of this machine? */
void names_answered(struct names *names, struct names_question q, const struct net_address *found,
		    size_t n, uint32_t ttl_s, uint64_t now,
		    bool (*is_own)(const struct net_address *a));
void names_failed(struct names *names, struct names_question q, uint64_t now);
/* When something is due next: a question that is not being asked, or names_publish. UINT64_MAX: nothing is. */
uint64_t names_next(const struct names *names);
/*
 * Drop addresses whose time is over, and show readers what has changed. -ENOMEM: they see what they saw, and it is due again in NAMES_RETRY_MIN_S.
 */
int names_publish(struct names *names, uint64_t now);

/* ---- who reads ---- */

/* Is @a one that @name has, or had until NAMES_GRACE_S ago? */
bool names_have(struct names *names, size_t name, const struct net_address *a);
/* Raised whenever what names_each says has changed. */
uint64_t names_generation(struct names *names);
typedef void (*names_each_fn)(void *arg, const char *name, const struct net_address *a);
/* Each name with each address that is present. */
void names_each(struct names *names, names_each_fn fn, void *arg);

#endif
