/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small things on files of the branch's own directories: names in work/, whiteouts, opaque marks, removal of what is left over.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tree/branch_internal.h"
#include "sys/fd.h"

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

/* The next name of @d that is none of "." and ".."; NULL at the end. */
static const char *next_name(DIR *d)
{
	struct dirent *e;

	do {
		e = readdir(d);
	} while (e && (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")));
	return e ? e->d_name : NULL;
}

struct lifted {
	struct lifted *next;
	char name[WORK_NAME_BYTES];
};

static DIR *open_to_empty(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d;

	if (fd < 0 && errno == EACCES) {
		/* a directory of the task's that its owner may not list */
		fchmodat(dir_fd, name, 0700, 0);
		fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0)
		return NULL;
	d = fdopendir(fd);
	if (!d)
		close(fd);
	return d;
}

/* The directory's own files are removed; its directories wait in @dir_fd under names of their own, so that no depth needs a descriptor each. */
static bool lift(int from, const char *name, int dir_fd, struct lifted **list)
{
	static _Atomic unsigned n_lifted;
	struct lifted *l = calloc(1, sizeof(*l));

	if (!l)
		return false;
	snprintf(l->name, sizeof(l->name), "#x%x.%x", (unsigned)getpid(),
		 atomic_fetch_add(&n_lifted, 1));
	if (renameat(from, name, dir_fd, l->name) < 0) {
		/* a directory that may not be written itself cannot have its ".." changed */
		fchmodat(from, name, 0700, 0);
		if (renameat(from, name, dir_fd, l->name) < 0) {
			free(l);
			return false;
		}
	}
	l->next = *list;
	*list = l;
	return true;
}

static void remove_dir(int dir_fd, const char *name, struct lifted **list)
{
	const char *below;
	DIR *d;

	if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0)
		return;
	d = open_to_empty(dir_fd, name);
	while (d && (below = next_name(d))) {
		if (unlinkat(dirfd(d), below, 0) < 0 && unlinkat(dirfd(d), below, AT_REMOVEDIR) < 0)
			lift(dirfd(d), below, dir_fd, list);
	}
	if (d)
		closedir(d);
	unlinkat(dir_fd, name, AT_REMOVEDIR);
}

void remove_tree(int dir_fd, const char *name)
{
	struct lifted *list = NULL, *l;

	if (unlinkat(dir_fd, name, 0) == 0)
		return;
	remove_dir(dir_fd, name, &list);
	while ((l = list)) {
		list = l->next;
		remove_dir(dir_fd, l->name, &list);
		free(l);
	}
}
