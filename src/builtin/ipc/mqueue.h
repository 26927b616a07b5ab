/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX message queues. They lie in a file system that only a mount of it gives a path, so Landlock knows them where that mount is granted, and its refusal comes after the queue has been made;
 * of their removal it does not know at all.
 */
#ifndef SLUICE_BUILTIN_IPC_MQUEUE_H
#define SLUICE_BUILTIN_IPC_MQUEUE_H

struct dispatch;
struct writable;

/* Refuses mq_open and mq_unlink, unless the queues are mounted at /dev/mqueue and may be written there. @w: where that is so on the host, looked at now; NULL: the command does not have the host's tree. */
int builtin_mqueue_register(struct dispatch *d, const struct writable *w);

#endif
