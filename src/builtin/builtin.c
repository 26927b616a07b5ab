/* SPDX-License-Identifier: Apache-2.0 */
#include "builtin/builtin.h"

#include <errno.h>
#include <stdlib.h>

#include "builtin/determinism/determinism.h"
#include "builtin/files/files.h"
#include "builtin/ipc/mqueue.h"
#include "builtin/ipc/sysv.h"
#include "builtin/ledger/ledger.h"
#include "builtin/metadata/metadata.h"
#include "builtin/network/bind.h"
#include "builtin/network/connect.h"
#include "builtin/network/destination.h"
#include "builtin/network/hosts.h"
#include "builtin/network/interfaces.h"
#include "builtin/network/netlink.h"
#include "builtin/network/ports.h"
#include "builtin/network/rules.h"
#include "builtin/network/send.h"
#include "builtin/port_remap/port_remap.h"
#include "builtin/port_remap/remap.h"
#include "builtin/process/dumpable.h"
#include "builtin/process/process.h"
#include "builtin/procfs/ownproc.h"
#include "builtin/quota/quota.h"
#include "builtin/resource/cores.h"
#include "builtin/resource/memfds.h"
#include "builtin/resource/processes.h"
#include "builtin/uname/uname.h"
#include "engine/dispatch.h"
#include "policy/policy.h"
#include "tree/tree.h"
#include "tree/writable.h"
#include "util/fail.h"

/* The host's own tree, the table's, for what is carried out for a task there. */
static int host_tree(struct dispatch *d, const struct builtin_sandbox *s, const struct tree **ret)
{
	struct tree *host = calloc(1, sizeof(*host));

	if (!host)
		return -ENOMEM;
	/* Landlock bounds what is opened, and none of these opens anything: looking at procfs takes no grant */
	host->proc_granted = true;
	host->proc = ownproc_view(s->proc);
	host->times = s->times;
	*ret = host;
	return dispatch_own(d, host, free);
}

static int bind_remapped(void *remap, int sock, const struct sockaddr_storage *addr, socklen_t len)
{
	return remap_bind(remap, sock, addr, len);
}

static void redirect(void *remap, int sock, struct sockaddr_storage *addr, socklen_t len)
{
	remap_destination(remap, sock, addr, len);
}

static uint16_t port_shown(void *remap, int protocol, uint64_t inode, bool peer,
			   const struct in6_addr *address, uint16_t port)
{
	return remap_port_of_inode(remap, protocol, inode, peer, address, port);
}

/* @host: NULL where nothing is carried out there. */
static int register_network(struct dispatch *d, const struct sluice_policy *p,
			    const struct builtin_context *c, struct connect_bounds *b,
			    const struct tree *host)
{
	/* no Unix socket is out of bounds */
	const bool free_sends = writable_is_all(b->writable) && !c->tree;
	const struct tree *tree = c->tree ? c->tree : host;
	int r = tree ? builtin_bind_register(d, tree, !b->network, &b->names) : 0;

	if (r == 0 && b->network)
		r = builtin_netlink_register(d);
	if (r == 0 && b->network)
		r = builtin_interfaces_register(d);
	if (r == 0 && b->network)
		r = builtin_ports_register(d, b, free_sends || policy_judges_sends(p));
	if (r == 0 &&
	    (policy_net_protocols(p) & (NET_UDP | NET_ICMP) || (p->unix_datagrams && !free_sends)))
		r = builtin_send_register(d, b);
	if (r == 0 && c->sandbox->remap)
		r = builtin_port_remap_register(d, c->sandbox->remap,
						network_protocols(b->network) & NET_TCP,
						network_protocols(b->network) & NET_UDP);
	return r < 0 ? r : builtin_connect_register(d, b);
}

/* The rules of the network, the table's; *ret is NULL where there are none. */
static int network_rules(struct dispatch *d, const struct sluice_policy *p,
			 const struct builtin_sandbox *sandbox, const struct network **ret,
			 struct sluice_error *err)
{
	struct network *n = NULL;
	int r = policy_has_network(p) ? network_new(p, &n, err) : 0;

