/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of others that an ordinary user's branch has copied: they show whose they are, and give no more rights than before, also after a restart and in an export.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "tree/branch.h"
#include "tree/export.h"
#include "util/cleanup.h"

#define NOBODY 65534

/* In a role. */
#define CHECK(x)                                                                \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			return 1;                                               \
		}                                                               \
	} while (0)

static char storage[4300];

static void begin_in(const char *dir)
{
	snprintf(storage, sizeof(storage), "%s/storage", dir);
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
			       setresuid(NOBODY, NOBODY, NOBODY) < 0))
		_exit(2);
	umask(0);
}

static struct branch *begin(const char *lower_path, bool again)
{
	_cleanup_close_ int lower = open(lower_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct branch_spec spec = {
		.storage = storage, .name = "b", .lower_fds = &lower, .n_lowers = 1
	};
	struct sluice_error err = { 0 };
	struct branch *b = NULL;
	int r = again ? branch_open(&spec, &b, &err) : branch_create(&spec, &b, &err);

	if (r < 0)
		fprintf(stderr, "%s\n", err.text);
	return b;
}

static bool is_owned_by(struct branch *b, const char *path, uid_t uid, mode_t mode)
{
	struct branch_entry e;

	if (branch_stat(b, path, &e) < 0 || e.kind == BRANCH_NONE)
		return false;
	return e.st.st_uid == uid && e.st.st_gid == uid && (e.st.st_mode & 07777) == mode;
}

static int make(struct branch *b, const char *path)
{
	int fd, r = branch_open_file(b, path, O_WRONLY | O_CREAT, 0644, &fd);

	if (r == 0)
		close(fd);
	return r;
}

/* ---- the host's own root ---- */

static int role_host(const char *dir)
{
	struct branch *b;
	char path[4300];

	begin_in(dir);
	CHECK((b = begin("/", false)));
	for (int again = 0; again < 2; again++) {
		/* a directory of root's that anybody may write in, and the root above it, are copied for this */
		snprintf(path, sizeof(path), "tmp/%s.%d", strrchr(dir, '/') + 1, again);
		CHECK(make(b, path) == 0);
		CHECK(is_owned_by(b, path, geteuid(), 0644));
		CHECK(is_owned_by(b, "tmp", 0, 01777) && is_owned_by(b, "", 0, 0755));
		CHECK(make(b, "new") == -EACCES && branch_mkdir(b, "new", 0755) == -EACCES);
		CHECK(branch_chmod(b, "tmp", 0777) == -EPERM &&
		      branch_chmod(b, "", 0777) == -EPERM);
		CHECK(branch_rename(b, path, "new", 0) == -EACCES);
		branch_close(b);
		CHECK((b = begin("/", true)));
	}
	CHECK(branch_abort(b) == 0);
	return 0;
}

/* ---- a tree that was made for it, by root ---- */

static int open_in(struct branch *b, const char *path, int flags)
{
	int fd, r = branch_open_file(b, path, flags, 0, &fd);

	if (r == 0)
		close(fd);
	return r;
}

static int access_in(struct branch *b, const char *path, int mode)
{
	struct branch_entry e;
	int r = branch_lookup(b, path, &e);

	if (r == 0) {
		r = branch_access(b, e.fd, mode, AT_EACCESS);
		close(e.fd);
	}
	return r;
}

/* What is the same before a copy-up and after it, and after a restart. */
static int check_rights(struct branch *b, const char *moved)
{
	static const struct timespec times[2] = { { 1, 0 }, { 1, 0 } };

	CHECK(is_owned_by(b, "", 0, 0755) && is_owned_by(b, "sticky", 0, 01777));
	CHECK(make(b, "new") == -EACCES);
	CHECK(branch_unlink(b, "sticky/theirs") == -EPERM);
	/* one of root's that anybody may write, but not own */
	CHECK(is_owned_by(b, "sticky/open", 0, 0666));
	CHECK(open_in(b, "sticky/open", O_RDWR) == 0);
	CHECK(branch_chmod(b, "sticky/open", 0600) == -EPERM);
	CHECK(branch_chown(b, "sticky/open", NOBODY, NOBODY) == -EPERM);
	CHECK(branch_utimens(b, "sticky/open", times) == -EPERM);
	CHECK(branch_utimens(b, "sticky/open", NULL) == 0);
	CHECK(branch_setxattr(b, "sticky/open", "user.x", "1", 1, 0) == 0);
	/* one of root's in a directory of one's own */
	CHECK(is_owned_by(b, moved, 0, 0744));
	CHECK(open_in(b, moved, O_RDONLY) == 0 && open_in(b, moved, O_RDWR) == -EACCES);
	CHECK(branch_truncate(b, moved, 0) == -EACCES);
	CHECK(branch_setxattr(b, moved, "user.x", "1", 1, 0) == -EACCES);
	CHECK(access_in(b, moved, R_OK) == 0 && access_in(b, moved, W_OK) == -EACCES);
	CHECK(access_in(b, moved, X_OK) == -EACCES);
	/* rights that an ACL gives, and one that its mask takes */
	CHECK(open_in(b, "mine/acl", O_RDWR) == 0 && access_in(b, "mine/acl", W_OK) == 0);
	CHECK(access_in(b, "mine/acl", X_OK) == -EACCES);
	return 0;
}

static int export_owners(struct branch *b, char *text, size_t size)
{
	struct sluice_error err;
	char path[4400], command[4500];
	struct branch_export_spec spec = { .format = BRANCH_EXPORT_OCI };
	FILE *list;
	size_t n;

	snprintf(path, sizeof(path), "%s/out.tar", storage);
	spec.fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(spec.fd >= 0 && branch_export(b, &spec, &err) == 0);
	close(spec.fd);
	snprintf(
		command, sizeof(command),
		"tar --warning=no-unknown-keyword --numeric-owner -tvf '%s' | awk '{ print $2, $6 }'",
		path);
	CHECK((list = popen(command, "r")));
	n = fread(text, 1, size - 1, list);
	text[n] = '\0';
	return pclose(list);
}

static int role_made(const char *dir)
{
	char text[4096], lower[4300];
	struct branch *b;

	begin_in(dir);
	snprintf(lower, sizeof(lower), "%s/tree", dir);
	CHECK((b = begin(lower, false)));
	CHECK(check_rights(b, "mine/theirs") == 0);
	CHECK(branch_rename(b, "mine/theirs", "mine/moved", 0) == 0);
	CHECK(branch_symlink(b, "x", "mine/link") == 0);
	CHECK(check_rights(b, "mine/moved") == 0);
	branch_close(b);
	CHECK((b = begin(lower, true)));
	CHECK(check_rights(b, "mine/moved") == 0);
	CHECK(export_owners(b, text, sizeof(text)) == 0);
	CHECK(strstr(text, "65534/65534 mine/\n") && strstr(text, "65534/65534 mine/link\n"));
	/* what was only opened has not changed */
	CHECK(strstr(text, "0/0 mine/moved\n") && !strstr(text, "mine/acl\n"));
	CHECK(strstr(text, "0/0 sticky/\n") && strstr(text, "0/0 sticky/open\n"));
	/* its owner may do all of it, whatever the copy is */
	CHECK(branch_chmod(b, "mine/link", 0600) == -EOPNOTSUPP &&
	      branch_chmod(b, "mine", 0700) == 0);
	CHECK(branch_unlink(b, "mine/moved") == 0);
	CHECK(branch_abort(b) == 0);
	return 0;
}

static const struct guest_role roles[] = {
	{ "host", role_host },
	{ "made", role_made },
	{ NULL, NULL },
};

/* ---- outside ---- */

static const char *dir;

static int setup(void **state)
{
	(void)state;
	dir = guest_dir();
	umask(0);
	snprintf(storage, sizeof(storage), "%s/storage", dir);
	return chmod(dir, 0755) < 0 || mkdir(storage, 0777) < 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_remove(dir);
	return 0;
}

static void test_of_the_host(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("host", dir), 0);
}

