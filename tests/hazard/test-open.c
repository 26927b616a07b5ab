/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every spelling of an open, by every kind of path and with every flag, done by the kernel and on behalf: the same errno, the same status and descriptor
 * flags, the same mode of a file that was made, the same content afterwards. The guest writes one line for each open; the texts are compared.
 *
 * What differs on purpose is left out: O_PATH descriptors can't be injected, so one for reading is given instead (see handler.h).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "as_seen.h"

#define CONTENT "hello"

static const char long_name[] =
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
	"nnnnnn";

static const char *const paths[] = {
	"file",
	"./file",
	"file/",
	"file/.",
	"file/x",
	"missing",
	"missing/",
	"missing/x",
	"dir",
	"dir/",
	"dir//inner",
	"dir/../file",
	"dir/./inner",
	"..",
	".",
	"",
	"/",
	"//",
	"to-file",
	"to-file/",
	"to-dir",
	"to-dir/",
	"to-dir/inner",
	"dangling",
	"dangling/",
	"loop",
	"loop/x",
	"up/file",
	"secret",
	"locked/inner",
	"read-only",
	"socket",
	"/dev/null",
	"/dev/null/",
	"/etc/passwd",
	"to-fd",
	"to-self/status",
	"/proc/self/fd",
	"/dev/fd/0",
	"/proc/self/status",
	"/proc/uptime",
	long_name,
};

static const int accesses[] = { O_RDONLY, O_WRONLY, O_RDWR, 3 };

static const int flags[] = {
	0,
	O_CREAT,
	O_CREAT | O_EXCL,
	O_EXCL,
	O_TRUNC,
	O_CREAT | O_TRUNC,
	O_APPEND,
	O_CREAT | O_APPEND,
	O_NOFOLLOW,
	O_CREAT | O_NOFOLLOW,
	O_DIRECTORY,
	O_DIRECTORY | O_NOFOLLOW,
	O_DIRECTORY | O_CREAT,
	O_TMPFILE,
	O_TMPFILE | O_EXCL,
	O_NONBLOCK,
	O_CLOEXEC,
	O_SYNC,
	O_DSYNC | O_NONBLOCK,
	O_NOATIME,
	O_NOCTTY | O_ASYNC,
	0x08000000, /* no flag: ignored, or refused by openat2 */
};

static const uint64_t resolves[] = { 0,
				     RESOLVE_NO_XDEV,
				     RESOLVE_NO_MAGICLINKS,
				     RESOLVE_NO_SYMLINKS,
				     RESOLVE_BENEATH,
				     RESOLVE_IN_ROOT,
				     RESOLVE_BENEATH | RESOLVE_IN_ROOT,
				     0x40 };

/* ---- the guest ---- */

static int here; /* the working directory */

static void file_reset(const char *name, mode_t mode)
{
	struct stat st;

	if (stat(name, &st) == 0 && st.st_size == sizeof(CONTENT) - 1)
		return;
	chmod(name, 0600);
	if (truncate(name, 0) == 0) {
		int fd = open(name, O_WRONLY);

		if (write(fd, CONTENT, sizeof(CONTENT) - 1) < 0)
			_exit(210);
		close(fd);
	}
	chmod(name, mode);
}

static void make_all(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "socket" };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	close(open("file", O_CREAT | O_WRONLY, 0644));
	close(open("secret", O_CREAT | O_WRONLY, 0));
	close(open("read-only", O_CREAT | O_WRONLY, 0444));
	if (mkdir("dir", 0755) || mkdir("locked", 0755) || symlink("file", "to-file") ||
	    symlink("dir", "to-dir") || symlink("made", "dangling") || symlink("loop", "loop") ||
	    symlink("..", "dir/up") || symlink("dir/..", "up") ||
	    symlink("/proc/self/fd/50", "to-fd") || symlink("/proc/self", "to-self"))
		_exit(211);
	close(open("dir/inner", O_CREAT | O_WRONLY, 0644));
	close(open("locked/inner", O_CREAT | O_WRONLY, 0644));
	file_reset("file", 0644);
	dup2(open("file", O_RDWR), 50);
	chmod("locked", 0);
	bind(s, (struct sockaddr *)&sa, sizeof(sa));
	close(s);
}

