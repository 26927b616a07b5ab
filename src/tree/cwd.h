/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process of a view has of its own beside descriptors: a virtual working directory, and an umask that is known without a look into /proc.
 *
 * The kernel's own working directory of a task is of no use under a view. What stands in its place must be shared by the threads of a
 * process, copied by fork at that very moment and kept over exec, without a trap on any of these. One thing that the kernel treats like that, and that
 * can be set from outside, is a resource limit: RLIMIT_RTTIME bounds real-time tasks only, and above 2^62 microseconds it bounds nothing at all.
 * So the soft limit of a process holds the number of its working directory in this table, and its umask. (The task sees the limit as it would be without that, and may not change it: src/builtin/files/limit.c.)
 *
 * A process that was never moved has the number 0: the directory where the command started. A directory stays in the table as long as some
 * process may have it; when the table is full, those that no process has are dropped.
 * Any engine thread. A lock guards the table; it is held for a few instructions, but at a sweep.
 */
#ifndef SLUICE_TREE_CWD_H
#define SLUICE_TREE_CWD_H

#include <sys/types.h>

struct cwd_table;
struct rlimit;

/* Can processes carry what they have? -EPERM: the caller's own hard RLIMIT_RTTIME, which they inherit, is in the way. */
int cwd_check_limit(void);
/* @initial: O_PATH descriptor of the first directory (consumed). NULL: memory is short. */
struct cwd_table *cwd_table_new(int initial);
struct cwd_table *cwd_table_free(struct cwd_table *t);

/* Descriptor (O_PATH, the caller's) of the working directory of process @pid. -ESRCH, -EMFILE ... */
int cwd_get(struct cwd_table *t, pid_t pid);
/* The same, borrowed until cwd_return(*ret_place): without a descriptor more. */
int cwd_borrow(struct cwd_table *t, pid_t pid, int *ret_place);
void cwd_return(struct cwd_table *t, int place);
/* Move @pid to @fd (O_PATH, consumed). -ENFILE: too many directories are in use at a time. */
int cwd_set(struct cwd_table *t, pid_t pid, int fd);
/* The umask that processes begin with. Before any begins. */
void cwd_begin_umask(struct cwd_table *t, mode_t mask);
/* The umask of process @pid. -ENODATA: it is not known here; -ESRCH ... */
int cwd_umask(struct cwd_table *t, pid_t pid);
/* Process @pid is about to take @mask for its umask. Where that can't be carried, cwd_umask knows of none from then on. */
void cwd_set_umask(struct cwd_table *t, pid_t pid, mode_t mask);
/* RLIMIT_RTTIME of process @pid as it is to see it: where the soft one carries a number, it is the hard one instead. -ESRCH, -EPERM. */
int cwd_limit(const struct cwd_table *t, pid_t pid, struct rlimit *ret);

#endif
