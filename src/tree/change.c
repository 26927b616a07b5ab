/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of names: what appears and what goes away.
 *
 * Where a whiteout or something lower holds the name, the new thing is made in work/ and one rename puts it in place; a name that nothing holds is
 * taken directly.
 */
#define _GNU_SOURCE
#include "tree/change.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/dir.h"
#include "sys/fd.h"
#include "sys/openat2.h"
#include "tree/remove.h"

#define ACL_DEFAULT XATTR_ACL "default"

void branch_changed(struct branch *b)
{
	/* pairs with branch_generation: who sees the new number sees the change, under the lock */
	atomic_fetch_add_explicit(&b->generation, 1, memory_order_release);
}

/* ---- targets ---- */

static int stat_parent_locked(struct branch *b, struct target *t, int *ret_fd)
{
	size_t n = (size_t)(t->name - t->path);
	char parent[PATH_MAX];
	struct merged v;
	int r, fd = -1;

	n -= n > 0; /* the slash */
	memcpy(parent, t->path, n);
	parent[n] = '\0';
	r = merged_find_locked(b, parent, &v);
	if (r == 0 && v.kind == BRANCH_NONE)
		r = -ENOENT;
	if (r == 0 && !S_ISDIR(v.st.st_mode))
		r = -ENOTDIR;
	if (r == 0) {
		t->dir_st = v.st;
		fd = r =
			v.kind == BRANCH_LOWER ? TAKE_FD(v.lower.fd) : upper_open_locked(b, parent);
	}
	merged_close(&v);
	*ret_fd = fd;
	return r < 0 ? r : 0;
}

int target_begin_locked(struct branch *b, const char *path, struct target *t)
{
	const char *slash = strrchr(path, '/');

	memset(t, 0, sizeof(*t));
	t->dir = -1;
	t->path = path;
	t->name = slash ? slash + 1 : path;
	return merged_find_locked(b, path, &t->v);
}

int target_existing_locked(struct branch *b, const char *path, struct target *t)
{
	int r = target_begin_locked(b, path, t);

	return r < 0 ? r : t->v.kind == BRANCH_NONE ? -ENOENT : *path ? 0 : -EBUSY;
}

bool has_capability(unsigned capability)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { 0 };

	return syscall(SYS_capget, &h, d) == 0 &&
	       d[capability / 32].effective & (1u << capability % 32);
}

/* A parent that is in upper/ stays open for target_ready_locked. */
static int open_upper_parent_locked(struct branch *b, struct target *t)
{
	t->dir = upper_open_parent_locked(b, t->path);
	if (t->dir < 0)
		return t->dir;
	if (fstat(t->dir, &t->dir_st) < 0)
		return -errno;
	return owner_show(b, &t->dir_st) ? may_access_as(t->dir, &t->dir_st, W_OK | X_OK)
					 : may_access(t->dir, W_OK | X_OK);
}

static int may_change_parent_locked(struct branch *b, struct target *t)
{
	const struct node *parent = t->v.walk.parent;
	_cleanup_close_ int fd = -1;
	int r;

	if (parent && parent->type == DT_DIR && t->dir < 0)
		return open_upper_parent_locked(b, t);
	r = stat_parent_locked(b, t, &fd);
	return r < 0 ? r : may_access_shown(b, fd, &t->dir_st, W_OK | X_OK);
}

int target_may_change_locked(struct branch *b, struct target *t)
{
	int r = may_change_parent_locked(b, t);

	if (r == 0 && t->v.kind != BRANCH_NONE && t->dir_st.st_mode & S_ISVTX &&
	    t->v.st.st_uid != geteuid() && t->dir_st.st_uid != geteuid() &&
	    !has_capability(CAP_FOWNER))
		r = -EPERM;
	return r;
}

int target_ready_locked(struct branch *b, struct target *t)
{
	int r = copy_up_parents_locked(b, t->path);
	struct nodes_walk w;

	if (r == 0)
		r = identities_reserve(&b->identities, 1);
	if (r < 0)
		return r;
	nodes_walk(&b->nodes, t->path, &w);
	t->parent = w.parent;
	t->v.walk.node = w.node;
	if (t->dir < 0)
		t->dir = upper_open_parent_locked(b, t->path);
	if (t->dir < 0)
		return t->dir;
	if (!t->v.walk.node)
		t->spare = node_new(t->name, strlen(t->name));
	return t->v.walk.node || t->spare ? 0 : -ENOMEM;
}

