/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin/files/exec.h"
#include "builtin/files/internal.h"
#include "confine/confinement.h"
#include "policy/policy.h"

_Static_assert(sizeof(struct files_plan) <= REQUEST_PLAN_BYTES, "a plan of ours fits");

uint32_t files_walk_flags(uint64_t at_flags, bool follow)
{
	const bool nofollow =
		follow ? !(at_flags & AT_SYMLINK_FOLLOW) : at_flags & AT_SYMLINK_NOFOLLOW;

	return (nofollow ? WALK_NOFOLLOW : 0u) | (at_flags & AT_EMPTY_PATH ? WALK_EMPTY : 0u);
}

int files_walk_how(struct sluice_request *req, const struct tree *tree, unsigned which,
		   uint32_t flags, const struct tree_how *how, struct walk_end *ret)
{
	struct tree_base base;
	const char *path;
	ssize_t n = request_peek_path(req, which, &path);
	int r;

	ret->fd = ret->dir = -1;
	if (n < 0)
		return request_check_path(req, which) < 0 ? -ESRCH : (int)n;
	/* of a deferred call the path may have been looked at long ago: one check after both */
	tree_base_peek(tree, request_task(req), sluice_request_dirfd(req, which), path, &base);
	r = request_check_path(req, which);
	if (r == 0)
		r = request_compare_credentials(req);
	if (r == 0)
		r = tree_walk_from(tree, request_task(req), &base, path, flags, how, ret);
	tree_base_drop(tree, &base);
	return r;
}

int files_walk(struct sluice_request *req, const struct tree *tree, unsigned which, uint32_t flags,
	       uint64_t resolve, struct walk_end *ret)
{
	const struct tree_how how = { .resolve = resolve };

	return files_walk_how(req, tree, which, flags, &how, ret);
}

int files_descriptor(struct sluice_request *req, const struct tree *tree, int fd,
		     struct walk_end *ret)
{
	int r = request_compare_credentials(req);

	ret->fd = ret->dir = -1;
	return r < 0 ? r : tree_walk(tree, request_task(req), fd, "", WALK_EMPTY, 0, ret);
}

static void place_of(struct files_place *p, const struct walk_end *end)
{
	p->has_name = end->dir >= 0;
	p->slash = end->slash;
	p->exists = end->fd >= 0;
	p->directory = end->fd >= 0 && S_ISDIR(end->st.st_mode);
	p->mount = end->mount;
	memcpy(p->name, end->name, sizeof(p->name));
}

struct sluice_verdict files_plan(struct sluice_request *req, struct files_plan *plan,
				 struct walk_end *end, struct walk_end *end2, request_act_fn act)
{
	struct request_plan p = {
		.builtin = "files",
		.act = act,
		.fds = { end->fd, end2 ? end2->fd : -1 },
		.dirs = { end->dir, end2 ? end2->dir : -1 },
		.data = plan,
		.size = sizeof(*plan),
	};
	int r;

	place_of(&plan->places[0], end);
	if (end2)
		place_of(&plan->places[1], end2);
	p.names[0] = plan->places[0].has_name ? plan->places[0].name : NULL;
	p.names[1] = end2 && plan->places[1].has_name ? plan->places[1].name : NULL;
	plan->fresh = end->plain && !request_has_extras(req);
	plan->st = end->st;
	plan->opened = end->opened;
	if (request_has_extras(req))
		p.layer = tree_layer(plan->tree, end->mount, end->dir, end->fd);
	r = request_plan_act(req, &p);
	return r < 0 ? files_errno(r) : sluice_continue();
}

struct sluice_verdict files_plan_one(struct sluice_request *req, const struct tree *tree,
				     struct files_plan *plan, struct walk_end *end, int r,
				     request_act_fn act)
{
	plan->tree = tree;
	if (r == 0)
		return files_plan(req, plan, end, NULL, act);
	walk_end_close(end);
	return files_errno(r);
}

int files_spot(const struct sluice_request *req, const struct files_plan *p, unsigned which,
	       struct files_spot *ret)
{
	const struct files_place *place = &p->places[which];

