/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiled seccomp program, run call by call through an interpreter and compared with the policy that it was compiled from.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "confine/calls.h"
#include "confine/confinement.h"
#include "confine/filter.h"
#include "policy/policy.h"
#include "sys/notif.h"

#include "../support/cmocka.h"
#include "../support/filter-oracle.h"

#if defined(__x86_64__)
#define ARCH_HERE AUDIT_ARCH_X86_64
#define X32_BIT 0x40000000
#else
#define ARCH_HERE AUDIT_ARCH_AARCH64
#endif
#define ALLOW SECCOMP_RET_ALLOW
#define NOTIFY SECCOMP_RET_USER_NOTIF
#define REFUSE(error) (SECCOMP_RET_ERRNO | (error))
#define HIGH (UINT64_C(1) << 40) /* above what the kernel takes of a 32-bit argument */

/* ---- the interpreter: what the kernel accepts of seccomp programs, as far as they use it ---- */

struct machine {
	uint32_t a;
	bool looked_at_arguments;
};

static uint32_t load(struct machine *m, const struct seccomp_data *data, uint32_t at)
{
	uint32_t word;

	assert_true(at % 4 == 0 && at + 4 <= sizeof(*data));
	if (at >= offsetof(struct seccomp_data, args))
		m->looked_at_arguments = true;
	memcpy(&word, (const char *)data + at, sizeof(word));
	return word;
}

static bool taken(const struct sock_filter *f, uint32_t a)
{
	switch (BPF_OP(f->code)) {
	case BPF_JEQ:
		return a == f->k;
	case BPF_JGT:
		return a > f->k;
	case BPF_JGE:
		return a >= f->k;
	case BPF_JSET:
		return a & f->k;
	default:
		fail_msg("jump %#x", f->code);
		return false;
	}
}

static uint32_t run(const struct sock_fprog *prog, const struct seccomp_data *data,
		    struct machine *m)
{
	memset(m, 0, sizeof(*m));
	for (size_t pc = 0; pc < prog->len; pc++) {
		const struct sock_filter *f = &prog->filter[pc];

		switch (BPF_CLASS(f->code)) {
		case BPF_LD:
			assert_int_equal(f->code, BPF_LD | BPF_W | BPF_ABS);
			m->a = load(m, data, f->k);
			break;
		case BPF_ALU:
			assert_int_equal(f->code, BPF_ALU | BPF_AND | BPF_K);
			m->a &= f->k;
			break;
		case BPF_JMP:
			if (BPF_OP(f->code) == BPF_JA)
				pc += f->k;
			else
				pc += taken(f, m->a) ? f->jt : f->jf;
			break;
		case BPF_RET:
			assert_int_equal(f->code, BPF_RET | BPF_K);
			return f->k;
		default:
			fail_msg("instruction %#x", f->code);
		}
	}
	fail_msg("the program ran off its end");
	return 0;
}

/* ---- compiled policies ---- */

static void compile(const struct sluice_policy *p, const int *notify, size_t n,
		    struct sock_fprog *ret)
{
	struct call_deny deny[CALL_MAX];
	struct sluice_error err = { 0 };

	assert_int_equal(calls_deny_list(p, deny, &err), 0);
	if (filter_compile(deny, notify, n, ret, &err) < 0)
		fail_msg("%s", err.text);
}

static uint32_t ask(const struct sock_fprog *prog, int nr, unsigned arg, uint64_t value)
{
	struct seccomp_data data = { .nr = nr, .arch = ARCH_HERE };
	struct machine m;

	if (nr == SYS_socket || nr == SYS_socketpair)
		data.args[1] = SOCK_STREAM;
	data.args[arg] = value;
	return run(prog, &data, &m);
}

static void test_every_call_as_the_policy_says(void **state)
{
	struct sluice_policy *p = sluice_policy_new();
	struct call_deny deny[CALL_MAX];
	struct sock_fprog prog;
	int denied = 0;

	(void)state;
	assert_int_equal(sluice_policy_deny_syscall(p, "getcwd", NULL), 0);
	assert_int_equal(sluice_policy_allow_syscall(p, "ptrace", NULL), 0);
	assert_int_equal(calls_deny_list(p, deny, NULL), 0);
	compile(p, NULL, 0, &prog);
	for (int nr = 0; nr < CALL_MAX; nr++) {
		uint32_t wanted = deny[nr].error ? REFUSE((uint32_t)deny[nr].error) : ALLOW;

		if (deny[nr].conditional)
			continue;
		denied += wanted != ALLOW;
		if (ask(&prog, nr, 0, 0) != wanted || ask(&prog, nr, 0, ~0ULL) != wanted)
			fail_msg("call %d: %#x, not %#x", nr, ask(&prog, nr, 0, 0), wanted);
	}
	assert_true(denied > 30);
	assert_int_equal(ask(&prog, SYS_getcwd, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&prog, SYS_ptrace, 0, 0), ALLOW);
	assert_int_equal(ask(&prog, SYS_clone3, 0, 0), REFUSE(ENOSYS));
	free(prog.filter);
	sluice_policy_unref(p);
}

