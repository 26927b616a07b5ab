/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A branch when things go wrong: the process is killed before each system call that changes something, and each such call fails in each way a disk or a
 * process can. Afterwards the tree is the one before the operation or the one after it, the branch can be opened again, and a commit that was
 * stopped ends where it would have ended.
 *
 * The calls are wrapped by the linker (see meson.build), so nothing of this is in the library.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "tree/branch.h"
#include "tree/dirents.h"

/* ---- faults; shared with the child that meets them ---- */

struct faults {
	unsigned calls;	 /* so far */
	unsigned at;	 /* the one that is hit; 0: none */
	int error;	 /* 0: the process dies */
	unsigned n_done; /* operations that came back */
	int result;	 /* of the last one */
	int hit;
};
static struct faults *faults;

static bool fault(void)
{
	if (!faults || ++faults->calls != faults->at)
		return false;
	faults->hit = 1;
	if (!faults->error)
		kill(getpid(), SIGKILL);
	errno = faults->error;
	return true;
}

#define WRAP(type, name, params, args)                    \
	type __real_##name params;                        \
	type __wrap_##name params;                        \
	type __wrap_##name params                         \
	{                                                 \
		return fault() ? -1 : __real_##name args; \
	}

WRAP(int, renameat, (int a, const char *b, int c, const char *d), (a, b, c, d))
WRAP(int, renameat2, (int a, const char *b, int c, const char *d, unsigned e), (a, b, c, d, e))
WRAP(int, linkat, (int a, const char *b, int c, const char *d, int e), (a, b, c, d, e))
WRAP(int, unlinkat, (int a, const char *b, int c), (a, b, c))
WRAP(int, mkdirat, (int a, const char *b, mode_t c), (a, b, c))
WRAP(int, mknodat, (int a, const char *b, mode_t c, dev_t d), (a, b, c, d))
WRAP(int, symlinkat, (const char *a, int b, const char *c), (a, b, c))
WRAP(int, fchownat, (int a, const char *b, uid_t c, gid_t d, int e), (a, b, c, d, e))
WRAP(int, chmod, (const char *a, mode_t b), (a, b))
WRAP(int, utimensat, (int a, const char *b, const struct timespec c[2], int d), (a, b, c, d))
WRAP(int, setxattr, (const char *a, const char *b, const void *c, size_t d, int e), (a, b, c, d, e))
WRAP(int, removexattr, (const char *a, const char *b), (a, b))
WRAP(ssize_t, writev, (int a, const struct iovec *b, int c), (a, b, c))
WRAP(ssize_t, copy_file_range, (int a, off_t *b, int c, off_t *d, size_t e, unsigned f),
     (a, b, c, d, e, f))
WRAP(int, ftruncate64, (int a, off_t b), (a, b))

/* Nobody cuts the power here, so nothing is really synced: on a busy disk that takes most of the time. */
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	(void)fd;
	return fault() ? -1 : 0;
}

int __wrap_syncfs(int fd);
int __wrap_syncfs(int fd)
{
	(void)fd;
	return fault() ? -1 : 0;
}

int __real_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & (O_CREAT | O_TMPFILE))
		mode = va_arg(ap, mode_t);
	va_end(ap);
	return fault() ? -1 : __real_openat64(dir, path, flags, mode);
}

int __real_open_beneath(int dir, const char *path, int flags, mode_t mode);
int __wrap_open_beneath(int dir, const char *path, int flags, mode_t mode);
int __wrap_open_beneath(int dir, const char *path, int flags, mode_t mode)
{
	return fault() ? -errno : __real_open_beneath(dir, path, flags, mode);
}

/* ---- the lower tree ---- */

static char root[4096];

static const char *at_root(const char *name)
{
	static char buf[8][4200];
	static unsigned next;
	char *p = buf[next++ % 8];

	snprintf(p, sizeof(buf[0]), "%s/%s", root, name);
	return p;
}

