/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ioctls of a seccomp listener, one thin wrapper each.
 *
 * All return 0 (or what is said) or -errno and may be called from any thread that holds the listener. Callers block all signals:
 * SEND and ADDFD can be interrupted, and ADDFD of kernel 6.18 can then report success with nothing installed.
 */
#ifndef SLUICE_SYS_NOTIF_H
#define SLUICE_SYS_NOTIF_H

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * In a list of calls to trap: number | NOTIF_WHERE_REFUSED is trapped for those arguments only for which a condition of the filter would refuse it.
 * Whoever answers then stands in for the condition. number | NOTIF_WITH(arg) is trapped where argument @arg (0-5) is not 0, and allowed elsewhere.
 */
#define NOTIF_WHERE_REFUSED 0x10000
#define NOTIF_WITH(arg) (((arg) + 1) << 10)
#define NOTIF_NR(trap) ((trap) & ((1 << 10) - 1))
#define NOTIF_ARG(trap) (((trap) >> 10 & 7) - 1) /* -1: whatever the arguments are */

/*
 * Take the next notification; blocks until there is one. -ENOENT: one was withdrawn, or the filter has no task left (6.11 and newer;
 * ask notif_hung_up). *ret is zeroed first, which the kernel insists on.
 */
int notif_recv(int listener, struct seccomp_notif *ret);
/* Is the task of @id still stopped in this call? 0 yes, -ENOENT no. */
int notif_id_valid(int listener, uint64_t id);
/* Fail with @error (positive errno), or return @value when @error is 0. -ENOENT: nobody waits any more. */
int notif_send_reply(int listener, uint64_t id, int error, int64_t value);
/* Let the kernel run the call as it stands. */
int notif_send_continue(int listener, uint64_t id);
/* Install @fd (borrowed) in the task as its lowest free number; @flags O_CLOEXEC or 0. Returns that number. Doesn't resume the task. */
int notif_addfd(int listener, uint64_t id, int fd, uint32_t flags);
/* Ask for wake-ups on the answering CPU (6.6). -EINVAL on older kernels. */
int notif_set_sync_wake_up(int listener);
/* True once no task is left under the filter. */
bool notif_hung_up(int listener);

#endif
