/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a handler can ask about a call, with good and with bad arguments.
 *
 * Each probe runs on an engine thread and names the line of its first expectation that failed; the main thread asserts that there was none.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "recorder.h"

#define PAGE 4096u

struct probe {
	_Atomic int calls, failed_line;
	int (*check)(struct sluice_request *req);
};

/* In a check: the line of the first expectation that does not hold. */
#define EXPECT(condition)                \
	do {                             \
		if (!(condition))        \
			return __LINE__; \
	} while (0)

static struct sluice_verdict probe_handle(struct sluice_request *req, void *userdata)
{
	struct probe *p = userdata;
	int line = p->check(req);

	atomic_fetch_add(&p->calls, 1);
	if (line)
		atomic_store(&p->failed_line, line);
	return sluice_continue();
}

static int probed_under(struct sluice_policy *policy, int nr,
			int (*check)(struct sluice_request *req), const char *role, const char *arg)
{
	struct probe p = { .check = check };
	struct sluice_handler h = sluice_handler_make("probe", nr, probe_handle, &p);
	int status = guest_run(policy, &h, 1, role, arg).exit_code;

	if (!p.calls)
		fail_msg("the call was never made");
	if (p.failed_line)
		fail_msg("line %d of this file, on an engine thread", p.failed_line);
	return status;
}

static int probed(int nr, int (*check)(struct sluice_request *req), const char *role,
		  const char *arg)
{
	return probed_under(NULL, nr, check, role, arg);
}

/* ---- guests ---- */

