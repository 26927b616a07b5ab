/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches of inotify below copy-on-write hear of what is changed in the branch, and change nothing themselves.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sluice/cow.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

#define ALL                                                                                 \
	(IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | \
	 IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF)

/* ---- inside ---- */

/* What was heard since the last call, of watch @wd and (NULL: without a name) of @name. Events are there when the change is done. */
static uint32_t heard(int fd, int wd, const char *name)
{
	static char buf[65536] __attribute__((aligned(8)));
	static ssize_t n;
	uint32_t mask = 0;

	if (fd >= 0)
		n = read(fd, buf, sizeof(buf));
	for (char *at = buf; n > 0 && at < buf + n;) {
		const struct inotify_event *e = (const struct inotify_event *)(void *)at;

		if (e->wd == wd && !strcmp(e->len ? e->name : "", name ? name : ""))
			mask |= e->mask;
		at += sizeof(*e) + e->len;
	}
	return mask;
}

static int put(const char *path, int flags)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);

	return fd < 0 || write(fd, "new", 3) != 3 ? -1 : close(fd);
}

static int hear_changes(int fd, int dir, int file)
{
	uint32_t mask;

	if (put("sub/new", O_CREAT | O_EXCL) < 0)
		return 10;
	mask = heard(fd, dir, "new");
	if (!(mask & IN_CREATE) || !(mask & IN_MODIFY) || !(mask & IN_CLOSE_WRITE))
		return 11;
	if (put("sub/old", O_APPEND) < 0 || !(heard(fd, dir, "old") & IN_MODIFY))
		return 12;
	if (put("sub/watched", O_APPEND) < 0 || !(heard(fd, dir, "watched") & IN_MODIFY))
		return 13;
	if (!(heard(-1, file, NULL) & IN_MODIFY))
		return 14;
	if (rename("sub/new", "sub/newer") < 0 || !(heard(fd, dir, "new") & IN_MOVED_FROM) ||
	    !(heard(-1, dir, "newer") & IN_MOVED_TO))
		return 15;
	if (unlink("sub/newer") < 0 || !(heard(fd, dir, "newer") & IN_DELETE))
		return 16;
	if (chmod("sub/watched", 0600) < 0 || !(heard(fd, file, NULL) & IN_ATTRIB))
		return 17;
	if (unlink("sub/watched") < 0 || !(heard(fd, file, NULL) & IN_DELETE_SELF))
		return 18;
	/* of a file from below the mark that hides it is what appears */
	if (unlink("sub/old") < 0 ||
	    !(heard(fd, dir, "old") & (IN_DELETE | IN_MOVED_TO | IN_CREATE)))
		return 19;
	return 0;
}

/* In the working directory, which has "sub" with "old" and "watched". */
static int role_watch(const char *then)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	int dir = inotify_add_watch(fd, "sub", ALL),
	    file = inotify_add_watch(fd, "sub/watched", ALL);
	struct stat before, after;

	if (dir < 0 || file < 0)
		return 1;
	/* the same files by another watch have the same number */
	if (inotify_add_watch(fd, "./sub", ALL) != dir ||
	    inotify_add_watch(fd, "sub/watched", ALL | IN_MASK_ADD) != file)
		return 2;
	heard(fd, dir, NULL);
	if (stat("sub", &before) < 0)
		return 3;
	if (*then)
		return hear_changes(fd, dir, file);
	if (stat("sub", &after) < 0 || memcmp(&before, &after, sizeof(before)) != 0)
		return 4;
	return inotify_rm_watch(fd, dir) || inotify_rm_watch(fd, file) ? 5 : 0;
}

/* What may not be changed can be watched, too. */
static int role_watch_others(const char *path)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	return inotify_add_watch(fd, path, ALL) < 0 ? errno : 0;
}

/* ---- outside ---- */

static const char *world(void)
{
	const char *dir = guest_dir();
	char path[4200];

	snprintf(path, sizeof(path), "%s/sub", dir);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/sub/old", dir);
	assert_int_equal(put(path, O_CREAT), 0);
	snprintf(path, sizeof(path), "%s/sub/watched", dir);
	assert_int_equal(put(path, O_CREAT), 0);
	return dir;
}

static struct sluice_policy *policy(const char *dir, const char *storage, bool root)
{
	struct sluice_policy *p = guest_policy();

	if (root)
		assert_int_equal(sluice_policy_set_chroot(p, ROOT_BY_ANOTHER_NAME, NULL), 0);
	assert_int_equal(sluice_policy_set_workdir(p, dir, NULL), 0);
	assert_int_equal(sluice_policy_set_storage(p, storage, NULL), 0);
	assert_int_equal(sluice_policy_set_cwd(p, dir, NULL), 0);
	return p;
}

static int count_change(const struct sluice_cow_change *change, void *n)
{
	(void)change;
	return ++*(int *)n, 0;
}

static void test_changes_are_heard(void **state)
{
	const char *dir = world(), *storage = guest_dir();
	char *const here = get_current_dir_name();

	(void)state;
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(guest_bare("watch", "change"), 0);
	assert_int_equal(chdir(here), 0);
	free(here);
	guest_remove(dir);
	for (int root = 0; root < 2; root++) {
		struct sluice_policy *p;

		dir = world();
		p = policy(dir, storage, root);
		assert_int_equal(guest_inside(p, "watch", "change"), 0);
		sluice_policy_unref(p);
		guest_remove(dir);
	}
	guest_remove(storage);
}

static void test_to_watch_is_no_change(void **state)
{
	const char *dir = world(), *storage = guest_dir();
	struct sluice_policy *p = policy(dir, storage, false);
	struct sluice_cow *cow;
	int n = 0;

	(void)state;
	assert_int_equal(sluice_policy_set_branch(p, "watched", NULL), 0);
	assert_int_equal(guest_inside(p, "watch", ""), 0);
	assert_int_equal(sluice_cow_open(storage, "watched", &cow, NULL), 0);
	assert_int_equal(sluice_cow_changes(cow, count_change, &n), 0);
	assert_int_equal(n, 0);
	sluice_cow_close(cow);
	sluice_policy_unref(p);
	guest_remove(storage);
	guest_remove(dir);
}

static void test_what_is_others_can_be_watched(void **state)
{
	const char *storage = guest_dir();
	struct sluice_policy *p = policy("/usr", storage, false);

	(void)state;
	assert_int_equal(guest_bare("watch-others", "/usr/bin"), 0);
	assert_int_equal(guest_inside(p, "watch-others", "/usr/bin"), 0);
	assert_int_equal(guest_inside(p, "watch-others", "/usr/none"), ENOENT);
	sluice_policy_unref(p);
	guest_remove(storage);
}

int main(int argc, char *argv[])
{
	static const struct guest_role roles[] = { { "watch", role_watch },
						   { "watch-others", role_watch_others },
						   { NULL, NULL } };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes_are_heard),
		cmocka_unit_test(test_to_watch_is_no_change),
		cmocka_unit_test(test_what_is_others_can_be_watched),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("watches", tests, NULL, NULL);
}
