/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lower trees: what they show together at a path, topmost first. Whiteouts and opaque directories in them count, as in overlayfs,
 * so that a lower tree may itself be an upper directory of before.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/openat2.h"
#include "sys/fd.h"
#include "tree/branch_internal.h"

bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

int lower_open(const struct branch *b, size_t layer, const char *path, int flags)
{
	return open_beneath(b->lower_fds[layer], path, flags, 0);
}

void lower_close(struct lower_hit *hit)
{
	if (hit->fd >= 0)
		close(hit->fd);
	hit->fd = -1;
}

/* An O_PATH descriptor has no xattr calls of its own. */
bool has_opaque(int fd)
{
	char link[FD_LINK_BYTES], value;

	fd_link(fd, link);
	return getxattr(link, XATTR_OPAQUE, &value, 1) == 1 && value == 'y';
}

/* Nothing there, as far as a lookup is concerned. */
static bool is_absence(int error)
{
	return error == -ENOENT || error == -ENOTDIR;
}

/* One tree needs no walk of its own: the kernel's is the answer. */
static int find_in_one(const struct branch *b, const char *path, struct lower_hit *ret)
{
	int fd = lower_open(b, 0, path, O_PATH);

	if (fd < 0)
		return is_absence(fd) || fd == -ELOOP ? 0 : fd;
	if (fstat(fd, &ret->st) < 0 || is_whiteout(&ret->st)) {
		close(fd);
		return 0;
	}
	ret->fd = fd;
	ret->n_dirs = S_ISDIR(ret->st.st_mode);
	ret->dirs[0] = 0;
	return 0;
}

/* Which layers still count below the directory that was looked at last. */
struct layers {
	size_t n;
	uint8_t at[BRANCH_LOWERS_MAX];
};

/*
 * One step down: of the layers that count at the parent, those that do at @path. The topmost is kept open in @ret.
 */
static int step(const struct branch *b, const char *path, struct layers *l, struct lower_hit *ret)
{
	struct layers next = { 0 };

	lower_close(ret);
	ret->n_dirs = 0;
	for (size_t i = 0; i < l->n; i++) {
		int fd = lower_open(b, l->at[i], path, O_PATH);
		bool last = false;
		struct stat st;

		if (is_absence(fd))
			continue;
		if (fd < 0)
			return fd;
		if (fstat(fd, &st) < 0 || is_whiteout(&st) ||
		    (ret->fd >= 0 && !S_ISDIR(st.st_mode))) {
			close(fd);
			break;
		}
		last = !S_ISDIR(st.st_mode) || has_opaque(fd);
		if (S_ISDIR(st.st_mode)) {
			ret->dirs[ret->n_dirs++] = l->at[i];
			next.at[next.n++] = l->at[i];
		}
		if (ret->fd < 0) {
			ret->fd = fd;
			ret->st = st;
		} else {
			close(fd);
		}
		if (last)
			break;
	}
	*l = next;
	return 0;
}

static int find_in_many(const struct branch *b, const char *path, struct lower_hit *ret)
{
	char prefix[PATH_MAX];
	struct layers l = { .n = b->n_lowers };
	const char *at = path;
	int r;

	for (size_t i = 0; i < l.n; i++)
		l.at[i] = (uint8_t)i;
	r = step(b, "", &l, ret);
	while (r == 0 && ret->fd >= 0 && *at) {
		at += strcspn(at, "/");
		memcpy(prefix, path, (size_t)(at - path));
		prefix[at - path] = '\0';
		r = step(b, prefix, &l, ret);
		at += *at == '/';
	}
	if (r < 0)
		lower_close(ret);
	return r;
}

int lower_find(const struct branch *b, const char *path, struct lower_hit *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->fd = -1;
	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	return b->n_lowers == 1 ? find_in_one(b, path, ret) : find_in_many(b, path, ret);
}
