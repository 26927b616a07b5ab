/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AS_SEEN for every family: what is carried out is what the handler saw, also when the task's memory says something else a moment later. Here it is the handler that
 * rewrites it, once it has looked: the worst that a thread of the task can do, each time.
 *
 * Each call is about a file of directory a, where it succeeds; rewritten, it is about the same name in b, which is empty.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "as_seen.h"
#include "task/family.h"

/* ---- the calls ---- */

/* What an argument stands for. */
enum {
	ONE = 0x70000000, /* the first path, in memory that may be written */
	TWO,
	CWD,
	OUT, /* room for an answer */
	NAME,
	VALUE,
	XATTR_ARGS,
	HANDLE,
	HOW,
	ADDRESS, /* of a socket: the first path */
	WATCHES, /* descriptors */
	MARKS,
	SOCKET,
};

struct call {
	const char *name;
	const char *one, *two;
	long a[6];
};

#define ADDRESS_BYTES ((long)sizeof(struct sockaddr_un))

/* clang-format off */
static const struct call calls[] = {
	{ "open", "a/f", NULL, { ONE, O_RDWR } },
	{ "creat", "a/new", NULL, { ONE, 0600 } },
	{ "openat", "a/new", NULL, { CWD, ONE, O_CREAT | O_WRONLY, 0600 } },
	{ "openat2", "a/f", NULL, { CWD, ONE, HOW, sizeof(struct open_how) } },
	{ "stat", "a/f", NULL, { ONE, OUT } },
	{ "lstat", "a/l", NULL, { ONE, OUT } },
	{ "newfstatat", "a/f", NULL, { CWD, ONE, OUT, 0 } },
	{ "statx", "a/f", NULL, { CWD, ONE, 0, 0x7ff, OUT } },
	{ "access", "a/f", NULL, { ONE, R_OK } },
	{ "faccessat", "a/f", NULL, { CWD, ONE, R_OK } },
	{ "faccessat2", "a/f", NULL, { CWD, ONE, R_OK, AT_EACCESS } },
	{ "readlink", "a/l", NULL, { ONE, OUT, 64 } },
	{ "readlinkat", "a/l", NULL, { CWD, ONE, OUT, 64 } },
	{ "statfs", "a/f", NULL, { ONE, OUT } },
	{ "getxattr", "a/f", NULL, { ONE, NAME, OUT, 64 } },
	{ "lgetxattr", "a/f", NULL, { ONE, NAME, OUT, 64 } },
	{ "getxattrat", "a/f", NULL, { CWD, ONE, 0, NAME, XATTR_ARGS, 16 } },
	{ "listxattr", "a/f", NULL, { ONE, OUT, 64 } },
	{ "llistxattr", "a/f", NULL, { ONE, OUT, 64 } },
	{ "listxattrat", "a/f", NULL, { CWD, ONE, 0, OUT, 64 } },
	{ "setxattr", "a/f", NULL, { ONE, NAME, VALUE, 1, 0 } },
	{ "lsetxattr", "a/f", NULL, { ONE, NAME, VALUE, 1, 0 } },
	{ "setxattrat", "a/f", NULL, { CWD, ONE, 0, NAME, XATTR_ARGS, 16 } },
	{ "removexattr", "a/f", NULL, { ONE, NAME } },
	{ "lremovexattr", "a/f", NULL, { ONE, NAME } },
	{ "removexattrat", "a/f", NULL, { CWD, ONE, 0, NAME } },
	{ "mkdir", "a/new", NULL, { ONE, 0700 } },
	{ "mkdirat", "a/new", NULL, { CWD, ONE, 0700 } },
	{ "mknod", "a/new", NULL, { ONE, S_IFIFO | 0600, 0 } },
	{ "mknodat", "a/new", NULL, { CWD, ONE, S_IFREG | 0600, 0 } },
	{ "symlink", "a/text", "a/new", { ONE, TWO } },
	{ "symlinkat", "a/text", "a/new", { ONE, CWD, TWO } },
	{ "link", "a/f", "a/new", { ONE, TWO } },
	{ "linkat", "a/f", "a/new", { CWD, ONE, CWD, TWO, 0 } },
	{ "unlink", "a/f", NULL, { ONE } },
	{ "unlinkat", "a/f", NULL, { CWD, ONE, 0 } },
	{ "rmdir", "a/d", NULL, { ONE } },
	{ "rename", "a/f", "a/new", { ONE, TWO } },
	{ "renameat", "a/f", "a/new", { CWD, ONE, CWD, TWO } },
	{ "renameat2", "a/f", "a/new", { CWD, ONE, CWD, TWO, RENAME_NOREPLACE } },
	{ "truncate", "a/f", NULL, { ONE, 0 } },
	{ "chmod", "a/f", NULL, { ONE, 0640 } },
	{ "fchmodat", "a/f", NULL, { CWD, ONE, 0640 } },
	{ "fchmodat2", "a/f", NULL, { CWD, ONE, 0640, 0 } },
	{ "chown", "a/f", NULL, { ONE, -1, -1 } },
	{ "lchown", "a/l", NULL, { ONE, -1, -1 } },
	{ "fchownat", "a/f", NULL, { CWD, ONE, -1, -1, 0 } },
	{ "utime", "a/f", NULL, { ONE, 0 } },
	{ "utimes", "a/f", NULL, { ONE, 0 } },
	{ "futimesat", "a/f", NULL, { CWD, ONE, 0 } },
	{ "utimensat", "a/f", NULL, { CWD, ONE, 0, 0 } },
	{ "inotify_add_watch", "a/f", NULL, { WATCHES, ONE, IN_MODIFY } },
	{ "fanotify_mark", "a/f", NULL, { MARKS, FAN_MARK_ADD, FAN_MODIFY, CWD, ONE } },
	{ "name_to_handle_at", "a/f", NULL, { CWD, ONE, HANDLE, OUT, 0 } },
	{ "file_getattr", "a/f", NULL, { CWD, ONE, OUT, 24, 0 } },
	{ "connect", "a/s", NULL, { SOCKET, ADDRESS, ADDRESS_BYTES } },
	{ "bind", "a/new", NULL, { SOCKET, ADDRESS, ADDRESS_BYTES } },
};
/* clang-format on */

