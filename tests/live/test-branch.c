/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A branch against the kernel's overlayfs: the same long random sequence of operations on both, over the same lower trees; results, errnos,
 * listings, contents and metadata are compared as they come, and at the end the kernel mounts the upper directory that we wrote.
 *
 * Runs in a user and mount namespace of its own. SLUICE_SEED replays a run, SLUICE_OPS sets its length.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "tree/branch.h"
#include "tree/dirents.h"
#include "util/cleanup.h"

#define DEPTH 4
#define LOWERS 3u
#define N_LOWER_INOS 4096

static uint64_t rng_state;

static uint32_t rnd(uint32_t n)
{
	rng_state = rng_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(rng_state >> 33) % n;
}

/* Files that link(2) gave a second name; of the worker, and read by its parent. */
struct linked {
	ino_t ino[N_LOWER_INOS];
	size_t n;
};

/* One world: a directory, both trees. */
static struct {
	const char *dir;
	unsigned n_lowers;
	bool capless;
	bool index; /* overlayfs keeps hard links one file; not in a user namespace */
	bool mounted;
	bool has_uuid; /* of the file system, without which there are no origins */
	struct linked *linked;
	bool trace; /* SLUICE_TRACE: every operation to stderr */
	int oracle; /* the mount's root */
	struct branch *ours;
	ino_t inos[N_LOWER_INOS];
	size_t n_inos;
	unsigned op;
	char what[600];
} w;

#define DIE(...)                                              \
	do {                                                  \
		fprintf(stderr, "op %u: %s: ", w.op, w.what); \
		fprintf(stderr, __VA_ARGS__);                 \
		fprintf(stderr, "\n");                        \
		_exit(1);                                     \
	} while (0)
