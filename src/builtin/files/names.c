/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that make, remove and move names: mkdir, mknod, symlink, link, unlink, rmdir, rename, and truncate by path.
 *
 * The directory is the one that was found; the name in it is a single component, so nothing is resolved again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/files/internal.h"
#include "sys/fd.h"
#include "tree/denial.h"

/* Resolve path @which to a name in a directory that may be changed. @no_name: what a path without a last name ("/", "..") fails with. */
static int find_name(struct sluice_request *req, const struct tree *tree, unsigned which,
		     int no_name, struct walk_end *ret)
{
	int r = files_walk(req, tree, which, WALK_LAST, 0, ret);

	if (r < 0)
		return r;
	if (ret->dir < 0)
		r = -no_name;
	return r;
}

/* A new name: what is there already comes before what may not be written, as in the kernel. */
static int find_new_name(struct sluice_request *req, const struct tree *tree, unsigned which,
			 bool directory, struct walk_end *ret)
{
	int r = find_name(req, tree, which, EEXIST, ret);

	if (r == 0 && ret->fd >= 0)
		r = -EEXIST;
	if (r == 0 && ret->slash && !directory) /* somebody asks for a directory */
		r = -ENOENT;
	if (r == 0 && tree_is_read_only(tree, ret))
		r = -EROFS;
	return r;
}

/* Would another file there change what a denied path means that is not there yet? */
static bool leads_to_denial(const struct tree *tree, const struct walk_end *end)
{
	return tree->view && denial_beyond(tree->view, end->dir, end->name);
}

/* Mode bits for a new file in @dir, the task's umask applied. */
static int mode_of(struct sluice_request *req, int dir, uint64_t bits, mode_t mask, mode_t *ret)
{
	int umask_bits = request_umask(req);

	if (umask_bits < 0)
		return umask_bits;
	*ret = (mode_t)bits & mask;
	if (*ret & (mode_t)umask_bits && !fd_has_default_acl(dir))
		*ret &= ~(mode_t)umask_bits;
	return 0;
}

/* ---- mkdir, mknod ---- */

static struct request_act mkdir_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	const mode_t mode = (mode_t)p->args[0];
	struct files_spot s;
	int r = files_spot(req, p, 0, &s);

	if (r < 0 || s.branch)
		return files_value(r < 0 ? r : branch_mkdir(s.branch, s.path, mode));
	return files_done(mkdirat(request_plan_dir(req, 0), p->places[0].name, mode));
}

static struct sluice_verdict mkdir_plan(struct sluice_request *req, const struct tree *tree,
					uint64_t bits)
{
	struct files_plan p = { 0 };
	struct walk_end end;
	mode_t mode = 0;
	int r = find_new_name(req, tree, 0, true, &end);

	if (r == 0)
		r = mode_of(req, end.dir, bits, 01777, &mode);
	p.args[0] = mode;
	return files_plan_one(req, tree, &p, &end, r, mkdir_act);
}

static struct sluice_verdict mkdirat_handle(struct sluice_request *req, void *tree)
{
	return mkdir_plan(req, tree, sluice_request_arg(req, 2));
}

static struct request_act mknod_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	char name[NAME_MAX + 2];
	struct files_spot s;
	int r = files_spot(req, p, 0, &s);

	if (r < 0 || s.branch)
		return files_value(r < 0 ? r
					 : branch_mknod(s.branch, s.path, (mode_t)p->args[0],
							(dev_t)p->args[1]));
	return files_done(mknodat(request_plan_dir(req, 0), files_name(&p->places[0], name),
				  (mode_t)p->args[0], (dev_t)p->args[1]));
}

/* What can be made at all comes before where. */
static int check_type(uint64_t bits)
{
	switch (bits & S_IFMT) {
	case 0:
	case S_IFREG:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	case S_IFDIR:
		return -EPERM;
	default:
		return -EINVAL;
	}
}

static struct sluice_verdict mknod_plan(struct sluice_request *req, const struct tree *tree,
					uint64_t bits, uint64_t dev)
{
	struct files_plan p = { .args = { 0, (uint32_t)dev } };
	struct walk_end end;
	mode_t mode = 0;
	int r = check_type(bits);

	if (r < 0)
		return files_errno(r);
	r = find_new_name(req, tree, 0, false, &end);
	if (r == 0)
		r = mode_of(req, end.dir, bits, S_IFMT | 07777, &mode);
	p.args[0] = mode;
	return files_plan_one(req, tree, &p, &end, r, mknod_act);
}

static struct sluice_verdict mknodat_handle(struct sluice_request *req, void *tree)
{
	return mknod_plan(req, tree, sluice_request_arg(req, 2), sluice_request_arg(req, 3));
}

