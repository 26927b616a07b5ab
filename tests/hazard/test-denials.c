/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a policy denies inside of what it grants: every family of calls by every way to it, on the host's tree, under a root and in a branch; with
 * directories that are exchanged above it meanwhile, and with what somebody outside does to it. Each way is first shown to work without the rule.
 *
 *	TOP/shut	denied, with all in it
 *	TOP/up/mid	so, with a directory above it that is renamed
 *	TOP/file/secret	so, a file that has another name, TOP/alias/secret
 *	TOP/file/new	so, and not there; TOP/none/x/new so, with its parents
 *	TOP/lnk		so, a link to TOP/open2/secret
 *	TOP/race/a/shut	so; TOP/race/b/shut is not
 *	TOP/prog/elf	so, a program whose other name is TOP/prog/again
 *	TOP/open	not denied, and otherwise like TOP/shut
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/families.h"
#include "../support/guest.h"
#include "../support/root.h"

#define CHECK ROOT_CHECK
#define FAILS(call, error) ((call) < 0 && errno == (error))

static const char make_script[] =
	"set -eu; umask 022; cd $1; mkdir -p shut/sub open up/mid file alias open2 race/a/shut race/b/shut race/c prog out\n"
	"for d in shut open up/mid file open2; do echo hidden >$d/secret; chmod 777 $d/secret; ln -s x $d/link; done\n"
	"ln file/secret alias/secret; ln -s x alias/link; ln -s open2/secret lnk; ln -s shut in; ln -s . here\n"
	"echo hidden >race/a/shut/secret; echo plain >race/b/shut/secret\n"
	"cp $(PATH=/usr/bin:/bin which true) prog/elf; cp prog/elf prog/free; ln prog/elf prog/again\n"
	"printf '#!%s/prog/elf\\n' $1 >prog/by; chmod 755 prog/by\n";

static const char *const denials[] = {
	"shut", "up/mid", "file/secret", "file/new", "none/x/new", "lnk", "race/a/shut", "prog/elf",
};

static const char *at(const char *top, const char *name)
{
	static char buf[8][PATH_MAX + 64];
	static unsigned next;
	char *path = buf[next++ % 8];

	snprintf(path, sizeof(buf[0]), "%s/%s", top, name);
	return path;
}

/* ---- inside: families ---- */

/* Which families work at all, on a directory that nobody denies. */
static bool works[128];

static void clean_up(void)
{
	for (const char *const *name =
		     (const char *const[]){ "taken", "taken2", "given.f", "given.x", NULL };
	     *name; name++)
		unlink(*name);
	rmdir("given");
}

static int find_what_works(const char *dir)
{
	struct family_target t;
	int n = 0;

	clean_up();
	family_fill(&t, AT_FDCWD, dir);
	for (unsigned i = 0; i < family_count; i++) {
		int error = family_try(i, &t);

		works[i] = !error;
		n += !error;
		if (error)
			fprintf(stderr, "%s does not work in %s: errno %d\n", family_name(i), dir,
				error);
		unlink(t.new);
	}
	clean_up();
	return n;
}

static unsigned told;

/* Families of those that use @uses and got there, or failed with another errno than EACCES; the first is told. */
static int not_denied(int dirfd, const char *dir, unsigned uses)
{
	const int here = open(".", O_PATH | O_DIRECTORY);
	struct family_target t;
	int n = 0;

	family_fill(&t, dirfd, dir);
	for (unsigned i = 0; i < family_count; i++) {
		int error;

		if (!works[i] || !(family_uses(i) & uses) ||
		    (dirfd != AT_FDCWD && !(family_uses(i) & FAMILY_TAKES_DIRFD)))
			continue;
		error = family_try(i, &t);
		/* too long for a socket's address; execveat with a descriptor */
		if (error != EACCES && error != ENAMETOOLONG && error != ENOSYS && n++ == 0 &&
		    told++ < 10)
			fprintf(stderr, "%s of %s: errno %d\n", family_name(i), dir, error);
		if (!error && fchdir(here) < 0)
			n += 200;
	}
	close(here);
	clean_up();
	return n;
}

#define EVERYTHING (FAMILY_USES_FILE | FAMILY_USES_DIR | FAMILY_USES_NEW | FAMILY_USES_LINK)

/* Every way to TOP/@name, by @check. Where the task is: TOP/open. */
static int by_every_way(const char *top, const char *name, unsigned uses)
{
	static const char *const ways[] = {
		"../%s",
		".././%s",
		"..//%s/",
		"../out/../%s",
		"../here/%s",
		"../here/here/open/../%s/.",
		"/proc/self/cwd/../%s",
		"/proc/thread-self/cwd/../here/%s",
		"/proc/self/task/../cwd/../%s",
	};
	static const char *const whole[] = {
		"%s/%s",
		"/proc/self/root%s/%s",
		"/proc/self/root/proc/thread-self/root%s/%s",
		"/proc/self/../self/root%s/here/%s",
		"//%s//./%s",
	};
	char path[PATH_MAX + 256];
	int n = 0, fd = open(top, O_PATH | O_DIRECTORY);

	for (size_t i = 0; i < N_OF(ways); i++) {
		snprintf(path, sizeof(path), ways[i], name);
		n += not_denied(AT_FDCWD, path, uses);
	}
	for (size_t i = 0; i < N_OF(whole); i++) {
		snprintf(path, sizeof(path), whole[i], top, name);
		n += not_denied(AT_FDCWD, path, uses);
	}
	n += not_denied(fd, name, uses);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", fd, name);
	n += not_denied(AT_FDCWD, path, uses);
	snprintf(path, sizeof(path), "/dev/fd/%d/%s", fd, name);
	if (access("/dev/fd", F_OK) == 0) /* not under a root of its own */
		n += not_denied(AT_FDCWD, path, uses);
	snprintf(path, sizeof(path), "open/../%s", name);
	n += not_denied(fd, path, uses);
	close(fd);
	return n;
}

