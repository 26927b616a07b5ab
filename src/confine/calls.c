/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of system calls: see calls.h.
 *
 * The deny list holds what gets around a supervisor or a Landlock domain (another way into the kernel, another process's memory or
 * descriptors, a namespace, a mount, a file by handle) and what belongs to the machine and not to one of its jobs. A call that a kernel without
 * capabilities refuses anyway is on the list only where its unprivileged part is a danger.
 */
#include "confine/calls.h"

#include <errno.h>
#include <string.h>

#include "confine/confinement.h"
#include "confine/names.h"
#include "policy/policy.h"
#include "util/fail.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

/* From pidfd_send_signal on all architectures share their numbers (include/uapi/asm-generic/unistd.h). */
#define UNIFIED_FIRST 424
static const char *const unified_names[] = {
	"pidfd_send_signal",
	"io_uring_setup",
	"io_uring_enter",
	"io_uring_register",
	"open_tree",
	"move_mount",
	"fsopen",
	"fsconfig",
	"fsmount",
	"fspick",
	"pidfd_open",
	"clone3",
	"close_range",
	"openat2",
	"pidfd_getfd",
	"faccessat2",
	"process_madvise",
	"epoll_pwait2",
	"mount_setattr",
	"quotactl_fd",
	"landlock_create_ruleset",
	"landlock_add_rule",
	"landlock_restrict_self",
	"memfd_secret",
	"process_mrelease",
	"futex_waitv",
	"set_mempolicy_home_node",
	"cachestat",
	"fchmodat2",
	"map_shadow_stack",
	"futex_wake",
	"futex_wait",
	"futex_requeue",
	"statmount",
	"listmount",
	"lsm_get_self_attr",
	"lsm_set_self_attr",
	"lsm_list_modules",
	"mseal",
	"setxattrat",
	"getxattrat",
	"listxattrat",
	"removexattrat",
	"open_tree_attr",
	"file_getattr",
	"file_setattr",
};
_Static_assert(UNIFIED_FIRST + N_OF(unified_names) == CALL_MAX, "names end at the last known call");

static const struct {
	const char *group; /* "" for calls that are in none */
	const char *
		names; /* separated by blanks; a call unknown to this architecture is passed over */
} groups[] = {
	{ "@io_uring", "io_uring_setup io_uring_enter io_uring_register" },
	{ "@keyring", "add_key keyctl request_key" },
	{ "@mount", "mount umount umount2 fsopen fsconfig fsmount fspick move_mount open_tree "
		    "open_tree_attr mount_setattr" },
	{ "@module", "init_module finit_module delete_module create_module" },
	{ "@ptrace", "ptrace process_vm_writev pidfd_getfd" },
	{ "@bpf", "bpf perf_event_open userfaultfd" },
	{ "@swap", "swapon swapoff" },
	{ "@reboot", "reboot kexec_load kexec_file_load" },
	{ "@clock", "clock_settime settimeofday stime" },
	{ "@namespace", "setns pivot_root chroot" },
	{ "", "open_by_handle_at acct quotactl quotactl_fd iopl ioperm syslog vhangup "
	      "lookup_dcookie nfsservctl" },
};

/* Refused only for some arguments: see filter.c. */
static const char conditional_names[] =
	"clone unshare ioctl personality socket socketpair sendto "
	"sendmsg sendmmsg setsockopt prctl prlimit64 setpriority ioprio_set "
	"sched_setscheduler sched_setparam sched_setattr sched_setaffinity";
/* With a clock of the command's own. */
static const char clock_names[] =
	"clock_gettime clock_nanosleep futex timer_settime timerfd_settime "
	"futex_waitv futex_wait mq_timedsend mq_timedreceive";
/* Not there, as on a kernel that was built without them: programs have a way to do without. */
static const char absent_names[] = "clone3 memfd_secret";

static const char never_retried_names[] =
	"close close_range dup dup2 dup3 fcntl futex futex_wait futex_wake futex_waitv "
	"futex_requeue wait4 waitid read readv pread64 preadv preadv2 recvfrom recvmsg recvmmsg "
	"exit exit_group restart_syscall rt_sigreturn rt_sigaction rt_sigprocmask rt_sigsuspend "
	"rt_sigtimedwait rt_sigpending sigaltstack pause brk mmap munmap mprotect mremap madvise "
	"nanosleep clock_nanosleep poll ppoll select pselect6 epoll_wait epoll_pwait epoll_pwait2 "
	"sched_yield set_tid_address set_robust_list rseq arch_prctl membarrier";

int syscall_number(const char *name)
{
	size_t low = 0, high = n_call_names;

	for (size_t i = 0; i < N_OF(unified_names); i++) {
		if (*name == *unified_names[i] && !strcmp(name, unified_names[i]))
			return UNIFIED_FIRST + (int)i;
	}
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(name, call_names[middle].name);

		if (order == 0)
			return call_names[middle].nr;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return -EINVAL;
}

const char *syscall_name(int nr)
{
	if (nr < 0 || nr > CALL_LAST_KNOWN)
		return NULL;
	if (nr >= UNIFIED_FIRST)
		return unified_names[nr - UNIFIED_FIRST];
	for (size_t i = 0; i < n_call_names; i++) {
		if (call_names[i].nr == nr)
			return call_names[i].name;
	}
	return NULL;
}

/* ---- the deny list ---- */

typedef void (*call_fn)(int nr, void *arg);

