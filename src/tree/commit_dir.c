/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories: made in the tree that is committed to before what is in them, and taken out of the branch after it.
 */
#define _GNU_SOURCE
#include "tree/commit_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/openat2.h"
#include "util/cleanup.h"

static int drop_opaque(const struct places *p, struct node *n)
{
	int fd = openat(p->upper, p->name, O_PATH | O_NOFOLLOW | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = remove_own_xattr(fd, XATTR_OPAQUE);
	close(fd);
	if (r == -ENODATA)
		r = 0;
	if (r == 0)
		n->flags &= (uint8_t)~NODE_OPAQUE;
	return r;
}

/* In the place of a whiteout, or of nothing. */
static int make_lower_dir(struct commit *c, const struct places *p, bool opaque)
{
	_cleanup_close_ int fd = -1;
	char temporary[TEMPORARY_BYTES];
	int r;

	temporary_name(c->b, p->name, temporary);
	if (mkdirat(p->lower, temporary, 0700) < 0)
		return -errno;
	fd = openat(p->lower, temporary, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 ? -errno : opaque ? set_opaque(fd) : 0;
	if (r == 0 && renameat2(p->lower, temporary, p->lower, p->name, RENAME_NOREPLACE) < 0) {
		r = errno != EEXIST ? -errno : 0;
		if (r == 0 &&
		    renameat2(p->lower, temporary, p->lower, p->name, RENAME_EXCHANGE) < 0)
			r = -errno;
		unlinkat(p->lower, temporary, r == 0 ? 0 : AT_REMOVEDIR);
	} else if (r < 0) {
		unlinkat(p->lower, temporary, AT_REMOVEDIR);
	}
	return r;
}

/* A directory in the place of whatever lower trees show. */
static int commit_new_dir(struct commit *c, const struct change_item *i,
			  const struct lower_hit *hit, struct node *n)
{
	bool several = c->b->n_lowers > 1;
	struct places p;
	int r = places_open(c, i->path, &p);

	if (r == 0 && i->opaque)
		r = cover_replace(c, i->path);
	if (r == 0 && hit->fd >= 0)
		r = remove_lower(c, &p, &hit->st);
	/* one tree: between the steps nothing lower would show through, and no mark has to be taken back */
	if (r == 0 && !several && n && n->flags & NODE_OPAQUE)
		r = drop_opaque(&p, n);
	if (r == 0)
		r = several ? -EEXIST : mkdirat(p.lower, p.name, 0700) < 0 ? -errno : 0;
	if (r == -EEXIST) /* a whiteout of the lower tree's own may be there */
		r = make_lower_dir(c, &p, several);
	if (r == 0 && several && n && n->flags & NODE_OPAQUE)
		r = drop_opaque(&p, n);
	places_close(&p);
	return r;
}

/* A directory of the tree that its owner may not write in was one that he could, at some time: until it gets its attributes it is that again. */
static void give_to_owner(struct change_item *i, const struct lower_hit *hit)
{
	const mode_t mode = hit->st.st_mode & 07777;
	char link[FD_LINK_BYTES];

	if (!hit->n_dirs || !is_topmost_dir(hit) || hit->st.st_uid != geteuid() ||
	    may_access(hit->fd, W_OK | X_OK) == 0)
		return;
	if (chmod(fd_link(hit->fd, link), mode | 0700) == 0)
		i->lower_mode = mode | S_IFDIR;
}

int commit_dir(struct commit *c, struct change_item *i, struct lower_hit *hit)
{
	struct nodes_walk w;
	struct places p;
	int r;

	give_to_owner(i, hit);
	if (!*i->path)
		return 0;
	nodes_walk(&c->b->nodes, i->path, &w);
	i->made = true;
	if (i->opaque && !is_replaced(c, i->path))
		c->replaced = i->path;
	if (!hit->n_dirs || i->opaque || (w.node && w.node->flags & NODE_OPAQUE))
		return commit_new_dir(c, i, hit, w.node);
	i->made = !is_topmost_dir(hit);
	if (!i->made)
		return 0;
	r = places_open(c, i->path, &p);
	if (r == 0)
		r = make_lower_dir(c, &p, false);
	places_close(&p);
	return r;
}

static int drop_dead_whiteouts(struct commit *c, const struct node *dir, const char *path)
{
	struct node *n, *next;
	int r = 0;

	for (n = dir->child; r == 0 && n; n = next) {
		char below[PATH_MAX];
		struct lower_hit hit;

		next = n->next;
		if (n->type != DT_WHT)
			continue;
		snprintf(below, sizeof(below), "%.*s%s%s", PATH_MAX - NAME_MAX - 2, path,
			 *path ? "/" : "", n->name);
		r = lower_find(c->b, below, &hit);
		if (r == 0 && hit.fd < 0 && unlinkat(c->b->upper_fd, below, 0) == 0)
			forget(c, below);
		lower_close(&hit);
	}
	return r;
}

static void take_from_owner(const struct change_item *i, int lower)
{
	char link[FD_LINK_BYTES];

	if (i->lower_mode && lower >= 0)
		chmod(fd_link(lower, link), i->lower_mode & 07777);
}

/* One that led to changes only may be somebody else's: its times are put back where that is allowed. */
static int give_attributes(int upper, const struct change_item *i, int lower)
{
	const struct timespec times[2] = { i->st.st_atim, i->st.st_mtim };

	if (i->kind != BRANCH_SAME || i->made)
		return copy_attributes(upper, &i->st, lower);
	utimensat(lower, "", times, AT_EMPTY_PATH);
	take_from_owner(i, lower);
	return 0;
}

int finish_dir(struct commit *c, const struct change_item *i)
{
	_cleanup_close_ int upper = -1, lower = -1;
	struct nodes_walk w;
	int r;

	nodes_walk(&c->b->nodes, i->path, &w);
	if (!w.node)
		return 0;
	r = drop_dead_whiteouts(c, w.node, i->path);
	upper = open_beneath(c->b->upper_fd, i->path, O_PATH | O_DIRECTORY, 0);
	lower = open_beneath(c->b->lower_fds[0], i->path, O_PATH | O_DIRECTORY, 0);
	if (r < 0 || w.node->child || upper < 0 || lower < 0) {
		take_from_owner(i, lower);
		return r; /* something in it is kept, and was reported */
	}
	r = give_attributes(upper, i, lower);
	if (r < 0)
		return r;
	if (!*i->path) { /* it stays, and is what the root shows */
		utimensat(upper, "", (const struct timespec[]){ i->st.st_atim, i->st.st_mtim },
			  AT_EMPTY_PATH);
		return 0;
	}
	if (unlinkat(c->b->upper_fd, i->path, AT_REMOVEDIR) < 0)
		return -errno;
	forget(c, i->path);
	return 0;
}