static int number_of(const struct call *c)
{
	return sluice_syscall_number(c->name);
}

/* ---- the guest ---- */

struct handle {
	struct file_handle head;
	unsigned char bytes[MAX_HANDLE_SZ];
};

/* Of linux/xattr.h from 6.13 on. */
struct xattr_arguments {
	uint64_t value;
	uint32_t size, flags;
};

static char paths[2][64];
static char answer[8192];
static struct sockaddr_un address;
static struct handle handle;
static struct open_how how;
static struct xattr_arguments attribute;
static int sock; /* of bind and connect */

/* Under a container's profile no name can be had in a tree of its own. */
static int bind_or_refused(int s, const struct sockaddr_un *sun)
{
	if (bind(s, (const struct sockaddr *)sun, sizeof(*sun)) == 0)
		return listen(s, 1);
	return errno == EACCES ? 0 : -1;
}

static int make_files(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "./a/s" };
	int f, s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* by names that the handlers do not take for ours */
	if (mkdir("a", 0700) || mkdir("b", 0700) || mkdir("./a/d", 0700) ||
	    symlink("text", "./a/l") || bind_or_refused(s, &sun))
		return -1;
	f = open("./a/f", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	return write(f, "x", 1) == 1 && (fsetxattr(f, "user.k", "v", 1, 0) == 0 || errno == ENOTSUP)
		       ? close(f)
		       : -1;
}