/* ---- symlink ---- */

static struct request_act symlink_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	char name[NAME_MAX + 2];
	const char *target;
	ssize_t n = sluice_request_path(req, 0, &target); /* read once, when it was planned */
	struct files_spot s;

	if (n >= 0)
		n = files_spot(req, p, 0, &s);
	if (n < 0 || s.branch)
		return files_value(n < 0 ? n : branch_symlink(s.branch, target, s.path));
	return files_done(
		symlinkat(target, request_plan_dir(req, 0), files_name(&p->places[0], name)));
}

static struct sluice_verdict symlink_handle(struct sluice_request *req, void *tree)
{
	struct files_plan p = { 0 };
	struct walk_end end = { .fd = -1, .dir = -1 };
	const char *target;
	ssize_t n = sluice_request_path(req, 0, &target);
	int r = n < 0 ? (int)n : n == 0 ? -ENOENT : find_new_name(req, tree, 1, false, &end);

	if (r == 0 && leads_to_denial(tree, &end))
		r = -EACCES;
	return files_plan_one(req, tree, &p, &end, r, symlink_act);
}

/* ---- unlink, rmdir ---- */

static int unlink_in_branch(const struct files_spot *s, const struct files_plan *p)
{
	if (p->places[0].slash && !p->places[0].directory)
		return -ENOTDIR;
	return p->args[0] ? branch_rmdir(s->branch, s->path) : branch_unlink(s->branch, s->path);
}

static struct request_act unlink_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	char name[NAME_MAX + 2];
	struct files_spot s;
	int r = files_spot(req, p, 0, &s);

	if (r < 0 || s.branch)
		return files_value(r < 0 ? r : unlink_in_branch(&s, p));
	return files_done(unlinkat(request_plan_dir(req, 0), files_name(&p->places[0], name),
				   (int)p->args[0]));
}

/* The last component decides what rmdir of "." and ".." says. */
static int no_name_errno(struct sluice_request *req, bool rmdir)
{
	const char *path, *last;
	ssize_t n = sluice_request_path(req, 0, &path);

	if (n < 0 || !rmdir)
		return rmdir ? EINVAL : EISDIR;
	while (n > 0 && path[n - 1] == '/')
		n--;
	last = path + n;
	while (last > path && last[-1] != '/')
		last--;
	if (n - (last - path) == 2 && !strncmp(last, "..", 2))
		return ENOTEMPTY;
	return n - (last - path) == 1 && *last == '.' ? EINVAL : EBUSY;
}

static struct sluice_verdict unlink_plan(struct sluice_request *req, const struct tree *tree,
					 uint64_t flags)
{
	const bool rmdir = flags & AT_REMOVEDIR;
	struct files_plan p = { .args = { flags } };
	struct walk_end end;
	int r = (uint32_t)flags & ~(uint32_t)AT_REMOVEDIR ? -EINVAL : 0;

	if (r < 0)
		return files_errno(r);
	r = find_name(req, tree, 0, 0, &end);
	if (r == 0 && end.dir < 0 && !S_ISDIR(end.st.st_mode)) /* a mount point that is a file */
		r = rmdir ? -ENOTDIR : -EBUSY;
	else if (r == 0 && end.dir < 0)
		r = -no_name_errno(req, rmdir);
	else if (r == 0 && end.fd < 0)
		r = -ENOENT;
	if (r == 0 && tree_is_read_only(tree, &end))
		r = -EROFS;
	return files_plan_one(req, tree, &p, &end, r, unlink_act);
}

static struct sluice_verdict unlinkat_handle(struct sluice_request *req, void *tree)
{
	return unlink_plan(req, tree, sluice_request_arg(req, 2));
}

/* ---- two paths ---- */

/* Where a name is, or else the file. */
static int place_fd(const struct walk_end *end)
{
	return end->dir >= 0 ? end->dir : end->fd;
}

static int mount_of(const struct tree *tree, const struct walk_end *end)
{
	return end->mount >= 0 ? end->mount : view_mount_of(tree->view, place_fd(end));
}

/* 0, or -EXDEV, as between two mounts of the kernel. */
static int on_one_mount(const struct tree *tree, struct walk_end *a, struct walk_end *b)
{
	if (!tree->view)
		return fd_mount_id(place_fd(a)) == fd_mount_id(place_fd(b)) ? 0 : -EXDEV;
	a->mount = mount_of(tree, a);
	b->mount = mount_of(tree, b);
	return a->mount == b->mount ? 0 : -EXDEV;
}

