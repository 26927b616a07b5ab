/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Branches as the public face shows them. Any thread outside of every domain, one at a time.
 */
#ifndef SLUICE_SANDBOX_COW_H
#define SLUICE_SANDBOX_COW_H

#include <sluice/cow.h>

struct branch;

/* A handle for @branch, which it owns from now on. NULL: memory is short, and the branch is still the caller's. */
struct sluice_cow *cow_new(struct branch *branch, const char *name);
/* Its branch, borrowed. */
struct branch *cow_branch(const struct sluice_cow *cow);

#endif
