/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock's system calls and the constants that are newer than the oldest headers we build with (linux 5.19, ABI 2).
 * Layouts and values: include/uapi/linux/landlock.h of the kernel, which only ever grows.
 */
#ifndef SLUICE_SYS_LANDLOCK_H
#define SLUICE_SYS_LANDLOCK_H

#include <stdint.h>

/* File rights; the ABI that brought each. */
#define LL_FS_EXECUTE (1u << 0) /* 1 */
#define LL_FS_WRITE_FILE (1u << 1)
#define LL_FS_READ_FILE (1u << 2)
#define LL_FS_READ_DIR (1u << 3)
#define LL_FS_MAKE_SOCK (1u << 9)
#define LL_FS_ALL_V1 0x1fffu
#define LL_FS_REFER (1u << 13)	   /* 2 */
#define LL_FS_TRUNCATE (1u << 14)  /* 3 */
#define LL_FS_IOCTL_DEV (1u << 15) /* 5 */

/* Rights that mean something for a file that is no directory; the kernel refuses the others there. */
#define LL_FS_FILE_RIGHTS \
	(LL_FS_EXECUTE | LL_FS_WRITE_FILE | LL_FS_READ_FILE | LL_FS_TRUNCATE | LL_FS_IOCTL_DEV)

#define LL_NET_BIND_TCP (1u << 0) /* 4 */
#define LL_NET_CONNECT_TCP (1u << 1)

#define LL_SCOPE_ABSTRACT_UNIX (1u << 0) /* 6 */
#define LL_SCOPE_SIGNAL (1u << 1)

#define LL_ABI_REFER 2
#define LL_ABI_TRUNCATE 3
#define LL_ABI_NET 4
#define LL_ABI_IOCTL_DEV 5
#define LL_ABI_SCOPE 6

struct landlock_ruleset {
	uint64_t fs, net, scoped;
};

/* Version of the kernel's ABI (1 ...), or 0 where Landlock is not built in, not switched on, or refused to us. */
int landlock_abi(void);
/* landlock_restrict_self, the same on every architecture. */
#define NR_LANDLOCK_RESTRICT_SELF 446

/* A ruleset descriptor (CLOEXEC), or a negative errno. @abi bounds how much of @attr the kernel is shown. */
int landlock_create(const struct landlock_ruleset *attr, int abi);
/* Allow @access beneath the file that @parent_fd (O_PATH) names. */
int landlock_allow(int ruleset, uint64_t access, int parent_fd);
/* Allow @access (LL_NET_*) of TCP port @port. */
int landlock_allow_port(int ruleset, uint64_t access, uint16_t port);
/* Put the calling thread into the ruleset's domain. */
int landlock_enter(int ruleset);

#endif
