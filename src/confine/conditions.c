/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conditions: see conditions.h. Which calls have one is said in calls.c too, for policies may turn each off.
 */
#define _GNU_SOURCE
#include "confine/conditions.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/ioprio.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))
#define WHOLE 0xffffffffu

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#ifndef TIOCLINUX
#define TIOCLINUX 0x541C
#endif
#ifndef SYS_futex_wait
#define SYS_futex_wait 455
#endif
#define LINUX_FUTEX_LOCK_PI2 13 /* linux 5.14 */
#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0x20000000
#endif

/* New namespaces; the bit of NEWTIME is part of the exit signal in clone's. */
#define CLONE_NAMESPACES                                                               \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
	 CLONE_NEWPID | CLONE_NEWNET)

static const uint32_t ioctls[] = {
	/* typing into a terminal that others read */
	TIOCSTI, TIOCLINUX,
	/* attributes, versions, encryption, verity and subvolumes: changed through a descriptor for reading, past Landlock */
	0x40086602, /* FS_IOC_SETFLAGS */
	0x40046602, /* FS_IOC32_SETFLAGS */
	0x40087602, /* FS_IOC_SETVERSION */
	0x40047602, /* FS_IOC32_SETVERSION */
	0x40086604, /* EXT4_IOC_SETVERSION */
	0x401c5820, /* FS_IOC_FSSETXATTR */
	0x800c6613, /* FS_IOC_SET_ENCRYPTION_POLICY */
	0x40806685, /* FS_IOC_ENABLE_VERITY */
	0x50009401, /* BTRFS_IOC_SNAP_CREATE */
	0x50009417, /* BTRFS_IOC_SNAP_CREATE_V2 */
	0x5000940e, /* BTRFS_IOC_SUBVOL_CREATE */
	0x50009418, /* BTRFS_IOC_SUBVOL_CREATE_V2 */
	0x5000940f, /* BTRFS_IOC_SNAP_DESTROY */
	0x5000943f, /* BTRFS_IOC_SNAP_DESTROY_V2 */
};

/* fallocate(2) by other names, which no handler looks at. */
static const uint32_t allocations[] = {
	0x40305828, /* FS_IOC_RESVSP */
	0x4030582a, /* FS_IOC_RESVSP64 */
	0x40305839, /* FS_IOC_ZERO_RANGE */
};

/* What sockets and (the second) wireless interfaces are asked by. */
static const uint32_t interfaces[] = { 0x8900, 0x8b00 };
#define INTERFACES_MASK 0xffffff00u

/* READ_IMPLIES_EXEC, MMAP_PAGE_ZERO and their kind are left out. */
static const uint32_t personalities[] = {
	PER_LINUX,	   PER_LINUX32,
	UNAME26,	   UNAME26 | PER_LINUX32,
	ADDR_NO_RANDOMIZE, ADDR_NO_RANDOMIZE | PER_LINUX32,
	0xffffffffu, /* look without change */
};

static const uint32_t socket_domains[] = { AF_UNIX };
/*
 * A datagram can be sent to any named socket without a connect, by an address behind a pointer. SOCK_RAW makes a datagram socket of AF_UNIX too.
 */
static const uint32_t socket_types[] = { SOCK_STREAM, SOCK_SEQPACKET };
#define SOCKET_TYPE_MASK 0xfu /* the rest is SOCK_CLOEXEC and SOCK_NONBLOCK */

static const uint32_t internet_domains[] = { AF_INET, AF_INET6 };
static const uint32_t stream_type[] = { SOCK_STREAM };
static const uint32_t tcp_protocols[] = { 0, IPPROTO_TCP };

/* A packet goes by way of the addresses in these, wherever the socket was connected to. */
static const uint32_t ip_routes[] = { IP_OPTIONS };
static const uint32_t ipv6_routes[] = { IPV6_RTHDR, IPV6_2292PKTOPTIONS };

/*
 * Acts on other processes of the same user, for which Landlock has no hook: the supervisor's limits (RLIMIT_CPU 1 would end it) and its share of the
 * processors.
 */