static void test_conditions_on_arguments(void **state)
{
	static const struct {
		int nr;
		unsigned arg;
		uint64_t value;
		uint32_t wanted;
	} cases[] = {
		{ SYS_socket, 0, AF_UNIX, ALLOW },
		{ SYS_socket, 0, AF_UNIX | HIGH, ALLOW }, /* the kernel sees AF_UNIX too */
		{ SYS_socket, 0, AF_INET, REFUSE(EACCES) },
		{ SYS_socket, 0, AF_INET6, REFUSE(EACCES) },
		{ SYS_socket, 0, AF_INET | HIGH, REFUSE(EACCES) },
		{ SYS_socket, 0, AF_NETLINK, REFUSE(EACCES) },
		{ SYS_socket, 0, AF_PACKET, REFUSE(EACCES) },
		{ SYS_socket, 0, AF_VSOCK, REFUSE(EACCES) },
		{ SYS_socket, 0, AF_ALG, REFUSE(EACCES) },
		{ SYS_socketpair, 0, AF_UNIX, ALLOW },
		{ SYS_socketpair, 0, AF_INET, REFUSE(EACCES) },
		{ SYS_clone, 0, 17 /* SIGCHLD */, ALLOW },
		{ SYS_clone, 0, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_FILES, ALLOW },
		{ SYS_clone, 0, CLONE_NEWUSER | 17, REFUSE(EPERM) },
		{ SYS_clone, 0, CLONE_NEWNS | CLONE_VM, REFUSE(EPERM) },
		{ SYS_clone, 0, CLONE_NEWNET | HIGH, REFUSE(EPERM) },
		{ SYS_clone, 0, CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS, REFUSE(EPERM) },
		{ SYS_clone, 0, CLONE_NEWCGROUP, REFUSE(EPERM) },
		{ SYS_unshare, 0, CLONE_FS, ALLOW },
		{ SYS_unshare, 0, CLONE_NEWUSER, REFUSE(EPERM) },
		{ SYS_unshare, 0, 0x80 /* CLONE_NEWTIME */, REFUSE(EPERM) },
		{ SYS_ioctl, 1, TCGETS, ALLOW },
		{ SYS_ioctl, 1, TIOCSTI, REFUSE(EPERM) },
		{ SYS_ioctl, 1, TIOCSTI | HIGH, REFUSE(EPERM) },
		{ SYS_ioctl, 1, 0x541c /* TIOCLINUX */, REFUSE(EPERM) },
		{ SYS_personality, 0, 0xffffffff, ALLOW },
		{ SYS_personality, 0, 0, ALLOW },
		{ SYS_personality, 0, 0x0040000 /* ADDR_NO_RANDOMIZE */, ALLOW },
		{ SYS_personality, 0, 0x0400000 /* READ_IMPLIES_EXEC */, REFUSE(EPERM) },
		{ SYS_sendto, 3, MSG_NOSIGNAL, ALLOW },
		{ SYS_sendto, 3, 0x20000000 /* MSG_FASTOPEN */, REFUSE(EOPNOTSUPP) },
		{ SYS_sendmsg, 2, 0x20000000 | MSG_DONTWAIT, REFUSE(EOPNOTSUPP) },
		{ SYS_sendmmsg, 3, 0x20000000, REFUSE(EOPNOTSUPP) },
		{ SYS_sendmmsg, 3, 0, ALLOW },
	};
	struct sluice_policy *p = sluice_policy_new();
	const int notify[] = { SYS_sendto,  SYS_ioctl, SYS_socket, SYS_socketpair,
			       SYS_sendmsg, SYS_clone, SYS_unshare };
	struct sock_fprog plain, trapping;

	(void)state;
	compile(p, NULL, 0, &plain);
	compile(p, notify, N_OF(notify), &trapping);
	for (size_t i = 0; i < N_OF(cases); i++) {
		uint32_t got = ask(&plain, cases[i].nr, cases[i].arg, cases[i].value);
		uint32_t trapped = ask(&trapping, cases[i].nr, cases[i].arg, cases[i].value);
		uint32_t wanted = cases[i].wanted;

		if (got != wanted)
			fail_msg("case %zu: %#x, not %#x", i, got, wanted);
		/* what is refused stays refused when a handler wants the call */
		for (size_t k = 0; k < N_OF(notify); k++) {
			if (wanted == ALLOW && notify[k] == cases[i].nr)
				wanted = NOTIFY;
		}
		if (trapped != wanted)
			fail_msg("case %zu, trapped: %#x, not %#x", i, trapped, wanted);
	}
	free(plain.filter);
	free(trapping.filter);
	sluice_policy_unref(p);
}