static void put(const char *name, const char *text)
{
	int fd = open(at_root(name), O_WRONLY | O_CREAT | O_EXCL, 0640);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void make_world(void)
{
	static const char *const dirs[] = { "lower",	   "lower/dir",	 "lower/empty",
					    "lower/merge", "lower/deep", "lower/deep/er",
					    "storage" };

	snprintf(root, sizeof(root), "%s", guest_dir());
	for (size_t i = 0; i < N_OF(dirs); i++)
		assert_int_equal(mkdir(at_root(dirs[i]), 0755), 0);
	put("lower/f1", "one");
	put("lower/dir/a", "a");
	put("lower/dir/b", "b");
	put("lower/merge/x", "x");
	put("lower/hard1", "hard");
	put("lower/deep/er/file", "deep");
	assert_int_equal(link(at_root("lower/hard1"), at_root("lower/hard2")), 0);
	assert_int_equal(symlink("dir/a", at_root("lower/sym")), 0);
}

static int open_branch(bool create, struct branch **ret)
{
	struct branch_spec spec = { .storage = at_root("storage"), .name = "b", .durable = true };
	struct sluice_error err = { 0 };
	int fd = open(at_root("lower"), O_PATH | O_DIRECTORY), r;

	spec.lower_fds = &fd;
	spec.n_lowers = 1;
	r = create ? branch_create(&spec, ret, &err) : branch_open(&spec, ret, &err);
	close(fd);
	return r;
}

/* ---- what a tree looks like, in one number ---- */

static void mix(uint64_t *h, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*h = (*h ^ ((const unsigned char *)bytes)[i]) * UINT64_C(0x100000001b3);
}

/* Order of names does not matter: each entry's number is added. */
static uint64_t entry_sum(const char *path, mode_t mode, const char *content, ssize_t n)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	mix(&h, path, strlen(path) + 1);
	mix(&h, &mode, sizeof(mode));
	mix(&h, content, n > 0 ? (size_t)n : 0);
	return h;
}

static uint64_t branch_sum(struct branch *b, const char *path);

/* Of all that is in the directory at @path. */
static uint64_t names_sum(struct branch *b, const char *path, struct branch_layers *l)
{
	struct dirents_source s = branch_layers_source(l);
	struct dirents *d = dirents_new(0);
	int64_t position = 0;
	char buf[4096], child[8192];
	uint64_t sum = 0;
	ssize_t n;

	if (!d)
		abort();
	while ((n = dirents_read(d, &s, &position, buf, sizeof(buf))) > 0) {
		for (const char *at = buf; at < buf + n;) {
			const struct dirent64 *e = (const void *)at;

			at += e->d_reclen;
			if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
				continue;
			snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "", e->d_name);
			sum += branch_sum(b, child);
		}
	}
	dirents_free(d);
	return sum;
}

static uint64_t branch_sum(struct branch *b, const char *path)
{
	char content[256];
	struct branch_entry e;
	struct branch_layers l;
	uint64_t sum = 0;
	ssize_t n = 0;
	int fd;

	if (branch_stat(b, path, &e) < 0 || e.kind == BRANCH_NONE)
		return 0;
	if (S_ISLNK(e.st.st_mode))
		n = branch_readlink(b, path, content, sizeof(content));
	if (S_ISREG(e.st.st_mode) && branch_open_file(b, path, O_RDONLY, 0, &fd) == 0) {
		n = read(fd, content, sizeof(content));
		close(fd);
	}
	sum = entry_sum(path, e.st.st_mode, content, n);
	if (S_ISDIR(e.st.st_mode) && branch_layers_open(b, path, O_RDONLY, &l) == 0) {
		sum += names_sum(b, path, &l);
		branch_layers_close(&l);
	}
	return sum;
}

static uint64_t plain_sum(const char *path)
{
	char full[8400], content[256];
	struct stat st;
	uint64_t sum;
	ssize_t n = 0;
	struct dirent *e;
	DIR *d;

	snprintf(full, sizeof(full), "%s/%s", at_root("lower"), path);
	assert_int_equal(lstat(full, &st), 0);
	if (S_ISLNK(st.st_mode))
		n = readlink(full, content, sizeof(content));
	if (S_ISREG(st.st_mode)) {
		int fd = open(full, O_RDONLY);

		n = read(fd, content, sizeof(content));
		close(fd);
	}
	sum = entry_sum(path, st.st_mode, content, n);
	d = S_ISDIR(st.st_mode) ? opendir(full) : NULL;
	while (d && (e = readdir(d))) {
		char child[4096];

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "", e->d_name);
		sum += plain_sum(child);
	}
	if (d)
		closedir(d);
	return sum;
}

