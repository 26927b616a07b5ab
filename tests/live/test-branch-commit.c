/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commit where somebody else was at the lower tree meanwhile, the list of changes, the lock, and the quota.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "tree/branch.h"

static char lower[4096], storage[4096];

static const char *below(const char *name)
{
	static char buf[4][8400];
	static unsigned next;
	char *p = buf[next++ % 4];

	snprintf(p, sizeof(buf[0]), "%s/%s", lower, name);
	return p;
}

static void put(const char *name, const char *text)
{
	int fd = open(below(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void assert_text(const char *name, const char *text)
{
	char buf[64] = "";
	int fd = open(below(name), O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, buf, sizeof(buf) - 1), (ssize_t)strlen(text));
	assert_string_equal(buf, text);
	close(fd);
}

static int open_branch(bool create, uint64_t max_bytes, struct branch **ret)
{
	int fd = open(lower, O_PATH | O_DIRECTORY), r;
	struct branch_spec spec = { .storage = storage,
				    .name = "b",
				    .lower_fds = &fd,
				    .n_lowers = 1,
				    .max_bytes = max_bytes };
	struct sluice_error err = { 0 };

	r = create ? branch_create(&spec, ret, &err) : branch_open(&spec, ret, &err);
	close(fd);
	return r;
}

static struct branch *new_branch(uint64_t max_bytes)
{
	struct branch *b;

	umask(0);
	snprintf(lower, sizeof(lower), "%s", guest_dir());
	snprintf(storage, sizeof(storage), "%s", guest_dir());
	put("file", "file");
	put("gone", "gone");
	put("other", "other");
	assert_int_equal(mkdir(below("dir"), 0755), 0);
	put("dir/in", "in");
	assert_int_equal(open_branch(true, max_bytes, &b), 0);
	return b;
}

static void end_branch(struct branch *b)
{
	assert_int_equal(branch_abort(b), 0);
	guest_remove(lower);
	guest_remove(storage);
}

static int write_file(struct branch *b, const char *path, const char *text)
{
	int fd, r = branch_open_file(b, path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd);

	if (r < 0)
		return r;
	r = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -errno;
	close(fd);
	return r;
}

/* "M file,A new," in the order they come, with the error where there is one. */
struct list {
	char text[1024];
};

static void list_add(struct list *l, const struct branch_change *c, int error)
{
	size_t n = strlen(l->text);

	n += (size_t)snprintf(l->text + n, sizeof(l->text) - n, "%c %s", c->kind, c->path);
	if (error)
		n += (size_t)snprintf(l->text + n, sizeof(l->text) - n, "=%d", error);
	snprintf(l->text + n, sizeof(l->text) - n, ",");
}

static int on_change(const struct branch_change *c, void *arg)
{
	list_add(arg, c, 0);
	return 0;
}

static void on_commit(const struct branch_change *c, int error, void *arg)
{
	list_add(arg, c, error);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static mode_t shown_mode(struct branch *b, const char *path)
{
	struct branch_entry e;

	assert_int_equal(branch_stat(b, path, &e), 0);
	return e.st.st_mode & 07777;
}

static void assert_modes_are_committed(mode_t mode)
{
	static const char all[] = "A made,A made/in,A made/in/x,";
	struct list diff = { "" }, again = { "" }, done = { "" };
	struct branch *b = new_branch(0);

	assert_int_equal(branch_mkdir(b, "made", 0700), 0);
	assert_int_equal(branch_mkdir(b, "made/in", 0700), 0);
	assert_int_equal(write_file(b, "made/in/x", "x"), 0);
	assert_int_equal(branch_chmod(b, "made/in", mode), 0);
	assert_int_equal(branch_chmod(b, "made", mode), 0);
	assert_int_equal(branch_diff(b, on_change, &diff), 0);
	assert_string_equal(diff.text, all);
	assert_int_equal(shown_mode(b, "made"), mode);
	branch_close(b);
	assert_int_equal(open_branch(false, 0, &b), 0);
	assert_int_equal(shown_mode(b, "made"), mode);
	assert_int_equal(branch_diff(b, on_change, &again), 0);
	assert_string_equal(again.text, all);
	assert_int_equal(branch_commit(b, on_commit, &done), 0);
	assert_string_equal(done.text, all);
	assert_int_equal(mode_of(below("made")), mode);
	assert_int_equal(chmod(below("made"), 0700), 0);
	assert_int_equal(mode_of(below("made/in")), mode);
	assert_int_equal(chmod(below("made/in"), 0700), 0);
	assert_text("made/in/x", "x");
	end_branch(b);
}

static void test_directories_that_their_owner_may_not_use(void **state)
{
	(void)state;
	assert_modes_are_committed(0555);
	assert_modes_are_committed(0111);
	assert_modes_are_committed(0444);
	assert_modes_are_committed(0);
}

/* He could, for a while, inside. */
static void test_a_lower_directory_that_its_owner_may_not_write(void **state)
{
	struct branch *b = new_branch(0);
	struct list done = { "" };

	(void)state;
	assert_int_equal(chmod(below("dir"), 0555), 0);
	assert_int_equal(branch_chmod(b, "dir", 0755), 0);
	assert_int_equal(write_file(b, "dir/new", "new"), 0);
	assert_int_equal(branch_unlink(b, "dir/in"), 0);
	assert_int_equal(branch_chmod(b, "dir", 0555), 0);
	assert_int_equal(branch_commit(b, on_commit, &done), 0);
	assert_string_equal(done.text, "A dir/new,D dir/in,");
	assert_int_equal(mode_of(below("dir")), 0555);
	assert_text("dir/new", "new");
	assert_int_equal(access(below("dir/in"), F_OK), -1);
	end_branch(b);
}

static void test_diff_is_what_commit_does(void **state)
{
	struct branch *b = new_branch(0);
	struct list diff = { "" }, done = { "" };

	(void)state;
	assert_int_equal(write_file(b, "file", "changed"), 0);
	assert_int_equal(write_file(b, "dir/\xff\n", "new"), 0);
	assert_int_equal(branch_unlink(b, "gone"), 0);
	assert_int_equal(branch_mkdir(b, "made", 0700), 0);
	assert_int_equal(write_file(b, "made/x", "x"), 0);
	assert_int_equal(branch_diff(b, on_change, &diff), 0);
	assert_string_equal(diff.text, "A dir/\xff\n,M file,D gone,A made,A made/x,");
	assert_text("file", "file");
	assert_int_equal(branch_commit(b, on_commit, &done), 0);
	assert_string_equal(done.text, "A dir/\xff\n,M file,A made,A made/x,D gone,");
	assert_text("file", "changed");
	assert_text("dir/\xff\n", "new");
	assert_text("made/x", "x");
	assert_int_equal(access(below("gone"), F_OK), -1);
	diff.text[0] = '\0';
	assert_int_equal(branch_diff(b, on_change, &diff), 0);
	assert_string_equal(diff.text, "");
	end_branch(b);
}

/* Opened for writing and not written, or its directory touched only: no change. */
static void test_copied_up_is_not_changed(void **state)
{
	struct branch *b = new_branch(0);
	struct list diff = { "" };
	int fd;

	(void)state;
	assert_int_equal(branch_open_file(b, "dir/in", O_RDWR, 0, &fd), 0);
	close(fd);
	assert_int_equal(branch_diff(b, on_change, &diff), 0);
	assert_string_equal(diff.text, "");
	assert_int_equal(branch_chmod(b, "dir/in", 0600), 0);
	assert_int_equal(branch_diff(b, on_change, &diff), 0);
	assert_string_equal(diff.text, "M dir/in,");
	end_branch(b);
}

/* Of the same size, and with the same time. */
static void test_changes_that_times_do_not_show(void **state)
{
	const struct timespec times[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
	static const char *const names[] = { "file", "gone", "dir/in", "link", "link2" };
	struct branch *b = new_branch(0);
	struct list diff = { "" };
	char target[8] = "";

	(void)state;
	assert_int_equal(symlink("one", below("link")), 0);
	assert_int_equal(symlink("two", below("link2")), 0);
	for (size_t i = 0; i < N_OF(names); i++)
		assert_int_equal(utimensat(AT_FDCWD, below(names[i]), times, AT_SYMLINK_NOFOLLOW),
				 0);
	assert_int_equal(branch_rename(b, "gone", "file", 0), 0);
	assert_int_equal(branch_rename(b, "link2", "link", 0), 0);
	assert_int_equal(write_file(b, "dir/in", "IN"), 0);
	assert_int_equal(branch_utimens(b, "dir/in", times), 0);
	assert_int_equal(branch_diff(b, on_change, &diff), 0);
	assert_string_equal(diff.text, "M dir/in,M file,D gone,M link,D link2,");
	assert_int_equal(branch_commit(b, NULL, NULL), 0);
	assert_text("file", "gone");
	assert_text("dir/in", "IN");
	assert_int_equal(readlink(below("link"), target, sizeof(target)), 3);
	assert_string_equal(target, "two");
	end_branch(b);
}

static void test_conflicts_stay_in_the_branch(void **state)
{
	struct branch *b = new_branch(0);
	struct list done = { "" };

	(void)state;
	assert_int_equal(write_file(b, "file", "ours"), 0);
	assert_int_equal(write_file(b, "other", "ours"), 0);
	assert_int_equal(write_file(b, "dir/in", "ours"), 0);
	assert_int_equal(write_file(b, "new", "ours"), 0);
	assert_int_equal(branch_unlink(b, "gone"), 0);
	put("file", "theirs");
	put("new", "theirs");
	put("gone", "theirs");
	assert_int_equal(unlink(below("dir/in")), 0);
	assert_int_equal(branch_commit(b, on_commit, &done), 4);
	assert_string_equal(done.text, "A dir/in=-116,M file=-116,M new=-116,M other,D gone=-116,");
	assert_true(branch_is_committing(b));
	assert_text("file", "theirs");
	assert_text("new", "theirs");
	assert_text("gone", "theirs");
	assert_text("other", "ours");
	branch_close(b);
	/* and over a restart */
	assert_int_equal(open_branch(false, 0, &b), 0);
	done.text[0] = '\0';
	assert_int_equal(branch_commit(b, on_commit, &done), 4);
	assert_string_equal(done.text, "A dir/in=-116,M file=-116,M new=-116,D gone=-116,");
	end_branch(b);
}

/* What the kernel may walk to by itself is known anew when a branch is opened, the rights of directories included. */
static void test_unchanged_over_a_restart(void **state)
{
	const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	/* user::rw-,group::rw-,other::-w- */
	static const unsigned char acl[] = { 2,	   0,	 0, 0, 1,    0,	   6,	 0,    0xff, 0xff,
					     0xff, 0xff, 4, 0, 6,    0,	   0xff, 0xff, 0xff, 0xff,
					     0x20, 0,	 2, 0, 0xff, 0xff, 0xff, 0xff };
	struct branch *b = new_branch(0);

	(void)state;
	assert_int_equal(branch_generation(b), 0);
	assert_int_equal(write_file(b, "dir/new", "new"), 0);
	assert_int_equal(branch_utimens(b, "dir", times), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(branch_generation(b) > 0);
		assert_true(branch_is_unchanged(b, "dir/in") && branch_is_unchanged(b, "file"));
		assert_false(branch_is_unchanged(b, "dir/new") || branch_is_unchanged(b, "dir"));
		branch_close(b);
		assert_int_equal(open_branch(false, 0, &b), 0);
	}
	assert_int_equal(branch_chmod(b, "dir", 0700), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_false(branch_is_unchanged(b, "dir/in"));
		branch_close(b);
		assert_int_equal(open_branch(false, 0, &b), 0);
	}
	/* what it hands down, and the lower one's */
	assert_int_equal(branch_chmod(b, "dir", 0755), 0);
	assert_int_equal(branch_setxattr(b, "dir", "system.posix_acl_default", acl, sizeof(acl), 0),
			 0);
	branch_close(b);
	assert_int_equal(open_branch(false, 0, &b), 0);
	assert_false(branch_is_unchanged(b, "dir/in"));
	assert_int_equal(branch_removexattr(b, "dir", "system.posix_acl_default"), 0);
	branch_close(b);
	assert_int_equal(open_branch(false, 0, &b), 0);
	assert_true(branch_is_unchanged(b, "dir/in"));
	branch_close(b);
	assert_int_equal(chmod(below("dir"), 0750), 0);
	assert_int_equal(open_branch(false, 0, &b), 0);
	assert_false(branch_is_unchanged(b, "dir/in"));
	end_branch(b);
}

/* ---- hard links ---- */

static void assert_shows(struct branch *b, const char *path, const char *text, unsigned nlink,
			 ino_t ino)
{
	struct branch_entry e;
	char buf[64] = "";
	int fd;

	assert_int_equal(branch_stat(b, path, &e), 0);
	assert_int_equal(e.st.st_nlink, nlink);
	assert_int_equal(e.st.st_ino, ino);
	assert_int_equal(branch_open_file(b, path, O_RDONLY, 0, &fd), 0);
	assert_true(read(fd, buf, sizeof(buf) - 1) >= 0);
	assert_string_equal(buf, text);
	branch_show(b, (fstat(fd, &e.st), &e.st));
	assert_int_equal(e.st.st_nlink, nlink);
	assert_int_equal(e.st.st_ino, ino);
	close(fd);
}

static ino_t ino_of(const char *name, unsigned *nlink)
{
	struct stat st;

	assert_int_equal(stat(below(name), &st), 0);
	if (nlink)
		*nlink = (unsigned)st.st_nlink;
	return st.st_ino;
}

/* "file", "file2" beside it and "dir/far" are one. */
static ino_t link_them(void)
{
	assert_int_equal(link(below("file"), below("file2")), 0);
	assert_int_equal(link(below("file"), below("dir/far")), 0);
	return ino_of("file", NULL);
}

static void commit_links(struct branch *b)
{
	struct list diff = { "" }, done = { "" };
	unsigned nlink;

	assert_int_equal(branch_diff(b, on_change, &diff), 0);
	assert_string_equal(diff.text, "M dir/far,M file,M file2,A new,");
	assert_int_equal(branch_commit(b, on_commit, &done), 0);
	assert_string_equal(done.text, diff.text);
	assert_text("file", "ours");
	assert_text("dir/far", "ours");
	assert_int_equal(ino_of("file", &nlink), ino_of("file2", NULL));
	assert_int_equal(ino_of("file", NULL), ino_of("dir/far", NULL));
	assert_int_equal(ino_of("file", NULL), ino_of("new", NULL));
	assert_int_equal(nlink, 4);
	assert_shows(b, "new", "ours", 4, ino_of("new", NULL));
}

static void test_links_stay_one_file(void **state)
{
	struct branch *b = new_branch(0);
	ino_t ino = link_them();
	bool again = *(const bool *)*state;

	assert_true(branch_is_unchanged(b, "dir/far"));
	assert_int_equal(write_file(b, "file", "ours"), 0);
	/* the far one was not met by anybody */
	assert_false(branch_is_unchanged(b, "dir/far"));
	assert_shows(b, "dir/far", "ours", 3, ino);
	assert_shows(b, "file2", "ours", 3, ino);
	assert_int_equal(branch_link(b, "file2", "new"), 0);
	assert_shows(b, "dir/far", "ours", 4, ino);
	assert_int_equal(branch_unlink(b, "new"), 0);
	assert_shows(b, "file", "ours", 3, ino);
	assert_int_equal(branch_rename(b, "dir/far", "new", 0), 0);
	assert_int_equal(branch_rename(b, "new", "dir/far", 0), 0);
	assert_int_equal(branch_link(b, "dir/far", "new"), 0);
	if (again) {
		branch_close(b);
		assert_int_equal(open_branch(false, 0, &b), 0);
	}
	assert_shows(b, "file", "ours", 4, ino);
	assert_shows(b, "dir/far", "ours", 4, ino);
	assert_text("file", "file");
	commit_links(b);
	end_branch(b);
}

/* Names that are taken away count no more, and the last one takes the file. */
static void test_links_that_go(void **state)
{
	struct branch *b = new_branch(1 << 20);
	ino_t ino = link_them();
	uint64_t used;

	(void)state;
	assert_int_equal(branch_unlink(b, "dir/far"), 0);
	branch_close(b);
	assert_int_equal(open_branch(false, 1 << 20, &b), 0);
	used = branch_used_bytes(b);
	assert_int_equal(branch_chmod(b, "file", 0600), 0);
	assert_shows(b, "file2", "file", 2, ino);
	assert_int_equal(branch_rename(b, "other", "file2", 0), 0);
	assert_shows(b, "file", "file", 1, ino);
	assert_true(branch_used_bytes(b) > used);
	assert_int_equal(branch_unlink(b, "file"), 0);
	assert_int_equal(branch_unlink(b, "file2"), 0);
	assert_int_equal(branch_used_bytes(b), used);
	end_branch(b);
}

/* The name that lies outside of the tree keeps what it had. */
static void test_link_from_outside(void **state)
{
	struct branch *b = new_branch(0);
	struct list diff = { "" };
	char outside[5000], buf[8] = "";
	int fd;

	(void)state;
	snprintf(outside, sizeof(outside), "%s/outside", storage);
	assert_int_equal(link(below("file"), outside), 0);
	assert_int_equal(write_file(b, "file", "ours"), 0);
	assert_int_equal(branch_diff(b, on_change, &diff), 0);
	assert_string_equal(diff.text, "M file,");
	assert_true(branch_is_unchanged(b, "other"));
	assert_int_equal(branch_commit(b, NULL, NULL), 0);
	assert_text("file", "ours");
	fd = open(outside, O_RDONLY);
	assert_int_equal(read(fd, buf, sizeof(buf)), 4);
	assert_string_equal(buf, "file");
	close(fd);
	end_branch(b);
}

/* The branch lies on another file system. */
static void test_links_over_file_systems(void **state)
{
	char shm[] = "/dev/shm/sluice-test.XXXXXX", own[sizeof(storage)];
	struct branch *b = new_branch(0);
	struct stat x, y;

	(void)state;
	branch_abort(b);
	assert_non_null(mkdtemp(shm));
	assert_int_equal(stat(shm, &x), 0);
	assert_int_equal(stat(lower, &y), 0);
	assert_true(x.st_dev != y.st_dev);
	memcpy(own, storage, sizeof(own));
	snprintf(storage, sizeof(storage), "%s", shm);
	link_them();
	assert_int_equal(open_branch(true, 0, &b), 0);
	assert_int_equal(write_file(b, "dir/far", "ours"), 0);
	assert_int_equal(branch_link(b, "file2", "new"), 0);
	commit_links(b);
	end_branch(b);
	guest_remove(own);
}

static int count_live(const struct branch_info *info, void *arg)
{
	*(int *)arg += info->live ? 100 : 1;
	return 0;
}

static void test_one_at_a_time(void **state)
{
	struct branch *b = new_branch(0), *second;
	int n = 0;

	(void)state;
	assert_int_equal(open_branch(false, 0, &second), -EBUSY);
	assert_int_equal(open_branch(true, 0, &second), -EEXIST);
	assert_int_equal(branch_each(storage, count_live, &n), 0);
	assert_int_equal(n, 100);
	branch_close(b);
	n = 0;
	assert_int_equal(branch_each(storage, count_live, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(open_branch(false, 0, &b), 0);
	end_branch(b);
}

static void fill(int fd, size_t bytes)
{
	char block[4096];

	memset(block, 'x', sizeof(block));
	for (size_t n = 0; n < bytes; n += sizeof(block))
		assert_int_equal(write(fd, block, sizeof(block)), (ssize_t)sizeof(block));
}

static void test_quota(void **state)
{
	struct branch *b = new_branch(1 << 20);
	int fd;

	(void)state;
	assert_int_equal(branch_open_file(b, "big", O_WRONLY | O_CREAT, 0644, &fd), 0);
	assert_int_equal(write_file(b, "small", "x"), 0);
	/* through a descriptor that is open: seen when the next file wants room */
	fill(fd, 2 << 20);
	fsync(fd);
	assert_int_equal(write_file(b, "small2", "x"), -ENOSPC);
	assert_int_equal(branch_mkdir(b, "d", 0755), -ENOSPC);
	assert_true(branch_used_bytes(b) >= 2 << 20);
	/* and room comes back */
	close(fd);
	assert_int_equal(branch_unlink(b, "big"), 0);
	assert_int_equal(write_file(b, "small2", "x"), 0);
	end_branch(b);
}

/* ---- the quota, for a process that only writes ---- */

#define QUOTA_BYTES (UINT64_C(32) << 20)

/* Writes as fast as it can into descriptors that it has; says how it ended. */
static void write_on(int first, int second, int out)
{
	static char block[1 << 16];
	int error = 0;

	signal(SIGXFSZ, SIG_IGN);
	for (unsigned i = 0; !error; i++) {
		if (write(i % 2 ? first : second, block, sizeof(block)) < 0)
			error = errno;
	}
	if (write(out, &error, sizeof(error)) < 0)
		_exit(1);
	close(second); /* which may have got more than all of the quota before it was held */
	/* until there is room again */
	while (write(first, block, 1) != 1)
		usleep(1000);
	_exit(0);
}

static void hold_when_full(struct branch *b, pid_t pid, bool until, struct branch_room *room)
{
	long long end = guest_now_ms() + 30000;

	do {
		branch_room_check(b, room);
		assert_true(room->next_ms > 0 && guest_now_ms() < end);
		if (room->hold != until)
			usleep(room->next_ms * 1000);
	} while (room->hold != until);
	assert_int_equal(branch_room_hold(b, pid), 1);
	assert_int_equal(branch_room_hold(b, pid), 0);
}

static void test_quota_of_a_writer(void **state)
{
	struct branch *b = new_branch(QUOTA_BYTES);
	int first, second, out[2], error = 0, status;
	struct branch_room room;
	pid_t pid;

	(void)state;
	assert_int_equal(branch_open_file(b, "first", O_WRONLY | O_CREAT, 0644, &first), 0);
	assert_int_equal(branch_open_file(b, "second", O_WRONLY | O_CREAT, 0644, &second), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		write_on(first, second, out[1]);
	hold_when_full(b, pid, true, &room);
	assert_int_equal(read(out[0], &error, sizeof(error)), sizeof(error));
	assert_int_equal(error, EFBIG);
	assert_int_equal(write_file(b, "small", "x"), -ENOSPC);
	branch_room_check(b, &room);
	print_message("quota %llu, written %llu\n", (unsigned long long)room.max,
		      (unsigned long long)room.used);
	assert_true(room.used >= QUOTA_BYTES && room.used < 32 * QUOTA_BYTES);
	close(second);
	assert_int_equal(branch_unlink(b, "second"), 0);
	assert_int_equal(branch_truncate(b, "first", 0), 0);
	hold_when_full(b, pid, false, &room);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(first);
	end_branch(b);
}

/* Files that nobody has open any more are not watched, however many there were. */
static void test_quota_of_many_files(void **state)
{
	struct branch *b = new_branch(1 << 20);
	struct branch_room room;
	int grows, fd;

	(void)state;
	branch_room_check(b, &room);
	assert_int_equal(room.next_ms, 0); /* nobody can write */
	assert_int_equal(branch_open_file(b, "grows", O_WRONLY | O_CREAT, 0644, &grows), 0);
	for (unsigned i = 0; i < 1500; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(branch_open_file(b, name, O_WRONLY | O_CREAT, 0644, &fd), 0);
		close(fd);
		if (i % 100 == 0) {
			fill(grows, 4096);
			fsync(grows);
			branch_used_bytes(b);
		}
	}
	/* ext4 may put a block of its own to it */
	assert_in_range(branch_used_bytes(b), 15 * 4096, 20 * 4096);
	branch_room_check(b, &room);
	assert_true(room.next_ms > 0);
	fill(grows, 1 << 20);
	fsync(grows);
	assert_int_equal(write_file(b, "one more", "x"), -ENOSPC);
	branch_room_check(b, &room);
	assert_true(room.hold);
	close(grows);
	branch_room_check(b, &room);
	assert_false(room.hold); /* it is as full as before, but nobody can write there */
	assert_int_equal(room.next_ms, 0);
	end_branch(b);
}

/* As many files as there is room for may be open for writing at a time. */
static void test_quota_of_open_files(void **state)
{
	struct branch *b = new_branch(1 << 20);
	int fds[600], n = 0, r = 0;

	(void)state;
	while (n < 600) {
		char name[32];

		snprintf(name, sizeof(name), "%d", n);
		r = branch_open_file(b, name, O_WRONLY | O_CREAT, 0644, &fds[n]);
		if (r < 0)
			break;
		n++;
	}
	assert_int_equal(n, 512);
	assert_int_equal(r, -ENFILE);
	assert_int_equal(branch_open_file(b, "0", O_RDONLY, 0, &fds[n]), 0);
	close(fds[n]);
	close(fds[--n]);
	assert_int_equal(branch_open_file(b, "1", O_WRONLY, 0, &fds[n]), 0);
	while (n >= 0)
		close(fds[n--]);
	end_branch(b);
}

/* Blocks of a file without a name are there as long as somebody has it open. */
static void test_quota_of_nameless_files(void **state)
{
	struct branch *b = new_branch(1 << 20);
	int fd, reads;

	(void)state;
	assert_int_equal(branch_open_file(b, "", O_WRONLY | O_TMPFILE, 0644, &fd), 0);
	fill(fd, 2 << 20);
	fsync(fd);
	assert_int_equal(write_file(b, "small", "x"), -ENOSPC);
	close(fd);
	assert_int_equal(write_file(b, "small", "x"), 0);
	/* unlinked while it is written */
	assert_int_equal(branch_open_file(b, "gone", O_WRONLY | O_CREAT, 0644, &fd), 0);
	fill(fd, 4096);
	assert_int_equal(branch_unlink(b, "gone"), 0);
	fill(fd, 2 << 20);
	fsync(fd);
	assert_int_equal(write_file(b, "small2", "x"), -ENOSPC);
	close(fd);
	assert_int_equal(write_file(b, "small2", "x"), 0);
	/* replaced while it is read */
	assert_int_equal(branch_open_file(b, "read", O_WRONLY | O_CREAT, 0644, &fd), 0);
	fill(fd, 2 << 20);
	fsync(fd);
	close(fd);
	assert_int_equal(branch_open_file(b, "read", O_RDONLY, 0, &reads), 0);
	assert_int_equal(branch_rename(b, "small", "read", 0), 0);
	assert_true(branch_used_bytes(b) >= 2 << 20);
	assert_int_equal(write_file(b, "small3", "x"), -ENOSPC);
	close(reads);
	assert_int_equal(write_file(b, "small3", "x"), 0);
	assert_in_range(branch_used_bytes(b), 1, 16 * 4096);
	end_branch(b);
}

/* A mapping writes without a descriptor, and past what a limit of the process says. */
static void test_quota_of_a_mapping(void **state)
{
	const size_t size = 24 << 20;
	struct branch *b = new_branch(1 << 20);
	struct branch_room room;
	char *at;
	int fd;

	(void)state;
	assert_int_equal(branch_open_file(b, "mapped", O_RDWR | O_CREAT, 0644, &fd), 0);
	assert_int_equal(ftruncate(fd, size), 0);
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	close(fd);
	memset(at, 'x', 2 << 20);
	branch_room_check(b, &room);
	assert_true(room.hold);
	assert_false(branch_room_is_past(b, false));
	assert_false(branch_room_is_past(b, true));
	memset(at, 'x', size);
	assert_true(branch_room_is_past(b, true));
	assert_false(branch_room_is_past(b, false)); /* it may have been one that was missed */
	assert_false(branch_room_is_past(b, true));
	munmap(at, size);
	branch_room_check(b, &room);
	assert_false(room.hold);
	end_branch(b);
}

static void test_quota_of_allocations(void **state)
{
	const int keep = FALLOC_FL_KEEP_SIZE, hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	struct branch *b = new_branch(1 << 20);
	int fd;

	(void)state;
	assert_int_equal(branch_open_file(b, "f", O_RDWR | O_CREAT, 0644, &fd), 0);
	assert_int_equal(branch_room_allocate(b, fd, 0, 0, 2 << 20), -ENOSPC);
	assert_int_equal(branch_room_allocate(b, fd, keep, 0, INT64_MAX), -ENOSPC);
	assert_int_equal(branch_room_allocate(b, fd, keep, 0, 768 << 10), 0);
	assert_in_range(branch_used_bytes(b), 768 << 10, 800 << 10);
	assert_int_equal(branch_room_allocate(b, fd, 0, 0, 512 << 10), 0); /* it has that */
	assert_int_equal(branch_room_allocate(b, fd, keep, 1 << 20, 512 << 10), -ENOSPC);
	assert_int_equal(branch_room_allocate(b, fd, hole, 0, 512 << 10), 0);
	assert_in_range(branch_used_bytes(b), 0, 320 << 10);
	assert_int_equal(branch_room_allocate(b, fd, 0, 0, 0), -EINVAL);
	assert_int_equal(branch_room_allocate(b, fd, 0, -1, 4096), -EINVAL);
	close(fd);
	end_branch(b);
}

int main(int argc, char *argv[])
{
	static bool no = false, yes = true; /* opened again before the commit */
	static const struct guest_role roles[] = { { NULL, NULL } };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_diff_is_what_commit_does),
		cmocka_unit_test(test_directories_that_their_owner_may_not_use),
		cmocka_unit_test(test_a_lower_directory_that_its_owner_may_not_write),
		cmocka_unit_test(test_copied_up_is_not_changed),
		cmocka_unit_test(test_changes_that_times_do_not_show),
		cmocka_unit_test(test_conflicts_stay_in_the_branch),
		cmocka_unit_test(test_unchanged_over_a_restart),
		cmocka_unit_test_prestate(test_links_stay_one_file, &no),
		cmocka_unit_test_prestate(test_links_stay_one_file, &yes),
		cmocka_unit_test(test_links_that_go),
		cmocka_unit_test(test_link_from_outside),
		cmocka_unit_test(test_links_over_file_systems),
		cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_quota_of_a_writer),
		cmocka_unit_test(test_quota_of_many_files),
		cmocka_unit_test(test_quota_of_open_files),
		cmocka_unit_test(test_quota_of_nameless_files),
		cmocka_unit_test(test_quota_of_a_mapping),
		cmocka_unit_test(test_quota_of_allocations),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
