/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seccomp program of a policy and a set of trapped calls.
 */
#ifndef SLUICE_CONFINE_FILTER_H
#define SLUICE_CONFINE_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>

#include <sluice/error.h>

#include "confine/calls.h"

/*
 * Compile. @deny: of calls_deny_list. @notify: known numbers, NOTIF_WHERE_REFUSED, NOTIF_WITH. *ret->filter is on the heap. The same input gives the same bytes.
 * -ENOMEM, -E2BIG (more than the kernel's 4096 instructions), -EFAULT (filter_holds says no).
 */
int filter_compile(const struct call_deny *deny, const int *notify, size_t n_notify,
		   struct sock_fprog *ret, struct sluice_error *err);

/* Does @prog answer every call as it should? Each number is tried, and both other ABIs; without a condition the answer must not depend on arguments. */
bool filter_holds(const struct sock_fprog *prog, const struct call_deny *deny, const int *notify,
		  size_t n_notify);

#endif