static int enter(const char *top)
{
	return chdir(at(top, "open")) < 0 || find_what_works(at(top, "open")) < 40;
}

/* ARG: TOP. How many ways get there; 0 with the denials, and all of them without. */
static int role_families(const char *top)
{
	int n;

	CHECK(enter(top) == 0);
	n = by_every_way(top, "shut", EVERYTHING) + by_every_way(top, "in", EVERYTHING) +
	    by_every_way(top, "shut/sub/../", EVERYTHING) + by_every_way(top, "up/mid", EVERYTHING);
	/* nothing else is */
	CHECK(access(at(top, "open/secret"), R_OK) == 0 &&
	      access(at(top, "race/b/shut/secret"), R_OK) == 0 && access(at(top, "up"), X_OK) == 0);
	return n > 200 ? 200 : n;
}

/* What is itself denied has no way out, and nothing comes in its place. */
static int role_names(const char *top)
{
	char text[64];
	struct stat st;

	CHECK(chdir(top) == 0);
	for (size_t i = 0; i < N_OF(denials); i++) {
		const char *name = denials[i];

		if (!strcmp(name, "none/x/new")) /* its parents are missing too: role_missing */
			continue;
		CHECK(FAILS(stat(name, &st), EACCES) && FAILS(lstat(name, &st), EACCES));
		CHECK(FAILS(rename(name, "out/x"), EACCES) && FAILS(rename("open", name), EACCES));
		CHECK(FAILS(
			syscall(SYS_renameat2, AT_FDCWD, name, AT_FDCWD, "open", RENAME_EXCHANGE),
			EACCES));
		CHECK(FAILS(
			syscall(SYS_renameat2, AT_FDCWD, "open", AT_FDCWD, name, RENAME_EXCHANGE),
			EACCES));
		CHECK(FAILS(unlink(name), EACCES) && FAILS(rmdir(name), EACCES));
		CHECK(FAILS(mkdir(name, 0700), EACCES) && FAILS(symlink("open", name), EACCES));
		CHECK(FAILS(link("open/secret", name), EACCES) &&
		      FAILS(link(name, "out/x"), EACCES));
		CHECK(FAILS(readlink(name, text, sizeof(text)), EACCES));
		CHECK(FAILS(open(name, O_CREAT | O_RDWR, 0600), EACCES) &&
		      FAILS(open(name, O_CREAT | O_EXCL | O_RDWR, 0600), EACCES));
		CHECK(FAILS(open(name, O_PATH | O_NOFOLLOW), EACCES));
		CHECK(FAILS(open(name, O_TMPFILE | O_RDWR, 0600), EACCES));
	}
	CHECK(FAILS(open("open2/secret", O_RDONLY), EACCES)); /* what the link leads to */
	CHECK(access("out/x", F_OK) < 0 && access("open/secret", F_OK) == 0);
	return 0;
}

/* ---- inside: files ---- */

static int role_files(const char *top)
{
	int n;

	CHECK(enter(top) == 0);
	n = by_every_way(top, "file", FAMILY_USES_FILE | FAMILY_USES_NEW) +
	    by_every_way(top, "alias", FAMILY_USES_FILE);
	CHECK(access(at(top, "file"), R_OK | X_OK) == 0);
	return n > 200 ? 200 : n;
}