static const uint32_t own_process[] = { 0, 0 };
static const uint32_t prio_process[] = { PRIO_PROCESS };
static const uint32_t ioprio_process[] = { IOPRIO_WHO_PROCESS };

static const uint32_t nothing[] = { 0 };

static const uint32_t hidden_limits[] = { RLIMIT_RTTIME };

/* Clocks that show the time of day; with a clock of the command's own. */
static const uint32_t wall_clocks[] = { CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_REALTIME_ALARM,
					CLOCK_TAI };
static const uint32_t real_time[] = { CLOCK_REALTIME };
/* Waits of a futex until a time of day. */
static const uint32_t wall_waits[] = { FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME,
				       FUTEX_WAIT_REQUEUE_PI | FUTEX_CLOCK_REALTIME, FUTEX_LOCK_PI,
				       LINUX_FUTEX_LOCK_PI2 | FUTEX_CLOCK_REALTIME };

#define NO_BIT(arg, bits, error)                  \
	{                                         \
		CLAUSE_NO_BIT, arg, error, (bits) \
	}
#define NOT_LISTED(arg, list, error)                                      \
	{                                                                 \
		CLAUSE_NOT_LISTED, arg, error, WHOLE, (list), N_OF(list), \
	}
#define LISTED(arg, list, error)                                      \
	{                                                             \
		CLAUSE_LISTED, arg, error, WHOLE, (list), N_OF(list), \
	}
#define NOT_AT_LEVEL(level, list)                                                               \
	{                                                                                       \
		CLAUSE_NOT_BOTH, 2, EPERM, WHOLE, (list), N_OF(list), 1, .other_value = (level) \
	}
#define OWN(arg, value)                                        \
	{                                                      \
		CLAUSE_OWN, arg, EPERM, WHOLE, (value), 1, arg \
	}

/* A handler is asked; without one there is no such call. */
#define ASKED_OF(arg, list)                                                              \
	{                                                                                \
		CLAUSE_NOT_LISTED, arg, ENOSYS, WHOLE, (list), N_OF(list), .asked = true \
	}
#define ASKED_WITH(arg, mask, list, with)                                                     \
	{                                                                                     \
		CLAUSE_NOT_WITH, arg, ENOSYS, (mask), (list), N_OF(list), with, .asked = true \
	}
#define ASKED_WITH_BITS(arg, bits)                                \
	{                                                         \
		CLAUSE_NO_BIT, arg, ENOSYS, (bits), .asked = true \
	}
#define ABSENT_WITH(arg, list, with)                                          \
	{                                                                     \
		CLAUSE_NOT_WITH, arg, ENOSYS, WHOLE, (list), N_OF(list), with \
	}

/* The number of a process, which may be the caller's own. */
#define OWN_NUMBER(arg, with)                                                           \
	{                                                                               \
		CLAUSE_OWN, arg, EPERM, WHOLE, own_process, 2, with, false, false, true \
	}

/* The limit that holds a virtual working directory. */
#define NOT_VISIBLE(arg)                                                                      \
	{                                                                                     \
		CLAUSE_NOT_LISTED, arg, EINVAL, WHOLE, hidden_limits, N_OF(hidden_limits), 0, \
			false, true, true                                                     \
	}

