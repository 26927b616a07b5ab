/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/metadata/metadata.h"

#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "builtin/metadata/change.h"
#include "engine/dispatch.h"
#include "task/writable.h"

_Static_assert(sizeof(struct change) <= REQUEST_PLAN_BYTES, "a plan holds a change");

static struct sluice_verdict plan(struct sluice_request *req, const struct writable *w)
{
	struct change_target target;
	struct request_plan p = {
		.builtin = "metadata",
		.act = change_make,
		.layer = SLUICE_LAYER_HOST,
		.fds = { -1, -1 },
	};
	struct change change;
	int r = change_decode(req, &change, &target);

	if (r == 0)
		r = request_compare_credentials(req);
	if (r == 0)
		p.fds[0] = r = change_open(req, &target);
	if (r < 0)
		return sluice_errno(-r);
	if (!writable_has_or_nameless(w, p.fds[0])) {
		close(p.fds[0]);
		return sluice_errno(EACCES);
	}
	p.data = &change;
	p.size = sizeof(change);
	r = request_plan_act(req, &p);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

static struct sluice_verdict metadata_handle(struct sluice_request *req, void *userdata)
{
	return plan(req, userdata);
}

int builtin_metadata_register(struct dispatch *d, struct writable *w)
{
	bool trapped = !writable_is_all(w);
	int r = 0;

	for (const int *nr = change_calls; r == 0 && *nr >= 0; nr++) {
		struct sluice_handler h = sluice_handler_make("metadata", *nr, metadata_handle, w);

		r = dispatch_add_planner(d, *nr, metadata_handle, w);
		if (r == 0 && trapped)
			r = dispatch_add(d, &h, true);
	}
	return r;
}
