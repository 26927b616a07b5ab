/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registering extra handlers: what is taken, what is refused before anything is forked, and what it adds to the filter.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "builtin/builtin.h"
#include "confine/confinement.h"
#include "engine/dispatch.h"
#include "policy/policy.h"
#include "recorder.h"

static int role_uname(const char *arg)
{
	struct utsname u;

	(void)arg;
	return uname(&u) < 0 ? errno : 0;
}

static int role_open(const char *arg)
{
	FILE *f = fopen(arg, "re");

	return f ? fclose(f) : errno;
}

static const struct guest_role roles[] = {
	{ "getpriority", role_getpriority },
	{ "uname", role_uname },
	{ "open", role_open },
	{ NULL, NULL },
};

/* ---- the constructor ---- */

static void test_constructor(void **state)
{
	struct record record = { 0 };
	struct answer a = { &record, 1, sluice_errno(EDOM) };
	struct sluice_handler h = sluice_handler_make("mine", SYS_getpriority, answer_handle, &a),
			      zero;

	(void)state;
	assert_string_equal(h.name, "mine");
	assert_int_equal(h.nr, SYS_getpriority);
	assert_ptr_equal(h.fn, answer_handle);
	assert_ptr_equal(h.userdata, &a);
	/* all else is as if zeroed */
	memset(&zero, 0, sizeof(zero));
	assert_int_equal(h.flags, zero.flags);
	assert_int_equal(h.deadline_ms, zero.deadline_ms);
	assert_int_equal(h.deadline_errno, zero.deadline_errno);
	assert_memory_equal(h.reserved, zero.reserved, sizeof(zero.reserved));
	assert_int_equal(guest_run(NULL, &h, 1, "getpriority", "").exit_code, EDOM);
}

/* ---- refused before fork ---- */

