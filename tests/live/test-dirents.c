/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merged listings: what is listed, buffers of any size, positions that survive changes and lseek(2), bounded memory, and the time that a large directory takes.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "tree/dirents.h"

#define N_DIRS 3u

static char root[4096];
static int dirs[N_DIRS]; /* topmost first */

static int setup(void **state)
{
	(void)state;
	umask(0);
	snprintf(root, sizeof(root), "%s", guest_dir());
	for (unsigned i = 0; i < N_DIRS; i++) {
		char path[4200];

		snprintf(path, sizeof(path), "%s/%u", root, i);
		assert_int_equal(mkdir(path, 0755), 0);
		dirs[i] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(dirs[i] >= 0);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N_DIRS; i++)
		close(dirs[i]);
	guest_remove(root);
	return 0;
}

static ino_t touch(unsigned dir, const char *name)
{
	struct stat st;

	assert_int_equal(mknodat(dirs[dir], name, S_IFREG | 0644, 0), 0);
	assert_int_equal(fstatat(dirs[dir], name, &st, 0), 0);
	return st.st_ino;
}

static struct dirents_source source(unsigned n)
{
	return (struct dirents_source){
		.layers = dirs, .n_layers = n, .self_ino = 100, .parent_ino = 200
	};
}

/* A whole reading as "name type ino", sorted but for the dots. */
struct list {
	char **all;
	size_t n, room;
};

static void list_free(struct list *l)
{
	while (l->n)
		free(l->all[--l->n]);
	free(l->all);
	memset(l, 0, sizeof(*l));
}

static void list_records(struct list *l, const char *buf, ssize_t n)
{
	for (const char *at = buf; at < buf + n;) {
		const struct dirent64 *e = (const void *)at;

		if (l->n == l->room) {
			l->room = l->room ? l->room * 2 : 64;
			l->all = realloc(l->all, l->room * sizeof(*l->all));
			assert_non_null(l->all);
		}
		assert_true(asprintf(&l->all[l->n++], "%s %d %llu", e->d_name, e->d_type,
				     (unsigned long long)e->d_ino) > 0);
		at += e->d_reclen;
	}
}

static struct list list_all(struct dirents *d, const struct dirents_source *s, size_t size)
{
	struct list l = { 0 };
	char *buf = malloc(size);
	int64_t position = 0;
	ssize_t n;

	while ((n = dirents_read(d, s, &position, buf, size)) > 0)
		list_records(&l, buf, n);
	assert_int_equal(n, 0);
	free(buf);
	return l;
}

static bool has(const struct list *l, const char *line)
{
	unsigned n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += !strcmp(l->all[i], line);
	assert_true(n <= 1);
	return n == 1;
}

static bool has_entry(const struct list *l, const char *name, int type, uint64_t ino)
{
	char line[400];

	snprintf(line, sizeof(line), "%s %d %llu", name, type, (unsigned long long)ino);
	return has(l, line);
}

static uint64_t shown(void *arg, size_t layer, uint64_t ino)
{
	return layer == 0 && ino == *(uint64_t *)arg ? 4711 : ino;
}

static void test_what_is_listed(void **state)
{
	const struct dirents_extra extra = { "over", 77, DT_DIR };
	struct dirents_source s = source(3);
	struct dirents *d = dirents_new(0);
	uint64_t copied = touch(0, "copied");
	ino_t low = touch(2, "low"), new = touch(0, "new\n\xff");
	struct list l;

	(void)state;
	touch(1, "copied");
	touch(2, "hidden");
	touch(2, "over");
	assert_int_equal(mkdirat(dirs[1], "hidden.d", 0755), 0);
	assert_int_equal(mknodat(dirs[0], "hidden.d", S_IFCHR, 0), 0);
	assert_int_equal(mknodat(dirs[1], "hidden", S_IFCHR, 0), 0);
	s.extras = &extra;
	s.n_extras = 1;
	s.shown_ino = shown;
	s.arg = &copied;
	l = list_all(d, &s, 4096);
	assert_int_equal(l.n, 6);
	assert_string_equal(l.all[0], ". 4 100");
	assert_string_equal(l.all[1], ".. 4 200");
	assert_true(has_entry(&l, "copied", DT_REG, 4711));
	assert_true(has_entry(&l, "low", DT_REG, low));
	assert_true(has_entry(&l, "new\n\xff", DT_REG, new));
	assert_true(has_entry(&l, "over", DT_DIR, 77));
	list_free(&l);
	/* what is below an opaque directory does not show */
	assert_int_equal(fsetxattr(dirs[1], "user.overlay.opaque", "y", 1, 0), 0);
	l = list_all(d, &s, 4096);
	assert_int_equal(l.n, 5);
	assert_false(has_entry(&l, "low", DT_REG, low));
	list_free(&l);
	dirents_free(d);
}

