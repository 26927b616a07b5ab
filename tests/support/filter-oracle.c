/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libseccomp makes of a deny list and a set of trapped calls: the oracle of src/confine/filter.c. The conditions are written down here once
 * more, one rule each, in libseccomp's terms.
 *
 *	start:	number above the last known -> ENOSYS
 *		a number with a list of allowed arguments (socket, personality ...) -> its own program
 *	deny:	the deny list                  ...allowed -> notify
 *	lists:	one program each, default refused  ...allowed -> notify
 *	notify:	trapped calls                  ...others -> allowed
 *
 * libseccomp can hold one action for one call and arguments, and between a denial and a notification the kernel takes the smaller number of the two;
 * as programs in a row a call is only ever trapped after everything that could refuse it has let it pass.
 */
#define _GNU_SOURCE
#include "filter-oracle.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confine/confinement.h"
#include "sys/notif.h"
#include "util/cleanup.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))
#define INT_MASK 0xffffffffu /* the kernel takes these arguments as 32-bit numbers */

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#ifndef TIOCLINUX
#define TIOCLINUX 0x541C
#endif
#define LINUX_IOPRIO_WHO_PROCESS 1
#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0x20000000
#endif

/* Refused when (argument & mask) == value. */
struct condition {
	const char *call;
	uint64_t mask, value;
	unsigned arg;
	int error;
};

#define NAMESPACE_BIT(call, flag)          \
	{                                  \
		call, flag, flag, 0, EPERM \
	}
static const struct condition conditions[] = {
	NAMESPACE_BIT("clone", CLONE_NEWNS),
	NAMESPACE_BIT("clone", CLONE_NEWCGROUP),
	NAMESPACE_BIT("clone", CLONE_NEWUTS),
	NAMESPACE_BIT("clone", CLONE_NEWIPC),
	NAMESPACE_BIT("clone", CLONE_NEWUSER),
	NAMESPACE_BIT("clone", CLONE_NEWPID),
	NAMESPACE_BIT("clone", CLONE_NEWNET),
	NAMESPACE_BIT("unshare", CLONE_NEWNS),
	NAMESPACE_BIT("unshare", CLONE_NEWCGROUP),
	NAMESPACE_BIT("unshare", CLONE_NEWUTS),
	NAMESPACE_BIT("unshare", CLONE_NEWIPC),
	NAMESPACE_BIT("unshare", CLONE_NEWUSER),
	NAMESPACE_BIT("unshare", CLONE_NEWPID),
	NAMESPACE_BIT("unshare", CLONE_NEWNET),
	NAMESPACE_BIT("unshare", CLONE_NEWTIME),
	/* typing into a terminal that others read */
	{ "ioctl", INT_MASK, TIOCSTI, 1, EPERM },
	{ "ioctl", INT_MASK, TIOCLINUX, 1, EPERM },
	/* attributes, versions, encryption, verity and subvolumes: changed through a descriptor for reading, past Landlock */
	{ "ioctl", INT_MASK, 0x40086602 /* FS_IOC_SETFLAGS */, 1, EPERM },
	{ "ioctl", INT_MASK, 0x40046602 /* FS_IOC32_SETFLAGS */, 1, EPERM },
	{ "ioctl", INT_MASK, 0x40087602 /* FS_IOC_SETVERSION */, 1, EPERM },
	{ "ioctl", INT_MASK, 0x40047602 /* FS_IOC32_SETVERSION */, 1, EPERM },
	{ "ioctl", INT_MASK, 0x40086604 /* EXT4_IOC_SETVERSION */, 1, EPERM },
	{ "ioctl", INT_MASK, 0x401c5820 /* FS_IOC_FSSETXATTR */, 1, EPERM },
	{ "ioctl", INT_MASK, 0x800c6613 /* FS_IOC_SET_ENCRYPTION_POLICY */, 1, EPERM },
	{ "ioctl", INT_MASK, 0x40806685 /* FS_IOC_ENABLE_VERITY */, 1, EPERM },
	{ "ioctl", INT_MASK, 0x50009401 /* BTRFS_IOC_SNAP_CREATE */, 1, EPERM },
	{ "ioctl", INT_MASK, 0x50009417 /* BTRFS_IOC_SNAP_CREATE_V2 */, 1, EPERM },
	{ "ioctl", INT_MASK, 0x5000940e /* BTRFS_IOC_SUBVOL_CREATE */, 1, EPERM },
	{ "ioctl", INT_MASK, 0x50009418 /* BTRFS_IOC_SUBVOL_CREATE_V2 */, 1, EPERM },
	{ "ioctl", INT_MASK, 0x5000940f /* BTRFS_IOC_SNAP_DESTROY */, 1, EPERM },
	{ "ioctl", INT_MASK, 0x5000943f /* BTRFS_IOC_SNAP_DESTROY_V2 */, 1, EPERM },
	/* a connection made by a send, past a rule on connect */
	{ "sendto", MSG_FASTOPEN, MSG_FASTOPEN, 3, EOPNOTSUPP },
	{ "sendmsg", MSG_FASTOPEN, MSG_FASTOPEN, 2, EOPNOTSUPP },
	{ "sendmmsg", MSG_FASTOPEN, MSG_FASTOPEN, 3, EOPNOTSUPP },
};

