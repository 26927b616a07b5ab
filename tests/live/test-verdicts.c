/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every verdict, at its bounds and beyond: what the task sees, and that nothing of ours stays open.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "recorder.h"

#define VIRTUAL "/nonexistent/virtual"
#define MIB (1u << 20)

/* ---- guests ---- */

static int role_open(const char *arg)
{
	int fd = open(arg, O_RDONLY);

	return fd < 0 ? errno : 0;
}

/* The bytes of VIRTUAL are a pattern of @arg bytes, and the descriptor is what it should be. */
static int role_bytes(const char *arg)
{
	size_t wanted = strtoul(arg, NULL, 10), at = 0;
	static unsigned char buf[65536];
	struct stat st;
	int fd = open(VIRTUAL, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return errno;
	if (fstat(fd, &st) < 0 || (size_t)st.st_size != wanted || lseek(fd, 0, SEEK_CUR) != 0)
		return 201;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++, at++) {
			if (buf[i] != (unsigned char)(at * 7))
				return 202;
		}
	}
	if (n < 0 || at != wanted)
		return 203;
	if (write(fd, "x", 1) >= 0 || ftruncate(fd, 0) >= 0)
		return 204;
	if (mmap(NULL, 1, PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
		return 205;
	return fcntl(fd, F_GETFD) & FD_CLOEXEC ? 0 : 206;
}

/* 0: the descriptor of VIRTUAL is close-on-exec; 1: it is not. */
static int role_inherited(const char *arg)
{
	int fd = open(VIRTUAL, O_RDONLY);
	char c;

	(void)arg;
	if (fd < 0)
		return errno;
	if (read(fd, &c, 1) != 1 || c != 'f')
		return 200;
	return fcntl(fd, F_GETFD) & FD_CLOEXEC ? 0 : 1;
}

static volatile sig_atomic_t signals;

static void count_signal(int sig)
{
	(void)sig;
	signals++;
}

/* The signal @arg is handled: the call fails with EPERM, and the process goes on. */
static int role_handled(const char *arg)
{
	int error;

	signal(atoi(arg), count_signal);
	error = syscall(SYS_getpriority, 0, 0) < 0 ? errno : 0;
	for (int i = 0; i < 1000 && !signals; i++)
		usleep(1000);
	return signals == 1 ? error : 200;
}

static void *call_getpriority(void *arg)
{
	syscall(SYS_getpriority, 0, 0);
	return arg;
}

/* The call is another thread's: the whole process is meant all the same. */
static int role_thread(const char *arg)
{
	pthread_t t;

	(void)arg;
	pthread_create(&t, NULL, call_getpriority, NULL);
	pthread_join(t, NULL);
	for (int i = 0; i < 1000; i++)
		usleep(1000);
	return 200;
}

static const struct guest_role roles[] = {
	{ "getpriority", role_getpriority },
	{ "value", role_value },
	{ "open", role_open },
	{ "bytes", role_bytes },
	{ "inherited", role_inherited },
	{ "handled", role_handled },
	{ "thread", role_thread },
	{ NULL, NULL },
};

static struct sluice_result give(struct sluice_verdict v, const char *role, const char *arg)
{
	struct record record = { 0 };
	struct answer a = { &record, 1, v };
	struct sluice_handler h = answers(SYS_getpriority, &a);
	struct sluice_result r = guest_run(NULL, &h, 1, role, arg);

	assert_true(record.calls > 0);
	return r;
}

static int errno_of(struct sluice_verdict v)
{
	return give(v, "getpriority", "").exit_code;
}

/* ---- denials ---- */

static void test_continue_lets_the_kernel_answer(void **state)
{
	struct sluice_result r = give(sluice_continue(), "getpriority", "");

	(void)state;
	assert_int_equal(guest_bare("getpriority", ""), 0);
	assert_int_equal(r.exit_code, 0);
	assert_int_equal(r.denied, 0);
}

static void test_a_zeroed_verdict_denies(void **state)
{
	struct sluice_verdict zero;
	struct sluice_result r;

	(void)state;
	memset(&zero, 0, sizeof(zero));
	r = give(zero, "getpriority", "");
	assert_int_equal(r.exit_code, EPERM);
	assert_int_equal(r.denied, 1);
}

static void test_unknown_kinds_deny(void **state)
{
	static const uint32_t kinds[] = { 9, 10, 77, 256, 0x80000000, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < N_OF(kinds); i++) {
		struct sluice_verdict v = { kinds[i], -1, -7, 1 << 20, 0xffff, "x", SIZE_MAX };

		assert_int_equal(errno_of(v), EPERM);
	}
}

static void test_defer_without_the_right_denies(void **state)
{
	(void)state;
	assert_int_equal(errno_of(sluice_defer()), EPERM);
}

static void test_the_engine_goes_on_after_garbage(void **state)
{
	struct record record = { 0 };
	struct answer a = { &record, 1, sluice_verdict_make(4711, 0, 0), .times = 50 };
	struct sluice_handler h = answers(SYS_getpriority, &a);
	struct sluice_result r;

	(void)state;
	r = guest_run(NULL, &h, 1, "getpriority", "60");
	assert_int_equal(r.exit_code, 0); /* of the last */
	assert_int_equal(r.denied, 50);
	assert_int_equal(record.calls, 60);
}

/* ---- ERRNO and VALUE ---- */

static void test_errno_in_range(void **state)
{
	static const int errors[] = { 1, EDOM, ENOSYS, 133 };

	(void)state;
	for (size_t i = 0; i < N_OF(errors); i++)
		assert_int_equal(errno_of(sluice_errno(errors[i])), errors[i]);
	/* 4095 does not fit an exit status; it is still a failure */
	assert_int_equal(errno_of(sluice_errno(4095)), 4095 & 255);
}

static void test_errno_out_of_range_denies(void **state)
{
	static const int errors[] = { 0, -1, -EDOM, 4096, INT32_MAX, INT32_MIN };

	(void)state;
	for (size_t i = 0; i < N_OF(errors); i++)
		assert_int_equal(errno_of(sluice_errno(errors[i])), EPERM);
}

static void test_value(void **state)
{
	static const char *const values[] = {
		"0", "1", "4242", "-4096", "9223372036854775807", "-9223372036854775807"
	};

	(void)state;
	for (size_t i = 0; i < N_OF(values); i++)
		assert_int_equal(give(sluice_value(atoll(values[i])), "value", values[i]).exit_code,
				 0);
}

static void test_value_that_reads_as_errno_denies(void **state)
{
	static const int64_t values[] = { -1, -EDOM, -4095 };

	(void)state;
	for (size_t i = 0; i < N_OF(values); i++)
		assert_int_equal(errno_of(sluice_value(values[i])), EPERM);
}

/* ---- KILL ---- */

static void test_kill_ends_the_process(void **state)
{
	static const int signals_tried[] = { SIGKILL, SIGTERM, SIGUSR1, 64 };

	(void)state;
	for (size_t i = 0; i < N_OF(signals_tried); i++) {
		struct sluice_result r = give(sluice_kill(signals_tried[i]), "getpriority", "");

		assert_int_equal(r.end, SLUICE_ENDED_SIGNAL);
		assert_int_equal(r.signal, signals_tried[i]);
		assert_int_equal(r.exit_code, 128 + signals_tried[i]);
	}
}

static void test_kill_by_a_thread_ends_the_process(void **state)
{
	struct sluice_result r = give(sluice_kill(SIGKILL), "thread", "");

	(void)state;
	assert_int_equal(r.signal, SIGKILL);
}

static void test_kill_that_does_not_end_it_fails_the_call(void **state)
{
	(void)state;
	assert_int_equal(give(sluice_kill(SIGUSR1), "handled", "10").exit_code, EPERM);
	assert_int_equal(errno_of(sluice_kill(SIGCHLD)), EPERM); /* ignored by default */
}

static void test_kill_with_no_signal_denies(void **state)
{
	static const int bad[] = { 0, -1, 65, INT32_MAX, INT32_MIN };

	(void)state;
	for (size_t i = 0; i < N_OF(bad); i++) {
		struct sluice_result r = give(sluice_kill(bad[i]), "getpriority", "");

		assert_int_equal(r.end, SLUICE_ENDED_EXIT);
		assert_int_equal(r.exit_code, EPERM);
	}
}

/* ---- AS_SEEN ---- */

static void test_as_seen_opens_as_the_task_would(void **state)
{
	static const char *const paths[] = { "/etc/passwd",	 "/proc/self/status",
					     "/nonexistent/x",	 "/etc/passwd/x",
					     "/dev/null",	 "/usr/../etc/passwd",
					     "/proc/self/fd/99", "" };
	struct record record = { 0 };
	struct answer a = { &record, 1, sluice_as_seen() };
	struct sluice_handler h = answers(SYS_openat, &a);

	(void)state;
	for (size_t i = 0; i < N_OF(paths); i++) {
		int bare = guest_inside(NULL, "open", paths[i]);

		assert_int_equal(guest_run(NULL, &h, 1, "open", paths[i]).exit_code, bare);
	}
}

/* For a call that can't be carried out on behalf (yet) it is a refusal, never CONTINUE. */
static void test_as_seen_of_another_call_is_refused(void **state)
{
	(void)state;
	assert_int_equal(errno_of(sluice_as_seen()), EOPNOTSUPP);
}

/* ---- descriptors ---- */

struct virtual
{
	struct sluice_verdict verdict;
	int dup_of; /* INJECT_FD: of a copy of this */
	_Atomic int calls;
};

static struct sluice_verdict virtual_handle(struct sluice_request *req, void *userdata)
{
	struct virtual *v = userdata;
	const char *path;

	if (sluice_request_path(req, 0, &path) < 0 || strcmp(path, VIRTUAL) != 0)
		return sluice_continue();
	atomic_fetch_add(&v->calls, 1);
	if (v->dup_of >= 0)
		return sluice_inject_fd(fcntl(v->dup_of, F_DUPFD_CLOEXEC, 3), v->verdict.flags);
	return v->verdict;
}

/* Runs the role; no descriptor of ours may be left. */
static int give_virtual(struct sluice_verdict verdict, int dup_of, const char *role,
			const char *arg)
{
	struct virtual v = { .verdict = verdict, .dup_of = dup_of };
	struct sluice_handler h = sluice_handler_make("virtual", SYS_openat, virtual_handle, &v);
	struct sluice_policy *p = guest_policy();
	int before, got;

	guest_run(p, &h, 1, "getpriority", ""); /* what a policy keeps is there now */
	before = open_descriptors();
	got = guest_run(p, &h, 1, role, arg).exit_code;
	assert_true(v.calls > 0);
	assert_int_equal(open_descriptors(), before);
	sluice_policy_unref(p);
	return got;
}

static void test_inject_bytes_of_every_size(void **state)
{
	static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, MIB + 1, 16 * MIB };
	unsigned char *data = malloc(16 * MIB + 1);
	char text[32];

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i <= 16 * MIB; i++)
		data[i] = (unsigned char)(i * 7);
	assert_int_equal(guest_inside(NULL, "bytes", "1"), ENOENT);
	for (size_t i = 0; i < N_OF(sizes); i++) {
		snprintf(text, sizeof(text), "%zu", sizes[i]);
		assert_int_equal(give_virtual(sluice_inject_bytes(data, sizes[i], O_CLOEXEC), -1,
					      "bytes", text),
				 0);
	}
	/* no data is needed for no bytes */
	assert_int_equal(give_virtual(sluice_inject_bytes(NULL, 0, O_CLOEXEC), -1, "bytes", "0"),
			 0);
	/* larger, or nonsense: a denial */
	assert_int_equal(
		give_virtual(sluice_inject_bytes(data, 16 * MIB + 1, 0), -1, "open", VIRTUAL),
		EINVAL);
	assert_int_equal(give_virtual(sluice_inject_bytes(data, SIZE_MAX, 0), -1, "open", VIRTUAL),
			 EINVAL);
	assert_int_equal(give_virtual(sluice_inject_bytes(NULL, 1, 0), -1, "open", VIRTUAL),
			 EINVAL);
	free(data);
}

