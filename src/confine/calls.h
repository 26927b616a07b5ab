/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known about system calls by name: numbers, groups, the deny list. Pure tables.
 */
#ifndef SLUICE_CONFINE_CALLS_H
#define SLUICE_CONFINE_CALLS_H

#include <stdbool.h>
#include <stddef.h>

#include <sluice/error.h>

struct sluice_policy;

/* The highest number we know: file_setattr (linux 6.17). What is newer gets ENOSYS, as on the kernel that we know. */
#define CALL_LAST_KNOWN 469
#define CALL_MAX (CALL_LAST_KNOWN + 1)

/* How a call is refused: always with an errno, or when its arguments match the conditions of conditions.c for it. */
struct call_deny {
	int error;	  /* 0: not refused */
	bool conditional; /* only under those conditions */
	bool any_type; /* of a socket that is made: also those that can send to an address at each message */
	bool tcp; /* of a socket that is made: one of TCP is not refused, whatever the condition says */
	bool tree; /* of a resource limit: but for the one that holds a virtual working directory; of ioctl: what allocates */
};

/*
 * The deny list with the policy's settings laid over, indexed by number; @deny has CALL_MAX items.
 * -EINVAL and @err: a name that is no call.
 */
int calls_deny_list(const struct sluice_policy *p, struct call_deny *deny,
		    struct sluice_error *err);

/*
 * A named Unix socket that may not be connected to must not be sent to either; where all may be connected to, there is nothing to refuse.
 */
void calls_allow_any_socket_type(struct call_deny *deny);
/* Which sockets may be made is decided by a handler, which the policy has rules for; it is not asked about Unix sockets that pass anyway, nor (@tcp) about TCP. */
void calls_leave_sockets_to_handler(struct call_deny *deny, bool tcp);
/* The command has virtual working directories (tree/cwd.h), which are none of its own business. */
void calls_keep_working_directories(struct call_deny *deny);
/* The command's tree has a quota: nothing is allocated but by calls that are looked at. */
void calls_bound_allocations(struct call_deny *deny);

#endif
