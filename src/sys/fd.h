/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be done with any descriptor: its name on procfs, where its file lies, a whole write. Any thread.
 */
#ifndef SLUICE_SYS_FD_H
#define SLUICE_SYS_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FD_LINK_BYTES 32

/* "/proc/self/fd/N": leads to the file itself, also of an O_PATH descriptor, also where that is a symbolic link. Returns @buf. */
const char *fd_link(int fd, char buf[FD_LINK_BYTES]);
/* The path of its file as the kernel prints it, NUL-terminated. Returns its length; -ENAMETOOLONG, -errno. */
ssize_t fd_path(int fd, char *buf, size_t size);
/*
 * The directory of those names, for who asks often: a third of a question is the way there. -errno. It is of the process that opened it: a fork's child
 * would be told of its parent's descriptors.
 */
int fd_links_open(void);
/* As fd_path, with that directory; -1: without. */
ssize_t fd_path_by(int links, int fd, char *buf, size_t size);
/*
 * The same where that is no longer than @size; else the path of the nearest directory above that has one as short. A place whose path is that short
 * is above both or neither. A file has no way up: -ENAMETOOLONG. 0 or -errno.
 */
int fd_path_above(int links, int fd, char *buf, size_t size);
/* The kernel's number of the mount that @fd lies in; 0: it tells none (before 5.8). */
uint64_t fd_mount_id(int fd);
/* Does directory @fd (O_PATH will do) hand down an ACL? What is made in it then has no use for an umask. */
bool fd_has_default_acl(int fd);
/*
 * A descriptor (CLOEXEC) of an empty unnamed file in memory. @name (at most 249 bytes) is what its link on procfs shows. -errno.
 */
int fd_memory(const char *name);
/* Another descriptor (CLOEXEC, O_RDONLY and @flags) of @memory (borrowed), which never changes from now on. -errno. */
int fd_seal(int memory, int flags);
/* Both, with @data in it. */
int fd_sealed(const char *name, const void *data, size_t size);
/* @fd (consumed, may be an error), or a CLOEXEC copy above 2, where the command's own descriptors are put. -errno. */
int fd_above_stdio(int fd);
/* All of @data. 0 or -errno. */
int fd_write_all(int fd, const void *data, size_t size);

#endif