const struct condition conditions[N_CONDITIONS] = {
	{ { SYS_clone, -1 }, { NO_BIT(0, CLONE_NAMESPACES, EPERM) }, 1 },
	{ { SYS_unshare, -1 }, { NO_BIT(0, CLONE_NAMESPACES | CLONE_NEWTIME, EPERM) }, 1 },
	{ { SYS_ioctl, -1 },
	  { NOT_LISTED(1, ioctls, EPERM),
	    { CLAUSE_NOT_LISTED, 1, EOPNOTSUPP, WHOLE, allocations, N_OF(allocations), 0, false,
	      true },
	    { CLAUSE_NOT_LISTED, 1, EPERM, INTERFACES_MASK, interfaces, N_OF(interfaces), 0,
	      .asked = true, .only_asked = true } },
	  3 },
	{ { SYS_personality, -1 }, { LISTED(0, personalities, EPERM) }, 1 },
	/* a connection made by a send, past a rule on connect */
	{ { SYS_sendto, SYS_sendmmsg, -1 }, { NO_BIT(3, MSG_FASTOPEN, EOPNOTSUPP) }, 1 },
	{ { SYS_sendmsg, -1 }, { NO_BIT(2, MSG_FASTOPEN, EOPNOTSUPP) }, 1 },
	{ { SYS_socket, SYS_socketpair, -1 },
	  { { CLAUSE_LISTED, 0, EACCES, WHOLE, socket_domains, N_OF(socket_domains), 0, false,
	      false, true },
	    { CLAUSE_LISTED, 1, EACCES, SOCKET_TYPE_MASK, socket_types, N_OF(socket_types), 0, true,
	      false, true } },
	  2 },
	{ { SYS_setsockopt, -1 },
	  { NOT_AT_LEVEL(IPPROTO_IP, ip_routes), NOT_AT_LEVEL(IPPROTO_IPV6, ipv6_routes) },
	  2 },
	{ { SYS_sched_setscheduler, SYS_sched_setparam, SYS_sched_setattr, SYS_sched_setaffinity },
	  { OWN_NUMBER(0, 0) },
	  1 },
	{ { SYS_setpriority, -1 }, { OWN(0, prio_process), OWN_NUMBER(1, 1) }, 2 },
	{ { SYS_ioprio_set, -1 }, { OWN(0, ioprio_process), OWN_NUMBER(1, 1) }, 2 },
	{ { SYS_prctl, -1 },
	  { { CLAUSE_NOT_BOTH, 1, EPERM, WHOLE, nothing, N_OF(nothing), 0, .asked = true,
	      .other_value = PR_SET_DUMPABLE, .only_asked = true } },
	  1 },
	/* one's own limits by number 0, or a look without new limits */
	{ { SYS_prlimit64, -1 }, { OWN_NUMBER(0, 2), NOT_VISIBLE(1) }, 2 },
	{ { SYS_getrlimit, SYS_setrlimit, -1 }, { NOT_VISIBLE(0) }, 1 },
	/* only where the command has a clock of its own */
	{ { SYS_clock_gettime, -1 }, { ASKED_OF(0, wall_clocks) }, 1 },
	{ { SYS_clock_nanosleep, -1 }, { ASKED_WITH(0, WHOLE, wall_clocks, 1) }, 1 },
	{ { SYS_futex, -1 }, { ASKED_WITH(1, ~(uint32_t)FUTEX_PRIVATE_FLAG, wall_waits, 3) }, 1 },
	{ { SYS_timer_settime, SYS_timerfd_settime, -1 },
	  { ASKED_WITH_BITS(1, TIMER_ABSTIME) },
	  1 },
	/* as on a kernel that does not have them */
	{ { SYS_futex_waitv, -1 }, { ABSENT_WITH(4, real_time, 3) }, 1 },
	{ { SYS_futex_wait, -1 }, { ABSENT_WITH(5, real_time, 4) }, 1 },
	{ { SYS_mq_timedsend, SYS_mq_timedreceive, -1 },
	  { { CLAUSE_OWN, 4, ENOSYS, WHOLE, nothing, N_OF(nothing), 4 } },
	  1 },
};

const struct clause tcp_clauses[N_TCP_CLAUSES] = {
	LISTED(0, internet_domains, 0),
	{ CLAUSE_LISTED, 1, 0, SOCKET_TYPE_MASK, stream_type, N_OF(stream_type) },
	LISTED(2, tcp_protocols, 0),
};

const struct condition *condition_of(int nr)
{
	for (size_t i = 0; i < N_CONDITIONS; i++) {
		const struct condition *c = &conditions[i];

		for (size_t k = 0; k < CONDITION_CALLS_MAX && c->calls[k] >= 0; k++) {
			if (c->calls[k] == nr)
				return c;
		}
	}
	return NULL;
}

bool clause_counts(const struct clause *c, bool any_type, bool tree, bool asked)
{
	return !(any_type && c->socket_type) && (tree || !c->tree) && (asked || !c->only_asked);
}
