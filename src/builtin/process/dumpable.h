/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Built-in: a process that asks not to be looked into (PR_SET_DUMPABLE 0), as agents of keys do, goes on being looked into.
 *
 * The kernel would keep us from its memory and its descriptors as well, so that none of its calls could be carried out any more. Inside of a sandbox nobody can look into another process anyway,
 * unless the policy allows ptrace.
 */
#ifndef SLUICE_BUILTIN_PROCESS_DUMPABLE_H
#define SLUICE_BUILTIN_PROCESS_DUMPABLE_H

struct dispatch;
struct sluice_policy;

/* A prctl that @p denies is left alone. */
int builtin_dumpable_register(struct dispatch *d, const struct sluice_policy *p);

#endif
