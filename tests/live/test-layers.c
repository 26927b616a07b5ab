/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an extra sees of a call on a tree of the command's own, and that its refusal leaves nothing behind.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

/* ---- inside ---- */

static int write_to(const char *path, int flags)
{
	int fd = open(path, flags | O_WRONLY | O_CLOEXEC, 0644);

	if (fd < 0)
		return errno;
	if (write(fd, "new", 3) != 3)
		return 1;
	return close(fd);
}

static int read_from(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? errno : close(fd);
}

/* Reads, changes, makes and removes; a digit of the result for each that failed. */
static int role_change(const char *arg)
{
	int failed = 0;

	(void)arg;
	failed |= read_from("kept") != 0;
	failed |= (write_to("changed", O_TRUNC) != 0) << 1;
	failed |= (read_from("changed") != 0) << 2;
	failed |= (write_to("made", O_CREAT | O_EXCL) != 0) << 3;
	failed |= (unlink("removed") != 0) << 4;
	failed |= (mkdir("directory", 0755) != 0) << 5;
	failed |= (read_from("/mounted/kept") != 0) << 6;
	return failed;
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
	bool written = fd >= 0 && write(fd, text, strlen(text)) > 0;

	close(fd);
	return written ? 0 : -1;
}

/* What @name in directory @at begins with; 0: it cannot be read. */
static char letter_at(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_CLOEXEC);
	char c = 0;

	if (fd >= 0 && read(fd, &c, 1) != 1)
		c = 0;
	close(fd);
	return c;
}

/* Does every way to ask by the descriptor @fd say what a look by @path says? */
static bool is_same_by_all(int fd, const char *path)
{
	struct stat named, by_fd, empty;
	struct statx x;

	return stat(path, &named) == 0 && syscall(SYS_fstat, fd, &by_fd) == 0 &&
	       fstatat(fd, "", &empty, AT_EMPTY_PATH) == 0 &&
	       statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x) == 0 &&
	       !memcmp(&named, &by_fd, sizeof(named)) && !memcmp(&named, &empty, sizeof(named)) &&
	       x.stx_ino == named.st_ino &&
	       makedev(x.stx_dev_major, x.stx_dev_minor) == named.st_dev &&
	       syscall(SYS_fstat, -1, &by_fd) < 0 && errno == EBADF &&
	       syscall(SYS_fstat, AT_FDCWD, &by_fd) < 0 && errno == EBADF &&
	       syscall(SYS_fstat, fd, NULL) < 0 && errno == EFAULT;
}

/* Attributes by a descriptor are those by name, and nothing of the branch's own is among them. */
static bool has_attribute_of_ours(int fd, const char *path)
{
	char by_name[512], by_fd[512], value[64];
	ssize_t n = fsetxattr(fd, "user.one", "1", 1, 0);

	if (n == 0)
		n = listxattr(path, by_name, sizeof(by_name));
	return n > 0 && flistxattr(fd, by_fd, sizeof(by_fd)) == n && flistxattr(fd, NULL, 0) == n &&
	       !memcmp(by_name, by_fd, (size_t)n) &&
	       !memmem(by_fd, (size_t)n, "overlay", strlen("overlay")) &&
	       fgetxattr(fd, "user.one", value, sizeof(value)) == 1 && value[0] == '1' &&
	       fgetxattr(fd, "user.one", value, 0) == 1 &&
	       fgetxattr(fd, "user.overlay.origin", value, sizeof(value)) < 0 && errno == ENODATA &&
	       fgetxattr(-1, "user.one", value, 1) < 0 && errno == EBADF;
}

