/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory runs out at every allocation of a start, one after the other: -ENOMEM (or a start that can do without), never a crash, nothing left.
 *
 * The allocator's functions are this program's, in front of the C library's; so they see jansson's and the C library's requests too.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "recorder.h"

/* ---- the allocator ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);

static _Atomic long countdown; /* 0: off; 1: the next request fails */
static _Atomic bool for_good;  /* all after it fail too */
static _Atomic long live;      /* blocks out */

static bool fails(void)
{
	long n = atomic_load(&countdown);

	while (n > 0) {
		if (n == 1 && atomic_load(&for_good))
			return true;
		if (atomic_compare_exchange_weak(&countdown, &n, n - 1))
			return n == 1;
	}
	return false;
}

static void *counted(void *p)
{
	if (p)
		atomic_fetch_add(&live, 1);
	return p;
}

static void *refused(void)
{
	errno = ENOMEM;
	return NULL;
}

void *malloc(size_t size)
{
	return fails() ? refused() : counted(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
	return fails() ? refused() : counted(__libc_calloc(n, size));
}

void *realloc(void *p, size_t size)
{
	if (fails())
		return refused();
	return p ? __libc_realloc(p, size) : counted(__libc_malloc(size));
}

void free(void *p)
{
	if (p)
		atomic_fetch_sub(&live, 1);
	__libc_free(p);
}

/* ---- attempts ---- */

static int role_exit(const char *arg)
{
	return atoi(arg);
}

static const struct guest_role roles[] = {
	{ "exit", role_exit },
	{ "getpriority", role_getpriority },
	{ NULL, NULL },
};

struct attempt {
	int code;
	bool reached; /* the request that fails was made */
	struct sluice_error err;
	long leaked;
	int fds_left;
};

static int attempt_policy(struct sluice_policy **ret)
{
	struct sluice_policy *p = sluice_policy_new();
	int r = p ? 0 : -ENOMEM;

	*ret = p;
	if (r == 0)
		r = sluice_policy_allow_system(p, NULL);
	if (r == 0)
		r = sluice_policy_allow_read(p, "/", NULL);
	if (r == 0)
		r = sluice_policy_set_name(p, "short", NULL);
	if (r == 0)
		r = sluice_policy_set_cwd(p, "/", NULL);
	if (r == 0)
		r = sluice_policy_set_env(p, "A=B", NULL);
	return r == 0 ? sluice_policy_deny_syscall(p, "getpgid", NULL) : r;
}

/*
 * Build a policy, start a sandbox with extras, wait, free. Memory is short from the @nth request until the start has returned: the
 * command itself shall not have to wait.
 */
static void attempt_run(long nth, bool all_after, struct attempt *ret)
{
	const char *const argv[] = { guest_program(), "--inside", "getpriority", "5", NULL };
	struct record record = { 0 };
	struct answer a = { .record = &record, .verdict = sluice_continue() };
	struct sluice_handler h[] = { answers(SYS_getpriority, &a), answers(SYS_getpriority, &a) };
	struct sluice_spawn_options o = {
		.size = sizeof(o),
		.extras = h,
		.n_extras = 2,
		.stdio = { SLUICE_STDIO_PIPE, SLUICE_STDIO_PIPE, SLUICE_STDIO_NULL },
		.stats = 1,
	};
	struct sluice_sandbox *s = NULL;
	struct sluice_policy *p = NULL;
	struct sluice_result res = { 0 };
	long live_before = atomic_load(&live);
	int fds = open_descriptors();

	memset(ret, 0, sizeof(*ret));
	h[1].flags = SLUICE_MAY_BLOCK;
	atomic_store(&for_good, all_after);
	atomic_store(&countdown, nth);
	ret->code = attempt_policy(&p);
	if (ret->code == 0)
		ret->code = sluice_spawn(p, argv, &o, &s, &ret->err);
	ret->reached = all_after ? atomic_load(&countdown) == 1 : atomic_load(&countdown) == 0;
	atomic_store(&countdown, 0);
	if (ret->code == 0 && (sluice_sandbox_wait(s, 20000, &res) != 0 || res.exit_code != 0))
		ret->code = 1;
	sluice_sandbox_free(s);
	sluice_policy_unref(p);
	ret->leaked = atomic_load(&live) - live_before;
	ret->fds_left = open_descriptors() - fds;
}

static void sweep(bool all_after)
{
	struct attempt a;
	long nth = 0;
	int failures = 0;

	for (int i = 0; i < 3; i++) /* what is kept for good is there from now on */
		attempt_run(1000000, all_after, &a);
	assert_int_equal(a.code, 0);
	do {
		attempt_run(++nth, all_after, &a);
		/* the C library keeps a block for as many threads as there were at a time: not every time */
		for (int i = 0; i < 5 && a.leaked > 0; i++)
			attempt_run(nth, all_after, &a);
		if (a.code != 0 && a.code != -ENOMEM && a.code != -EAGAIN)
			fail_msg("request %ld: %d: %s", nth, a.code, a.err.text);
		if (a.leaked > 0 || a.fds_left)
			fail_msg("request %ld (%d: %s): %ld blocks, %d descriptors left", nth,
				 a.code, a.err.text, a.leaked, a.fds_left);
		failures += a.code < 0;
	} while (a.reached && nth < 100000);
	print_message("%ld requests, %d starts failed\n", nth, failures);
	assert_int_equal(a.code, 0);
	assert_true(failures > 20);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
}

static void test_one_request_fails(void **state)
{
	(void)state;
	sweep(false);
}

static void test_all_requests_from_one_on_fail(void **state)
{
	(void)state;
	sweep(true);
}

static int entries(const char *text)
{
	int n = 0;

	for (; (text = strstr(text, "\"nr\":")); text++)
		n++;
	return n;
}

/* Statistics are whole or NULL. Figures may change: the sandbox's threads are still on their way out. */
static void test_statistics(void **state)
{
	struct record record = { 0 };
	struct answer a = { .record = &record, .verdict = sluice_continue() };
	struct sluice_handler h = answers(SYS_getpriority, &a);
	struct sluice_spawn_options o = {
		.size = sizeof(o), .extras = &h, .n_extras = 1, .stats = 1
	};
	struct sluice_sandbox *s = guest_spawn(NULL, &o, "getpriority", "5");
	char *whole, *text = NULL;
	int refusals = 0;

	(void)state;
	assert_int_equal(sluice_sandbox_wait(s, 20000, NULL), 0);
	whole = sluice_sandbox_stats_json(s);
	assert_non_null(whole);
	for (long nth = 1; !text; nth++) {
		long before = atomic_load(&live);

		atomic_store(&for_good, false);
		atomic_store(&countdown, nth);
		text = sluice_sandbox_stats_json(s);
		if (atomic_exchange(&countdown, 0) > 0)
			break; /* it makes no more requests than that */
		refusals += !text;
		if (text)
			assert_int_equal(entries(text), entries(whole));
		free(text);
		text = NULL;
		assert_true(atomic_load(&live) <=
			    before); /* the sandbox's threads may go meanwhile */
	}
	assert_int_equal(entries(text), entries(whole));
	assert_true(refusals > 10);
	free(text);
	free(whole);
	sluice_sandbox_free(s);
}

/* A policy is told of as a whole, or not at all, and nothing is left behind. */
static void test_policy_as_json(void **state)
{
	struct sluice_policy *p = guest_policy();
	char *whole, *text = NULL;
	int refusals = 0;

	(void)state;
	assert_int_equal(sluice_policy_allow_read(p, "/\xff", NULL), 0);
	assert_int_equal(sluice_policy_set_env(p, "A=b", NULL), 0);
	assert_int_equal(sluice_policy_allow_net(p, "udp://10.0.0.0/8:53", NULL), 0);
	assert_int_equal(sluice_policy_allow_bind(p, "8080", NULL), 0);
	assert_int_equal(sluice_policy_set_cpu_cores(p, "0", NULL), 0);
	assert_int_equal(sluice_policy_set_workdir(p, "/work", NULL), 0);
	whole = sluice_policy_json(p);
	assert_non_null(whole);
	for (long nth = 1;; nth++) {
		long before = atomic_load(&live);

		atomic_store(&for_good, false);
		atomic_store(&countdown, nth);
		text = sluice_policy_json(p);
		if (atomic_exchange(&countdown, 0) > 0)
			break; /* it makes no more requests than that */
		refusals += !text;
		if (text)
			assert_string_equal(text, whole);
		free(text);
		assert_int_equal(atomic_load(&live), before);
	}
	assert_string_equal(text, whole);
	assert_true(refusals > 50);
	free(text);
	free(whole);
	sluice_policy_unref(p);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_request_fails),
		cmocka_unit_test(test_all_requests_from_one_on_fail),
		cmocka_unit_test(test_statistics),
		cmocka_unit_test(test_policy_as_json),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