static long value_of(long token)
{
	switch (token) {
	case ONE:
		return (long)(uintptr_t)paths[0];
	case TWO:
		return (long)(uintptr_t)paths[1];
	case CWD:
		return AT_FDCWD;
	case OUT:
		return (long)(uintptr_t)answer;
	case NAME:
		return (long)(uintptr_t) "user.k";
	case VALUE:
		return (long)(uintptr_t) "w";
	case XATTR_ARGS:
		attribute = (struct xattr_arguments){ (uintptr_t)answer, 1, 0 };
		return (long)(uintptr_t)&attribute;
	case HANDLE:
		handle.head.handle_bytes = MAX_HANDLE_SZ;
		return (long)(uintptr_t)&handle;
	case HOW:
		how.flags = O_RDONLY;
		return (long)(uintptr_t)&how;
	case ADDRESS:
		address.sun_family = AF_UNIX;
		strcpy(address.sun_path, paths[0]);
		return (long)(uintptr_t)&address;
	case WATCHES:
		return inotify_init1(IN_CLOEXEC);
	case MARKS:
		return fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID, 0);
	case SOCKET:
		return sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	default:
		return token;
	}
}

static long make_call(const struct call *c)
{
	long a[6];

	snprintf(paths[0], sizeof(paths[0]), "%s", c->one);
	snprintf(paths[1], sizeof(paths[1]), "%s", c->two ? c->two : "");
	for (int i = 0; i < 6; i++)
		a[i] = value_of(c->a[i]);
	return syscall(number_of(c), a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* Does the socket have the name that it was given? */
static bool is_called(const char *name)
{
	struct sockaddr_un sun = { 0 };
	socklen_t n = sizeof(sun);

	return getsockname(sock, (struct sockaddr *)&sun, &n) == 0 && !strcmp(sun.sun_path, name);
}

/* Was it done to what lies in a, and is b as it was? */
static bool in_the_right_place(const struct call *c)
{
	struct stat st;

	if (c->two && !strncmp(c->name, "symlink", 7) &&
	    (readlink("a/new", answer, sizeof(answer)) != 6 || memcmp(answer, "a/text", 6) != 0))
		return false;
	if ((!strcmp(c->one, "a/new") || c->two) && lstat("a/new", &st) < 0)
		return false;
	if (!strcmp(c->name, "bind") && !is_called(c->one))
		return false;
	return rmdir("b") == 0;
}

/* "INDEX DIR": 0, the call's errno, or 201: it was done somewhere else. */
static int guest_one(const char *arg)
{
	char *dir;
	const struct call *c = &calls[strtoul(arg, &dir, 10)];

	if (chdir(dir + 1) < 0 || make_files() < 0)
		return 200;
	if (make_call(c) < 0)
		return errno;
	return in_the_right_place(c) ? 0 : 201;
}

/* The same with files that are there: all that it comes to is the errno. */
static int guest_again(const char *arg)
{
	char *dir;
	const struct call *c = &calls[strtoul(arg, &dir, 10)];

	return chdir(dir + 1) < 0 ? 200 : make_call(c) < 0 ? errno : 0;
}

/* What is opened by a struct open_how: 0 for reading, 1 for writing. */
static int guest_how(const char *dir)
{
	const struct call c = { "openat2", "a/f", NULL, { CWD, ONE, HOW, sizeof(how) } };
	int fd = chdir(dir) < 0 || make_files() < 0 ? -1 : (int)make_call(&c);

	return fd < 0 ? 200 : (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

/* What can be done by nobody for another process. */
static int guest_own(const char *what)
{
	char *const argv[] = { (char *)guest_program(), "--inside", "nothing", "", NULL };

	if (!strcmp(what, "chdir"))
		return chdir("/") < 0 ? errno : 0;
	if (!strcmp(what, "execve"))
		execv(argv[0], argv);
	else
		syscall(SYS_execveat, AT_FDCWD, argv[0], argv, NULL, 0);
	return errno;
}

static int guest_nothing(const char *arg)
{
	(void)arg;
	return 0;
}

/* ---- looking, by paths that are special ---- */

static const char *const looked_at[] = {
	"/proc/self",
	"/proc/self/",
	"/proc/self/exe",
	"/proc/self/fd/0",
	"/proc/self/fd/99",
	"/proc/self/cwd",
	"/proc/self/cwd/f",
	"/proc/self/root",
	"/proc/self/root/etc/passwd",
	"/proc/self/status",
	"/proc/self/../self/status",
	"/proc/self/nothing",
	"/proc/thread-self",
	"/proc/thread-self/comm",
	"/proc/thread-self/../../status",
	"/proc/self/ns/mnt",
	"/proc/uptime",
	"/proc/mounts",
	"/proc",
	"/dev/fd/0",
	"/dev/stdin",
	"/dev/null",
	"/dev/null/",
	"to-self",
	"to-self/exe",
	"to-self/cwd/f",
	"to-fd",
	"f",
	"f/",
	"f/.",
	"f/..",
	"./f",
	"l",
	"l/",
	"to-d/",
	"to-d/g",
	"to-d/../f",
	"d/up/f",
	"dangling",
	"dangling/",
	"loop",
	"loop/x",
	"locked/f",
	"secret",
	"",
	"/",
	"//",
	"..",
	".",
	"../../../../../../../../../etc/passwd",
	"missing/..",
	"d/../f",
};

static void make_special(void)
{
	int bad = mkdir("d", 0755) | mkdir("locked", 0755) | symlink("f", "l") |
		  symlink("d", "to-d") | symlink("..", "d/up") | symlink("none", "dangling") |
		  symlink("loop", "loop") | symlink("/proc/self", "to-self") |
		  symlink("/proc/self/fd/50", "to-fd");

	close(open("f", O_CREAT | O_WRONLY, 0644));
	close(open("d/g", O_CREAT | O_WRONLY, 0644));
	close(open("locked/f", O_CREAT | O_WRONLY, 0644));
	close(open("secret", O_CREAT | O_WRONLY, 0));
	if (bad || chmod("locked", 0))
		_exit(200);
}

/* One line a call; what is ours in it, named. */
static void say(FILE *out, const char *call, const char *path, long r, long what)
{
	fprintf(out, "%s %.30s: %d %lx\n", call, path, r < 0 ? errno : 0, r < 0 ? 0 : what);
}

static void say_link(FILE *out, const char *path)
{
	char text[PATH_MAX], own[64], here[PATH_MAX];
	ssize_t n = readlink(path, text, sizeof(text) - 1);
	const char *shown = text;

	fprintf(out, "readlink %s: %d ", path, n < 0 ? errno : 0);
	text[n < 0 ? 0 : n] = '\0';
	snprintf(own, sizeof(own), "%d", getpid());
	if (!strncmp(text, own, strlen(own)))
		shown = strstr(text, "/task/") ? "the thread" : text + strlen(own);
	else if (getcwd(here, sizeof(here)) && !strncmp(text, here, strlen(here)))
		shown += strlen(here);
	fprintf(out, "%s\n", shown);
}

static long identity(const struct stat *st)
{
	/* what procfs makes up has another number each time */
	return st->st_dev << 32 ^ (S_ISREG(st->st_mode) && st->st_size ? (long)st->st_ino : 0) ^
	       st->st_mode;
}

static void look_at(FILE *out, const char *path)
{
	struct stat st = { 0 };
	char list[256];
	long r;

	r = syscall(SYS_newfstatat, AT_FDCWD, path, &st, 0);
	say(out, "stat", path, r, identity(&st));
	r = syscall(SYS_newfstatat, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW);
	say(out, "lstat", path, r, identity(&st));
	r = syscall(SYS_newfstatat, 60, path, &st, AT_EMPTY_PATH);
	say(out, "fstatat", path, r, identity(&st));
	r = syscall(SYS_newfstatat, 50, path, &st, 0);
	say(out, "fstatat.file", path, r, identity(&st));
	r = syscall(SYS_newfstatat, 77, path, &st, 0);
	say(out, "fstatat.bad", path, r, identity(&st));
	say(out, "access", path, access(path, R_OK | W_OK), 0);
	say(out, "listxattr", path, listxattr(path, list, sizeof(list)), 0);
	say_link(out, path);
}

/* ARG: an empty directory. */
static int guest_look(const char *arg)
{
	FILE *out = fdopen(dup(STDOUT_FILENO), "w");

	if (chdir(arg) < 0)
		return 200;
	make_special();
	dup2(open("f", O_RDONLY), 50);
	dup2(open("d", O_RDONLY | O_DIRECTORY), 60);
	for (size_t i = 0; i < N_OF(looked_at); i++)
		look_at(out, looked_at[i]);
	say(out, "stat", "fault", syscall(SYS_newfstatat, AT_FDCWD, 8, answer, 0), 0);
	say(out, "stat", "fault", syscall(SYS_newfstatat, AT_FDCWD, "f", 8, 0), 0);
	chmod("locked", 0700);
	return fclose(out) ? 201 : 0;
}

static const struct guest_role roles[] = {
	{ "one", guest_one }, { "again", guest_again },	    { "how", guest_how },
	{ "own", guest_own }, { "nothing", guest_nothing }, { "look", guest_look },
	{ NULL, NULL },
};

/* ---- the handlers ---- */

struct rewriting {
	struct sluice_verdict verdict;
	bool rewrite;
	_Atomic int calls; /* that were about a */
};

static void overwrite(struct sluice_request *req, uint64_t at)
{
	sluice_request_write(req, at, "b", 1);
}

/* The address is rewritten where its path begins. */
static struct sluice_verdict on_address(struct sluice_request *req, struct rewriting *w)
{
	struct sockaddr_storage sa;
	const struct sockaddr_un *sun = (const struct sockaddr_un *)&sa;

	if (sluice_request_sockaddr(req, &sa) <= 0 || strncmp(sun->sun_path, "a/", 2) != 0)
		return sluice_continue();
	atomic_fetch_add(&w->calls, 1);
	if (w->rewrite)
		overwrite(req, sluice_request_arg(req, 1) + offsetof(struct sockaddr_un, sun_path));
	return w->verdict;
}

static struct sluice_verdict on_path(struct sluice_request *req, void *userdata)
{
	const struct family_call *f = family_of(sluice_request_nr(req));
	struct rewriting *w = userdata;
	const char *path, *other;

	if (f->path < 0)
		return on_address(req, w);
	if (sluice_request_path(req, 0, &path) < 0 || strncmp(path, "a/", 2) != 0)
		return sluice_continue();
	atomic_fetch_add(&w->calls, 1);
	if (f->path2 >= 0)
		sluice_request_path(req, 1, &other);
	if (w->rewrite)
		overwrite(req, sluice_request_arg(req, (unsigned)f->path));
	if (w->rewrite && f->path2 >= 0)
		overwrite(req, sluice_request_arg(req, (unsigned)f->path2));
	return w->verdict;
}

static struct sluice_verdict on_how(struct sluice_request *req, void *userdata)
{
	const struct open_how other = { .flags = O_RDWR };
	struct sluice_open_args args;
	struct rewriting *w = userdata;

	if (sluice_request_open_args(req, &args) < 0 || args.flags != O_RDONLY)
		return sluice_errno(ENOANO);
	atomic_fetch_add(&w->calls, 1);
	sluice_request_write(req, sluice_request_arg(req, 2), &other, sizeof(other));
	return w->verdict;
}

/* ---- the tests ---- */

static struct sluice_policy *writable(const char *dir)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_allow_write(p, dir, NULL), 0);
	return p;
}

/* Then no built-in looks before the extras. */
static struct sluice_policy *writable_all(const char *dir)
{
	(void)dir;
	return writable("/");
}

/* With a tree of its own: something is mounted somewhere. */
static struct sluice_policy *in_a_tree(const char *dir)
{
	struct sluice_policy *p = writable(dir);

	assert_int_equal(
		sluice_policy_add_mount(p, "/mounted/here", "/etc", SLUICE_MOUNT_READ_ONLY, NULL),
		0);
	return p;
}

static int run_call(const struct call *c, struct rewriting *w,
		    struct sluice_policy *(*policy)(const char *dir))
{
	const struct sluice_handler h = sluice_handler_make("seen", number_of(c), on_path, w);
	const char *dir = guest_dir();
	struct sluice_policy *p = policy(dir);
	char arg[PATH_MAX];
	int r;

	snprintf(arg, sizeof(arg), "%zu %s", (size_t)(c - calls), dir);
	r = guest_run(p, &h, w ? 1 : 0, "one", arg).exit_code;
	sluice_policy_unref(p);
	guest_remove(dir);
	return r;
}

/* Is it about a descriptor of the task, which a container's profile may keep from us? */
static bool takes_a_descriptor(const struct call *c)
{
	return c->a[0] == WATCHES || c->a[0] == MARKS || c->a[0] == SOCKET;
}

/* Does the call work here at all? Not every kernel, file system and container has all of them. */
static bool is_there(const struct call *c, struct sluice_policy *(*policy)(const char *dir))
{
	int r;

	if (takes_a_descriptor(c) && !guest_descriptors_can_be_got())
		return false;
	r = number_of(c) < 0 ? ENOSYS : run_call(c, NULL, policy);
	if (r == 0)
		return true;
	if (r != ENOSYS && r != ENOTSUP && r != EPERM && r != EBADF)
		fail_msg("%s: %d, without any handler", c->name, r);
	return false;
}

static void is_done_as_seen(const struct call *c, struct sluice_policy *(*policy)(const char *dir))
{
	struct rewriting w = { .verdict = sluice_as_seen(), .rewrite = true };
	int r = run_call(c, &w, policy);

	if (w.calls != 1 || r)
		fail_msg("%s: %d: rewritten and done as seen", c->name, r);
}

static void hazard_A1_what_was_seen_is_what_is_done(void **state)
{
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < N_OF(calls); i++) {
		struct rewriting w = { .verdict = sluice_continue(), .rewrite = true };
		int r;

		if (!is_there(&calls[i], writable_all))
			continue;
		n++;
		r = run_call(&calls[i], &w, writable_all);
		if (w.calls != 1 || !r)
			fail_msg("%s: %d: rewritten and let go", calls[i].name, r);
		is_done_as_seen(&calls[i], writable_all);
		is_done_as_seen(&calls[i], writable);
	}
	assert_true(n >= (guest_descriptors_can_be_got() ? 48 : 44));
}

/* There the built-ins have looked before the extras, so it comes to the same. */
static void hazard_A1_in_a_tree_of_its_own(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(calls); i++) {
		if (is_there(&calls[i], in_a_tree))
			is_done_as_seen(&calls[i], in_a_tree);
	}
}