/*
 * Acts on other processes of the same user, for which Landlock has no hook: the supervisor's limits (RLIMIT_CPU 1 would end it) and its share of the
 * processors. Refused when each of the first @n of @arg is something else than what stands for the caller itself. All 64 bits are compared: a 0
 * with other high bits is refused too. (sched_setaffinity stays: threads are pinned by number.)
 */
static const struct of_others {
	const char *call;
	unsigned n, arg[2];
	uint64_t own[2];
	bool asked; /* trapped instead, where a handler wants that */
} others[] = {
	{ "prlimit64", 2, { 0, 2 }, { 0, 0 }, true },
	{ "setpriority", 1, { 0 }, { PRIO_PROCESS }, false },
	{ "setpriority", 1, { 1 }, { 0 }, true },
	{ "ioprio_set", 1, { 0 }, { LINUX_IOPRIO_WHO_PROCESS }, false },
	{ "ioprio_set", 1, { 1 }, { 0 }, true },
	{ "sched_setscheduler", 1, { 0 }, { 0 }, true },
	{ "sched_setparam", 1, { 0 }, { 0 }, true },
	{ "sched_setattr", 1, { 0 }, { 0 }, true },
	{ "sched_setaffinity", 1, { 0 }, { 0 }, true },
};

/* Refused when argument 1 is the level and argument 2 the option: a route for packets. */
static const struct level_option {
	const char *call;
	int level, option;
} level_options[] = {
	{ "setsockopt", IPPROTO_IP, IP_OPTIONS },
	{ "setsockopt", IPPROTO_IPV6, IPV6_RTHDR },
	{ "setsockopt", IPPROTO_IPV6, IPV6_2292PKTOPTIONS },
};

#define SOCKET_TYPE_MASK 0xfu /* the rest is SOCK_CLOEXEC and SOCK_NONBLOCK */

/* Allowed for these values of the first argument only; of a socket, and these types in the second. */
struct allow_list {
	const char *call;
	int error; /* of all others */
	const uint32_t *values;
	size_t n;
	const uint32_t *types;
	size_t n_types;
};

static const uint32_t socket_domains[] = { AF_UNIX };
/*
 * A datagram can be sent to any named socket without a connect, by an address behind a pointer. SOCK_RAW makes a datagram socket of AF_UNIX too.
 */
