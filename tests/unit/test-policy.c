/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy setters: what is accepted, what is refused and how that reads, and that a refusal changes nothing.
 */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/sluice.h>

#include "policy/policy.h"

#include "../support/cmocka.h"

static int setup(void **state)
{
	*state = sluice_policy_new();
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	sluice_policy_unref(*state);
	return 0;
}

typedef int (*setter)(struct sluice_policy *p, const char *value, struct sluice_error *err);

/* @set refuses @value with @error and a text that begins @begins, and leaves the policy as it was; also when nobody wants the text. */
static void refuses(struct sluice_policy *p, setter set, const char *value, int error,
		    const char *begins)
{
	uint64_t generation = p->generation;
	struct sluice_error e;

	memset(&e, 0, sizeof(e));
	assert_int_equal(set(p, value, &e), -error);
	assert_int_equal(e.code, error);
	if (strncmp(e.text, begins, strlen(begins)))
		fail_msg("\"%s\" does not begin \"%s\"", e.text, begins);
	assert_int_equal(set(p, value, NULL), -error);
	assert_int_equal(p->generation, generation);
}

static void accepts(struct sluice_policy *p, setter set, const char *value)
{
	uint64_t generation = p->generation;
	struct sluice_error e;

	memset(&e, 'x', sizeof(e));
	assert_int_equal(set(p, value, &e), 0);
	assert_int_equal(e.text[0], 'x'); /* written only on failure */
	assert_int_equal(p->generation, generation + 1);
}

static void test_new_grants_nothing(void **state)
{
	struct sluice_policy *p = *state;

	assert_int_equal(p->n_grants, 0);
	assert_true(p->default_devices);
	assert_int_equal(p->dispatch, SLUICE_DISPATCH_ADAPTIVE);
	assert_int_equal(p->workers_max, 0);
	assert_int_equal(p->degraded | p->disabled, 0);
	assert_null(p->name);
}