/* A page with nothing behind it. */
static char *last_page(void)
{
	char *two = mmap(NULL, (size_t)2 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(two + PAGE, PAGE);
	return two;
}

/*
 * getpriority with addresses for the handler: 0 a writable string of 4095 bytes, the last mapped ones; 1 "text" in a page that may not be written; 2 a page of the
 * string "x..." without an end; 3 two pages of which the second may not be written.
 */
static int role_memory(const char *arg)
{
	char *area = mmap(NULL, (size_t)8 * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *end = area, *open_end = area + 2 * PAGE, *fixed = area + 4 * PAGE,
	     *half = area + 6 * PAGE;

	(void)arg;
	memset(end, 'e', PAGE - 1);
	memset(open_end, 'x', PAGE);
	strcpy(fixed, "text");
	memset(half, 'h', (size_t)2 * PAGE);
	mprotect(fixed, PAGE, PROT_READ);
	mprotect(half + PAGE, PAGE, PROT_READ);
	/* last, so that nothing is mapped into the holes */
	munmap(end + PAGE, PAGE);
	munmap(open_end + PAGE, PAGE);
	syscall(SYS_getpriority, end, fixed, open_end, half);
	if (strcmp(fixed, "text") != 0 || half[PAGE] != 'h')
		return 201; /* a page that may not be written was */
	return strcmp(end + PAGE - 8, "written") ? 202 : 0;
}

/* openat of the path that @arg says. */
static int role_path(const char *arg)
{
	static char path[2 * PATH_MAX];
	char *edge = last_page();

	memset(path, '/', sizeof(path) - 1);
	if (!strcmp(arg, "null"))
		syscall(SYS_openat, AT_FDCWD, NULL, O_RDONLY);
	else if (!strcmp(arg, "kernel"))
		syscall(SYS_openat, AT_FDCWD, ~0UL << 40, O_RDONLY);
	else if (!strcmp(arg, "edge"))
		syscall(SYS_openat, -7, strcpy(edge + PAGE - 5, "edge"), O_RDONLY);
	else if (!strcmp(arg, "unterminated"))
		syscall(SYS_openat, AT_FDCWD, memset(edge + PAGE / 2, 'u', PAGE / 2), O_RDONLY);
	else if (!strcmp(arg, "longest"))
		syscall(SYS_openat, AT_FDCWD, path + sizeof(path) - PATH_MAX, O_RDONLY);
	else if (!strcmp(arg, "too-long"))
		syscall(SYS_openat, AT_FDCWD, path + sizeof(path) - PATH_MAX - 1, O_RDONLY);
	else if (!strcmp(arg, "empty"))
		syscall(SYS_openat, AT_FDCWD, "", O_RDONLY);
	else if (!strcmp(arg, "bytes"))
		syscall(SYS_openat, 12345, "a\n\x80\xff b", O_RDONLY);
	return 0;
}

static int role_two_paths(const char *arg)
{
	(void)arg;
	syscall(SYS_renameat2, 41, "from", 42, "to", 0);
	syscall(SYS_linkat, 41, "from", 42, "to", 0);
	syscall(SYS_symlinkat, "from", 42, "to");
	return 0;
}

static int role_opens(const char *arg)
{
	struct {
		struct open_how how;
		uint64_t more;
	} how = { { .flags = O_RDWR, .mode = 0, .resolve = RESOLVE_BENEATH }, 0 };
	char *edge = last_page();

	(void)arg;
	syscall(SYS_openat, AT_FDCWD, "/x", O_CREAT | O_WRONLY, 0640);
	syscall(SYS_openat2, AT_FDCWD, "/x", &how, sizeof(how.how)); /* good */
	syscall(SYS_openat2, AT_FDCWD, "/x", &how, sizeof(how));     /* good: zeroes behind */
	how.more = 1;
	syscall(SYS_openat2, AT_FDCWD, "/x", &how, sizeof(how)); /* E2BIG */
	syscall(SYS_openat2, AT_FDCWD, "/x", &how, 8);		 /* EINVAL */
	syscall(SYS_openat2, AT_FDCWD, "/x", &how, 1 << 20);	 /* E2BIG */
	syscall(SYS_openat2, AT_FDCWD, "/x", NULL, sizeof(how.how));
	syscall(SYS_openat2, AT_FDCWD, "/x", edge + PAGE - 8, sizeof(how.how));
	return 0;
}

static int role_connects(const char *arg)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/nowhere" };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	static char wide[256];

	(void)arg;
	syscall(SYS_connect, fd, &un, sizeof(un));
	syscall(SYS_connect, fd, &un, 2);
	syscall(SYS_connect, fd, &un, 0);
	syscall(SYS_connect, fd, wide, 128);
	syscall(SYS_connect, fd, wide, 129);
	syscall(SYS_connect, fd, &un, -1);
	syscall(SYS_connect, fd, 8, 16);
	return 0;
}

static void *call_it(void *arg)
{
	syscall(SYS_getpriority, 0, 0);
	return arg;
}

static int role_thread(const char *arg)
{
	pthread_t t;

	(void)arg;
	pthread_create(&t, NULL, call_it, NULL);
	pthread_join(t, NULL);
	return 0;
}

static const struct guest_role roles[] = {
	{ "getpriority", role_getpriority },
	{ "memory", role_memory },
	{ "path", role_path },
	{ "two-paths", role_two_paths },
	{ "opens", role_opens },
	{ "connects", role_connects },
	{ "thread", role_thread },
	{ NULL, NULL },
};

/* ---- the call and the caller ---- */

static int check_call(struct sluice_request *req)
{
	struct sluice_open_args open_args;
	struct sockaddr_storage address;
	const char *path = "untouched";

	EXPECT(sluice_request_nr(req) == SYS_getpriority);
	EXPECT(sluice_request_arg(req, 0) == 0);
	EXPECT(sluice_request_arg(req, 6) == 0 && sluice_request_arg(req, UINT_MAX) == 0);
	EXPECT(sluice_request_tid(req) > 0);
	EXPECT(sluice_request_id(req) != 0);
	EXPECT(!strncmp(sluice_request_sandbox_name(req), "sandbox-", 8));
	/* a call without a path, open flags, or an address */
	EXPECT(sluice_request_path(req, 0, &path) == -EINVAL);
	EXPECT(sluice_request_path(req, 1, &path) == -EINVAL);
	EXPECT(sluice_request_path(req, UINT_MAX, &path) == -EINVAL);
	EXPECT(!strcmp(path, "untouched"));
	EXPECT(sluice_request_dirfd(req, 0) == -EINVAL);
	EXPECT(sluice_request_dirfd(req, 2) == -EINVAL);
	EXPECT(sluice_request_open_args(req, &open_args) == -EINVAL);
	EXPECT(sluice_request_sockaddr(req, &address) == -EINVAL);
	return 0;
}

static int check_caller(struct sluice_request *req)
{
	char buf[PATH_MAX], small[4];
	ssize_t n = sluice_request_exe(req, buf, sizeof(buf));

	EXPECT(sluice_request_tgid(req) == sluice_request_tid(req));
	EXPECT(n > 0 && !strcmp(buf, guest_program()));
	/* exactly the room it needs, and one less */
	EXPECT(sluice_request_exe(req, buf, (size_t)n + 1) == n);
	EXPECT(sluice_request_exe(req, buf, (size_t)n) == -ENAMETOOLONG);
	EXPECT(sluice_request_exe(req, buf, 0) == -ENAMETOOLONG);
	EXPECT(sluice_request_cwd(req, buf, sizeof(buf)) > 0 && buf[0] == '/');
	EXPECT(sluice_request_cwd(req, buf, 1) == -ENAMETOOLONG);
	n = sluice_request_cmdline(req, buf, sizeof(buf));
	EXPECT(n > 0 && memmem(buf, (size_t)n, "\0--inside\0getpriority", 21));
	EXPECT(sluice_request_cmdline(req, small, sizeof(small)) == sizeof(small));
	EXPECT(sluice_request_cmdline(req, small, 0) == 0);
	return 0;
}

static void test_the_call(void **state)
{
	(void)state;
	assert_int_equal(probed(SYS_getpriority, check_call, "getpriority", ""), 0);
}

static void test_the_caller(void **state)
{
	(void)state;
	assert_int_equal(probed(SYS_getpriority, check_caller, "getpriority", ""), 0);
}

static int check_thread(struct sluice_request *req)
{
	pid_t tgid = sluice_request_tgid(req);

	EXPECT(tgid > 0 && tgid != sluice_request_tid(req));
	EXPECT(sluice_request_tgid(req) == tgid);
	return 0;
}

static void test_a_thread_of_a_process(void **state)
{
	(void)state;
	assert_int_equal(probed(SYS_getpriority, check_thread, "thread", ""), 0);
}

/* ---- memory ---- */

static bool all_zero(const char *buf, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (buf[i])
			return false;
	}
	return true;
}