static const uint32_t socket_types[] = { SOCK_STREAM, SOCK_SEQPACKET };
/* READ_IMPLIES_EXEC, MMAP_PAGE_ZERO and their kind are left out. */
static const uint32_t personalities[] = {
	PER_LINUX,	   PER_LINUX32,
	UNAME26,	   UNAME26 | PER_LINUX32,
	ADDR_NO_RANDOMIZE, ADDR_NO_RANDOMIZE | PER_LINUX32,
	0xffffffffu, /* look without change */
};

static const struct allow_list allow_lists[] = {
	{ "socket", EACCES, socket_domains, N_OF(socket_domains), socket_types,
	  N_OF(socket_types) },
	{ "socketpair", EACCES, socket_domains, N_OF(socket_domains), socket_types,
	  N_OF(socket_types) },
	{ "personality", EPERM, personalities, N_OF(personalities), NULL, 0 },
};

/* One program as libseccomp made it. */
struct part {
	int nr; /* of an allow list; -1 */
	struct sock_filter *code;
	size_t n;
	size_t at; /* in the linked program */
};

enum {
	PART_DENY,
	PART_NOTIFY,
	PART_LISTS,
	PARTS_MAX = PART_LISTS + N_OF(allow_lists),
};

static int part_export(scmp_filter_ctx ctx, struct part *part)
{
	_cleanup_close_ int fd = memfd_create("filter", MFD_CLOEXEC);
	off_t size;
	int r;

	if (fd < 0)
		return -errno;
	r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return r;
	size = lseek(fd, 0, SEEK_END);
	part->n = (size_t)size / sizeof(*part->code);
	part->code = malloc((size_t)size);
	if (!part->code)
		return -ENOMEM;
	return pread(fd, part->code, (size_t)size, 0) == size ? 0 : -EIO;
}

/* A context whose other architectures (x32 and 32-bit compat too) get ENOSYS. */
static int part_begin(uint32_t default_action, scmp_filter_ctx *ret)
{
	scmp_filter_ctx ctx = seccomp_init(default_action);
	int r;

	if (!ctx)
		return -ENOMEM;
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r < 0)
		seccomp_release(ctx);
	else
		*ret = ctx;
	return r;
}

static int part_end(scmp_filter_ctx ctx, int r, struct part *part)
{
	if (r == 0)
		r = part_export(ctx, part);
	seccomp_release(ctx);
	return r;
}

static const struct allow_list *allow_list_of(int nr)
{
	for (size_t i = 0; i < N_OF(allow_lists); i++) {
		if (syscall_number(allow_lists[i].call) == nr)
			return &allow_lists[i];
	}
	return NULL;
}

static bool is_asked(int nr, const int *notify, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (notify[i] == (nr | NOTIF_WHERE_REFUSED))
			return true;
	}
	return false;
}

static int refuse_others(scmp_filter_ctx ctx, const struct call_deny *deny, const int *notify,
			 size_t n_notify)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < N_OF(others); i++) {
		const struct of_others *o = &others[i];
		int nr = syscall_number(o->call);
		uint32_t act = o->asked && is_asked(nr, notify, n_notify) ? SCMP_ACT_NOTIFY
									  : SCMP_ACT_ERRNO(EPERM);

		/* what the row above refuses is refused */
		if (deny[nr].conditional && act == SCMP_ACT_NOTIFY && o->arg[0] == 1)
			r = seccomp_rule_add(ctx, act, nr, 2,
					     SCMP_CMP(0, SCMP_CMP_EQ, o[-1].own[0]),
					     SCMP_CMP(1, SCMP_CMP_NE, o->own[0]));
		else if (deny[nr].conditional)
			r = seccomp_rule_add(ctx, act, nr, o->n,
					     SCMP_CMP(o->arg[0], SCMP_CMP_NE, o->own[0]),
					     SCMP_CMP(o->arg[1], SCMP_CMP_NE, o->own[1]));
	}
	return r;
}

