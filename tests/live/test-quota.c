/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A quota that is used up through open descriptors: room that comes back, files elsewhere, and what it costs while nothing happens. What goes around it is in hazard/test-quota.c.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

#define MIB (UINT64_C(1) << 20)
#define QUOTA (8 * MIB)
#define PATIENCE_MS (20000 * GUEST_SLOW)
#define FILES 64u

static char block[1 << 16];

/* ---- inside; no signal is ignored by us ---- */

static int open_new(const char *name)
{
	return open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

/* All files in turn, until none can be written; the errno of that. */
static int fill(const int *fds)
{
	for (unsigned i = 0;; i++) {
		if (write(fds[i % FILES], block, sizeof(block)) < 0)
			return errno;
	}
}

static int open_files(int *fds)
{
	for (unsigned i = 0; i < FILES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		fds[i] = open_new(name);
		if (fds[i] < 0)
			return -1;
	}
	return 0;
}

static bool writes_again(int fd)
{
	long long end = guest_now_ms() + PATIENCE_MS;

	while (write(fd, block, 1) != 1) {
		if (guest_now_ms() > end)
			return false;
		usleep(1000);
	}
	return true;
}

/* ARG: how room comes back. The number of the first step that went wrong. */
static int role_room(const char *arg)
{
	int fds[FILES];
	char name[16];

	if (open_files(fds) < 0)
		return 1;
	if (fill(fds) != EFBIG)
		return 2;
	if (open_new("another") >= 0 || errno != ENOSPC)
		return 3;
	for (unsigned i = 1; i < FILES; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		if (!strcmp(arg, "truncate")	? truncate(name, 0) < 0
		    : !strcmp(arg, "ftruncate") ? ftruncate(fds[i], 0) < 0
						: unlink(name) < 0 || close(fds[i]) < 0)
			return 4;
	}
	return writes_again(fds[0]) && open_new("another") >= 0 ? 0 : 5;
}

/* A file elsewhere cannot be written while those of the branch are open, and can be when they are closed. */
static int role_elsewhere(const char *arg)
{
	int fds[FILES], other = open_new(arg);

	if (other < 0 || open_files(fds) < 0)
		return 1;
	if (fill(fds) != EFBIG)
		return 2;
	if (write(other, block, 1) >= 0 || errno != EFBIG)
		return 3;
	for (unsigned i = 0; i < FILES; i++)
		close(fds[i]);
	if (open_new("another") >= 0 || errno != ENOSPC)
		return 4;
	return writes_again(other) ? 0 : 5;
}

/* One file is open, ARG: "r" or "w"; until it is killed. */
static int role_idle(const char *arg)
{
	int fd = open_new("f"), at = *arg == 'r' ? open("f", O_RDONLY | O_CLOEXEC) : fd;

	if (at != fd)
		close(fd);
	/* who waits for it knows by this that we are there */
	if (fd < 0 || at < 0 || mkdir("ready", 0700) < 0)
		return 1;
	for (;;)
		pause();
}

static const struct guest_role roles[] = {
	{ "room", role_room },
	{ "elsewhere", role_elsewhere },
	{ "idle", role_idle },
	{ NULL, NULL },
};

/* ---- the embedder ---- */

struct place {
	char top[4096], dir[4200], storage[4200], other[4200];
	struct sluice_policy *policy;
};

static void place_init(struct place *w, uint64_t quota)
{
	snprintf(w->top, sizeof(w->top), "%s", guest_dir());
	snprintf(w->dir, sizeof(w->dir), "%s/dir", w->top);
	snprintf(w->storage, sizeof(w->storage), "%s/storage", w->top);
	snprintf(w->other, sizeof(w->other), "%s/other", w->top);
	assert_int_equal(mkdir(w->dir, 0755) | mkdir(w->storage, 0755) | mkdir(w->other, 0755), 0);
	w->policy = guest_policy();
	assert_int_equal(sluice_policy_set_workdir(w->policy, w->dir, NULL), 0);
	assert_int_equal(sluice_policy_set_storage(w->policy, w->storage, NULL), 0);
	assert_int_equal(sluice_policy_allow_write(w->policy, w->other, NULL), 0);
	assert_int_equal(sluice_policy_set_max_disk(w->policy, quota), 0);
	assert_int_equal(sluice_policy_set_on_exit(w->policy, SLUICE_COW_ABORT), 0);
}

static void place_fini(struct place *w)
{
	sluice_policy_unref(w->policy);
	guest_remove(w->top);
}

static void test_room_comes_back(void **state)
{
	static const char *const ways[] = { "unlink", "truncate", "ftruncate" };

	(void)state;
	for (size_t i = 0; guest_descriptors_can_be_got() && i < N_OF(ways); i++) {
		struct place w;

		place_init(&w, QUOTA);
		assert_int_equal(guest_inside(w.policy, "room", ways[i]), 0);
		place_fini(&w);
	}
}

static void test_files_elsewhere(void **state)
{
	struct place w;
	char other[4300];

	(void)state;
	if (!guest_descriptors_can_be_got())
		return;
	place_init(&w, QUOTA);
	snprintf(other, sizeof(other), "%s/f", w.other);
	assert_int_equal(guest_inside(w.policy, "elsewhere", other), 0);
	place_fini(&w);
}

/* Threads that are no sandbox's: this one, and that of a sanitizer. */
static int bystanders[8];
static size_t n_bystanders;

static bool is_bystander(int tid)
{
	for (size_t i = 0; i < n_bystanders; i++) {
		if (bystanders[i] == tid)
			return true;
	}
	return false;
}

static void find_bystanders(void)
{
	struct dirent *e;
	DIR *d = opendir("/proc/self/task");

	assert_non_null(d);
	n_bystanders = 0;
	while ((e = readdir(d)) && n_bystanders < 8) {
		if (e->d_name[0] != '.')
			bystanders[n_bystanders++] = atoi(e->d_name);
	}
	closedir(d);
}

/* Times that any thread of a sandbox went to sleep. */
static unsigned long sleeps(void)
{
	unsigned long sum = 0, n;
	struct dirent *e;
	DIR *d = opendir("/proc/self/task");

	assert_non_null(d);
	while ((e = readdir(d))) {
		char path[64], line[256];
		FILE *f;

		if (e->d_name[0] == '.' || is_bystander(atoi(e->d_name)))
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%.20s/status", e->d_name);
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f)) {
			if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1)
				sum += n;
		}
		if (f)
			fclose(f);
	}
	closedir(d);
	return sum;
}

