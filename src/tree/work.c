/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small things on files of the branch's own directories: names in work/, whiteouts, opaque marks.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "sys/fd.h"
#include "tree/branch_internal.h"

/* As overlayfs names its own there, so that either cleans up after the other. */
void work_name(struct branch *b, char buf[WORK_NAME_BYTES])
{
	snprintf(buf, WORK_NAME_BYTES, "#%" PRIx64, atomic_fetch_add(&b->next_work, 1));
}

int make_whiteout(int dir_fd, const char *name)
{
	return mknodat(dir_fd, name, S_IFCHR, makedev(0, 0)) < 0 ? -errno : 0;
}

/* There are no xattr calls by O_PATH descriptor. */
static int change_xattr(int fd, const char *name, const void *value, size_t size)
{
	char link[FD_LINK_BYTES];
	int r;

	fd_link(fd, link);
	r = value ? setxattr(link, name, value, size, 0) : removexattr(link, name);
	return r < 0 ? -errno : 0;
}

/* A user attribute needs the right to write, which its owner may not have given itself. */
static int change_own_xattr(int fd, const char *name, const void *value, size_t size)
{
	int r = change_xattr(fd, name, value, size);
	char link[FD_LINK_BYTES];
	struct stat st;

	if (r != -EACCES || fstat(fd, &st) < 0 || S_ISLNK(st.st_mode))
		return r;
	fd_link(fd, link);
	if (chmod(link, (st.st_mode & 07777) | S_IWUSR) < 0)
		return r;
	r = change_xattr(fd, name, value, size);
	return chmod(link, st.st_mode & 07777) < 0 && r == 0 ? -errno : r;
}

int set_own_xattr(int fd, const char *name, const void *value, size_t size)
{
	return change_own_xattr(fd, name, value, size);
}

int remove_own_xattr(int fd, const char *name)
{
	return change_own_xattr(fd, name, NULL, 0);
}

/* Of an O_PATH descriptor; see has_opaque. */
int set_opaque(int fd)
{
	return set_own_xattr(fd, XATTR_OPAQUE, "y", 1);
}
