/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quota of a branch and descriptors that are open already: whatever a process does with those, it gets little further than the quota.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

#define MIB (UINT64_C(1) << 20)
#define QUOTA (4 * MIB)
#define FAR (1024 * MIB) /* nobody gets there */

static char block[1 << 16];

/* ---- inside, in the branch ---- */

static int open_new(unsigned number)
{
	char name[32];

	snprintf(name, sizeof(name), "f%u", number);
	return open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

/* To one file after the other until an error or @bytes in all; the error. None may grow past what RLIMIT_FSIZE says, so there are many. */
static int write_on(const int *fds, unsigned n, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes / sizeof(block); i++) {
		if (write(fds[i % n], block, sizeof(block)) < 0)
			return errno;
	}
	return 0;
}

static int open_many(int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		fds[i] = open_new(i);
		if (fds[i] < 0)
			return -1;
	}
	return 0;
}

#define MANY 400u

/* ARG: MiB. The errno that ended it. */
static int role_write(const char *arg)
{
	int fds[MANY];

	signal(SIGXFSZ, SIG_IGN);
	return open_many(fds, MANY) < 0 ? 200 : write_on(fds, MANY, strtoul(arg, NULL, 10) * MIB);
}

/* A child goes on where its parent ends, again and again; the last one says why. */
static void write_and_fork(const int *fds, uint64_t bytes, int out)
{
	char error = 0;

	for (uint64_t done = 0; !error && done < bytes; done += MIB) {
		pid_t pid = fork();

		if (pid > 0)
			_exit(0);
		if (pid < 0)
			usleep(1000);
		error = (char)write_on(fds, MANY / 4, MIB);
	}
	_exit(write(out, &error, 1) != 1);
}

/* ARG: MiB for each of four. */
static int role_fork(const char *arg)
{
	int fds[MANY], out[2];
	char errors[4] = { 0 };
	int n = 0;

	signal(SIGXFSZ, SIG_IGN);
	if (open_many(fds, MANY) < 0 || pipe2(out, O_CLOEXEC) < 0)
		return 200;
	for (unsigned i = 0; i < 4; i++) {
		if (fork() == 0)
			write_and_fork(fds + i * MANY / 4, strtoul(arg, NULL, 10) * MIB, out[1]);
	}
	close(out[1]);
	while (n < 4 && read(out[0], errors + n, 1) == 1)
		n++;
	if (n < 4 || memcmp(errors, errors + 1, 3) != 0)
		return 199;
	return errors[0];
}

static void *take_back(void *stop)
{
	struct rlimit limit;

	while (!atomic_load((atomic_bool *)stop)) {
		getrlimit(RLIMIT_FSIZE, &limit);
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_FSIZE, &limit);
		prlimit(0, RLIMIT_FSIZE, &limit, NULL);
	}
	return NULL;
}

/* As role_write, while another thread sets the limit back as fast as it can; then they try once more, and from a child. */
static int role_limits(const char *arg)
{
	atomic_bool stop = false;
	struct rlimit limit;
	pthread_t thread;
	int fds[MANY], r, status;
	pid_t pid;

	signal(SIGXFSZ, SIG_IGN);
	if (open_many(fds, MANY) < 0 || pthread_create(&thread, NULL, take_back, &stop) != 0)
		return 200;
	r = write_on(fds, MANY, strtoul(arg, NULL, 10) * MIB);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
		return 198;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_FSIZE, &limit) < 0 || write_on(fds, MANY, MIB) != r)
		return 197;
	pid = fork();
	if (pid == 0)
		_exit(setrlimit(RLIMIT_FSIZE, &limit) < 0 ? 196 : write_on(fds, MANY, MIB));
	if (waitpid(pid, &status, 0) != pid || status != r << 8)
		return 195;
	return r;
}

#define CHECK(condition)               \
	do {                           \
		if (!(condition))      \
			return failed; \
		failed++;              \
	} while (0)

