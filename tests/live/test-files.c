/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of one's own against the kernel's: the same long random sequence of file operations, by several processes, in a directory bare and in the same
 * directory seen through a mount, or where an extra has each call carried out as seen; all results, errors, listings and what is left behind must be the same. SLUICE_SEED replays a run,
 * SLUICE_OPERATIONS sets its length, SLUICE_VARIANT (a pattern) says which of the tests.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdatomic.h>
#include <linux/capability.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "../support/root.h"
#include "policy/policy.h"
#include "task/family.h"
#include "util/path.h"

#define NR_FCHMODAT2 452
#define FAMILY_CALLS_MAX 128
#define NR_FILE_GETATTR 468

/* ---- inside: operations ---- */

static uint64_t rng;
static unsigned for_branch; /* the files will be a branch's */
static unsigned watches;    /* may be made */
static unsigned
	settled; /* directories stay where they are: a branch does not move those of its lower tree, as overlayfs does not */
static struct stat
	place_of_parent; /* the working directory of the process that waits for this one */
static FILE *out;
static const char *top; /* the working directory at first, as the process sees it */

static unsigned pick(unsigned n)
{
	/* xorshift64*, Vigna 2016 */
	rng ^= rng >> 12;
	rng ^= rng << 25;
	rng ^= rng >> 27;
	return (unsigned)((rng * 2685821657736338717ull) >> 33) % n;
}

static const char *const names[] = { "a", "b", "c", "d", "e", "f" };

/* A path that stays in the tree as far as it is resolved at all; absolute ones begin with the top. */
static const char *path_of(char buf[512])
{
	size_t at = 0;
	unsigned n = 1 + pick(4);

	buf[0] = '\0';
	if (!pick(4))
		at += (size_t)snprintf(buf, 512, "%s/", top);
	for (unsigned i = 0; i < n; i++) {
		unsigned kind = pick(14);

		at += (size_t)snprintf(buf + at, 512 - at, "%s%s", i ? "/" : "",
				       kind == 0   ? "."
				       : kind == 1 ? "x/.."
						   : names[pick(N_OF(names))]);
	}
	if (!pick(12))
		snprintf(buf + at, 512 - at, "/");
	return buf;
}

/* What is said of a path must not depend on where the top is. */
static const char *shown(const char *path)
{
	size_t n = strlen(top);

	return strncmp(path, top, n) ? path : path + n;
}

static void say_stat(const struct stat *st)
{
	fprintf(out, " mode %o nlink %lu", st->st_mode,
		/* a branch still counts names that were taken away from a lower file; the trees show the links when it was committed */
		S_ISDIR(st->st_mode) || settled ? 0ul : (unsigned long)st->st_nlink);
	if (S_ISREG(st->st_mode))
		fprintf(out, " size %ld", (long)st->st_size);
}

static void do_stat(const char *p)
{
	struct stat st;
	struct statx stx;
	struct statfs fs;
	int r;

	switch (pick(5)) {
	case 0:
		r = (int)syscall(SYS_stat, p, &st);
		break;
	case 1:
		r = (int)syscall(SYS_lstat, p, &st);
		break;
	case 2:
		r = fstatat(AT_FDCWD, p, &st, pick(2) ? AT_SYMLINK_NOFOLLOW : 0);
		break;
	case 3:
		r = statx(AT_FDCWD, p, 0, STATX_BASIC_STATS, &stx);
		fprintf(out, " statx %d %o", r < 0 ? errno : 0, r < 0 ? 0 : stx.stx_mode);
		return;
	default:
		r = statfs(p, &fs);
		fprintf(out, " statfs %d", r < 0 ? errno : 0);
		return;
	}
	fprintf(out, " stat %d", r < 0 ? errno : 0);
	if (r == 0)
		say_stat(&st);
}

static void do_access(const char *p)
{
	const int mode = (int)pick(8);
	int r = pick(2) ? access(p, mode)
			: faccessat(AT_FDCWD, p, mode, pick(2) ? AT_SYMLINK_NOFOLLOW : AT_EACCESS);

	fprintf(out, " access %d: %d", mode, r < 0 ? errno : 0);
}

static void do_readlink(const char *p)
{
	char buf[PATH_MAX];
	ssize_t n = readlink(p, buf, pick(3) ? sizeof(buf) : 2);

	fprintf(out, " readlink %d %.*s", n < 0 ? errno : 0, n < 0 ? 0 : (int)n, buf);
}