/* What interfaces are asked by, where a handler wants that; nothing is refused else. */
static int ask_about_interfaces(scmp_filter_ctx ctx, const struct call_deny *deny,
				const int *notify, size_t n_notify)
{
	static const uint32_t groups[] = { 0x8900, 0x8b00 };
	const int nr = syscall_number("ioctl");
	int r = 0;

	if (!deny[nr].conditional || !is_asked(nr, notify, n_notify))
		return 0;
	for (size_t i = 0; r == 0 && i < N_OF(groups); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, nr, 1,
				     SCMP_CMP(1, SCMP_CMP_MASKED_EQ, 0xffffff00u, groups[i]));
	return r;
}

static int refuse_options(scmp_filter_ctx ctx, const struct call_deny *deny)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < N_OF(level_options); i++) {
		const struct level_option *o = &level_options[i];
		int nr = syscall_number(o->call);

		if (deny[nr].conditional)
			r = seccomp_rule_add(
				ctx, SCMP_ACT_ERRNO(EPERM), nr, 2,
				SCMP_CMP(1, SCMP_CMP_MASKED_EQ, INT_MASK, (uint64_t)o->level),
				SCMP_CMP(2, SCMP_CMP_MASKED_EQ, INT_MASK, (uint64_t)o->option));
	}
	return r;
}

static int deny_part(const struct call_deny *deny, const int *notify, size_t n_notify,
		     struct part *part)
{
	scmp_filter_ctx ctx;
	int r = part_begin(SCMP_ACT_ALLOW, &ctx);

	if (r < 0)
		return r;
	for (int nr = 0; r == 0 && nr < CALL_MAX; nr++) {
		if (deny[nr].error && !deny[nr].conditional)
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint32_t)deny[nr].error), nr, 0);
	}
	if (r == 0)
		r = refuse_others(ctx, deny, notify, n_notify);
	if (r == 0)
		r = ask_about_interfaces(ctx, deny, notify, n_notify);
	if (r == 0)
		r = refuse_options(ctx, deny);
	for (size_t i = 0; r == 0 && i < N_OF(conditions); i++) {
		const struct condition *c = &conditions[i];
		int nr = syscall_number(c->call);

		if (nr >= 0 && deny[nr].conditional)
			r = seccomp_rule_add(
				ctx, SCMP_ACT_ERRNO((uint32_t)c->error), nr, 1,
				SCMP_CMP(c->arg, SCMP_CMP_MASKED_EQ, c->mask, c->value));
	}
	return part_end(ctx, r, part);
}

static int list_value(scmp_filter_ctx ctx, const struct allow_list *list, int nr, uint32_t value,
		      bool any_type)
{
	struct scmp_arg_cmp first = SCMP_CMP(0, SCMP_CMP_MASKED_EQ, INT_MASK, value);
	int r = 0;

	if (any_type || !list->n_types)
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1, first);
	for (size_t i = 0; r == 0 && i < list->n_types; i++)
		r = seccomp_rule_add(
			ctx, SCMP_ACT_ALLOW, nr, 2, first,
			SCMP_CMP(1, SCMP_CMP_MASKED_EQ, SOCKET_TYPE_MASK, list->types[i]));
	return r;
}

static int list_part(const struct allow_list *list, int nr, bool any_type, struct part *part)
{
	scmp_filter_ctx ctx;
	int r = part_begin(SCMP_ACT_ERRNO((uint32_t)list->error), &ctx);

	if (r < 0)
		return r;
	part->nr = nr;
	for (size_t i = 0; r == 0 && i < list->n; i++)
		r = list_value(ctx, list, nr, list->values[i], any_type);
	return part_end(ctx, r, part);
}

static int notify_rule(scmp_filter_ctx ctx, int nr, int only_with)
{
	if (only_with < 0)
		return seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, nr, 0);
	return seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, nr, 1,
				SCMP_CMP((unsigned)only_with, SCMP_CMP_NE, 0));
}