/* setrlimit and prlimit mean what they always do; the number of the first that does not. */
static int role_own_limits(const char *arg)
{
	struct rlimit first, old, limit;
	int failed = 1, fd = open_new(0);

	(void)arg;
	signal(SIGXFSZ, SIG_IGN);
	CHECK(fd >= 0 && getrlimit(RLIMIT_FSIZE, &first) == 0 && first.rlim_cur == first.rlim_max);
	limit = (struct rlimit){ sizeof(block), first.rlim_max };
	CHECK(prlimit(0, RLIMIT_FSIZE, &limit, &old) == 0 && !memcmp(&old, &first, sizeof(old)));
	CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0 && !memcmp(&old, &limit, sizeof(old)));
	CHECK(write(fd, block, sizeof(block)) == sizeof(block));
	CHECK(write(fd, block, 1) < 0 && errno == EFBIG);
	CHECK(fallocate(fd, 0, 0, sizeof(block) + 1) < 0 && errno == EFBIG);
	CHECK(fallocate(fd, 0, 0, sizeof(block)) == 0);
	limit = (struct rlimit){ 3, 2 };
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) < 0 && errno == EINVAL);
	limit = (struct rlimit){ 1 << 20, 1 << 20 };
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	limit.rlim_max++;
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) < 0 && errno == EPERM);
	CHECK(setrlimit(RLIMIT_FSIZE, (void *)8) < 0 && errno == EFAULT);
	CHECK(prlimit(0, RLIMIT_FSIZE, NULL, &old) == 0 && old.rlim_max == 1 << 20);
	CHECK(prlimit(0, RLIMIT_CORE, NULL, &old) == 0 && setrlimit(RLIMIT_CORE, &old) == 0);
	return 0;
}

/* Maps ARG files of a MiB, then fills them. */
static int role_fill(const char *arg)
{
	unsigned long n = strtoul(arg, NULL, 10);
	char **at = calloc(n, sizeof(*at));

	for (unsigned i = 0; at && i < n; i++) {
		int fd = open_new(i);

		if (fd < 0 || ftruncate(fd, MIB) < 0)
			return errno;
		at[i] = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (at[i] == MAP_FAILED)
			return 200;
		close(fd);
	}
	for (unsigned i = 0; at && i < n; i++) {
		memset(at[i], 'x', MIB);
		usleep(2000);
	}
	free(at);
	return 0;
}

/* Files that are open are measured from time to time: is the quota used up with the next look? */
static bool gets_full(unsigned number)
{
	for (unsigned i = 0; i < 10000; i++) {
		int fd = open_new(number);

		if (fd < 0)
			return errno == ENOSPC;
		close(fd);
		usleep(1000);
	}
	return false;
}

/* The same while @fd is written to: where there is room again, who was held may yet be for a moment. */
static bool fills(int fd, unsigned number)
{
	for (unsigned i = 0; i < 10000; i++) {
		int probe;

		if (write_on(&fd, 1, FAR) == 0)
			return false;
		probe = open_new(number);
		if (probe < 0)
			return errno == ENOSPC;
		close(probe);
		usleep(1000);
	}
	return false;
}

/* What is left of a file without a name counts as long as it is open: the number of the first act that goes otherwise. */
static int role_nameless(const char *arg)
{
	char link[32];
	int failed = 1, fd, second;

	(void)arg;
	signal(SIGXFSZ, SIG_IGN);
	fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && write_on(&fd, 1, 2 * MIB) == 0);
	/* by another descriptor, while the first one is gone */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	second = open(link, O_WRONLY | O_APPEND | O_CLOEXEC);
	CHECK(second >= 0 && close(fd) == 0 && write_on(&second, 1, MIB) == 0);
	fd = open_new(0);
	CHECK(fd >= 0 && unlink("f0") == 0);
	write_on(&fd, 1, 2 * MIB); /* to the quota, or a little further */
	CHECK(gets_full(1));
	CHECK(close(second) == 0);
	second = open_new(1);
	CHECK(second >= 0 && fills(second, 2));
	return 0;
}

#ifndef FS_IOC_RESVSP64
struct space_resv {
	int16_t type, whence;
	int64_t start, len;
	int32_t sysid;
	uint32_t pid;
	int32_t pad[4];
};
#define FS_IOC_RESVSP64 _IOW('X', 42, struct space_resv)
#endif

/* The errno of the ARGth way to have 64 MiB at once. */
static int role_allocate(const char *arg)
{
	struct space_resv space = { .len = 64 * MIB };
	int fd = open_new(0), r = -1;

	signal(SIGXFSZ, SIG_IGN);
	if (fd < 0)
		return 200;
	switch (*arg) {
	case '0':
		r = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 64 * MIB);
		break;
	case '1':
		r = fallocate(fd, 0, 0, 64 * MIB);
		break;
	case '2':
		r = fallocate(fd, 0, 0, QUOTA + 1);
		break;
	case '3':
		r = ioctl(fd, FS_IOC_RESVSP64, &space);
		break;
	default:
		/* what fits is had, in pieces */
		for (unsigned i = 0; i < 3 && (r = fallocate(fd, 0, i * MIB, MIB)) == 0; i++)
			;
		break;
	}
	return r < 0 ? errno : 0;
}

static const struct guest_role roles[] = {
	{ "write", role_write },	   { "fork", role_fork }, { "limits", role_limits },
	{ "own-limits", role_own_limits }, { "fill", role_fill }, { "nameless", role_nameless },
	{ "allocate", role_allocate },	   { NULL, NULL },
};

/* ---- the embedder ---- */

