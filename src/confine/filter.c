/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One seccomp program for all calls.
 *
 *	another architecture           -> ENOSYS
 *	binary search over the ranges of numbers that have the same answer:
 *		above the last known   -> ENOSYS (x32 is up there too)
 *		the deny list          -> its errno
 *		with a condition       -> a look at the arguments -> errno, or as the two below
 *		wanted by a handler    -> notification
 *		others                 -> allowed
 *
 * The kernel takes time at each start of a sandbox: it translates each instruction (0.15 us), and runs the program once for each number of both ABIs
 * to remember those that are always allowed (2.4 us for each instruction on the way). So the program is short, the search is balanced, the
 * other ABI is done with first, and nothing but the number is loaded for a call without conditions.
 *
 * libseccomp makes the same decisions from the same rules in nearly twice the instructions (it has a test for each number and each rule), and takes eight times as
 * long for that; tests/unit/test-filter.c compares the answers of both.
 */
#define _GNU_SOURCE
#include "confine/filter.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "confine/assemble.h"
#include "confine/conditions.h"
#include "confine/confinement.h"
#include "confine/verify.h"
#include "sys/notif.h"
#include "util/cleanup.h"
#include "util/fail.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "halves of arguments lie the other way round"
#endif
#define NR_OFFSET offsetof(struct seccomp_data, nr)
#define ARCH_OFFSET offsetof(struct seccomp_data, arch)
#define LOW_HALF(arg) (offsetof(struct seccomp_data, args) + 8 * (size_t)(arg))
#define HIGH_HALF(arg) (LOW_HALF(arg) + 4)
#define SOME_BITS 0xa5a5a5a5u /* where a mask says that they don't count */

static uint32_t refusal(int error)
{
	return SECCOMP_RET_ERRNO | (uint32_t)error;
}

/* ---- what is asked for ---- */

/* What becomes of a call. */
struct answer {
	const struct condition *condition; /* NULL: none */
	bool any_type, tree, tcp;	   /* of the condition */
	bool asked;			   /* a handler stands in for it where it may */
	uint32_t ret;			   /* where no condition refuses it */
	int only_with; /* such a call is allowed where this argument is 0, and only else `ret`; -1 */
};

static bool answers_equal(const struct answer *a, const struct answer *b)
{
	return a->condition == b->condition && a->any_type == b->any_type && a->tree == b->tree &&
	       a->tcp == b->tcp && a->ret == b->ret && a->asked == b->asked &&
	       a->only_with == b->only_with;
}

/* What a call gets that clause @c of its condition doesn't let pass. */
static uint32_t clause_refusal(const struct answer *a, const struct clause *c)
{
	return a->asked && c->asked ? SECCOMP_RET_USER_NOTIF : refusal(c->error);
}

static bool counts(const struct answer *a, const struct clause *c)
{
	return clause_counts(c, a->any_type, a->tree, a->asked);
}

static bool any_counts(const struct answer *a)
{
	for (size_t i = 0; i < a->condition->n_clauses; i++) {
		if (counts(a, &a->condition->clauses[i]))
			return true;
	}
	return false;
}

/* What handlers want of a call. */
struct wanted {
	bool always, where_refused;
	int only_with; /* of `always`: where this argument is not 0; -1: all */
};

/* @deny and @wanted by a handler: the denial is stronger. A condition that is not known refuses always. */
static struct answer answer_of(int nr, const struct call_deny *deny, struct wanted wanted)
{
	struct answer a = {
		.ret = wanted.always ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_ALLOW,
		.only_with = wanted.always ? wanted.only_with : -1,
	};

	if (deny->conditional) {
		a.condition = condition_of(nr);
		a.any_type = deny->any_type;
		a.tree = deny->tree;
		a.tcp = deny->tcp;
		a.asked = wanted.where_refused && a.condition;
	}
	if (deny->error && !a.condition)
		a = (struct answer){ .ret = refusal(deny->error), .only_with = -1 };
	else if (a.condition &&
		 !any_counts(&a)) /* as a call without one, for one range with those */
		a = (struct answer){ .ret = a.ret, .only_with = a.only_with };
	return a;
}

/* The answers of all calls, by number. */
static void answers_make(const struct call_deny *deny, const int *notify, size_t n_notify,
			 struct answer ret[CALL_MAX])
{
	struct wanted wanted[CALL_MAX] = { { .always = false } };