/* With a clock of the command's own: what of its calls is asked, refused where nobody answers, or as ever. */
static void test_calls_that_know_the_time_of_day(void **state)
{
	static const struct {
		int nr;
		uint64_t args[6];
		bool asked, absent;
	} cases[] = {
		{ SYS_clock_gettime, { CLOCK_REALTIME }, true, false },
		{ SYS_clock_gettime, { CLOCK_REALTIME_COARSE }, true, false },
		{ SYS_clock_gettime, { CLOCK_TAI | HIGH }, true, false },
		{ SYS_clock_gettime, { CLOCK_MONOTONIC }, false, false },
		{ SYS_clock_gettime, { CLOCK_PROCESS_CPUTIME_ID }, false, false },
		{ SYS_clock_nanosleep, { CLOCK_REALTIME, TIMER_ABSTIME }, true, false },
		{ SYS_clock_nanosleep, { CLOCK_REALTIME, 0 }, false, false },
		{ SYS_clock_nanosleep, { CLOCK_MONOTONIC, TIMER_ABSTIME }, false, false },
		{ SYS_futex, { 8, 9 | 256 | 128, 0, 8 }, true, false },
		{ SYS_futex, { 8, 9 | 256, 0, HIGH }, true, false },
		{ SYS_futex, { 8, 9 | 256 | 128, 0, 0 }, false, false },
		{ SYS_futex, { 8, 9 | 128, 0, 8 }, false, false },
		{ SYS_futex, { 8, 0 | 128, 0, 8 }, false, false },
		{ SYS_futex, { 8, 1 | 128, 1, 8 }, false, false },
		{ SYS_futex, { 8, 6 | 128, 0, 8 }, true, false },
		{ SYS_timer_settime, { 1, TIMER_ABSTIME }, true, false },
		{ SYS_timer_settime, { 1, 0 }, false, false },
		{ SYS_timerfd_settime, { 1, TIMER_ABSTIME }, true, false },
		{ SYS_timerfd_settime, { 1, 0 }, false, false },
		{ SYS_futex_waitv, { 8, 1, 0, 8, CLOCK_REALTIME }, false, true },
		{ SYS_futex_waitv, { 8, 1, 0, 8, CLOCK_MONOTONIC }, false, false },
		{ SYS_futex_waitv, { 8, 1, 0, 0, CLOCK_REALTIME }, false, false },
		{ SYS_mq_timedsend, { 3, 8, 1, 0, 8 }, false, true },
		{ SYS_mq_timedreceive, { 3, 8, 1, 0, HIGH }, false, true },
		{ SYS_mq_timedreceive, { 3, 8, 1, 0, 0 }, false, false },
	};
	const int notify[] = { SYS_clock_gettime | NOTIF_WHERE_REFUSED,
			       SYS_clock_nanosleep | NOTIF_WHERE_REFUSED,
			       SYS_futex | NOTIF_WHERE_REFUSED,
			       SYS_timer_settime | NOTIF_WHERE_REFUSED,
			       SYS_timerfd_settime | NOTIF_WHERE_REFUSED };
	struct sluice_policy *p = sluice_policy_new();
	struct sock_fprog progs[3];
	const int64_t start = 1;

	(void)state;
	compile(p, NULL, 0, &progs[0]);
	assert_int_equal(sluice_policy_set_time_start(p, &start, NULL), 0);
	compile(p, NULL, 0, &progs[1]);
	compile(p, notify, N_OF(notify), &progs[2]);
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct seccomp_data data = { .nr = cases[i].nr, .arch = ARCH_HERE };
		bool special = cases[i].asked || cases[i].absent;
		uint32_t wanted[] = { ALLOW, special ? REFUSE(ENOSYS) : ALLOW,
				      cases[i].asked	? NOTIFY
				      : cases[i].absent ? REFUSE(ENOSYS)
							: ALLOW };

		memcpy(data.args, cases[i].args, sizeof(data.args));
		for (size_t k = 0; k < N_OF(progs); k++) {
			struct machine m;

			if (run(&progs[k], &data, &m) != wanted[k])
				fail_msg("case %zu, program %zu: not %#x", i, k, wanted[k]);
		}
	}
	for (size_t k = 0; k < N_OF(progs); k++)
		free(progs[k].filter);
	sluice_policy_unref(p);
}

