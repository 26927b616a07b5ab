/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a commit waits for: nothing, or that all is on disk before anything is taken from the branch. The calls that wait are wrapped by the linker (see meson.build).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

#define FILES 5

static atomic_uint n_fsync, n_syncfs;
/* Of the call before: how many of the files lay in the directory when the file system was synced. */
static unsigned seen[8];
static char dir[4200];

static unsigned committed(void)
{
	unsigned n = 0;

	for (int i = 0; i < FILES; i++) {
		char path[4300];

		snprintf(path, sizeof(path), "%s/f%d", dir, i);
		n += access(path, F_OK) == 0;
	}
	return n;
}

int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	(void)fd;
	n_fsync++;
	return 0;
}

int __wrap_syncfs(int fd);
int __wrap_syncfs(int fd)
{
	(void)fd;
	if (n_syncfs < N_OF(seen))
		seen[n_syncfs] = committed();
	n_syncfs++;
	return 0;
}

/* ---- inside ---- */

static int role_make(const char *arg)
{
	(void)arg;
	for (int i = 0; i < FILES; i++) {
		char name[16];
		int fd;

		snprintf(name, sizeof(name), "f%d", i);
		fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0 || write(fd, name, 2) != 2)
			return 1;
		close(fd);
	}
	return 0;
}

static const struct guest_role roles[] = {
	{ "make", role_make },
	{ NULL, NULL },
};

/* ---- the embedder ---- */

/* A branch with FILES new files; committed by the policy, or (@kept) afterwards by its name. */
static void commit(enum sluice_durability durability, bool kept, const char *storage)
{
	const enum sluice_durability other = durability == SLUICE_DURABILITY_NONE
						     ? SLUICE_DURABILITY_COMMIT
						     : SLUICE_DURABILITY_NONE;
	struct sluice_policy *p = guest_policy();
	struct sluice_result result;
	struct sluice_sandbox *s;
	struct sluice_cow *cow;
	char name[256];

	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(sluice_policy_set_workdir(p, dir, NULL), 0);
	assert_int_equal(sluice_policy_set_storage(p, storage, NULL), 0);
	assert_int_equal(sluice_policy_set_durability(p, (enum sluice_durability)7), -EINVAL);
	assert_int_equal(sluice_policy_set_durability(p, kept ? other : durability), 0);
	s = guest_spawn(p, NULL, "make", "");
	assert_int_equal(sluice_sandbox_wait(s, -1, &result), 0);
	assert_int_equal(result.exit_code, 0);
	snprintf(name, sizeof(name), "%s", sluice_cow_name(sluice_sandbox_cow(s)));
	n_fsync = n_syncfs = 0;
	assert_int_equal(sluice_sandbox_settle(s, kept ? SLUICE_COW_KEEP : -1, NULL, NULL, NULL),
			 0);
	sluice_sandbox_free(s);
	sluice_policy_unref(p);
	if (kept) {
		assert_int_equal(committed(), 0);
		assert_int_equal(sluice_cow_open(storage, name, &cow, NULL), 0);
		assert_int_equal(sluice_cow_set_durability(cow, (enum sluice_durability)7),
				 -EINVAL);
		if (durability != SLUICE_DURABILITY_COMMIT)
			assert_int_equal(sluice_cow_set_durability(cow, durability), 0);
		n_fsync = n_syncfs = 0;
		assert_int_equal(sluice_cow_commit(cow, NULL, NULL, NULL), 0);
		assert_int_equal(sluice_cow_abort(cow, NULL), 0);
	}
	assert_int_equal(committed(), FILES);
	guest_remove(dir);
}

static void check(const char *storage, unsigned files_synced)
{
	for (int kept = 0; kept < 2; kept++) {
		commit(SLUICE_DURABILITY_COMMIT, kept, storage);
		/* before the first name appears, and after the last */
		assert_int_equal(n_syncfs, 2);
		assert_int_equal(seen[0], 0);
		assert_int_equal(seen[1], FILES);
		/* a description of the branch before and after, and what is copied */
		assert_int_equal(n_fsync, 2 + files_synced);
		commit(SLUICE_DURABILITY_NONE, kept, storage);
		assert_int_equal(n_syncfs, 0);
		assert_int_equal(n_fsync, 0);
	}
}

static void test_what_a_commit_waits_for(void **state)
{
	char storage[4200], top[4096];

	(void)state;
	if (!guest_descriptors_can_be_got())
		return;
	snprintf(top, sizeof(top), "%s", guest_dir());
	snprintf(dir, sizeof(dir), "%s/dir", top);
	snprintf(storage, sizeof(storage), "%s/storage", top);
	assert_int_equal(mkdir(storage, 0755), 0);
	check(storage, 0);
	guest_remove(top);
}

/* Each file is on disk before it takes its name. */
static void test_over_file_systems(void **state)
{
	char other[] = "/dev/shm/sluice-test.XXXXXX", top[4096];
	struct stat a, b;

	(void)state;
	if (!guest_descriptors_can_be_got() || !mkdtemp(other))
		return;
	snprintf(top, sizeof(top), "%s", guest_dir());
	snprintf(dir, sizeof(dir), "%s/dir", top);
	assert_int_equal(stat(top, &a) | stat(other, &b), 0);
	if (a.st_dev != b.st_dev)
		check(other, FILES);
	guest_remove(other);
	guest_remove(top);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_commit_waits_for),
		cmocka_unit_test(test_over_file_systems),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