static int check_reads(struct sluice_request *req)
{
	static char buf[2 * PAGE], big[(1u << 20) + 1];
	uint64_t end = sluice_request_arg(req, 0), fixed = sluice_request_arg(req, 1),
		 open_end = sluice_request_arg(req, 2);

	EXPECT(sluice_request_read(req, end, buf, PAGE) == 0 && buf[0] == 'e');
	EXPECT(sluice_request_read(req, 0, buf, 0) == 0);
	memset(buf, 'b', sizeof(buf));
	EXPECT(sluice_request_read(req, end, buf, PAGE + 1) == -EFAULT);
	EXPECT(all_zero(buf, PAGE + 1) && buf[PAGE + 1] == 'b');
	EXPECT(sluice_request_read(req, 0, buf, 1) == -EFAULT);
	EXPECT(sluice_request_read(req, ~0ULL << 40, buf, 1) == -EFAULT);
	EXPECT(sluice_request_read(req, ~0ULL, buf, 8) == -EFAULT);
	EXPECT(sluice_request_read(req, end, big, sizeof(big)) == -E2BIG);
	EXPECT(sluice_request_read(req, end, buf, SIZE_MAX) == -E2BIG);

	EXPECT(sluice_request_read_string(req, fixed, buf, sizeof(buf)) == 4);
	EXPECT(!strcmp(buf, "text"));
	EXPECT(sluice_request_read_string(req, fixed, buf, 5) == 4);
	EXPECT(sluice_request_read_string(req, fixed, buf, 4) == -ENAMETOOLONG && !buf[0]);
	EXPECT(sluice_request_read_string(req, fixed, buf, 0) == -ENAMETOOLONG);
	EXPECT(sluice_request_read_string(req, end, buf, sizeof(buf)) == PAGE - 1);
	EXPECT(sluice_request_read_string(req, open_end, buf, sizeof(buf)) == -EFAULT);
	EXPECT(sluice_request_read_string(req, open_end, buf, PAGE) == -ENAMETOOLONG);
	EXPECT(sluice_request_read_string(req, 0, buf, sizeof(buf)) == -EFAULT);
	return 0;
}