void target_end(struct target *t)
{
	merged_close(&t->v);
	if (t->dir >= 0)
		close(t->dir);
	node_free(t->spare);
}

/* What is at the target from now on. */
struct node *set_node_locked(struct branch *b, struct target *t, uint8_t type, uint8_t flags,
			     uint64_t ino)
{
	struct node *n = t->v.walk.node;

	if (!n) {
		n = TAKE_PTR(t->spare);
		nodes_insert(&b->nodes, t->parent, n);
		t->v.walk.node = n;
	}
	n->type = type;
	n->flags = flags;
	n->ino = ino;
	branch_changed(b);
	return n;
}

/* The log must know what is about to be hidden. */
int record_hidden(struct branch *b, const struct target *t)
{
	struct covered c;

	if (t->v.lower.fd < 0 || t->v.walk.node)
		return 0;
	covered_from(&c, &t->v.lower.st);
	return covered_append(b, t->path, &c);
}

/* ---- taking away ---- */

int put_whiteout_locked(struct branch *b, struct target *t)
{
	char name[WORK_NAME_BYTES];
	int r = record_hidden(b, t);

	if (r < 0)
		return r;
	if (!t->v.walk.node) {
		r = make_whiteout(t->dir, t->name);
	} else {
		work_name(b, name);
		r = make_whiteout(b->work_fd, name);
		if (r == 0 && renameat(b->work_fd, name, t->dir, t->name) < 0) {
			r = -errno;
			unlinkat(b->work_fd, name, 0);
		}
	}
	if (r == 0 && !t->v.walk.node && t->v.kind == BRANCH_LOWER)
		links_hidden(b, &t->v.lower.st);
	if (r == 0)
		set_node_locked(b, t, DT_WHT, 0, 0);
	return r;
}

/* The upper directory's own children: whiteouts, all of them, when it shows as empty. */
static void forget_children(struct branch *b, struct node *n)
{
	while (n->child)
		nodes_remove(&b->nodes, n->child);
}

