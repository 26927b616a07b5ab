/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs that can be repeated: what differs from run to run without the settings is the same with them, on the host's tree and in one of one's own.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

#define NAMES 300

/* ---- inside ---- */

static void print_bytes(const char *what, const unsigned char *bytes, size_t n)
{
	printf("%s ", what);
	for (size_t i = 0; i < n; i++)
		printf("%02x", bytes[i]);
	putchar('\n');
}

static int print_device(const char *path)
{
	unsigned char bytes[16], block[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;

	if (fd < 0 || read(fd, bytes, sizeof(bytes)) != sizeof(bytes))
		return 1;
	/* it does not end */
	while (n < 1 << 20) {
		ssize_t k = read(fd, block, sizeof(block));

		if (k <= 0)
			return 2;
		n += (size_t)k;
	}
	close(fd);
	print_bytes(path, bytes, sizeof(bytes));
	return 0;
}

static void *print_from_thread(void *unused)
{
	unsigned char bytes[16];

	if (getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes))
		print_bytes("thread", bytes, sizeof(bytes));
	return unused;
}

/* All random numbers that a program can have, as text. */
static int role_numbers(const char *arg)
{
	static unsigned char large[1 << 16];
	unsigned char bytes[256];
	pthread_t thread;
	int status, r;

	(void)arg;
	print_bytes("AT_RANDOM", (const unsigned char *)getauxval(AT_RANDOM), 16);
	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return 10;
	print_bytes("getrandom", bytes, sizeof(bytes));
	for (size_t n = 0; n < sizeof(large);) {
		ssize_t k = getrandom(large + n, sizeof(large) - n, GRND_NONBLOCK);

		if (k <= 0)
			return 11;
		n += (size_t)k;
	}
	print_bytes("large", large + sizeof(large) - 16, 16);
	if (syscall(SYS_getrandom, bytes, 16, GRND_RANDOM) != 16)
		return 12;
	print_bytes("random", bytes, 16);
	r = print_device("/dev/urandom");
	if (r == 0)
		r = print_device("/dev/random");
	if (r == 0)
		r = print_device("/dev/./urandom") ? 13 : 0;
	if (r)
		return r;
	if (pthread_create(&thread, NULL, print_from_thread, NULL) || pthread_join(thread, NULL))
		return 14;
	fflush(stdout);
	if (fork() == 0) {
		print_from_thread(NULL);
		/* no exit handlers: see guest_begin */
		fflush(stdout);
		_exit(0);
	}
	wait(&status);
	return status ? 15 : 0;
}

/* The errors of getrandom; 0: as the kernel's. */
static int role_errors(const char *arg)
{
	char byte;

	(void)arg;
	if (syscall(SYS_getrandom, &byte, 1, 8) != -1 || errno != EINVAL)
		return 1;
	if (syscall(SYS_getrandom, &byte, 1, GRND_RANDOM | 4) != -1 || errno != EINVAL)
		return 2;
	if (syscall(SYS_getrandom, (void *)1, 16, 0) != -1 || errno != EFAULT)
		return 3;
	return syscall(SYS_getrandom, &byte, 0, 0) == 0 ? 0 : 4;
}

/* Where things lie. */
static int role_addresses(const char *arg)
{
	int local;

	(void)arg;
	printf("%p %p %p %x\n", (void *)&local, (void *)(uintptr_t)role_errors, (void *)stdout,
	       (unsigned)personality(0xffffffff) & ADDR_NO_RANDOMIZE);
	return 0;
}

/* The names in directory ARG as they come, twice, the second time from the middle on by telldir. */
static int role_list(const char *path)
{
	long middle = 0;
	struct dirent *e;
	DIR *d = opendir(path);
	int n = 0;

	if (!d)
		return 1;
	while ((e = readdir(d))) {
		if (++n == NAMES / 2)
			middle = telldir(d);
		puts(e->d_name);
	}
	if (n != NAMES + 2)
		return 2;
	seekdir(d, middle);
	while ((e = readdir(d)))
		puts(e->d_name);
	closedir(d);
	return 0;
}

static int role_list_others(const char *arg)
{
	static const char *const paths[] = { "/proc", "/proc/self/fd", "/sys", "/" };
	int n = 0;

	(void)arg;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		DIR *d = opendir(paths[i]);

		for (n = 0; d && readdir(d);)
			n++;
		if (!d || n < 3)
			return 1 + (int)i;
		closedir(d);
	}
	return 0;
}

static const struct guest_role roles[] = {
	{ "numbers", role_numbers },	     { "errors", role_errors },
	{ "addresses", role_addresses },     { "list", role_list },
	{ "list-others", role_list_others }, { NULL, NULL },
};

/* ---- outside ---- */

/* On the host's tree, or in a chroot of it. */
static struct sluice_policy *policy_of(bool tree)
{
	struct sluice_policy *p = guest_policy();

	if (tree)
		assert_int_equal(sluice_policy_set_chroot(p, ROOT_BY_ANOTHER_NAME, NULL), 0);
	return p;
}

/* What @role says; @p is consumed. */
static char *text_with(struct sluice_policy *p, const char *role, const char *arg)
{
	char *text = guest_text(p, NULL, 0, role, arg);

	sluice_policy_unref(p);
	return text;
}

static char *numbers(bool tree, const uint64_t *seed)
{
	struct sluice_policy *p = policy_of(tree);

	assert_int_equal(sluice_policy_set_random_seed(p, seed), 0);
	return text_with(p, "numbers", "");
}

