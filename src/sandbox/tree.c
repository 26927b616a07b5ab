/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sandbox/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin/files/exec.h"
#include "builtin/files/files.h"
#include "policy/policy.h"
#include "sandbox/cow.h"
#include "sys/dir.h"
#include "sys/pidfd.h"
#include "tree/cwd.h"
#include "tree/denial.h"
#include "tree/dirents.h"
#include "util/cleanup.h"
#include "util/fail.h"

/* ---- the private directory ---- */

static int open_dir(int at, const char *name)
{
	int fd = openat(at, name, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int private_part(const struct sandbox_tree *t, const char *name)
{
	return mkdirat(t->dir, name, 0700) < 0 ? -errno : open_dir(t->dir, name);
}

static int private_make(struct sandbox_tree *t, struct sluice_error *err)
{
	int r = private_dir_make(PRIVATE_PROGRAMS, &t->private);

	if (r < 0) {
		fail_errno(err, r, "private directory");
		return fail_hint(
			err, r, "TMPDIR, /tmp or /var/tmp must be writable and not mounted noexec");
	}
	if (asprintf(&t->exec_path, "%s/exec", t->private.path) < 0) {
		t->exec_path = NULL;
		return fail_errno(err, -ENOMEM, "private directory");
	}
	t->tree.private_path = t->exec_path;
	t->tree.exe_of = exec_path_of;
	t->dir = open_dir(AT_FDCWD, t->private.path);
	t->exec = t->dir < 0 ? t->dir : private_part(t, "exec");
	t->skel = t->dir < 0 ? t->dir : private_part(t, "skel");
	for (size_t i = 0; i < 2; i++) {
		const int fds[] = { t->exec, t->skel };

		if (fds[i] < 0)
			return fail_errno(err, fds[i], "private directory: %s", t->private.path);
	}
	return files_exec_new(&t->tree, &t->tree.exec, err);
}

/* ---- the view ---- */

static bool is_mounted(const struct sluice_policy *p, const char *at)
{
	for (size_t i = 0; i < p->n_mounts; i++) {
		if (!strcmp(p->mounts[i].at, at))
			return true;
	}
	return false;
}

/* What appears in a root without being asked for, as far as the caller put nothing else there. */
static size_t add_defaults(const struct sluice_policy *p, struct view_spec *specs)
{
	size_t n = 0;

	if (!policy_has_root(p))
		return 0;
	if (!is_mounted(p, "/proc"))
		specs[n++] = (struct view_spec){ .at = "/proc", .host = "/proc", .optional = true };
	for (size_t i = 0; p->default_devices && !is_mounted(p, "/dev") && i < POLICY_DEVICES;
	     i++) {
		if (!is_mounted(p, policy_devices[i]))
			specs[n++] = (struct view_spec){ .at = policy_devices[i],
							 .host = policy_devices[i],
							 .optional = true };
	}
	return n;
}

static int view_make(struct sandbox_tree *t, const struct sluice_policy *p,
		     struct sluice_error *err)
{
	const struct view_spec root = { .at = "/", .host = p->root ? p->root : "/" };
	struct view_spec *specs = calloc(p->n_mounts + POLICY_DEVICES + 1, sizeof(*specs));
	size_t n;
	int r;

	if (!specs)
		return fail_errno(err, -ENOMEM, "mounts");
	n = add_defaults(p, specs);
	for (size_t i = 0; i < p->n_mounts; i++) {
		const struct policy_mount *m = &p->mounts[i];

		specs[n++] = (struct view_spec){
			.at = m->at,
			.host = m->host,
			.read_only = m->mode == SLUICE_MOUNT_READ_ONLY,
			.writable = m->mode == SLUICE_MOUNT_READ_WRITE,
		};
	}
	r = view_new(&root, specs, n, t->skel, &t->tree.view, err);
	free(specs);
	return r;
}

/* ---- copy-on-write ---- */

/* @dir in @in, and all that leads there. */
static int make_all(const char *in, const char *dir, char buf[PATH_MAX])
{
	char *at;

	if ((size_t)snprintf(buf, PATH_MAX, "%s/%s", in, dir) >= PATH_MAX)
		return -ENAMETOOLONG;
	for (at = strchr(buf + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		if (mkdir(buf, 0700) < 0 && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	return mkdir(buf, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int storage_path(const char *storage, char buf[PATH_MAX], struct sluice_error *err)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int r;

	if (storage) {
		snprintf(buf, PATH_MAX, "%s", storage);
		return 0;
	}
	if (state && *state == '/')
		r = make_all(state, "sluice/branches", buf);
	else if (home && *home == '/')
		r = make_all(home, ".local/state/sluice/branches", buf);
	else
		r = -ENOENT;
	if (r == 0)
		return 0;
	fail_errno(err, r, "branch storage");
	return fail_hint(err, r, "set HOME, or name a directory with --fs-storage");
}

_Static_assert(POLICY_LOWERS_MAX < BRANCH_LOWERS_MAX, "with the working directory");

/* The lower trees of a branch, topmost first. */
struct lowers {
	int fds[BRANCH_LOWERS_MAX]; /* [0] is borrowed */
	size_t n;
};

static int lowers_open(struct lowers *l, int top, const struct sluice_policy *p,
		       struct sluice_error *err)
{
	l->fds[0] = top;
	l->n = 1;
	for (size_t i = 0; i < p->n_lowers; i++) {
		int fd = open_dir(AT_FDCWD, p->lowers[i]);

		if (fd < 0)
			return fail_errno(err, fd, "lower tree: %s", p->lowers[i]);
		l->fds[l->n++] = fd;
	}
	return 0;
}

static void lowers_close(struct lowers *l)
{
	while (l->n > 1)
		close(l->fds[--l->n]);
}

/* A branch whose name nobody has: @spec's, or one made of it, in @buf. */
static int branch_new(struct branch_spec *spec, char *buf, size_t size, struct branch **ret,
		      struct sluice_error *err)
{
	const char *name = spec->name;
	int r = -EEXIST;

	spec->name = buf;
	for (unsigned i = 1; r == -EEXIST && i < 10000; i++) {
		snprintf(buf, size, i == 1 ? "%s" : "%s-%u", name, i);
		r = branch_create(spec, ret, err);
	}
	return r;
}

/* May a command go on in it? */
static int check_taken(const struct branch *b, const char *name, struct sluice_error *err)
{
	if (!branch_is_committing(b))
		return 0;
	fail(err, -EINPROGRESS, "branch %s: its commit was begun and did not end", name);
	return fail_hint(err, -EINPROGRESS, "sluice cow commit goes on with it, abort drops it");
}

/* The branch of the name, or a new one if there is none. */
static int branch_take(const struct branch_spec *spec, struct branch **ret, bool *ret_was_there,
		       struct sluice_error *err)
{
	struct sluice_error own = { 0 };
	int r = -EEXIST;

	/* somebody else may make it, or drop it, between the two */
	for (unsigned i = 0; r == -EEXIST && i < 10; i++) {
		*ret_was_there = true;
		r = branch_open(spec, ret, &own);
		if (r == -ENOENT) {
			*ret_was_there = false;
			r = branch_create(spec, ret, &own);
		}
	}
	if (r == -EBUSY)
		fail_hint(&own, r, "one sandbox at a time, or sluice cow command, has a branch");
	if (r == 0 && *ret_was_there) {
		r = check_taken(*ret, spec->name, &own);
		if (r < 0)
			branch_close(*ret);
	}
	if (r < 0 && err)
		*err = own;
	return r;
}

static int cow_make(const struct sluice_policy *p, const char *name, const char *storage,
		    const struct lowers *lowers, struct sandbox_tree *t, struct branch **ret,
		    struct sluice_error *err)
{
	char unique[128];
	struct branch_spec spec = {
		.storage = storage,
		.name = p->branch ? p->branch : name,
		.lower_fds = lowers->fds,
		.n_lowers = lowers->n,
		.max_bytes = p->max_disk,
		.durable = p->durability == SLUICE_DURABILITY_COMMIT,
	};
	int r = p->branch ? branch_take(&spec, ret, &t->cow_was_there, err)
			  : branch_new(&spec, unique, sizeof(unique), ret, err);

	if (r < 0)
		return r;
	t->cow = cow_new(*ret, spec.name);
	if (t->cow)
		return 0;
	if (t->cow_was_there)
		branch_close(*ret);
	else
		branch_abort(*ret);
	return fail_errno(err, -ENOMEM, "branch: %s", spec.name);
}

/* Listings of changed directories are given in place of the kernel's, for which the open file of the task must be had. */
static int check_descriptors(struct sluice_error *err)
{
	_cleanup_close_ int pidfd = pidfd_open_thread(getpid());
	_cleanup_close_ int fd = pidfd < 0 ? pidfd : pidfd_get_fd(pidfd, pidfd);

	if (fd >= 0)
		return 0;
	fail_errno(err, fd, "copy-on-write: pidfd_getfd");
	return fail_hint(err, fd, "the container's profile must allow pidfd_getfd");
}

/* The directory that the policy's @path names; @what is it for? */
static int find_directory(const struct sandbox_tree *t, const char *what, const char *path,
			  struct walk_end *ret, struct sluice_error *err)
{
	int r = tree_walk_grant(&t->tree, path, ret);

	if (r == 0 && !S_ISDIR(ret->st.st_mode)) {
		walk_end_close(ret);
		r = -ENOTDIR;
	}
	if (r == 0)
		return 0;
	fail_errno(err, r, "%s: %s", what, path);
	return ret->denied ? fail_hint(err, r, "%s is denied", *ret->denied ? ret->denied : path)
			   : r;
}

/* Has @storage branches and nothing else? */
static bool has_branches_only(const char *storage)
{
	const struct dirent *e;
	bool only = true;
	DIR *d;

	if (dir_open(AT_FDCWD, storage, 0, &d) < 0)
		return false;
	while (only && (e = dir_next(d)))
		only = branch_is_one(dirfd(d), e->d_name);
	closedir(d);
	return only;
}

/*
 * What a branch has on disk is not the command's to write, whatever it is granted: it says which directory a commit goes to. Nor are others' branches, as far as the storage is for
 * branches alone and nothing that is seen lies in it.
 */
static int hide_branches(struct sandbox_tree *t, const char *storage, struct sluice_error *err)
{
	_cleanup_close_ int all = open_dir(AT_FDCWD, storage);
	int r = -EINVAL;

	if (all >= 0 && has_branches_only(storage) &&
	    !view_is_below(t->tree.view, t->tree.here, all))
		r = view_hide(t->tree.view, all);
	if (r == -EINVAL)
		r = view_hide(t->tree.view, t->branch_dir);
	return r < 0 ? fail_errno(err, r, "branch storage: %s", storage) : 0;
}

static int cover(struct sandbox_tree *t, const struct sluice_policy *p, const char *name,
		 struct sluice_error *err)
{
	char storage[PATH_MAX], own[PATH_MAX];
	struct branch *branch = NULL;
	struct lowers lowers = { .n = 0 };
	struct walk_end end;
	int r = check_descriptors(err);

	if (r < 0)
		return r;
	r = find_directory(t, "copy-on-write", p->workdir, &end, err);
	if (r < 0)
		return r;
	r = lowers_open(&lowers, end.fd, p, err);
	if (r == 0)
		r = storage_path(p->storage, storage, err);
	if (r == 0)
		r = cow_make(p, name, storage, &lowers, t, &branch, err);
	lowers_close(&lowers);
	if (r == 0 && (size_t)snprintf(own, sizeof(own), "%s/%s", storage,
				       sluice_cow_name(t->cow)) >= sizeof(own))
		r = fail_errno(err, -ENAMETOOLONG, "branch storage: %s", storage);
	if (r == 0) {
		t->branch_dir = open_dir(AT_FDCWD, own);
		if (t->branch_dir < 0)
			r = fail_errno(err, t->branch_dir, "branch storage: %s", own);
	}
	if (r == 0 && view_path(t->tree.view, end.fd, own, sizeof(own)) < 0)
		r = fail_errno(err, -EXDEV, "copy-on-write: %s", p->workdir);
	walk_end_close(&end);
	if (r == 0)
		r = view_cover(t->tree.view, own, branch, err);
	return r < 0 ? r : hide_branches(t, storage, err);
}

/* What the kernel executes for any tree of this user is not the command's to write. */
static int hide_private(struct sandbox_tree *t, struct sluice_error *err)
{
	int r = view_hide(t->tree.view, t->private.parent);

	return r < 0 ? fail_errno(err, r, "private directory: %s", t->private.path) : 0;
}

/* The caller's directory as far as the view shows it, else the root. */
static int here_open(const struct view *v)
{
	char path[PATH_MAX];
	int here = open_dir(AT_FDCWD, ".");
	int r;

	if (here >= 0 && view_path(v, here, path, sizeof(path)) > 0)
		return here;
	if (here >= 0)
		close(here);
	r = fcntl(view_mount(v, 0)->fd, F_DUPFD_CLOEXEC, 3);
	return r < 0 ? -errno : r;
}

/* Where relative paths of the policy start from, which directory is covered, what is denied of what is seen then, and where the command starts. */
static int start_open(struct sandbox_tree *t, const struct sluice_policy *p, const char *name,
		      struct sluice_error *err)
{
	const char *path = p->cwd ? p->cwd : p->workdir;
	struct walk_end end;
	int r = t->tree.here = here_open(t->tree.view);

	if (r < 0)
		return fail_errno(err, r, "working directory");
	r = p->workdir ? cover(t, p, name, err) : 0;
	if (r == 0)
		r = hide_private(t, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < p->n_denials; i++) {
		r = denial_add(t->tree.view, t->tree.here, p->denials[i], err);
		if (r < 0)
			return r;
	}
	r = find_directory(t, "working directory", path ? path : ".", &end, err);
	if (r == 0)
		t->start = end.fd;
	return r;
}

int sandbox_tree_new(const struct sluice_policy *p, const char *name, struct sandbox_tree **ret,
		     struct sluice_error *err)
{
	struct sandbox_tree *t = calloc(1, sizeof(*t));
	int r, start;

	if (!t)
		return fail_errno(err, -ENOMEM, "tree");
	t->dir = t->exec = t->skel = t->tree.here = t->start = t->branch_dir = -1;
	t->tree.engine_only = policy_has_root(p) || p->n_denials;
	r = cwd_check_limit();
	if (r < 0) {
		fail_errno(err, r, "tree: the hard limit RLIMIT_RTTIME");
		fail_hint(
			err, r,
			"working directories are carried in it: start with \"ulimit -R unlimited\"");
	}
	if (r == 0)
		r = private_make(t, err);
	if (r == 0)
		r = view_make(t, p, err);
	if (r == 0)
		r = start_open(t, p, name, err);
	if (r == 0) {
		start = fcntl(t->start, F_DUPFD_CLOEXEC, 3);
		t->tree.cwds = start < 0 ? NULL : cwd_table_new(start);
		t->tree.dirents = dirents_new(0);
		if (t->tree.dirents && p->deterministic_dirs)
			dirents_set_order(t->tree.dirents);
		if (!t->tree.cwds || !t->tree.dirents)
			r = fail_errno(err, -ENOMEM, "tree");
	}
	if (r < 0)
		sandbox_tree_free(t);
	else
		*ret = t;
	return r;
}

struct sandbox_tree *sandbox_tree_free(struct sandbox_tree *t)
{
	if (!t)
		return NULL;
	exec_free(t->tree.exec);
	cwd_table_free(t->tree.cwds);
	dirents_free(t->tree.dirents);
	view_free(t->tree.view);
	if (t->cow_was_there)
		sluice_cow_close(t->cow);
	else if (t->cow)
		sluice_cow_abort(t->cow, NULL);
	for (size_t i = 0; i < 6; i++) {
		const int fds[] = {
			t->dir, t->exec, t->skel, t->tree.here, t->start, t->branch_dir
		};

		if (fds[i] >= 0)
			close(fds[i]);
	}
	private_dir_remove(&t->private);
	free(t->exec_path);
	free(t);
	return NULL;
}