static void do_open(const char *p)
{
	static const int choices[] = { O_CREAT,	    O_EXCL,	O_TRUNC,   O_APPEND,
				       O_DIRECTORY, O_NOFOLLOW, O_CLOEXEC, O_NONBLOCK };
	int flags = (int)pick(3), fd;
	char text[64];
	ssize_t n;

	for (size_t i = 0; i < N_OF(choices); i++) {
		if (!pick(4))
			flags |= choices[i];
	}
	flags |= O_NONBLOCK; /* a FIFO must not stop the sequence */
	fd = pick(2) ? open(p, flags, 0666) : (int)syscall(SYS_open, p, flags, 0640);
	fprintf(out, " open %x %d", flags, fd < 0 ? errno : 0);
	if (fd < 0)
		return;
	/* a branch opens by a descriptor, so O_NOFOLLOW does not stay in the flags */
	fprintf(out, " fl %x fd %x", fcntl(fd, F_GETFL) & ~(0100000 | (settled ? O_NOFOLLOW : 0)),
		fcntl(fd, F_GETFD));
	n = write(fd, "0123456789", 1 + pick(9));
	fprintf(out, " write %zd", n < 0 ? -errno : n);
	lseek(fd, 0, SEEK_SET);
	n = read(fd, text, sizeof(text));
	fprintf(out, " read %zd %.*s", n < 0 ? -errno : n, n < 0 ? 0 : (int)n, text);
	close(fd);
}

static void say(const char *what, long r)
{
	fprintf(out, " %s %d", what, r < 0 ? errno : 0);
}