static void test_grants(void **state)
{
	struct sluice_policy *p = *state;
	char longest[PATH_MAX], too_long[PATH_MAX + 1];

	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	memset(too_long, 'a', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	accepts(p, sluice_policy_allow_read, "/usr");
	accepts(p, sluice_policy_allow_write, "relative/\n\xff");
	accepts(p, sluice_policy_allow_write, longest);
	refuses(p, sluice_policy_allow_read, too_long, ENAMETOOLONG, "read grant: aaa");
	refuses(p, sluice_policy_allow_read, "", EINVAL, "read grant: empty path");
	refuses(p, sluice_policy_allow_write, NULL, EINVAL, "write grant: empty path");
	assert_int_equal(p->n_grants, 3);
	assert_string_equal(p->grants[0].path, "/usr");
	assert_int_equal(p->grants[0].access, POLICY_READ);
	assert_false(p->grants[0].optional);
	assert_string_equal(p->grants[1].path, "relative/\n\xff");
	assert_int_equal(p->grants[1].access, POLICY_WRITE);
}

static void test_denials(void **state)
{
	struct sluice_policy *p = *state;
	char too_long[PATH_MAX + 1];

	memset(too_long, 'a', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	accepts(p, sluice_policy_deny_path, "relative/\n\xff");
	accepts(p, sluice_policy_deny_path, "/usr");
	refuses(p, sluice_policy_deny_path, too_long, ENAMETOOLONG, "denial: aaa");
	refuses(p, sluice_policy_deny_path, "", EINVAL, "denial: empty path");
	refuses(p, sluice_policy_deny_path, NULL, EINVAL, "denial: empty path");
	assert_int_equal(p->n_denials, 2);
	assert_string_equal(p->denials[0], "relative/\n\xff");
	assert_string_equal(p->denials[1], "/usr");
}

static void test_many_grants(void **state)
{
	struct sluice_policy *p = *state;
	char path[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/%d", i);
		accepts(p, sluice_policy_allow_read, path);
	}
	for (int i = 0; i < 1000; i++)
		assert_int_equal(atoi(p->grants[i].path + 1), i);
}

static void test_system(void **state)
{
	struct sluice_policy *p = *state;
	bool root_listed = false, here = false, usr = false;

	assert_int_equal(sluice_policy_allow_system(p, NULL), 0);
	for (size_t i = 0; i < p->n_grants; i++) {
		const struct policy_grant *g = &p->grants[i];

		assert_true(g->optional);
		if (!strcmp(g->path, "/")) {
			assert_int_equal(g->access, POLICY_LIST);
			root_listed = true;
		}
		if (!strcmp(g->path, ".")) {
			assert_int_equal(g->access, POLICY_WRITE);
			assert_true(g->not_root);
			here = true;
		}
		if (!strcmp(g->path, "/usr")) {
			assert_int_equal(g->access, POLICY_READ);
			usr = true;
		}
		if (g->access == POLICY_WRITE && !g->not_root)
			assert_true(!strcmp(g->path, "/tmp") || !strcmp(g->path, "/var/tmp"));
	}
	assert_true(root_listed && here && usr);
}

static void test_name(void **state)
{
	struct sluice_policy *p = *state;
	char name[66];

	memset(name, 'n', sizeof(name));
	name[65] = '\0';
	refuses(p, sluice_policy_set_name, name, ENAMETOOLONG, "name: nnn");
	name[64] = '\0';
	accepts(p, sluice_policy_set_name, name);
	accepts(p, sluice_policy_set_name, "a-Z_0.9");
	assert_string_equal(p->name, "a-Z_0.9");
	refuses(p, sluice_policy_set_name, NULL, EINVAL, "name: empty");
	refuses(p, sluice_policy_set_name, "", EINVAL, "name: empty");
	refuses(p, sluice_policy_set_name, "a b", EINVAL, "name: a b: ");
	refuses(p, sluice_policy_set_name, "../x", EINVAL, "name: ../x: ");
	refuses(p, sluice_policy_set_name, "\xc3\xa9", EINVAL, "name: \\xc3\\xa9: ");
	assert_string_equal(p->name, "a-Z_0.9");
}

static void test_paths(void **state)
{
	struct sluice_policy *p = *state;
	char too_long[PATH_MAX + 1];

	memset(too_long, 'a', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	accepts(p, sluice_policy_set_cwd, "/tmp");
	accepts(p, sluice_policy_set_cwd, "sub");
	refuses(p, sluice_policy_set_cwd, "", EINVAL, "working directory: empty");
	refuses(p, sluice_policy_set_cwd, NULL, EINVAL, "working directory: empty");
	refuses(p, sluice_policy_set_cwd, too_long, ENAMETOOLONG, "working directory: aaa");
	assert_string_equal(p->cwd, "sub");
	accepts(p, sluice_policy_set_port_map, "relative/\n\xff");
	accepts(p, sluice_policy_set_port_map, "/run/ports");
	refuses(p, sluice_policy_set_port_map, "", EINVAL, "port map: ");
	refuses(p, sluice_policy_set_port_map, NULL, EINVAL, "port map: ");
	refuses(p, sluice_policy_set_port_map, too_long, ENAMETOOLONG, "port map: aaa");
	assert_string_equal(p->port_map, "/run/ports");
}

static void test_limits(void **state)
{
	struct sluice_policy *p = *state;
	uint64_t generation = p->generation;

	assert_int_equal(sluice_policy_set_timeout_ms(p, 1500), 0);
	assert_int_equal(sluice_policy_set_max_open_files(p, 64, NULL), 0);
	assert_int_equal(sluice_policy_set_default_devices(p, false), 0);
	assert_int_equal(p->generation, generation + 3);
	assert_int_equal(p->timeout_ms, 1500);
	assert_int_equal(p->max_open_files, 64);
	assert_false(p->default_devices);
	assert_int_equal(sluice_policy_set_timeout_ms(p, UINT64_MAX), -EINVAL);
	assert_int_equal(sluice_policy_set_max_open_files(p, UINT64_MAX, NULL), -EINVAL);
	assert_int_equal(p->generation, generation + 3);
	assert_int_equal(sluice_policy_set_timeout_ms(p, 0), 0);
	assert_int_equal(sluice_policy_set_max_open_files(p, 0, NULL), 0);
}

static void test_memory_processes_and_processors(void **state)
{
	static const struct {
		const char *list;
		const char *column; /* NULL: a list */
	} lists[] = {
		{ "0", NULL },		{ "0-3,6", NULL },
		{ "1023", NULL },	{ "3-3", NULL },
		{ "", "column 1" },	{ "a", "column 1" },
		{ "1,", "column 3" },	{ "1,,2", "column 3" },
		{ "3-1", "column 1" },	{ "0,2-", "column 3" },
		{ "1024", "column 1" }, { "0 1", "column 2" },
		{ "-1", "column 1" },	{ "0,99999999999", "column 3" },
	};
	struct sluice_policy *p = *state;
	struct sluice_error err;

	assert_int_equal(sluice_policy_set_max_memory(p, 1 << 20, NULL), 0);
	assert_int_equal(sluice_policy_set_max_memory(p, (1 << 20) - 1, &err), -EINVAL);
	assert_int_equal(p->max_memory, 1 << 20);
	assert_int_equal(sluice_policy_set_max_memory(p, 0, NULL), 0);
	assert_int_equal(sluice_policy_set_max_processes(p, 1 << 22, NULL), 0);
	assert_int_equal(sluice_policy_set_max_processes(p, (1 << 22) + 1, &err), -EINVAL);
	assert_int_equal(p->max_processes, 1 << 22);
	assert_int_equal(sluice_policy_set_cpu_percent(p, 102400, NULL), 0);
	assert_int_equal(sluice_policy_set_cpu_percent(p, 102401, &err), -EINVAL);
	assert_int_equal(p->cpu_percent, 102400);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		int r = sluice_policy_set_cpu_cores(p, lists[i].list, &err);

		if (r != (lists[i].column ? -EINVAL : 0) ||
		    (lists[i].column && !strstr(err.text, lists[i].column)))
			fail_msg("'%s': %d: %s", lists[i].list, r, r ? err.text : "");
	}
	assert_int_equal(sluice_policy_set_cpu_cores(p, "0-3,6", NULL), 0);
	assert_int_equal(CPU_COUNT(p->cores), 5);
	assert_true(CPU_ISSET(3, p->cores) && CPU_ISSET(6, p->cores));
	assert_int_equal(sluice_policy_set_cpu_cores(p, NULL, NULL), 0);
	assert_null(p->cores);
}

static void test_dispatch_and_workers(void **state)
{
	struct sluice_policy *p = *state;

	assert_int_equal(sluice_policy_set_dispatch(p, SLUICE_DISPATCH_INLINE), 0);
	assert_int_equal(sluice_policy_set_dispatch(p, (enum sluice_dispatch)0), -EINVAL);
	assert_int_equal(sluice_policy_set_dispatch(p, (enum sluice_dispatch)4), -EINVAL);
	assert_int_equal(p->dispatch, SLUICE_DISPATCH_INLINE);
	assert_int_equal(sluice_policy_set_workers(p, 0, 1), 0);
	assert_int_equal(sluice_policy_set_workers(p, 256, 256), 0);
	assert_int_equal(sluice_policy_set_workers(p, 0, 0), -EINVAL);
	assert_int_equal(sluice_policy_set_workers(p, 2, 1), -EINVAL);
	assert_int_equal(sluice_policy_set_workers(p, 0, 257), -EINVAL);
	assert_int_equal(p->workers_min, 256);
	assert_int_equal(p->workers_max, 256);
}

static void test_calls(void **state)
{
	struct sluice_policy *p = *state;

	accepts(p, sluice_policy_allow_syscall, "@io_uring");
	accepts(p, sluice_policy_deny_syscall, "io_uring_setup");
	accepts(p, sluice_policy_deny_syscall, "clone3");
	assert_int_equal(p->n_call_rules, 3);
	assert_string_equal(p->call_rules[0].name, "@io_uring");
	assert_false(p->call_rules[0].deny);
	assert_true(p->call_rules[1].deny);
	refuses(p, sluice_policy_allow_syscall, "clone3", EPERM, "system call: clone3: ");
	refuses(p, sluice_policy_deny_syscall, NULL, EINVAL, "system call: empty");
	refuses(p, sluice_policy_deny_syscall, "", EINVAL, "system call: empty");
	refuses(p, sluice_policy_deny_syscall, "@", EINVAL, "system call: @: no such group");
	refuses(p, sluice_policy_deny_syscall, "@nope", EINVAL, "system call: @nope: ");
	refuses(p, sluice_policy_deny_syscall, "Open", EINVAL, "system call: Open: ");
	refuses(p, sluice_policy_deny_syscall, "open at", EINVAL, "system call: open at: ");
	refuses(p, sluice_policy_deny_syscall,
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", EINVAL,
		"system call: aaa");
	assert_int_equal(p->n_call_rules, 3);
}

static void test_names(void **state)
{
	struct sluice_policy *p = *state;
	uint64_t generation = p->generation;

	assert_false(p->network.live);
	assert_int_equal(sluice_policy_set_net_resolve(p, SLUICE_NET_RESOLVE_LIVE), 0);
	assert_true(p->network.live && p->generation > generation);
	generation = p->generation;
	assert_int_equal(sluice_policy_set_net_resolve(p, (enum sluice_net_resolve)0), -EINVAL);
	assert_int_equal(sluice_policy_set_net_resolve(p, (enum sluice_net_resolve)3), -EINVAL);
	assert_true(p->network.live && p->generation == generation);
	assert_int_equal(sluice_policy_set_net_resolve(p, SLUICE_NET_RESOLVE_PINNED), 0);
	assert_false(p->network.live);
	refuses(p, sluice_policy_add_name_server, NULL, EINVAL, "name server: empty");
	refuses(p, sluice_policy_add_name_server, "", EINVAL, "name server: empty");
	refuses(p, sluice_policy_add_name_server, "a.test", EINVAL, "a.test: column 1: ");
	refuses(p, sluice_policy_add_name_server, "10.0.0.1:99999", ERANGE,
		"10.0.0.1:99999: column 10: ");
	assert_int_equal(p->network.n_servers, 0);
	for (unsigned i = 0; i < NET_SERVERS_MAX; i++)
		accepts(p, sluice_policy_add_name_server, "[::1]:5353");
	assert_int_equal(p->network.servers[NET_SERVERS_MAX - 1].port, 5353);
	refuses(p, sluice_policy_add_name_server, "10.0.0.1", E2BIG,
		"name server: 10.0.0.1: there are 8");
}

static void test_features(void **state)
{
	struct sluice_policy *p = *state;
	struct sluice_error e;

	for (unsigned f = 0; f < POLICY_N_FEATURES; f++) {
		accepts(p, sluice_policy_allow_degraded, policy_feature_name(f));
		assert_int_equal(p->degraded, (2u << f) - 1);
	}
	assert_null(policy_feature_name(POLICY_N_FEATURES));
	accepts(p, sluice_policy_disable, "net-tcp");
	assert_int_equal(p->disabled, 1u << POLICY_NET_TCP);
	refuses(p, sluice_policy_disable, "net", EINVAL, "feature: net: not known");
	refuses(p, sluice_policy_disable, NULL, EINVAL, "feature: (none): ");
	refuses(p, sluice_policy_allow_degraded, "", EINVAL, "feature: : ");
	/* the hint names every feature */
	sluice_policy_disable(p, "x", &e);
	for (unsigned f = 0; f < POLICY_N_FEATURES; f++)
		assert_non_null(strstr(e.hint, policy_feature_name(f)));
}

static unsigned n_dropped;

static void drop(void *compiled)
{
	assert_int_equal(*(int *)compiled, 42);
	n_dropped++;
}

static void test_references(void **state)
{
	struct sluice_policy *p = sluice_policy_new();
	int compiled = 42;

	n_dropped = 0;
	p->compiled = &compiled;
	p->compiled_unref = drop;
	assert_ptr_equal(sluice_policy_ref(p), p);
	assert_null(sluice_policy_unref(p));
	assert_int_equal(n_dropped, 0);
	assert_int_equal(sluice_policy_set_timeout_ms(p, 1), 0);
	assert_null(sluice_policy_unref(p));
	assert_int_equal(n_dropped, 1);
	assert_null(sluice_policy_unref(NULL));
}

/* ---- as JSON ---- */

static json_t *described(const struct sluice_policy *p)
{
	char *text = sluice_policy_json(p);
	json_t *all = text ? json_loads(text, 0, NULL) : NULL;

	assert_non_null(all);
	free(text);
	return all;
}

/* @text of @object: of its member, or of the @i-th item of that. */
static const char *text_of(const json_t *object, const char *key, size_t i)
{
	const json_t *v = json_object_get(object, key);

	return json_string_value(json_is_array(v) ? json_array_get(v, i) : v);
}

static void test_described_new(void **state)
{
	json_t *all = described(*state);
	const char *none[] = { "name",	  "root",     "cow",	     "cwd",
			       "network", "num_cpus", "random_seed", "time_start" };

	for (size_t i = 0; i < N_OF(none); i++)
		assert_true(json_is_null(json_object_get(all, none[i])));
	assert_int_equal(json_array_size(json_object_get(all, "grants")), 0);
	assert_true(json_is_true(json_object_get(all, "default_devices")));
	assert_true(json_is_true(json_object_get(all, "randomize_memory")));
	assert_string_equal(text_of(all, "proc", 0), "host");
	assert_string_equal(text_of(all, "dispatch", 0), "adaptive");
	assert_true(json_is_null(json_object_get(json_object_get(all, "limits"), "timeout_ms")));
	json_decref(all);
}

static void set_all(struct sluice_policy *p)
{
	assert_int_equal(sluice_policy_set_name(p, "told", NULL), 0);
	assert_int_equal(sluice_policy_allow_read(p, "/usr", NULL), 0);
	assert_int_equal(sluice_policy_allow_write(p, "/\xff\"", NULL), 0);
	assert_int_equal(sluice_policy_deny_path(p, "/usr/x", NULL), 0);
	assert_int_equal(sluice_policy_set_chroot(p, "/root", NULL), 0);
	assert_int_equal(sluice_policy_add_mount(p, "/at", "/host", SLUICE_MOUNT_READ_ONLY, NULL),
			 0);
	assert_int_equal(sluice_policy_set_workdir(p, "/work", NULL), 0);
	assert_int_equal(sluice_policy_add_lower(p, "/lower", NULL), 0);
	assert_int_equal(sluice_policy_set_on_error(p, SLUICE_COW_KEEP), 0);
	assert_int_equal(sluice_policy_set_max_disk(p, 4096), 0);
	assert_int_equal(sluice_policy_allow_net(p, "udp://10.0.0.0/8:53", NULL), 0);
	assert_int_equal(sluice_policy_deny_bind(p, "1-1023", NULL), 0);
	assert_int_equal(sluice_policy_add_name_server(p, "[::1]:5353", NULL), 0);
	assert_int_equal(sluice_policy_add_name_server(p, "192.0.2.1", NULL), 0);
	assert_int_equal(sluice_policy_set_env(p, "TOKEN=secret", NULL), 0);
	assert_int_equal(sluice_policy_set_timeout_ms(p, 1500), 0);
	assert_int_equal(sluice_policy_set_cpu_cores(p, "0-1,3", NULL), 0);
	assert_int_equal(sluice_policy_deny_syscall(p, "@keyring", NULL), 0);
	assert_int_equal(sluice_policy_disable(p, "net-tcp", NULL), 0);
	assert_int_equal(sluice_policy_set_dispatch(p, SLUICE_DISPATCH_POOL), 0);
}

static void test_described(void **state)
{
	struct sluice_policy *p = *state;
	json_t *all, *cow, *network, *one;
	char *text;

	set_all(p);
	text = sluice_policy_json(p);
	assert_non_null(text);
	assert_null(strstr(text, "secret"));
	free(text);
	all = described(p);
	assert_string_equal(text_of(all, "name", 0), "told");
	one = json_array_get(json_object_get(all, "grants"), 1);
	assert_string_equal(text_of(one, "path", 0), "/\\xff\\\"");
	assert_string_equal(text_of(one, "access", 0), "write");
	assert_string_equal(text_of(all, "denials", 0), "/usr/x");
	assert_string_equal(text_of(all, "root", 0), "/root");
	one = json_array_get(json_object_get(all, "mounts"), 0);
	assert_string_equal(text_of(one, "at", 0), "/at");
	assert_string_equal(text_of(one, "host", 0), "/host");
	assert_string_equal(text_of(one, "access", 0), "read");
	cow = json_object_get(all, "cow");
	assert_string_equal(text_of(cow, "workdir", 0), "/work");
	assert_string_equal(text_of(cow, "lowers", 0), "/lower");
	assert_string_equal(text_of(cow, "on_exit", 0), "commit");
	assert_string_equal(text_of(cow, "on_error", 0), "keep");
	assert_int_equal(json_integer_value(json_object_get(cow, "max_disk")), 4096);
	network = json_object_get(all, "network");
	one = json_array_get(json_object_get(network, "targets"), 0);
	assert_string_equal(text_of(one, "protocols", 0), "udp");
	assert_string_equal(text_of(one, "host", 0), "10.0.0.0/8");
	assert_string_equal(text_of(one, "ports", 0), "53");
	assert_string_equal(text_of(network, "targets_are", 0), "allowed");
	assert_string_equal(text_of(network, "binds", 0), "1-1023");
	assert_string_equal(text_of(network, "binds_are", 0), "denied");
	assert_string_equal(text_of(network, "name_servers", 0), "[::1]:5353");
	assert_string_equal(text_of(network, "name_servers", 1), "192.0.2.1:53");
	assert_string_equal(text_of(all, "env", 0), "TOKEN");
	one = json_object_get(all, "limits");
	assert_int_equal(json_integer_value(json_object_get(one, "timeout_ms")), 1500);
	assert_int_equal(json_array_size(json_object_get(one, "cpu_cores")), 3);
	one = json_array_get(json_object_get(all, "calls"), 0);
	assert_string_equal(text_of(one, "name", 0), "@keyring");
	assert_true(json_is_true(json_object_get(one, "denied")));
	assert_string_equal(text_of(all, "disabled", 0), "net-tcp");
	assert_string_equal(text_of(all, "dispatch", 0), "pool");
	json_decref(all);
}

static void test_version(void **state)
{
	assert_string_equal(sluice_version(), PROJECT_VERSION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_new_grants_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_grants, setup, teardown),
		cmocka_unit_test_setup_teardown(test_denials, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_grants, setup, teardown),
		cmocka_unit_test_setup_teardown(test_system, setup, teardown),
		cmocka_unit_test_setup_teardown(test_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_processes_and_processors, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_dispatch_and_workers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_features, setup, teardown),
		cmocka_unit_test_setup_teardown(test_described_new, setup, teardown),
		cmocka_unit_test_setup_teardown(test_described, setup, teardown),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
