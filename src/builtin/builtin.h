/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in handlers. Each lives in a folder of its own, knows no other, and registers through the call that extras use too.
 * An unused one registers nothing, so it traps nothing.
 */
#ifndef SLUICE_BUILTIN_BUILTIN_H
#define SLUICE_BUILTIN_BUILTIN_H

#include <sluice/error.h>

struct dispatch;
struct remap;
struct sluice_policy;
struct tree;

/*
 * Register the built-ins that @p needs, in their fixed order. @tree: the command's own, borrowed until @d is freed, or NULL; @remap: so too, where ports
 * may become others. Returns 0 or -errno, and why in @err.
 */
int builtin_register_all(struct dispatch *d, struct sluice_policy *p, const struct tree *tree,
			 struct remap *remap, struct sluice_error *err);

#endif