	for (size_t i = 0; i < n_notify; i++) {
		struct wanted *w = &wanted[NOTIF_NR(notify[i])];

		if (notify[i] & NOTIF_WHERE_REFUSED)
			w->where_refused = true;
		else
			*w = (struct wanted){ true, w->where_refused, NOTIF_ARG(notify[i]) };
	}
	for (int nr = 0; nr < CALL_MAX; nr++)
		ret[nr] = answer_of(nr, &deny[nr], wanted[nr]);
}

/* ---- the program ---- */

/* Numbers from @first to the next range's have the same answer. */
struct range {
	int first;
	struct answer answer;
};

/* A condition that is written down already. */
struct written {
	struct answer answer;
	size_t place;
};

struct compilation {
	struct assembly assembly;
	struct answer answers[CALL_MAX];
	struct range ranges[CALL_MAX + 1];
	size_t n_ranges;
	struct written written[2 * N_CONDITIONS]; /* allowed or trapped otherwise */
	size_t n_written;
};

static void ranges_make(struct compilation *c)
{
	c->n_ranges = 0;
	for (int nr = 0; nr <= CALL_LAST_KNOWN; nr++) {
		if (nr && answers_equal(&c->answers[nr], &c->answers[nr - 1]))
			continue;
		c->ranges[c->n_ranges++] = (struct range){ nr, c->answers[nr] };
	}
	c->ranges[c->n_ranges++] =
		(struct range){ CALL_MAX, { .ret = refusal(ENOSYS), .only_with = -1 } };
}

/* All 64 bits of @arg are @value. */
static size_t write_equal(struct assembly *a, unsigned arg, uint32_t value, size_t yes, size_t no)
{
	size_t high;

	assemble_test(a, BPF_JEQ, 0, yes, no);
	high = assemble_load(a, HIGH_HALF(arg));
	assemble_test(a, BPF_JEQ, value, high, no);
	return assemble_load(a, LOW_HALF(arg));
}

/* The lower half of an argument is one of the clause's values. */
static size_t write_listed(struct assembly *a, const struct clause *c, size_t yes, size_t no)
{
	for (size_t i = c->n; i-- > 0;)
		no = assemble_test(a, BPF_JEQ, c->values[i], yes, no);
	if (c->mask != UINT32_MAX)
		assemble_and(a, c->mask);
	return assemble_load(a, LOW_HALF(c->arg));
}

/* Where to go with a call of which all clauses that come later are satisfied at @pass. */
static size_t write_clause(struct assembly *a, const struct clause *c, uint32_t refused,
			   size_t pass)
{
	size_t refuse = assemble_return(a, refused);

	switch (c->kind) {
	case CLAUSE_NO_BIT:
		assemble_test(a, BPF_JSET, c->mask, refuse, pass);
		return assemble_load(a, LOW_HALF(c->arg));
	case CLAUSE_NOT_LISTED:
		return write_listed(a, c, refuse, pass);
	case CLAUSE_LISTED:
		return write_listed(a, c, pass, refuse);
	case CLAUSE_NOT_BOTH:
		refuse = write_listed(a, c, refuse, pass);
		assemble_test(a, BPF_JEQ, c->other_value, refuse, pass);
		return assemble_load(a, LOW_HALF(c->other));
	case CLAUSE_NOT_WITH:
		return write_listed(a, c, write_equal(a, c->other, 0, pass, refuse), pass);
	case CLAUSE_OWN:
		if (c->other != c->arg)
			refuse = write_equal(a, c->other, c->values[1], pass, refuse);
		return write_equal(a, c->arg, c->values[0], pass, refuse);
	}
	return refuse;
}

/* What nothing refuses. */
static size_t write_passed(struct assembly *a, const struct answer *answer)
{
	size_t place = assemble_return(a, answer->ret);

	if (answer->only_with < 0)
		return place;
	return write_equal(a, (unsigned)answer->only_with, 0, assemble_return(a, SECCOMP_RET_ALLOW),
			   place);
}

