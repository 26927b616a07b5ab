/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of directories by descriptors. A stream is its caller's (closedir). Any thread.
 */
#ifndef SLUICE_SYS_DIR_H
#define SLUICE_SYS_DIR_H

#include <dirent.h>

/* Of directory @name below @at; @flags: O_NOFOLLOW or 0. 0 or -errno. */
int dir_open(int at, const char *name, int flags, DIR **ret);
/* Of @fd, which belongs to the stream then, or is closed. A negative one is the error to give. 0 or -errno. */
int dir_take(int fd, DIR **ret);
/* The next entry that is neither "." nor ".."; NULL at the end. */
const struct dirent *dir_next(DIR *d);
/* DT_* of an entry of @d; some file systems do not say it in listings, and are asked. DT_UNKNOWN: it is gone. */
unsigned char dir_type(DIR *d, const struct dirent *e);

#endif