static void hazard_A1_flags_in_memory(void **state)
{
	struct rewriting w = { .verdict = sluice_continue() };
	struct sluice_handler h = sluice_handler_make("how", SYS_openat2, on_how, &w);
	const char *one = guest_dir(), *two = guest_dir();
	struct sluice_policy *p = writable(one);

	(void)state;
	assert_int_equal(sluice_policy_allow_write(p, two, NULL), 0);
	assert_int_equal(guest_run(p, &h, 1, "how", one).exit_code, 1);
	w.verdict = sluice_as_seen();
	assert_int_equal(guest_run(p, &h, 1, "how", two).exit_code, 0);
	assert_int_equal(w.calls, 2);
	sluice_policy_unref(p);
	guest_remove(one);
	guest_remove(two);
}

/* Where writing is not granted: the same errno as by the kernel, and nothing is done. */
static void hazard_C1_grants_hold_for_what_is_done_as_seen(void **state)
{
	const char *dir = guest_dir();
	char arg[PATH_MAX];
	int refused = 0;

	(void)state;
	snprintf(arg, sizeof(arg), "0 %s", dir);
	assert_int_equal(guest_bare("one", arg), 0);
	for (size_t i = 0; i < N_OF(calls); i++) {
		struct rewriting w = { .verdict = sluice_as_seen() };
		const struct sluice_handler h =
			sluice_handler_make("seen", number_of(&calls[i]), on_path, &w);
		int kernel, behalf;

		if (number_of(&calls[i]) < 0)
			continue;
		snprintf(arg, sizeof(arg), "%zu %s", i, dir);
		kernel = guest_inside(NULL, "again", arg);
		behalf = guest_run(NULL, &h, 1, "again", arg).exit_code;
		refused += kernel == EACCES;
		/* whose descriptors can't be got has nothing marked and watched for it */
		if (kernel == 0 && behalf == EACCES && !guest_descriptors_can_be_got())
			continue;
		if (kernel != behalf && kernel != ENOSYS)
			fail_msg("%s: %d by the kernel, %d as seen", calls[i].name, kernel, behalf);
	}
	assert_true(refused > 25);
	guest_remove(dir);
}