/* From here on a new process or thread is the end of this one. */
static void forbid_new_processes(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef SYS_fork
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fork, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_vfork, 3, 0),
#endif
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = { N_OF(code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
		_exit(GUEST_FAILED);
}

struct refusal {
	struct sluice_policy *policy;
	const struct sluice_handler *extras;
	size_t n;
};

/* In a process that must not fork: writes what the call returned and said to @out. */
static void try_without_forking(const struct refusal *r, int out)
{
	const char *const argv[] = { guest_program(), "--inside", "getpriority", "", NULL };
	struct sluice_error err = { 0 };
	int code;

	forbid_new_processes();
	code = sluice_run_with_extra_handlers(r->policy, argv, r->extras, r->n, NULL, &err);
	if (write(out, &code, sizeof(code)) < 0 || write(out, err.text, sizeof(err.text)) < 0)
		_exit(1);
	_exit(0);
}

/* Returns the wait status; *@ret_code and @text are set when it got that far. */
static int refused_in_child(const struct refusal *r, int *ret_code, char text[512])
{
	int ends[2], status;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		try_without_forking(r, ends[1]);
	close(ends[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status)) {
		assert_int_equal(read(ends[0], ret_code, sizeof(*ret_code)), sizeof(*ret_code));
		assert_int_equal(read(ends[0], text, 512), SLUICE_ERROR_TEXT_SIZE);
	}
	close(ends[0]);
	return status;
}

static void assert_refused(struct sluice_policy *p, const struct sluice_handler *extras, size_t n,
			   int wanted, const char *handler, const char *call)
{
	const struct refusal r = { p, extras, n };
	char text[512] = "";
	int code = 0, status = refused_in_child(&r, &code, text);

	if (!WIFEXITED(status))
		fail_msg("%s: something was forked (status %#x)", call, status);
	if (code != wanted || !strstr(text, handler) || !strstr(text, call))
		fail_msg("%d, not %d: %s: where are %s and %s?", code, wanted, text, handler, call);
}

static struct record unused_record;
static struct answer unused = { &unused_record, 1, { .kind = SLUICE_CONTINUE } };

static void assert_number_refused(int nr, int wanted, const char *call)
{
	struct sluice_handler h = sluice_handler_make("my-handler", nr, answer_handle, &unused);
	struct sluice_policy *p = guest_policy();

	assert_refused(p, &h, 1, wanted, "my-handler", call);
	/* an observer traps the call as well */
	h.flags = SLUICE_OBSERVER;
	assert_refused(p, &h, 1, wanted, "my-handler", call);
	sluice_policy_unref(p);
}

/* The proof above is one: what is accepted does fork. */
static void test_an_accepted_handler_forks(void **state)
{
	struct sluice_policy *p = guest_policy();
	struct sluice_handler h = answers(SYS_getpriority, &unused);
	const struct refusal r = { p, &h, 1 };
	char text[512];
	int code, status = refused_in_child(&r, &code, text);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
	sluice_policy_unref(p);
}

static void test_numbers_that_are_no_call(void **state)
{
	static const int numbers[] = { -1, INT_MIN, 470, 999, 1024, 10000, INT_MAX };
	char text[32];

	(void)state;
	for (size_t i = 0; i < N_OF(numbers); i++) {
		snprintf(text, sizeof(text), "%d", numbers[i]);
		assert_number_refused(numbers[i], -EINVAL, text);
	}
}

static void test_calls_that_are_denied(void **state)
{
	static const char *const names[] = { "ptrace", "mount",	 "bpf",
					     "keyctl", "clone3", "io_uring_setup" };
	struct sluice_handler h = answers(SYS_getpriority, &unused);
	struct sluice_policy *p = guest_policy();

	(void)state;
	for (size_t i = 0; i < N_OF(names); i++)
		assert_number_refused(sluice_syscall_number(names[i]), -EPERM, names[i]);
	/* as the policy has it: denied there, or allowed there */
	assert_int_equal(sluice_policy_deny_syscall(p, "getpriority", NULL), 0);
	assert_refused(p, &h, 1, -EPERM, "answer", "getpriority");
	assert_int_equal(sluice_policy_allow_syscall(p, "getpriority", NULL), 0);
	assert_int_equal(guest_run(p, &h, 1, "getpriority", "").exit_code, 0);
	sluice_policy_unref(p);
}

static void test_calls_that_programs_never_retry(void **state)
{
	static const char *const names[] = { "close", "dup3",	 "wait4", "waitid",	"futex",
					     "read",  "recvmsg", "exit",  "exit_group", "poll" };

	(void)state;
	for (size_t i = 0; i < N_OF(names); i++)
		assert_number_refused(sluice_syscall_number(names[i]), -ENOTSUP, names[i]);
}

static void test_insist_traps_them_all_the_same(void **state)
{
	struct record record = { 0 };
	struct answer a = { &record, 1, sluice_continue() };
	struct sluice_handler h = answers(SYS_close, &a);

	(void)state;
	h.flags = SLUICE_INSIST;
	assert_int_equal(guest_run(NULL, &h, 1, "open", "/etc/passwd").exit_code, 0);
	assert_true(record.calls > 0);
}

static void test_fields_out_of_range(void **state)
{
	struct sluice_handler bad[] = {
		answers(SYS_getpriority, &unused), answers(SYS_getpriority, &unused),
		answers(SYS_getpriority, &unused), answers(SYS_getpriority, &unused),
		answers(SYS_getpriority, &unused), answers(SYS_getpriority, &unused),
	};
	struct sluice_policy *p = guest_policy();

	(void)state;
	bad[0].fn = NULL;
	bad[1].flags = 1u << 3;
	bad[2].deadline_ms = 3600001;
	bad[3].deadline_errno = -1;
	bad[4].deadline_errno = 4096;
	bad[5].reserved[1] = 1;
	for (size_t i = 0; i < N_OF(bad); i++)
		assert_refused(p, &bad[i], 1, -EINVAL, "handler 1 (answer)", "");
	assert_refused(p, NULL, 2, -EINVAL, "handlers", "NULL");
	sluice_policy_unref(p);
}

/* The error names the one that is wrong, not the first. */
static void test_the_second_of_two_is_named(void **state)
{
	struct sluice_handler two[] = { answers(SYS_getpriority, &unused),
					sluice_handler_make(NULL, SYS_ptrace, answer_handle,
							    &unused) };
	struct sluice_policy *p = guest_policy();

	(void)state;
	assert_refused(p, two, 2, -EPERM, "handler 2", "ptrace");
	sluice_policy_unref(p);
}

/* ---- how many ---- */

static void test_sixty_four_on_one_call(void **state)
{
	struct sluice_handler all[DISPATCH_MAX_CHAIN + 1];
	struct record record = { 0 };
	struct answer a[N_OF(all)];
	struct sluice_policy *p = guest_policy();

	(void)state;
	for (size_t i = 0; i < N_OF(all); i++) {
		a[i] = (struct answer){ &record, (int)i, sluice_continue() };
		all[i] = answers(SYS_getpriority, &a[i]);
	}
	assert_int_equal(guest_run(p, all, 64, "getpriority", "").exit_code, 0);
	assert_int_equal(record.calls, 64);
	for (int i = 0; i < 64; i++)
		assert_int_equal(record.order[i], i);
	assert_refused(p, all, 65, -E2BIG, "handler 65 (answer)", "getpriority");
	sluice_policy_unref(p);
}

/* ---- what is trapped ---- */

static void assert_same_confinement(const struct confinement *a, const struct confinement *b)
{
	assert_int_equal(a->n_notify, b->n_notify);
	assert_memory_equal(a->notify, b->notify, a->n_notify * sizeof(*a->notify));
	assert_int_equal(a->filter.len, b->filter.len);
	assert_memory_equal(a->filter.filter, b->filter.filter,
			    a->filter.len * sizeof(*a->filter.filter));
}

/* What the built-ins alone trap, compiled without any sandbox. */
static struct confinement *builtins_only(struct sluice_policy *p)
{
	struct dispatch *d = dispatch_new();
	int numbers[DISPATCH_MAX_NR];
	const struct builtin_sandbox sandbox = { 0 };
	const struct builtin_context context = { .sandbox = &sandbox };
	struct confinement *c = NULL;
	size_t n;

	assert_int_equal(builtin_register_all(d, p, &context, NULL), 0);
	n = dispatch_numbers(d, numbers, DISPATCH_MAX_NR);
	assert_int_equal(confinement_get(p, numbers, n, &c, NULL), 0);
	dispatch_free(d);
	return c;
}

static void test_empty_extras_change_nothing(void **state)
{
	const char *const argv[] = { guest_program(), "--inside", "uname", "", NULL };
	struct sluice_handler none[1] = { answers(SYS_getpriority, &unused) };
	struct sluice_policy *p[3] = { guest_policy(), guest_policy(), guest_policy() };
	struct sluice_policy *bare = guest_policy();
	struct confinement *c = builtins_only(bare);
	struct sluice_result r[3];

	(void)state;
	assert_int_equal(sluice_run(p[0], argv, &r[0], NULL), 0);
	assert_int_equal(sluice_run_with_extra_handlers(p[1], argv, NULL, 0, &r[1], NULL), 0);
	assert_int_equal(sluice_run_with_extra_handlers(p[2], argv, none, 0, &r[2], NULL), 0);
	for (int i = 0; i < 3; i++) {
		assert_same_confinement(p[i]->compiled, c);
		assert_int_equal(r[i].end, SLUICE_ENDED_EXIT);
		assert_int_equal(r[i].exit_code, 0);
		assert_int_equal(r[i].denied, 0);
		assert_true(r[i].notifications > 0);
		assert_int_equal(r[i].notifications, r[0].notifications);
		sluice_policy_unref(p[i]);
	}
	confinement_unref(c);
	sluice_policy_unref(bare);
}

static void test_a_call_joins_the_notify_list_once(void **state)
{
	struct sluice_handler extras[] = { answers(SYS_getpriority, &unused),
					   answers(SYS_uname, &unused),
					   answers(SYS_getpriority, &unused) };
	struct sluice_policy *p = guest_policy(), *bare = guest_policy();
	struct confinement *without = builtins_only(bare);
	const struct confinement *with;
	int n_getpriority = 0, n_uname = 0;

	(void)state;
	assert_int_equal(guest_run(p, extras, 3, "getpriority", "").exit_code, 0);
	with = p->compiled;
	assert_int_equal(with->n_notify, without->n_notify + 1);
	for (size_t i = 0; i < with->n_notify; i++) {
		n_getpriority += with->notify[i] == SYS_getpriority;
		n_uname += with->notify[i] == SYS_uname;
		assert_true(i == 0 || with->notify[i - 1] < with->notify[i]);
	}
	assert_int_equal(n_getpriority, 1);
	assert_int_equal(n_uname, 1);
	confinement_unref(without);
	sluice_policy_unref(bare);
	sluice_policy_unref(p);
}

static void test_trapped_only_when_an_extra_wants_it(void **state)
{
	struct record record = { 0 };
	struct answer a = { &record, 1, sluice_continue() };
	struct sluice_handler h[] = { answers(SYS_getpriority, &a), answers(SYS_getpriority, &a) };
	struct sluice_policy *p = guest_policy();
	uint64_t base = guest_run(p, NULL, 0, "getpriority", "100").notifications;

	(void)state;
	assert_int_equal(guest_run(p, h, 1, "getpriority", "100").notifications, base + 100);
	assert_int_equal(record.calls, 100);
	/* one notification serves all handlers */
	assert_int_equal(guest_run(p, h, 2, "getpriority", "100").notifications, base + 100);
	assert_int_equal(record.calls, 300);
	assert_int_equal(guest_run(p, NULL, 0, "getpriority", "100").notifications, base);
	sluice_policy_unref(p);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_constructor),
		cmocka_unit_test(test_an_accepted_handler_forks),
		cmocka_unit_test(test_numbers_that_are_no_call),
		cmocka_unit_test(test_calls_that_are_denied),
		cmocka_unit_test(test_calls_that_programs_never_retry),
		cmocka_unit_test(test_insist_traps_them_all_the_same),
		cmocka_unit_test(test_fields_out_of_range),
		cmocka_unit_test(test_the_second_of_two_is_named),
		cmocka_unit_test(test_sixty_four_on_one_call),
		cmocka_unit_test(test_empty_extras_change_nothing),
		cmocka_unit_test(test_a_call_joins_the_notify_list_once),
		cmocka_unit_test(test_trapped_only_when_an_extra_wants_it),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
