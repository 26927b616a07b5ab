/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy's grants as Landlock rulesets, and what they were made from.
 */
#ifndef SLUICE_CONFINE_RULES_H
#define SLUICE_CONFINE_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <sluice/error.h>

struct holes;
struct sluice_policy;

/* The file that a grant named when the rulesets were made. */
struct rules_file {
	bool exists;
	dev_t dev;
	ino_t ino;
};

struct rules {
	int ruleset_a, ruleset_b; /* owned; -1 */
	int abi;
	bool signal_scope;	  /* both domains confine signals */
	bool all_writable;	  /* writing is granted on "/" */
	struct rules_file *files; /* one for each grant of the policy; owned */
	size_t n_files;
	struct holes *holes; /* in domain B; owned; NULL: the command sees the host's /proc */
};

/* What the engine's threads need of /proc beside the policy. */
enum rules_proc {
	RULES_PROC_READ, /* status, links */
	RULES_PROC_WRITE, /* and the mem files, where process_vm_readv is refused; and what a process may write of its own */
};

struct tree;

/*
 * Where the command has a tree of its own: the policy's paths are looked up there, and granted to the engine only. The command itself gets what its
 * execs need.
 */
struct rules_tree {
	const struct tree *tree;
	int branch; /* O_PATH descriptor of the branch's own directory, which only the engine writes to; -1: no copy-on-write */
	int exec; /* O_PATH descriptor of the directory that the command executes from, and only the engine writes to */
};

/* @tree: NULL: the host's. */
int rules_make(const struct sluice_policy *p, enum rules_proc proc, const struct rules_tree *tree,
	       struct rules *ret, struct sluice_error *err);
void rules_free(struct rules *r);
/* Does @p grant all of /proc, for reading or @write, by whatever path? */
bool rules_grant_proc(const struct sluice_policy *p, bool write);
/* Let the engine's threads make what they like in @dir (O_PATH), a directory of ours. -errno. */
int rules_allow_listings(const struct rules *r, int dir);
/* Do the policy's paths still name the files that the rulesets hold? */
bool rules_current(const struct rules *r, const struct sluice_policy *p);

#endif
