/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and numbers of system calls, and how a policy treats each.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>

#include "confine/calls.h"
#include "confine/confinement.h"
#include "policy/policy.h"

#include "../support/cmocka.h"

/* What gets around a supervisor: refused unless a policy says otherwise. */
static const char *const denied_by_default[] = {
	"io_uring_setup",
	"io_uring_enter",
	"io_uring_register",
	"ptrace",
	"process_vm_writev",
	"pidfd_getfd",
	"kexec_load",
	"kexec_file_load",
	"userfaultfd",
	"bpf",
	"keyctl",
	"add_key",
	"request_key",
	"mount",
	"umount2",
	"fsopen",
	"fsconfig",
	"fsmount",
	"fspick",
	"move_mount",
	"open_tree",
	"open_tree_attr",
	"mount_setattr",
	"open_by_handle_at",
	"setns",
	"pivot_root",
	"chroot",
	"perf_event_open",
	"init_module",
	"finit_module",
	"delete_module",
	"swapon",
	"swapoff",
	"reboot",
	"clock_settime",
	"settimeofday",
	"acct",
	"quotactl",
	"iopl",
	"ioperm",
	"clone3",
	"memfd_secret",
};

static enum call_treatment treatment(const struct sluice_policy *p, int nr)
{
	enum call_treatment t = CALL_UNKNOWN;

	assert_int_equal(confine_call_treatment(p, nr, &t, NULL), 0);
	return t;
}

static void test_names_and_numbers_go_both_ways(void **state)
{
	int known = 0;

	(void)state;
	for (int nr = 0; nr < CALL_MAX; nr++) {
		const char *name = syscall_name(nr);

		if (!name)
			continue;
		known++;
		assert_int_equal(syscall_number(name), nr);
		assert_ptr_equal(syscall_name(nr), name); /* static */
	}
	assert_true(known > 300);
	assert_int_equal(syscall_number("openat"), SYS_openat);
	assert_int_equal(syscall_number("clone3"), SYS_clone3);
	assert_string_equal(syscall_name(CALL_LAST_KNOWN), "file_setattr");
}

static void test_nonsense_has_no_number_and_no_name(void **state)
{
	static const char *const names[] = { "", "opena", "openat ", "OPENAT", "@mount", "nosuch" };
	static const int numbers[] = { -1, INT_MIN, CALL_MAX, 10000, INT_MAX };

	(void)state;
	for (size_t i = 0; i < N_OF(names); i++)
		assert_int_equal(syscall_number(names[i]), -EINVAL);
	for (size_t i = 0; i < N_OF(numbers); i++)
		assert_null(syscall_name(numbers[i]));
}

static void test_denied_by_default_and_allowed_on_request(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(denied_by_default); i++) {
		struct sluice_policy *p = sluice_policy_new();
		const char *name = denied_by_default[i];
		int nr = syscall_number(name);

		if (nr < 0) /* not a call of this architecture */
			continue;
		if (treatment(p, nr) != CALL_DENIED)
			fail_msg("%s is not denied", name);
		if (strcmp(name, "clone3") != 0) {
			assert_int_equal(sluice_policy_allow_syscall(p, name, NULL), 0);
			assert_int_equal(treatment(p, nr), CALL_ALLOWED);
			assert_int_equal(sluice_policy_deny_syscall(p, name, NULL), 0);
			assert_int_equal(treatment(p, nr), CALL_DENIED);
		}
		sluice_policy_unref(p);
	}
}

static void test_ordinary_calls_are_allowed(void **state)
{
	static const char *const names[] = { "read",   "openat", "clone",  "execve", "ioctl",
					     "socket", "uname",	 "getpid", "unshare" };
	struct sluice_policy *p = sluice_policy_new();

	(void)state;
	for (size_t i = 0; i < N_OF(names); i++) {
		int nr = syscall_number(names[i]);

		assert_int_equal(treatment(p, nr), CALL_ALLOWED);
		assert_int_equal(sluice_policy_deny_syscall(p, names[i], NULL), 0);
		assert_int_equal(treatment(p, nr), CALL_DENIED);
	}
	assert_int_equal(treatment(p, CALL_MAX), CALL_UNKNOWN);
	assert_int_equal(treatment(p, -1), CALL_UNKNOWN);
	sluice_policy_unref(p);
}

static void test_groups(void **state)
{
	struct sluice_policy *p = sluice_policy_new();

	(void)state;
	assert_int_equal(sluice_policy_allow_syscall(p, "@io_uring", NULL), 0);
	assert_int_equal(treatment(p, syscall_number("io_uring_setup")), CALL_ALLOWED);
	assert_int_equal(treatment(p, syscall_number("io_uring_register")), CALL_ALLOWED);
	assert_int_equal(treatment(p, syscall_number("ptrace")), CALL_DENIED);
	/* the later setting wins, one call of a group or the group */
	assert_int_equal(sluice_policy_deny_syscall(p, "io_uring_enter", NULL), 0);
	assert_int_equal(treatment(p, syscall_number("io_uring_enter")), CALL_DENIED);
	assert_int_equal(treatment(p, syscall_number("io_uring_setup")), CALL_ALLOWED);
	assert_int_equal(sluice_policy_deny_syscall(p, "@io_uring", NULL), 0);
	assert_int_equal(treatment(p, syscall_number("io_uring_setup")), CALL_DENIED);
	sluice_policy_unref(p);
}

static void test_an_unknown_name_is_an_error_that_names_it(void **state)
{
	struct sluice_policy *p = sluice_policy_new();
	struct call_deny deny[CALL_MAX];
	struct sluice_error err = { 0 };

	(void)state;
	assert_int_equal(sluice_policy_deny_syscall(p, "frobnicate", NULL), 0);
	assert_int_equal(calls_deny_list(p, deny, &err), -EINVAL);
	assert_non_null(strstr(err.text, "frobnicate"));
	assert_int_equal(err.code, EINVAL);
	sluice_policy_unref(p);
}

static void test_never_retried(void **state)
{
	static const char *const never[] = { "close", "dup2",	 "futex",      "wait4",	 "waitid",
					     "read",  "recvmsg", "exit_group", "munmap", "brk" };
	static const char *const fine[] = { "openat", "stat",	"uname", "connect",
					    "execve", "getpid", "write" };

	(void)state;
	for (size_t i = 0; i < N_OF(never); i++)
		assert_true(confine_call_never_retried(syscall_number(never[i])));
	for (size_t i = 0; i < N_OF(fine); i++) {
		int nr = syscall_number(fine[i]);

		assert_false(nr >= 0 && confine_call_never_retried(nr));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_numbers_go_both_ways),
		cmocka_unit_test(test_nonsense_has_no_number_and_no_name),
		cmocka_unit_test(test_denied_by_default_and_allowed_on_request),
		cmocka_unit_test(test_ordinary_calls_are_allowed),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_an_unknown_name_is_an_error_that_names_it),
		cmocka_unit_test(test_never_retried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
