/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commit: the changes go into the topmost lower tree, and the branch is what is left.
 *
 * Each step moves one thing from upper/ to the lower tree (or takes it away there, and its whiteout here) such that the merged tree never changes. So there is no journal but the branch
 * itself: after a crash at any moment the branch shows the same tree, and committing it again goes on where it stopped. Files move by rename where both are one file system, else by a temporary
 * file beside the target, synced and renamed: whoever reads the lower tree sees the old file or the new one. Order: directories and files parents first, then deletions, last the attributes and
 * times of directories, deepest first.
 *
 * A file of several names is committed name by name, and is one file again when the last one is there. Between file systems each name but the first is linked to
 * the one before; a commit that was stopped in between makes the names that are left a file of their own.
 *
 * What the lower tree has at a path must be what the path covered when it was changed first (covered.log); where somebody has changed it since, the entry is reported
 * with -ESTALE and stays in the branch, as does one whose step fails.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/openat2.h"
#include "sys/fd.h"
#include "tree/change.h"
#include "tree/diff.h"
#include "tree/life.h"
#include "util/grow.h"

struct places {
	int upper, lower; /* O_PATH, parents */
	const char *name;
};

/* ---- what was covered, by path ---- */

struct cover {
	char *path;
	struct covered was;
	size_t order;
};

struct commit {
	struct branch *b;
	struct changes changes;
	struct cover *covers; /* by path, then order */
	size_t n_covers, room_covers;
	bool no_memory;
	bool resumed; /* an earlier commit did not come to its end */
	/* parents of the file that was committed last: many lie side by side */
	struct places last;
	char *last_dir;	      /* their path; NULL: none */
	const char *replaced; /* the directory that was made anew last, with all below it */
	unsigned kept;
	branch_commit_fn fn;
	void *arg;
};

static void remember(void *arg, const char *path, const struct covered *was)
{
	struct commit *c = arg;
	struct cover *grown = grow_list(c->covers, c->n_covers, &c->room_covers, sizeof(*grown));
	char *copy;

	if (!grown) {
		c->no_memory = true;
		return;
	}
	c->covers = grown;
	copy = strdup(path);
	if (!copy) {
		c->no_memory = true;
		return;
	}
	c->covers[c->n_covers] = (struct cover){ .path = copy, .was = *was, .order = c->n_covers };
	c->n_covers++;
}

static int by_path(const void *x, const void *y)
{
	const struct cover *a = x, *b = y;
	int r = strcmp(a->path, b->path);

	return r ? r : a->order < b->order ? -1 : a->order > b->order;
}