static void say(FILE *out, const char *name)
{
	struct stat st;

	if (lstat(name, &st) < 0)
		return;
	fprintf(out, " %s=%o/%lld", name, (unsigned)st.st_mode, (long long)st.st_size);
	unlink(name);
}

/* One line: what was asked, what came of it, and what changed. */
static void report(FILE *out, const char *call, const char *path, long long flag, int fd)
{
	int error = fd < 0 ? errno : 0;
	struct stat st;

	fprintf(out, "%s %.20s %llx: %d", call, path, flag, error);
	if (fd >= 0) {
		if (fstat(fd, &st) < 0)
			st.st_mode = 0;
		fprintf(out, " %o %x %x %ld", (unsigned)st.st_mode, (unsigned)fcntl(fd, F_GETFL),
			(unsigned)fcntl(fd, F_GETFD), (long)lseek(fd, 0, SEEK_CUR));
		close(fd);
	}
	if (stat("file", &st) == 0 && st.st_size != sizeof(CONTENT) - 1)
		fprintf(out, " file:%lld", (long long)st.st_size);
	say(out, "missing");
	say(out, "made");
	fprintf(out, "\n");
	file_reset("file", 0644);
}

/* With "..", a rename or mount anywhere at that moment is EAGAIN: openat2(2). */
static int open_again(int dirfd, const char *path, const struct open_how *how)
{
	int fd, left = 1000;

	do
		fd = (int)syscall(SYS_openat2, dirfd, path, how, sizeof(*how));
	while (fd < 0 && errno == EAGAIN && left--);
	return fd;
}

static void try_all(FILE *out, const char *path, int flag)
{
	struct open_how how = { .flags = (uint64_t)flag };

	if (flag & O_CREAT || (flag & O_TMPFILE) == O_TMPFILE)
		how.mode = 0666;
#ifdef SYS_open
	report(out, "open", path, flag, (int)syscall(SYS_open, path, flag, 04766));
#endif
	report(out, "openat", path, flag, (int)syscall(SYS_openat, here, path, flag, 0666));
	report(out, "openat.cwd", path, flag,
	       (int)syscall(SYS_openat, AT_FDCWD, path, flag, 0177777));
	report(out, "openat.bad", path, flag, (int)syscall(SYS_openat, 77, path, flag, 0666));
	report(out, "openat.file", path, flag, (int)syscall(SYS_openat, 50, path, flag, 0666));
	report(out, "openat2", path, flag,
	       (int)syscall(SYS_openat2, here, path, &how, sizeof(how)));
}

static void try_resolves(FILE *out, const char *path)
{
	for (size_t i = 0; i < N_OF(resolves); i++) {
		struct open_how how = { .flags = O_RDONLY, .resolve = resolves[i] };

		report(out, "openat2.resolve", path, (long long)resolves[i],
		       open_again(here, path, &how));
	}
}

/* ARG: an empty directory to work in, read-only or not: "r" or "w" in front. Lines go to standard output. */
static int guest_matrix(const char *arg)
{
	FILE *out = fdopen(dup(STDOUT_FILENO), "w");

	if (chdir(arg + 1) < 0)
		return 200;
	umask(027);
	if (*arg == 'w')
		make_all();
	here = fcntl(open(".", O_RDONLY | O_DIRECTORY), F_DUPFD, 60);
	dup2(open("file", O_RDONLY), 50);
	for (size_t p = 0; p < N_OF(paths); p++) {
		for (size_t a = 0; a < N_OF(accesses); a++) {
			for (size_t f = 0; f < N_OF(flags); f++)
				try_all(out, paths[p], accesses[a] | flags[f]);
		}
#ifdef SYS_creat
		report(out, "creat", paths[p], 0, (int)syscall(SYS_creat, paths[p], 0640));
#endif
		try_resolves(out, paths[p]);
	}
	return fclose(out) ? 201 : 0;
}