static struct sluice_verdict plan_two(struct sluice_request *req, const struct tree *tree,
				      struct files_plan *p, struct walk_end *a, struct walk_end *b,
				      int r, request_act_fn act)
{
	p->tree = tree;
	if (r == 0 && (tree_is_read_only(tree, a) || tree_is_read_only(tree, b)))
		r = -EROFS;
	if (r == 0)
		return files_plan(req, p, a, b, act);
	walk_end_close(a);
	walk_end_close(b);
	return files_errno(r);
}

/* What slashes ask for, as fs/namei.c has it; both lie in one branch, since they lie on one mount. */
static int rename_in_branch(const struct files_spot *a, const struct files_spot *b,
			    const struct files_plan *p)
{
	const struct files_place *from = &p->places[0], *to = &p->places[1];
	const unsigned flags = (unsigned)p->args[0];

	if (flags & RENAME_EXCHANGE && !to->exists)
		return -ENOENT;
	if (!from->directory && (to->slash || (from->slash && !(flags & RENAME_EXCHANGE))))
		return -ENOTDIR;
	if (flags & RENAME_EXCHANGE && !to->directory && (to->slash || from->slash))
		return -ENOTDIR;
	return branch_rename(a->branch, a->path, b->path, flags);
}

static struct request_act rename_places(struct sluice_request *req, const struct files_plan *p)
{
	char from[NAME_MAX + 2], to[NAME_MAX + 2];
	struct files_spot a, b = { .branch = NULL };
	int r = files_spot(req, p, 0, &a);

	if (r == 0)
		r = files_spot(req, p, 1, &b);
	if (r < 0 || a.branch)
		return files_value(r < 0 ? r : rename_in_branch(&a, &b, p));
	return files_done(syscall(SYS_renameat2, request_plan_dir(req, 0),
				  files_name(&p->places[0], from), request_plan_dir(req, 1),
				  files_name(&p->places[1], to), (unsigned)p->args[0]));
}

/* Is place @which a directory above a mount point? Then the view knows from now on. */
static bool moves_mounts(struct sluice_request *req, const struct files_plan *p, unsigned which)
{
	struct stat st;

	if (!p->tree->view || !p->places[which].directory ||
	    fstat(request_plan_fd(req, which), &st) < 0)
		return false;
	tree_show(p->tree, p->places[which].mount, request_plan_fd(req, which), &st);
	return view_rename_begins(p->tree->view, st.st_dev, st.st_ino);
}

static struct request_act rename_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	const bool from = moves_mounts(req, p, 0), to = moves_mounts(req, p, 1);
	struct request_act act = rename_places(req, p);

	if (act.value < 0 && from)
		view_rename_failed(p->tree->view);
	if (act.value < 0 && to)
		view_rename_failed(p->tree->view);
	return act;
}

static struct sluice_verdict rename_plan(struct sluice_request *req, const struct tree *tree,
					 uint64_t flags)
{
	const unsigned f = (unsigned)flags, known = RENAME_NOREPLACE | RENAME_EXCHANGE;
	struct files_plan p = { .args = { f } };
	struct walk_end a = { .fd = -1, .dir = -1 }, b = { .fd = -1, .dir = -1 };
	int r = f & ~known || f == known ? -EINVAL : 0;

	if (r == 0)
		r = files_walk(req, tree, 0, WALK_LAST, 0, &a);
	if (r == 0)
		r = files_walk(req, tree, 1, WALK_LAST, 0, &b);
	if (r == 0)
		r = on_one_mount(tree, &a, &b);
	if (r == 0 && a.dir < 0)
		r = -EBUSY;
	if (r == 0 && b.dir < 0)
		r = f & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
	if (r == 0 && a.fd < 0)
		r = -ENOENT;
	if (r == 0 && b.fd >= 0 && f & RENAME_NOREPLACE)
		r = -EEXIST;
	if (r == 0 && (leads_to_denial(tree, &a) || leads_to_denial(tree, &b)))
		r = -EACCES;
	return plan_two(req, tree, &p, &a, &b, r, rename_act);
}

#ifdef SYS_rename
static struct sluice_verdict rename_handle(struct sluice_request *req, void *tree)
{
	return rename_plan(req, tree, 0);
}
#endif

static struct sluice_verdict renameat2_handle(struct sluice_request *req, void *tree)
{
	return rename_plan(req, tree,
			   sluice_request_nr(req) == SYS_renameat2 ? sluice_request_arg(req, 4)
								   : 0);
}

static int link_in_branch(const struct sluice_request *req, const struct files_spot *from,
			  const struct files_spot *to)
{
	if (!from->branch) /* it has no name: of O_TMPFILE, or removed */
		return branch_link_fd(to->branch, request_plan_fd(req, 0), to->path);
	return branch_link(to->branch, from->path, to->path);
}

