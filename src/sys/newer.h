/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that are newer than the headers of Debian 12, and what they take. Their numbers are the same on every architecture.
 */
#ifndef SLUICE_SYS_NEWER_H
#define SLUICE_SYS_NEWER_H

#include <stdint.h>

#define NR_FCHMODAT2 452
#define NR_STATMOUNT 457
#define NR_LISTMOUNT 458
#define NR_SETXATTRAT 463
#define NR_GETXATTRAT 464
#define NR_LISTXATTRAT 465
#define NR_REMOVEXATTRAT 466
#define NR_OPEN_TREE_ATTR 467
#define NR_FILE_GETATTR 468
#define NR_FILE_SETATTR 469

/* struct xattr_args of linux/xattr.h, from 6.13 on. */
struct xattr_args_v0 {
	uint64_t value;
	uint32_t size;
	uint32_t flags;
};

#endif
