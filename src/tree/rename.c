/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rename: one renameat2 in upper/ does all that is seen, so a crash leaves the old names or the new ones.
 *
 * The whiteout that a moved file leaves over a lower one comes from the same call (RENAME_WHITEOUT). Files are copied up before, without the lock, and then everything is looked at
 * again. Directories move only when nothing lower is in them (EXDEV: the caller copies, as mv does), and are opaque where they arrive.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree/change.h"
#include "util/path.h"

#define AGAIN 1 /* copy up and start over */

struct rename_op {
	const char *from_path, *to_path;
	unsigned flags;
	bool exchange;
	struct target from, to;
	const char *copy_up; /* which has to be, before */
};

static bool is_dir(const struct target *t)
{
	return t->v.kind != BRANCH_NONE && S_ISDIR(t->v.st.st_mode);
}

static int check_names(const struct rename_op *op)
{
	if (op->from.v.kind == BRANCH_NONE)
		return -ENOENT;
	if (op->flags & RENAME_NOREPLACE && op->to.v.kind != BRANCH_NONE)
		return -EEXIST;
	if (op->exchange && op->to.v.kind == BRANCH_NONE)
		return -ENOENT;
	if (!*op->from_path || !*op->to_path)
		return -EBUSY;
	if (path_is_below(op->to_path, op->from_path))
		return -EINVAL;
	if (path_is_below(op->from_path, op->to_path))
		return op->exchange ? -EINVAL : -ENOTEMPTY;
	return 0;
}

/* Two names of one file: nothing happens. */
static bool is_same_file(const struct rename_op *op)
{
	if (!strcmp(op->from_path, op->to_path))
		return true;
	if (op->from.v.link || op->to.v.link)
		return op->from.v.link == op->to.v.link;
	if (op->from.v.kind != op->to.v.kind || op->to.v.kind == BRANCH_NONE)
		return false;
	return op->from.v.st.st_ino == op->to.v.st.st_ino &&
	       op->from.v.st.st_dev == op->to.v.st.st_dev && !is_dir(&op->from);
}

static int check_types(const struct rename_op *op)
{
	if (op->to.v.kind == BRANCH_NONE || op->exchange)
		return 0;
	if (is_dir(&op->from))
		return is_dir(&op->to) ? 0 : -ENOTDIR;
	return is_dir(&op->to) ? -EISDIR : 0;
}

static bool is_immovable(const struct target *t)
{
	return is_dir(t) && t->v.kind != BRANCH_UPPER;
}

/* A directory that changes its parent has its ".." written. */
static int may_move(struct branch *b, const struct target *t, const struct target *other)
{
	size_t n = (size_t)(t->name - t->path);
	int fd, r;

	if (!is_dir(t) ||
	    (n == (size_t)(other->name - other->path) && !memcmp(t->path, other->path, n)))
		return 0;
	if (t->v.lower.fd >= 0 && t->v.kind == BRANCH_LOWER)
		return may_access(t->v.lower.fd, W_OK);
	fd = upper_open_locked(b, t->path);
	r = fd < 0 ? fd : may_access_shown(b, fd, &t->v.st, W_OK);
	if (fd >= 0)
		close(fd);
	return r;
}

/* 0: go on. AGAIN: copy up first. 2: there is nothing to do. */
static int check(struct branch *b, struct rename_op *op)
{
	int r = check_names(op);

	if (r < 0)
		return r;
	if (is_same_file(op))
		return 2;
	r = target_may_change_locked(b, &op->from);
	if (r == 0)
		r = target_may_change_locked(b, &op->to);
	if (r == 0)
		r = check_types(op);
	if (r == 0)
		r = may_move(b, &op->from, &op->to);
	if (r == 0 && op->exchange)
		r = may_move(b, &op->to, &op->from);
	if (r == 0 && (is_immovable(&op->from) || (op->exchange && is_immovable(&op->to))))
		r = -EXDEV;
	if (r == 0 && !op->exchange && is_dir(&op->to))
		r = check_empty_locked(b, &op->to);
	if (r < 0)
		return r;
	op->copy_up = op->from.v.kind == BRANCH_LOWER		      ? op->from_path
		      : op->exchange && op->to.v.kind == BRANCH_LOWER ? op->to_path
								      : NULL;
	return op->copy_up ? AGAIN : 0;
}