static int notify_part(const int *notify, size_t n, struct part *part)
{
	scmp_filter_ctx ctx;
	int r = part_begin(SCMP_ACT_ALLOW, &ctx);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (!(notify[i] & NOTIF_WHERE_REFUSED))
			r = notify_rule(ctx, NOTIF_NR(notify[i]), NOTIF_ARG(notify[i]));
	}
	return part_end(ctx, r, part);
}

static int parts_compile(const struct call_deny *deny, const int *notify, size_t n_notify,
			 struct part *parts, size_t *n_parts)
{
	size_t n = PART_LISTS;
	int r = deny_part(deny, notify, n_notify, &parts[PART_DENY]);

	if (r == 0)
		r = notify_part(notify, n_notify, &parts[PART_NOTIFY]);
	for (int nr = 0; r == 0 && nr < CALL_MAX; nr++) {
		const struct allow_list *list = deny[nr].conditional ? allow_list_of(nr) : NULL;

		if (list)
			r = list_part(list, nr, deny[nr].any_type, &parts[n++]);
	}
	*n_parts = n;
	return r;
}

/* ---- linking ---- */

static struct sock_filter jump(uint32_t distance)
{
	return (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, distance);
}

static bool is_allow(const struct sock_filter *f)
{
	return f->code == (BPF_RET | BPF_K) && f->k == SECCOMP_RET_ALLOW;
}

/* Where each part starts: the start block, the deny program, the lists, the notify program. Returns the length of all. */
static size_t lay_out(struct part *parts, size_t n_parts)
{
	size_t at = 3 + 2 * (n_parts - PART_LISTS);

	parts[PART_DENY].at = at;
	at += parts[PART_DENY].n;
	for (size_t i = PART_LISTS; i < n_parts; i++) {
		parts[i].at = at;
		at += parts[i].n;
	}
	parts[PART_NOTIFY].at = at;
	return at + parts[PART_NOTIFY].n;
}

static void write_start(struct sock_filter *out, const struct part *parts, size_t n_parts)
{
	size_t at = 0;

	out[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	out[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, CALL_LAST_KNOWN, 0, 1);
	out[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	for (size_t i = PART_LISTS; i < n_parts; i++) {
		out[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							 (uint32_t)parts[i].nr, 0, 1);
		out[at] = jump((uint32_t)(parts[i].at - at - 1));
		at++;
	}
}

static void write_part(struct sock_filter *out, const struct part *part, size_t allowed)
{
	for (size_t i = 0; i < part->n; i++) {
		struct sock_filter *to = &out[part->at + i];

		*to = part->code[i];
		if (allowed && is_allow(to))
			*to = jump((uint32_t)(allowed - (part->at + i) - 1));
	}
}

static int parts_link(struct part *parts, size_t n_parts, struct sock_fprog *ret)
{
	size_t n = lay_out(parts, n_parts);
	size_t notify = parts[PART_NOTIFY].at;

	if (n > BPF_MAXINSNS)
		return -E2BIG;
	ret->filter = calloc(n, sizeof(*ret->filter));
	if (!ret->filter)
		return -ENOMEM;
	ret->len = (unsigned short)n;
	write_start(ret->filter, parts, n_parts);
	write_part(ret->filter, &parts[PART_DENY], notify);
	for (size_t i = PART_LISTS; i < n_parts; i++)
		write_part(ret->filter, &parts[i], notify);
	write_part(ret->filter, &parts[PART_NOTIFY], 0);
	return 0;
}

int filter_oracle(const struct call_deny *deny, const int *notify, size_t n_notify,
		  struct sock_fprog *ret)
{
	struct part parts[PARTS_MAX] = { 0 };
	size_t n_parts = 0;
	int r = parts_compile(deny, notify, n_notify, parts, &n_parts);

	if (r == 0)
		r = parts_link(parts, n_parts, ret);
	for (size_t i = 0; i < PARTS_MAX; i++)
		free(parts[i].code);
	return r;
}