static int check_writes(struct sluice_request *req)
{
	uint64_t end = sluice_request_arg(req, 0), fixed = sluice_request_arg(req, 1),
		 half = sluice_request_arg(req, 3);
	static char big[(1u << 20) + 1];

	EXPECT(sluice_request_write(req, end + PAGE - 8, "written", 8) == 0);
	EXPECT(sluice_request_write(req, end + PAGE - 8, "writtenX", 9) == -EFAULT);
	EXPECT(sluice_request_write(req, end + PAGE - 8, "written", 8) == 0);
	EXPECT(sluice_request_write(req, fixed, "bad", 4) == -EFAULT);
	EXPECT(sluice_request_write(req, half + PAGE - 2, "bad!", 4) == -EFAULT);
	EXPECT(sluice_request_write(req, 0, "bad", 4) == -EFAULT);
	EXPECT(sluice_request_write(req, ~0ULL << 40, "bad", 4) == -EFAULT);
	EXPECT(sluice_request_write(req, end, big, sizeof(big)) == -E2BIG);
	EXPECT(sluice_request_write(req, 0, big, 0) == 0);
	return 0;
}

static int check_memory(struct sluice_request *req)
{
	int line = check_reads(req);

	return line ? line : check_writes(req);
}

static void test_memory(void **state)
{
	(void)state;
	assert_int_equal(probed(SYS_getpriority, check_memory, "memory", ""), 0);
}

/* ---- paths ---- */

static ssize_t expected_length;
static const char *expected_path;
static int expected_dirfd;

static int check_path(struct sluice_request *req)
{
	const char *path = NULL, *again = NULL;
	ssize_t n = sluice_request_path(req, 0, &path);

	if (n >= 0 && strncmp(path, "/etc/", 5) == 0)
		return 0; /* the dynamic linker's */
	if (n >= 0 && (strstr(path, ".so") || strstr(path, "/proc/")))
		return 0;
	EXPECT(n == expected_length);
	EXPECT(n < 0 || !expected_path || !strcmp(path, expected_path));
	EXPECT(n < 0 || strlen(path) == (size_t)n);
	/* decoded once: the same copy, the same error */
	EXPECT(sluice_request_path(req, 0, &again) == n && again == path);
	EXPECT(sluice_request_path(req, 1, &again) == -EINVAL);
	EXPECT(sluice_request_dirfd(req, 0) == expected_dirfd);
	EXPECT(sluice_request_dirfd(req, 1) == -EINVAL);
	return 0;
}

static void test_paths(void **state)
{
	static const struct {
		const char *role, *path;
		ssize_t length;
		int dirfd;
	} cases[] = {
		{ "null", NULL, -EFAULT, AT_FDCWD },
		{ "kernel", NULL, -EFAULT, AT_FDCWD },
		{ "edge", "edge", 4, -EBADF },
		{ "unterminated", NULL, -EFAULT, AT_FDCWD },
		{ "longest", NULL, PATH_MAX - 1, AT_FDCWD },
		{ "too-long", NULL, -ENAMETOOLONG, AT_FDCWD },
		{ "empty", "", 0, AT_FDCWD },
		{ "bytes", "a\n\x80\xff b", 6, 12345 },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		expected_path = cases[i].path;
		expected_length = cases[i].length;
		expected_dirfd = cases[i].dirfd;
		print_message("path: %s\n", cases[i].role);
		assert_int_equal(probed(SYS_openat, check_path, "path", cases[i].role), 0);
	}
}

static int check_two_paths(struct sluice_request *req)
{
	const char *from = NULL, *to = NULL;

	EXPECT(sluice_request_path(req, 1, &to) == 2 && !strcmp(to, "to"));
	EXPECT(sluice_request_path(req, 0, &from) == 4 && !strcmp(from, "from"));
	EXPECT(!strcmp(to, "to")); /* each has room of its own */
	EXPECT(sluice_request_path(req, 2, &to) == -EINVAL);
	EXPECT(sluice_request_dirfd(req, 1) == 42);
	EXPECT(sluice_request_dirfd(req, 0) ==
	       (sluice_request_nr(req) == SYS_symlinkat ? AT_FDCWD : 41));
	return 0;
}

