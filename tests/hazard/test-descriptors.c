/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of descriptors: what a number stands for is found out anew in each call, once, and acted upon as it was found. A number that was
 * closed, given to another file, or stands for another file in another process or thread is that other file; a file that was moved is where it is now.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "as_seen.h"

#define NUMBER 77 /* the descriptor that all is about */
#define RACE_TRIES 20000
#define RACE_TRIES_MAX 5000000 /* a busy machine may not let the other thread run for long */

/* ---- a place: DIR/w (granted for writing), DIR/r (for reading), a file f in each that begins with the directory's letter ---- */

static void put(const char *dir, const char *name)
{
	const char *sub = guest_in(dir, name);
	char path[PATH_MAX + 32];
	int fd;

	assert_int_equal(mkdir(sub, 0755), 0);
	snprintf(path, sizeof(path), "%s/f", sub);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, name, 1), 1);
	assert_int_equal(fchmod(fd, 0600), 0);
	close(fd);
}

static const char *place(void)
{
	const char *dir = guest_dir();

	put(dir, "w");
	put(dir, "r");
	return dir;
}

static struct sluice_policy *writable(const char *dir)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_allow_write(p, guest_in(dir, "w"), NULL), 0);
	return p;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

/* ---- inside ---- */

/* NUMBER becomes the file or directory at @path. */
static int become(const char *path)
{
	int fd = open(path, O_RDONLY), r;

	if (fd < 0)
		return -1;
	r = dup2(fd, NUMBER);
	close(fd);
	return r;
}

static int chmod_number(mode_t mode)
{
	return fchmod(NUMBER, mode) < 0 ? errno : 0;
}

static int chmod_below(mode_t mode)
{
	return fchmodat(NUMBER, "f", mode, 0) < 0 ? errno : 0;
}

/* The letter of the file below NUMBER, or 0. */
static char letter_below(void)
{
	char c = 0;
	int fd = openat(NUMBER, "f", O_RDONLY);

	if (fd < 0 || read(fd, &c, 1) != 1)
		c = 0;
	close(fd);
	return c;
}

/* Bits of what went wrong while NUMBER was in turn: the file and the directory of @first, of @second, nothing, and of @first again. @want: of @second. */
static int in_turn(const char *first, const char *second, int want)
{
	const char *const dirs[] = { first, second, first };
	int wrong = 0;

	for (int i = 0; i < 3; i++) {
		int w = dirs[i] == second ? want : 0;

		if (become(guest_in(dirs[i], "f")) < 0 || chmod_number(0640) != w)
			wrong |= 1;
		if (become(dirs[i]) < 0 || chmod_below(0604) != w ||
		    letter_below() != dirs[i][strlen(dirs[i]) - 1])
			wrong |= 2;
		close(NUMBER);
		if (chmod_number(0640) != EBADF || chmod_below(0604) != EBADF || letter_below())
			wrong |= 4;
	}
	return wrong;
}

struct other {
	const char *path;
	int want, got;
};

/* A thread with descriptors of its own. */
static void *other_thread(void *arg)
{
	struct other *o = arg;

	o->got = -1;
	if (unshare(CLONE_FILES) == 0 && become(o->path) == NUMBER)
		o->got = chmod_number(0640);
	return NULL;
}

/* "WANT DIR" */
static int guest_turns(const char *arg)
{
	char w[PATH_MAX], r[PATH_MAX];
	int want = 0, status, wrong;
	struct other o;
	pthread_t t;
	pid_t pid;

	if (sscanf(arg, "%d %4000s", &want, w) != 2)
		return 200;
	snprintf(r, sizeof(r), "%.4000s/r", w);
	strcat(w, "/w");
	wrong = in_turn(w, r, want);
	if (become(guest_in(w, "f")) < 0 || chmod_number(0640) != 0)
		return 201;
	o = (struct other){ guest_in(r, "f"), want, 0 };
	if (pthread_create(&t, NULL, other_thread, &o))
		return 202;
	pthread_join(t, NULL);
	wrong |= o.got != want ? 8 : 0;
	pid = fork();
	if (pid == 0)
		_exit(become(guest_in(r, "f")) == NUMBER ? chmod_number(0640) : 203);
	waitpid(pid, &status, 0);
	wrong |= !WIFEXITED(status) || WEXITSTATUS(status) != want ? 16 : 0;
	/* and here it is what it was */
	return wrong | (chmod_number(0640) != 0 ? 32 : 0);
}

static atomic_int stop;

struct flip {
	int fds[2];
};

static void *flip_number(void *arg)
{
	const struct flip *f = arg;

	for (unsigned i = 0; !atomic_load_explicit(&stop, memory_order_relaxed); i++)
		dup2(f->fds[i % 2], NUMBER);
	return NULL;
}