/* @domain and @type of a socket. */
static uint32_t ask_socket(const struct sock_fprog *prog, int nr, uint64_t domain, uint64_t type)
{
	struct seccomp_data data = { .nr = nr, .arch = ARCH_HERE, .args = { domain, type } };
	struct machine m;

	return run(prog, &data, &m);
}

static void test_types_of_sockets(void **state)
{
	static const int makers[] = { SYS_socket, SYS_socketpair };
	static const uint64_t flags[] = { 0, SOCK_CLOEXEC, SOCK_NONBLOCK,
					  SOCK_CLOEXEC | SOCK_NONBLOCK, HIGH };
	struct sluice_policy *p = sluice_policy_new();
	struct call_deny deny[CALL_MAX];
	struct sock_fprog prog, any;

	(void)state;
	assert_int_equal(calls_deny_list(p, deny, NULL), 0);
	assert_int_equal(filter_compile(deny, NULL, 0, &prog, NULL), 0);
	calls_allow_any_socket_type(deny);
	assert_int_equal(filter_compile(deny, NULL, 0, &any, NULL), 0);
	for (size_t i = 0; i < N_OF(makers) * N_OF(flags) * 16; i++) {
		int nr = makers[i % 2];
		uint64_t type = i / 2 % 16 | flags[i / 32];
		bool sends = i / 2 % 16 != SOCK_STREAM && i / 2 % 16 != SOCK_SEQPACKET;

		assert_int_equal(ask_socket(&prog, nr, AF_UNIX, type),
				 sends ? REFUSE(EACCES) : ALLOW);
		assert_int_equal(ask_socket(&any, nr, AF_UNIX, type), ALLOW);
		assert_int_equal(ask_socket(&prog, nr, AF_INET, type), REFUSE(EACCES));
		assert_int_equal(ask_socket(&any, nr, AF_INET, type), REFUSE(EACCES));
	}
	free(prog.filter);
	free(any.filter);
	sluice_policy_unref(p);
}

/* What a kernel of the internet would make of it is none of the filter's business: only which sockets nobody is asked about. */
static void test_sockets_that_a_handler_decides_on(void **state)
{
	static const int asked[] = { SYS_socket | NOTIF_WHERE_REFUSED };
	static const int domains[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET };
	static const uint64_t protocols[] = { 0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_MPTCP,
					      IPPROTO_TCP | HIGH };

	(void)state;
	for (int way = 0; way < 4; way++) {
		const bool tcp = way & 1, allowed_by_policy = way & 2;
		struct sluice_policy *p = sluice_policy_new();
		struct call_deny deny[CALL_MAX];
		struct sock_fprog prog;

		if (allowed_by_policy)
			sluice_policy_allow_syscall(p, "socket", NULL);
		assert_int_equal(calls_deny_list(p, deny, NULL), 0);
		calls_leave_sockets_to_handler(deny, tcp);
		assert_int_equal(filter_compile(deny, asked, N_OF(asked), &prog, NULL), 0);
		for (unsigned i = 0; i < N_OF(domains) * N_OF(protocols) * 16; i++) {
			const uint64_t args[] = { (uint64_t)domains[i / 16 % N_OF(domains)],
						  i % 16 | (i % 3 ? SOCK_CLOEXEC : 0),
						  protocols[i / 16 / N_OF(domains)] };
			const bool is_tcp = (args[0] == AF_INET || args[0] == AF_INET6) &&
					    i % 16 == SOCK_STREAM &&
					    (!args[2] || (uint32_t)args[2] == IPPROTO_TCP);
			const bool is_plain_unix = args[0] == AF_UNIX && (i % 16 == SOCK_STREAM ||
									  i % 16 == SOCK_SEQPACKET);
			struct seccomp_data data = { .nr = SYS_socket,
						     .arch = ARCH_HERE,
						     .args = { args[0], args[1], args[2] } };
			struct machine m;

			assert_int_equal(run(&prog, &data, &m), (is_tcp && tcp) || is_plain_unix
									? ALLOW
									: SECCOMP_RET_USER_NOTIF);
		}
		free(prog.filter);
		sluice_policy_unref(p);
	}
}

