/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probes of sluice_check. Each runs alone in a forked child that shares nothing with the caller but the reports, and may restrict itself at will. It
 * allocates nothing: the caller may have other threads, which hold malloc's lock. A probe that expects a refusal first makes
 * sure that the same act works.
 */
#ifndef SLUICE_SANDBOX_CHECK_H
#define SLUICE_SANDBOX_CHECK_H

#include <stdint.h>
#include <sys/types.h>

#include <sluice/check.h>

/* A child that takes longer is killed. */
#define CHECK_LIMIT_MS 5000

enum probe_id {
	PROBE_NOTIFY,
	PROBE_SYNC,
	PROBE_KILLABLE,
	PROBE_ADDFD,
	PROBE_ADDFD_SEND,
	PROBE_URING,
	PROBE_LANDLOCK,
	PROBE_REFER,
	PROBE_TRUNCATE,
	PROBE_NET,
	PROBE_IOCTL,
	PROBE_SIGNAL,
	PROBE_ABSTRACT,
	PROBE_MEMORY,
	PROBE_PIDFD,
	PROBE_USERNS,
	PROBE_OVERLAY,
	PROBE_CGROUP,
	N_PROBES
};

/* What a child writes; shared with it. */
struct report {
	uint32_t found; /* 0: it said nothing; 1 yes; 2 no */
	char detail[sizeof(((struct sluice_probe *)0)->detail)];
};

SLUICE_PRINTF(2, 3) void check_yes(struct report *r, const char *fmt, ...);
/* @error: positive errno, or 0. */
void check_no(struct report *r, const char *what, int error);
/* fork by the bare call: @flags is what clone takes, SIGCHLD included or not. @pidfd may be NULL. */
pid_t check_fork(unsigned long flags, int *pidfd);

/* check_notify.c: PROBE_NOTIFY to PROBE_ADDFD_SEND */
void check_notify(struct report *r);
/* check_landlock.c: one each */
void check_landlock(struct report *r);
void check_refer(struct report *r);
void check_truncate(struct report *r);
void check_net(struct report *r);
void check_ioctl(struct report *r);
void check_signal(struct report *r);
void check_abstract(struct report *r);
/* check_system.c: one each */
void check_uring(struct report *r);
void check_memory(struct report *r);
void check_pidfd(struct report *r);
void check_userns(struct report *r);
void check_overlay(struct report *r);
void check_cgroup(struct report *r);

#endif