/* A file shows itself as one, whether it is asked for by name or by a descriptor, before a copy-up and after it. In @dir: sub/f. */
static int role_descriptors(const char *dir)
{
	ino_t before;
	struct stat st;
	char names[512];
	int file, above, both[2];

	if (chdir(dir) < 0 || stat("sub/f", &st) < 0)
		return 1;
	before = st.st_ino;
	above = open("sub", O_RDONLY | O_DIRECTORY);
	file = open("sub/f", O_RDONLY);
	if (above < 0 || file < 0 || !is_same_by_all(file, "sub/f") ||
	    !is_same_by_all(above, "sub"))
		return 2;
	close(file);
	file = open("sub/f", O_RDWR | O_APPEND);
	if (file < 0 || write(file, "+", 1) != 1 || put("sub/new", "n") < 0)
		return 3;
	if (!is_same_by_all(file, "sub/f") || fstat(file, &st) < 0 || st.st_ino != before)
		return 4;
	close(above);
	above = open("sub", O_RDONLY | O_DIRECTORY);
	if (above < 0 || !is_same_by_all(above, "sub"))
		return 5;
	if (!has_attribute_of_ours(file, "sub/f") || unlink("sub/f") < 0 ||
	    flistxattr(file, names, sizeof(names)) != (ssize_t)sizeof("user.one"))
		return 6;
	if (pipe(both) < 0 || syscall(SYS_fstat, both[0], &st) < 0 || !S_ISFIFO(st.st_mode))
		return 7;
	return 0;
}

/* Directories that were opened before a change mean what they meant: the same one with the change in it, never another of its name. In @dir: sub/f, empty. */
static int role_before(const char *dir)
{
	struct stat st;
	int sub, empty, own;

	if (chdir(dir) < 0)
		return 1;
	sub = open("sub", O_RDONLY | O_DIRECTORY);
	empty = open("empty", O_RDONLY | O_DIRECTORY);
	if (sub < 0 || empty < 0 || letter_at(sub, "f") != 'o')
		return 2;
	if (put("sub/f", "new") < 0 || put("sub/g", "g") < 0 || letter_at(sub, "f") != 'n' ||
	    letter_at(sub, "g") != 'g' || fstatat(sub, "f", &st, 0) < 0 || st.st_size != 3)
		return 3;
	if (rmdir("empty") < 0 || mkdir("empty", 0755) < 0 || put("empty/x", "x") < 0 ||
	    letter_at(empty, "x") || letter_at(AT_FDCWD, "empty/x") != 'x')
		return 4;
	if (mkdir("own", 0755) < 0 || put("own/x", "first") < 0)
		return 5;
	own = open("own", O_RDONLY | O_DIRECTORY);
	if (own < 0 || rename("own", "moved") < 0 || mkdir("own", 0755) < 0 ||
	    put("own/x", "second") < 0)
		return 6;
	if (letter_at(own, "x") != 'f' || letter_at(AT_FDCWD, "own/x") != 's' ||
	    letter_at(AT_FDCWD, "moved/x") != 'f')
		return 7;
	/* and links of the upper directory, to what is in the lower one and back */
	if (symlink("../kept", "moved/down") < 0 || symlink("x", "moved/up") < 0 ||
	    letter_at(AT_FDCWD, "moved/down") != 'o' || letter_at(own, "down") != 'o' ||
	    letter_at(own, "up") != 'f' || letter_at(AT_FDCWD, "moved/up") != 'f')
		return 8;
	if (unlink("sub/f") < 0 || letter_at(sub, "f") || letter_at(AT_FDCWD, "sub/f") ||
	    letter_at(AT_FDCWD, "sub/g") != 'g')
		return 9;
	/* and what was changed of the top itself */
	for (const char *const *top = (const char *const[]){ ".", "./.", "sub/..", dir, NULL };
	     *top; top++) {
		if (chmod(*top, 0711) < 0 || stat(".", &st) < 0 || (st.st_mode & 0777) != 0711 ||
		    chmod(".", 0755) < 0 || stat(*top, &st) < 0 || (st.st_mode & 0777) != 0755)
			return 10;
	}
	return 0;
}