/* A policy that refuses socket(2) refuses it, whatever rules of the network it has. */
static void test_denied_sockets_stay_denied(void **state)
{
	static const int asked[] = { SYS_socket | NOTIF_WHERE_REFUSED };
	struct sluice_policy *p = sluice_policy_new();
	struct call_deny deny[CALL_MAX];
	struct sock_fprog prog;

	(void)state;
	sluice_policy_deny_syscall(p, "socket", NULL);
	assert_int_equal(calls_deny_list(p, deny, NULL), 0);
	calls_leave_sockets_to_handler(deny, true);
	assert_int_equal(filter_compile(deny, asked, N_OF(asked), &prog, NULL), 0);
	assert_int_equal(ask_socket(&prog, SYS_socket, AF_INET, SOCK_STREAM), REFUSE(EPERM));
	assert_int_equal(ask_socket(&prog, SYS_socket, AF_UNIX, SOCK_STREAM), REFUSE(EPERM));
	free(prog.filter);
	sluice_policy_unref(p);
}

static void test_conditions_go_when_a_policy_allows_the_call(void **state)
{
	struct sluice_policy *p = sluice_policy_new();
	struct sock_fprog prog;

	(void)state;
	assert_int_equal(sluice_policy_allow_syscall(p, "socket", NULL), 0);
	assert_int_equal(sluice_policy_allow_syscall(p, "@namespace", NULL), 0);
	compile(p, NULL, 0, &prog);
	assert_int_equal(ask(&prog, SYS_socket, 0, AF_INET), ALLOW);
	assert_int_equal(ask(&prog, SYS_socketpair, 0, AF_INET), REFUSE(EACCES));
	assert_int_equal(ask(&prog, SYS_clone, 0, CLONE_NEWUSER), ALLOW);
	assert_int_equal(ask(&prog, SYS_chroot, 0, 0), ALLOW);
	free(prog.filter);
	sluice_policy_unref(p);
}

static void test_notify_traps_its_calls_and_no_other(void **state)
{
	struct sluice_policy *p = sluice_policy_new();
	struct call_deny deny[CALL_MAX];
	const int notify[] = { SYS_openat, SYS_uname, SYS_getpriority };
	struct sock_fprog none, some;

	(void)state;
	assert_int_equal(calls_deny_list(p, deny, NULL), 0);
	compile(p, NULL, 0, &none);
	compile(p, notify, N_OF(notify), &some);
	for (int nr = 0; nr < CALL_MAX; nr++) {
		uint32_t before = ask(&none, nr, 0, 0), after = ask(&some, nr, 0, 0);
		bool wanted = nr == SYS_openat || nr == SYS_uname || nr == SYS_getpriority;

		assert_true(before != NOTIFY);
		assert_int_equal(after, wanted ? NOTIFY : before);
	}
	free(none.filter);
	free(some.filter);
	sluice_policy_unref(p);
}

/* A number that is both in the notify set and refused keeps its refusal. */
static void test_a_refusal_is_stronger_than_a_trap(void **state)
{
	struct sluice_policy *p = sluice_policy_new();
	const int notify[] = { SYS_ptrace };
	struct sock_fprog prog;

	(void)state;
	compile(p, notify, 1, &prog);
	assert_int_equal(ask(&prog, SYS_ptrace, 0, 0), REFUSE(EPERM));
	free(prog.filter);
	sluice_policy_unref(p);
}

static void test_numbers_that_no_kernel_we_know_has(void **state)
{
	static const uint32_t numbers[] = { CALL_MAX, CALL_MAX + 1, 512,       1000,
					    10000,    0x7fffffff,   0xffffffff };
	struct sluice_policy *p = sluice_policy_new();
	const int notify[] = { SYS_uname };
	struct sock_fprog prog;

	(void)state;
	compile(p, notify, 1, &prog);
	for (size_t i = 0; i < N_OF(numbers); i++)
		assert_int_equal(ask(&prog, (int)numbers[i], 0, 0), REFUSE(ENOSYS));
	free(prog.filter);
	sluice_policy_unref(p);
}