/* "file DIR" or "below DIR", until both files were met. 0: one was refused; 1: both were changed; 2: neither. */
static int guest_flips(const char *arg)
{
	bool below = *arg == 'b';
	const char *dir = strchr(arg, ' ') + 1;
	int ok = 0, refused = 0, tries;
	bool both = false;
	struct flip f;
	pthread_t t;

	f.fds[0] = open(guest_in(dir, below ? "w" : "w/f"), O_RDONLY);
	f.fds[1] = open(guest_in(dir, below ? "r" : "r/f"), O_RDONLY);
	if (f.fds[0] < 0 || f.fds[1] < 0 || dup2(f.fds[0], NUMBER) < 0 ||
	    pthread_create(&t, NULL, flip_number, &f))
		return 200;
	for (tries = 0; tries < RACE_TRIES || (tries < RACE_TRIES_MAX && !both); tries++) {
		int r = below ? chmod_below(0640) : chmod_number(0640);

		ok += r == 0;
		refused += r == EACCES;
		if (r != 0 && r != EACCES)
			return 201;
		if (tries % 64 == 0)
			both = ok && (refused || mode_of(guest_in(dir, "r/f")) == 0640);
	}
	atomic_store(&stop, 1);
	pthread_join(t, NULL);
	return !both ? 2 : refused ? 0 : 1;
}

/* "OUT IN DIR": say so on OUT, wait for a byte on IN. */
static int meet(const int ends[2])
{
	char c = 'x';

	return write(ends[0], &c, 1) == 1 && read(ends[1], &c, 1) == 1 ? 0 : -1;
}

/* Hold f open, let it be moved out of the grant and back. The answers to three changes, a bit each: refused. */
static int guest_moved(const char *arg)
{
	int ends[2], bits = 0;
	char dir[4000];

	if (sscanf(arg, "%d %d %3999s", &ends[0], &ends[1], dir) != 3 ||
	    become(guest_in(dir, "w/f")) < 0)
		return 200;
	for (int i = 0; i < 3; i++) {
		int r = chmod_number(i % 2 ? 0604 : 0640);

		if (r != 0 && r != EACCES)
			return 201;
		bits |= (r != 0) << i;
		if (meet(ends) < 0)
			return 202;
	}
	return bits;
}

static const struct guest_role roles[] = {
	{ "turns", guest_turns },
	{ "flips", guest_flips },
	{ "moved", guest_moved },
	{ NULL, NULL },
};

/* ---- outside ---- */

static void hazard_A8_numbers_that_are_given_again(void **state)
{
	const char *dir = place();
	struct sluice_policy *p = writable(dir);
	char arg[PATH_MAX];

	(void)state;
	snprintf(arg, sizeof(arg), "0 %s", dir);
	assert_int_equal(guest_bare("turns", arg), 0);
	snprintf(arg, sizeof(arg), "%d %s", EACCES, dir);
	assert_int_equal(guest_inside(p, "turns", arg), 0);
	/* opens on behalf look at the directory's number too */
	assert_int_equal(guest_run(p, as_seen_opens, N_AS_SEEN_OPENS, "turns", arg).exit_code, 0);
	sluice_policy_unref(p);
	guest_remove(dir);
}

static void flips(const char *how)
{
	const char *dir = place(), *held = guest_in(dir, "r/f");
	struct sluice_policy *p = writable(dir);
	char arg[PATH_MAX];

	snprintf(arg, sizeof(arg), "%s %s", how, dir);
	assert_int_equal(guest_bare("flips", arg), 1);
	assert_int_equal(mode_of(held), 0640);
	assert_int_equal(chmod(held, 0600), 0);
	assert_int_equal(guest_inside(p, "flips", arg), 0);
	assert_int_equal(mode_of(held), 0600);
	sluice_policy_unref(p);
	guest_remove(dir);
}

static void hazard_A8_a_number_that_flips(void **state)
{
	(void)state;
	flips("file");
	flips("below");
}

static int moved(struct sluice_policy *p, const char *dir)
{
	struct sluice_spawn_options o = { .size = sizeof(o) };
	const char *here = guest_in(dir, "w/f"), *there = guest_in(dir, "r/away");
	int up[2], down[2];
	struct sluice_sandbox *s;
	struct sluice_result r;
	char arg[PATH_MAX], c;

	assert_int_equal(pipe(up), 0);
	assert_int_equal(pipe(down), 0);
	snprintf(arg, sizeof(arg), "%d %d %s", up[1], down[0], dir);
	s = guest_spawn(p, &o, "moved", arg);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(read(up[0], &c, 1), 1);
		if (i < 2)
			assert_int_equal(rename(i ? there : here, i ? here : there), 0);
		assert_int_equal(write(down[1], &c, 1), 1);
	}
	assert_int_equal(sluice_sandbox_wait(s, 20000, &r), 0);
	sluice_sandbox_free(s);
	for (int i = 0; i < 2; i++) {
		close(up[i]);
		close(down[i]);
	}
	return r.exit_code;
}

static void hazard_A8_a_file_that_is_moved(void **state)
{
	const char *dir = place();
	struct sluice_policy *p = writable(dir), *both = writable(dir);

	(void)state;
	assert_int_equal(sluice_policy_allow_write(both, guest_in(dir, "r"), NULL), 0);
	assert_int_equal(moved(both, dir), 0);
	assert_int_equal(moved(p, dir), 2);
	sluice_policy_unref(both);
	sluice_policy_unref(p);
	guest_remove(dir);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_A8_numbers_that_are_given_again),
		cmocka_unit_test(hazard_A8_a_number_that_flips),
		cmocka_unit_test(hazard_A8_a_file_that_is_moved),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("descriptors", tests, NULL, NULL);
}