	if (r < 0 || !n)
		return r;
	*ret = n;
	if (sandbox->network)
		*sandbox->network = n;
	r = dispatch_own(d, n, network_free);
	return r < 0 ? fail_errno(err, r, "network rules") : 0;
}

/* What processes may do and take, and what is counted of them. */
static int register_limits(struct dispatch *d, const struct sluice_policy *p,
			   const struct builtin_context *c)
{
	const struct builtin_sandbox *sandbox = c->sandbox;
	int r = builtin_process_register(d, p, sandbox->init);

	if (r == 0)
		r = builtin_processes_register(d, p->max_processes, sandbox->init,
					       sandbox->signal_scope);
	if (r == 0 && sandbox->memfds_made)
		r = builtin_memfds_register(d, sandbox->memfds_made);
	if (r == 0)
		r = builtin_ledger_register(d, sandbox->ledger);
	if (r < 0 ||
	    (sandbox->proc && p->num_cpus)) /* which maps the command's CPUs to the cores */
		return r;
	return builtin_cores_register(d, p->cores, sandbox->init);
}

/* All of them, in their order. @b: what bounds destinations. */
static int register_all(struct dispatch *d, const struct sluice_policy *p,
			const struct builtin_context *c, struct connect_bounds *b,
			struct writable *w)
{
	const struct tree *tree = c->tree, *host = NULL;
	int r = builtin_uname_register(d); /* every sandbox has a name */

	if (r == 0)
		r = builtin_dumpable_register(d, p);
	if (r == 0 && !tree && (c->extras || b->network || c->sandbox->times))
		r = host_tree(d, c->sandbox, &host);
	if (r == 0 && b->network) /* before there is said to be no such file */
		r = builtin_hosts_register(d, b->network, tree ? tree : host);
	if (r == 0 && c->sandbox->proc)
		r = builtin_ownproc_register(d, c->sandbox->proc);
	if (r == 0 && tree)
		r = builtin_files_register(d, tree);
	if (r == 0 && tree)
		r = builtin_files_limit_register(d, p, tree);
	if (r == 0 && host && c->extras)
		r = builtin_files_plan_on_host(d, host);
	if (r == 0 && c->sandbox->times)
		r = builtin_files_times_register(d, tree ? tree : host);
	if (r == 0 && p->seeded)
		r = builtin_random_register(d, p->seed, tree != NULL);
	if (r == 0 && p->time_start)
		r = builtin_clock_register(d, p->time_start_s, c->sandbox->times);
	if (r == 0 && p->deterministic_dirs)
		r = builtin_directories_register(d);
	if (r == 0)
		r = builtin_metadata_register(d, w, tree, c->sandbox->times);
	if (r == 0)
		r = register_network(d, p, c, b, host);
	if (r == 0 && tree)
		r = builtin_quota_register(d, tree);
	if (r == 0)
		r = builtin_sysv_register(d);
	if (r == 0)
		r = builtin_mqueue_register(d, tree ? NULL : w);
	return r < 0 ? r : register_limits(d, p, c);
}

int builtin_register_all(struct dispatch *d, struct sluice_policy *p,
			 const struct builtin_context *c, struct sluice_error *err)
{
	struct connect_bounds bounds = { .tree = c->tree };
	struct writable *w;
	int r = network_rules(d, p, c->sandbox, &bounds.network, err);

	if (r < 0)
		return r;
	if (c->sandbox->remap && c->sandbox->proc)
		ownproc_show_ports(c->sandbox->proc, port_shown, c->sandbox->remap);
	if (c->sandbox->remap)
		bounds.hooks = (struct port_hooks){ c->sandbox->remap, bind_remapped, redirect };
	w = writable_get(p, c->tree, &r);
	if (w) {
		bounds.writable = w;
		r = dispatch_own(d, w, writable_unref);
		if (r == 0)
			r = register_all(d, p, c, &bounds, w);
	}
	return r < 0 ? fail_errno(err, r, "built-in handlers") : 0;
}