static void test_other_abis(void **state)
{
	struct sluice_policy *p = sluice_policy_new();
	const int notify[] = { SYS_uname };
	struct seccomp_data data;
	struct sock_fprog prog;
	struct machine m;

	(void)state;
	compile(p, notify, 1, &prog);
	for (int nr = 0; nr < CALL_MAX; nr++) {
#ifdef X32_BIT
		assert_int_equal(ask(&prog, nr | X32_BIT, 0, 0), REFUSE(ENOSYS));
#endif
		data = (struct seccomp_data){ .nr = nr, .arch = AUDIT_ARCH_I386 };
		assert_int_equal(run(&prog, &data, &m), REFUSE(ENOSYS));
		data.arch = AUDIT_ARCH_ARM;
		assert_int_equal(run(&prog, &data, &m), REFUSE(ENOSYS));
	}
	free(prog.filter);
	sluice_policy_unref(p);
}

/* The kernel remembers numbers that are always allowed, as long as nothing but number and architecture was looked at. */
static void test_arguments_are_left_alone_without_a_condition(void **state)
{
	struct sluice_policy *p = sluice_policy_new();
	struct call_deny deny[CALL_MAX];
	const int notify[] = { SYS_uname };
	struct sock_fprog prog;
	int looked = 0;

	(void)state;
	assert_int_equal(calls_deny_list(p, deny, NULL), 0);
	compile(p, notify, 1, &prog);
	for (int nr = 0; nr < CALL_MAX; nr++) {
		struct seccomp_data data = { .nr = nr, .arch = ARCH_HERE };
		struct machine m;

		run(&prog, &data, &m);
		looked += m.looked_at_arguments;
		if (!deny[nr].conditional)
			assert_false(m.looked_at_arguments);
	}
	assert_true(looked >= 8); /* the interpreter does notice */
	free(prog.filter);
	sluice_policy_unref(p);
}

static void test_same_input_same_bytes(void **state)
{
	struct sluice_policy *a = sluice_policy_new(), *b = sluice_policy_new();
	const int notify[] = { SYS_openat, SYS_uname }, one[] = { SYS_uname };
	struct sock_fprog x, y, z;

	(void)state;
	compile(a, notify, 2, &x);
	compile(b, notify, 2, &y);
	compile(b, one, 1, &z);
	assert_int_equal(x.len, y.len);
	assert_memory_equal(x.filter, y.filter, x.len * sizeof(*x.filter));
	assert_true(z.len != x.len || memcmp(z.filter, x.filter, x.len * sizeof(*x.filter)) != 0);
	free(x.filter);
	free(y.filter);
	free(z.filter);
	sluice_policy_unref(a);
	sluice_policy_unref(b);
}

/* Every jump of the linked program stays inside, and all calls trapped at once still fit. */
static void test_the_largest_program_fits(void **state)
{
	struct sluice_policy *p = sluice_policy_new();
	struct call_deny deny[CALL_MAX];
	struct sock_fprog prog;
	int notify[CALL_MAX];
	size_t n = 0;

	(void)state;
	assert_int_equal(calls_deny_list(p, deny, NULL), 0);
	for (int nr = 0; nr < CALL_MAX; nr++) {
		if (syscall_name(nr))
			notify[n++] = nr;
	}
	compile(p, notify, n, &prog);
	assert_true(prog.len <= BPF_MAXINSNS);
	for (size_t i = 0; i < n; i++) {
		if (!deny[notify[i]].error)
			assert_int_equal(ask(&prog, notify[i], 0, 0), NOTIFY);
	}
	free(prog.filter);
	sluice_policy_unref(p);
}

/* ---- libseccomp's program ---- */

#define VALUES_MAX 192
#define RANDOM_POLICIES 150

