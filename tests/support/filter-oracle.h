/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seccomp program that libseccomp makes: see filter-oracle.c.
 */
#ifndef SLUICE_TESTS_FILTER_ORACLE_H
#define SLUICE_TESTS_FILTER_ORACLE_H

#include <linux/filter.h>
#include <stddef.h>

#include "confine/calls.h"

/* As filter_compile. *ret->filter is on the heap. 0 or a negative errno of libseccomp. */
int filter_oracle(const struct call_deny *deny, const int *notify, size_t n_notify,
		  struct sock_fprog *ret);

#endif
