/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openat2(2) as we use it: a path below a descriptor, no symbolic link followed anywhere.
 */
#ifndef SLUICE_SYS_OPENAT2_H
#define SLUICE_SYS_OPENAT2_H

#include <sys/types.h>

/*
 * Open @path ("" is the directory itself) below @dir_fd. With O_PATH a link as last name is opened itself, else it is -ELOOP, as one above always is.
 * CLOEXEC. The descriptor or -errno; any thread.
 */
int open_beneath(int dir_fd, const char *path, int flags, mode_t mode);

#endif
