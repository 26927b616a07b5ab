/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files of this folder: one group of calls a file, each with a handler that looks (and makes a plan) and an act that does.
 */
#ifndef SLUICE_BUILTIN_FILES_INTERNAL_H
#define SLUICE_BUILTIN_FILES_INTERNAL_H

#include <limits.h>
#include <stdint.h>
#include <sys/stat.h>

#include "engine/dispatch.h"
#include "engine/request.h"
#include "tree/tree.h"

/* A call and who looks at it. */
struct files_call {
	int nr; /* -1 ends a list */
	sluice_handler_fn fn;
};

/* One list a file, but that the refused ones have one of their own. */
extern const struct files_call files_open_calls[];
extern const struct files_call files_list_calls[];
extern const struct files_call files_look_calls[];
extern const struct files_call files_look_branch_calls[];
extern const struct files_call files_readlink_calls[];
/* Trapped where the filter would refuse them. */
extern const struct files_call files_limit_calls[];
extern const struct files_call files_name_calls[];
extern const struct files_call files_where_calls[];
extern const struct files_call files_rest_calls[];
extern const struct files_call files_refused_calls[];
/* For a tree whose times are not as they are: those that are trapped for that alone; the ones that take a path, where the tree is the host's. */
extern const struct files_call files_timed_fd_calls[];
extern const struct files_call files_timed_path_calls[];

/* One name that an act needs: what walk found, without its descriptors, which the plan holds. */
struct files_place {
	char name[NAME_MAX + 1];
	bool has_name, slash;
	bool exists, directory; /* of what was found */
	int mount;
};

/* What a plan of ours keeps beside descriptors. */
struct files_plan {
	const struct tree *tree;
	struct files_place places[2];
	uint64_t args[4]; /* the call's own, as the act needs them */
	bool fresh; /* nobody looks between plan and act, so st is what fstat would say of the first file */
	struct stat st;
	bool opened; /* the first file is open already, as the call asks for it */
};

/* What AT_* flags ask of a walk. @follow: links are followed with AT_SYMLINK_FOLLOW, else without AT_SYMLINK_NOFOLLOW. */
uint32_t files_walk_flags(uint64_t at_flags, bool follow);
/* Resolve the call's path @which (with its dirfd). */
int files_walk(struct sluice_request *req, const struct tree *tree, unsigned which, uint32_t flags,
	       uint64_t resolve, struct walk_end *ret);
int files_walk_how(struct sluice_request *req, const struct tree *tree, unsigned which,
		   uint32_t flags, const struct tree_how *how, struct walk_end *ret);
/* The file behind the task's descriptor @fd. */
int files_descriptor(struct sluice_request *req, const struct tree *tree, int fd,
		     struct walk_end *ret);

/*
 * Plan @act for @end (and @end2, may be NULL), whose descriptors are consumed in every case. The verdict to return.
 */
struct sluice_verdict files_plan(struct sluice_request *req, struct files_plan *plan,
				 struct walk_end *end, struct walk_end *end2, request_act_fn act);
/* The same for one end that was looked for with result @r: where that is an error, the verdict says so. */
struct sluice_verdict files_plan_one(struct sluice_request *req, const struct tree *tree,
				     struct files_plan *plan, struct walk_end *end, int r,
				     request_act_fn act);
/* program.c: an exec_resolve_fn; @tree is a struct tree. */
int files_resolve_program(void *tree, struct sluice_request *req, int dirfd, const char *path,
			  int flags, char ret_virtual[PATH_MAX], bool *ret_native);
/* May @fd, of which fstat says @st, be written to, or is it a program that somebody runs? -ETXTBSY; -EACCES where nobody may write to it anyway. */
int files_check_run(const struct tree *tree, int fd, const struct stat *st);
/* Where the plan's file @which lies in a branch, as tree_branch_of. */
struct files_spot {
	struct branch *branch; /* NULL: in none */
	char path[PATH_MAX];
};
int files_spot(const struct sluice_request *req, const struct files_plan *p, unsigned which,
	       struct files_spot *ret);
/* -errno as a verdict. */
struct sluice_verdict files_errno(int negative_errno);
/* -errno or a value as an act's end; r < 0 with errno set by libc reads as errno. */
struct request_act files_done(long r);
struct request_act files_value(int64_t value_or_negative_errno);
/* An act's end that gives the task @data at @addr, and @value. */
struct request_act files_give(struct sluice_request *req, uint64_t addr, const void *data,
			      size_t size, int64_t value);
/* The place's name with the slash that the task wrote, which the kernel judges. */
const char *files_name(const struct files_place *p, char buf[NAME_MAX + 2]);

#endif