static void put(const char *tree, const char *name, mode_t mode)
{
	char path[4400];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", tree, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "text", 4), 4);
	close(fd);
}

/* Nobody may read, write and execute it, of which the mask leaves the first two. */
static void set_acl(const char *tree, const char *name)
{
	const struct {
		struct posix_acl_xattr_header head;
		struct posix_acl_xattr_entry entries[5];
	} acl = { { POSIX_ACL_XATTR_VERSION },
		  { { ACL_USER_OBJ, 07, ACL_UNDEFINED_ID },
		    { ACL_USER, 07, NOBODY },
		    { ACL_GROUP_OBJ, 0, ACL_UNDEFINED_ID },
		    { ACL_MASK, 06, ACL_UNDEFINED_ID },
		    { ACL_OTHER, 0, ACL_UNDEFINED_ID } } };
	char path[4400];

	snprintf(path, sizeof(path), "%s/%s", tree, name);
	assert_int_equal(setxattr(path, "system.posix_acl_access", &acl, sizeof(acl), 0), 0);
}

static void test_of_a_tree_of_roots(void **state)
{
	char tree[4300], path[4400];

	(void)state;
	if (geteuid() != 0) /* who else has files of two users? */
		return;
	snprintf(tree, sizeof(tree), "%s/tree", dir);
	assert_int_equal(mkdir(tree, 0755), 0);
	snprintf(path, sizeof(path), "%s/sticky", tree);
	assert_int_equal(mkdir(path, 01777), 0);
	snprintf(path, sizeof(path), "%s/mine", tree);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(chown(path, NOBODY, NOBODY), 0);
	put(tree, "sticky/theirs", 0644);
	put(tree, "sticky/open", 0666);
	put(tree, "mine/theirs", 0744);
	put(tree, "mine/acl", 0600);
	set_acl(tree, "mine/acl");
	assert_int_equal(guest_bare("made", dir), 0);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_of_the_host, setup, teardown),
		cmocka_unit_test_setup_teardown(test_of_a_tree_of_roots, setup, teardown),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