/* ARG: TOP, and descriptors of TOP/shut, TOP/shut/secret and TOP/file/secret. How many ways there are. */
static int role_inherited(const char *arg)
{
	char top[PATH_MAX], path[64];
	int dir, below, file, n = 0;
	struct stat st;

	CHECK(sscanf(arg, "%4000s %d %d %d", top, &dir, &below, &file) == 4);
	CHECK(enter(top) == 0);
	n += not_denied(dir, ".", EVERYTHING) + not_denied(dir, "sub/..", EVERYTHING);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
	n += not_denied(AT_FDCWD, path, EVERYTHING);
	n += fstatat(dir, "..", &st, 0) == 0;
	n += fchdir(dir) == 0;
	CHECK(chdir(at(top, "open")) == 0);
	for (const int *fd = (const int[]){ below, file, -1 }; *fd >= 0; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", *fd);
		n += open(path, O_RDONLY) >= 0;
		n += open(path, O_RDWR) >= 0;
		n += truncate(path, 1) == 0;
		n += stat(path, &st) == 0;
		n += fstatat(*fd, "", &st, AT_EMPTY_PATH) == 0;
		n += syscall(SYS_fchownat, *fd, "", getuid(), getgid(), AT_EMPTY_PATH) == 0;
		n += linkat(AT_FDCWD, path, AT_FDCWD, "taken", AT_SYMLINK_FOLLOW) == 0;
		unlink("taken");
		snprintf(path, sizeof(path), "/dev/fd/%d", *fd);
		n += open(path, O_WRONLY) >= 0;
	}
	/* what is not denied is as it was, without a name too */
	file = open(".", O_TMPFILE | O_RDWR, 0600);
	CHECK(file >= 0 && fchmod(file, 0640) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0 &&
	      unlink("named") == 0);
	CHECK(open(path, O_RDWR) >= 0);
	CHECK(mkdir("dark", 0700) == 0);
	dir = open("dark", O_RDONLY | O_DIRECTORY);
	CHECK(dir >= 0 && fchmod(dir, 0) == 0 && fchmod(dir, 0700) == 0 && rmdir("dark") == 0);
	return n > 200 ? 200 : n;
}

/* ---- inside: what was not there, and what is renamed ---- */

static int role_missing(const char *top)
{
	CHECK(chdir(top) == 0);
	CHECK(mkdir("none", 0700) == 0 && mkdir("none/x", 0700) == 0);
	CHECK(FAILS(open("none/x/new", O_CREAT | O_RDWR, 0600), EACCES) &&
	      FAILS(mkdir("none/./x/new", 0700), EACCES) &&
	      FAILS(symlink("../../shut", "here/none/x/new"), EACCES));
	CHECK(open("none/x/other", O_CREAT | O_RDWR, 0600) >= 0 && unlink("none/x/other") == 0);
	/* the way there is of directories that stay where they are */
	CHECK(FAILS(rename("none", "none2"), EACCES) && FAILS(rename("none/x", "x2"), EACCES));
	CHECK(mkdir("made", 0700) == 0 && mkdir("made/x", 0700) == 0 &&
	      open("made/x/new", O_CREAT | O_RDWR, 0600) >= 0);
	CHECK(FAILS(syscall(SYS_renameat2, AT_FDCWD, "made", AT_FDCWD, "none", RENAME_EXCHANGE),
		    EACCES));
	CHECK(rmdir("none/x") == 0 && rmdir("none") == 0);
	CHECK(FAILS(rename("made", "none"), EACCES) && FAILS(symlink("made", "none"), EACCES));
	CHECK(mkdir("none", 0700) == 0 && FAILS(rename("made/x", "none/x"), EACCES));
	CHECK(unlink("made/x/new") == 0 && rmdir("made/x") == 0 && rmdir("made") == 0 &&
	      rmdir("none") == 0);
	return 0;
}

static int role_renamed(const char *top)
{
	int n;

	CHECK(enter(top) == 0);
	CHECK(rename("../up", "../high") == 0 && mkdir("../up", 0700) == 0);
	n = by_every_way(top, "high/mid", EVERYTHING);
	/* the name that it had is denied as well */
	if (mkdir("../up/mid", 0700) == 0)
		n += rmdir("../up/mid") == 0;
	CHECK(rmdir("../up") == 0 && rename("../high", "../up") == 0);
	n += by_every_way(top, "up/mid", EVERYTHING);
	return n > 200 ? 200 : n;
}

/* ---- inside: races ---- */

struct flip {
	const char *top;
	atomic_bool stop;
	_Atomic unsigned n;
};

static void *flip_above(void *arg)
{
	struct flip *f = arg;
	const char *const a = strdup(at(f->top, "race/a")), *const b = strdup(at(f->top, "race/b")),
			  *const c = strdup(at(f->top, "race/c/d"));

	while (!atomic_load(&f->stop)) {
		if (syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) < 0 ||
		    rename(a, c) < 0 || rename(b, a) < 0 || rename(c, b) < 0)
			return (void *)1;
		atomic_fetch_add(&f->n, 1);
	}
	return NULL;
}

enum {
	SAW_PLAIN = 1,
	SAW_HIDDEN = 2,
	SAW_DENIED = 4,
};

static int saw(int fd)
{
	char text[16] = "";
	ssize_t n;

	if (fd < 0)
		return errno == EACCES ? SAW_DENIED : 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 && !strcmp(text, "hidden\n") ? SAW_HIDDEN : SAW_PLAIN;
}

static int look_once(int race, int dir, int file)
{
	static const char *const names[] = {
		"a/shut/secret",      "b/shut/secret",	 "./a/shut/secret",
		"a/../b/shut/secret", "c/d/shut/secret", "c/../b/shut/../shut/secret",
	};
	char path[64];
	int r = 0, fd;

	for (size_t i = 0; i < N_OF(names); i++)
		r |= saw(openat(race, names[i], O_RDONLY));
	fd = openat(race, "b/shut", O_PATH | O_DIRECTORY);
	r |= saw(openat(fd, "secret", O_RDONLY));
	close(fd);
	fd = openat(race, "a", O_RDONLY | O_DIRECTORY);
	r |= saw(openat(fd, "shut/secret", O_RDONLY)) |
	     saw(openat(fd, "../b/shut/secret", O_RDONLY));
	close(fd);
	r |= saw(openat(dir, "secret", O_RDONLY));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	r |= saw(open(path, O_RDONLY));
	snprintf(path, sizeof(path), "/proc/self/fd/%d/secret", dir);
	return r | saw(open(path, O_RDONLY));
}

