/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that is not what was asked for is noticed, whatever is wrong with it: each instruction is damaged in each way.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "confine/calls.h"
#include "confine/filter.h"
#include "confine/verify.h"
#include "policy/policy.h"
#include "sys/notif.h"

#include "../support/cmocka.h"

#define KILL SECCOMP_RET_KILL_THREAD

static const int trapped[] = { SYS_openat,
			       SYS_uname,
			       SYS_sendmmsg,
			       SYS_futex | NOTIF_WHERE_REFUSED,
			       SYS_clock_gettime | NOTIF_WHERE_REFUSED,
			       SYS_timer_settime | NOTIF_WHERE_REFUSED };

struct subject {
	struct call_deny deny[CALL_MAX];
	struct sock_fprog prog;
};

static int compile(void **state)
{
	struct subject *s = calloc(1, sizeof(*s));
	struct sluice_policy *p = sluice_policy_new();
	const int64_t start = 1;

	assert_non_null(s);
	assert_int_equal(sluice_policy_set_time_start(p, &start, NULL), 0);
	assert_int_equal(calls_deny_list(p, s->deny, NULL), 0);
	assert_int_equal(filter_compile(s->deny, trapped, N_OF(trapped), &s->prog, NULL), 0);
	sluice_policy_unref(p);
	*state = s;
	return 0;
}

static int discard(void **state)
{
	struct subject *s = *state;

	free(s->prog.filter);
	free(s);
	return 0;
}

static bool holds(const struct subject *s)
{
	return filter_holds(&s->prog, s->deny, trapped, N_OF(trapped));
}

/* Put @damaged in the place of instruction @i for a moment. */
static void noticed(struct subject *s, size_t i, struct sock_filter damaged)
{
	struct sock_filter *at = &s->prog.filter[i], whole = *at;

	if (!memcmp(at, &damaged, sizeof(damaged)))
		return;
	*at = damaged;
	if (holds(s))
		fail_msg("instruction %zu of %u: %#x %u %u %#x instead of %#x %u %u %#x: unnoticed",
			 i, s->prog.len, damaged.code, damaged.jt, damaged.jf, damaged.k,
			 whole.code, whole.jt, whole.jf, whole.k);
	*at = whole;
}

static struct sock_filter with_k(struct sock_filter f, uint32_t k)
{
	f.k = k;
	return f;
}

static void test_any_wrong_answer_is_noticed(void **state)
{
	static const uint32_t answers[] = { SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF,
					    SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ERRNO | ENOSYS,
					    SECCOMP_RET_LOG };
	struct subject *s = *state;
	int n = 0;

	assert_true(holds(s));
	for (size_t i = 0; i < s->prog.len; i++) {
		const struct sock_filter f = s->prog.filter[i];

		if (f.code != (BPF_RET | BPF_K))
			continue;
		n++;
		for (size_t k = 0; k < N_OF(answers); k++)
			noticed(s, i, with_k(f, answers[k]));
	}
	assert_true(n >= 5);
}

static void test_any_wrong_test_is_noticed(void **state)
{
	struct subject *s = *state;
	int n = 0;

	for (size_t i = 0; i < s->prog.len; i++) {
		const struct sock_filter f = s->prog.filter[i];
		struct sock_filter swapped = f;

		if (BPF_CLASS(f.code) != BPF_JMP || f.code == (BPF_JMP | BPF_JA))
			continue;
		n++;
		swapped.jt = f.jf;
		swapped.jf = f.jt;
		noticed(s, i, swapped);
		noticed(s, i, with_k(f, f.k + 1));
		noticed(s, i, with_k(f, f.k - 1));
		noticed(s, i, with_k(f, ~f.k));
	}
	assert_true(n > 90);
}

