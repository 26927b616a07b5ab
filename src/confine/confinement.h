/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy compiled for the kernel: the seccomp program for one set of trapped calls, and the Landlock rulesets A and B.
 *
 * Made once per policy and notify set, kept inside the policy, shared by its sandboxes (references). Constant after it was
 * made, so any thread may read it.
 */
#ifndef SLUICE_CONFINE_CONFINEMENT_H
#define SLUICE_CONFINE_CONFINEMENT_H

#include <linux/filter.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/error.h>

#include "confine/rules.h"
#include "tree/private.h"

struct sluice_policy;

struct confinement {
	atomic_uint refs;
	uint64_t generation; /* of the policy it was compiled from */
	int *notify;	     /* as dispatch_numbers gives them */
	size_t n_notify;
	struct sock_fprog filter; /* owned */
	struct rules
		rules; /* owned; ruleset_a for the engine's threads, ruleset_b for the command */
	/* where the engine may make listings; owned; path NULL and fd -1: none are needed */
	struct private_dir private;
	bool namespaces;  /* the command may enter others */
	bool proc_memory; /* process_vm_readv is refused here: the engine reads /proc/TID/mem */
};

/*
 * The compiled form of @p for the calls in @notify (sorted, unique), from the policy's cache or made now. Returns 0 and a reference.
 * -ENOENT, -EACCES ... a granted path; -EOPNOTSUPP a feature that the kernel lacks and the policy does not allow to miss; -EINVAL an
 * unknown call name. What is cached is made anew when the policy was changed or one of its paths names another file now. @err says which. Thread: any; takes p->lock.
 */
int confinement_get(struct sluice_policy *p, const int *notify, size_t n_notify,
		    struct confinement **ret, struct sluice_error *err);
/*
 * The same without the cache, for a command with a tree of its own: what is granted depends on that tree, which is made for each sandbox.
 */
int confinement_new(const struct sluice_policy *p, const int *notify, size_t n_notify,
		    const struct rules_tree *tree, struct confinement **ret,
		    struct sluice_error *err);
struct confinement *confinement_ref(struct confinement *c);
struct confinement *confinement_unref(struct confinement *c);

/*
 * Put the calling thread, and all threads and processes it makes later, into domain A: own fs_struct with umask 0, no capabilities,
 * no-new-privs, ruleset A. Irreversible. *ret_umask is the umask it had. All signals should be blocked already.
 */
int confine_engine_thread(const struct confinement *c, unsigned *ret_umask,
			  struct sluice_error *err);

/* How the policy's filter treats call @nr before any handler is asked. */
enum call_treatment {
	CALL_ALLOWED, /* runs, maybe under a condition on its arguments */
	CALL_DENIED,  /* always refused */
	CALL_UNKNOWN, /* no such call */
};
int confine_call_treatment(const struct sluice_policy *p, int nr, enum call_treatment *ret,
			   struct sluice_error *err);
/* Of a call @nr that is refused for some of its arguments only: does the policy leave it so? Not where it allows all of it, or nothing. */
bool confine_call_keeps_condition(const struct sluice_policy *p, int nr);
/* True for calls that programs never retry when a signal fails them (close, dup, futex, wait4, read, recvmsg, exit_group ...). */
bool confine_call_never_retried(int nr);

/* Number of @name on the native ABI or -EINVAL; name of @nr or NULL (static). */
int syscall_number(const char *name);
const char *syscall_name(int nr);

#endif
