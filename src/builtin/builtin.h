/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in handlers. Each lives in a folder of its own, knows no other, and registers through the call that extras use too.
 * An unused one registers nothing, so it traps nothing.
 */
#ifndef SLUICE_BUILTIN_BUILTIN_H
#define SLUICE_BUILTIN_BUILTIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include <sluice/error.h>

struct dispatch;
struct file_times;
struct ledger;
struct network;
struct remap;
struct ownproc;
struct sluice_policy;
struct tree;

/* What they know of their sandbox; all borrowed until the dispatch table is freed. */
struct builtin_sandbox {
	const pid_t
		*init; /* number of the process above all of its; set before the first call comes */
	const bool *signal_scope;	/* its domains confine signals; set with it */
	atomic_bool *memfds_made;	/* set by the first memfd_create; NULL: nobody asks */
	struct ledger *ledger;		/* NULL: nobody asked for statistics */
	struct remap *remap;		/* ports that may become others, or NULL */
	struct ownproc *proc;		/* what it sees of /proc; NULL: the host's */
	const struct file_times *times; /* of files, that begin with the clock; NULL: the host's */
	struct network **
		network; /* where the rules of the network are put, if there are some; NULL: nowhere */
};

/* What a table is made for. What is in it is borrowed until the table is freed. */
struct builtin_context {
	const struct tree *tree; /* the command's own, or NULL */
	const struct builtin_sandbox *sandbox;
	bool extras; /* there will be some, who may want calls carried out that no built-in handles */
};

/* Register the built-ins that @p needs, in their fixed order. Returns 0 or -errno, and why in @err. */
int builtin_register_all(struct dispatch *d, struct sluice_policy *p,
			 const struct builtin_context *c, struct sluice_error *err);

#endif
