/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "root.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka.h"
#include "guest.h"

/* $1: TOP, $2: the test's program. Libraries keep their paths; what is only a link on the way there becomes a directory. */
static const char make_script[] =
	"set -eu; top=$1; root=$top/root; umask 022\n"
	"mkdir -p $root/bin $root/tmp $root/etc $root/links $top/ro/sub $top/rw $top/as $top/deep $top/out/dir\n"
	"chmod 755 $top\n"
	"add() {\n"
	"	cp -L \"$1\" \"$root/bin/$2\"\n"
	"	{ ldd \"$1\" || :; } | grep -o '/[^ ()]*' | sort -u | while read -r lib; do\n"
	"		[ -e \"$root$lib\" ] || { mkdir -p \"$root${lib%/*}\"; cp -L \"$lib\" \"$root$lib\"; }\n"
	"	done\n"
	"}\n"
	"add \"$2\" guest\n"
	"for tool in sh cat ls env readlink true; do add \"$(PATH=/usr/bin:/bin which $tool)\" $tool; done\n"
	"echo inside >$root/etc/hello; echo inside >$top/file; echo ro >$top/ro/f; echo ro >$top/ro/sub/f; echo as >$top/as/f\n"
	"echo outside >$top/out/secret; echo outside >$top/out/dir/secret; chmod 777 $top/out/secret $top/out $top/out/dir\n"
	"ln -s $top/out $root/links/absolute; ln -s ../../out $root/links/up; ln -s ../../../../../../../../..$top/out $root/links/far\n"
	"ln -s /proc/self/root$top/out $root/links/proc; ln -s /links/absolute/../out $root/links/through\n"
	"ln -s loop $root/links/loop; ln -s /etc/hello $root/links/hello; ln -s ../etc $root/links/etc\n";

static const char empty_script[] =
	"set -eu; cd $1; chmod -R u+rwx root/tmp rw deep; find root/tmp rw deep -mindepth 1 -delete\n"
	"chmod 777 root/tmp rw deep; echo rw >rw/f; mkdir rw/sub; echo rw >rw/sub/f; echo deep >deep/f";

static void script(const char *text, const char *top, const char *program)
{
	char *const argv[] = { (char *)"sh", (char *)"-c",    (char *)text, (char *)"sh",
			       (char *)top,  (char *)program, NULL };
	const pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		execv("/bin/sh", argv);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	assert_int_equal(status, 0);
}

void root_make(struct test_root *r)
{
	snprintf(r->top, sizeof(r->top), "%s", guest_dir());
	script(make_script, r->top, guest_program());
}

void root_remove(const struct test_root *r)
{
	guest_remove(r->top);
}

const char *root_path(const struct test_root *r, const char *name)
{
	static char buf[8][4400];
	static unsigned next;
	char *path = buf[next++ % 8];

	snprintf(path, sizeof(buf[0]), "%s/%.200s", r->top, name);
	return path;
}

struct sluice_policy *root_policy(const struct test_root *r)
{
	static const struct {
		const char *at, *from;
		enum sluice_mount_mode mode;
	} mounts[] = {
		{ "/ro", "ro", SLUICE_MOUNT_READ_ONLY },
		{ "/rw", "rw", SLUICE_MOUNT_READ_WRITE },
		{ "/as", "as", SLUICE_MOUNT_AS_GRANTED },
		{ "/ro/deep", "deep", SLUICE_MOUNT_READ_WRITE },
		{ "/etc/file", "file", SLUICE_MOUNT_READ_ONLY },
	};
	struct sluice_policy *p = sluice_policy_new();

	script(empty_script, r->top, "");
	assert_non_null(p);
	assert_int_equal(sluice_policy_set_chroot(p, root_path(r, "root"), NULL), 0);
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++)
		assert_int_equal(sluice_policy_add_mount(p, mounts[i].at,
							 root_path(r, mounts[i].from),
							 mounts[i].mode, NULL),
				 0);
	assert_int_equal(sluice_policy_allow_read(p, "/", NULL), 0);
	assert_int_equal(sluice_policy_allow_write(p, "/tmp", NULL), 0);
	assert_int_equal(sluice_policy_set_cwd(p, "/tmp", NULL), 0);
	return p;
}

int root_run(struct sluice_policy *p, const char *const argv[])
{
	struct sluice_error err = { 0 };
	struct sluice_result res = { 0 };
	int r = sluice_run(p, argv, &res, &err);

	if (r < 0)
		fail_msg("run: %d: %s (%s)", r, err.text, err.hint);
	return res.exit_code;
}

int root_inside(struct sluice_policy *p, const char *role, const char *arg)
{
	const char *const argv[] = { "/bin/guest", "--inside", role, arg, NULL };

	return root_run(p, argv);
}
