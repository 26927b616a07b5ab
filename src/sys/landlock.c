/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sys/landlock.h"

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The numbers are the same on every architecture. */
#define NR_CREATE_RULESET 444
#define NR_ADD_RULE 445
#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH 1
#define RULE_NET_PORT 2

struct path_beneath {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed));

struct net_port {
	uint64_t allowed_access, port;
};

int landlock_abi(void)
{
	long abi = syscall(NR_CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

int landlock_create(const struct landlock_ruleset *attr, int abi)
{
	size_t size = abi >= LL_ABI_SCOPE ? sizeof(*attr)
		      : abi >= LL_ABI_NET ? offsetof(struct landlock_ruleset, scoped)
					  : offsetof(struct landlock_ruleset, net);
	long fd = syscall(NR_CREATE_RULESET, attr, size, 0);

	return fd < 0 ? -errno : (int)fd;
}

int landlock_allow(int ruleset, uint64_t access, int parent_fd)
{
	struct path_beneath rule = { access, parent_fd };

	return syscall(NR_ADD_RULE, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
}

int landlock_allow_port(int ruleset, uint64_t access, uint16_t port)
{
	struct net_port rule = { access, port };

	return syscall(NR_ADD_RULE, ruleset, RULE_NET_PORT, &rule, 0) < 0 ? -errno : 0;
}

int landlock_enter(int ruleset)
{
	return syscall(NR_LANDLOCK_RESTRICT_SELF, ruleset, 0) < 0 ? -errno : 0;
}
