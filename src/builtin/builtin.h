/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in handlers. Each lives in a folder of its own, knows no other, and registers through the call that extras use too.
 * An unused one registers nothing, so it traps nothing.
 */
#ifndef SLUICE_BUILTIN_BUILTIN_H
#define SLUICE_BUILTIN_BUILTIN_H

#include <stdbool.h>

struct dispatch;
struct ownproc;
struct sluice_policy;
struct tree;

/*
 * Register the built-ins that @p needs, in their fixed order. @tree: the command's own, or NULL; @proc: what it sees of /proc, or NULL: the host's; both borrowed until
 * @d is freed. @proc_granted: the policy lets it read /proc. Returns 0 or -errno.
 */
int builtin_register_all(struct dispatch *d, struct sluice_policy *p, const struct tree *tree,
			 struct ownproc *proc, bool proc_granted);

#endif
