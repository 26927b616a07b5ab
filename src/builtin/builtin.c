/* SPDX-License-Identifier: Apache-2.0 */
#include "builtin/builtin.h"

#include <errno.h>

#include "builtin/files/files.h"
#include "builtin/metadata/metadata.h"
#include "builtin/network/bind.h"
#include "builtin/network/connect.h"
#include "builtin/network/ports.h"
#include "builtin/network/destination.h"
#include "builtin/network/rules.h"
#include "builtin/network/send.h"
#include "builtin/port_remap/port_remap.h"
#include "builtin/port_remap/remap.h"
#include "builtin/uname/uname.h"
#include "engine/dispatch.h"
#include "policy/policy.h"
#include "tree/writable.h"
#include "util/fail.h"

static int bind_remapped(void *remap, int sock, const struct sockaddr_storage *addr, socklen_t len)
{
	return remap_bind(remap, sock, addr, len);
}

static void redirect(void *remap, int sock, struct sockaddr_storage *addr, socklen_t len)
{
	remap_destination(remap, sock, addr, len);
}

/* Rules of the network come before the names of Unix sockets, which they leave alone. */
static int register_network(struct dispatch *d, struct sluice_policy *p, const struct writable *w,
			    const struct tree *tree, struct remap *remap, struct sluice_error *err)
{
	struct connect_bounds bounds = { .writable = w, .tree = tree };
	struct network *n = NULL;
	int r = policy_has_network(p) ? network_new(p, &n, err) : 0;

	bounds.network = n;
	if (remap)
		bounds.hooks = (struct port_hooks){ remap, bind_remapped, redirect };
	if (r == 0 && n)
		r = dispatch_own(d, n, network_free);
	if (r == 0 && n)
		r = builtin_ports_register(d, &bounds, writable_is_all(w) && !tree);
	if (r == 0 && n)
		r = builtin_send_register(d, &bounds);
	if (r == 0 && tree)
		r = builtin_bind_register(d, tree);
	if (r == 0 && remap)
		r = builtin_port_remap_register(d, remap);
	return r < 0 ? r : builtin_connect_register(d, &bounds);
}

int builtin_register_all(struct dispatch *d, struct sluice_policy *p, const struct tree *tree,
			 struct remap *remap, struct sluice_error *err)
{
	int r = builtin_uname_register(d); /* every sandbox has a name */
	struct writable *w = r < 0 ? NULL : writable_get(p, tree, &r);

	if (!w)
		return fail_errno(err, r, "built-in handlers");
	r = dispatch_own(d, w, writable_unref);
	if (r == 0 && tree)
		r = builtin_files_register(d, tree);
	if (r == 0)
		r = builtin_metadata_register(d, w, tree);
	if (r == 0)
		r = register_network(d, p, w, tree, remap, err);
	if (r == -ENOMEM)
		fail_errno(err, r, "built-in handlers");
	return r;
}