static const struct covered *find_cover(const struct commit *c, const char *path)
{
	size_t low = 0, high = c->n_covers;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(c->covers[mid].path, path) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low && !strcmp(c->covers[low - 1].path, path) ? &c->covers[low - 1].was : NULL;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_as_covered(const struct covered *was, const struct stat *now)
{
	if (was->ino != now->st_ino || ((was->mode ^ now->st_mode) & S_IFMT) ||
	    !same_time(&was->mtime, &now->st_mtim))
		return false;
	if (S_ISDIR(now->st_mode))
		return true;
	/* committing another of its names changes an inode's ctime */
	return was->size == (uint64_t)now->st_size &&
	       (was->nlink > 1 || same_time(&was->ctime, &now->st_ctim));
}

static bool is_replaced(const struct commit *c, const char *path)
{
	size_t n = c->replaced ? strlen(c->replaced) : 0;

	return n && !strncmp(path, c->replaced, n) && path[n] == '/';
}

/* The record that a commit leaves before it makes a directory anew, so that the next one does not take its work for somebody else's. */
static bool is_replacement(const struct covered *was)
{
	return was->ino == 0 && S_ISDIR(was->mode);
}

static int record_replacement(struct commit *c, const char *path)
{
	const struct covered mark = { .mode = S_IFDIR };

	return covered_append(c->b, path, &mark);
}

/* By a commit before this one. */
static bool was_replaced(const struct commit *c, const char *path)
{
	char prefix[PATH_MAX];

	for (const char *at = strchr(path, '/'); at; at = strchr(at + 1, '/')) {
		const struct covered *was;

		snprintf(prefix, sizeof(prefix), "%.*s", (int)(at - path), path);
		was = find_cover(c, prefix);
		if (was && is_replacement(was))
			return true;
	}
	return false;
}

/* Has somebody else changed what the lower tree has there? */
static bool is_conflict(const struct commit *c, const struct change_item *i,
			const struct lower_hit *hit)
{
	const struct covered *was = find_cover(c, i->path);

	if (i->kind != BRANCH_DELETED && S_ISDIR(i->st.st_mode) && !i->opaque && hit->n_dirs)
		return false; /* two directories merge */
	if (hit->fd < 0 && (is_replaced(c, i->path) || (c->resumed && was_replaced(c, i->path))))
		return false;
	if (hit->fd < 0) /* gone: as wished, or a file that nobody hid */
		return was && i->kind != BRANCH_DELETED && !S_ISDIR(was->mode) && was->upper_ino &&
		       !S_ISDIR(i->st.st_mode);
	if (was && is_replacement(was))
		return false;
	/* below a replaced directory there is no record of each; the directory's own was compared */
	if (!was)
		return i->kind != BRANCH_DELETED;
	/* a directory that an earlier commit was taking away, for nothing or for a file */
	if (c->resumed && hit->n_dirs && was->ino == hit->st.st_ino)
		return false;
	return !is_as_covered(was, &hit->st);
}

/* ---- places ---- */

static int open_parent(int root_fd, const char *path)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	memcpy(parent, path, n);
	parent[n] = '\0';
	return open_beneath(root_fd, parent, O_PATH | O_DIRECTORY, 0);
}

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int places_open(struct commit *c, const char *path, struct places *p)
{
	int r;

	p->name = last_name(path);
	p->lower = -1;
	p->upper = r = open_parent(c->b->upper_fd, path);
	if (r >= 0)
		p->lower = r = open_parent(c->b->lower_fds[0], path);
	return r < 0 ? r : 0;
}

static void places_close(struct places *p)
{
	if (p->upper >= 0)
		close(p->upper);
	if (p->lower >= 0)
		close(p->lower);
}

static void forget_places(struct commit *c)
{
	if (c->last_dir)
		places_close(&c->last);
	free(c->last_dir);
	c->last_dir = NULL;
}

/* As places_open; they are closed by forget_places, before any directory is made, moved or taken away. */
static int places_of_file(struct commit *c, const char *path, struct places *ret)
{
	size_t n = (size_t)(last_name(path) - path);
	int r = 0;

	if (!c->last_dir || strlen(c->last_dir) != n || memcmp(c->last_dir, path, n) != 0) {
		forget_places(c);
		r = places_open(c, path, &c->last);
		c->last_dir = r < 0 ? NULL : strndup(path, n);
		if (!c->last_dir) {
			places_close(&c->last);
			return r < 0 ? r : -ENOMEM;
		}
	}
	*ret = c->last;
	ret->name = last_name(path);
	return 0;
}

static void forget(struct commit *c, const char *path)
{
	struct nodes_walk w;

	nodes_walk(&c->b->nodes, path, &w);
	if (!w.node || !w.node->parent)
		return;
	if (w.node->ino)
		identities_drop(&c->b->identities, w.node->ino);
	nodes_remove(&c->b->nodes, w.node);
}

/* ---- taking away in the lower tree ---- */