static void do_make(const char *p)
{
	char target[512];

	switch (pick(8)) {
	case 0:
	case 1:
		say("mkdir", mkdir(p, 0777));
		break;
	case 2:
		say("mkdirat", mkdirat(AT_FDCWD, p, 01755));
		break;
	case 3:
		say("mkfifo", mknod(p, S_IFIFO | 0666, 0));
		break;
	case 4:
		say("mknod", mknod(p, S_IFREG | 0644, 0));
		break;
	case 5:
		say("mksock", mknod(p, S_IFSOCK | 0644, 0));
		break;
	case 6:
		say("mknod-wrong", mknod(p, pick(2) ? S_IFDIR : S_IFLNK, 0));
		break;
	default:
		/* relative, so that the text does not tell where the top is, and never up and out of it */
		snprintf(target, sizeof(target), "%s/%s", pick(2) ? names[pick(N_OF(names))] : ".",
			 names[pick(N_OF(names))]);
		say("symlink", symlink(pick(3) ? target : names[pick(N_OF(names))], p));
	}
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* In a branch a directory of a lower tree that was removed is changed by no call any more, not even by those who are in it: EROFS. */
static bool somebody_is_in(const char *p)
{
	struct stat st, here;

	return settled && lstat(p, &st) == 0 &&
	       ((stat(".", &here) == 0 && same_file(&st, &here)) ||
		same_file(&st, &place_of_parent));
}

static void do_remove(const char *p)
{
	if (somebody_is_in(p))
		return;
	switch (pick(4)) {
	case 0:
		say("rmdir", rmdir(p));
		break;
	case 1:
		say("unlinkat-dir", unlinkat(AT_FDCWD, p, AT_REMOVEDIR));
		break;
	default:
		say("unlink", unlink(p));
	}
}

static bool must_stay(const char *p)
{
	struct stat st;

	return settled && lstat(p, &st) == 0 && S_ISDIR(st.st_mode);
}

/*
 * A branch keeps the links of regular files only, since nothing else has attributes to keep their number in: overlayfs without an index breaks them too, and with one refuses each change (EPERM,
 * userxattr). So other files, symbolic links among them, have one name here, before the branch is made and after.
 */
static bool keeps_one_name(const char *p, int flags)
{
	struct stat st;

	return for_branch && fstatat(AT_FDCWD, p, &st, flags) == 0 && !S_ISREG(st.st_mode);
}

static void do_two(const char *p)
{
	char other[512];

	path_of(other);
	fprintf(out, " %s", shown(other));
	if (must_stay(p) || must_stay(other))
		return;
	switch (pick(5)) {
	case 0:
		if (!keeps_one_name(p, AT_SYMLINK_NOFOLLOW))
			say("link", link(p, other));
		break;
	case 1:
		if (!keeps_one_name(p, 0))
			say("linkat", linkat(AT_FDCWD, p, AT_FDCWD, other, AT_SYMLINK_FOLLOW));
		break;
	case 2:
		say("rename2", renameat2(AT_FDCWD, p, AT_FDCWD, other,
					 pick(2) ? RENAME_NOREPLACE : RENAME_EXCHANGE));
		break;
	default:
		say("rename", rename(p, other));
	}
}

/* What is made in the directory gets its mode from the ACL from then on, and not from the umask. */
static int set_default_acl(const char *p)
{
	const struct {
		uint32_t version;
		struct {
			uint16_t tag, bits;
			uint32_t id;
		} entries[3];
	} acl = { 2,
		  { { 1 /* ACL_USER_OBJ */, 7, UINT32_MAX },
		    { 4 /* ACL_GROUP_OBJ */, (uint16_t)pick(8), UINT32_MAX },
		    { 0x20 /* ACL_OTHER */, (uint16_t)pick(8), UINT32_MAX } } };

	return setxattr(p, "system.posix_acl_default", &acl, sizeof(acl), 0);
}

/* Attributes that are refused, or are not there. */
static void do_odd_attribute(const char *p)
{
	static const char *const odd[] = { "user.k",	 "",
					   "bogus.k",	 "security.k",
					   "trusted.k",	 "system.posix_acl_access",
					   "user.never", "system.posix_acl_default" };
	const char *name = odd[pick(N_OF(odd))];

	if (pick(2))
		say("removexattr-odd", pick(2) ? removexattr(p, name) : lremovexattr(p, name));
	else
		say("setxattr-odd",
		    setxattr(p, name, "v", pick(4) ? 1 : XATTR_SIZE_MAX + 1, (int)pick(5)));
}

static void do_metadata(const char *p)
{
	const struct timespec nothing[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };
	unsigned char attributes[64];
	const struct timespec ts[2] = { { .tv_sec = 1000000 }, { .tv_sec = 2000000 } };
	char value[16];
	ssize_t n;

	switch (pick(12)) {
	case 0:
		/* a branch goes to a file from the top, also where the task starts lower */
		say("chmod", chmod(p, (0600 + pick(0200)) | (settled ? 0100 : 0)));
		break;
	case 1:
		say("utimens", utimensat(AT_FDCWD, p, ts, pick(2) ? AT_SYMLINK_NOFOLLOW : 0));
		break;
	case 2:
		say("truncate", truncate(p, pick(20)));
		break;
	case 3:
		say("setxattr", setxattr(p, "user.k", "value", 1 + pick(5), 0));
		break;
	case 4:
		n = getxattr(p, "user.k", value, pick(3) ? sizeof(value) : pick(2));
		fprintf(out, " getxattr %zd", n < 0 ? -errno : n);
		break;
	case 5:
		say("removexattr", lremovexattr(p, "user.k"));
		break;
	case 6:
		say("default-acl", set_default_acl(p));
		break;
	case 7:
		say("no-default-acl", removexattr(p, "system.posix_acl_default"));
		break;
	case 8:
		do_odd_attribute(p);
		break;
	case 9:
		say("utimens-nothing", utimensat(AT_FDCWD, p, nothing, 0));
		break;
	case 10:
		say("getattr", syscall(NR_FILE_GETATTR, AT_FDCWD, p, attributes, 24,
				       pick(2) ? AT_SYMLINK_NOFOLLOW : 0));
		break;
	default:
		say("chown", lchown(p, getuid(), getgid()));
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void do_list(const char *p)
{
	char *found[256];
	size_t n = 0;
	struct dirent *e;
	DIR *d = opendir(p);

	say("opendir", d ? 0 : -1);
	while (d && n < N_OF(found) && (e = readdir(d)))
		found[n++] = strdup(e->d_name);
	qsort(found, n, sizeof(found[0]), by_name);
	for (size_t i = 0; i < n; i++) {
		fprintf(out, " %s", found[i]);
		free(found[i]);
	}
	if (d)
		closedir(d);
}

static void do_dirfd(const char *p)
{
	const char *name = names[pick(N_OF(names))];
	int fd = open(p, O_RDONLY | O_DIRECTORY | O_CLOEXEC), file;
	struct stat st;

	say("dir", fd);
	if (fd < 0)
		return;
	switch (pick(5)) {
	case 0:
		file = openat(fd, name, O_CREAT | O_RDWR | O_NONBLOCK | O_CLOEXEC, 0644);
		say("openat", file);
		if (file >= 0)
			close(file);
		break;
	case 1:
		say("unlinkat", unlinkat(fd, name, 0));
		break;
	case 2:
		say("fstat", fstat(fd, &st));
		say_stat(&st);
		break;
	case 3:
		say("mkdirat", mkdirat(fd, name, 0700));
		break;
	default:
		if (!settled)
			say("renameat", renameat(fd, name, AT_FDCWD, names[pick(N_OF(names))]));
	}
	close(fd);
}

static void do_where(const char *p)
{
	char buf[PATH_MAX];
	int fd, w;

	switch (pick(5)) {
	case 0:
		say("chdir", chdir(p));
		break;
	case 1:
		fd = open(p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		say("fchdir", fchdir(fd));
		if (fd >= 0)
			close(fd);
		break;
	case 2:
		if (!watches)
			break;
		w = inotify_init1(IN_CLOEXEC);
		fd = inotify_add_watch(w, p, IN_MODIFY | (pick(2) ? IN_ONLYDIR : 0));
		say("watch", fd);
		close(w);
		break;
	case 3:
		fprintf(out, " umask %o", umask((mode_t)pick(0100)));
		break;
	default:
		say("back", chdir(top));
	}
	if (getcwd(buf, sizeof(buf)))
		fprintf(out, " cwd %s", shown(buf));
	else
		fprintf(out, " cwd %d", errno);
}

/*
 * A name in a directory that may not be searched just then, and is no one that a process is in: a branch goes to a file from the top, also where the task starts lower.
 */
static void do_without_search(const char *p)
{
	static void (*const acts[])(const char *) = { do_stat,	 do_open, do_make,
						      do_remove, do_two,  do_metadata };
	char here[PATH_MAX], dir[PATH_MAX], name[PATH_MAX];
	struct stat st;

	if (stat(p, &st) < 0 || !S_ISDIR(st.st_mode) || !realpath(p, dir) ||
	    !getcwd(here, sizeof(here)) || !strcmp(here, dir) || path_is_below(here, dir))
		return;
	say("no-search", chmod(p, pick(2) ? 0 : 0600));
	snprintf(name, sizeof(name), "%s/%s", p, names[pick(N_OF(names))]);
	fprintf(out, " %s", shown(name));
	acts[pick(N_OF(acts))](name);
	do_list(p);
	say("search", chmod(dir, st.st_mode & 07777));
}

static void one_operation(void)
{
	static void (*const acts[])(const char *) = {
		do_stat,     do_stat,	  do_access, do_readlink, do_open,  do_open,
		do_open,     do_make,	  do_make,   do_remove,	  do_two,   do_two,
		do_metadata, do_metadata, do_list,   do_dirfd,	  do_where, do_without_search
	};
	char path[512];

	path_of(path);
	fprintf(out, "%s:", shown(path));
	acts[pick(N_OF(acts))](path);
	fputc('\n', out);
}

/* A child goes its own way from here; its operations are part of the sequence. */
static void branch_off(unsigned n)
{
	pid_t pid;
	int status;

	fflush(out);
	pid = fork();
	if (pid == 0) {
		if (stat(".", &place_of_parent) < 0)
			memset(&place_of_parent, 0, sizeof(place_of_parent));
		for (unsigned i = 0; i < n; i++)
			one_operation();
		fflush(out);
		_exit(0);
	}
	waitpid(pid, &status, 0);
}

/* As in a sandbox, so that modes mean the same. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return (int)syscall(SYS_capset, &header, none);
}

/* "SEED OPERATIONS WATCHES SETTLED"; the tree is the working directory. The log is inherited: descriptor 9. */
static int role_operate(const char *arg)
{
	static char here[PATH_MAX];
	unsigned long long seed;
	unsigned n;

	if (sscanf(arg, "%llu %u %u %u %u", &seed, &n, &watches, &settled, &for_branch) != 5 ||
	    !getcwd(here, sizeof(here)))
		return GUEST_FAILED;
	if (drop_capabilities() < 0)
		return GUEST_FAILED;
	umask(022);
	rng = seed;
	top = here;
	out = fdopen(9, "w");
	for (unsigned i = 0; i < n; i++) {
		one_operation();
		if (!pick(40))
			branch_off(1 + pick(20));
		if (!pick(60) && (chmod(top, 0755) < 0 || chdir(top) < 0))
			return 1;
	}
	if (chmod(top, 0755) < 0 || chdir(top) < 0)
		return 1;
	if (fflush(out) == 0)
		return 0;
	perror("log of the operations");
	return 2;
}

/* What same_trees compares, to descriptor 9. */
#define TREE_LIST \
	"find . -printf '%P %y %m %n %s %l\\n' | sed 's/^\\([^ ]* [dp] [0-9]*\\) .*/\\1/' | LC_ALL=C sort"

static int role_list(const char *arg)
{
	(void)arg;
	return system(TREE_LIST " >&9") == 0 ? 0 : 1;
}

/* Which files there are: to descriptor 8. */
#define IDENTITY_LIST "find . -printf '%P %D %i %y\\n' | LC_ALL=C sort"

static int role_identify(const char *arg)
{
	(void)arg;
	return system(IDENTITY_LIST " >&8") == 0 ? 0 : 1;
}

/* And then the same, in the same run. */
static int role_operate_and_identify(const char *arg)
{
	int r = role_operate(arg);

	return r ? r : role_identify(arg);
}

static const struct guest_role roles[] = {
	{ "operate", role_operate },
	{ "list", role_list },
	{ "identify", role_identify },
	{ "operate-and-identify", role_operate_and_identify },
	{ NULL, NULL },
};

/* ---- outside ---- */

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void open_as(int as, const char *path)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_APPEND, 0644);

	assert_true(fd >= 0);
	assert_int_equal(dup2(fd, as), as);
	close(fd);
}

static void log_to(const char *path)
{
	open_as(9, path);
}

/* The first line in which two logs differ is what to look at. */
static void same_logs(const char *a, const char *b)
{
	FILE *x = fopen(a, "r"), *y = fopen(b, "r");
	char *line_x = NULL, *line_y = NULL;
	size_t size_x = 0, size_y = 0;
	unsigned n = 0;

	assert_true(x && y);
	for (;;) {
		ssize_t got_x = getline(&line_x, &size_x, x), got_y = getline(&line_y, &size_y, y);

		n++;
		if (got_x < 0 && got_y < 0)
			break;
		if (got_x < 0 || got_y < 0 || strcmp(line_x, line_y) != 0)
			fail_msg("operation %u:\nbare:   %sinside: %s", n,
				 got_x < 0 ? "-\n" : line_x, got_y < 0 ? "-\n" : line_y);
	}
	assert_true(n > 10);
	free(line_x);
	free(line_y);
	fclose(x);
	fclose(y);
}

static void same_trees(const char *a, const char *b)
{
	char command[20000];

	snprintf(command, sizeof(command),
		 "cd %s && %s > %s.list; cd %s && %s > %s.list; diff -u %s.list %s.list", a,
		 TREE_LIST, a, b, TREE_LIST, b, a, b);
	assert_int_equal(system(command), 0);
}

/* Two directories in which the same is done. */
struct pair {
	const char *dir;
	const struct test_root *root; /* that the second one is below; NULL */
	char bare[4200], inside[4200], log_a[4300], log_b[4300], arg[80], here[PATH_MAX];
};

static void pair_make(struct pair *w, const struct test_root *root)
{
	w->root = root;
	w->dir = guest_dir();
	snprintf(w->bare, sizeof(w->bare), "%s/bare", w->dir);
	if (root)
		snprintf(w->inside, sizeof(w->inside), "%s", root_path(root, "root/inside"));
	else
		snprintf(w->inside, sizeof(w->inside), "%s/inside", w->dir);
	snprintf(w->log_a, sizeof(w->log_a), "%s/bare.log", w->dir);
	snprintf(w->log_b, sizeof(w->log_b), "%s/inside.log", w->dir);
	assert_int_equal(mkdir(w->bare, 0755) | mkdir(w->inside, 0755), 0);
	assert_non_null(getcwd(w->here, sizeof(w->here)));
}

static void operations_are(struct pair *w, uint64_t seed, unsigned n, bool directories_stay,
			   bool branch)
{
	snprintf(w->arg, sizeof(w->arg), "%llu %u %u %u %u", (unsigned long long)seed, n,
		 guest_descriptors_can_be_got(), (unsigned)directories_stay, (unsigned)branch);
}

static void operate_bare(const struct pair *w, const char *dir, const char *log)
{
	log_to(log);
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(guest_bare("operate", w->arg), 0);
	assert_int_equal(chdir(w->here), 0);
}

/* @p (consumed) says where. */
static void operate_inside(const struct pair *w, struct sluice_policy *p)
{
	log_to(w->log_b);
	assert_int_equal(sluice_policy_allow_read(p, "/", NULL), 0);
	if (w->root)
		assert_int_equal(root_inside(p, "operate", w->arg), 0);
	else
		assert_int_equal(guest_inside(p, "operate", w->arg), 0);
	sluice_policy_unref(p);
	close(9);
}

static struct sluice_verdict as_seen(struct sluice_request *req, void *calls)
{
	(void)req;
	atomic_fetch_add((_Atomic unsigned *)calls, 1);
	return sluice_as_seen();
}

/* Every call with a path that can be carried out for another process, but those of the deny list. */
static size_t handlers_as_seen(struct sluice_handler extras[FAMILY_CALLS_MAX], void *calls)
{
	size_t n = 0;

	for (int nr = 0; nr < 512 && n < FAMILY_CALLS_MAX; nr++) {
		const struct family_call *f = family_of(nr);

		if (!f || f->path < 0 || f->family == FAMILY_EXEC || f->family == FAMILY_CHDIR ||
		    f->family == FAMILY_OTHER)
			continue;
		extras[n++] = sluice_handler_make("as-seen", nr, as_seen, calls);
	}
	return n;
}

static void pair_compare(const struct pair *w)
{
	same_logs(w->log_a, w->log_b);
	same_trees(w->bare, w->inside);
}

static void under_a_mount(uint64_t seed, unsigned operations)
{
	struct sluice_policy *p = sluice_policy_new();
	struct pair w;

	pair_make(&w, NULL);
	operations_are(&w, seed, operations, false, false);
	operate_bare(&w, w.bare, w.log_a);
	assert_int_equal(
		sluice_policy_add_mount(p, "/x/y", w.inside, SLUICE_MOUNT_READ_WRITE, NULL), 0);
	assert_int_equal(sluice_policy_set_cwd(p, "/x/y", NULL), 0);
	operate_inside(&w, p);
	pair_compare(&w);
	guest_remove(w.dir);
}

/* On the host's own tree, where nothing is trapped but for the handlers. */
static void as_seen_on_the_host(uint64_t seed, unsigned operations)
{
	struct sluice_handler extras[FAMILY_CALLS_MAX];
	struct sluice_policy *p = guest_policy();
	_Atomic unsigned calls = 0;
	size_t n = handlers_as_seen(extras, &calls);
	struct pair w;

	pair_make(&w, NULL);
	operations_are(&w, seed, operations, false, false);
	operate_bare(&w, w.bare, w.log_a);
	log_to(w.log_b);
	assert_int_equal(sluice_policy_allow_write(p, w.inside, NULL), 0);
	assert_int_equal(sluice_policy_set_cwd(p, w.inside, NULL), 0);
	assert_int_equal(guest_run(p, extras, n, "operate", w.arg).exit_code, 0);
	sluice_policy_unref(p);
	close(9);
	assert_true(n > 40 && calls > operations / 2);
	pair_compare(&w);
	guest_remove(w.dir);
}

static struct test_root root;

static struct sluice_policy *chroot_policy(const struct pair *w)
{
	struct sluice_policy *p = sluice_policy_new();

	assert_int_equal(sluice_policy_set_chroot(p, root_path(w->root, "root"), NULL), 0);
	assert_int_equal(sluice_policy_set_cwd(p, "/inside", NULL), 0);
	return p;
}

static void pair_end(const struct pair *w)
{
	pair_compare(w);
	guest_remove(w->inside);
	guest_remove(w->dir);
}

static void under_a_root(uint64_t seed, unsigned operations)
{
	struct sluice_policy *p;
	struct pair w;

	pair_make(&w, &root);
	operations_are(&w, seed, operations, false, false);
	operate_bare(&w, w.bare, w.log_a);
	p = chroot_policy(&w);
	assert_int_equal(sluice_policy_allow_write(p, "/inside", NULL), 0);
	operate_inside(&w, p);
	pair_end(&w);
}

/* What the lower tree does not let be read can't be copied up, even if its owner changes the mode in the branch. */
static void make_readable(const struct pair *w)
{
	char command[9000];

	snprintf(command, sizeof(command), "chmod -R u+rwX %s %s", w->bare, w->inside);
	assert_int_equal(system(command), 0);
}

/* The same tree twice; then the same in both, once with changes that go to a branch, which is committed. */
static void under_a_branch_of(const struct test_root *below, uint64_t seed, unsigned operations)
{
	struct sluice_policy *p;
	char storage[4300];
	struct pair w;

	pair_make(&w, below);
	snprintf(storage, sizeof(storage), "%s/storage", w.dir);
	assert_int_equal(mkdir(storage, 0755), 0);
	p = below ? chroot_policy(&w) : sluice_policy_new();
	assert_int_equal(sluice_policy_set_workdir(p, below ? "/inside" : w.inside, NULL), 0);
	assert_int_equal(sluice_policy_set_storage(p, storage, NULL), 0);
	if (!guest_descriptors_can_be_got()) { /* then it is refused, and says why */
		const char *const argv[] = { "true", NULL };
		struct sluice_error err = { 0 };

		assert_int_equal(sluice_run(p, argv, NULL, &err), -EPERM);
		assert_non_null(strstr(err.text, "pidfd_getfd"));
		sluice_policy_unref(p);
		guest_remove(w.inside);
		guest_remove(w.dir);
		return;
	}
	operations_are(&w, seed + 1000, operations / 4, false, true);
	operate_bare(&w, w.bare, w.log_a);
	operate_bare(&w, w.inside, w.log_b);
	make_readable(&w);
	pair_compare(&w);
	operations_are(&w, seed, operations, true, true);
	operate_bare(&w, w.bare, w.log_a);
	operate_inside(&w, p);
	pair_end(&w);
}

static void under_a_branch(uint64_t seed, unsigned operations)
{
	under_a_branch_of(NULL, seed, operations);
}

/* ---- several lower trees ---- */

#define LAYERS 3u

/* One file may have names in several of them, so how many it has is not looked at. */
#define LAYER_LIST "find . -printf '%P %y %m %s %l\\n' | LC_ALL=C sort"
/* Where the files are spread from, and to; layers[0] is the same. */
static char layers[LAYERS][4300];
static uint32_t spread_seed;
static unsigned n_spread;

static uint32_t hash_of(const char *path)
{
	uint32_t h = 2166136261u ^ spread_seed;

	for (; *path; path++)
		h = (h ^ (unsigned char)*path) * 16777619u;
	return h >> 8;
}

/* Default ACLs among them. */
static void copy_xattrs(const char *from, const char *to)
{
	char list[1024], value[1024];
	ssize_t n = listxattr(from, list, sizeof(list)), size;

	assert_true(n >= 0);
	/* those that it got from the directory above it */
	removexattr(to, "system.posix_acl_default");
	removexattr(to, "system.posix_acl_access");
	for (const char *name = list; name < list + n; name += strlen(name) + 1) {
		size = getxattr(from, name, value, sizeof(value));
		assert_true(size >= 0);
		assert_int_equal(setxattr(to, name, value, (size_t)size, 0), 0);
	}
}

/* The directory at @path, below the tops, in layer @i too, with all above it. */
static void spread_dir(const char *path, unsigned i)
{
	char at[PATH_MAX], from[PATH_MAX + sizeof(layers[0])], to[sizeof(from)];
	struct stat st;

	snprintf(at, sizeof(at), "%s", path);
	for (char *slash = strchr(at + 1, '/');; slash = strchr(slash + 1, '/')) {
		if (slash)
			*slash = '\0';
		snprintf(from, sizeof(from), "%s%s", layers[0], at);
		snprintf(to, sizeof(to), "%s%s", layers[i], at);
		assert_int_equal(stat(from, &st), 0);
		assert_true(mkdir(to, 0755) == 0 || errno == EEXIST);
		copy_xattrs(from, to);
		assert_int_equal(chmod(to, st.st_mode & 07777), 0);
		if (!slash)
			return;
		*slash = '/';
	}
}

/* Files go to any of the layers, directories are in several, and those that are left empty in the topmost may be gone from there. */
static int spread_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *name = path + strlen(layers[0]);
	uint32_t h = hash_of(name);
	char to[2 * PATH_MAX], parent[PATH_MAX];

	(void)type;
	if (ftw->level == 0)
		return 0;
	if (S_ISDIR(st->st_mode)) {
		if (h % 4)
			spread_dir(name, 1 + h % 2);
		if (h % 4 > 1 && rmdir(path) < 0)
			assert_int_equal(errno, ENOTEMPTY);
		return 0;
	}
	if (h % LAYERS == 0)
		return 0;
	snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(name, '/') - name), name);
	if (*parent)
		spread_dir(parent, h % LAYERS);
	snprintf(to, sizeof(to), "%s%s", layers[h % LAYERS], name);
	assert_int_equal(rename(path, to), 0);
	n_spread++;
	return 0;
}

