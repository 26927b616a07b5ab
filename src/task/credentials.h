/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether an act on behalf would be done with the task's own credentials.
 *
 * Engine threads keep the credentials with which the sandbox was started, without any capability, and so does a task: it can't become anybody else,
 * unless the embedder's real, effective and saved ids differed or new user namespaces are allowed. Only then is there anything to compare.
 */
#ifndef SLUICE_TASK_CREDENTIALS_H
#define SLUICE_TASK_CREDENTIALS_H

#include <stdbool.h>

#include "task/task.h"

/* Do the calling thread's ids leave a process without capabilities no choice? */
bool credentials_are_fixed(void);
/* Has the stopped task the file system ids and groups of this thread? 0, -EACCES: no; -ESRCH, ... : it can't be told. Reads /proc: microseconds. */
int credentials_compare(const struct task *t);

#endif