/* How often the threads of a sandbox wake up in half a second, whose command waits with one file open; @quiet: wait until they do no more. */
static unsigned long wakes(const char *how, uint64_t quota, bool quiet)
{
	struct sluice_sandbox *s;
	struct place w;
	char ready[4400];
	long long end = guest_now_ms() + PATIENCE_MS;
	unsigned long n;

	place_init(&w, quota);
	find_bystanders();
	s = guest_spawn(w.policy, NULL, "idle", how);
	do {
		assert_true(guest_now_ms() < end);
		usleep(1000);
		snprintf(ready, sizeof(ready), "%s/%s/upper/ready", w.storage,
			 sluice_sandbox_name(s));
	} while (access(ready, F_OK) < 0);
	/* what has nothing to do any more leaves or parks */
	do {
		assert_true(guest_now_ms() < end);
		n = sleeps();
		usleep(500000);
		n = sleeps() - n;
	} while (quiet && n);
	assert_int_equal(sluice_sandbox_kill(s, SIGKILL), 0);
	sluice_sandbox_free(s);
	place_fini(&w);
	return n;
}

static void test_nothing_is_looked_at_for_nothing(void **state)
{
	(void)state;
	if (!guest_descriptors_can_be_got())
		return;
	assert_true(wakes("w", 16 * MIB, false) >= 10); /* it would be full in 4 ms */
	assert_int_equal(wakes("r", 16 * MIB, true), 0);
	assert_int_equal(wakes("w", 1024 * 1024 * MIB, true), 0);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_room_comes_back),
		cmocka_unit_test(test_files_elsewhere),
		cmocka_unit_test(test_nothing_is_looked_at_for_nothing),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
