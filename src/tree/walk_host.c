/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common way of a walk in the host's own tree: what the kernel finds for us is what it finds for the task, but for /proc/self, magic links and what an
 * engine thread may see of procfs. A path that meets none of these is the kernel's to walk, symbolic links and ".." and all.
 */
#define _GNU_SOURCE
#include "tree/walk_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <unistd.h>

/* Could the task's own walk have ended otherwise than in @error? It could through a link, which may be a magic one or /proc/self. */
static bool may_differ(int base, const char *path, int error)
{
	int again;

	if (error == -ELOOP)
		return true;
	if (error != -ENOENT && error != -ENOTDIR && error != -EACCES)
		return false;
	again = walk_open_path(base, path, 0, RESOLVE_NO_SYMLINKS);
	if (again >= 0)
		close(again);
	return again == -ELOOP;
}

/* What @path names, in *ret_fd with its @st. Returns 1, 0: not this way, or the negative errno that the call fails with. */
static int find(int base, const char *path, uint64_t flags, int *ret_fd, struct stat *st)
{
	int fd = walk_open_path(base, path, flags, RESOLVE_NO_MAGICLINKS);

	if (fd < 0)
		return may_differ(base, path, fd) ? 0 : fd;
	if (fstat(fd, st) < 0 || walk_may_be_on_procfs(fd, st)) {
		close(fd);
		return 0;
	}
	*ret_fd = fd;
	return 1;
}

/*
 * Cut @path in two: the directory's path in @parent, the last component in @end. false: there is none, or it is one that the other way knows what to do with.
 */
static bool split(const char *path, char parent[PATH_MAX], struct walk_end *end)
{
	size_t n = strlen(path), name, length;

	while (n && path[n - 1] == '/')
		n--;
	for (name = n; name && path[name - 1] != '/'; name--)
		;
	length = n - name;
	if (!length || length > NAME_MAX || n >= PATH_MAX)
		return false;
	memcpy(end->name, path + name, length);
	end->name[length] = '\0';
	end->slash = path[n] == '/';
	memcpy(parent, path, name);
	parent[name] = '\0';
	if (!name)
		strcpy(parent, ".");
	return strcmp(end->name, ".") != 0 && strcmp(end->name, "..") != 0;
}

/* The name in end->dir: 1 or 0 as find. */
static int find_name(const struct walk_from *from, struct walk_end *end)
{
	const bool meant = (from->flags & WALK_LAST) == WALK_LAST ||
			   (from->flags & WALK_NOFOLLOW && !end->slash);
	int fd = walk_open_path(end->dir, end->name, O_NOFOLLOW, 0);

	if (fd < 0)
		return fd == -ENOENT ? 1 : fd;
	end->fd = fd;
	if (fstat(fd, &end->st) < 0 || walk_may_be_on_procfs(fd, &end->st))
		return 0;
	return !S_ISLNK(end->st.st_mode) || meant;
}

static int find_named(int base, const struct walk_from *from, struct walk_end *end)
{
	char parent[PATH_MAX];
	struct stat st;
	int r = split(from->path, parent, end) ? find(base, parent, O_DIRECTORY, &end->dir, &st)
					       : 0;

	if (r > 0)
		r = find_name(from, end);
	if (r == 0) { /* forget it all */
		walk_end_close(end);
		memset(end->name, 0, sizeof(end->name));
		end->slash = false;
	}
	return r;
}

int walk_on_host(const struct task *t, const struct walk_from *from, struct walk_end *end)
{
	const bool absolute = from->path[0] == '/';
	int r, base = AT_FDCWD;

	if (from->resolve)
		return 0;
	if (!absolute)
		base = walk_base(t, from);
	if (!absolute && base < 0)
		return base;
	if (from->flags & WALK_NAME)
		r = find_named(base, from, end);
	else
		r = find(base, from->path, from->flags & WALK_NOFOLLOW ? O_NOFOLLOW : 0, &end->fd,
			 &end->st);
	if (base >= 0)
		close(base);
	return r;
}