/* The first change of all is one of the top itself. */
static int role_top(const char *dir)
{
	const struct timespec times[2] = { { 1000, 0 }, { 2000, 0 } };
	struct stat st;

	if (chdir(dir) < 0 || utimensat(AT_FDCWD, ".", times, 0) < 0 || stat(".", &st) < 0 ||
	    st.st_mtim.tv_sec != 2000 || stat(dir, &st) < 0 || st.st_mtim.tv_sec != 2000)
		return 1;
	if (chmod(".", 0751) < 0 || stat(".", &st) < 0 || (st.st_mode & 07777) != 0751)
		return 2;
	return stat(dir, &st) < 0 || (st.st_mode & 07777) != 0751 ? 3 : 0;
}

/* The limit that carries working directories shows nothing of that. */
static int role_limit(const char *dir)
{
	struct rlimit before, raw, by_number, other = { 1000000, 1000000 };
	char cwd[PATH_MAX];

	if (getrlimit(RLIMIT_RTTIME, &before) < 0 || chdir(dir) < 0 || chdir("sub") < 0)
		return 1;
	if (syscall(SYS_getrlimit, RLIMIT_RTTIME, &raw) < 0 ||
	    memcmp(&raw, &before, sizeof(raw)) != 0 ||
	    prlimit(getpid(), RLIMIT_RTTIME, &before, &by_number) < 0 ||
	    memcmp(&by_number, &before, sizeof(before)) != 0)
		return 2;
	if (syscall(SYS_setrlimit, RLIMIT_RTTIME, &before) < 0 ||
	    syscall(SYS_getrlimit, RLIMIT_RTTIME, NULL) == 0 || errno != EFAULT)
		return 3;
	if (!getcwd(cwd, sizeof(cwd)) || strcmp(strrchr(cwd, '/'), "/sub") != 0)
		return 4;
	/* what a bare kernel does here and we do not */
	if (strstr(dir, "/lower") && (setrlimit(RLIMIT_RTTIME, &other) == 0 || errno != EINVAL))
		return 5;
	return access("f", F_OK) < 0 ? 6 : 0;
}

/* Nothing is found from a descriptor of a file: ENOTDIR, before anything else is looked at. */
static bool is_no_place(int fd, const char *path)
{
	struct stat st;

	return fstatat(fd, path, &st, 0) < 0 && errno == ENOTDIR &&
	       openat(fd, path, O_CREAT | O_RDWR, 0600) < 0 && errno == ENOTDIR &&
	       mkdirat(fd, path, 0700) < 0 && errno == ENOTDIR && unlinkat(fd, path, 0) < 0 &&
	       errno == ENOTDIR && renameat(AT_FDCWD, "kept", fd, path) < 0 && errno == ENOTDIR &&
	       linkat(fd, path, AT_FDCWD, "sub/link", 0) < 0 && errno == ENOTDIR;
}

static int role_places(const char *dir)
{
	static const char *const files[] = { "kept", "sub/f", "sub/new", "/dev/null" };
	static const char *const paths[] = { "f", "sub/f", ".", "..", "../kept", "f/" };

	if (chdir(dir) < 0)
		return 1;
	/* first where nothing has changed, then in a branch with a change */
	for (int changed = 0; changed < 2; changed++) {
		for (size_t i = 0; i < N_OF(files); i++) {
			int fd = open(files[i], O_RDONLY);

			if (fd < 0 && (changed || strcmp(files[i], "sub/new") != 0))
				return 2;
			for (size_t k = 0; fd >= 0 && k < N_OF(paths); k++) {
				if (!is_no_place(fd, paths[k]))
					return (int)(10 + 10 * i + k);
			}
			if (fd >= 0)
				close(fd);
		}
		if (put("sub/new", "new") < 0 || put("sub/f", "changed") < 0)
			return 3;
	}
	return 0;
}

