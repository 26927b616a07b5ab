/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom the command may talk to. Rules are read at once, names are resolved when a sandbox is started.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "policy/policy.h"
#include "util/fail.h"

/* Room for one more item at the end of *@list. */
static int grow(void *list, size_t n, size_t size, struct sluice_error *err)
{
	void **place = list, *more = policy_grow(*place, n, size);

	if (!more)
		return fail_errno(err, -ENOMEM, "network rule");
	*place = more;
	return 0;
}

/* A list is of what is allowed or of what is not: @deny must be what it was so far. */
static int keep_kind(size_t n, bool *kind, bool deny, const char *text, struct sluice_error *err)
{
	if (n && *kind != deny) {
		fail(err, -EINVAL, "%s: there are rules of the other kind already", text);
		return fail_hint(
			err, -EINVAL,
			"either all is allowed but what is denied, or nothing but what is allowed");
	}
	*kind = deny;
	return 0;
}

static int add_target(struct sluice_policy *p, const char *text, bool deny,
		      struct sluice_error *err)
{
	struct policy_network *n = &p->network;
	struct net_target t;
	int r;

	if (!text || !*text)
		return fail(err, -EINVAL, "network: empty target");
	r = net_target_parse(text, &t, err);
	if (r == 0 && deny && t.kind == NET_NAME) {
		fail(err, -EINVAL, "%s: a name can't be denied", text);
		r = fail_hint(err, -EINVAL,
			      "whoever owns it can give it another address: deny addresses");
	}
	if (r == 0)
		r = keep_kind(n->n_targets, &n->deny, deny, text, err);
	if (r == 0)
		r = grow(&n->targets, n->n_targets, sizeof(*n->targets), err);
	if (r < 0)
		return r;
	if (!t.protocols)
		t.protocols = deny ? NET_ALL : NET_TCP;
	n->targets[n->n_targets++] = t;
	p->generation++;
	return 0;
}

static int add_ports(struct sluice_policy *p, const char *text, bool deny, struct sluice_error *err)
{
	struct policy_network *n = &p->network;
	struct net_ports ports;
	int r;

	if (!text || !*text)
		return fail(err, -EINVAL, "network: no ports");
	r = net_ports_parse(text, &ports, err);
	if (r == 0)
		r = keep_kind(n->n_binds, &n->deny_binds, deny, text, err);
	if (r == 0)
		r = grow(&n->binds, n->n_binds, sizeof(*n->binds), err);
	if (r < 0)
		return r;
	n->binds[n->n_binds++] = ports;
	p->generation++;
	return 0;
}

int sluice_policy_allow_net(struct sluice_policy *p, const char *target, struct sluice_error *err)
{
	return add_target(p, target, false, err);
}

int sluice_policy_deny_net(struct sluice_policy *p, const char *target, struct sluice_error *err)
{
	return add_target(p, target, true, err);
}

int sluice_policy_allow_bind(struct sluice_policy *p, const char *ports, struct sluice_error *err)
{
	return add_ports(p, ports, false, err);
}

int sluice_policy_deny_bind(struct sluice_policy *p, const char *ports, struct sluice_error *err)
{
	return add_ports(p, ports, true, err);
}

int sluice_policy_set_unix_datagrams(struct sluice_policy *p, bool on)
{
	p->unix_datagrams = on;
	p->generation++;
	return 0;
}

int sluice_policy_set_port_remap(struct sluice_policy *p, bool on)
{
	p->port_remap = on;
	p->generation++;
	return 0;
}

int sluice_policy_set_net_resolve(struct sluice_policy *p, enum sluice_net_resolve how)
{
	switch (how) {
	case SLUICE_NET_RESOLVE_PINNED:
	case SLUICE_NET_RESOLVE_LIVE:
		p->network.live = how == SLUICE_NET_RESOLVE_LIVE;
		p->generation++;
		return 0;
	}
	return -EINVAL;
}

int sluice_policy_add_name_server(struct sluice_policy *p, const char *server,
				  struct sluice_error *err)
{
	struct policy_network *n = &p->network;
	struct net_server s;
	int r;

	if (!server || !*server)
		return fail(err, -EINVAL, "name server: empty");
	r = net_server_parse(server, &s, err);
	if (r == 0 && n->n_servers == NET_SERVERS_MAX)
		r = fail(err, -E2BIG, "name server: %s: there are %u already", server,
			 NET_SERVERS_MAX);
	if (r == 0)
		r = grow(&n->servers, n->n_servers, sizeof(*n->servers), err);
	if (r < 0)
		return r;
	n->servers[n->n_servers++] = s;
	p->generation++;
	return 0;
}

int sluice_policy_set_port_map(struct sluice_policy *p, const char *path, struct sluice_error *err)
{
	return policy_keep_path(p, &p->port_map, "port map", path, err);
}

bool policy_has_network(const struct sluice_policy *p)
{
	return p->network.n_targets || p->network.n_binds;
}

unsigned policy_net_protocols(const struct sluice_policy *p)
{
	unsigned protocols = p->network.deny ? NET_ALL : p->network.n_binds ? NET_TCP : 0;

	for (size_t i = 0; !p->network.deny && i < p->network.n_targets; i++)
		protocols |= p->network.targets[i].protocols;
	return protocols;
}

bool policy_judges_sends(const struct sluice_policy *p)
{
	return p->unix_datagrams || policy_net_protocols(p) & (NET_UDP | NET_ICMP);
}