static size_t write_looking(struct assembly *a, const struct answer *answer)
{
	const size_t passed = write_passed(a, answer);
	size_t place = passed, tcp = passed;

	for (size_t i = answer->condition ? answer->condition->n_clauses : 0; i-- > 0;) {
		const struct clause *c = &answer->condition->clauses[i];

		if (counts(answer, c))
			place = write_clause(a, c, clause_refusal(answer, c), place);
	}
	for (size_t i = answer->tcp ? N_TCP_CLAUSES : 0; i-- > 0;)
		tcp = write_listed(a, &tcp_clauses[i], tcp, place);
	return answer->tcp ? tcp : place;
}

/* Calls that are treated alike share what is written. */
static size_t write_answer(struct compilation *c, const struct answer *answer)
{
	size_t place;

	if (!answer->condition && answer->only_with < 0)
		return assemble_return(&c->assembly, answer->ret);
	for (size_t i = 0; i < c->n_written; i++) {
		if (answers_equal(&c->written[i].answer, answer))
			return c->written[i].place;
	}
	place = write_looking(&c->assembly, answer);
	if (c->n_written < sizeof(c->written) / sizeof(c->written[0]))
		c->written[c->n_written++] = (struct written){ *answer, place };
	return place;
}

/* The search among ranges from @first to before @end. The number is loaded. */
static size_t write_search(struct compilation *c, size_t first, size_t end)
{
	size_t middle = first + (end - first) / 2;
	size_t above, below;

	if (end - first == 1)
		return write_answer(c, &c->ranges[first].answer);
	above = write_search(c, middle, end);
	below = write_search(c, first, middle);
	return assemble_test(&c->assembly, BPF_JGE, (uint32_t)c->ranges[middle].first, above,
			     below);
}

static int compile(struct compilation *c, struct sock_fprog *ret)
{
	struct assembly *a = &c->assembly;
	size_t search, other;

	ranges_make(c);
	/* at least two: the last refuses what is above all known numbers */
	write_search(c, 0, c->n_ranges);
	search = assemble_load(a, NR_OFFSET);
	other = assemble_return(a, refusal(ENOSYS));
	assemble_test(a, BPF_JEQ, VERIFY_ARCH, search, other);
	assemble_load(a, ARCH_OFFSET);
	return assemble_end(a, ret);
}

/* ---- the program against what was asked for ---- */

static uint32_t run(const struct sock_fprog *prog, int nr, const uint64_t args[6])
{
	struct seccomp_data data = { .nr = nr, .arch = VERIFY_ARCH };

	memcpy(data.args, args, sizeof(data.args));
	return verify_run(prog, &data);
}

/* Calls of other ABIs, which have other numbers, are not looked at but refused: another architecture, x32, beyond the last known. */
static bool other_abis_are_refused(const struct sock_fprog *prog)
{
	for (int nr = 0; nr < CALL_MAX; nr++) {
		int x32 = nr | VERIFY_X32_BIT, beyond = nr + CALL_MAX;

		if (verify_run_number(prog, nr, VERIFY_OTHER_ARCH) != refusal(ENOSYS) ||
		    verify_run_number(prog, x32, VERIFY_ARCH) != refusal(ENOSYS) ||
		    verify_run_number(prog, beyond, VERIFY_ARCH) != refusal(ENOSYS))
			return false;
	}
	return true;
}

/* What becomes of a call that nothing refuses. */
static uint32_t passed_of(const struct answer *answer, const uint64_t args[6])
{
	return answer->only_with >= 0 && !args[answer->only_with] ? SECCOMP_RET_ALLOW : answer->ret;
}

/* Give @args what @c lets pass. */
static void satisfy(const struct clause *c, uint64_t args[6])
{
	args[c->arg] = 0;
	if (c->kind == CLAUSE_LISTED || c->kind == CLAUSE_OWN)
		args[c->arg] = c->values[0];
	else if (c->kind == CLAUSE_NOT_LISTED)
		args[c->arg] = UINT32_MAX & ~c->values[0];
	else if (c->kind == CLAUSE_NOT_WITH)
		args[c->other] = 0;
}

static bool is_listed(const struct clause *c, uint32_t value)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->values[i] == value)
			return true;
	}
	return false;
}