static int own(struct sluice_policy *p, const char *what)
{
	struct sluice_handler h =
		sluice_handler_make("own", sluice_syscall_number(what), as_seen_verdict, NULL);
	int r = guest_run(p, &h, 1, "own", what).exit_code;

	return r;
}

static struct sluice_verdict as_seen_but_first(struct sluice_request *req, void *calls_seen)
{
	(void)req;
	return atomic_fetch_add((_Atomic int *)calls_seen, 1) ? sluice_as_seen()
							      : sluice_continue();
}

/* The directory of another process can be changed by nobody, nor can its program; with a tree of its own both are ours to keep. */
static void test_what_only_the_task_can_do(void **state)
{
	struct sluice_policy *p = in_a_tree("/tmp");
	_Atomic int seen = 0;
	struct sluice_handler h = sluice_handler_make("own", SYS_execve, as_seen_but_first, &seen);

	(void)state;
	assert_int_equal(guest_inside(NULL, "own", "chdir"), 0);
	assert_int_equal(own(NULL, "chdir"), EOPNOTSUPP);
	assert_int_equal(own(p, "chdir"), 0);
	assert_int_equal(own(NULL, "execveat"), EOPNOTSUPP);
	assert_int_equal(own(p, "execveat"), 0);
	/* the first exec is the start of the guest */
	assert_int_equal(guest_run(NULL, &h, 1, "own", "execve").exit_code, EOPNOTSUPP);
	seen = 0;
	assert_int_equal(guest_run(p, &h, 1, "own", "execve").exit_code, 0);
	assert_int_equal(seen, 2);
	sluice_policy_unref(p);
}