/* ---- the operations ---- */

static int op_write(struct branch *b, const char *path)
{
	int fd, r = branch_open_file(b, path, O_WRONLY, 0, &fd);

	if (r < 0)
		return r;
	r = pwrite(fd, "NEW", 3, 0) == 3 ? 0 : -EIO;
	close(fd);
	return r;
}

static int op_create(struct branch *b, const char *path)
{
	int fd, r = branch_open_file(b, path, O_WRONLY | O_CREAT | O_EXCL, 0644, &fd);

	if (r == 0)
		close(fd);
	return r;
}

#define N_OPS 22u

static int do_op(struct branch *b, unsigned i)
{
	switch (i) {
	case 0:
		return op_write(b, "f1");
	case 1:
		return branch_unlink(b, "dir/a");
	case 2:
		return branch_mkdir(b, "dir/a", 0750);
	case 3:
		return op_create(b, "dir/a/new");
	case 4:
		return branch_rename(b, "f1", "dir/b", 0);
	case 5:
		return branch_unlink(b, "merge/x");
	case 6:
		return branch_rmdir(b, "merge");
	case 7:
		return branch_mkdir(b, "merge", 0755);
	case 8:
		return branch_rename(b, "dir/a", "merge", 0);
	case 9:
		return branch_symlink(b, "to/where", "dir/a");
	case 10:
		return branch_link(b, "hard1", "hard3");
	case 11:
		return branch_rename(b, "hard1", "sym", RENAME_EXCHANGE);
	case 12:
		return branch_chmod(b, "dir", 0700);
	case 13:
		return op_write(b, "deep/er/file");
	case 14:
		return branch_rename(b, "hard2", "moved", 0);
	case 15:
		return branch_truncate(b, "moved", 1);
	case 16:
		return branch_mknod(b, "deep/fifo", S_IFIFO | 0600, 0);
	case 17:
		return op_create(b, "hard2");
	case 18:
		return branch_rmdir(b, "empty");
	case 19:
		return op_create(b, "empty");
	/* their owner may not write there: for a commit they are given to him */
	case 20:
		return branch_chmod(b, "deep/er", 0555);
	default:
		return branch_chmod(b, "deep", 0555);
	}
}

static uint64_t sums[N_OPS + 1]; /* after so many operations */

/* Without faults: what is to be seen after each. */
static void learn(void)
{
	struct branch *b;

	make_world();
	assert_int_equal(open_branch(true, &b), 0);
	sums[0] = branch_sum(b, "");
	for (unsigned i = 0; i < N_OPS; i++) {
		int r = do_op(b, i);

		if (r < 0)
			fail_msg("operation %u: %d", i, r);
		sums[i + 1] = branch_sum(b, "");
		assert_true(sums[i + 1] != sums[i]);
	}
	assert_int_equal(branch_commit(b, NULL, NULL), 0);
	assert_int_equal(branch_sum(b, ""), sums[N_OPS]);
	assert_int_equal(plain_sum(""), sums[N_OPS]);
	assert_int_equal(branch_abort(b), 0);
	guest_remove(root);
}

static int in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* Stops at the first operation that fails; the tree that is live then is what it was before. */
static int run_ops(void)
{
	struct branch *b;
	int r = open_branch(true, &b);

	faults->result = r;
	if (r < 0)
		return 0;
	for (unsigned i = 0; i < N_OPS; i++) {
		faults->result = do_op(b, i);
		if (faults->result < 0) {
			faults->at = 0;
			return branch_sum(b, "") == sums[i] ? 0 : 2;
		}
		faults->n_done = i + 1;
	}
	return 0;
}

static int run_commit(void)
{
	struct branch *b;
	int r;

	faults->at = 0;
	r = open_branch(false, &b);
	faults->at = faults->n_done;
	faults->calls = 0;
	faults->result = r < 0 ? r : branch_commit(b, NULL, NULL);
	return 0;
}

static int count_branch(const struct branch_info *info, void *arg)
{
	if (!info->broken && !info->live)
		++*(unsigned *)arg;
	return 0;
}