static struct sluice_policy *layered_policy(const struct pair *w, bool spread)
{
	struct sluice_policy *p = sluice_policy_new();
	char storage[4300];

	snprintf(storage, sizeof(storage), "%s/storage", w->dir);
	assert_int_equal(sluice_policy_set_workdir(p, layers[0], NULL), 0);
	for (unsigned i = 1; spread && i < LAYERS; i++)
		assert_int_equal(sluice_policy_add_lower(p, layers[i], NULL), 0);
	assert_int_equal(sluice_policy_set_storage(p, storage, NULL), 0);
	return p;
}

/* To the second log; @p is consumed. */
static void list_inside(const struct pair *w, struct sluice_policy *p)
{
	log_to(w->log_b);
	assert_int_equal(sluice_policy_allow_read(p, "/", NULL), 0);
	assert_int_equal(guest_inside(p, "list", ""), 0);
	sluice_policy_unref(p);
	close(9);
}

static const char deeper_list[] = "(cd l1 && " LAYER_LIST "; cd ../l2 && " LAYER_LIST ")";

/* Two trees in which the same was done, the second one spread over several if @spread. */
static void layers_make(struct pair *w, uint64_t seed, unsigned operations, bool spread)
{
	char command[20000], storage[4300];

	pair_make(w, NULL);
	snprintf(storage, sizeof(storage), "%s/storage", w->dir);
	assert_int_equal(mkdir(storage, 0755), 0);
	for (unsigned i = 0; i < LAYERS; i++) {
		snprintf(layers[i], sizeof(layers[i]), i ? "%s/l%u" : "%s", i ? w->dir : w->inside,
			 i);
		assert_true(i == 0 || mkdir(layers[i], 0755) == 0);
	}
	spread_seed = (uint32_t)seed;
	operations_are(w, seed + 1000, operations / 4, false, true);
	operate_bare(w, w->bare, w->log_a);
	operate_bare(w, w->inside, w->log_b);
	make_readable(w);
	pair_compare(w);
	if (spread)
		assert_int_equal(nftw(layers[0], spread_one, 16, FTW_PHYS | FTW_DEPTH), 0);
	snprintf(command, sizeof(command), "cd %s && %s > before", w->dir, deeper_list);
	assert_int_equal(system(command), 0);
}

