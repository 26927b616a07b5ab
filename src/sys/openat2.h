/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openat2(2), and the way we mostly use it: a path below a descriptor, no symbolic link followed anywhere.
 */
#ifndef SLUICE_SYS_OPENAT2_H
#define SLUICE_SYS_OPENAT2_H

#include <stdint.h>
#include <sys/types.h>

/*
 * The call itself, CLOEXEC. Asked again when a signal came, and some times when a rename anywhere on the machine kept the kernel from proving that a walk
 * bounded by @resolve stayed where it should (EAGAIN). The descriptor or -errno; any thread.
 */
int open_at_how(int dir_fd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);

/*
 * Open @path ("" is the directory itself) below @dir_fd. With O_PATH a link as last name is opened itself, else it is -ELOOP, as one above always is.
 * CLOEXEC. The descriptor or -errno; any thread.
 */
int open_beneath(int dir_fd, const char *path, int flags, mode_t mode);

#endif
