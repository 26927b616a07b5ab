/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls that would go around a branch's quota: fallocate, which takes any number of bytes at once, and setrlimit and prlimit64 of RLIMIT_FSIZE, by
 * which a process that must not write any more (src/tree/room.c) could take that back.
 */
#ifndef SLUICE_BUILTIN_QUOTA_QUOTA_H
#define SLUICE_BUILTIN_QUOTA_QUOTA_H

struct dispatch;
struct tree;

/* Traps nothing where no branch of @tree (borrowed) has a quota. 0 or -errno. */
int builtin_quota_register(struct dispatch *d, const struct tree *tree);

#endif