static void test_two_path_calls(void **state)
{
	static const int calls[] = { SYS_renameat2, SYS_linkat, SYS_symlinkat };

	(void)state;
	for (size_t i = 0; i < N_OF(calls); i++)
		assert_int_equal(probed(calls[i], check_two_paths, "two-paths", ""), 0);
}

/* The first handler reads the path, then the task's memory changes: the next one still sees what the first saw. */
static int change_the_path(struct sluice_request *req)
{
	const char *path;

	EXPECT(sluice_request_path(req, 0, &path) >= 0);
	if (!strcmp(path, "edge"))
		EXPECT(sluice_request_write(req, sluice_request_arg(req, 1), "EDGE", 4) == 0);
	return 0;
}

static void test_a_path_is_read_once_for_the_chain(void **state)
{
	struct probe first = { .check = change_the_path }, second = { .check = check_path };
	struct sluice_handler h[] = {
		sluice_handler_make("first", SYS_openat, probe_handle, &first),
		sluice_handler_make("second", SYS_openat, probe_handle, &second),
	};

	(void)state;
	expected_path = "edge";
	expected_length = 4;
	expected_dirfd = -EBADF;
	assert_int_equal(guest_run(NULL, h, 2, "path", "edge").exit_code, 0);
	assert_true(second.calls > 0);
	assert_int_equal(first.failed_line, 0);
	assert_int_equal(second.failed_line, 0);
}

/* ---- open and socket addresses ---- */

static _Atomic int nth;

static int check_openat(struct sluice_request *req)
{
	struct sluice_open_args a;
	const char *path;

	EXPECT(sluice_request_path(req, 0, &path) >= 0);
	EXPECT(sluice_request_open_args(req, &a) == 0);
	EXPECT(!a.openat2 && !a.resolve);
	if (!strcmp(path, "/x"))
		EXPECT(a.flags == (O_CREAT | O_WRONLY) && a.mode == 0640);
	return 0;
}

static int check_openat2(struct sluice_request *req)
{
	static const int wanted[] = { 0, 0, -E2BIG, -EINVAL, -E2BIG, -EFAULT, -EFAULT };
	int i = atomic_fetch_add(&nth, 1);
	struct sluice_open_args a;

	EXPECT(i < (int)N_OF(wanted));
	EXPECT(sluice_request_open_args(req, &a) == wanted[i]);
	if (wanted[i] == 0)
		EXPECT(a.openat2 && a.flags == O_RDWR && a.resolve == RESOLVE_BENEATH);
	return 0;
}

static void test_open_arguments(void **state)
{
	(void)state;
	nth = 0;
	assert_int_equal(probed(SYS_openat, check_openat, "opens", ""), 0);
	assert_int_equal(probed(SYS_openat2, check_openat2, "opens", ""), 0);
	assert_int_equal(nth, 7);
}

static int check_connect(struct sluice_request *req)
{
	static const int wanted[] = {
		sizeof(struct sockaddr_un), 2, 0, 128, -EINVAL, -EINVAL, -EFAULT
	};
	struct sockaddr_storage address;
	int i = atomic_fetch_add(&nth, 1);

	EXPECT(i < (int)N_OF(wanted));
	EXPECT(sluice_request_sockaddr(req, &address) == wanted[i]);
	if (i < 2)
		EXPECT(address.ss_family == AF_UNIX);
	if (i == 0)
		EXPECT(!strcmp(((struct sockaddr_un *)&address)->sun_path, "/nowhere"));
	return 0;
}

static void test_socket_addresses(void **state)
{
	struct sluice_policy *p = guest_policy();

	(void)state;
	nth = 0;
	/* no built-in answers before the extra looks */
	assert_int_equal(sluice_policy_allow_write(p, "/", NULL), 0);
	assert_int_equal(probed_under(p, SYS_connect, check_connect, "connects", ""), 0);
	assert_int_equal(nth, 7);
	sluice_policy_unref(p);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_call),
		cmocka_unit_test(test_the_caller),
		cmocka_unit_test(test_a_thread_of_a_process),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_two_path_calls),
		cmocka_unit_test(test_a_path_is_read_once_for_the_chain),
		cmocka_unit_test(test_open_arguments),
		cmocka_unit_test(test_socket_addresses),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