/*
 * The lists $1 and $2 are the same, but that a file of $2 may have more names: those of a deeper tree that nobody sees any more are there still, and a branch in which nothing was changed has not
 * looked for them.
 */
static const char same_but_names[] =
	"awk 'FNR == NR { list[n = FNR] = $0; next } { m = FNR; split(list[m], was);"
	" if (list[m] != $0 && !(was[1] == $1 && $2 == \"f\" && was[2] == $2 && was[3] == $3 && was[4] < $4 && was[5] == $5))"
	" { print list[m] \" is \" $0; bad = 1 } } END { exit bad || n != m }'";

/* What they show together in the end is compared, as a branch of all of them shows it, and the deeper ones are as they were. */
static void layers_end(const struct pair *w, bool spread)
{
	char command[20000];

	list_inside(w, layered_policy(w, spread));
	snprintf(command, sizeof(command),
		 "cd %s && %s > %s.list && %s %s.list %s && cd %s && %s | diff -u before -",
		 w->bare, TREE_LIST, w->bare, spread ? same_but_names : "diff -u", w->bare,
		 w->log_b, w->dir, deeper_list);
	assert_int_equal(system(command), 0);
	guest_remove(w->inside);
	guest_remove(w->dir);
}

/* As under_a_branch, with the tree spread over several. */
static void under_layers(uint64_t seed, unsigned operations)
{
	struct pair w;

	if (!guest_descriptors_can_be_got())
		return;
	layers_make(&w, seed, operations, true);
	operations_are(&w, seed, operations, true, true);
	operate_bare(&w, w.bare, w.log_a);
	operate_inside(&w, layered_policy(&w, true));
	same_logs(w.log_a, w.log_b);
	layers_end(&w, true);
}

