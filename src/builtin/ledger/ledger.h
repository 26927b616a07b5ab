/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --stats: what a process took is read at its exit_group, the last moment at which it can be.
 */
#ifndef SLUICE_BUILTIN_LEDGER_LEDGER_H
#define SLUICE_BUILTIN_LEDGER_LEDGER_H

struct dispatch;
struct ledger;

/* Traps nothing where @ledger (borrowed until @d is freed) is NULL. 0 or -errno. */
int builtin_ledger_register(struct dispatch *d, struct ledger *ledger);

#endif