/* ARG: TOP, and descriptors of TOP/race/a/shut and its file. What was seen. */
static int role_race(const char *arg)
{
	static char top[PATH_MAX];
	struct flip f = { .top = top };
	pthread_t thread;
	void *failed;
	int dir, file, race, r = 0;

	CHECK(sscanf(arg, "%4000s %d %d", top, &dir, &file) == 3);
	race = open(at(top, "race"), O_PATH | O_DIRECTORY);
	CHECK(race >= 0 && pthread_create(&thread, NULL, flip_above, &f) == 0);
	for (int i = 0; i < 400 || atomic_load(&f.n) < 200; i++)
		r |= look_once(race, dir, file);
	atomic_store(&f.stop, true);
	CHECK(pthread_join(thread, &failed) == 0 && !failed);
	return r;
}

/* ---- inside: programs, sockets ---- */

static bool executes(const char *path)
{
	const char *const argv[] = { "x", NULL };
	const pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		execve(path, (char *const *)(uintptr_t)argv, environ);
		_exit(errno == EACCES ? 100 : 101);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status && WEXITSTATUS(status) != 100)
		fprintf(stderr, "%s: status 0x%x\n", path, status);
	return !status;
}

/* ARG: TOP, and a descriptor of TOP/prog/elf. Bits of what is executed. */
static int role_programs(const char *arg)
{
	char top[PATH_MAX], path[64];
	int fd;

	CHECK(sscanf(arg, "%4000s %d", top, &fd) == 2);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return executes(at(top, "prog/elf")) | executes(at(top, "prog/again")) << 1 |
	       executes(at(top, "prog/by")) << 2 | executes(path) << 3 |
	       executes(at(top, "prog/free")) << 4;
}

/* ARG: the path of a socket. 0 or errno. */
static int role_connect(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	return connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0 ? errno : 0;
}

/* ---- inside: what somebody outside does ---- */

/* ARG: TOP, and two descriptors: asks for the change, and waits for it. What is not denied then. */
static int role_changed(const char *arg)
{
	char top[PATH_MAX], c = 'x';
	int out, back, n;

	CHECK(sscanf(arg, "%4000s %d %d", top, &out, &back) == 3);
	CHECK(enter(top) == 0);
	CHECK(write(out, &c, 1) == 1 && read(back, &c, 1) == 1);
	n = by_every_way(top, "moved", EVERYTHING) + by_every_way(top, "file", FAMILY_USES_FILE);
	n += mkdir("../shut", 0700) == 0;
	return n > 200 ? 200 : n;
}

static const struct guest_role roles[] = {
	{ "families", role_families },
	{ "names", role_names },
	{ "files", role_files },
	{ "inherited", role_inherited },
	{ "missing", role_missing },
	{ "renamed", role_renamed },
	{ "race", role_race },
	{ "programs", role_programs },
	{ "connect", role_connect },
	{ "changed", role_changed },
	{ NULL, NULL },
};

/* ---- outside ---- */

static void shell(const char *script, const char *top)
{
	const pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", script, "sh", top, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	assert_int_equal(status, 0);
}

static const char *make_top(void)
{
	const char *top = guest_dir();

	shell(make_script, top);
	return top;
}

static struct sluice_policy *host_policy(const char *top, bool deny)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_allow_write(p, top, NULL), 0);
	for (size_t i = 0; deny && i < N_OF(denials); i++)
		assert_int_equal(sluice_policy_deny_path(p, at(top, denials[i]), NULL), 0);
	/* the same tree without a denial is the control, since other trees are the kernel's */
	if (!deny)
		assert_int_equal(sluice_policy_add_mount(p, "/mnt/sluice-test", "/usr",
							 SLUICE_MOUNT_READ_ONLY, NULL),
				 0);
	return p;
}

static int inside(const char *top, bool deny, const char *role, const char *arg)
{
	char copy[PATH_MAX]; /* of what at() gave */
	struct sluice_policy *p;
	int r;

	snprintf(copy, sizeof(copy), "%s", arg);
	p = host_policy(top, deny);
	r = guest_inside(p, role, copy);
	sluice_policy_unref(p);
	return r;
}

/* All that TOP has of what may not be changed: names, modes, sizes, times, contents. */
static void list_part(const char *top, char *text, size_t size)
{
	char command[PATH_MAX + 300];
	FILE *f;
	size_t n;

	snprintf(
		command, sizeof(command),
		"cd %.4000s && for f in $(find shut up/mid file lnk open2/secret race/a/shut prog/elf 2>/dev/null | sort); do "
		"stat -c '%%n %%a %%s %%Y %%h' $f; [ ! -f $f ] || cat $f | cksum; done",
		top);
	f = popen(command, "r");
	assert_non_null(f);
	n = fread(text, 1, size - 1, f);
	text[n] = '\0';
	assert_int_equal(pclose(f), 0);
}