/* ---- a branch that is taken up again ---- */

#define RUNS 4u

/* One of the runs in one branch, or a look at it between two: the first log is the operations', the second the files' identities. */
static void run_again(const struct pair *w, struct sluice_policy *p, const char *role, bool last,
		      const char *identities)
{
	assert_int_equal(sluice_policy_set_branch(p, "again", NULL), 0);
	if (last)
		assert_int_equal(sluice_policy_set_on_exit(p, SLUICE_COW_COMMIT), 0);
	assert_int_equal(sluice_policy_allow_read(p, "/", NULL), 0);
	log_to(w->log_b);
	open_as(8, identities);
	assert_int_equal(guest_inside(p, role, w->arg), 0);
	sluice_policy_unref(p);
	close(8);
	close(9);
}

/* As under_a_branch and under_layers, in several runs of which each goes on in the branch of the one before; files stay what they are. */
static void again(uint64_t seed, unsigned operations)
{
	const bool spread = seed % 2;
	char a[4300], b[4300], command[20000];
	struct pair w;

	if (!guest_descriptors_can_be_got())
		return;
	layers_make(&w, seed, operations, spread);
	snprintf(a, sizeof(a), "%s/identities", w.dir);
	snprintf(b, sizeof(b), "%s/identities.again", w.dir);
	for (unsigned i = 0; i < RUNS; i++) {
		operations_are(&w, seed + i * 100000, operations / RUNS, true, true);
		operate_bare(&w, w.bare, w.log_a);
		run_again(&w, layered_policy(&w, spread), "operate-and-identify", false, a);
		same_logs(w.log_a, w.log_b);
		run_again(&w, layered_policy(&w, spread), "identify", i == RUNS - 1, b);
		snprintf(command, sizeof(command), "diff -u %s %s", a, b);
		assert_int_equal(system(command), 0);
	}
	layers_end(&w, spread);
}