static void test_any_wrong_load_is_noticed(void **state)
{
	struct subject *s = *state;
	int n = 0;

	for (size_t i = 0; i < s->prog.len; i++) {
		const struct sock_filter f = s->prog.filter[i];

		if (f.code != (BPF_LD | BPF_W | BPF_ABS))
			continue;
		n++;
		noticed(s, i, with_k(f, f.k + 4));
		noticed(s, i, with_k(f, f.k >= 4 ? f.k - 4 : 4096));
	}
	assert_true(n > 15);
}

static void test_a_program_without_its_end_is_noticed(void **state)
{
	struct subject *s = *state;

	while (s->prog.len--)
		assert_false(holds(s));
}

static void test_another_list_is_noticed(void **state)
{
	struct subject *s = *state;

	for (int nr = 0; nr < CALL_MAX; nr++) {
		struct call_deny d = s->deny[nr];

		s->deny[nr] = d.error && !d.conditional ? (struct call_deny){ 0, false, false }
							: (struct call_deny){ EXDEV, false, false };
		assert_false(holds(s));
		s->deny[nr] = d;
	}
	assert_true(holds(s));
}

/* ---- the interpreter ---- */

static uint32_t run(const struct sock_filter *code, unsigned short n)
{
	struct sock_fprog prog = { n, (struct sock_filter *)code };
	struct seccomp_data data = { .nr = 7, .arch = 1, .args = { 0x1122334455667788 } };

	return verify_run(&prog, &data);
}

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(k) BPF_STMT(BPF_RET | BPF_K, k)

static void test_instructions(void **state)
{
	static const struct {
		uint16_t op;
		uint32_t k, wanted;
	} jumps[] = {
		{ BPF_JEQ, 7, 1 }, { BPF_JEQ, 8, 2 }, { BPF_JGT, 6, 1 },  { BPF_JGT, 7, 2 },
		{ BPF_JGE, 7, 1 }, { BPF_JGE, 8, 2 }, { BPF_JSET, 3, 1 }, { BPF_JSET, 8, 2 },
	};
	const struct sock_filter masked[] = {
		LOAD(args[0]),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff00),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x7700, 1, 0),
		ANSWER(2),
		BPF_STMT(BPF_JMP | BPF_JA, 1),
		ANSWER(3),
		ANSWER(1),
	};

	(void)state;
	for (size_t i = 0; i < N_OF(jumps); i++) {
		const struct sock_filter code[] = {
			LOAD(nr),
			BPF_JUMP(BPF_JMP | jumps[i].op | BPF_K, jumps[i].k, 1, 0),
			ANSWER(2),
			ANSWER(1),
		};

		assert_int_equal(run(code, N_OF(code)), jumps[i].wanted);
	}
	assert_int_equal(run(masked, N_OF(masked)), 1);
}

static void test_broken_programs_kill(void **state)
{
	const struct sock_filter off_the_end[] = { LOAD(nr) };
	const struct sock_filter far_jump[] = { BPF_STMT(BPF_JMP | BPF_JA, 0xfffffff0), ANSWER(1) };
	const struct sock_filter unknown[] = { BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1), ANSWER(1) };
	const struct sock_filter outside[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4096),
					       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
					       ANSWER(5), ANSWER(6) };

	(void)state;
	assert_int_equal(run(NULL, 0), KILL);
	assert_int_equal(run(off_the_end, N_OF(off_the_end)), KILL);
	assert_int_equal(run(far_jump, N_OF(far_jump)), KILL);
	assert_int_equal(run(unknown, N_OF(unknown)), KILL);
	assert_int_equal(run(outside, N_OF(outside)), 5); /* reads as 0, never beyond the call */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_any_wrong_answer_is_noticed, compile, discard),
		cmocka_unit_test_setup_teardown(test_any_wrong_test_is_noticed, compile, discard),
		cmocka_unit_test_setup_teardown(test_any_wrong_load_is_noticed, compile, discard),
		cmocka_unit_test_setup_teardown(test_a_program_without_its_end_is_noticed, compile,
						discard),
		cmocka_unit_test_setup_teardown(test_another_list_is_noticed, compile, discard),
		cmocka_unit_test(test_instructions),
		cmocka_unit_test(test_broken_programs_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