static uint64_t used;

static int add_bytes(const struct sluice_cow_change *change, void *userdata)
{
	(void)userdata;
	if (S_ISREG(change->mode))
		used += change->size;
	return 0;
}

/* In a branch with that quota, which is dropped; `used` is what it had. */
static struct sluice_result run(const char *role, const char *arg, uint64_t quota)
{
	char dir[4200], storage[4200], top[4096];
	struct sluice_policy *p = guest_policy();
	struct sluice_sandbox *s;
	struct sluice_result result;

	snprintf(top, sizeof(top), "%s", guest_dir());
	snprintf(dir, sizeof(dir), "%s/dir", top);
	snprintf(storage, sizeof(storage), "%s/storage", top);
	assert_int_equal(mkdir(dir, 0755) | mkdir(storage, 0755), 0);
	assert_int_equal(sluice_policy_set_workdir(p, dir, NULL), 0);
	assert_int_equal(sluice_policy_set_storage(p, storage, NULL), 0);
	assert_int_equal(sluice_policy_set_max_disk(p, quota), 0);
	s = guest_spawn(p, NULL, role, arg);
	assert_int_equal(sluice_sandbox_wait(s, -1, &result), 0);
	used = 0;
	assert_int_equal(sluice_cow_changes(sluice_sandbox_cow(s), add_bytes, NULL), 0);
	assert_int_equal(sluice_sandbox_settle(s, SLUICE_COW_ABORT, NULL, NULL, NULL), 0);
	sluice_sandbox_free(s);
	sluice_policy_unref(p);
	guest_remove(top);
	return result;
}

static int value(const char *role, const char *arg, uint64_t quota)
{
	const struct sluice_result r = run(role, arg, quota);

	assert_int_equal(r.end, SLUICE_ENDED_EXIT);
	return r.exit_code;
}

/* What @role writes is written without a quota, and with one it is told EFBIG not far behind that. */
static void is_bounded(const char *role)
{
	if (!guest_descriptors_can_be_got())
		return;
	assert_int_equal(value(role, "8", 0), 0);
	assert_true(used >= 8 * MIB);
	assert_int_equal(value(role, "1024", QUOTA), EFBIG);
	print_message("%s: quota %llu, written %llu\n", role, (unsigned long long)QUOTA,
		      (unsigned long long)used);
	/* a control thread that waited for a CPU meanwhile let it go on */
	assert_in_range(used, QUOTA, FAR / 2);
}

static void hazard_F9_many_open_descriptors(void **state)
{
	(void)state;
	is_bounded("write");
}

static void hazard_F9_writers_that_fork(void **state)
{
	(void)state;
	is_bounded("fork");
}

static void hazard_F9_limits_are_not_taken_back(void **state)
{
	(void)state;
	is_bounded("limits");
}

static void hazard_F9_limits_of_ones_own(void **state)
{
	(void)state;
	if (guest_descriptors_can_be_got())
		assert_int_equal(value("own-limits", "", QUOTA), 0);
}

static void hazard_F9_mappings(void **state)
{
	struct sluice_result r;

	(void)state;
	if (!guest_descriptors_can_be_got())
		return;
	assert_int_equal(value("fill", "32", 0), 0);
	assert_int_equal(value("fill", "3", QUOTA), 0);
	r = run("fill", "400", QUOTA);
	assert_int_equal(r.end, SLUICE_ENDED_QUOTA);
	assert_int_equal(r.signal, SIGKILL);
}

static void hazard_F9_files_without_a_name(void **state)
{
	(void)state;
	if (guest_descriptors_can_be_got())
		assert_int_equal(value("nameless", "", QUOTA), 0);
}

static void hazard_F9_allocations(void **state)
{
	(void)state;
	if (!guest_descriptors_can_be_got())
		return;
	assert_int_equal(value("allocate", "0", 0), 0);
	assert_int_equal(value("allocate", "1", 0), 0);
	assert_int_equal(value("allocate", "0", QUOTA), ENOSPC);
	assert_int_equal(value("allocate", "1", QUOTA), EFBIG);
	assert_int_equal(value("allocate", "2", QUOTA), EFBIG);
	assert_int_equal(value("allocate", "3", QUOTA), EOPNOTSUPP);
	assert_int_equal(value("allocate", "4", QUOTA), 0);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_F9_many_open_descriptors),
		cmocka_unit_test(hazard_F9_writers_that_fork),
		cmocka_unit_test(hazard_F9_limits_are_not_taken_back),
		cmocka_unit_test(hazard_F9_limits_of_ones_own),
		cmocka_unit_test(hazard_F9_mappings),
		cmocka_unit_test(hazard_F9_files_without_a_name),
		cmocka_unit_test(hazard_F9_allocations),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