static void make_many(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char name[64];

		snprintf(name, sizeof(name), "a name that is not too short %u", i);
		touch(i % N_DIRS, name);
	}
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void test_buffers_of_any_size(void **state)
{
	struct dirents_source s = source(3);
	struct list all;
	char small[64];
	int64_t position = 0;

	(void)state;
	make_many(500);
	for (size_t bytes = 1; bytes <= 1 << 20; bytes *= 32) {
		struct dirents *d = dirents_new(bytes); /* a part at a time */

		all = list_all(d, &s, 1 << 20);
		assert_int_equal(all.n, 502);
		for (size_t size = 64; size < 3000; size += 100) {
			struct list l = list_all(d, &s, size);

			assert_int_equal(l.n, all.n);
			for (size_t i = 0; i < l.n; i++)
				assert_string_equal(l.all[i], all.all[i]);
			list_free(&l);
		}
		position = 2;
		assert_int_equal(dirents_read(d, &s, &position, small, 40), -EINVAL);
		position = 0;
		assert_int_equal(dirents_read(d, &s, &position, small, 23), -EINVAL);
		assert_int_equal(dirents_read(d, &s, &position, small, 24), 24);
		assert_int_equal(position, 1);
		position = -1;
		assert_int_equal(dirents_read(d, &s, &position, small, 64), -EINVAL);
		qsort(all.all, all.n, sizeof(*all.all), by_text);
		for (size_t i = 1; i < all.n; i++)
			assert_true(strcmp(all.all[i], all.all[i - 1]) != 0);
		list_free(&all);
		dirents_free(d);
	}
}

static void test_old_records(void **state)
{
	struct dirents_source s = source(1);
	struct dirents *d = dirents_new(0);
	ino_t ino = touch(0, "x");
	int64_t position = 2;
	char buf[64];
	unsigned long got;

	(void)state;
	s.old = true;
	assert_int_equal(dirents_read(d, &s, &position, buf, sizeof(buf)), 24);
	memcpy(&got, buf, sizeof(got));
	assert_int_equal(got, ino);
	assert_string_equal(buf + 18, "x");
	assert_int_equal(buf[23], DT_REG);
	dirents_free(d);
}

/* As rm -rf does it: what is read is removed before more is read. */
static void test_removal_while_reading(void **state)
{
	struct dirents_source s = source(3);
	struct dirents *d = dirents_new(0);
	int64_t position = 0;
	unsigned removed = 0;
	char buf[1000];
	struct list l;
	ssize_t n;

	(void)state;
	make_many(2000);
	while ((n = dirents_read(d, &s, &position, buf, sizeof(buf))) > 0) {
		for (const char *at = buf; at < buf + n;) {
			const struct dirent64 *e = (const void *)at;

			at += e->d_reclen;
			for (unsigned i = 0; i < N_DIRS; i++)
				removed += unlinkat(dirs[i], e->d_name, 0) == 0;
		}
	}
	assert_int_equal(n, 0);
	assert_int_equal(removed, 2000);
	l = list_all(d, &s, 1000);
	assert_int_equal(l.n, 2);
	list_free(&l);
	/* and what is new is seen from the beginning on, at once */
	for (unsigned i = 0; i < 200; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%u", i);
		touch(i % N_DIRS, name);
		l = list_all(d, &s, 32768);
		assert_int_equal(l.n, 3 + i);
		list_free(&l);
	}
	dirents_free(d);
}

/* Every offset leads to the entry behind it, in any order whatever part of the listing is kept. */
static void test_telldir(void **state)
{
	struct dirents_source s = source(3);
	struct dirents *d = dirents_new(1000);
	int64_t position = 0, at[400];
	char name[400][64];
	_Alignas(struct dirent64) char buf[sizeof(struct dirent64)];
	unsigned n = 0;

	(void)state;
	make_many(300);
	for (; n < 302; n++) {
		const struct dirent64 *e = (const void *)buf;

		at[n] = position;
		assert_true(dirents_read(d, &s, &position, buf, sizeof(buf)) > 0);
		position = e->d_off;
		assert_true(position > at[n]);
		snprintf(name[n], sizeof(name[n]), "%s", e->d_name);
	}
	for (unsigned i = 0; i < 1000; i++) {
		unsigned k = i * 7919 % n;
		const struct dirent64 *e = (const void *)buf;

		position = at[k];
		assert_true(dirents_read(d, &s, &position, buf, sizeof(buf)) > 0);
		assert_string_equal(e->d_name, name[k]);
	}
	position = INT64_C(1) << DIRENTS_POSITION_BITS;
	assert_int_equal(dirents_read(d, &s, &position, buf, sizeof(buf)), 0);
	dirents_free(d);
}

/* ---- positions in the kernel's keeping ---- */

