/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_SYS_MQUEUE_H
#define SLUICE_SYS_MQUEUE_H

/* Where POSIX message queues are mounted, /dev/mqueue: an O_PATH descriptor (CLOEXEC, the caller's). -ENOENT: they are not; -errno. */
int mqueue_mount(void);

#endif