	return tree_branch_of(p->tree, place->mount,
			      place->has_name ? request_plan_dir(req, which) : -1, place->name,
			      request_plan_fd(req, which), &ret->branch, ret->path);
}

struct sluice_verdict files_errno(int negative_errno)
{
	return sluice_errno(-negative_errno);
}

struct request_act files_value(int64_t value)
{
	return (struct request_act){ .value = value, .fd = -1 };
}

struct request_act files_give(struct sluice_request *req, uint64_t addr, const void *data,
			      size_t size, int64_t value)
{
	int r = size ? sluice_request_write(req, addr, data, size) : 0;

	return files_value(r < 0 ? r : value);
}

struct request_act files_done(long r)
{
	return files_value(r < 0 ? -errno : r);
}

const char *files_name(const struct files_place *p, char buf[NAME_MAX + 2])
{
	snprintf(buf, NAME_MAX + 2, "%s%s", p->name, p->slash ? "/" : "");
	return buf;
}

/* ---- registration ---- */

static int register_calls(struct dispatch *d, const struct files_call *calls,
			  const struct tree *tree)
{
	int r = 0;

	for (; r == 0 && calls->nr >= 0; calls++) {
		struct sluice_handler h =
			sluice_handler_make("files", calls->nr, calls->fn, (void *)(uintptr_t)tree);

		r = dispatch_add(d, &h, true);
	}
	return r;
}

static int register_planners(struct dispatch *d, const struct files_call *calls,
			     const struct tree *tree)
{
	int r = 0;

	for (; r == 0 && calls->nr >= 0; calls++)
		r = dispatch_add_planner(d, calls->nr, calls->fn, (void *)(uintptr_t)tree);
	return r;
}

int files_exec_new(const struct tree *tree, struct exec **ret, struct sluice_error *err)
{
	return exec_new(tree->private_path, files_resolve_program, (void *)(uintptr_t)tree, ret,
			err);
}

int builtin_files_plan_on_host(struct dispatch *d, const struct tree *host)
{
	static const struct files_call *const lists[] = {
		files_look_calls,
		files_readlink_calls,
		files_name_calls,
		files_rest_calls,
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(lists) / sizeof(lists[0]); i++)
		r = register_planners(d, lists[i], host);
	return r;
}

/* The filter then refuses it for the limit that is meant, and for nothing else of ours. */
static bool is_allowed(const struct sluice_policy *p, int nr)
{
	enum call_treatment treatment;

	return !p->n_call_rules ||
	       (confine_call_treatment(p, nr, &treatment, NULL) == 0 && treatment == CALL_ALLOWED);
}

int builtin_files_limit_register(struct dispatch *d, const struct sluice_policy *p,
				 const struct tree *tree)
{
	int r = 0;

	for (const struct files_call *c = files_limit_calls; r == 0 && c->nr >= 0; c++) {
		struct sluice_handler h =
			sluice_handler_make("files", c->nr, c->fn, (void *)(uintptr_t)tree);

		if (is_allowed(p, c->nr))
			r = dispatch_add_where_refused(d, &h);
	}
	return r;
}

int builtin_files_times_register(struct dispatch *d, const struct tree *tree)
{
	int r = 0;

	if (!tree->view || !view_has_branches(tree->view)) /* which has them trapped */
		r = register_calls(d, files_timed_fd_calls, tree);
	return r < 0 || tree->view ? r : register_calls(d, files_timed_path_calls, tree);
}

int builtin_files_register(struct dispatch *d, const struct tree *tree)
{
	static const struct files_call *const lists[] = {
		files_open_calls,  files_look_calls, files_readlink_calls, files_name_calls,
		files_where_calls, files_rest_calls, files_refused_calls,
	};
	int r = exec_register(d, tree->exec);

	for (size_t i = 0; r == 0 && i < sizeof(lists) / sizeof(lists[0]); i++)
		r = register_calls(d, lists[i], tree);
	if (r == 0 && view_has_branches(tree->view))
		r = register_calls(d, files_look_branch_calls, tree);
	if (r == 0 && (view_has_branches(tree->view) || view_has_missing_mounts(tree->view)))
		r = register_calls(d, files_list_calls, tree);
	return r;
}