/* A directory goes in one step where work/ is on its file system. */
static int remove_lower(struct commit *c, const struct places *p, const struct stat *st)
{
	char name[WORK_NAME_BYTES];

	if (!S_ISDIR(st->st_mode))
		return unlinkat(p->lower, p->name, 0) < 0 && errno != ENOENT ? -errno : 0;
	work_name(c->b, name);
	if (renameat(p->lower, p->name, c->b->work_fd, name) == 0) {
		remove_tree(c->b->work_fd, name);
		return 0;
	}
	if (errno == ENOENT)
		return 0;
	remove_tree(p->lower, p->name);
	return faccessat(p->lower, p->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? -ENOTEMPTY : 0;
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
static int commit_deletion(struct commit *c, const struct change_item *i)
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

/* ---- moving ---- */

#define TEMPORARY_BYTES 40

/* Of a file beside @name of the lower tree: always the same one, so that a later commit finds what one that was killed has left, and another branch's is another. */
static void temporary_name(const struct branch *b, const char *name, char buf[TEMPORARY_BYTES])
{
	char text[NAME_MAX + 40];
	uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	snprintf(text, sizeof(text), "%" PRIx64 ".%" PRIx64 ".%s", (uint64_t)b->created,
		 (uint64_t)b->nodes.root->ino, name);
	for (const char *c = text; *c; c++)
		h = (h ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	snprintf(buf, TEMPORARY_BYTES, ".sluice-commit.%016" PRIx64, h);
}

void commit_clear(struct branch *b)
{
	char path[PATH_MAX], temporary[TEMPORARY_BYTES];

	for (struct node *n = b->nodes.root; n; n = nodes_next(n)) {
		int dir;

		if (!n->parent || node_path(n, path, sizeof(path)) < 0)
			continue;
		dir = open_parent(b->lower_fds[0], path);
		if (dir < 0)
			continue;
		temporary_name(b, n->name, temporary);
		remove_tree(dir, temporary);
		close(dir);
	}
}

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

/* Of the tree that is committed to, not of a deeper one. */
static bool is_topmost_dir(const struct lower_hit *hit)
{
	return hit->n_dirs && hit->dirs[0] == 0;
}

static int commit_file(struct commit *c, const struct change_item *i, struct lower_hit *hit)
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

/* Did an earlier commit copy it to another file system, and was killed before it could take it out of the branch? A copy has the times too. */
static bool is_copied(const struct commit *c, const struct change_item *i,
		      const struct lower_hit *hit)
{
	const struct stat *is = &i->st, *copy = &hit->st;
	const struct covered *was = find_cover(c, i->path);

	if (was && hit->fd >= 0 && is_as_covered(was, copy))
		return false;
	return c->resumed && i->kind != BRANCH_DELETED && hit->fd >= 0 && !S_ISDIR(is->st_mode) &&
	       is->st_dev != copy->st_dev && is->st_mode == copy->st_mode &&
	       is->st_uid == copy->st_uid && is->st_gid == copy->st_gid &&
	       is->st_size == copy->st_size && same_time(&is->st_mtim, &copy->st_mtim);
}

static int drop_copied(struct commit *c, const struct change_item *i)
{
	struct places p;
	int r = places_of_file(c, i->path, &p);

	if (r == 0 && unlinkat(p.upper, p.name, 0) < 0)
		r = -errno;
	if (r == 0)
		forget(c, i->path);
	return r;
}

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
		r = record_replacement(c, i->path);
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

/* Afterwards the topmost lower directory is there, and the upper one merges with it. */
static int commit_dir(struct commit *c, struct change_item *i, struct lower_hit *hit)
{
	struct nodes_walk w;
	struct places p;
	int r;

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

/* ---- the end of directories ---- */

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

/* One that led to changes only may be somebody else's: its times are put back where that is allowed. */
static int give_attributes(int upper, const struct change_item *i, int lower)
{
	const struct timespec times[2] = { i->st.st_atim, i->st.st_mtim };

	if (i->kind != BRANCH_SAME || i->made)
		return copy_attributes(upper, &i->st, lower);
	utimensat(lower, "", times, AT_EMPTY_PATH);
	return 0;
}

/* All in it is committed: the lower one gets its attributes and its times, and it is removed. */
static int finish_dir(struct commit *c, const struct change_item *i)
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
	if (r < 0 || w.node->child || upper < 0 || lower < 0)
		return r; /* something in it is kept, and was reported */
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

/* ---- */

static void report(struct commit *c, const struct change_item *i, int error)
{
	struct branch_change change = { i->kind, i->path, i->st };

	c->kept += error != 0;
	if (c->fn && (error || i->kind != BRANCH_SAME))
		c->fn(&change, error, c->arg);
}

static int carry_out(struct commit *c, struct change_item *i, struct lower_hit *hit)
{
	if (is_copied(c, i, hit))
		return drop_copied(c, i);
	if (is_conflict(c, i, hit))
		return -ESTALE;
	if (i->kind == BRANCH_DELETED)
		return commit_deletion(c, i);
	return S_ISDIR(i->st.st_mode) ? commit_dir(c, i, hit) : commit_file(c, i, hit);
}

static void commit_one(struct commit *c, struct change_item *i)
{
	struct lower_hit hit;
	int r = lower_find(c->b, i->path, &hit);

	if (i->kind == BRANCH_DELETED || S_ISDIR(i->st.st_mode))
		forget_places(c);
	if (r == 0)
		r = carry_out(c, i, &hit);
	lower_close(&hit);
	i->done = r == 0;
	report(c, i, r);
}

/* A copy that was never changed is just dropped: the lower file is the same, or newer. */
static void drop_copy(struct commit *c, const struct change_item *i)
{
	int r = unlinkat(c->b->upper_fd, i->path, 0) < 0 ? -errno : 0;

	if (r == 0)
		forget(c, i->path);
	else
		report(c, i, r);
}

static void commit_all(struct commit *c)
{
	struct changes *all = &c->changes;

	for (size_t n = 0; n < all->n; n++) {
		struct change_item *i = &all->items[n];

		if (i->kind == BRANCH_SAME && !S_ISDIR(i->st.st_mode))
			drop_copy(c, i);
		else if (i->kind != BRANCH_DELETED)
			commit_one(c, i);
	}
	for (size_t n = 0; n < all->n; n++) {
		if (all->items[n].kind == BRANCH_DELETED)
			commit_one(c, &all->items[n]);
	}
	forget_places(c);
	for (size_t n = all->n; n > 0; n--) {
		const struct change_item *i = &all->items[n - 1];
		int r = i->kind != BRANCH_DELETED && S_ISDIR(i->st.st_mode) ? finish_dir(c, i) : 0;

		if (r < 0)
			report(c, i, r);
	}
}

static int sync_layer(const struct branch *b, int dir_fd)
{
	_cleanup_close_ int fd = -1;

	if (!b->durable)
		return 0;
	fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || syncfs(fd) < 0 ? -errno : 0;
}

static int set_committing(struct branch *b, bool committing)
{
	b->committing = committing;
	return branch_write_meta(b);
}

static int commit_locked(struct commit *c)
{
	struct branch *b = c->b;
	int r = links_complete(b);

	if (r == 0)
		r = covered_each(b, remember, c);
	if (r == 0 && c->no_memory)
		r = -ENOMEM;
	if (c->n_covers)
		qsort(c->covers, c->n_covers, sizeof(*c->covers), by_path);
	if (r == 0)
		r = changes_collect_locked(b, &c->changes);
	/* one sync of the file system instead of one for each file: all is on disk before the first name appears */
	if (r == 0)
		r = sync_layer(b, b->upper_fd);
	if (r == 0)
		r = set_committing(b, true);
	if (r < 0)
		return r;
	links_dissolve(b);
	if (c->resumed)
		commit_clear(b);
	commit_all(c);
	branch_changed(b);
	r = sync_layer(b, b->lower_fds[0]);
	if (r == 0 && c->kept == 0 && ftruncate(b->log_fd, 0) < 0)
		r = -errno;
	if (r == 0 && c->kept == 0)
		r = set_committing(b, false);
	return r < 0 ? r : (int)c->kept;
}

bool branch_is_committing(const struct branch *b)
{
	return b->committing;
}

int branch_commit(struct branch *b, branch_commit_fn fn, void *arg)
{
	struct commit c = { .b = b, .fn = fn, .arg = arg };
	int r;

	branch_wrlock(b);
	c.resumed = b->committing;
	r = commit_locked(&c);
	branch_unlock(b);
	changes_fini(&c.changes);
	for (size_t i = 0; i < c.n_covers; i++)
		free(c.covers[i].path);
	free(c.covers);
	return r;
}
