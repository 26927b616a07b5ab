/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every spelling of an open, answered AS_SEEN: what the tests of acts on behalf register, and what their guests call.
 */
#ifndef SLUICE_TESTS_HAZARD_AS_SEEN_H
#define SLUICE_TESTS_HAZARD_AS_SEEN_H

#include <stddef.h>

#include <sys/syscall.h>

#include <sluice/sluice.h>

static inline struct sluice_verdict as_seen_verdict(struct sluice_request *req, void *userdata)
{
	(void)req;
	(void)userdata;
	return sluice_as_seen();
}

static const struct sluice_handler as_seen_opens[] = {
#ifdef SYS_open
	{ .name = "open", .nr = SYS_open, .fn = as_seen_verdict },
	{ .name = "creat", .nr = SYS_creat, .fn = as_seen_verdict },
#endif
	{ .name = "openat", .nr = SYS_openat, .fn = as_seen_verdict },
	{ .name = "openat2", .nr = SYS_openat2, .fn = as_seen_verdict },
};
#define N_AS_SEEN_OPENS (sizeof(as_seen_opens) / sizeof(as_seen_opens[0]))

#endif
