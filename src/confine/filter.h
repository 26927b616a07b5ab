/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seccomp program of a policy and a set of trapped calls.
 */
#ifndef SLUICE_CONFINE_FILTER_H
#define SLUICE_CONFINE_FILTER_H

#include <linux/filter.h>
#include <stddef.h>

#include <sluice/error.h>

#include "confine/calls.h"

/*
 * Compile. @deny: of calls_deny_list. @notify: sorted, unique. *ret->filter is on the heap. The same input gives the same bytes.
 * The program is run once for each call and compared with that. -ENOMEM (also when it is not what was asked for), -EINVAL (libseccomp refused a rule), -E2BIG (more than the kernel's 4096 instructions).
 */
int filter_compile(const struct call_deny *deny, const int *notify, size_t n_notify,
		   struct sock_fprog *ret, struct sluice_error *err);

#endif
