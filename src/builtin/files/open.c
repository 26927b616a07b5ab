/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open, openat, openat2, creat.
 *
 * What is there is opened by the descriptor that was found; what is to be created, by its name in the directory that was found. How the open itself is
 * done (umask, FIFOs, terminals) is the engine's business, as for AS_SEEN.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/files/internal.h"
#include "sys/fd.h"
#include "sys/openat2.h"
#include "task/procfs.h"
#include "task/resolve.h"
#include "tree/denial.h"

#define O_LARGEFILE_BIT 0100000 /* C libraries of 64 bits spell it 0 */

static bool writes(uint64_t flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC) ||
	       (flags & O_TMPFILE) == O_TMPFILE;
}

static bool is_tmpfile(uint64_t flags)
{
	return (flags & O_TMPFILE) == O_TMPFILE;
}

static int open_at(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	return open_at_how(dirfd, path, flags & O_PATH ? flags : flags | O_NOCTTY, mode, resolve);
}

/* What the kernel would have said of a file that is there. */
static int check_existing(const struct files_plan *p, int fd, const struct stat *st, uint64_t flags)
{
	const bool dir = S_ISDIR(st->st_mode);
	struct walk_end end = { .fd = fd, .dir = -1, .mount = p->places[0].mount };

	if (flags & O_CREAT && p->places[0].has_name && p->places[0].slash)
		return -EISDIR;
	if (p->places[0].has_name && p->places[0].slash && !dir)
		return -ENOTDIR;
	if (flags & O_CREAT && flags & O_EXCL && !is_tmpfile(flags))
		return -EEXIST;
	if (S_ISLNK(st->st_mode))
		return flags & O_DIRECTORY ? -ENOTDIR : -ELOOP;
	if (!dir && flags & O_DIRECTORY)
		return -ENOTDIR;
	if (dir && flags & O_CREAT && !is_tmpfile(flags))
		return -EISDIR;
	if (S_ISREG(st->st_mode) || dir) {
		if (writes(flags & ~(uint64_t)O_CREAT) && tree_is_read_only(p->tree, &end))
			return -EROFS;
	}
	return 0;
}

/* No socket can be opened, for whatever. The kernel would say so after our own domain's refusal, which need not be the task's. */
static int open_socket(int fd, uint64_t flags)
{
	const uint64_t access = flags & O_ACCMODE;
	int mode = (access != O_WRONLY ? R_OK : 0) |
		   (access != O_RDONLY || flags & O_TRUNC ? W_OK : 0);

	return syscall(SYS_faccessat2, fd, "", mode, AT_EMPTY_PATH | AT_EACCESS) < 0 ? -errno
										     : -ENXIO;
}

/* What the branch makes for itself is none of the task's umask's business. @dir: where the new file is to be, if it is. */
static int open_in_branch(const struct files_spot *s, int dir, uint64_t flags, uint64_t mode)
{
	mode_t mask = umask(0);
	int fd, r;

	if (mask && dir >= 0 && !fd_has_default_acl(dir))
		mode &= ~(uint64_t)mask;
	r = branch_open_file(s->branch, s->path, (int)flags, (mode_t)mode, &fd);
	umask(mask);
	return r < 0 ? r : fd;
}

static bool lies_in_branch(const struct files_plan *p)
{
	const struct view_mount *m = view_mount(p->tree->view, p->places[0].mount);

	return m && m->branch;
}

/* What the command is shown in place of the file behind @fd; -ENODATA: that file. */
static int open_as_shown(const struct sluice_request *req, const struct files_plan *p, int fd,
			 const struct stat *st, uint64_t flags)
{
	const struct procfs_view *v = p->tree->proc;

	return v ? v->open(v, request_task(req), fd, st, flags) : -ENODATA;
}

static int open_existing(const struct sluice_request *req, const struct files_plan *p, int fd,
			 int dir, uint64_t flags, uint64_t mode)
{
	struct files_spot s = { .branch = NULL };
	const uint64_t keep = is_tmpfile(flags) ? 0 : O_CREAT | O_EXCL;
	char link[FD_LINK_BYTES], name[NAME_MAX + 2];
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	r = check_existing(p, fd, &st, flags);
	if (r < 0)
		return r;
	r = open_as_shown(req, p, fd, &st, flags);
	if (r != -ENODATA)
		return r;
	if (!p->tree->proc && writes(flags) && !p->tree->proc_writable && procfs_has(fd))
		return -EACCES; /* our own domain may grant more of /proc than the policy does */
	if (S_ISSOCK(st.st_mode) && !(flags & O_PATH))
		return open_socket(fd, flags);
	flags &= ~keep;
	r = is_tmpfile(flags) || S_ISFIFO(st.st_mode) || (S_ISREG(st.st_mode) && writes(flags))
		    ? files_spot(req, p, 0, &s)
		    : 0;
	if (r == 0 && writes(flags))
		r = files_check_run(p->tree, fd, &st);
	if (r < 0)
		return r;
	if (s.branch)
		return open_in_branch(&s, is_tmpfile(flags) ? fd : -1, flags, mode);
	if (lies_in_branch(p)) /* the file can be in another layer than its directory */
		flags &= ~(uint64_t)O_NOFOLLOW;
	if (flags & O_NOFOLLOW && dir >= 0) /* which the open file will show */
		return open_at(dir, files_name(&p->places[0], name), flags, 0, RESOLVE_BENEATH);
	if (flags & O_NOFOLLOW && S_ISDIR(st.st_mode) && !is_tmpfile(flags))
		return open_at(fd, ".", flags, 0, RESOLVE_BENEATH);
	flags &= ~(uint64_t)O_NOFOLLOW;
	return open_at(AT_FDCWD, fd_link(fd, link), flags, is_tmpfile(flags) ? mode : 0, 0);
}