/* O_PATH: what can be done with it, and that it does not wait for anybody. */
static int guest_named(const char *fifo)
{
	int fd = open(fifo, O_PATH);
	struct stat st;

	if (fd < 0)
		return errno;
	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) ? 0 : 200;
}

static const struct guest_role roles[] = {
	{ "matrix", guest_matrix },
	{ "named", guest_named },
	{ NULL, NULL },
};

/* ---- the test ---- */

static void unlock(const char *dir)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/locked", dir);
	chmod(path, 0700);
	guest_remove(dir);
}

static char *arg_of(char how, const char *dir)
{
	static char arg[PATH_MAX];

	snprintf(arg, sizeof(arg), "%c%s", how, dir);
	return arg;
}

static void hazard_B5_opens_on_behalf_are_the_kernels(void **state)
{
	struct sluice_policy *p = guest_policy();
	const char *one = guest_dir(), *two = guest_dir();
	char *kernel, *behalf;

	(void)state;
	assert_int_equal(sluice_policy_allow_write(p, one, NULL), 0);
	assert_int_equal(sluice_policy_allow_write(p, two, NULL), 0);
	kernel = guest_text(p, NULL, 0, "matrix", arg_of('w', one));
	behalf = guest_text(p, as_seen_opens, N_AS_SEEN_OPENS, "matrix", arg_of('w', two));
	assert_true(strlen(kernel) > 100000);
	assert_int_equal(guest_text_differences("granted", kernel, behalf), 0);
	free(behalf);
	free(kernel);

	/* the same files, all of them now only to be read; never without a sandbox, where root would truncate what is the host's */
	kernel = guest_text(p, NULL, 0, "matrix", arg_of('r', one));
	free(kernel);
	sluice_policy_unref(p);
	p = guest_policy();
	kernel = guest_text(p, NULL, 0, "matrix", arg_of('r', one));
	behalf = guest_text(p, as_seen_opens, N_AS_SEEN_OPENS, "matrix", arg_of('r', one));
	assert_int_equal(guest_text_differences("read-only", kernel, behalf), 0);
	free(behalf);

	/* what the built-in opens of a /proc of the sandbox's own, alone and where an extra has it done as seen */
	assert_int_equal(sluice_policy_set_proc(p, SLUICE_PROC_OWN), 0);
	behalf = guest_text(p, NULL, 0, "matrix", arg_of('r', one));
	assert_int_equal(guest_text_differences("own /proc", kernel, behalf), 0);
	free(behalf);
	behalf = guest_text(p, as_seen_opens, N_AS_SEEN_OPENS, "matrix", arg_of('r', one));
	assert_int_equal(guest_text_differences("own /proc, as seen", kernel, behalf), 0);
	free(behalf);
	free(kernel);
	sluice_policy_unref(p);
	unlock(one);
	unlock(two);
}

static void hazard_B5_a_name_of_a_fifo_waits_for_nobody(void **state)
{
	struct sluice_policy *p = guest_policy();
	const char *dir = guest_dir();
	char fifo[PATH_MAX];

	(void)state;
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(guest_bare("named", fifo), 0);
	assert_int_equal(sluice_policy_set_timeout_ms(p, 10000), 0);
	assert_int_equal(guest_run(p, as_seen_opens, N_AS_SEEN_OPENS, "named", fifo).exit_code, 0);
	sluice_policy_unref(p);
	guest_remove(dir);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_B5_opens_on_behalf_are_the_kernels),
		cmocka_unit_test(hazard_B5_a_name_of_a_fifo_waits_for_nobody),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("open", tests, NULL, NULL);
}