static struct request_act link_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	char from[FD_LINK_BYTES], to[NAME_MAX + 2];
	struct files_spot a, b = { .branch = NULL };
	int r = files_spot(req, p, 0, &a);

	if (r == 0)
		r = files_spot(req, p, 1, &b);
	if (r < 0 || b.branch)
		return files_value(r < 0 ? r : link_in_branch(req, &a, &b));

	/* our descriptor's link leads to the file itself, also where that is a symbolic link */
	return files_done(linkat(AT_FDCWD, fd_link(request_plan_fd(req, 0), from),
				 request_plan_dir(req, 1), files_name(&p->places[1], to),
				 AT_SYMLINK_FOLLOW));
}

static struct sluice_verdict link_plan(struct sluice_request *req, const struct tree *tree,
				       uint64_t flags)
{
	const unsigned f = (unsigned)flags;
	struct files_plan p = { 0 };
	struct walk_end a = { .fd = -1, .dir = -1 }, b = { .fd = -1, .dir = -1 };
	int r = f & ~(unsigned)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) ? -EINVAL : 0;

	if (r == 0)
		r = files_walk(req, tree, 0, files_walk_flags(f, true), 0, &a);
	if (r == 0)
		r = find_new_name(req, tree, 1, false, &b);
	if (r == 0)
		r = on_one_mount(tree, &a, &b);
	if (r == 0 && S_ISDIR(a.st.st_mode))
		r = -EPERM;
	return plan_two(req, tree, &p, &a, &b, r, link_act);
}

static struct sluice_verdict linkat_handle(struct sluice_request *req, void *tree)
{
	return link_plan(req, tree, sluice_request_arg(req, 4));
}

/* ---- truncate ---- */

static struct request_act truncate_act(struct sluice_request *req, const void *data)
{
	const struct files_plan *p = data;
	char link[FD_LINK_BYTES];
	struct files_spot s;
	struct stat st;
	int r = files_spot(req, p, 0, &s);

	if (r == 0 && fstat(request_plan_fd(req, 0), &st) == 0)
		r = files_check_run(p->tree, request_plan_fd(req, 0), &st);
	if (r < 0 || s.branch)
		return files_value(r < 0 ? r
					 : branch_truncate(s.branch, s.path, (off_t)p->args[0]));
	return files_done(truncate(fd_link(request_plan_fd(req, 0), link), (off_t)p->args[0]));
}

static struct sluice_verdict truncate_handle(struct sluice_request *req, void *tree)
{
	struct files_plan p = { .args = { sluice_request_arg(req, 1) } };
	struct walk_end end;
	int r = (int64_t)sluice_request_arg(req, 1) < 0 ? -EINVAL
							: files_walk(req, tree, 0, 0, 0, &end);

	if ((int64_t)sluice_request_arg(req, 1) < 0)
		return files_errno(r);
	if (r == 0 && S_ISREG(end.st.st_mode) && tree_is_read_only(tree, &end))
		r = -EROFS;
	return files_plan_one(req, tree, &p, &end, r, truncate_act);
}

#ifdef SYS_mkdir
static struct sluice_verdict mkdir_handle(struct sluice_request *req, void *tree)
{
	return mkdir_plan(req, tree, sluice_request_arg(req, 1));
}

static struct sluice_verdict mknod_handle(struct sluice_request *req, void *tree)
{
	return mknod_plan(req, tree, sluice_request_arg(req, 1), sluice_request_arg(req, 2));
}

static struct sluice_verdict unlink_handle(struct sluice_request *req, void *tree)
{
	return unlink_plan(req, tree, sluice_request_nr(req) == SYS_rmdir ? AT_REMOVEDIR : 0);
}

static struct sluice_verdict link_handle(struct sluice_request *req, void *tree)
{
	return link_plan(req, tree, 0);
}
#endif

const struct files_call files_name_calls[] = {
#ifdef SYS_mkdir
	{ SYS_mkdir, mkdir_handle },
	{ SYS_mknod, mknod_handle },
	{ SYS_unlink, unlink_handle },
	{ SYS_rmdir, unlink_handle },
	{ SYS_rename, rename_handle },
	{ SYS_link, link_handle },
	{ SYS_symlink, symlink_handle },
#endif
	{ SYS_mkdirat, mkdirat_handle },
	{ SYS_mknodat, mknodat_handle },
	{ SYS_unlinkat, unlinkat_handle },
#ifdef SYS_renameat
	{ SYS_renameat, renameat2_handle },
#endif
	{ SYS_renameat2, renameat2_handle },
	{ SYS_linkat, linkat_handle },
	{ SYS_symlinkat, symlink_handle },
	{ SYS_truncate, truncate_handle },
	{ -1, NULL },
};