static void list_denied(const char *top, char *text, size_t size)
{
	list_part(top, text, size);
	assert_non_null(strstr(text, "shut/secret"));
}

static char before[16384], after[16384];

/* @role gives @without where nothing is denied; else 0, and what is denied is as it was. */
static void check_role(const char *role, int without)
{
	const char *top = make_top();

	assert_int_equal(inside(top, false, role, top), without);
	guest_remove(top);
	top = make_top();
	list_denied(top, before, sizeof(before));
	assert_int_equal(inside(top, true, role, top), 0);
	list_denied(top, after, sizeof(after));
	assert_string_equal(before, after);
	guest_remove(top);
}

static void hazard_B1_no_family_reaches_what_is_denied(void **state)
{
	(void)state;
	check_role("families", 200);
}

static void hazard_B1_no_family_reaches_it_under_a_root(void **state)
{
	static struct test_root root;

	(void)state;
	root_make(&root);
	for (int deny = 0; deny < 2; deny++) {
		struct sluice_policy *p = root_policy(&root);
		const char *top = root_path(&root, "rw");

		shell(make_script, top);
		list_denied(top, before, sizeof(before));
		for (size_t i = 0; deny && i < N_OF(denials); i++)
			assert_int_equal(sluice_policy_deny_path(p, at("/rw", denials[i]), NULL),
					 0);
		assert_int_equal(root_inside(p, "families", "/rw"), deny ? 0 : 200);
		assert_int_equal(root_inside(p, "files", "/rw"), deny ? 0 : 200);
		assert_int_equal(root_inside(p, "names", "/rw"), deny ? 0 : 1);
		list_denied(top, after, sizeof(after));
		if (deny)
			assert_string_equal(before, after);
		sluice_policy_unref(p);
	}
	root_remove(&root);
}

static void hazard_B1_a_denied_file_has_no_other_name(void **state)
{
	(void)state;
	check_role("files", 200);
}

static void hazard_B5_names_that_are_not_there_yet(void **state)
{
	(void)state;
	check_role("missing", 1);
}

static void hazard_B6_denied_names_and_links_themselves(void **state)
{
	(void)state;
	check_role("names", 1);
}

static int open_for_guest(const char *top, const char *name, int flags)
{
	int fd = open(at(top, name), flags);

	assert_true(fd >= 0);
	return fd;
}

static void hazard_B8_descriptors_from_before(void **state)
{
	(void)state;
	for (int deny = 0; deny < 2; deny++) {
		const char *top = make_top();
		const int dir = open_for_guest(top, "shut", O_RDONLY | O_DIRECTORY);
		const int below = open_for_guest(top, "shut/secret", O_RDONLY);
		const int file = open_for_guest(top, "file/secret", O_PATH);
		char arg[PATH_MAX];
		int r;

		snprintf(arg, sizeof(arg), "%.4000s %d %d %d", top, dir, below, file);
		r = inside(top, deny, "inherited", arg);
		if (deny)
			assert_int_equal(r, 0);
		else
			assert_true(r >= 150);
		close(dir);
		close(below);
		close(file);
		guest_remove(top);
	}
}

static void hazard_C1_denied_programs_are_not_executed(void **state)
{
	const char *top = make_top();
	const int fd = open_for_guest(top, "prog/elf", O_PATH);
	char arg[PATH_MAX];

	(void)state;
	snprintf(arg, sizeof(arg), "%.4000s %d", top, fd);
	assert_int_equal(inside(top, false, "programs", arg), 31);
	assert_int_equal(inside(top, true, "programs", arg), 16);
	close(fd);
	guest_remove(top);
}

