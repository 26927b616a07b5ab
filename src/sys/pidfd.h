/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of processes and threads. All return -errno on failure; any thread.
 */
#ifndef SLUICE_SYS_PIDFD_H
#define SLUICE_SYS_PIDFD_H

#include <stdbool.h>
#include <sys/types.h>

/* A descriptor for the thread @tid itself (6.9), or -EINVAL on older kernels when @tid is not a process's first thread. CLOEXEC. */
int pidfd_open_thread(pid_t tid);
/* The same, but -EINVAL on all older kernels. */
int pidfd_open_thread_only(pid_t tid);
/* Send @sig (0: just look). -ESRCH when it has ended and was reaped. */
int pidfd_kill(int pidfd, int sig);
/* Process id of the thread or process behind @pidfd (6.13), or -ENOTTY on older kernels, -ESRCH. */
pid_t pidfd_tgid(int pidfd);
/* Does thread @tid exist now, as a thread of process @process? */
bool thread_is_of(pid_t tid, pid_t process);
/* A duplicate (CLOEXEC) of descriptor @fd of the thread or process behind @pidfd. -EBADF: it has none, -EPERM, -ESRCH. */
int pidfd_get_fd(int pidfd, int fd);

#endif