/* @fn for each call in @names that this architecture has. */
static void each_call(const char *names, call_fn fn, void *arg)
{
	char name[32];

	while (*names) {
		size_t n = strcspn(names, " ");
		int nr;

		memcpy(name, names, n);
		name[n] = '\0';
		nr = syscall_number(name);
		if (nr >= 0)
			fn(nr, arg);
		names += n + (names[n] == ' ');
	}
}

static void set_eperm(int nr, void *deny)
{
	((struct call_deny *)deny)[nr] = (struct call_deny){ EPERM, false };
}

static void set_enosys(int nr, void *deny)
{
	((struct call_deny *)deny)[nr] = (struct call_deny){ ENOSYS, false };
}

static void set_conditional(int nr, void *deny)
{
	((struct call_deny *)deny)[nr] = (struct call_deny){ EPERM, true };
}

static void add_condition(int nr, void *deny)
{
	struct call_deny *d = &((struct call_deny *)deny)[nr];

	if (!d->error) /* else it is refused anyway */
		*d = (struct call_deny){ ENOSYS, true };
}

static void set_allowed(int nr, void *deny)
{
	((struct call_deny *)deny)[nr] = (struct call_deny){ 0, false };
}

/* What a group holds beyond its calls: the calls whose conditions belong to it. */
static const char *group_conditional(const char *group)
{
	return !strcmp(group, "@namespace") ? "clone unshare" : "";
}

static void apply_group(const struct policy_call_rule *rule, struct call_deny *deny)
{
	for (size_t i = 0; i < N_OF(groups); i++) {
		if (strcmp(groups[i].group, rule->name) != 0)
			continue;
		each_call(groups[i].names, rule->deny ? set_eperm : set_allowed, deny);
		each_call(group_conditional(rule->name), rule->deny ? set_conditional : set_allowed,
			  deny);
	}
}

static int apply_rule(const struct policy_call_rule *rule, struct call_deny *deny,
		      struct sluice_error *err)
{
	int nr;

	if (*rule->name == '@') {
		apply_group(rule, deny);
		return 0;
	}
	nr = syscall_number(rule->name);
	if (nr < 0) {
		fail(err, -EINVAL, "system call: %s: no such call on this architecture",
		     rule->name);
		return fail_hint(err, -EINVAL, "names are those of syscalls(2)");
	}
	(rule->deny ? set_eperm : set_allowed)(nr, deny);
	return 0;
}

int calls_deny_list(const struct sluice_policy *p, struct call_deny *deny, struct sluice_error *err)
{
	memset(deny, 0, CALL_MAX * sizeof(*deny));
	for (size_t i = 0; i < N_OF(groups); i++)
		each_call(groups[i].names, set_eperm, deny);
	each_call(conditional_names, set_conditional, deny);
	each_call(absent_names, set_enosys, deny);
	for (size_t i = 0; i < p->n_call_rules; i++) {
		int r = apply_rule(&p->call_rules[i], deny, err);

		if (r < 0)
			return r;
	}
	if (p->time_start)
		each_call(clock_names, add_condition, deny);
	return 0;
}

static void set_any_type(int nr, void *deny)
{
	((struct call_deny *)deny)[nr].any_type = true;
}

void calls_allow_any_socket_type(struct call_deny *deny)
{
	each_call("socket socketpair", set_any_type, deny);
}

static void set_tree(int nr, void *deny)
{
	struct call_deny *d = &((struct call_deny *)deny)[nr];

	if (!d->error || d->conditional) /* else it is refused anyway */
		*d = (struct call_deny){ .error = EPERM, .conditional = true, .tree = true };
}

static void leave(int nr, void *deny)
{
	struct call_deny *d = &((struct call_deny *)deny)[nr];

	if (d->conditional || !d->error) /* else the policy refuses it whatever it is for */
		*d = (struct call_deny){ .error = EACCES,
					 .conditional = true,
					 .any_type = d->any_type };
}

static void pass_tcp(int nr, void *deny)
{
	((struct call_deny *)deny)[nr].tcp = true;
}

void calls_leave_sockets_to_handler(struct call_deny *deny, bool tcp)
{
	each_call("socket", leave, deny);
	if (tcp)
		each_call("socket", pass_tcp, deny);
}

void calls_keep_working_directories(struct call_deny *deny)
{
	each_call("getrlimit setrlimit prlimit64", set_tree, deny);
}

void calls_bound_allocations(struct call_deny *deny)
{
	each_call("ioctl", set_tree, deny);
}

int confine_call_treatment(const struct sluice_policy *p, int nr, enum call_treatment *ret,
			   struct sluice_error *err)
{
	struct call_deny deny[CALL_MAX];
	int r;

	if (!syscall_name(nr)) {
		*ret = CALL_UNKNOWN;
		return 0;
	}
	r = calls_deny_list(p, deny, err);
	if (r < 0)
		return r;
	*ret = deny[nr].error && !deny[nr].conditional ? CALL_DENIED : CALL_ALLOWED;
	return 0;
}

bool confine_call_keeps_condition(const struct sluice_policy *p, int nr)
{
	struct call_deny deny[CALL_MAX];

	if (!p->n_call_rules) /* which says nothing of calls: each start asks */
		return true;
	return calls_deny_list(p, deny, NULL) == 0 && deny[nr].conditional;
}

static void match_nr(int nr, void *arg)
{
	int *wanted = arg;

	if (nr == *wanted)
		*wanted = -1;
}

bool confine_call_never_retried(int nr)
{
	int wanted = nr;

	each_call(never_retried_names, match_nr, &wanted);
	return wanted < 0;
}