static void looks_are_the_kernels(struct sluice_policy *p)
{
	static const int looks[] = { SYS_newfstatat, SYS_access, SYS_listxattr, SYS_readlink };
	struct sluice_handler extras[N_OF(looks)];
	char *kernel, *behalf;
	const char *one = guest_dir(), *two = guest_dir();

	assert_int_equal(sluice_policy_allow_write(p, one, NULL), 0);
	assert_int_equal(sluice_policy_allow_write(p, two, NULL), 0);
	for (size_t i = 0; i < N_OF(looks); i++)
		extras[i] = sluice_handler_make("look", looks[i], as_seen_verdict, NULL);
	kernel = guest_text(p, NULL, 0, "look", one);
	behalf = guest_text(p, extras, N_OF(looks), "look", two);
	assert_true(strlen(kernel) > 5000);
	assert_int_equal(guest_text_differences("looks", kernel, behalf), 0);
	free(behalf);
	free(kernel);
	guest_remove(one);
	guest_remove(two);
	sluice_policy_unref(p);
}

static void hazard_A7_looks_on_behalf_are_the_kernels(void **state)
{
	static const char *const libraries[] = { "/usr", "/lib", "/lib32", "/lib64" };
	struct sluice_policy *p;

	(void)state;
	looks_are_the_kernels(guest_policy());
	if (GUEST_SLOW > 1) /* a sanitizer reads procfs when it starts */
		return;
	p = sluice_policy_new();
	/* looking takes no grant, not even of procfs */
	for (size_t i = 0; i < N_OF(libraries); i++) {
		if (access(libraries[i], F_OK) == 0)
			assert_int_equal(sluice_policy_allow_read(p, libraries[i], NULL), 0);
	}
	assert_int_equal(sluice_policy_allow_read(p, guest_program(), NULL), 0);
	looks_are_the_kernels(p);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_A1_what_was_seen_is_what_is_done),
		cmocka_unit_test(hazard_A1_in_a_tree_of_its_own),
		cmocka_unit_test(hazard_A1_flags_in_memory),
		cmocka_unit_test(hazard_C1_grants_hold_for_what_is_done_as_seen),
		cmocka_unit_test(hazard_A7_looks_on_behalf_are_the_kernels),
		cmocka_unit_test(test_what_only_the_task_can_do),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("as-seen", tests, NULL, NULL);
}