static int listen_at(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(path) < sizeof(sun.sun_path));
	strcpy(sun.sun_path, path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static void hazard_B7_denied_sockets(void **state)
{
	const char *top = make_top();
	const int shut = listen_at(at(top, "shut/s")), open = listen_at(at(top, "open/s"));

	(void)state;
	if (guest_descriptors_can_be_got()) {
		assert_int_equal(inside(top, false, "connect", at(top, "shut/s")), 0);
		assert_int_equal(inside(top, true, "connect", at(top, "open/s")), 0);
	}
	assert_int_equal(inside(top, true, "connect", at(top, "shut/s")), EACCES);
	close(shut);
	close(open);
	guest_remove(top);
}

static void hazard_C2_directories_that_flip_above_a_denial(void **state)
{
	(void)state;
	for (int deny = 0; deny < 2; deny++) {
		const char *top = make_top();
		const int dir = open_for_guest(top, "race/a/shut", O_PATH | O_DIRECTORY);
		const int file = open_for_guest(top, "race/a/shut/secret", O_PATH);
		char arg[PATH_MAX];

		snprintf(arg, sizeof(arg), "%.4000s %d %d", top, dir, file);
		assert_int_equal(inside(top, deny, "race", arg) & ~(deny ? 0 : SAW_DENIED),
				 SAW_PLAIN | (deny ? SAW_DENIED : SAW_HIDDEN));
		close(dir);
		close(file);
		guest_remove(top);
	}
}

static void hazard_C3_a_denial_goes_with_its_directory(void **state)
{
	(void)state;
	check_role("renamed", 200);
}

/* Somebody outside moves what is denied, and replaces a denied file as an editor does. */
static int change_outside(const char *top, bool deny)
{
	struct sluice_policy *p = host_policy(top, deny);
	struct sluice_result result;
	struct sluice_sandbox *s;
	char arg[PATH_MAX], c;
	int asks[2], answers[2];

	assert_int_equal(pipe(asks) | pipe(answers), 0);
	snprintf(arg, sizeof(arg), "%.4000s %d %d", top, asks[1], answers[0]);
	s = guest_spawn(p, NULL, "changed", arg);
	close(asks[1]);
	assert_int_equal(read(asks[0], &c, 1), 1);
	shell("set -eu; cd $1; mv shut moved; echo hidden >file/s2; chmod 777 file/s2; mv file/s2 file/secret",
	      top);
	assert_int_equal(write(answers[1], "x", 1), 1);
	assert_int_equal(sluice_sandbox_wait(s, -1, &result), 0);
	sluice_sandbox_free(s);
	sluice_policy_unref(p);
	close(asks[0]);
	close(answers[0]);
	close(answers[1]);
	return result.exit_code;
}

static void hazard_C3_somebody_moves_what_is_denied(void **state)
{
	const char *top = make_top();

	(void)state;
	assert_int_equal(change_outside(top, false), 200);
	guest_remove(top);
	top = make_top();
	assert_int_equal(change_outside(top, true), 0);
	guest_remove(top);
}

static void hazard_C3_what_is_denied_seen_through_two_mounts(void **state)
{
	const char *top = make_top();
	struct sluice_policy *p = host_policy(top, true);

	(void)state;
	assert_int_equal(sluice_policy_add_mount(p, "/other", top, SLUICE_MOUNT_READ_WRITE, NULL),
			 0);
	assert_int_equal(guest_inside(p, "families", "/other"), 0);
	assert_int_equal(guest_inside(p, "files", "/other"), 0);
	assert_int_equal(guest_inside(p, "names", "/other"), 0);
	sluice_policy_unref(p);
	guest_remove(top);
}

/* ---- F1 ---- */

static int note_change(const struct sluice_cow_change *change, void *userdata)
{
	strcat(userdata, change->path);
	return strcat(userdata, "\n") ? 0 : 1;
}

/* A branch of TOP, with @lowers (NULL behind the last) below it. */
struct branch_of {
	const char *top, *storage, *lowers[3];
	bool there;	  /* only what is there is denied, so that nothing is by its path alone */
	const char *name; /* of a branch that is gone on with; NULL: a new one that is committed */
};

static void deny_in(struct sluice_policy *p, const struct branch_of *b)
{
	struct stat st;
	bool there;

	for (size_t i = 0; i < N_OF(denials); i++) {
		there = lstat(at(b->top, denials[i]), &st) == 0;
		for (size_t k = 0; b->lowers[k]; k++)
			there |= lstat(at(b->lowers[k], denials[i]), &st) == 0;
		if (there || !b->there)
			assert_int_equal(sluice_policy_deny_path(p, at(b->top, denials[i]), NULL),
					 0);
	}
}

/* The role in a branch gives 0, or at least @without where nothing is denied; what has changed there, and what TOP is after a commit. */
static void branch_run(const struct branch_of *b, const char *role, const char *arg, bool deny,
		       int without)
{
	static char changes[32768];
	struct sluice_policy *p = guest_policy();
	struct sluice_result result;
	struct sluice_sandbox *s;

	if (deny)
		deny_in(p, b);
	assert_int_equal(sluice_policy_set_workdir(p, b->top, NULL), 0);
	assert_int_equal(sluice_policy_set_storage(p, b->storage, NULL), 0);
	for (size_t i = 0; b->lowers[i]; i++)
		assert_int_equal(sluice_policy_add_lower(p, b->lowers[i], NULL), 0);
	if (b->name)
		assert_int_equal(sluice_policy_set_branch(p, b->name, NULL), 0);
	s = guest_spawn(p, NULL, role, arg);
	assert_int_equal(sluice_sandbox_wait(s, -1, &result), 0);
	if (deny ? result.exit_code != 0 : result.exit_code < without)
		fail_msg("%s: %d", role, result.exit_code);
	if (b->name) {
		sluice_sandbox_free(s);
		sluice_policy_unref(p);
		return;
	}
	changes[0] = '\0';
	assert_int_equal(sluice_cow_changes(sluice_sandbox_cow(s), note_change, changes), 0);
	for (size_t i = 0; deny && i < N_OF(denials); i++) {
		if (strstr(changes, denials[i]))
			fail_msg("%s: %s is among what changed:\n%s", role, denials[i], changes);
	}
	assert_int_equal(sluice_sandbox_settle(s, deny ? SLUICE_COW_COMMIT : SLUICE_COW_ABORT, NULL,
					       NULL, NULL),
			 0);
	sluice_sandbox_free(s);
	sluice_policy_unref(p);
}

static void branch_runs(const struct branch_of *b)
{
	branch_run(b, "families", b->top, false, 200);
	branch_run(b, "names", b->top, false, 1);
	branch_run(b, "families", b->top, true, 0);
	branch_run(b, "files", b->top, true, 0);
	branch_run(b, "names", b->top, true, 0);
	branch_run(b, "missing", b->top, true, 0);
}

static void hazard_F1_a_branch_takes_nothing_of_what_is_denied(void **state)
{
	const struct branch_of b = { .storage = guest_dir(), .top = make_top() };

	(void)state;
	if (guest_descriptors_can_be_got()) {
		list_denied(b.top, before, sizeof(before));
		branch_runs(&b);
		list_denied(b.top, after, sizeof(after));
		assert_string_equal(before, after);
	}
	guest_remove(b.top);
	guest_remove(b.storage);
}

/* What is denied is in any of three trees, a directory of it in all of them, and names of one file in two. */
static const char spread_script[] =
	"set -eu; umask 022; cd $1; mkdir -p l1/shut l1/up l1/file l1/alias work/shut work/prog storage\n"
	"mv l2/shut/secret l1/shut; mv l2/up/mid l1/up; mv l2/file/secret l1/file; mv l2/alias/secret l1/alias\n"
	"mv l2/lnk l1; mv l2/prog/elf work/prog; printf '#!%s/work/prog/elf\\n' $1 >l2/prog/by; chmod 755 l2/prog/by\n";

static void list_spread(const char *dir, char *text, size_t size)
{
	static const char *const trees[] = { "work", "l1", "l2" };

	*text = '\0';
	for (size_t i = 0; i < N_OF(trees); i++) {
		size_t n = strlen(text);

		list_part(at(dir, trees[i]), text + n, size - n);
	}
	assert_non_null(strstr(text, "shut/secret"));
}

/* Descriptors of before lie in lower trees. */
static void branch_inherited(struct branch_of *b)
{
	const int dir = open_for_guest(b->lowers[0], "shut", O_RDONLY | O_DIRECTORY);
	const int below = open_for_guest(b->lowers[0], "shut/secret", O_RDONLY);
	const int file = open_for_guest(b->lowers[0], "file/secret", O_PATH);
	char arg[PATH_MAX];

	snprintf(arg, sizeof(arg), "%.4000s %d %d %d", b->top, dir, below, file);
	branch_run(b, "inherited", arg, false, 100);
	branch_run(b, "inherited", arg, true, 0);
	b->there = true;
	branch_run(b, "inherited", arg, true, 0);
	close(dir);
	close(below);
	close(file);
}

static void hazard_F1_lower_trees_give_nothing_of_what_is_denied(void **state)
{
	const char *dir = guest_dir();
	char work[PATH_MAX], storage[PATH_MAX], l1[PATH_MAX], l2[PATH_MAX];
	struct branch_of b = { .top = work, .storage = storage, .lowers = { l1, l2, NULL } };

	(void)state;
	snprintf(work, sizeof(work), "%.4000s/work", dir);
	snprintf(storage, sizeof(storage), "%.4000s/storage", dir);
	snprintf(l1, sizeof(l1), "%.4000s/l1", dir);
	snprintf(l2, sizeof(l2), "%.4000s/l2", dir);
	assert_int_equal(mkdir(l2, 0755), 0);
	shell(make_script, l2);
	shell(spread_script, dir);
	if (guest_descriptors_can_be_got()) {
		list_spread(dir, before, sizeof(before));
		branch_runs(&b);
		branch_inherited(&b);
		list_spread(dir, after, sizeof(after));
		assert_string_equal(before, after);
	}
	guest_remove(dir);
}

/* All of it is made in the branch, by a command to which it is not denied yet. */
static void hazard_F1_a_branch_of_before_gives_nothing_of_what_is_denied(void **state)
{
	const struct branch_of b = { .top = guest_dir(), .storage = guest_dir(), .name = "on" };
	const char *const argv[] = { "/bin/sh", "-c", make_script, "sh", b.top, NULL };
	char upper[PATH_MAX];

	(void)state;
	snprintf(upper, sizeof(upper), "%.4000s/on/upper", b.storage);
	if (guest_descriptors_can_be_got()) {
		struct sluice_policy *p = guest_policy();
		struct sluice_result result;

		assert_int_equal(sluice_policy_set_workdir(p, b.top, NULL), 0);
		assert_int_equal(sluice_policy_set_storage(p, b.storage, NULL), 0);
		assert_int_equal(sluice_policy_set_branch(p, b.name, NULL), 0);
		assert_int_equal(sluice_run(p, argv, &result, NULL), 0);
		assert_int_equal(result.exit_code, 0);
		sluice_policy_unref(p);
		list_denied(upper, before, sizeof(before));
		branch_run(&b, "families", b.top, true, 0);
		branch_run(&b, "files", b.top, true, 0);
		branch_run(&b, "names", b.top, true, 0);
		branch_run(&b, "missing", b.top, true, 0);
		list_denied(upper, after, sizeof(after));
		assert_string_equal(before, after);
		branch_run(&b, "families", b.top, false, 200);
		branch_run(&b, "names", b.top, false, 1);
	}
	guest_remove(b.top);
	guest_remove(b.storage);
}

/* ---- D1 ---- */

static void refused(struct sluice_policy *p, int error, const char *text)
{
	const char *const argv[] = { guest_program(), "--inside", "connect", "", NULL };
	struct sluice_error err = { 0 };
	int r = sluice_run(p, argv, NULL, &err);

	if (r != error || !strstr(err.text, text))
		fail_msg("%d: %s (%s), not %d: %s", r, err.text, err.hint, error, text);
	sluice_policy_unref(p);
}

static struct sluice_policy *denying(const char *path)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_deny_path(p, path, NULL), 0);
	return p;
}

