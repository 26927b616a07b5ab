/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches of inotify and fanotify: the kernel watches inodes, and what changes is the one in upper/.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "tree/branch.h"
#include "tree/branch_internal.h"

static int check_writable(struct branch *b, const char *path)
{
	struct branch_entry e;
	int r = branch_lookup(b, path, &e);

	if (r < 0)
		return r;
	if (e.kind == BRANCH_NONE)
		return -ENOENT;
	r = branch_access(b, e.fd, W_OK, AT_EACCESS);
	close(e.fd);
	return r;
}

int branch_open_watched(struct branch *b, const char *path)
{
	int fd, r = check_writable(b, path);

	if (r == 0)
		r = copy_up(b, path, 0);
	if (r < 0)
		return r;
	branch_rdlock(b);
	fd = upper_open_locked(b, path);
	branch_unlock(b);
	return fd;
}