/* Each bit, small numbers, and what lies around the values that conditions know. */
static size_t interesting_values(uint64_t v[VALUES_MAX])
{
	static const uint32_t known[] = {
		TIOCSTI,      0x541c,	  0x40086602,
		0x40046602,   0x40087602, 0x40047602,
		0x40086604,   0x401c5820, 0x800c6613,
		0x40806685,   0x50009401, 0x50009417,
		0x5000940e,   0x50009418, 0x5000940f,
		0x5000943f,   0x8900,	  0x89ff,
		0x8b12,	      0x1008912,  0x20008,
		0x40008,      0x20000000, 0xffffffff,
		IPPROTO_IPV6, IPV6_RTHDR, IPV6_2292PKTOPTIONS,
	};
	size_t n = 0;

	for (unsigned bit = 0; bit < 64; bit++)
		v[n++] = UINT64_C(1) << bit;
	for (uint64_t small = 0; small <= 18; small++)
		v[n++] = small;
	for (size_t i = 0; i < N_OF(known); i++) {
		v[n++] = known[i];
		v[n++] = known[i] - 1u;
		v[n++] = known[i] | HIGH;
	}
	v[n++] = ~UINT64_C(0);
	v[n++] = SOCK_STREAM | SOCK_CLOEXEC;
	v[n++] = SOCK_SEQPACKET | SOCK_NONBLOCK | HIGH;
	assert_true(n <= VALUES_MAX);
	return n;
}

static void same_answer(const struct sock_fprog progs[2], const struct seccomp_data *data)
{
	struct machine m;
	uint32_t ours = run(&progs[0], data, &m), theirs = run(&progs[1], data, &m);

	if (ours != theirs)
		fail_msg("call %d of %#x (%#llx, %#llx, %#llx, %#llx): %#x, libseccomp: %#x",
			 data->nr, data->arch, data->args[0], data->args[1], data->args[2],
			 data->args[3], ours, theirs);
}

/* Arguments @a and @b with all pairs of @v, the rest 0. */
static void same_for_pairs(const struct sock_fprog progs[2], int nr, unsigned a, unsigned b,
			   const uint64_t *v, size_t n)
{
	struct seccomp_data data = { .nr = nr, .arch = ARCH_HERE };

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < n; k++) {
			data.args[a] = v[i];
			data.args[b] = v[k];
			same_answer(progs, &data);
		}
	}
}

/* All numbers of all ABIs, each with nothing and with everything in its arguments. */
static void same_for_numbers(const struct sock_fprog progs[2])
{
	static const uint32_t archs[] = { ARCH_HERE, AUDIT_ARCH_I386, AUDIT_ARCH_ARM,
					  AUDIT_ARCH_PPC64 };
	static const uint32_t bases[] = { 0, 0x40000000, 0x80000000, 0xfffff000 };

	for (size_t i = 0; i < N_OF(archs) * N_OF(bases) * 1024; i++) {
		struct seccomp_data data = {
			.nr = (int)(bases[i / 1024 % N_OF(bases)] + i % 1024),
			.arch = archs[i / 1024 / N_OF(bases)],
		};

		same_answer(progs, &data);
		memset(data.args, 0xff, sizeof(data.args));
		same_answer(progs, &data);
	}
}

static void compile_both(const struct call_deny *deny, const int *notify, size_t n,
			 struct sock_fprog progs[2])
{
	struct sluice_error err = { 0 };