/* The number of @name in the listing of @dir; 0: it is not there. */
static ino_t listed_ino(const char *dir, const char *name)
{
	const struct dirent *e;
	ino_t ino = 0;
	DIR *d = opendir(dir);

	while (d && (e = readdir(d))) {
		if (!strcmp(e->d_name, name))
			ino = e->d_ino;
	}
	if (d)
		closedir(d);
	return ino;
}

static bool are_one_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/*
 * All of @dir is on the file system of the working directory, by numbers that listings have too; the one after f is f by another name, and nothing else is the same.
 * How many there are; -1.
 */
static int count_here(const char *dir, const char *const names[])
{
	const char *const others[] = { "kept", "sub", dir, ".", NULL };
	struct stat top, st, last = { 0 }, other;
	char path[300];
	int n = 0;

	if (stat(".", &top) < 0)
		return -1;
	for (; names[n]; n++, last = st) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[n]);
		if (lstat(path, &st) < 0 || st.st_dev != top.st_dev ||
		    listed_ino(dir, names[n]) != st.st_ino ||
		    are_one_file(&st, &last) != (n && !strcmp(names[n - 1], "f")))
			return -1;
		for (const char *const *o = others; *o; o++) {
			if (stat(*o, &other) < 0 || are_one_file(&other, &st))
				return -1;
		}
	}
	return n;
}

static const char *const made[] = { "f", "l", "fifo", "link", "nameless", "dir", NULL };

/* What is new is on the file system of the directory that it is made in. */
static int role_new(const char *dir)
{
	static const char *const left[] = { "l", "fifo", "link", "nameless", "dir", NULL };
	char path[64];
	struct stat st;
	int fd;

	if (chdir(dir) < 0 || mkdir("made", 0755) < 0 || put("made/f", "x") < 0 ||
	    link("made/f", "made/l") < 0 || mkfifo("made/fifo", 0600) < 0 ||
	    symlink("f", "made/link") < 0 || mkdir("made/dir", 0755) < 0)
		return 1;
	fd = open("made", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || linkat(AT_FDCWD, path, AT_FDCWD, "made/nameless", AT_SYMLINK_FOLLOW) < 0)
		return 2;
	if (count_here("made", made) != 6 || rename("made", "moved") < 0 ||
	    count_here("moved", made) != 6)
		return 3;
	close(fd);
	fd = open("moved/f", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !is_same_by_all(fd, "moved/f") || stat("moved/f", &st) < 0 ||
	    unlink("moved/f") < 0 || !is_same_by_all(fd, "moved/l") ||
	    count_here("moved", left) != 5)
		return 4;
	/* replaced and made anew */
	if (put("other", "y") < 0 || rename("other", "moved/l") < 0 || rmdir("moved/dir") < 0 ||
	    mkdir("moved/dir", 0755) < 0 || count_here("moved", left) != 5)
		return 5;
	return put("moved/f", "z") < 0 || unlink("moved/l") < 0 || link("moved/f", "moved/l") < 0 ||
			       count_here("moved", made) != 6
		       ? 6
		       : 0;
}

/* The same one when the branch is taken up again. */
static int role_new_again(const char *dir)
{
	return chdir(dir) == 0 && count_here("moved", made) == 6 && put("moved/dir/x", "x") == 0 &&
			       count_here("moved/dir", (const char *const[]){ "x", NULL }) == 1
		       ? 0
		       : 1;
}

static const struct guest_role roles[] = {
	{ "change", role_change },
	{ "before", role_before },
	{ "descriptors", role_descriptors },
	{ "top", role_top },
	{ "limit", role_limit },
	{ "places", role_places },
	{ "new", role_new },
	{ "new-again", role_new_again },
	{ NULL, NULL },
};

/* ---- the embedder ---- */

struct watch {
	int refused;  /* system call */
	bool as_seen; /* the others are carried out so */
	bool spread;  /* half of the files are in a further lower tree */
	_Atomic unsigned layers[5];
	_Atomic unsigned wrong_paths;
	char dir[4200], storage[4200], other[4200], lower[4200];
};

