/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files: moved where both trees are one file system, else copied to a temporary file beside the target and renamed. And what the branch has deleted.
 */
#define _GNU_SOURCE
#include "tree/commit_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/openat2.h"
#include "util/cleanup.h"

/* Another name of the same file that this commit has copied already; NULL when there is none. */
static const char *copied_name(const struct commit *c, const struct change_item *i)
{
	const struct changes *all = &c->changes;
	const struct change_link *links;
	size_t n = i->st.st_nlink < 2 ? 0 : changes_links(all, i->st.st_ino, &links);

	for (size_t k = 0; k < n; k++) {
		if (all->items[links[k].item].done)
			return all->items[links[k].item].path;
	}
	return NULL;
}

/* -ENOENT when there is nothing to link to. */
static int link_over(struct commit *c, const struct places *p, const struct change_item *i)
{
	const char *name = copied_name(c, i);
	char temporary[TEMPORARY_BYTES], link[FD_LINK_BYTES];
	int fd = name ? open_beneath(c->b->lower_fds[0], name, O_PATH, 0) : -ENOENT, r;

	if (fd < 0)
		return fd;
	temporary_name(c->b, p->name, temporary);
	fd_link(fd, link);
	r = linkat(AT_FDCWD, link, p->lower, temporary, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
	close(fd);
	if (r == 0 && renameat(p->lower, temporary, p->lower, p->name) < 0) {
		r = -errno;
		unlinkat(p->lower, temporary, 0);
	}
	if (r == 0 && unlinkat(p->upper, p->name, 0) < 0)
		r = -errno;
	return r;
}

/* Between file systems. */
static int copy_over(struct commit *c, const struct places *p, const struct stat *st)
{
	char temporary[TEMPORARY_BYTES], link[FD_LINK_BYTES], target[PATH_MAX];
	_cleanup_close_ int from = -1, to = -1, in = -1;
	ssize_t n;
	int r = 0;

	temporary_name(c->b, p->name, temporary);
	from = openat(p->upper, p->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0)
		return -errno;
	if (S_ISREG(st->st_mode)) {
		fd_link(from, link);
		in = open(link, O_RDONLY | O_CLOEXEC);
		to = openat(p->lower, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		r = in < 0 || to < 0 ? -errno : copy_data(in, to, st->st_size);
	} else if (S_ISLNK(st->st_mode)) {
		n = readlinkat(from, "", target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = '\0';
		r = n < 0 || symlinkat(target, p->lower, temporary) < 0 ? -errno : 0;
	} else if (mknodat(p->lower, temporary, st->st_mode, st->st_rdev) < 0) {
		r = -errno;
	}
	if (r == 0 && to < 0)
		to = openat(p->lower, temporary, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (r == 0)
		r = to < 0 ? -errno : copy_attributes(from, st, to);
	if (r == 0 && c->b->durable && S_ISREG(st->st_mode) && fsync(to) < 0)
		r = -errno;
	if (r == 0 && renameat(p->lower, temporary, p->lower, p->name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(p->lower, temporary, 0);
	else if (unlinkat(p->upper, p->name, 0) < 0)
		r = -errno;
	return r;
}

/* What is new and shows its own number was not copied up. */
static bool may_have_origin(const struct commit *c, const struct change_item *i)
{
	uint64_t ino;
	dev_t dev;

	return i->kind != BRANCH_ADDED ||
	       identities_get(&c->b->identities, i->st.st_ino, &dev, &ino);
}

static void drop_origin(const struct places *p, const struct stat *st)
{
	int fd;

	if (!S_ISREG(st->st_mode))
		return;
	fd = openat(p->upper, p->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	remove_own_xattr(fd, XATTR_ORIGIN);
	close(fd);
}

int commit_file(struct commit *c, const struct change_item *i, struct lower_hit *hit)
{
	struct places p;
	int r = places_of_file(c, i->path, &p);

	if (r < 0)
		return r;
	if (is_topmost_dir(hit))
		r = remove_lower(c, &p, &hit->st);
	if (r == 0) {
		if (may_have_origin(c, i))
			drop_origin(&p, &i->st);
		r = renameat(p.upper, p.name, p.lower, p.name) < 0 ? -errno : 0;
	}
	if (r == -EXDEV) {
		r = link_over(c, &p, i);
		if (r == -ENOENT)
			r = copy_over(c, &p, &i->st);
	}
	if (r == 0)
		forget(c, i->path);
	return r;
}

int drop_copied(struct commit *c, const struct change_item *i)
{
	struct places p;
	int r = places_of_file(c, i->path, &p);

	if (r == 0 && unlinkat(p.upper, p.name, 0) < 0)
		r = -errno;
	if (r == 0)
		forget(c, i->path);
	return r;
}

/* Do lower trees show the name still, from deeper down? */
static int shows_below(struct commit *c, const char *path)
{
	struct lower_hit below;
	int r = c->b->n_lowers > 1 ? lower_find(c->b, path, &below) : 0;

	if (r == 0 && c->b->n_lowers > 1) {
		r = below.fd >= 0;
		lower_close(&below);
	}
	return r;
}

/* Deeper lower trees are left alone: what they have is hidden from the topmost one, as overlayfs would. */
int commit_deletion(struct commit *c, const struct change_item *i)
{
	struct places p;
	struct nodes_walk w;
	int r = places_open(c, i->path, &p);

	if (r == 0)
		r = remove_lower(c, &p, &i->st);
	if (r == 0)
		r = shows_below(c, i->path);
	if (r == 1)
		r = make_whiteout(p.lower, p.name);
	nodes_walk(&c->b->nodes, i->path, &w);
	/* the parent in upper/ is gone when a replaced directory above was */
	if (r == 0 && w.node && w.node->type == DT_WHT) {
		if (unlinkat(p.upper, p.name, 0) < 0)
			r = -errno;
		else
			forget(c, i->path);
	}
	places_close(&p);
	return r;
}