	if (filter_compile(deny, notify, n, &progs[0], &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(filter_oracle(deny, notify, n, &progs[1]), 0);
}

/* @pairs: also two arguments at a time of every call that has a condition. */
static void same_for_all(const struct call_deny *deny, const int *notify, size_t n, bool pairs)
{
	/* what conditions and traps look at; 4: the address of a send, 3: its flags */
	static const unsigned pairs_of[][2] = { { 0, 1 }, { 0, 2 }, { 0, 3 }, { 1, 2 },
						{ 1, 3 }, { 2, 3 }, { 3, 4 } };
	struct sock_fprog progs[2];
	uint64_t values[VALUES_MAX];
	size_t n_values = interesting_values(values);

	compile_both(deny, notify, n, progs);
	same_for_numbers(progs);
	for (int nr = 0; nr < CALL_MAX && pairs; nr++) {
		for (size_t i = 0; i < N_OF(pairs_of) && deny[nr].conditional; i++)
			same_for_pairs(progs, nr, pairs_of[i][0], pairs_of[i][1], values, n_values);
	}
	free(progs[0].filter);
	free(progs[1].filter);
}

static void test_libseccomp_answers_the_same(void **state)
{
	const int some[] = { SYS_openat,
			     SYS_uname,
			     SYS_clone,
			     SYS_socket,
			     SYS_prlimit64,
			     SYS_sendto | NOTIF_WITH(4),
			     SYS_sendmsg | NOTIF_WITH(0),
			     SYS_getpriority | NOTIF_WITH(5) };
	const int asked[] = {
		SYS_sched_setattr | NOTIF_WITH(3),     SYS_openat | NOTIF_WHERE_REFUSED,
		SYS_prlimit64 | NOTIF_WHERE_REFUSED,   SYS_sched_setattr | NOTIF_WHERE_REFUSED,
		SYS_setpriority | NOTIF_WHERE_REFUSED, SYS_ioprio_set | NOTIF_WHERE_REFUSED,
		SYS_ioctl | NOTIF_WHERE_REFUSED
	};
	struct sluice_policy *p = sluice_policy_new();
	struct call_deny deny[CALL_MAX];

	(void)state;
	assert_int_equal(calls_deny_list(p, deny, NULL), 0);
	same_for_all(deny, NULL, 0, true);
	same_for_all(deny, some, N_OF(some), true);
	same_for_all(deny, asked, N_OF(asked), true);
	calls_allow_any_socket_type(deny);
	same_for_all(deny, NULL, 0, true);
	assert_int_equal(sluice_policy_deny_syscall(p, "getcwd", NULL), 0);
	assert_int_equal(sluice_policy_allow_syscall(p, "socket", NULL), 0);
	assert_int_equal(sluice_policy_allow_syscall(p, "@namespace", NULL), 0);
	assert_int_equal(calls_deny_list(p, deny, NULL), 0);
	same_for_all(deny, some, N_OF(some), true);
	sluice_policy_unref(p);
}

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(*seed >> 33);
}

/* Deny lists and notify sets that no policy would have, up to the longest programs. */
static void test_libseccomp_answers_the_same_to_any_list(void **state)
{
	static const int errors[] = { EPERM, ENOSYS, EACCES, EXDEV };
	struct sluice_policy *p = sluice_policy_new();
	struct call_deny deny[CALL_MAX];
	uint64_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < RANDOM_POLICIES; round++) {
		unsigned denied = next_random(&seed) % 100, trapped = next_random(&seed) % 100;
		int notify[CALL_MAX];
		size_t n = 0;

		assert_int_equal(calls_deny_list(p, deny, NULL), 0);
		for (int nr = 0; nr < CALL_MAX; nr++) {
			uint32_t r = next_random(&seed);

			if (!syscall_name(nr))
				continue;
			if (deny[nr].conditional && r % 4)
				deny[nr].any_type = r % 8 == 1;
			else if (r / 8 % 100 < denied)
				deny[nr] = (struct call_deny){ errors[r / 1024 % 4], false, false };
			else
				deny[nr] = (struct call_deny){ 0, false, false };
			if (next_random(&seed) % 100 < trapped)
				notify[n++] =
					next_random(&seed) % 8 ? nr : nr | NOTIF_WITH((int)(r % 6));
		}
		same_for_all(deny, notify, n, false);
	}
	sluice_policy_unref(p);
}

/* What a program costs when it is loaded: see filter.c. */
static void test_the_program_is_short(void **state)
{
	struct sluice_policy *p = sluice_policy_new();
	struct call_deny deny[CALL_MAX];
	struct sock_fprog progs[2];

	(void)state;
	assert_int_equal(calls_deny_list(p, deny, NULL), 0);
	compile_both(deny, NULL, 0, progs);
	printf("%u instructions, libseccomp %u\n", progs[0].len, progs[1].len);
	assert_true(progs[0].len * 3 < progs[1].len * 2);
	free(progs[0].filter);
	free(progs[1].filter);
	sluice_policy_unref(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_call_as_the_policy_says),
		cmocka_unit_test(test_conditions_on_arguments),
		cmocka_unit_test(test_calls_that_know_the_time_of_day),
		cmocka_unit_test(test_types_of_sockets),
		cmocka_unit_test(test_sockets_that_a_handler_decides_on),
		cmocka_unit_test(test_denied_sockets_stay_denied),
		cmocka_unit_test(test_conditions_go_when_a_policy_allows_the_call),
		cmocka_unit_test(test_notify_traps_its_calls_and_no_other),
		cmocka_unit_test(test_a_refusal_is_stronger_than_a_trap),
		cmocka_unit_test(test_numbers_that_no_kernel_we_know_has),
		cmocka_unit_test(test_other_abis),
		cmocka_unit_test(test_arguments_are_left_alone_without_a_condition),
		cmocka_unit_test(test_same_input_same_bytes),
		cmocka_unit_test(test_the_largest_program_fits),
		cmocka_unit_test(test_libseccomp_answers_the_same),
		cmocka_unit_test(test_libseccomp_answers_the_same_to_any_list),
		cmocka_unit_test(test_the_program_is_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