static int seek_everywhere(const char *path)
{
	const int64_t last = INT64_C(1) << DIRENTS_POSITION_BITS;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), second;

	if (fd < 0)
		return 1;
	for (int64_t at = 1; at <= last; at = at == last ? last + 1 : at * 2) {
		if (lseek(fd, at, SEEK_SET) != at || lseek(fd, 0, SEEK_CUR) != at ||
		    lseek(fd, at - 1, SEEK_SET) != at - 1)
			return 2;
	}
	/* copies share it, and rewinding works */
	second = dup(fd);
	if (lseek(fd, last, SEEK_SET) != last || lseek(second, 0, SEEK_CUR) != last ||
	    lseek(second, 0, SEEK_SET) != 0 || lseek(fd, 0, SEEK_CUR) != 0)
		return 3;
	close(second);
	close(fd);
	return 0;
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		_exit(10);
	close(fd);
}

/* A merged directory of the kernel's, read from before, so that it has a cache of its own. */
static int seek_in_overlay(void)
{
	char options[16384], map[64];
	struct dirent *e;
	DIR *d;

	snprintf(map, sizeof(map), "0 %u 1", geteuid());
	/* root needs no namespace of users, and a process with a sanitizer's thread gets none */
	if (geteuid() != 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
			return 11;
		write_text("/proc/self/uid_map", map);
	} else if (unshare(CLONE_NEWNS) < 0 ||
		   mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		return 11;
	}
	snprintf(options, sizeof(options), "userxattr,lowerdir=%s/0:%s/1", root, root);
	if (mount("overlay", root, "overlay", 0, options) < 0)
		return 12;
	d = opendir(root);
	while (d && (e = readdir(d)))
		;
	return seek_everywhere(root);
}

static void test_positions_can_be_set(void **state)
{
	char name[300];
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(seek_everywhere(root), 0);
	assert_int_equal(seek_everywhere("/dev/shm"), 0);
	for (unsigned i = 0; i < 600; i++) { /* more than one block, so that ext4 hashes it */
		memset(name, 'x', 200);
		snprintf(name + 200, 50, "%u", i);
		touch(0, name);
	}
	snprintf(name, sizeof(name), "/proc/self/fd/%d", dirs[0]);
	assert_int_equal(seek_everywhere(name), 0);
	fflush(NULL);
	pid = guest_fork_one();
	if (pid == 0)
		_exit(seek_in_overlay());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- many ---- */

static uint64_t read_through(struct dirents *d, const struct dirents_source *s)
{
	static __thread char buf[32768];
	int64_t position = 0;
	uint64_t n = 0;
	ssize_t got;

	while ((got = dirents_read(d, s, &position, buf, sizeof(buf))) > 0) {
		for (ssize_t at = 0; at < got; n++)
			at += ((const struct dirent64 *)(const void *)(buf + at))->d_reclen;
	}
	return got < 0 ? 0 : n;
}

static void test_a_hundred_thousand(void **state)
{
	struct dirents_source s = source(2);
	struct dirents *d = dirents_new(0);
	long long began, first, second;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(mknodat(dirs[i % 2], name, S_IFREG | 0644, 0), 0);
	}
	usleep(50000); /* older than a tick, so that the listing may be used again; the figures only */
	began = guest_now_ms();
	assert_int_equal(read_through(d, &s), 100002);
	first = guest_now_ms() - began;
	began = guest_now_ms();
	assert_int_equal(read_through(d, &s), 100002);
	second = guest_now_ms() - began;
	print_message("100,000 names: %lld ms, again %lld ms\n", first, second);
	dirents_free(d);
}

struct reader {
	struct dirents *d;
	unsigned n_wrong;
};

static void *reader_run(void *arg)
{
	struct reader *r = arg;
	const struct dirents_source s = source(3);

	for (unsigned i = 0; i < 200; i++) {
		uint64_t n = read_through(r->d, &s);

		/* one name comes and goes */
		r->n_wrong += n != 302 && n != 303;
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct dirents *d = dirents_new(4000);
	struct reader r[3] = { { d, 0 }, { d, 0 }, { d, 0 } };
	pthread_t t[3];

	(void)state;
	make_many(300);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, reader_run, &r[i]), 0);
	for (unsigned i = 0; i < 300; i++) {
		touch(0, "comes and goes");
		assert_int_equal(unlinkat(dirs[0], "comes and goes", 0), 0);
	}
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(r[i].n_wrong, 0);
	}
	dirents_free(d);
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char *argv[])
{
	static const struct guest_role roles[] = { { NULL, NULL } };
	const struct CMUnitTest tests[] = {
		EACH(test_what_is_listed),
		EACH(test_buffers_of_any_size),
		EACH(test_old_records),
		EACH(test_removal_while_reading),
		EACH(test_telldir),
		EACH(test_positions_can_be_set),
		EACH(test_a_hundred_thousand),
		EACH(test_threads),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