static bool begins(const char *path, const char *top)
{
	return path && !strncmp(path, top, strlen(top));
}

/* The host's path must lie where the layer says. */
static void check_place(struct watch *w, const struct sluice_plan *plan, const char *name)
{
	const char *top = plan->layer == SLUICE_LAYER_LOWER   ? w->dir
			  : plan->layer == SLUICE_LAYER_UPPER ? w->storage
							      : w->other;
	const char *last = plan->host_path ? strrchr(plan->host_path, '/') : NULL;

	if (w->spread && plan->layer == SLUICE_LAYER_LOWER && strcmp(name, "changed") != 0)
		top = w->lower;
	/* what is to be made lies in the lower directory as long as that was not copied */
	if (plan->layer == SLUICE_LAYER_UPPER && begins(plan->host_path, w->dir))
		top = w->dir;
	if (!begins(plan->host_path, top) || !last || strcmp(last + 1, name) != 0)
		w->wrong_paths++;
}

static struct sluice_verdict look(struct sluice_request *req, void *userdata)
{
	static const char *const names[] = { "kept", "changed", "made", "removed", "directory" };
	struct watch *w = userdata;
	struct sluice_plan plan;
	const char *path, *last;

	if (sluice_request_path(req, 0, &path) <= 0)
		return sluice_continue();
	last = strrchr(path, '/');
	last = last ? last + 1 : path;
	for (size_t i = 0; i < N_OF(names); i++) {
		if (strcmp(last, names[i]) != 0)
			continue;
		sluice_request_plan(req, &plan);
		if (plan.kind != SLUICE_PLAN_ACT || plan.layer >= N_OF(w->layers))
			w->wrong_paths++;
		else
			w->layers[plan.layer]++;
		check_place(w, &plan, last);
		if (sluice_request_nr(req) == w->refused)
			return sluice_errno(EDOM);
	}
	return w->as_seen ? sluice_as_seen() : sluice_continue();
}

static void make(const char *dir, const char *name)
{
	char path[4400];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "old", 3), 3);
	close(fd);
}

static int count_change(const struct sluice_cow_change *change, void *userdata)
{
	(void)change;
	++*(int *)userdata;
	return 0;
}

/* Runs the role in a branch, which is dropped. @ret_changes: how many it had. */
static int run_watched(struct watch *w, int *ret_changes)
{
	const int calls[] = { SYS_openat, SYS_unlink, SYS_unlinkat, SYS_mkdir, SYS_mkdirat };
	struct sluice_handler extras[N_OF(calls)];
	struct sluice_spawn_options o = { .size = sizeof(o),
					  .extras = extras,
					  .n_extras = N_OF(calls) };
	struct sluice_policy *p = guest_policy();
	struct sluice_result result;
	struct sluice_sandbox *s;

	for (size_t i = 0; i < N_OF(calls); i++)
		extras[i] = sluice_handler_make("look", calls[i], look, w);
	assert_int_equal(sluice_policy_set_workdir(p, w->dir, NULL), 0);
	assert_int_equal(sluice_policy_set_storage(p, w->storage, NULL), 0);
	if (w->spread)
		assert_int_equal(sluice_policy_add_lower(p, w->lower, NULL), 0);
	assert_int_equal(
		sluice_policy_add_mount(p, "/mounted", w->other, SLUICE_MOUNT_READ_ONLY, NULL), 0);
	s = guest_spawn(p, &o, "change", "");
	assert_int_equal(sluice_sandbox_wait(s, -1, &result), 0);
	assert_non_null(sluice_sandbox_cow(s));
	*ret_changes = 0;
	assert_int_equal(sluice_cow_changes(sluice_sandbox_cow(s), count_change, ret_changes), 0);
	assert_int_equal(sluice_sandbox_settle(s, SLUICE_COW_ABORT, NULL, NULL, NULL), 0);
	assert_null(sluice_sandbox_cow(s));
	sluice_sandbox_free(s);
	sluice_policy_unref(p);
	return result.exit_code;
}

