/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that are refused for some of their arguments only. Pure tables; any thread.
 */
#ifndef SLUICE_CONFINE_CONDITIONS_H
#define SLUICE_CONFINE_CONDITIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONDITION_CALLS_MAX 4
#define CONDITION_CLAUSES_MAX 3

enum clause_kind {
	CLAUSE_NO_BIT = 1, /* refused when the argument has one of the bits in `mask` */
	CLAUSE_NOT_LISTED, /* refused when (argument & mask) is one of the values */
	CLAUSE_LISTED,	   /* refused when it is none of them */
	CLAUSE_NOT_BOTH, /* refused when it is one of them and argument `other` is `other_value` */
	CLAUSE_NOT_WITH, /* refused when (argument & mask) is one of them and argument `other` is not 0 */
	CLAUSE_OWN, /* refused when the argument is not values[0], nor argument `other` values[1] */
};

/*
 * What one argument must be like. The kernel takes them as 32-bit numbers, so the upper half does not count; of CLAUSE_OWN, and of the other one of CLAUSE_NOT_WITH, all 64
 * bits do.
 */
struct clause {
	enum clause_kind kind;
	unsigned arg;
	int error;
	uint32_t mask;
	const uint32_t *values;
	size_t n;
	unsigned other; /* of CLAUSE_OWN (the same as `arg`: none), CLAUSE_NOT_BOTH and _NOT_WITH */
	bool socket_type; /* does not count where sockets of any type may be made */
	bool tree; /* counts only where the command has a tree of its own, or a quota in it */
	bool asked; /* a handler is asked instead, where there is one for that: NOTIF_WHERE_REFUSED */
	uint32_t other_value; /* of CLAUSE_NOT_BOTH */
	bool only_asked;      /* `asked`, and counts only where there is that handler */
};

/* Refused when one of the clauses says so. */
struct condition {
	int calls[CONDITION_CALLS_MAX]; /* that share it; -1 after the last */
	struct clause clauses[CONDITION_CLAUSES_MAX];
	size_t n_clauses;
};

#define N_CONDITIONS 21
extern const struct condition conditions[N_CONDITIONS];

/* The condition of call @nr, or NULL. */
const struct condition *condition_of(int nr);
/* Where sockets of any type may be made, where there is a tree, where a handler stands in: does the clause count? */
bool clause_counts(const struct clause *c, bool any_type, bool tree, bool asked);
/* All of them (CLAUSE_LISTED) let a socket of TCP pass, and nothing else; see call_deny.tcp. */
#define N_TCP_CLAUSES 3
extern const struct clause tcp_clauses[N_TCP_CLAUSES];

#endif
