/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "builtin/network/resolve.h"
#include "policy/policy.h"
#include "util/fail.h"

/* One address or prefix; a name becomes as many as it has addresses. */
struct destination {
	unsigned protocols;
	bool any;
	struct net_address address;
	unsigned bits;
	bool v4;
	const struct net_ports *ports; /* in `targets` */
};

struct network {
	struct net_target *targets; /* copies: the policy may change meanwhile */
	size_t n_targets;
	bool deny;
	struct destination *destinations;
	size_t n_destinations;
	struct network_name *names; /* which point into `targets` */
	size_t n_names;
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
	free(n->targets);
	free(n->destinations);
	free(n->names);
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

static int add(struct network *n, const struct destination *d)
{
	struct destination *more = policy_grow(n->destinations, n->n_destinations, sizeof(*more));

	if (!more)
		return -ENOMEM;
	n->destinations = more;
	n->destinations[n->n_destinations++] = *d;
	return 0;
}

static int remember(struct network *n, const struct network_name *name)
{
	struct network_name *more;

	for (size_t i = 0; i < n->n_names; i++) {
		if (!strcmp(n->names[i].name, name->name) &&
		    !memcmp(&n->names[i].address, &name->address, sizeof(name->address)))
			return 0;
	}
	more = policy_grow(n->names, n->n_names, sizeof(*more));
	if (!more)
		return -ENOMEM;
	n->names = more;
	n->names[n->n_names++] = *name;
	return 0;
}

static int add_name(struct network *n, const struct net_target *t, struct destination d,
		    struct sluice_error *err)
{
	struct net_address addresses[RESOLVE_MAX];
	int count = resolve_name(t->name, addresses, err), r = 0;

	for (int i = 0; r == 0 && i < count; i++) {
		d.address = addresses[i];
		d.bits = NET_ADDRESS_BITS;
		d.v4 = net_address_is_v4(&addresses[i]);
		r = add(n, &d);
		if (r == 0)
			r = remember(n, &(struct network_name){ t->name, addresses[i] });
	}
	return count < 0 ? count : r;
}

static int add_target(struct network *n, const struct net_target *t, struct sluice_error *err)
{
	const struct destination d = {
		.protocols = t->protocols,
		.any = t->kind == NET_ANY,
		.address = t->address,
		.bits = t->bits,
		.v4 = t->v4,
		.ports = &t->ports,
	};

	return t->kind == NET_NAME ? add_name(n, t, d, err) : add(n, &d);
}

int network_new(const struct sluice_policy *p, struct network **ret, struct sluice_error *err)
{
	const struct policy_network *from = &p->network;
	struct network *n = calloc(1, sizeof(*n));
	int r = 0;

	if (!n)
		return fail_errno(err, -ENOMEM, "network rules");
	n->targets = copy(from->targets, from->n_targets * sizeof(*from->targets));
	n->binds = copy(from->binds, from->n_binds * sizeof(*from->binds));
	n->n_targets = from->n_targets;
	n->n_binds = from->n_binds;
	n->deny = from->deny;
	n->deny_binds = from->deny_binds;
	n->protocols = policy_net_protocols(p) | (from->n_binds ? NET_TCP : 0);
	if (!n->targets || !n->binds)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < n->n_targets; i++)
		r = add_target(n, &n->targets[i], err);
	if (r == -ENOMEM)
		fail_errno(err, r, "network rules");
	if (r < 0)
		network_free(n);
	else
		*ret = n;
	return r;
}

unsigned network_protocols(const struct network *n)
{
	return n->protocols;
}

const struct network_name *network_names(const struct network *n, size_t *ret_n)
{
	*ret_n = n->n_names;
	return n->names;
}

static bool is_meant(const struct destination *d, enum net_protocol protocol,
		     const struct net_address *a, uint16_t port)
{
	return d->protocols & protocol &&
	       (d->any || net_prefix_covers(&d->address, d->bits, d->v4, a)) &&
	       (protocol == NET_ICMP || net_ports_have(d->ports, port));
}

bool network_may_reach(const struct network *n, enum net_protocol protocol,
		       const struct net_address *a, uint16_t port)
{
	for (size_t i = 0; i < n->n_destinations; i++) {
		if (is_meant(&n->destinations[i], protocol, a, port))
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
