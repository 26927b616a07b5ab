/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A compiled filter that is not what was asked for is refused, whatever it lacks.
 *
 * This program stands between the library and libseccomp: rules can be lost (as happens inside libseccomp when memory is short) and exported
 * programs can be damaged, while libseccomp reports success.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/calls.h"
#include "confine/confinement.h"
#include "confine/filter.h"
#include "confine/verify.h"
#include "policy/policy.h"

#include "../support/cmocka.h"

#define NOBODY (-1)
#define KILL SECCOMP_RET_KILL_THREAD

/* What goes wrong in the next compilation; counts start at 0 again with each. */
static struct {
	int lost_rule, rules;
	int damaged_answer, answers;
	bool cut, other_abis;
} fault = { NOBODY, 0, NOBODY, 0, false, false };

int seccomp_rule_add(scmp_filter_ctx ctx, uint32_t action, int nr, unsigned n, ...)
{
	struct scmp_arg_cmp args[6];
	va_list ap;

	va_start(ap, n);
	for (unsigned i = 0; i < n; i++)
		args[i] = va_arg(ap, struct scmp_arg_cmp);
	va_end(ap);
	if (fault.rules++ == fault.lost_rule)
		return 0;
	return seccomp_rule_add_array(ctx, action, nr, n, args);
}

/*
 * The answer number fault.damaged_answer becomes "allowed", or "refused" where it was that. Those to other ABIs are more than one in a row, so
 * they are lost together (fault.other_abis).
 */
static void damage(struct sock_filter *f)
{
	if (f->code != (BPF_RET | BPF_K))
		return;
	if (f->k == (SECCOMP_RET_ERRNO | ENOSYS)) {
		if (fault.other_abis)
			f->k = SECCOMP_RET_ALLOW;
		return;
	}
	if (fault.answers++ == fault.damaged_answer)
		f->k = f->k == SECCOMP_RET_ALLOW ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_ALLOW;
}

int seccomp_export_bpf(const scmp_filter_ctx ctx, int fd)
{
	int (*export)(scmp_filter_ctx, int) =
		(int (*)(scmp_filter_ctx, int))dlsym(RTLD_NEXT, "seccomp_export_bpf");
	struct sock_filter f;
	int r = export(ctx, fd);
	off_t at = 0;

	for (; r == 0 && pread(fd, &f, sizeof(f), at) == sizeof(f); at += (off_t)sizeof(f)) {
		damage(&f);
		assert_int_equal(pwrite(fd, &f, sizeof(f), at), sizeof(f));
	}
	if (fault.cut)
		assert_int_equal(ftruncate(fd, at - (off_t)sizeof(f)), 0);
	return r;
}

static int compile(void)
{
	static const int notify[] = { SYS_uname, SYS_openat };
	struct sluice_policy *p = sluice_policy_new();
	struct sock_fprog prog = { 0, NULL };
	struct call_deny deny[CALL_MAX];
	struct sluice_error err = { 0 };
	int r;

	fault.rules = fault.answers = 0;
	assert_int_equal(calls_deny_list(p, deny, &err), 0);
	r = filter_compile(deny, notify, N_OF(notify), &prog, &err);
	assert_true((r == 0) == (prog.filter != NULL));
	if (r < 0)
		assert_true(*err.text);
	free(prog.filter);
	sluice_policy_unref(p);
	return r;
}

static int whole(void **state)
{
	(void)state;
	fault.lost_rule = fault.damaged_answer = NOBODY;
	fault.cut = fault.other_abis = false;
	return compile();
}

static void test_any_lost_rule_is_noticed(void **state)
{
	int n = fault.rules;

	(void)state;
	assert_true(n > 60);
	for (fault.lost_rule = 0; fault.lost_rule < n; fault.lost_rule++) {
		if (compile() != -ENOMEM)
			fail_msg("rule %d of %d was lost unnoticed", fault.lost_rule, n);
	}
	assert_int_equal(whole(NULL), 0);
}

static void test_any_wrong_answer_is_noticed(void **state)
{
	int n = fault.answers;

	(void)state;
	assert_true(n > 8);
	for (fault.damaged_answer = 0; fault.damaged_answer < n; fault.damaged_answer++) {
		if (compile() != -ENOMEM)
			fail_msg("answer %d of %d was changed unnoticed", fault.damaged_answer, n);
	}
	assert_int_equal(whole(NULL), 0);
}

static void test_lost_answers_to_other_abis_are_noticed(void **state)
{
	(void)state;
	fault.other_abis = true;
	assert_int_equal(compile(), -ENOMEM);
	assert_int_equal(whole(NULL), 0);
}

static void test_a_program_without_its_end_is_noticed(void **state)
{
	(void)state;
	fault.cut = true;
	assert_int_equal(compile(), -ENOMEM);
	assert_int_equal(whole(NULL), 0);
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
		cmocka_unit_test_setup(test_any_lost_rule_is_noticed, whole),
		cmocka_unit_test_setup(test_any_wrong_answer_is_noticed, whole),
		cmocka_unit_test_setup(test_lost_answers_to_other_abis_are_noticed, whole),
		cmocka_unit_test_setup(test_a_program_without_its_end_is_noticed, whole),
		cmocka_unit_test(test_instructions),
		cmocka_unit_test(test_broken_programs_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