static int file_with(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	char path[64];
	int ro;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(ro >= 0);
	close(fd);
	return ro;
}

static void test_inject_fd_with_and_without_cloexec(void **state)
{
	static const struct {
		uint32_t flags;
		int wanted;
	} cases[] = {
		{ O_CLOEXEC, 0 },
		{ 0, 1 },
		{ UINT32_MAX, 0 }, /* other bits mean nothing */
		{ UINT32_MAX & ~(uint32_t)O_CLOEXEC, 1 },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		int fd = file_with("file");

		assert_int_equal(
			give_virtual(sluice_inject_fd(-1, cases[i].flags), fd, "inherited", ""),
			cases[i].wanted);
		close(fd);
	}
}

static void test_inject_fd_of_nothing_denies(void **state)
{
	static const int bad[] = { -1, -100, INT32_MIN };

	(void)state;
	for (size_t i = 0; i < N_OF(bad); i++)
		assert_int_equal(give_virtual(sluice_inject_fd(bad[i], 0), -1, "open", VIRTUAL),
				 EPERM);
	/* a number that is not open */
	assert_int_equal(give_virtual(sluice_inject_fd(987654, 0), -1, "open", VIRTUAL), EBADF);
}

/* The kernel injects no O_PATH descriptor. */
static void test_inject_fd_of_a_path_descriptor_fails(void **state)
{
	int fd = open("/etc", O_PATH | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(give_virtual(sluice_inject_fd(-1, 0), fd, "open", VIRTUAL), EBADF);
	close(fd);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_continue_lets_the_kernel_answer),
		cmocka_unit_test(test_a_zeroed_verdict_denies),
		cmocka_unit_test(test_unknown_kinds_deny),
		cmocka_unit_test(test_defer_without_the_right_denies),
		cmocka_unit_test(test_the_engine_goes_on_after_garbage),
		cmocka_unit_test(test_errno_in_range),
		cmocka_unit_test(test_errno_out_of_range_denies),
		cmocka_unit_test(test_value),
		cmocka_unit_test(test_value_that_reads_as_errno_denies),
		cmocka_unit_test(test_kill_ends_the_process),
		cmocka_unit_test(test_kill_by_a_thread_ends_the_process),
		cmocka_unit_test(test_kill_that_does_not_end_it_fails_the_call),
		cmocka_unit_test(test_kill_with_no_signal_denies),
		cmocka_unit_test(test_as_seen_opens_as_the_task_would),
		cmocka_unit_test(test_as_seen_of_another_call_is_refused),
		cmocka_unit_test(test_inject_bytes_of_every_size),
		cmocka_unit_test(test_inject_fd_with_and_without_cloexec),
		cmocka_unit_test(test_inject_fd_of_nothing_denies),
		cmocka_unit_test(test_inject_fd_of_a_path_descriptor_fails),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