/* With each value of a list, or (short masks) with all that there are, and one that is in no list. */
static bool list_holds(const struct sock_fprog *prog, int nr, const struct clause *c,
		       const struct answer *answer, uint64_t args[6])
{
	for (size_t i = 0; i < c->n + 0x10; i++) {
		uint32_t value =
			c->mask == UINT32_MAX ? 0x5a5a5a50 + (uint32_t)i : (uint32_t)(i & 0xf);
		bool refused;

		args[c->arg] = i < c->n ? c->values[i] | (~c->mask & SOME_BITS) : value;
		refused = is_listed(c, (uint32_t)args[c->arg] & c->mask) ==
			  (c->kind == CLAUSE_NOT_LISTED);
		if (run(prog, nr, args) !=
		    (refused ? clause_refusal(answer, c) : passed_of(answer, args)))
			return false;
	}
	return true;
}

/* With each single bit. */
static bool bits_hold(const struct sock_fprog *prog, int nr, const struct clause *c,
		      const struct answer *answer, uint64_t args[6])
{
	for (unsigned bit = 0; bit < 64; bit++) {
		args[c->arg] = UINT64_C(1) << bit;
		if (run(prog, nr, args) !=
		    (args[c->arg] & c->mask ? clause_refusal(answer, c) : passed_of(answer, args)))
			return false;
	}
	return true;
}

/* With another process, in the lower and in the upper half. */
static bool own_holds(const struct sock_fprog *prog, int nr, const struct clause *c,
		      const struct answer *answer, uint64_t args[6])
{
	static const uint64_t differences[] = { 1, UINT64_C(1) << 32 };
	bool two = c->other != c->arg;

	for (unsigned i = 0; i < 2; i++) {
		args[c->arg] = c->values[0] ^ differences[i];
		args[c->other] = two ? c->values[1] ^ differences[i] : args[c->arg];
		if (run(prog, nr, args) != clause_refusal(answer, c))
			return false;
		if (!two)
			continue;
		args[c->other] = c->values[1];
		if (run(prog, nr, args) != passed_of(answer, args))
			return false;
	}
	return true;
}

/* With each value of the list, and others, where the other argument is its value and where it is not. */
static bool both_hold(const struct sock_fprog *prog, int nr, const struct clause *c,
		      const struct answer *answer, uint64_t args[6])
{
	for (uint32_t i = 0; i <= 0xff; i++) {
		args[c->arg] = i;
		args[c->other] = c->other_value;
		if (run(prog, nr, args) !=
		    (is_listed(c, i) ? clause_refusal(answer, c) : passed_of(answer, args)))
			return false;
		args[c->other] = UINT32_MAX - 1;
		if (run(prog, nr, args) != passed_of(answer, args))
			return false;
	}
	return true;
}

/* With each value of the list, with each bit that the mask leaves out beside it, and others; where the other argument is 0, and with each single bit in it. */
static bool with_holds(const struct sock_fprog *prog, int nr, const struct clause *c,
		       const struct answer *answer, uint64_t args[6])
{
	for (size_t i = 0; i < c->n + 0x20; i++) {
		for (unsigned bit = 0; bit <= 64; bit++) {
			bool with = bit < 64;

			args[c->arg] = i < c->n ? c->values[i] | ~c->mask : 0x5a5a5a50 + i;
			args[c->other] = with ? UINT64_C(1) << bit : 0;
			if (run(prog, nr, args) != (with && is_listed(c, args[c->arg] & c->mask)
							    ? clause_refusal(answer, c)
							    : passed_of(answer, args)))
				return false;
		}
	}
	return true;
}

static bool clause_holds(const struct sock_fprog *prog, int nr, const struct clause *c,
			 const struct answer *answer, uint64_t args[6])
{
	switch (c->kind) {
	case CLAUSE_NO_BIT:
		return bits_hold(prog, nr, c, answer, args);
	case CLAUSE_NOT_BOTH:
		return both_hold(prog, nr, c, answer, args);
	case CLAUSE_NOT_WITH:
		return with_holds(prog, nr, c, answer, args);
	case CLAUSE_OWN:
		return own_holds(prog, nr, c, answer, args);
	default:
		return list_holds(prog, nr, c, answer, args);
	}
}