/* How many lines of both are the same. */
static int same_lines(char *a, char *b)
{
	char *rest_a, *rest_b;
	char *x = strtok_r(a, "\n", &rest_a), *y = strtok_r(b, "\n", &rest_b);
	int n = 0;

	while (x && y) {
		n += !strcmp(x, y);
		x = strtok_r(NULL, "\n", &rest_a);
		y = strtok_r(NULL, "\n", &rest_b);
	}
	free(a);
	free(b);
	return n;
}

static void test_random_numbers_follow_from_the_seed(void **state)
{
	const uint64_t one = 1, two = 2;

	(void)state;
	for (int tree = 0; tree < 2; tree++) {
		char *a, *b;

		assert_int_equal(same_lines(numbers(tree, NULL), numbers(tree, NULL)), 0);
		assert_int_equal(same_lines(numbers(tree, &one), numbers(tree, &two)), 0);
		a = numbers(tree, &one);
		b = numbers(tree, &one);
		assert_string_equal(a, b);
		assert_non_null(strstr(a, "thread "));
		free(a);
		free(b);
	}
}

static void test_errors_of_getrandom(void **state)
{
	struct sluice_policy *p = guest_policy();
	const uint64_t seed = 3;

	(void)state;
	assert_int_equal(guest_bare("errors", ""), 0);
	assert_int_equal(sluice_policy_set_random_seed(p, &seed), 0);
	assert_int_equal(guest_inside(p, "errors", ""), 0);
	sluice_policy_unref(p);
}

/* Without the default devices there is no random one either. */
static void test_devices_that_are_not_granted(void **state)
{
	struct sluice_policy *p = sluice_policy_new();
	const char *const argv[] = { "/bin/cat", "/dev/urandom", NULL };
	struct sluice_result r;
	const uint64_t seed = 3;

	(void)state;
	assert_int_equal(sluice_policy_allow_read(p, "/usr", NULL), 0);
	assert_int_equal(sluice_policy_allow_read(p, "/bin", NULL), 0);
	assert_int_equal(sluice_policy_allow_read(p, "/lib", NULL), 0);
	assert_int_equal(sluice_policy_allow_read(p, "/lib64", NULL), 0);
	assert_int_equal(sluice_policy_set_default_devices(p, false), 0);
	assert_int_equal(sluice_policy_set_random_seed(p, &seed), 0);
	assert_int_equal(sluice_policy_set_timeout_ms(p, 20000), 0);
	assert_int_equal(sluice_run(p, argv, &r, NULL), 0);
	assert_int_equal(r.end, SLUICE_ENDED_EXIT);
	assert_int_equal(r.exit_code, 1);
	sluice_policy_unref(p);
}

static char *addresses(bool fixed)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_set_randomize_memory(p, !fixed), 0);
	return text_with(p, "addresses", "");
}

static void test_addresses_are_the_same(void **state)
{
	char *a = addresses(false), *b = addresses(false);

	(void)state;
	if (personality(0xffffffff) & ADDR_NO_RANDOMIZE)
		print_message("they are without us, too\n");
	else
		assert_string_not_equal(a, b);
	free(a);
	free(b);
	a = addresses(true);
	b = addresses(true);
	assert_string_equal(a, b);
	assert_non_null(strstr(a, " 40000\n"));
	free(a);
	free(b);
}

/* NAMES files, made in an order that @step says. */
static const char *directory(unsigned step)
{
	const char *dir = guest_dir();
	char path[PATH_MAX];

	for (unsigned i = 0; i < NAMES; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/name-%u", dir, i * step % NAMES);
		fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
		assert_true(fd >= 0);
		close(fd);
	}
	assert_int_equal(chmod(dir, 0755), 0);
	return dir;
}

static char *listing(bool tree, bool on, const char *dir)
{
	struct sluice_policy *p = policy_of(tree);

	assert_int_equal(sluice_policy_set_deterministic_dirs(p, on), 0);
	return text_with(p, "list", dir);
}

static void test_directories_are_listed_in_one_order(void **state)
{
	const char *dirs[] = { directory(1), directory(7) };

	(void)state;
	for (int tree = 0; tree < 2; tree++) {
		char *a = listing(tree, true, dirs[0]), *b = listing(tree, true, dirs[1]);

		assert_string_equal(a, b);
		/* all names of the first round */
		for (unsigned i = 0; i < NAMES; i++) {
			char line[32];

			snprintf(line, sizeof(line), "name-%u\n", i);
			assert_non_null(strstr(a, line));
		}
		free(a);
		free(b);
		free(listing(tree, false, dirs[0])); /* the role finds all of them itself */
	}
	for (int i = 0; i < 2; i++)
		guest_remove(dirs[i]);
}

static void test_directories_of_other_kinds(void **state)
{
	(void)state;
	for (int tree = 0; tree < 2; tree++) {
		struct sluice_policy *p = policy_of(tree);

		assert_int_equal(sluice_policy_set_deterministic_dirs(p, true), 0);
		assert_int_equal(guest_inside(p, "list-others", ""), 0);
		sluice_policy_unref(p);
	}
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_numbers_follow_from_the_seed),
		cmocka_unit_test(test_errors_of_getrandom),
		cmocka_unit_test(test_devices_that_are_not_granted),
		cmocka_unit_test(test_addresses_are_the_same),
		cmocka_unit_test(test_directories_are_listed_in_one_order),
		cmocka_unit_test(test_directories_of_other_kinds),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