static struct watch *watch_new(const char *dir, bool spread)
{
	struct watch *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->spread = spread;
	snprintf(w->dir, sizeof(w->dir), "%s/dir", dir);
	snprintf(w->storage, sizeof(w->storage), "%s/storage", dir);
	snprintf(w->other, sizeof(w->other), "%s/other", dir);
	snprintf(w->lower, sizeof(w->lower), "%s/lower", dir);
	assert_int_equal(mkdir(w->dir, 0755) | mkdir(w->storage, 0755) | mkdir(w->other, 0755) |
				 mkdir(w->lower, 0755),
			 0);
	make(spread ? w->lower : w->dir, "kept");
	make(w->dir, "changed");
	make(spread ? w->lower : w->dir, "removed");
	make(w->other, "kept");
	return w;
}

static void check_layers(bool spread, bool as_seen)
{
	const char *dir = guest_dir();
	struct watch *w = watch_new(dir, spread);
	int changes;

	w->as_seen = as_seen;
	assert_int_equal(run_watched(w, &changes), 0);
	assert_int_equal(changes, 4);
	assert_int_equal(w->wrong_paths, 0);
	assert_int_equal(w->layers[SLUICE_LAYER_NONE], 0);
	assert_int_equal(w->layers[SLUICE_LAYER_HOST], 0);
	assert_int_equal(w->layers[SLUICE_LAYER_MOUNT], 1);
	/* kept, changed for writing, removed */
	assert_int_equal(w->layers[SLUICE_LAYER_LOWER], 3);
	/* changed for reading, made, directory */
	assert_int_equal(w->layers[SLUICE_LAYER_UPPER], 3);
	free(w);
	guest_remove(dir);
}

static void test_an_extra_sees_the_layer(void **state)
{
	(void)state;
	for (unsigned i = 0; guest_descriptors_can_be_got() && i < 4; i++)
		check_layers(i & 1, i & 2);
}

static void test_a_refused_call_leaves_nothing(void **state)
{
	static const struct {
		int call;
		int failed, changes;
	} cases[] = {
		{ SYS_openat, 0x4f, 2 }, /* all opens: only unlink and mkdir have happened */
		{ SYS_unlink, 0x10, 3 },
		{ SYS_mkdir, 0x20, 3 },
	};
	int changes;

	(void)state;
	for (size_t i = 0; guest_descriptors_can_be_got() && i < N_OF(cases); i++) {
		const char *dir = guest_dir();
		struct watch *w = watch_new(dir, i % 2);

		w->refused = cases[i].call;
		assert_int_equal(run_watched(w, &changes), cases[i].failed);
		assert_int_equal(changes, cases[i].changes);
		free(w);
		guest_remove(dir);
	}
}

static void make_before(const char *dir)
{
	char path[4400];

	assert_int_equal(mkdir(dir, 0755), 0);
	snprintf(path, sizeof(path), "%s/empty", dir);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/sub", dir);
	assert_int_equal(mkdir(path, 0755), 0);
	make(path, "f");
	make(dir, "kept");
}

static void move(const char *from, const char *to, const char *name)
{
	char a[4400], b[4400];

	snprintf(a, sizeof(a), "%s/%s", from, name);
	snprintf(b, sizeof(b), "%s/%s", to, name);
	assert_int_equal(rename(a, b), 0);
}

/* A new directory on another file system than @dir; NULL: there is none. */
static const char *make_elsewhere(const char *dir, char buf[64])
{
	static const char *const places[] = { "/dev/shm", "/tmp", "/var/tmp", "/run" };
	struct stat here, st;

	assert_int_equal(stat(dir, &here), 0);
	for (size_t i = 0; i < N_OF(places); i++) {
		snprintf(buf, 64, "%s/sluice-test.XXXXXX", places[i]);
		if (stat(places[i], &st) == 0 && st.st_dev != here.st_dev && mkdtemp(buf))
			return buf;
	}
	return NULL;
}

