/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System V shared memory, semaphores and message queues: those that were made inside, and no others. To the host's a command has the user's rights otherwise, and Landlock does not know them.
 */
#ifndef SLUICE_BUILTIN_IPC_SYSV_H
#define SLUICE_BUILTIN_IPC_SYSV_H

struct dispatch;

/* What is left of them is removed with the table. */
int builtin_sysv_register(struct dispatch *d);

#endif
