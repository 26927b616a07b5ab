/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be done with any descriptor: its name on procfs, where its file lies, a whole write. Any thread.
 */
#ifndef SLUICE_SYS_FD_H
#define SLUICE_SYS_FD_H

#include <stddef.h>
#include <sys/types.h>

#define FD_LINK_BYTES 32

/* "/proc/self/fd/N": leads to the file itself, also of an O_PATH descriptor, also where that is a symbolic link. Returns @buf. */
const char *fd_link(int fd, char buf[FD_LINK_BYTES]);
/* The path of its file as the kernel prints it, NUL-terminated. Returns its length; -ENAMETOOLONG, -errno. */
ssize_t fd_path(int fd, char *buf, size_t size);
/*
 * A descriptor (CLOEXEC, O_RDONLY and @flags) of an unnamed file that holds @data and never changes. @name (at most 249 bytes) is what its link on procfs
 * shows. -errno.
 */
int fd_sealed(const char *name, const void *data, size_t size, int flags);
/* All of @data. 0 or -errno. */
int fd_write_all(int fd, const void *data, size_t size);

#endif