enum apart {
	APART_NOTHING,
	APART_LOWER,  /* half of the files are in a further lower tree */
	APART_BRANCH, /* the branch is on another file system, if there is one */
	N_APART
};

/* Bare, and in a branch of the same files; @again: what runs then in the same branch, NULL: nothing. */
static void check_as_bare(const char *role, const char *again, enum apart apart)
{
	const char *dir = guest_dir();
	struct sluice_policy *p = guest_policy();
	char bare[4300], lower[4300], further[4300], storage[4300], buf[64];
	const char *elsewhere = apart == APART_BRANCH ? make_elsewhere(dir, buf) : NULL;

	snprintf(bare, sizeof(bare), "%s/bare", dir);
	snprintf(lower, sizeof(lower), "%s/lower", dir);
	snprintf(storage, sizeof(storage), "%s/storage", elsewhere ? elsewhere : dir);
	make_before(bare);
	make_before(lower);
	assert_int_equal(mkdir(storage, 0755), 0);
	assert_int_equal(guest_bare(role, bare), 0);
	assert_int_equal(sluice_policy_set_workdir(p, lower, NULL), 0);
	assert_int_equal(sluice_policy_set_storage(p, storage, NULL), 0);
	assert_int_equal(sluice_policy_set_branch(p, "branch", NULL), 0);
	snprintf(further, sizeof(further), "%s/further", dir);
	assert_int_equal(mkdir(further, 0755), 0);
	if (apart == APART_LOWER) {
		move(lower, further, "sub");
		move(lower, further, "kept");
		assert_int_equal(sluice_policy_add_lower(p, further, NULL), 0);
	}
	assert_int_equal(guest_inside(p, role, lower), 0);
	if (again) {
		assert_int_equal(guest_bare(again, bare), 0);
		assert_int_equal(guest_inside(p, again, lower), 0);
	}
	sluice_policy_unref(p);
	if (elsewhere)
		guest_remove(elsewhere);
	guest_remove(dir);
}

static void check_all_as_bare(const char *role, const char *again)
{
	for (enum apart i = APART_NOTHING; guest_descriptors_can_be_got() && i < N_APART; i++)
		check_as_bare(role, again, i);
}

static void test_directories_of_before_a_change(void **state)
{
	(void)state;
	check_all_as_bare("before", NULL);
}

static void test_files_are_the_same_by_descriptor(void **state)
{
	(void)state;
	check_all_as_bare("descriptors", NULL);
}

static void test_a_change_of_the_top_alone(void **state)
{
	(void)state;
	for (unsigned i = 0; guest_descriptors_can_be_got() && i < 2; i++)
		check_as_bare("top", NULL, i);
}

static void test_the_limit_that_carries_directories(void **state)
{
	(void)state;
	if (guest_descriptors_can_be_got())
		check_as_bare("limit", NULL, APART_NOTHING);
}

static void test_a_file_is_no_place_to_start_from(void **state)
{
	(void)state;
	check_all_as_bare("places", NULL);
}

static void test_what_is_new_is_on_the_same_file_system(void **state)
{
	(void)state;
	check_all_as_bare("new", "new-again");
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_extra_sees_the_layer),
		cmocka_unit_test(test_a_refused_call_leaves_nothing),
		cmocka_unit_test(test_directories_of_before_a_change),
		cmocka_unit_test(test_files_are_the_same_by_descriptor),
		cmocka_unit_test(test_a_change_of_the_top_alone),
		cmocka_unit_test(test_the_limit_that_carries_directories),
		cmocka_unit_test(test_a_file_is_no_place_to_start_from),
		cmocka_unit_test(test_what_is_new_is_on_the_same_file_system),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
