/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "builtin/network/live.h"
#include "builtin/network/lookup.h"
#include "builtin/network/names.h"
#include "builtin/network/resolve.h"
#include "builtin/network/servers.h"
#include "policy/policy.h"
#include "util/fail.h"

struct network {
	struct net_target *targets; /* copies: the policy may change meanwhile */
	size_t n_targets;
	bool deny;
	size_t *named;	     /* which of `names` each target is about */
	struct names *names; /* whose texts are in `targets` */
	struct live *live;   /* NULL: they stay as they are */
	unsigned protocols;
	struct net_ports *binds;
	size_t n_binds;
	bool deny_binds;
};

void network_free(void *network)
{
	struct network *n = network;

	if (!n)
		return;
	live_free(n->live);
	names_free(n->names);
	free(n->named);
	free(n->targets);
	free(n->binds);
	free(n);
}

static void *copy(const void *list, size_t bytes)
{
	void *made = calloc(1, bytes + 1);

	if (made && bytes)
		memcpy(made, list, bytes);
	return made;
}

/* ---- names ---- */

static int resolve_one(struct network *n, const struct policy_network *from, size_t name,
		       struct sluice_error *err)
{
	struct net_address found[RESOLVE_MAX];
	const char *text = names_name(n->names, name);
	struct servers servers;
	int r;

	servers_given(from->servers, from->n_servers, &servers);
	r = servers.n ? lookup_name(&servers, text, found, err) : resolve_name(text, found, err);
	if (r > 0)
		names_begin(n->names, name, found, (size_t)r);
	return r < 0 ? r : 0;
}

static int resolve(struct network *n, const struct policy_network *from, struct sluice_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < names_count(n->names); i++)
		r = resolve_one(n, from, i, err);
	if (r == 0)
		r = names_publish(n->names, 0);
	if (r < 0 || !from->live || !names_count(n->names))
		return r;
	r = live_start(n->names, from->servers, from->n_servers, &n->live);
	return r < 0 ? fail_errno(err, r, "network: names that are live") : 0;
}

/* Of targets and names, of which nothing is known yet. */
static int build(struct network *n, const struct policy_network *from)
{
	n->targets = copy(from->targets, from->n_targets * sizeof(*from->targets));
	n->binds = copy(from->binds, from->n_binds * sizeof(*from->binds));
	n->named = calloc(from->n_targets + 1, sizeof(*n->named));
	if (!n->targets || !n->binds || !n->named ||
	    names_new(n->targets, from->n_targets, &n->names) < 0)
		return -ENOMEM;
	n->n_targets = from->n_targets;
	n->n_binds = from->n_binds;
	for (size_t i = 0; i < n->n_targets; i++)
		n->named[i] = names_find(n->names, n->targets[i].name);
	return 0;
}

int network_new(const struct sluice_policy *p, struct network **ret, struct sluice_error *err)
{
	const struct policy_network *from = &p->network;
	struct network *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return fail_errno(err, -ENOMEM, "network rules");
	n->deny = from->deny;
	n->deny_binds = from->deny_binds;
	n->protocols = policy_net_protocols(p);
	r = build(n, from);
	if (r == 0)
		r = resolve(n, from, err);
	if (r == -ENOMEM)
		fail_errno(err, r, "network rules");
	if (r < 0)
		network_free(n);
	else
		*ret = n;
	return r;
}

void network_settle(struct network *n)
{
	if (n->live)
		live_stop(n->live);
}

bool network_has_names(const struct network *n)
{
	return names_count(n->names);
}

void network_each_name(const struct network *n,
		       void (*fn)(void *arg, const char *name, const struct net_address *a),
		       void *arg)
{
	names_each(n->names, fn, arg);
}

uint64_t network_generation(const struct network *n)
{
	return names_generation(n->names);
}

/* ---- what may be done ---- */

unsigned network_protocols(const struct network *n)
{
	return n->protocols;
}

static bool is_meant(const struct network *n, size_t target, enum net_protocol protocol,
		     const struct net_address *a, uint16_t port)
{
	const struct net_target *t = &n->targets[target];

	if (!(t->protocols & protocol) ||
	    (protocol != NET_ICMP && !net_ports_have(&t->ports, port)))
		return false;
	return t->kind == NET_NAME ? names_have(n->names, n->named[target], a)
				   : net_target_covers(t, a);
}

bool network_may_reach(const struct network *n, enum net_protocol protocol,
		       const struct net_address *a, uint16_t port)
{
	for (size_t i = 0; i < n->n_targets; i++) {
		if (is_meant(n, i, protocol, a, port))
			return !n->deny;
	}
	return n->deny;
}

bool network_may_bind(const struct network *n, uint16_t port)
{
	for (size_t i = 0; i < n->n_binds; i++) {
		if (net_ports_have(&n->binds[i], port))
			return !n->deny_binds;
	}
	return n->deny_binds;
}