static int make_opaque_dir(struct branch *b, const char *name, const struct target *t)
{
	_cleanup_close_ int fd = -1, old = -1;
	int r;

	if (mkdirat(b->work_fd, name, 0700) < 0)
		return -errno;
	fd = openat(b->work_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	old = openat(t->dir, t->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || old < 0)
		return -errno;
	r = set_opaque(fd);
	return r < 0 ? r : copy_attributes(old, &t->v.upper_st, fd);
}

/* Moving it away writes its "..", which needs a right that removing it does not. */
static int swap_out(struct branch *b, const struct target *t, const char *name)
{
	int r = renameat2(b->work_fd, name, t->dir, t->name, RENAME_EXCHANGE) < 0 ? -errno : 0;

	if (r != -EACCES)
		return r;
	fchmodat(t->dir, t->name, (t->v.upper_st.st_mode & 07777) | S_IWUSR, 0);
	r = renameat2(b->work_fd, name, t->dir, t->name, RENAME_EXCHANGE) < 0 ? -errno : 0;
	if (r < 0)
		fchmodat(t->dir, t->name, t->v.upper_st.st_mode & 07777, 0);
	return r;
}

int replace_dir_locked(struct branch *b, struct target *t, bool by_whiteout)
{
	char name[WORK_NAME_BYTES];
	struct stat st = { 0 };
	int r;

	work_name(b, name);
	r = by_whiteout ? make_whiteout(b->work_fd, name) : make_opaque_dir(b, name, t);
	if (r == 0 && !by_whiteout && fstatat(b->work_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r == 0)
		r = swap_out(b, t, name);
	if (r == 0) {
		forget_children(b, t->v.walk.node);
		set_node_locked(b, t, by_whiteout ? DT_WHT : DT_DIR, by_whiteout ? 0 : NODE_OPAQUE,
				st.st_ino);
		identity_drop(b, st.st_ino);
	}
	remove_tree(b->work_fd, name);
	return r;
}

/* Does a lower directory hold a name that no whiteout hides? */
static int check_lower_empty(struct branch *b, const struct target *t, size_t layer)
{
	const struct dirent *e;
	bool found = false;
	DIR *d;
	int r = dir_take(lower_open(b, layer, t->path, O_RDONLY | O_DIRECTORY), &d);

	if (r < 0)
		return r;
	while (!found && (e = dir_next(d))) {
		struct stat st;

		if (t->v.walk.node &&
		    nodes_find(&b->nodes, t->v.walk.node, e->d_name, strlen(e->d_name)))
			continue;
		found = dir_type(d, e) != DT_CHR ||
			fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			!is_whiteout(&st);
	}
	closedir(d);
	return found ? -ENOTEMPTY : 0;
}

int check_empty_locked(struct branch *b, struct target *t)
{
	const struct node *n = t->v.walk.node;
	int r = 0;

	for (const struct node *c = n ? n->child : NULL; c; c = c->next) {
		if (c->type != DT_WHT)
			return -ENOTEMPTY;
	}
	if (n && n->flags & NODE_OPAQUE)
		return 0;
	for (size_t i = 0; r == 0 && i < t->v.lower.n_dirs; i++)
		r = check_lower_empty(b, t, t->v.lower.dirs[i]);
	return r;
}

/* Nothing lower shows here, so nothing has to be hidden. */
static int remove_pure(struct branch *b, struct target *t)
{
	bool is_dir = S_ISDIR(t->v.st.st_mode);

	/* an opaque directory's whiteouts hide nothing any more, but are still there */
	if (is_dir && t->v.walk.node->child) {
		int r = replace_dir_locked(b, t, false);

		if (r < 0)
			return r;
	}
	if (unlinkat(t->dir, t->name, is_dir ? AT_REMOVEDIR : 0) < 0)
		return -errno;
	nodes_remove(&b->nodes, t->v.walk.node);
	branch_changed(b);
	return 0;
}

static int remove_target(struct branch *b, struct target *t)
{
	uint64_t upper = t->v.kind == BRANCH_LOWER ? 0 : t->v.upper_st.st_ino;
	bool is_file = !S_ISDIR(t->v.st.st_mode);
	struct link_group *link = upper ? t->v.link : NULL;
	bool last_name = upper && is_file && t->v.upper_st.st_nlink == 1;
	struct room_last last = { .fd = -1 };
	int r = target_ready_locked(b, t);

	if (r == 0)
		r = links_will_change(b, link);
	if (r < 0)
		return r;
	if (last_name)
		room_last_begin(b, t->dir, t->name, &t->v.upper_st, &last);
	if (t->v.lower.fd < 0)
		r = remove_pure(b, t);
	else if (is_file || t->v.kind == BRANCH_LOWER)
		r = put_whiteout_locked(b, t);
	else
		r = replace_dir_locked(b, t, true);
	/* a file may live on in open descriptors, and keeps its identity for them */
	if (r == 0 && upper && !is_file)
		identity_drop(b, upper);
	else if (r == 0 && last_name)
		identity_forget_locked(b, upper);
	if (last_name)
		room_last_end(b, &last, r == 0);
	if (r == 0)
		links_dropped(b, link);
	return r;
}

int branch_unlink(struct branch *b, const char *path)
{
	struct target t;
	int r;

	branch_wrlock(b);
	r = target_existing_locked(b, path, &t);
	if (r == 0)
		r = target_may_change_locked(b, &t);
	if (r == 0 && S_ISDIR(t.v.st.st_mode))
		r = -EISDIR;
	if (r == 0)
		r = remove_target(b, &t);
	target_end(&t);
	branch_unlock(b);
	return r;
}

int branch_rmdir(struct branch *b, const char *path)
{
	struct target t;
	int r;

	branch_wrlock(b);
	r = target_existing_locked(b, path, &t);
	if (r == 0)
		r = target_may_change_locked(b, &t);
	if (r == 0 && !S_ISDIR(t.v.st.st_mode))
		r = -ENOTDIR;
	if (r == 0)
		r = check_empty_locked(b, &t);
	if (r == 0)
		r = remove_target(b, &t);
	target_end(&t);
	branch_unlock(b);
	return r;
}

/* ---- making ---- */

/*
 * Where a new file is made before it takes a whiteout's place: work/, or a directory in it that hands down what the real parent would (its group,
 * its default ACL).
 */
struct nursery {
	int fd;
	char name[WORK_NAME_BYTES]; /* "": work/ itself */
};

static int nursery_open(struct branch *b, const struct target *t, struct nursery *ret)
{
	char link[FD_LINK_BYTES], acl[4096], own[FD_LINK_BYTES];
	struct stat st;
	ssize_t n;

	*ret = (struct nursery){ .fd = b->work_fd };
	fd_link(t->dir, link);
	n = getxattr(link, ACL_DEFAULT, acl, sizeof(acl));
	if (fstat(t->dir, &st) < 0)
		return -errno;
	if (n <= 0 && !(st.st_mode & S_ISGID))
		return 0;
	work_name(b, ret->name);
	if (mkdirat(b->work_fd, ret->name, 0700) < 0)
		return -errno;
	ret->fd = openat(b->work_fd, ret->name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd_link(ret->fd, own);
	if (ret->fd < 0 || chown(own, (uid_t)-1, st.st_gid) < 0 ||
	    chmod(own, 0700 | (st.st_mode & S_ISGID)) < 0 ||
	    (n > 0 && setxattr(own, ACL_DEFAULT, acl, (size_t)n, 0) < 0))
		return -errno;
	return 0;
}

static void nursery_close(struct branch *b, struct nursery *n)
{
	if (n->name[0] == '\0')
		return;
	if (n->fd >= 0)
		close(n->fd);
	remove_tree(b->work_fd, n->name);
}

/* As it must be before it is seen: a directory over lower ones hides them. */
static int finish_new(const struct target *t, int dir_fd, const char *name, struct stat *st)
{
	_cleanup_close_ int fd = -1;

	if (fstatat(dir_fd, name, st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISDIR(st->st_mode) || !node_merges(t->parent))
		return 0;
	fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : set_opaque(fd);
}

static void unmake(int dir_fd, const char *name)
{
	if (unlinkat(dir_fd, name, 0) < 0)
		unlinkat(dir_fd, name, AT_REMOVEDIR);
}

/* In place of the whiteout. A directory cannot be renamed over it, only exchanged with it. */
static int create_over(struct branch *b, struct target *t, branch_make_fn fn, void *arg,
		       struct stat *st)
{
	char name[WORK_NAME_BYTES];
	struct nursery from;
	int r = nursery_open(b, t, &from);

	memset(st, 0, sizeof(*st));

	work_name(b, name);
	if (r == 0)
		r = fn(from.fd, name, arg);
	if (r == 0) {
		bool is_dir;

		r = finish_new(t, from.fd, name, st);
		is_dir = S_ISDIR(st->st_mode);
		if (r == 0 &&
		    renameat2(from.fd, name, t->dir, t->name, is_dir ? RENAME_EXCHANGE : 0) < 0)
			r = -errno;
		if (r < 0 || is_dir)
			unmake(from.fd, name);
	}
	nursery_close(b, &from);
	return r;
}

int create_locked(struct branch *b, struct target *t, branch_make_fn fn, void *arg)
{
	struct stat st = { 0 };
	int r = target_ready_locked(b, t);

	if (r < 0)
		return r;
	if (t->v.walk.node) {
		r = create_over(b, t, fn, arg, &st);
	} else {
		r = fn(t->dir, t->name, arg);
		if (r == 0) {
			r = finish_new(t, t->dir, t->name, &st);
			if (r < 0)
				unmake(t->dir, t->name);
		}
	}
	if (r < 0)
		return r;
	set_node_locked(b, t, (uint8_t)IFTODT(st.st_mode),
			S_ISDIR(st.st_mode) && node_merges(t->parent) ? NODE_OPAQUE : 0, st.st_ino);
	return 0;
}

/* A whole new name. */
int branch_make(struct branch *b, const char *path, branch_make_fn fn, void *arg)
{
	struct target t;
	int r;

	branch_wrlock(b);
	r = target_begin_locked(b, path, &t);
	if (r == 0 && t.v.kind != BRANCH_NONE)
		r = -EEXIST;
	if (r == 0)
		r = target_may_change_locked(b, &t);
	if (r == 0)
		r = room_take(b, 0);
	if (r == 0) {
		r = create_locked(b, &t, fn, arg);
		if (r == 0 && t.v.walk.node)
			identity_new_locked(b, t.parent, t.v.walk.node->ino);
	}
	target_end(&t);
	branch_unlock(b);
	return r;
}

static int make_dir(int dir_fd, const char *name, void *arg)
{
	return mkdirat(dir_fd, name, *(mode_t *)arg) < 0 ? -errno : 0;
}

int branch_mkdir(struct branch *b, const char *path, mode_t mode)
{
	return branch_make(b, path, make_dir, &mode);
}

static int make_link_to(int dir_fd, const char *name, void *arg)
{
	return symlinkat(arg, dir_fd, name) < 0 ? -errno : 0;
}

int branch_symlink(struct branch *b, const char *target, const char *path)
{
	return branch_make(b, path, make_link_to, (void *)target);
}

struct device {
	mode_t mode;
	dev_t dev;
};

static int make_special(int dir_fd, const char *name, void *arg)
{
	const struct device *d = arg;

	return mknodat(dir_fd, name, d->mode, d->dev) < 0 ? -errno : 0;
}

int branch_mknod(struct branch *b, const char *path, mode_t mode, dev_t dev)
{
	struct device d = { mode, dev };

	/* a 0:0 character device is a whiteout here, and nobody's to make */
	if (S_ISCHR(mode) && dev == 0)
		return -EPERM;
	return branch_make(b, path, make_special, &d);
}

static int make_hard_link(int dir_fd, const char *name, void *arg)
{
	char link[FD_LINK_BYTES];

	fd_link(*(int *)arg, link);
	return linkat(AT_FDCWD, link, dir_fd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* The new name of an inode that is in upper/ already; it keeps the identity that it shows. */
static int link_new(struct branch *b, int fd, const char *to)
{
	struct target t;
	struct stat st;
	uint64_t ino;
	dev_t dev;
	int r = target_begin_locked(b, to, &t);

	if (r == 0 && t.v.kind != BRANCH_NONE)
		r = -EEXIST;
	if (r == 0)
		r = target_may_change_locked(b, &t);
	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r == 0)
		r = links_will_change(b, links_of_upper(b, st.st_ino));
	if (r == 0)
		r = create_locked(b, &t, make_hard_link, &fd);
	/* one that had no name until now */
	if (r == 0 && !identities_get(&b->identities, st.st_ino, &dev, &ino))
		identity_of_new_locked(b, t.parent, st.st_ino);
	target_end(&t);
	return r;
}

int branch_link_fd(struct branch *b, int fd, const char *to)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != b->upper_dev)
		return -EXDEV;
	branch_wrlock(b);
	r = link_new(b, fd, to);
	branch_unlock(b);
	return r;
}

/* Would linking be refused whatever the source's layer? Asked before it is copied up. */
static int check_link(struct branch *b, const char *from, const char *to)
{
	struct target s, t;
	int r, at_target;

	branch_rdlock(b);
	r = target_begin_locked(b, from, &s);
	at_target = target_begin_locked(b, to, &t);
	if (r == 0 && s.v.kind == BRANCH_NONE)
		r = -ENOENT;
	if (r == 0)
		r = at_target;
	if (r == 0 && t.v.kind != BRANCH_NONE)
		r = -EEXIST;
	if (r == 0)
		r = target_may_change_locked(b, &t);
	if (r == 0 && S_ISDIR(s.v.st.st_mode))
		r = -EPERM;
	target_end(&s);
	target_end(&t);
	branch_unlock(b);
	return r;
}

int branch_link(struct branch *b, const char *from, const char *to)
{
	int fd, r = check_link(b, from, to);

	if (r == 0)
		r = copy_up(b, from, 0);
	if (r < 0)
		return r;
	branch_wrlock(b);
	fd = r = upper_open_locked(b, from);
	if (r >= 0) {
		r = link_new(b, fd, to);
		close(fd);
	}
	branch_unlock(b);
	return r;
}
