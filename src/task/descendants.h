/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All processes below one, by what procfs says of each one's children. Takes some 10 us for each thread; nothing of other processes is read.
 */
#ifndef SLUICE_TASK_DESCENDANTS_H
#define SLUICE_TASK_DESCENDANTS_H

#include <sys/types.h>

/* Does this kernel list children (CONFIG_PROC_CHILDREN)? 0, or the negative errno of looking. */
int descendants_check(void);
/*
 * Call @fn for each process below @top, parents before their children. A process whose parent ends meanwhile may be missed: whoever needs all of them goes through them again until @fn
 * has nothing new to say. Returns the sum of what @fn returned, or -ENOMEM.
 */
int descendants_each(pid_t top, int (*fn)(pid_t pid, void *arg), void *arg);
/* 0: @tid is a thread of one of them; -EPERM: it is not; -ESRCH: nobody has that number; -ENOMEM. */
int descendants_check_thread(pid_t top, pid_t tid);
/* How many threads process @pid has; 0: it is gone. */
unsigned descendants_threads(pid_t pid);

#endif