/* Lower directories of the new name must not show in it. */
static int hide_below(struct target *from, const struct target *to)
{
	struct node *n = from->v.walk.node;
	int fd, r;

	if (n->type != DT_DIR || n->flags & NODE_OPAQUE || !node_merges(to->parent))
		return 0;
	fd = openat(from->dir, from->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = set_opaque(fd);
	close(fd);
	if (r == 0)
		n->flags |= NODE_OPAQUE;
	return r;
}

/* The nodes after a move; nothing can fail. */
static void moved(struct branch *b, struct rename_op *op, bool leaves_whiteout)
{
	struct node *from = op->from.v.walk.node, *to;

	to = set_node_locked(b, &op->to, from->type, from->flags, from->ino);
	nodes_adopt(&b->nodes, from, to);
	if (leaves_whiteout)
		set_node_locked(b, &op->from, DT_WHT, 0, 0);
	else
		nodes_remove(&b->nodes, from);
}

/* A directory cannot replace a whiteout; they change places, and the whiteout stays or goes. */
static int move_over_whiteout(struct rename_op *op, bool leaves_whiteout)
{
	if (renameat2(op->from.dir, op->from.name, op->to.dir, op->to.name, RENAME_EXCHANGE) < 0)
		return -errno;
	if (!leaves_whiteout)
		unlinkat(op->from.dir, op->from.name, 0);
	return 0;
}

static int move(struct branch *b, struct rename_op *op)
{
	bool leaves_whiteout = op->from.v.lower.fd >= 0;
	const struct node *over = op->to.v.walk.node;
	struct room_last last;
	bool frees;
	int r = hide_below(&op->from, &op->to);

	if (r == 0 && over && is_dir(&op->to) && over->child)
		r = replace_dir_locked(b, &op->to, false);
	if (r == 0)
		r = record_hidden(b, &op->to);
	if (r == 0 && op->to.v.kind == BRANCH_UPPER)
		r = links_will_change(b, op->to.v.link);
	if (r < 0)
		return r;
	frees = over && over->type != DT_WHT && !is_dir(&op->to) && op->to.v.upper_st.st_nlink == 1;
	if (frees)
		room_last_begin(b, op->to.dir, op->to.name, &op->to.v.upper_st, &last);
	if (over && over->type == DT_WHT && op->from.v.walk.node->type == DT_DIR)
		r = move_over_whiteout(op, leaves_whiteout);
	else if (renameat2(op->from.dir, op->from.name, op->to.dir, op->to.name,
			   leaves_whiteout ? RENAME_WHITEOUT : 0) < 0)
		r = -errno;
	if (frees)
		room_last_end(b, &last, r == 0);
	if (r < 0)
		return r;
	if (frees || (over && is_dir(&op->to)))
		identity_forget_locked(b, op->to.v.upper_st.st_ino);
	if (op->to.v.kind == BRANCH_UPPER)
		links_dropped(b, op->to.v.link);
	else if (op->to.v.kind == BRANCH_LOWER && !is_dir(&op->to))
		links_hidden(b, &op->to.v.lower.st);
	moved(b, op, leaves_whiteout);
	return 0;
}

static void swap_nodes(struct branch *b, struct node *x, struct node *y)
{
	struct node between = { 0 }, old = *x;

	nodes_adopt(&b->nodes, x, &between);
	nodes_adopt(&b->nodes, y, x);
	nodes_adopt(&b->nodes, &between, y);
	x->type = y->type;
	x->flags = y->flags;
	x->ino = y->ino;
	y->type = old.type;
	y->flags = old.flags;
	y->ino = old.ino;
}

static int exchange(struct branch *b, struct rename_op *op)
{
	int r = hide_below(&op->from, &op->to);

	if (r == 0)
		r = hide_below(&op->to, &op->from);
	if (r < 0)
		return r;
	if (renameat2(op->from.dir, op->from.name, op->to.dir, op->to.name, RENAME_EXCHANGE) < 0)
		return -errno;
	swap_nodes(b, op->from.v.walk.node, op->to.v.walk.node);
	branch_changed(b);
	return 0;
}

static int rename_once(struct branch *b, struct rename_op *op)
{
	int r, second;

	branch_wrlock(b);
	r = target_begin_locked(b, op->from_path, &op->from);
	second = target_begin_locked(b, op->to_path, &op->to);
	if (r == 0)
		r = second;
	if (r == 0)
		r = check(b, op);
	if (r == 0)
		r = target_ready_locked(b, &op->from);
	if (r == 0)
		r = target_ready_locked(b, &op->to);
	if (r == 0)
		r = op->exchange ? exchange(b, op) : move(b, op);
	target_end(&op->from);
	target_end(&op->to);
	branch_unlock(b);
	return r;
}

int branch_rename(struct branch *b, const char *from, const char *to, unsigned flags)
{
	struct rename_op op = {
		.from_path = from,
		.to_path = to,
		.flags = flags,
		.exchange = flags & RENAME_EXCHANGE,
	};
	int r;

	if (flags & ~(unsigned)(RENAME_EXCHANGE | RENAME_NOREPLACE) ||
	    flags == (RENAME_EXCHANGE | RENAME_NOREPLACE))
		return -EINVAL;
	while ((r = rename_once(b, &op)) == AGAIN) {
		r = copy_up(b, op.copy_up, 0);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : 0;
}