static void under_both(uint64_t seed, unsigned operations)
{
	under_a_branch_of(&root, seed, operations);
}

/* Pieces of the sequence are long enough for trees to grow, and not so long that a failure says nothing. */
#define PIECE 1500u

static void many(void (*compare)(uint64_t seed, unsigned operations))
{
	uint64_t seed = env_number("SLUICE_SEED", (uint64_t)time(NULL));
	unsigned n = (unsigned)env_number("SLUICE_OPERATIONS", 6000);

	for (unsigned i = 0; i * PIECE < n; i++) {
		print_message("SLUICE_SEED=%llu\n", (unsigned long long)seed + i);
		compare(seed + i, PIECE);
	}
}

static void test_the_same_as_bare(void **state)
{
	many(under_a_mount);
}

static void test_as_seen_as_bare(void **state)
{
	many(as_seen_on_the_host);
}

static void test_copy_on_write_as_bare(void **state)
{
	many(under_a_branch);
}

static void test_several_lower_trees_as_bare(void **state)
{
	n_spread = 0;
	many(under_layers);
	/* one piece may have had nothing to spread */
	assert_true(n_spread || !guest_descriptors_can_be_got() ||
		    env_number("SLUICE_OPERATIONS", 6000) < 6000);
}

static void test_a_branch_again_as_bare(void **state)
{
	many(again);
}

static void test_a_root_as_bare(void **state)
{
	many(under_a_root);
}

static void test_copy_on_write_in_a_root_as_bare(void **state)
{
	many(under_both);
}

static int make_root(void **state)
{
	root_make(&root);
	return 0;
}

static int remove_root(void **state)
{
	root_remove(&root);
	return 0;
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_same_as_bare),
		cmocka_unit_test(test_as_seen_as_bare),
		cmocka_unit_test(test_a_root_as_bare),
		cmocka_unit_test(test_copy_on_write_as_bare),
		cmocka_unit_test(test_several_lower_trees_as_bare),
		cmocka_unit_test(test_a_branch_again_as_bare),
		cmocka_unit_test(test_copy_on_write_in_a_root_as_bare),
	};

	guest_begin(argc, argv, roles);
	if (getenv("SLUICE_VARIANT"))
		cmocka_set_test_filter(getenv("SLUICE_VARIANT"));
	return cmocka_run_group_tests(tests, make_root, remove_root);
}