#define MUST(x)                                             \
	do {                                                \
		if (!(x))                                   \
			DIE("%s: %s", #x, strerror(errno)); \
	} while (0)

static const char *in_dir(const char *name)
{
	static char buf[16][512];
	static unsigned next;
	char *p = buf[next++ % 16];

	snprintf(p, sizeof(buf[0]), "%s/%s", w.dir, name);
	return p;
}

/* ---- lower trees ---- */

static const char *const names[] = { "a", "b", "c", "d\n", "\xff\\e", "f g" };

static void random_path(char *buf)
{
	unsigned depth = 1 + rnd(DEPTH);

	*buf = '\0';
	for (unsigned i = 0; i < depth; i++) {
		if (i)
			strcat(buf, "/");
		strcat(buf, names[rnd(N_OF(names))]);
	}
}

static void fill_file(int at, const char *path)
{
	int fd = openat(at, path, O_WRONLY | O_CREAT | O_EXCL, 0644 | (rnd(4) ? 0 : 0100));
	char text[64];

	if (fd < 0)
		return;
	MUST(write(fd, text, (size_t)snprintf(text, sizeof(text), "%u\n", rnd(1000))) > 0);
	if (!rnd(3)) {
		MUST(ftruncate(fd, 1 << 16) == 0);
		MUST(pwrite(fd, "end", 3, 300000) == 3);
	}
	if (!rnd(3))
		fsetxattr(fd, "user.one", "1", 1, 0);
	close(fd);
}

/* Without an index overlayfs breaks links, and never has it one for what is no file. */
static void link_files(int at, const char *path, const char *other)
{
	struct stat st;

	if (w.index && fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
		linkat(at, path, at, other, 0);
}

static void make_lower(const char *dir, bool top)
{
	const struct timespec old[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
	int at = open(dir, O_PATH | O_DIRECTORY);
	char path[256], other[256];

	for (int i = 0; i < 160; i++) {
		random_path(path);
		random_path(other);
		switch (rnd(10)) {
		case 0:
		case 1:
		case 2:
		case 3:
			mkdirat(at, path, 0755);
			if (top && !rnd(3)) {
				char full[1024];

				snprintf(full, sizeof(full), "%s/%s", dir, path);
				setxattr(full, "user.overlay.opaque", "y", 1, 0);
			}
			break;
		case 4:
			symlinkat(other, at, path);
			break;
		case 5:
			mkfifoat(at, path, 0600);
			break;
		case 6:
			link_files(at, path, other);
			break;
		case 7:
			if (top)
				mknodat(at, path, S_IFCHR, 0);
			break;
		default:
			fill_file(at, path);
		}
	}
	for (int i = 0; i < 400; i++) {
		random_path(path);
		utimensat(at, path, old, AT_SYMLINK_NOFOLLOW);
	}
	close(at);
}

static int note_ino(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path;
	(void)type;
	(void)ftw;
	if (w.n_inos < N_LOWER_INOS)
		w.inos[w.n_inos++] = st->st_ino;
	return 0;
}

static bool is_lower_ino(ino_t ino)
{
	for (size_t i = 0; i < w.n_inos; i++) {
		if (w.inos[i] == ino)
			return true;
	}
	return false;
}

static bool was_linked(ino_t ino)
{
	for (size_t i = 0; i < w.linked->n; i++) {
		if (w.linked->ino[i] == ino)
			return true;
	}
	return false;
}

/* ---- comparing ---- */

static bool near(struct timespec a, struct timespec b)
{
	return llabs((long long)a.tv_sec - b.tv_sec) < 120;
}

/* Of a lower file that was not copied up a name that is gone is counted still; overlayfs copies the file up to count right. */
static bool counts_hidden(const struct stat *k, const struct branch_entry *e)
{
	return w.index && e->kind == BRANCH_LOWER && S_ISREG(k->st_mode) &&
	       k->st_nlink < e->st.st_nlink;
}

static void same_stat(const char *path, const struct stat *k, const struct branch_entry *e)
{
	const struct stat *o = &e->st;
	bool dir = S_ISDIR(k->st_mode);

	if (k->st_mode != o->st_mode || k->st_uid != o->st_uid || k->st_gid != o->st_gid ||
	    (!dir &&
	     ((k->st_nlink != o->st_nlink && !counts_hidden(k, e)) || k->st_size != o->st_size)) ||
	    k->st_rdev != o->st_rdev)
		DIE("%s: mode %o %o uid %u %u nlink %u %u size %lld %lld", path, k->st_mode,
		    o->st_mode, k->st_uid, o->st_uid, (unsigned)k->st_nlink, (unsigned)o->st_nlink,
		    (long long)k->st_size, (long long)o->st_size);
	/* a write to a FIFO through overlayfs leaves the time of the file below as it was; natively it does not */
	if (!S_ISFIFO(k->st_mode) && !near(k->st_mtim, o->st_mtim))
		DIE("%s: mtime %lld %lld", path, (long long)k->st_mtim.tv_sec,
		    (long long)o->st_mtim.tv_sec);
	/* the root shows the lower one's inode here, the upper one's there */
	if (!*path)
		return;
	/* what the kernel loses of it: by link(2) until the name is looked up anew, by a new mount where it has no origin to go by */
	if (!is_lower_ino(k->st_ino) && is_lower_ino(o->st_ino) &&
	    (was_linked(o->st_ino) ||
	     (w.mounted && (!S_ISREG(k->st_mode) || !w.has_uuid || w.n_lowers > 1))))
		return;
	if (is_lower_ino(k->st_ino) != is_lower_ino(o->st_ino) ||
	    (is_lower_ino(k->st_ino) && k->st_ino != o->st_ino))
		DIE("%s: mode %o nlink %u inode %llu %llu", path, k->st_mode, (unsigned)k->st_nlink,
		    (unsigned long long)k->st_ino, (unsigned long long)o->st_ino);
}

static bool kernel_stat(const char *path, struct stat *st)
{
	return fstatat(w.oracle, *path ? path : ".", st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void compare_stat(const char *path)
{
	struct branch_entry e;
	struct stat k;
	bool there = kernel_stat(path, &k);
	int error = errno, r = branch_stat(w.ours, path, &e);

	if (!there && error == EACCES && r == -EACCES)
		return;
	if (r < 0 || there != (e.kind != BRANCH_NONE))
		DIE("%s: there %d, ours %d kind %d", path, there, r, e.kind);
	if (there)
		same_stat(path, &k, &e);
	if (branch_is_unchanged(w.ours, path) && there && e.kind != BRANCH_LOWER)
		DIE("%s: said to be unchanged", path);
}

static ssize_t slurp(int fd, char *buf, size_t size)
{
	ssize_t n = read(fd, buf, size);

	close(fd);
	return n;
}

static void compare_content(const char *path)
{
	static char k[400000], o[400000];
	int fd = openat(w.oracle, path, O_RDONLY | O_NOFOLLOW), ours = -1;
	int r = branch_open_file(w.ours, path, O_RDONLY, 0, &ours);
	ssize_t n, m;

	if (fd < 0 || r < 0) {
		if (fd >= 0 || r != -errno)
			DIE("%s: open: kernel %d, ours %d", path, fd < 0 ? -errno : 0, r);
		return;
	}
	n = slurp(fd, k, sizeof(k));
	m = slurp(ours, o, sizeof(o));
	if (n != m || memcmp(k, o, (size_t)n) != 0)
		DIE("%s: content differs (%zd, %zd)", path, n, m);
}

static void compare_xattrs(const char *path)
{
	char link[64], k[64] = "", o[64] = "", list[1024];
	int fd = openat(w.oracle, path, O_PATH | O_NOFOLLOW);
	ssize_t n, m;

	MUST(fd >= 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = getxattr(link, "user.one", k, sizeof(k));
	n = n < 0 ? -errno : n;
	m = branch_getxattr(w.ours, path, "user.one", o, sizeof(o));
	if (n != m || memcmp(k, o, sizeof(k)) != 0)
		DIE("%s: xattr %zd %zd", path, n, m);
	n = listxattr(link, list, sizeof(list));
	m = branch_listxattr(w.ours, path, list, sizeof(list));
	if ((n < 0 ? -errno : n) != m)
		DIE("%s: listxattr %zd %zd", path, n, m);
	close(fd);
}

static void compare_link(const char *path)
{
	char k[4096], o[4096];
	ssize_t n = readlinkat(w.oracle, path, k, sizeof(k));
	ssize_t m = branch_readlink(w.ours, path, o, sizeof(o));

	if (n != m || memcmp(k, o, (size_t)n) != 0)
		DIE("%s: readlink %zd %zd", path, n, m);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Name and type of each entry, sorted. */
static size_t kernel_list(const char *path, char *ret[64])
{
	int fd = openat(w.oracle, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	struct dirent *e;
	size_t n = 0;
	DIR *d;

	MUST(fd >= 0);
	d = fdopendir(fd);
	while ((e = readdir(d))) {
		struct stat st;

		/* the kernel lists the whiteouts of a lower directory that merges with nothing */
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    (e->d_type != DT_CHR || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0))
			MUST(asprintf(&ret[n++], "%s %d", e->d_name, e->d_type) > 0);
	}
	closedir(d);
	qsort(ret, n, sizeof(*ret), by_name);
	return n;
}

/* "name type inode" of each entry, whatever the buffer's size. */
static size_t our_records(const char *path, char *ret[64])
{
	struct branch_layers l;
	struct dirents *d = dirents_new(1 + rnd(2000));
	struct dirents_source s;
	int64_t position = 0;
	char buf[4096];
	size_t n = 0;
	ssize_t got;
	int r = branch_layers_open(w.ours, path, O_RDONLY, &l);

	if (r < 0)
		DIE("%s: layers: %d", path, r);
	s = branch_layers_source(&l);
	while ((got = dirents_read(d, &s, &position, buf, 100 + rnd(600))) > 0) {
		for (const char *at = buf; at < buf + got;) {
			const struct dirent64 *e = (const void *)at;

			at += e->d_reclen;
			if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
				MUST(asprintf(&ret[n++], "%s %d %llu", e->d_name, e->d_type,
					      (unsigned long long)e->d_ino) > 0);
		}
	}
	if (got < 0)
		DIE("%s: records: %zd", path, got);
	branch_layers_close(&l);
	dirents_free(d);
	qsort(ret, n, sizeof(*ret), by_name);
	return n;
}

/* "name type" of each, whose number must be what stat shows. */
static size_t our_list(const char *path, char *ret[64])
{
	size_t n = our_records(path, ret);

	for (size_t i = 0; i < n; i++) {
		char child[512], *ino = strrchr(ret[i], ' '), *type;
		struct branch_entry s;

		*ino = '\0';
		type = strrchr(ret[i], ' ');
		snprintf(child, sizeof(child), "%s%s%.*s", path, *path ? "/" : "",
			 (int)(type - ret[i]), ret[i]);
		MUST(branch_stat(w.ours, child, &s) == 0 && s.kind != BRANCH_NONE);
		if (s.st.st_ino != strtoull(ino + 1, NULL, 10))
			DIE("%s: d_ino %s, st_ino %llu", child, ino + 1,
			    (unsigned long long)s.st.st_ino);
	}
	return n;
}

static void compare_records(const char *path, char *list[64], size_t n)
{
	char *o[64];
	size_t m = our_records(path, o);

	for (size_t i = 0; i < n && i < m; i++) {
		char child[512];
		struct branch_entry e;
		char *ino = strrchr(o[i], ' ');

		*ino = '\0';
		if (strcmp(list[i], o[i]) != 0)
			DIE("%s: lists '%s', record '%s'", path, list[i], o[i]);
		*strrchr(o[i], ' ') = '\0';
		snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "", o[i]);
		MUST(branch_stat(w.ours, child, &e) == 0);
		if (e.st.st_ino != strtoull(ino + 1, NULL, 10))
			DIE("%s: record has inode %s, stat %llu", child, ino + 1,
			    (unsigned long long)e.st.st_ino);
	}
	if (n != m)
		DIE("%s: lists %zu, records %zu", path, n, m);
	while (m)
		free(o[--m]);
}

static void compare_list(const char *path)
{
	char *k[64], *o[64];
	size_t n = kernel_list(path, k), m = our_list(path, o);

	for (size_t i = 0; i < n && i < m; i++) {
		if (strcmp(k[i], o[i]) != 0)
			DIE("%s: lists '%s', ours '%s'", path, k[i], o[i]);
	}
	if (n != m)
		DIE("%s: lists %zu, ours %zu", path, n, m);
	compare_records(path, o, m);
	for (size_t i = 0; i < n; i++) {
		free(k[i]);
		free(o[i]);
	}
}

static void compare_all(const char *path)
{
	char *k[64];
	struct stat st;
	size_t n;

	compare_stat(path);
	MUST(kernel_stat(path, &st));
	if (*path)
		compare_xattrs(path);
	if (S_ISREG(st.st_mode))
		compare_content(path);
	if (S_ISLNK(st.st_mode))
		compare_link(path);
	if (!S_ISDIR(st.st_mode))
		return;
	compare_list(path);
	n = kernel_list(path, k);
	for (size_t i = 0; i < n; i++) {
		char child[512];

		*strrchr(k[i], ' ') = '\0';
		snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "", k[i]);
		free(k[i]);
		compare_all(child);
	}
}

/* ---- operations ---- */

static bool parents_ok(const char *path)
{
	char part[256];

	for (const char *at = strchr(path, '/'); at; at = strchr(at + 1, '/')) {
		struct stat st;

		memcpy(part, path, (size_t)(at - path));
		part[at - path] = '\0';
		if (!kernel_stat(part, &st) || !S_ISDIR(st.st_mode))
			return false;
	}
	{
		struct stat st;

		return kernel_stat(path, &st) || errno != EACCES;
	}
}

static void good_path(char *buf)
{
	do {
		random_path(buf);
	} while (!parents_ok(buf));
}

static long result(long r)
{
	return r < 0 ? -errno : 0;
}

static void same_result(long kernel, long ours)
{
	if (w.trace)
		fprintf(stderr, "%u %s: %ld %ld\n", w.op, w.what, kernel, ours);
	if (kernel != ours)
		DIE("kernel %ld, ours %ld", kernel, ours);
}

static void op_open(const char *path)
{
	static const int choices[] = { O_CREAT | O_WRONLY,	     O_CREAT | O_RDWR | O_EXCL,
				       O_WRONLY | O_TRUNC,	     O_WRONLY | O_APPEND,
				       O_CREAT | O_WRONLY | O_TRUNC, O_RDWR,
				       O_RDONLY | O_TRUNC,	     O_RDONLY | O_CREAT,
				       O_RDONLY | O_DIRECTORY,	     O_RDONLY };
	int flags = choices[rnd(N_OF(choices))], k, o = -1, r;
	mode_t mode = 0600 | rnd(0200);
	char text[32];
	size_t n;

	snprintf(w.what, sizeof(w.what), "open %s 0%o", path, flags);
	k = openat(w.oracle, path, flags | O_NOFOLLOW | O_NONBLOCK, mode);
	r = k < 0 ? -errno : 0;
	same_result(r, branch_open_file(w.ours, path, flags | O_NONBLOCK, mode, &o));
	if (r < 0)
		return;
	n = (size_t)snprintf(text, sizeof(text), "%u", rnd(100000));
	if ((flags & O_ACCMODE) != O_RDONLY && rnd(2)) {
		ssize_t a = write(k, text, n), b = write(o, text, n);

		if (a != b)
			DIE("write %zd %zd", a, b);
	}
	close(k);
	close(o);
}

static void op_tmpfile(const char *path, const char *other)
{
	int k, o = -1, r;
	char link[64];

	snprintf(w.what, sizeof(w.what), "tmpfile %s -> %s", path, other);
	k = openat(w.oracle, path, O_TMPFILE | O_RDWR | O_NOFOLLOW, 0640);
	r = k < 0 ? -errno : 0;
	same_result(r, branch_open_file(w.ours, path, O_TMPFILE | O_RDWR, 0640, &o));
	if (r < 0)
		return;
	MUST(write(k, "tmp", 3) == 3 && write(o, "tmp", 3) == 3);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", k);
	same_result(result(linkat(AT_FDCWD, link, w.oracle, other, AT_SYMLINK_FOLLOW)),
		    branch_link_fd(w.ours, o, other));
	close(k);
	close(o);
}

/*
 * Two names of one inode, which a rename leaves alone before any right is asked for (vfs_rename), are two inodes to an overlayfs that looked one of
 * them up anew: it may not decode the origin in a user namespace. There it is no oracle.
 */
static bool is_lost_link(const char *path, const char *other)
{
	struct branch_entry x, y;
	struct stat k, l;

	return branch_stat(w.ours, path, &x) == 0 && branch_stat(w.ours, other, &y) == 0 &&
	       x.kind == BRANCH_UPPER && y.kind == BRANCH_UPPER && x.st.st_ino == y.st.st_ino &&
	       strcmp(path, other) != 0 && kernel_stat(path, &k) && kernel_stat(other, &l) &&
	       k.st_ino != l.st_ino;
}

static void op_rename(const char *path, const char *other)
{
	static const unsigned flags[] = { 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE };
	unsigned f = flags[rnd(N_OF(flags))];
	long k;

	snprintf(w.what, sizeof(w.what), "rename %s -> %s %u", path, other, f);
	if (is_lost_link(path, other))
		return;
	k = result(renameat2(w.oracle, path, w.oracle, other, f));
	/* now and then it loses track of its own upper entries; nothing was done then */
	if (k != -ESTALE)
		same_result(k, branch_rename(w.ours, path, other, f));
}

static void op_link(const char *path, const char *other)
{
	struct branch_entry e;

	snprintf(w.what, sizeof(w.what), "link %s -> %s", path, other);
	same_result(result(linkat(w.oracle, path, w.oracle, other, 0)),
		    branch_link(w.ours, path, other));
	if (branch_stat(w.ours, path, &e) == 0 && e.kind == BRANCH_UPPER &&
	    w.linked->n < N_LOWER_INOS)
		w.linked->ino[w.linked->n++] = e.st.st_ino;
}

/* overlayfs copies up, and so breaks the link of a file with two names, also when the attribute is then not set; ours does not. */
static bool breaks_link_in_vain(int fd, const char *link, int flags)
{
	const bool there = getxattr(link, "user.one", NULL, 0) >= 0;
	struct stat st;

	return there == (flags == XATTR_CREATE) && fstat(fd, &st) == 0 && st.st_nlink > 1;
}

static void op_xattr(const char *path)
{
	int fd = openat(w.oracle, path, O_PATH | O_NOFOLLOW);
	char link[64];
	int flags = rnd(3) ? 0 : rnd(2) ? XATTR_CREATE : XATTR_REPLACE;

	if (fd < 0)
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	snprintf(w.what, sizeof(w.what), "xattr %s %d", path, flags);
	if (flags && breaks_link_in_vain(fd, link, flags)) {
		close(fd);
		return;
	}
	if (rnd(3))
		same_result(result(setxattr(link, "user.one", "two", 3, flags)),
			    branch_setxattr(w.ours, path, "user.one", "two", 3, flags));
	else
		same_result(result(removexattr(link, "user.one")),
			    branch_removexattr(w.ours, path, "user.one"));
	close(fd);
}

static long kernel_chmod(const char *path, mode_t mode)
{
	int fd = openat(w.oracle, path, O_PATH | O_NOFOLLOW);
	char link[64];
	long r;

	if (fd < 0)
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	r = result(chmod(link, mode));
	close(fd);
	return r;
}

static long kernel_truncate(const char *path, off_t to)
{
	int fd = openat(w.oracle, path, O_PATH | O_NOFOLLOW);
	char link[64];
	long r;

	if (fd < 0)
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	r = result(truncate(link, to));
	close(fd);
	return r;
}

static void op_attribute(const char *path)
{
	const struct timespec times[2] = { { .tv_sec = 1200000000 }, { .tv_nsec = UTIME_OMIT } };
	mode_t mode = S_IRUSR | S_IXUSR | rnd(2048);
	off_t to = rnd(100);

	switch (rnd(4)) {
	case 0:
		snprintf(w.what, sizeof(w.what), "chmod %s %o", path, mode);
		same_result(kernel_chmod(path, mode), branch_chmod(w.ours, path, mode));
		break;
	case 1:
		snprintf(w.what, sizeof(w.what), "chown %s", path);
		same_result(result(fchownat(w.oracle, path, 0, 0, AT_SYMLINK_NOFOLLOW)),
			    branch_chown(w.ours, path, 0, 0));
		break;
	case 2:
		snprintf(w.what, sizeof(w.what), "utimens %s", path);
		same_result(result(utimensat(w.oracle, path, times, AT_SYMLINK_NOFOLLOW)),
			    branch_utimens(w.ours, path, times));
		break;
	default:
		snprintf(w.what, sizeof(w.what), "truncate %s %lld", path, (long long)to);
		same_result(kernel_truncate(path, to), branch_truncate(w.ours, path, to));
	}
}

static int access_of(int fd)
{
	int may = 0;

	for (int mode = 1; mode <= 4; mode *= 2) {
		if (syscall(SYS_faccessat2, fd, "", mode, AT_EACCESS | AT_EMPTY_PATH) == 0)
			may |= mode;
	}
	return may;
}

/*
 * Without an index overlayfs keeps a mode for each name of an inode: what was changed by one name lets pass or refuses by the other what it
 * did before, and a write by the other takes no setuid or setgid bit away, although stat shows the new mode by both. There it is no oracle.
 */
static bool mode_is_stale(const char *path)
{
	int k = openat(w.oracle, path, O_PATH | O_NOFOLLOW);
	struct branch_entry e;
	bool stale = false;

	if (k >= 0 && branch_lookup(w.ours, path, &e) == 0 && e.fd >= 0) {
		stale = was_linked(e.st.st_ino) &&
			(access_of(k) != access_of(e.fd) || e.st.st_mode & (S_ISUID | S_ISGID));
		close(e.fd);
	}
	if (k >= 0)
		close(k);
	return stale;
}

static void one_op(void)
{
	char path[256], other[256];

	good_path(path);
	good_path(other);
	if (mode_is_stale(path) || mode_is_stale(other))
		return;
	switch (rnd(16)) {
	case 0:
	case 1:
	case 2:
		op_open(path);
		break;
	case 3:
		snprintf(w.what, sizeof(w.what), "mkdir %s", path);
		same_result(result(mkdirat(w.oracle, path, 0755)),
			    branch_mkdir(w.ours, path, 0755));
		break;
	case 4:
		snprintf(w.what, sizeof(w.what), "rmdir %s", path);
		same_result(result(unlinkat(w.oracle, path, AT_REMOVEDIR)),
			    branch_rmdir(w.ours, path));
		break;
	case 5:
	case 6:
		snprintf(w.what, sizeof(w.what), "unlink %s", path);
		same_result(result(unlinkat(w.oracle, path, 0)), branch_unlink(w.ours, path));
		break;
	case 7:
		snprintf(w.what, sizeof(w.what), "symlink %s", path);
		same_result(result(symlinkat(other, w.oracle, path)),
			    branch_symlink(w.ours, other, path));
		break;
	case 8:
		op_link(path, other);
		break;
	case 9:
	case 10:
	case 11:
		op_rename(path, other);
		break;
	case 12:
		op_xattr(path);
		break;
	case 13:
		op_tmpfile(path, other);
		break;
	case 14:
		snprintf(w.what, sizeof(w.what), "mknod %s", path);
		{
			mode_t mode = rnd(2) ? S_IFIFO | 0640 : S_IFSOCK | 0600;
			dev_t dev = 0;

			if (!rnd(5)) {
				mode = S_IFCHR | 0600;
				dev = makedev(1, 3);
			}
			same_result(result(mknodat(w.oracle, path, mode, dev)),
				    branch_mknod(w.ours, path, mode, dev));
		}
		break;
	default:
		op_attribute(path);
	}
	compare_stat(path);
	compare_stat(other);
}

/* ---- the world ---- */

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	MUST(fd >= 0);
	MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void enter_namespace(void)
{
	char uid[64], gid[64];

	if (w.index) {
		MUST(unshare(CLONE_NEWNS) == 0);
		MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
		return;
	}
	snprintf(uid, sizeof(uid), "0 %u 1", geteuid());
	snprintf(gid, sizeof(gid), "0 %u 1", getegid());
	MUST(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0);
	write_text("/proc/self/setgroups", "deny");
	write_text("/proc/self/uid_map", uid);
	write_text("/proc/self/gid_map", gid);
}

static int mount_overlay(const char *upper, const char *work, const char *at)
{
	char options[2048], lowers[1500];

	snprintf(lowers, sizeof(lowers), "%s%s%s%s%s", in_dir("l0"), w.n_lowers > 1 ? ":" : "",
		 w.n_lowers > 1 ? in_dir("l1") : "", w.n_lowers > 2 ? ":" : "",
		 w.n_lowers > 2 ? in_dir("l2") : "");
	snprintf(options, sizeof(options), "userxattr,index=%s,lowerdir=%s,upperdir=%s,workdir=%s",
		 w.index ? "on" : "off", lowers, upper, work);
	MUST(mount("overlay", at, "overlay", 0, options) == 0);
	return open(at, O_PATH | O_DIRECTORY);
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { 0 };

	MUST(syscall(SYS_capset, &h, d) == 0);
}

static void open_ours(bool create)
{
	struct sluice_error err = { 0 };
	static const char *const trees[LOWERS] = { "l0", "l1", "l2" };
	int fds[LOWERS];
	struct branch_spec spec = { .storage = in_dir("storage"),
				    .name = "one",
				    .lower_fds = create ? fds : NULL,
				    .n_lowers = w.n_lowers };
	int r;

	for (unsigned i = 0; i < w.n_lowers; i++)
		fds[i] = open(in_dir(trees[i]), O_PATH | O_DIRECTORY);
	r = create ? branch_create(&spec, &w.ours, &err) : branch_open(&spec, &w.ours, &err);
	if (r < 0)
		DIE("branch: %d %s", r, err.text);
	for (unsigned i = 0; i < w.n_lowers; i++)
		close(fds[i]);
}

static void prepare(void)
{
	static const char *const dirs[] = { "l0",	"l1",  "l2",   "kernel", "kernel/u",
					    "kernel/w", "mnt", "mnt2", "storage" };

	umask(0);
	for (size_t i = 0; i < N_OF(dirs); i++)
		MUST(mkdir(in_dir(dirs[i]), 0755) == 0);
	make_lower(in_dir("l0"), w.n_lowers > 1);
	make_lower(in_dir("l1"), w.n_lowers > 2);
	make_lower(in_dir("l2"), false);
	nftw(in_dir("l0"), note_ino, 16, FTW_PHYS);
	if (w.n_lowers > 1)
		nftw(in_dir("l1"), note_ino, 16, FTW_PHYS);
	if (w.n_lowers > 2)
		nftw(in_dir("l2"), note_ino, 16, FTW_PHYS);
}

static bool has_uuid(const char *dir)
{
	struct {
		uint8_t len, uuid[16];
	} id = { 0 }, none = { .len = 16 };
	int fd = open(dir, O_RDONLY | O_DIRECTORY);
	int r = ioctl(fd, _IOR(0x15, 0, id), &id);

	close(fd);
	return r == 0 && memcmp(&id, &none, sizeof(id)) != 0;
}

static int worker(unsigned n_ops)
{
	if (w.capless)
		drop_capabilities();
	open_ours(true);
	compare_all("");
	for (w.op = 0; w.op < n_ops; w.op++) {
		one_op();
		if (w.op % 500 == 499) {
			snprintf(w.what, sizeof(w.what), "whole tree");
			compare_all("");
		}
		if (w.op % 2000 == 1999) {
			branch_close(w.ours);
			open_ours(false);
			snprintf(w.what, sizeof(w.what), "opened again");
			compare_all("");
		}
	}
	branch_close(w.ours);
	return 0;
}

/* ---- commit ---- */

/* All that a tree shows but inode numbers, by sorted path; and which names are one file. */
struct dump {
	char *lines[8192];
	ino_t inos[8192];
	size_t n;
};

/* A name that is gone may count in st_nlink until the commit, so the names are counted. */
static unsigned n_names(const struct dump *d, ino_t ino)
{
	unsigned n = 0;

	for (size_t i = 0; i < d->n; i++)
		n += d->inos[i] == ino;
	return n;
}

static void dump_line(struct dump *d, const char *path, const struct branch_entry *e)
{
	static char text[400000];
	bool reg = S_ISREG(e->st.st_mode), dir = S_ISDIR(e->st.st_mode);
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	ssize_t n = 0;
	int fd;

	if (S_ISLNK(e->st.st_mode))
		n = branch_readlink(w.ours, path, text, sizeof(text));
	if (reg && branch_open_file(w.ours, path, O_RDONLY, 0, &fd) == 0)
		n = slurp(fd, text, sizeof(text));
	MUST(n >= 0);
	for (ssize_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
	MUST(d->n < N_OF(d->lines));
	d->inos[d->n] = e->st.st_ino;
	MUST(asprintf(&d->lines[d->n++], "%s: %o %u %u size %lld %llx mtime %lld", path,
		      e->st.st_mode, e->st.st_uid, (unsigned)e->st.st_rdev,
		      dir ? 0LL : (long long)e->st.st_size, (unsigned long long)h,
		      (long long)e->st.st_mtim.tv_sec) > 0);
}

static void dump_tree(struct dump *d, const char *path)
{
	struct branch_entry e;
	char *lines[64];
	size_t n;

	MUST(branch_stat(w.ours, path, &e) == 0 && e.kind != BRANCH_NONE);
	dump_line(d, path, &e);
	if (!S_ISDIR(e.st.st_mode))
		return;
	n = our_list(path, lines);
	for (size_t i = 0; i < n; i++) {
		char child[512];

		*strrchr(lines[i], ' ') = '\0';
		snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "", lines[i]);
		free(lines[i]);
		dump_tree(d, child);
	}
}

static void same_dump(const struct dump *was)
{
	static struct dump now;

	dump_tree(&now, "");
	for (size_t i = 0; i < was->n && i < now.n; i++) {
		if (strcmp(was->lines[i], now.lines[i]) != 0)
			DIE("'%s', by now '%s'", was->lines[i], now.lines[i]);
		if (n_names(was, was->inos[i]) != n_names(&now, now.inos[i]))
			DIE("'%s' has %u names, by now %u", was->lines[i],
			    n_names(was, was->inos[i]), n_names(&now, now.inos[i]));
	}
	if (was->n != now.n)
		DIE("%zu entries, by now %zu", was->n, now.n);
	while (now.n)
		free(now.lines[--now.n]);
}

static void on_commit(const struct branch_change *c, int error, void *arg)
{
	(void)arg;
	if (error)
		DIE("%c %s: %d", c->kind, c->path, error);
}

/* The branch shows the same before and after, and so does a new one over the lower trees that it went into. */
static void commit_world(void)
{
	static struct dump was;

	snprintf(w.what, sizeof(w.what), "commit");
	w.ours = branch_close(w.ours);
	open_ours(false);
	dump_tree(&was, "");
	MUST(branch_commit(w.ours, on_commit, NULL) == 0);
	snprintf(w.what, sizeof(w.what), "committed");
	same_dump(&was);
	MUST(branch_abort(w.ours) == 0);
	snprintf(w.what, sizeof(w.what), "the lower trees by themselves");
	open_ours(true);
	same_dump(&was);
	branch_close(w.ours);
}

/* Everything happens in a child with namespaces of its own; assertions belong to the parent. */
static int world(uint64_t seed, unsigned n_ops)
{
	int status;
	pid_t pid;

	rng_state = seed;
	w.linked = mmap(NULL, sizeof(*w.linked), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	MUST(w.linked != MAP_FAILED);
	w.trace = getenv("SLUICE_TRACE");
	w.n_lowers = 1 + seed % LOWERS;
	w.capless = seed / 2 % 2;
	w.index = geteuid() == 0 && seed / 4 % 2;
	enter_namespace();
	prepare();
	w.oracle = mount_overlay(in_dir("kernel/u"), in_dir("kernel/w"), in_dir("mnt"));
	pid = fork();
	if (pid == 0)
		_exit(worker(n_ops));
	MUST(waitpid(pid, &status, 0) == pid);
	if (status)
		return 1;
	/* what the kernel makes of the upper directory that we wrote */
	open_ours(false);
	close(w.oracle);
	w.mounted = true;
	w.has_uuid = has_uuid(w.dir);
	snprintf(w.what, sizeof(w.what), "mounted");
	w.oracle = mount_overlay(in_dir("storage/one/upper"), in_dir("storage/one/work"),
				 in_dir("mnt2"));
	compare_all("");
	close(w.oracle);
	commit_world();
	return 0;
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void run_world(uint64_t seed, unsigned n_ops)
{
	int status;
	pid_t pid;

	w.dir = guest_dir();
	fflush(NULL);
	pid = guest_fork_one();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(world(seed, n_ops));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		fail_msg("SLUICE_SEED=%llu SLUICE_OPS=%u: differs (%x), %s",
			 (unsigned long long)seed, n_ops, status, w.dir);
	guest_remove(w.dir);
}

static void test_as_the_kernel(void **state)
{
	uint64_t seed = env_number("SLUICE_SEED", 0);
	unsigned n = (unsigned)env_number("SLUICE_OPS", 5000);

	(void)state;
	if (seed) {
		run_world(seed, n);
		return;
	}
	seed = (uint64_t)time(NULL) * 4 + 4;
	print_message("SLUICE_SEED=%llu to +3\n", (unsigned long long)seed);
	for (unsigned i = 0; i < 4; i++)
		run_world(seed + i, n);
}

int main(int argc, char *argv[])
{
	static const struct guest_role roles[] = { { NULL, NULL } };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_the_kernel),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