/* Each clause alone, the others being satisfied; and all of them. Arguments that no clause looks at are @rest. */
static bool clauses_hold(const struct sock_fprog *prog, int nr, const struct answer *answer,
			 uint64_t rest)
{
	const struct condition *c = answer->condition;
	uint64_t args[6];

	for (size_t i = 0; i < c->n_clauses; i++) {
		if (!counts(answer, &c->clauses[i]))
			continue;
		for (size_t k = 0; k < 6; k++)
			args[k] = rest;
		for (size_t k = 0; k < c->n_clauses; k++) {
			if (counts(answer, &c->clauses[k]))
				satisfy(&c->clauses[k], args);
		}
		if (run(prog, nr, args) != passed_of(answer, args) ||
		    !clause_holds(prog, nr, &c->clauses[i], answer, args))
			return false;
	}
	return true;
}

/* Of those that count. */
static bool lists_pass(const struct answer *answer, const struct clause *clauses, size_t n,
		       const uint64_t args[6], const struct clause **ret_first)
{
	for (size_t i = 0; i < n; i++) {
		if (!counts(answer, &clauses[i]))
			continue;
		*ret_first = &clauses[i];
		if (!is_listed(&clauses[i], (uint32_t)args[clauses[i].arg] & clauses[i].mask))
			return false;
	}
	return true;
}

/* Every kind of socket, with the flags of its type, and not. */
static bool sockets_hold(const struct sock_fprog *prog, int nr, const struct answer *answer)
{
	const struct condition *c = answer->condition;

	for (uint64_t i = 0; i < 64 * 32 * 8; i++) {
		static const uint64_t protocols[] = { 0,   IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP,
						      262, UINT32_MAX,	 1ULL << 32,  255 };
		const uint64_t flags = i & 0x10 ? SOCK_CLOEXEC | SOCK_NONBLOCK : 0;
		const uint64_t args[6] = { i >> 5 & 63, (i & 0xf) | flags, protocols[i >> 11] };
		const struct clause *by;
		uint32_t expected = passed_of(answer, args);

		if (!lists_pass(answer, tcp_clauses, N_TCP_CLAUSES, args, &by) &&
		    !lists_pass(answer, c->clauses, c->n_clauses, args, &by))
			expected = clause_refusal(answer, by);
		if (run(prog, nr, args) != expected)
			return false;
	}
	return true;
}

static bool condition_holds(const struct sock_fprog *prog, int nr, const struct answer *answer)
{
	return clauses_hold(prog, nr, answer, 0) && clauses_hold(prog, nr, answer, UINT64_MAX) &&
	       (!answer->tcp || sockets_hold(prog, nr, answer));
}

/* Without a condition: nothing in the arguments, and single bits in each. */
static bool trap_holds(const struct sock_fprog *prog, int nr, const struct answer *answer)
{
	uint64_t args[6] = { 0 };

	if (answer->only_with < 0)
		return verify_run_number(prog, nr, VERIFY_ARCH) == answer->ret;
	for (unsigned i = 0; i < 6 * 64; i++) {
		args[i / 64] = UINT64_C(1) << i % 64;
		if (run(prog, nr, args) != passed_of(answer, args))
			return false;
		args[i / 64] = 0;
	}
	return run(prog, nr, args) == passed_of(answer, args);
}

bool filter_holds(const struct sock_fprog *prog, const struct call_deny *deny, const int *notify,
		  size_t n_notify)
{
	struct answer answers[CALL_MAX];

	answers_make(deny, notify, n_notify, answers);
	for (int nr = 0; nr < CALL_MAX; nr++) {
		const struct answer *a = &answers[nr];

		if (a->condition ? !condition_holds(prog, nr, a) : !trap_holds(prog, nr, a))
			return false;
	}
	return other_abis_are_refused(prog);
}

int filter_compile(const struct call_deny *deny, const int *notify, size_t n_notify,
		   struct sock_fprog *ret, struct sluice_error *err)
{
	_cleanup_free_ struct compilation *c = malloc(sizeof(*c));
	int r;

	if (!c)
		return fail_errno(err, -ENOMEM, "seccomp filter");
	c->assembly.n = c->n_written = 0;
	answers_make(deny, notify, n_notify, c->answers);
	r = compile(c, ret);
	if (r == 0 && !filter_holds(ret, deny, notify, n_notify)) {
		free(ret->filter);
		*ret = (struct sock_fprog){ 0, NULL };
		return fail(err, -EFAULT, "seccomp filter: not what the policy asks for");
	}
	return r < 0 ? fail_errno(err, r, "seccomp filter") : 0;
}
