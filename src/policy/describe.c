/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy as JSON, for people and programs that want to know what a sandbox may do. Nothing of it is read back.
 */
#define _GNU_SOURCE
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "policy/policy.h"
#include "util/jsontext.h"

static json_t *limit_json(uint64_t n)
{
	return n ? json_integer((json_int_t)n) : json_null();
}

/* A list of what @item makes of each of the @n things at @list; NULL when memory is short. */
static json_t *list_json(size_t n, const void *list, json_t *(*item)(const void *list, size_t i))
{
	json_t *all = json_array();

	for (size_t i = 0; all && i < n; i++) {
		if (json_array_append_new(all, item(list, i)) < 0) {
			json_decref(all);
			return NULL;
		}
	}
	return all;
}

static json_t *string_json(const void *strings, size_t i)
{
	return jsontext_string(((char *const *)strings)[i]);
}

/* ---- files ---- */

static json_t *grant_json(const void *grants, size_t i)
{
	static const char *const words[] = {
		[POLICY_READ] = "read",
		[POLICY_WRITE] = "write",
		[POLICY_LIST] = "list",
		[POLICY_DEVICE] = "device",
	};
	const struct policy_grant *g = (const struct policy_grant *)grants + i;

	return json_pack("{s:o, s:s, s:b}", "path", jsontext_string(g->path), "access",
			 words[g->access], "optional", (int)g->optional);
}

static json_t *mount_json(const void *mounts, size_t i)
{
	static const char *const words[] = {
		[SLUICE_MOUNT_AS_GRANTED] = "as_granted",
		[SLUICE_MOUNT_READ_ONLY] = "read",
		[SLUICE_MOUNT_READ_WRITE] = "write",
	};
	const struct policy_mount *m = (const struct policy_mount *)mounts + i;

	return json_pack("{s:o, s:o, s:s}", "at", jsontext_string(m->at), "host",
			 jsontext_string(m->host), "access", words[m->mode]);
}

static json_t *cow_json(const struct sluice_policy *p)
{
	static const char *const actions[] = {
		[SLUICE_COW_COMMIT] = "commit",
		[SLUICE_COW_ABORT] = "abort",
		[SLUICE_COW_KEEP] = "keep",
	};

	if (!p->workdir)
		return json_null();
	return json_pack(
		"{s:o, s:o, s:o, s:o, s:s, s:s, s:s, s:o}", "workdir", jsontext_string(p->workdir),
		"lowers", list_json(p->n_lowers, p->lowers, string_json), "storage",
		jsontext_optional(p->storage), "branch", jsontext_optional(p->branch), "on_exit",
		actions[policy_on_end(p, true)], "on_error", actions[policy_on_end(p, false)],
		"durability", p->durability == SLUICE_DURABILITY_NONE ? "none" : "commit",
		"max_disk", limit_json(p->max_disk));
}

/* ---- the network ---- */

static json_t *protocols_json(unsigned protocols)
{
	static const struct {
		enum net_protocol bit;
		const char *name;
	} known[] = { { NET_TCP, "tcp" }, { NET_UDP, "udp" }, { NET_ICMP, "icmp" } };
	const char *names[sizeof(known) / sizeof(known[0])];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (protocols & known[i].bit)
			names[n++] = known[i].name;
	}
	return list_json(n, names, string_json);
}

static json_t *target_json(const void *targets, size_t i)
{
	const struct net_target *t = (const struct net_target *)targets + i;
	char whom[NET_WHOM_BYTES], ports[NET_PORTS_BYTES];

	net_target_write(t, whom);
	net_ports_write(&t->ports, ports);
	return json_pack("{s:o, s:s, s:s}", "protocols", protocols_json(t->protocols), "host", whom,
			 "ports", ports);
}

static json_t *ports_json(const void *binds, size_t i)
{
	char ports[NET_PORTS_BYTES];

	net_ports_write((const struct net_ports *)binds + i, ports);
	return json_string(ports);
}

static json_t *server_json(const void *servers, size_t i)
{
	const struct net_server *s = (const struct net_server *)servers + i;
	char address[NET_ADDRESS_BYTES];

	net_address_write(&s->address, address);
	return json_sprintf(net_address_is_v4(&s->address) ? "%s:%u" : "[%s]:%u", address, s->port);
}

