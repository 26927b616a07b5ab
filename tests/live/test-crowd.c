/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several callers at a time: a second receiver takes their calls beside the first.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recorder.h"
#include "util/clock.h"

#define CALLS 20000 /* of each caller: the second one is there after some tens */
#define WORK_NS 15000u

struct crowd {
	_Atomic int inside, most;
	_Atomic int calls;
};

static void raise_to(_Atomic int *most, int n)
{
	int was = atomic_load(most);

	while (n > was && !atomic_compare_exchange_weak(most, &was, n))
		continue;
}

/* As long as prompt handlers may work. */
static struct sluice_verdict work_handle(struct sluice_request *req, void *userdata)
{
	struct crowd *c = userdata;
	uint64_t begin = clock_now_ns();

	(void)req;
	atomic_fetch_add(&c->calls, 1);
	raise_to(&c->most, atomic_fetch_add(&c->inside, 1) + 1);
	while (clock_now_ns() - begin < WORK_NS)
		continue;
	atomic_fetch_sub(&c->inside, 1);
	return sluice_value(7);
}

static int call_all(void)
{
	for (int i = 0; i < CALLS; i++) {
		if (syscall(SYS_getpriority, 0, 0) != 7)
			return 1;
	}
	return 0;
}

/* @arg callers, each a process; how many of them were not answered right. */
static int role_callers(const char *arg)
{
	int n = atoi(arg), failed = 0, status;

	for (int i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(call_all());
		failed += pid < 0;
	}
	while (wait(&status) > 0)
		failed += status != 0;
	return failed;
}

static struct crowd run(const char *callers)
{
	struct crowd c = { 0 };
	const struct sluice_handler h =
		sluice_handler_make("work", SYS_getpriority, work_handle, &c);
	struct sluice_result r = guest_run(NULL, &h, 1, "callers", callers);

	assert_int_equal(r.end, SLUICE_ENDED_EXIT);
	assert_int_equal(r.exit_code, 0);
	assert_int_equal(atomic_load(&c.inside), 0);
	assert_int_equal(atomic_load(&c.calls), atoi(callers) * CALLS);
	return c;
}

static void test_callers_are_served_beside_each_other(void **state)
{
	(void)state;
	assert_int_equal(run("1").most, 1);
	assert_true(run("4").most > 1);
}

int main(int argc, char *argv[])
{
	static const struct guest_role roles[] = { { "callers", role_callers }, { NULL, NULL } };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_callers_are_served_beside_each_other),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
