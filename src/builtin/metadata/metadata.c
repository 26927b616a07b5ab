/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/metadata/metadata.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin/metadata/change.h"
#include "engine/dispatch.h"
#include "tree/file_times.h"
#include "tree/tree.h"
#include "tree/writable.h"

_Static_assert(sizeof(struct change) <= REQUEST_PLAN_BYTES, "a plan holds a change");

/* What the handler is given: constant, the table's. */
struct metadata {
	const struct writable *writable;
	const struct tree *tree;	/* of the command; NULL: the host's */
	const struct file_times *times; /* NULL: as they are given */
};

/* May the file behind @fd be changed? 0, -EACCES; -EROFS on a mount that the caller made read-only. */
static int may_change(const struct metadata *m, int fd)
{
	int mount = m->tree ? view_mount_of(m->tree->view, fd) : -1;

	if (mount >= 0 && view_mount(m->tree->view, mount)->read_only)
		return -EROFS;
	if (mount >= 0 && view_mount(m->tree->view, mount)->branch)
		return 0; /* where the change goes is asked when it is made */
	return writable_has_or_nameless(m->writable, fd) ? 0 : -EACCES;
}

static void keep_times(struct change *c, const struct file_times *times)
{
	for (int i = 0; i < 2; i++) {
		if (c->times[i].tv_nsec != UTIME_NOW && c->times[i].tv_nsec != UTIME_OMIT)
			file_times_keep(times, &c->times[i]);
	}
}

static struct sluice_verdict plan(struct sluice_request *req, const struct metadata *m)
{
	struct change_target target;
	struct request_plan p = {
		.builtin = "metadata",
		.act = change_make,
		.layer = SLUICE_LAYER_HOST,
		REQUEST_PLAN_NO_FILES,
	};
	struct change change;
	int r = change_decode(req, &change, &target);

	if (r == CHANGE_NOTHING)
		return sluice_value(0);
	if (r == 0 && m->times && change.kind == CHANGE_TIMES)
		keep_times(&change, m->times);
	if (r == 0)
		r = request_compare_credentials(req);
	if (r == 0)
		p.fds[0] = r = change_open(req, m->tree, &target);
	if (r < 0)
		return sluice_errno(-r);
	r = may_change(m, p.fds[0]);
	if (r < 0) {
		close(p.fds[0]);
		return sluice_errno(-r);
	}
	change.tree = m->tree;
	if (m->tree && request_has_extras(req))
		p.layer = tree_layer(m->tree, -1, -1, p.fds[0]);
	p.data = &change;
	p.size = sizeof(change);
	r = request_plan_act(req, &p);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

static struct sluice_verdict metadata_handle(struct sluice_request *req, void *userdata)
{
	return plan(req, userdata);
}

/* All may be changed: trapped for the times alone, so what cannot be looked at for the task is the kernel's. */
static struct sluice_verdict times_handle(struct sluice_request *req, void *userdata)
{
	struct sluice_verdict v = plan(req, userdata);

	return v.kind == SLUICE_ERRNO ? sluice_continue() : v;
}

/* What traps call @nr; NULL: nothing. */
static sluice_handler_fn handler_of(const struct metadata *m, int nr)
{
	if (m->tree || !writable_is_all(m->writable))
		return metadata_handle;
	return m->times && change_sets_times(nr) ? times_handle : NULL;
}

int builtin_metadata_register(struct dispatch *d, struct writable *w, const struct tree *tree,
			      const struct file_times *times)
{
	struct metadata *m = malloc(sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	*m = (struct metadata){ w, tree, times };
	r = dispatch_own(d, m, free);
	for (const int *nr = change_calls; r == 0 && *nr >= 0; nr++) {
		struct sluice_handler h =
			sluice_handler_make("metadata", *nr, handler_of(m, *nr), m);

		r = dispatch_add_planner(d, *nr, metadata_handle, m);
		if (r == 0 && h.fn)
			r = dispatch_add(d, &h, true);
	}
	return r;
}