static json_t *network_json(const struct sluice_policy *p)
{
	const struct policy_network *n = &p->network;

	if (!policy_has_network(p))
		return json_null();
	return json_pack("{s:o, s:s, s:o, s:s, s:s, s:o, s:b, s:o}", "targets",
			 list_json(n->n_targets, n->targets, target_json), "targets_are",
			 n->deny ? "denied" : "allowed", "binds",
			 list_json(n->n_binds, n->binds, ports_json), "binds_are",
			 n->deny_binds ? "denied" : "allowed", "resolve",
			 n->live ? "live" : "pinned", "name_servers",
			 list_json(n->n_servers, n->servers, server_json), "port_remap",
			 (int)p->port_remap, "port_map", jsontext_optional(p->port_map));
}

/* ---- the rest ---- */

static json_t *core_json(const void *cores, size_t i)
{
	return json_integer(((const int *)cores)[i]);
}

static json_t *cores_json(const cpu_set_t *set)
{
	int cores[CPU_SETSIZE];
	size_t n = 0;

	if (!set)
		return json_null();
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET(i, set))
			cores[n++] = i;
	}
	return list_json(n, cores, core_json);
}

static json_t *limits_json(const struct sluice_policy *p)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "timeout_ms", limit_json(p->timeout_ms),
			 "open_files", limit_json(p->max_open_files), "memory",
			 limit_json(p->max_memory), "processes", limit_json(p->max_processes),
			 "cpu_percent", limit_json(p->cpu_percent), "cpu_cores",
			 cores_json(p->cores));
}

static json_t *key_json(const void *env, size_t i)
{
	const char *variable = ((char *const *)env)[i];
	char *key = strndup(variable, strcspn(variable, "="));
	json_t *text = key ? jsontext_string(key) : NULL;

	free(key);
	return text;
}

static json_t *call_json(const void *rules, size_t i)
{
	const struct policy_call_rule *r = (const struct policy_call_rule *)rules + i;

	return json_pack("{s:s, s:b}", "name", r->name, "denied", (int)r->deny);
}

static json_t *features_json(uint32_t bits)
{
	const char *names[POLICY_N_FEATURES];
	size_t n = 0;

	for (unsigned f = 0; f < POLICY_N_FEATURES; f++) {
		if (bits & 1u << f)
			names[n++] = policy_feature_name(f);
	}
	return list_json(n, names, string_json);
}

static const char *dispatch_word(enum sluice_dispatch mode)
{
	switch (mode) {
	case SLUICE_DISPATCH_POOL:
		return "pool";
	case SLUICE_DISPATCH_INLINE:
		return "inline";
	default:
		return "adaptive";
	}
}

char *sluice_policy_json(const struct sluice_policy *p)
{
	json_t *all = json_pack(
		"{s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "name", jsontext_optional(p->name),
		"grants", list_json(p->n_grants, p->grants, grant_json), "default_devices",
		(int)p->default_devices, "denials",
		list_json(p->n_denials, p->denials, string_json), "root",
		jsontext_optional(p->root), "mounts", list_json(p->n_mounts, p->mounts, mount_json),
		"cow", cow_json(p), "cwd", jsontext_optional(p->cwd), "network", network_json(p));
	json_t *more = json_pack(
		"{s:s, s:o, s:o, s:b, s:o, s:o, s:o, s:b, s:b, s:b, s:b, s:o, s:o, s:o, s:s}",
		"proc", policy_proc_is_own(p) ? "own" : "host", "num_cpus", limit_json(p->num_cpus),
		"limits", limits_json(p), "clean_env", (int)p->clean_env, "env",
		list_json(p->n_env, p->env, key_json), "random_seed",
		p->seeded ? json_sprintf("%llu", (unsigned long long)p->seed) : json_null(),
		"time_start", p->time_start ? json_integer(p->time_start_s) : json_null(),
		"time_start_files", (int)p->time_start_files, "randomize_memory",
		(int)!p->fixed_addresses, "deterministic_dirs", (int)p->deterministic_dirs,
		"unix_datagrams", (int)p->unix_datagrams, "calls",
		list_json(p->n_call_rules, p->call_rules, call_json), "degraded",
		features_json(p->degraded), "disabled", features_json(p->disabled), "dispatch",
		dispatch_word(p->dispatch));
	char *text = NULL;

	if (all && more && json_object_update(all, more) == 0)
		text = jsontext_dump(all);
	json_decref(all);
	json_decref(more);
	return text;
}