/* The branch after a fault in its operations. */
static void check_ops(unsigned at)
{
	unsigned done = faults->n_done, n_branches = 0;
	struct branch *b;
	uint64_t sum;
	int r;

	faults->at = 0;
	assert_int_equal(branch_each(at_root("storage"), count_branch, &n_branches), 0);
	r = open_branch(false, &b);
	if (r == -ENOENT && done == 0) { /* it was not made yet */
		assert_int_equal(n_branches, 0);
		return;
	}
	if (r < 0 || n_branches != 1)
		fail_msg("call %u: %u done, open %d, %u branches", at, done, r, n_branches);
	sum = branch_sum(b, "");
	if (sum != sums[done] && (done == N_OPS || sum != sums[done + 1]))
		fail_msg("call %u (error %d): neither tree %u nor the next one, %s", at,
			 faults->error, done, root);
	assert_int_equal(branch_abort(b), 0);
}

static void sweep_ops(int error)
{
	unsigned at = 1, hit = 1;

	for (; hit; at++) {
		int status;

		make_world();
		memset(faults, 0, sizeof(*faults));
		faults->at = at;
		faults->error = error;
		status = in_child(run_ops);
		hit = (unsigned)faults->hit;
		if (hit && !error)
			assert_int_equal(status, SIGKILL);
		else if (status)
			fail_msg("call %u (error %d): status %x, %u done, result %d, %s", at, error,
				 status, faults->n_done, faults->result, root);
		check_ops(at);
		guest_remove(root);
	}
	print_message("%u calls\n", at - 2);
	assert_true(at > 100);
}

/* The tree of the branch stays what it is, whatever happens in a commit, and the next commit ends it. */
static void sweep_commit(int error)
{
	unsigned at = 1, hit = 1;

	for (; hit; at++) {
		struct branch *b;

		make_world();
		memset(faults, 0, sizeof(*faults));
		assert_int_equal(in_child(run_ops), 0);
		faults->error = error;
		faults->n_done = at;
		in_child(run_commit);
		hit = (unsigned)faults->hit;
		faults->at = 0;
		assert_int_equal(open_branch(false, &b), 0);
		if (branch_sum(b, "") != sums[N_OPS])
			fail_msg("call %u (error %d): another tree, %s", at, error, root);
		if (branch_commit(b, NULL, NULL) != 0)
			fail_msg("call %u (error %d): commit again, %s", at, error, root);
		if (plain_sum("") != sums[N_OPS])
			fail_msg("call %u (error %d): committed another tree, %s", at, error, root);
		assert_int_equal(branch_abort(b), 0);
		guest_remove(root);
	}
	print_message("%u calls\n", at - 2);
	assert_true(at > 30);
}

static void test_killed_at_every_step(void **state)
{
	(void)state;
	sweep_ops(0);
}

static void test_failed_at_every_step(void **state)
{
	(void)state;
	sweep_ops(ENOSPC);
	sweep_ops(EIO);
	sweep_ops(EMFILE);
}

static void test_commit_killed_at_every_step(void **state)
{
	(void)state;
	sweep_commit(0);
}

static void test_commit_failed_at_every_step(void **state)
{
	(void)state;
	sweep_commit(ENOSPC);
	sweep_commit(EIO);
}

/* Thousands of small trees are made and removed, and a disk that others use makes that slow. Older kernels have no attributes there. */
static void work_in_memory(void)
{
	char dir[] = "/dev/shm/sluice-test.XXXXXX";

	if (!mkdtemp(dir))
		return;
	if (setxattr(dir, "user.one", "1", 1, 0) == 0)
		setenv("TMPDIR", "/dev/shm", 1);
	rmdir(dir);
}

static int prepare(void **state)
{
	(void)state;
	umask(0);
	work_in_memory();
	faults = mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_true(faults != MAP_FAILED);
	learn();
	return 0;
}

int main(int argc, char *argv[])
{
	static const struct guest_role roles[] = { { NULL, NULL } };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_at_every_step),
		cmocka_unit_test(test_failed_at_every_step),
		cmocka_unit_test(test_commit_killed_at_every_step),
		cmocka_unit_test(test_commit_failed_at_every_step),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, prepare, NULL);
}
