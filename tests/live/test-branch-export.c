/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exports of a branch: what tar makes of them is what the branch shows, layers say what is gone, and two of them are the same bytes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "tree/branch.h"
#include "tree/export.h"

#define ODD "odd \xff\n\\name"

static char root[4096];
static struct branch *b;

static const char *at(const char *name)
{
	static char buf[8][4400];
	static unsigned next;
	char *p = buf[next++ % 8];

	snprintf(p, sizeof(buf[0]), "%s/%s", root, name);
	return p;
}

static void put_file(int fd, const char *text)
{
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void put_lower(const char *name)
{
	put_file(open(at(name), O_WRONLY | O_CREAT | O_EXCL, 0644), "lower");
}

static void put(const char *path, const char *text)
{
	int fd;

	assert_int_equal(branch_open_file(b, path, O_WRONLY | O_CREAT | O_TRUNC, 0640, &fd), 0);
	put_file(fd, text);
}

static void put_sparse(const char *path)
{
	int fd;

	assert_int_equal(branch_open_file(b, path, O_WRONLY | O_CREAT, 0644, &fd), 0);
	assert_int_equal(pwrite(fd, "middle", 6, 8 << 20), 6);
	assert_int_equal(ftruncate(fd, 16 << 20), 0);
	close(fd);
}

static void make_changes(void)
{
	char name[256];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	put("changed", "branch");
	put("dir/new", "new");
	put(ODD, "odd");
	put(name, "long");
	put_sparse("sparse");
	assert_int_equal(branch_setxattr(b, "dir/new", "user.one", "1", 1, 0), 0);
	assert_int_equal(branch_link(b, "linked", "dir/again"), 0);
	assert_int_equal(branch_symlink(b, "to/nowhere", "link"), 0);
	assert_int_equal(branch_mknod(b, "fifo", S_IFIFO | 0600, 0), 0);
	assert_int_equal(branch_mknod(b, "socket", S_IFSOCK | 0600, 0), 0);
	assert_int_equal(branch_chmod(b, "mode", 0400), 0);
	assert_int_equal(branch_unlink(b, "gone"), 0);
	assert_int_equal(branch_unlink(b, "dir/gone"), 0);
	assert_int_equal(branch_unlink(b, "replaced/x"), 0);
	assert_int_equal(branch_rmdir(b, "replaced"), 0);
	assert_int_equal(branch_mkdir(b, "replaced", 0700), 0);
	put("replaced/y", "y");
	/* looked at, and not changed */
	assert_int_equal(branch_chmod(b, "same/file", 0644), 0);
}

static int setup(void **state)
{
	static const char *const dirs[] = { "lower",	 "storage",	   "out",
					    "lower/dir", "lower/replaced", "lower/same" };
	static const char *const files[] = { "lower/changed",	"lower/gone",
					     "lower/dir/gone",	"lower/replaced/x",
					     "lower/same/file", "lower/linked",
					     "lower/mode" };
	struct branch_spec spec = { .name = "b", .n_lowers = 1 };
	struct sluice_error err = { 0 };
	int fd;

	(void)state;
	umask(0);
	snprintf(root, sizeof(root), "%s", guest_dir());
	for (size_t i = 0; i < N_OF(dirs); i++)
		assert_int_equal(mkdir(at(dirs[i]), 0755), 0);
	for (size_t i = 0; i < N_OF(files); i++)
		put_lower(files[i]);
	spec.storage = at("storage");
	fd = open(at("lower"), O_PATH | O_DIRECTORY);
	spec.lower_fds = &fd;
	assert_int_equal(branch_create(&spec, &b, &err), 0);
	close(fd);
	make_changes();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	branch_abort(b);
	guest_remove(root);
	return 0;
}

static void export_to(const char *name, enum branch_export_format format, time_t mtime)
{
	const struct timespec t = { .tv_sec = mtime };
	struct sluice_error err = { 0 };
	struct branch_export_spec spec = { .format = format, .mtime = mtime ? &t : NULL };

	spec.fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(spec.fd >= 0);
	if (branch_export(b, &spec, &err) < 0)
		fail_msg("%s", err.text);
	close(spec.fd);
}

/* What a command prints, in @buf. */
static void run(char *buf, size_t size, char *const argv[])
{
	int out[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		dup2(out[1], 1);
		dup2(out[1], 2);
		setenv("LC_ALL", "C", 1);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(out[1]);
	while ((got = read(out[0], buf + n, size - 1 - n)) > 0)
		n += (size_t)got;
	buf[n] = '\0';
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		fail_msg("%s: %x: %s", argv[0], status, buf);
}

static void assert_same_bytes(const char *x, const char *y)
{
	char out[1024];

	run(out, sizeof(out), (char *[]){ "cmp", (char *)at(x), (char *)at(y), NULL });
	assert_string_equal(out, "");
}

static void assert_text(const char *name, const char *text)
{
	char buf[64] = "";
	int fd = open(at(name), O_RDONLY);

	if (fd < 0)
		fail_msg("%s: %s", name, strerror(errno));
	assert_true(read(fd, buf, sizeof(buf) - 1) >= 0);
	assert_string_equal(buf, text);
	close(fd);
}

static void check_sparse(const struct stat *st)
{
	char buf[16] = "";
	int fd = open(at("out/sparse"), O_RDONLY);

	assert_int_equal(st->st_size, 16 << 20);
	assert_int_equal(pread(fd, buf, 6, 8 << 20), 6);
	assert_string_equal(buf, "middle");
	assert_int_equal(pread(fd, buf, 6, (8 << 20) + 6), 6);
	assert_int_equal(buf[0], 0);
	close(fd);
}

static void check_extracted(void)
{
	struct stat st, other;
	char value[8];

	assert_text("out/changed", "branch");
	assert_text("out/dir/new", "new");
	assert_text("out/" ODD, "odd");
	assert_text("out/dir/again", "lower");
	assert_text("out/replaced/y", "y");
	assert_int_equal(getxattr(at("out/dir/new"), "user.one", value, sizeof(value)), 1);
	assert_int_equal(getxattr(at("out/changed"), "user.overlay.origin", value, 8), -1);
	assert_int_equal(stat(at("out/linked"), &st), 0);
	assert_int_equal(stat(at("out/dir/again"), &other), 0);
	assert_int_equal(st.st_ino, other.st_ino);
	assert_int_equal(lstat(at("out/link"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(lstat(at("out/fifo"), &st), 0);
	assert_int_equal(st.st_mode, S_IFIFO | 0600);
	assert_int_equal(stat(at("out/mode"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0400);
	assert_int_equal(stat(at("out/replaced"), &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
	assert_int_equal(access(at("out/same"), F_OK), -1);
	assert_int_equal(access(at("out/socket"), F_OK), -1);
	assert_int_equal(stat(at("out/sparse"), &st), 0);
	check_sparse(&st);
}

static void extract(const char *archive)
{
	char out[4096];

	run(out, sizeof(out),
	    (char *[]){ "tar", "--warning=no-unknown-keyword", "--xattrs", "--xattrs-include=*",
			"-C", (char *)at("out"), "-xpSf", (char *)at(archive), NULL });
	assert_string_equal(out, "");
}

static void test_tar(void **state)
{
	struct stat st;

	(void)state;
	export_to("a.tar", BRANCH_EXPORT_TAR, 0);
	export_to("b.tar", BRANCH_EXPORT_TAR, 0);
	assert_same_bytes("a.tar", "b.tar");
	assert_int_equal(stat(at("a.tar"), &st), 0);
	assert_true(st.st_size < 1 << 20); /* holes are not in it */
	extract("a.tar");
	check_extracted();
	assert_int_equal(stat(at("out/sparse"), &st), 0);
	assert_true(st.st_blocks * 512 < 1 << 20);
	assert_int_equal(access(at("out/.wh.gone"), F_OK), -1);
}

static void test_layer(void **state)
{
	struct stat st;

	(void)state;
	export_to("a.tar", BRANCH_EXPORT_OCI, 1000000000);
	extract("a.tar");
	check_extracted();
	assert_text("out/.wh.gone", "");
	assert_text("out/dir/.wh.gone", "");
	assert_text("out/replaced/.wh..wh..opq", "");
	assert_int_equal(access(at("out/replaced/.wh.x"), F_OK), -1);
	assert_int_equal(stat(at("out/dir/new"), &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1000000000);
	/* what does not show does not matter: other times, and opened again */
	assert_int_equal(branch_utimens(b, "dir/new", NULL), 0);
	export_to("b.tar", BRANCH_EXPORT_OCI, 1000000000);
	assert_same_bytes("a.tar", "b.tar");
}

static void test_order(void **state)
{
	char out[8192], *nl;
	char *list[64];
	size_t n = 0;

	(void)state;
	export_to("a.tar", BRANCH_EXPORT_OCI, 1);
	run(out, sizeof(out),
	    (char *[]){ "tar", "--warning=no-unknown-keyword", "-tf", (char *)at("a.tar"), NULL });
	for (char *line = out; *line; line = nl + 1) {
		nl = strchr(line, '\n');
		*nl = '\0';
		list[n++] = line;
	}
	assert_string_equal(list[0], "changed");
	assert_string_equal(list[1], "dir/");
	assert_string_equal(list[2], "dir/again");
	assert_string_equal(list[3], "dir/.wh.gone");
	assert_string_equal(list[4], "dir/new");
}

static void test_full_pipe(void **state)
{
	struct sluice_error err = { 0 };
	struct branch_export_spec spec = { .format = BRANCH_EXPORT_TAR };

	(void)state;
	spec.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(spec.fd >= 0);
	assert_int_equal(branch_export(b, &spec, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "export"));
	close(spec.fd);
}

/* Whoever applies a layer would delete what the command never touched. */
static void test_hazard_F10_no_whiteouts_of_the_commands_own(void **state)
{
	static const char *const names[] = { ".wh.kept", "dir/.wh..wh..opq" };
	struct branch_export_spec spec = { .format = BRANCH_EXPORT_OCI };
	struct sluice_error err = { 0 };
	struct stat st;

	(void)state;
	spec.fd = open(at("layer.tar"), O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(spec.fd >= 0);
	for (size_t i = 0; i < N_OF(names); i++) {
		assert_int_equal(branch_mkdir(b, names[i], 0700), 0);
		export_to("a.tar", BRANCH_EXPORT_TAR, 1);
		assert_int_equal(branch_export(b, &spec, &err), -EINVAL);
		assert_non_null(strstr(err.text, names[i]));
		assert_int_equal(branch_rmdir(b, names[i]), 0);
	}
	put("dir/x.wh.y", "as good as any other");
	assert_int_equal(fstat(spec.fd, &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(branch_export(b, &spec, &err), 0);
	close(spec.fd);
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* libarchive does not free what it wrote with after a write has failed; read by the leak sanitizer. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libarchive.so";
}

int main(int argc, char *argv[])
{
	static const struct guest_role roles[] = { { NULL, NULL } };
	const struct CMUnitTest tests[] = {
		EACH(test_tar),
		EACH(test_layer),
		EACH(test_order),
		EACH(test_full_pipe),
		EACH(test_hazard_F10_no_whiteouts_of_the_commands_own),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