static void hazard_D1_denials_that_can_not_be(void **state)
{
	const char *top = make_top();
	struct sluice_policy *p = guest_policy();
	struct sluice_error err = { 0 };

	(void)state;
	assert_int_equal(sluice_policy_deny_path(p, "", &err), -EINVAL);
	assert_string_equal(err.text, "denial: empty path");
	sluice_policy_unref(p);
	refused(denying("/"), -EINVAL, "denial: /: nothing");
	refused(denying("/proc/self/status"), -EINVAL, "/proc/self/status");
	refused(denying("/proc/self"), -EINVAL, "/proc/self");
	refused(denying("/dev/stdin"), -EINVAL, "/dev/stdin");
	refused(denying(at(top, "none/../x")), -EINVAL, "none/../x");
	p = denying(at(top, "shut"));
	assert_int_equal(sluice_policy_set_cwd(p, at(top, "shut/sub"), NULL), 0);
	refused(p, -EACCES, "working directory: ");
	p = denying(at(top, "shut"));
	assert_int_equal(sluice_policy_allow_read(p, at(top, "shut/sub"), NULL), 0);
	refused(p, -EINVAL, "shut is denied");
	p = denying(at(top, "shut"));
	assert_int_equal(sluice_policy_allow_write(p, at(top, "shut"), NULL), 0);
	refused(p, -EINVAL, "write grant");
	p = denying(at(top, "shut"));
	assert_int_equal(sluice_policy_add_mount(p, at(top, "shut/m"), top, 0, NULL), 0);
	refused(p, -EINVAL, "the mount");
	p = denying(at(top, "shut"));
	assert_int_equal(sluice_policy_add_mount(p, "/m", at(top, "shut/sub"), 0, NULL), 0);
	refused(p, -EINVAL, "the mount /m");
	p = denying(at(top, "shut"));
	assert_int_equal(sluice_policy_add_mount(p, "/m", at(top, "shut/secret"), 0, NULL), 0);
	refused(p, -EINVAL, "the mount /m");
	p = denying("/host");
	assert_int_equal(sluice_policy_add_mount(p, "/host", top, 0, NULL), 0);
	refused(p, -EINVAL, "the mount /host");
	if (guest_descriptors_can_be_got()) { /* else there is no copy-on-write */
		p = denying(top);
		assert_int_equal(sluice_policy_set_workdir(p, top, NULL), 0);
		refused(p, -EINVAL, "the copy-on-write directory");
	}
	/* and the same twice, or with more that is denied already, is not wrong */
	p = denying(at(top, "shut"));
	assert_int_equal(sluice_policy_deny_path(p, at(top, "here/shut/"), NULL), 0);
	assert_int_equal(sluice_policy_deny_path(p, at(top, "shut/sub"), NULL), 0);
	assert_int_equal(sluice_policy_allow_write(p, at(top, "open"), NULL), 0);
	assert_int_equal(guest_inside(p, "connect", at(top, "shut/sub")), EACCES);
	sluice_policy_unref(p);
	guest_remove(top);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_B1_no_family_reaches_what_is_denied),
		cmocka_unit_test(hazard_B1_no_family_reaches_it_under_a_root),
		cmocka_unit_test(hazard_B1_a_denied_file_has_no_other_name),
		cmocka_unit_test(hazard_B5_names_that_are_not_there_yet),
		cmocka_unit_test(hazard_B6_denied_names_and_links_themselves),
		cmocka_unit_test(hazard_B7_denied_sockets),
		cmocka_unit_test(hazard_B8_descriptors_from_before),
		cmocka_unit_test(hazard_C1_denied_programs_are_not_executed),
		cmocka_unit_test(hazard_C2_directories_that_flip_above_a_denial),
		cmocka_unit_test(hazard_C3_a_denial_goes_with_its_directory),
		cmocka_unit_test(hazard_C3_somebody_moves_what_is_denied),
		cmocka_unit_test(hazard_C3_what_is_denied_seen_through_two_mounts),
		cmocka_unit_test(hazard_D1_denials_that_can_not_be),
		cmocka_unit_test(hazard_F1_a_branch_takes_nothing_of_what_is_denied),
		cmocka_unit_test(hazard_F1_a_branch_of_before_gives_nothing_of_what_is_denied),
		cmocka_unit_test(hazard_F1_lower_trees_give_nothing_of_what_is_denied),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("denials", tests, NULL, NULL);
}