static int open_new(const struct sluice_request *req, const struct files_plan *p, int dir,
		    uint64_t flags, uint64_t mode)
{
	struct files_spot s;
	int r;

	const struct files_place *place = &p->places[0];
	struct walk_end end = { .fd = -1, .dir = dir, .mount = place->mount };

	if (!(flags & O_CREAT) || is_tmpfile(flags))
		return -ENOENT;
	if (place->slash)
		return -EISDIR;
	if (tree_is_read_only(p->tree, &end))
		return -EROFS;
	r = files_spot(req, p, 0, &s);
	if (r < 0)
		return r;
	if (s.branch)
		return open_in_branch(&s, dir, flags, mode);
	return open_at(dir, place->name, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

static int open_planned(struct sluice_request *req, const struct resolve_open *how,
			struct stat *ret_st)
{
	const struct files_plan *p = request_plan_data(req);
	int fd = request_plan_fd(req, 0);

	if (p->opened) {
		*ret_st = p->st;
		fd = open_as_shown(req, p, fd, ret_st, how->flags);
		if (fd == -ENODATA)
			return request_plan_take_fd(req, 0);
	} else if (fd >= 0)
		fd = open_existing(req, p, fd, request_plan_dir(req, 0), how->flags, how->mode);
	else
		fd = open_new(req, p, request_plan_dir(req, 0), how->flags, how->mode);
	if (fd >= 0 && fstat(fd, ret_st) < 0) {
		close(fd);
		return -errno;
	}
	if (fd >= 0)
		denial_found_clean(p->tree->view, ret_st);
	return fd;
}

static struct request_act open_act(struct sluice_request *req, const void *data)
{
	(void)data;
	return request_open_as_task(req, open_planned);
}

/*
 * Flags of an open that may be made before its plan is (walk_from.open), because nobody looks in between and it changes nothing: for reading,
 * with flags that are registers. Without blocking, as request_open_as_task wants it. 0: it is not such an open.
 */
static uint64_t early_flags(const struct sluice_request *req, const struct sluice_open_args *a)
{
	const uint64_t shown = O_DIRECTORY | O_NOFOLLOW | O_LARGEFILE_BIT;
	const uint64_t harmless = shown | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

	if (a->openat2 || a->flags & ~harmless || request_has_extras(req))
		return 0;
	return (a->flags & shown) | O_RDONLY | O_NOCTTY | O_NONBLOCK;
}

/*
 * A descriptor of a symbolic link itself is O_PATH's alone, and can't be injected. Who asks for one wants to know whether there is a link (fchmodat
 * of C libraries, with AT_SYMLINK_NOFOLLOW), and says EOPNOTSUPP of it; ELOOP would be news to him.
 */
static bool wants_link_itself(const struct sluice_open_args *a, const struct walk_end *end)
{
	return a->flags & O_PATH && !(a->flags & O_DIRECTORY) && end->fd >= 0 &&
	       S_ISLNK(end->st.st_mode);
}

static struct sluice_verdict open_handle(struct sluice_request *req, void *userdata)
{
	const struct tree *tree = userdata;
	struct files_plan p = { 0 };
	struct sluice_open_args args;
	struct tree_how how;
	struct walk_end end;
	uint32_t flags = 0;
	int r = sluice_request_open_args(req, &args);

	if (r == 0)
		r = resolve_check_flags(args.flags, args.mode, args.resolve, args.openat2);
	if (r < 0)
		return files_errno(r);
	if (args.flags & O_NOFOLLOW || (args.flags & O_CREAT && args.flags & O_EXCL))
		flags |= WALK_NOFOLLOW;
	if (args.flags & (O_CREAT | O_NOFOLLOW))
		flags |= WALK_NAME;
	if (args.flags & O_CREAT)
		flags |= WALK_CREATE;
	how = (struct tree_how){ .resolve = args.resolve, .open = early_flags(req, &args) };
	r = files_walk_how(req, tree, 0, flags, &how, &end);
	if (r == 0 && end.fd < 0 && !(args.flags & O_CREAT))
		r = -ENOENT;
	if (r == 0 && wants_link_itself(&args, &end))
		r = -EOPNOTSUPP;
	return files_plan_one(req, tree, &p, &end, r, open_act);
}

const struct files_call files_open_calls[] = {
#ifdef SYS_open
	{ SYS_open, open_handle },   { SYS_creat, open_handle },
#endif
	{ SYS_openat, open_handle }, { SYS_openat2, open_handle }, { -1, NULL },
};
