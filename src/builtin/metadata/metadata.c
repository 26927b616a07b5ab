/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/metadata/metadata.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "builtin/metadata/change.h"
#include "engine/dispatch.h"
#include "tree/tree.h"
#include "tree/writable.h"

_Static_assert(sizeof(struct change) <= REQUEST_PLAN_BYTES, "a plan holds a change");

/* What the handler is given: constant, the table's. */
struct metadata {
	const struct writable *writable;
	const struct tree *tree; /* of the command; NULL: the host's */
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

int builtin_metadata_register(struct dispatch *d, struct writable *w, const struct tree *tree)
{
	struct metadata *m = malloc(sizeof(*m));
	bool trapped = tree || !writable_is_all(w);
	int r;

	if (!m)
		return -ENOMEM;
	*m = (struct metadata){ w, tree };
	r = dispatch_own(d, m, free);
	for (const int *nr = change_calls; r == 0 && *nr >= 0; nr++) {
		struct sluice_handler h = sluice_handler_make("metadata", *nr, metadata_handle, m);

		r = dispatch_add_planner(d, *nr, metadata_handle, m);
		if (r == 0 && trapped)
			r = dispatch_add(d, &h, true);
	}
	return r;
}
