/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life of a policy, and its plain settings. See policy.h; setters are not synchronised, references are.
 */
#define _GNU_SOURCE
#include "policy/policy.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "util/fail.h"

#define NAME_MAX_BYTES 64
#define WORKERS_LIMIT 256

struct sluice_policy *sluice_policy_new(void)
{
	struct sluice_policy *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	if (pthread_mutex_init(&p->lock, NULL)) {
		free(p);
		return NULL;
	}
	atomic_init(&p->refs, 1);
	p->default_devices = true;
	p->on_exit = p->on_error = -1;
	p->dispatch = SLUICE_DISPATCH_ADAPTIVE;
	return p;
}

struct sluice_policy *sluice_policy_ref(struct sluice_policy *p)
{
	/* relaxed: who passes a reference on has one */
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

static void policy_free(struct sluice_policy *p)
{
	if (p->compiled && p->compiled_unref)
		p->compiled_unref(p->compiled);
	if (p->writable && p->writable_unref)
		p->writable_unref(p->writable);
	for (size_t i = 0; i < p->n_grants; i++)
		free(p->grants[i].path);
	for (size_t i = 0; i < p->n_env; i++)
		free(p->env[i]);
	for (size_t i = 0; i < p->n_call_rules; i++)
		free(p->call_rules[i].name);
	for (size_t i = 0; i < p->n_mounts; i++) {
		free(p->mounts[i].at);
		free(p->mounts[i].host);
	}
	for (size_t i = 0; i < p->n_lowers; i++)
		free(p->lowers[i]);
	free(p->lowers);
	free(p->mounts);
	for (size_t i = 0; i < p->n_denials; i++)
		free(p->denials[i]);
	free(p->denials);
	free(p->network.targets);
	free(p->network.binds);
	free(p->network.servers);
	free(p->root);
	free(p->workdir);
	free(p->storage);
	free(p->port_map);
	free(p->branch);
	free(p->grants);
	free(p->env);
	free(p->call_rules);
	free(p->name);
	free(p->cwd);
	free(p->cores);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

struct sluice_policy *sluice_policy_unref(struct sluice_policy *p)
{
	/* acquire-release: the last one sees what all others did */
	if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
		policy_free(p);
	return NULL;
}

void *policy_grow(void *list, size_t n, size_t size)
{
	size_t capacity = 8;

	if (n && (n & (n - 1) || n < capacity))
		return list; /* room is doubled at powers of two */
	if (n)
		capacity = 2 * n;
	return reallocarray(list, capacity, size);
}

static bool is_name_byte(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

/* Put a copy of @value in place of *@where. */
static int replace(char **where, const char *value, const char *what, struct sluice_error *err)
{
	char *copy = strdup(value);

	if (!copy)
		return fail_errno(err, -ENOMEM, "%s", what);
	free(*where);
	*where = copy;
	return 0;
}

int sluice_policy_set_name(struct sluice_policy *p, const char *name, struct sluice_error *err)
{
	int r;

	if (!name || !*name)
		return fail(err, -EINVAL, "name: empty");
	if (strnlen(name, NAME_MAX_BYTES + 1) > NAME_MAX_BYTES)
		return fail(err, -ENAMETOOLONG, "name: %.80s: longer than %d bytes", name,
			    NAME_MAX_BYTES);
	for (const char *c = name; *c; c++) {
		if (!is_name_byte(*c)) {
			fail(err, -EINVAL, "name: %s: has a byte that is not allowed", name);
			return fail_hint(err, -EINVAL, "use letters, digits, '.', '_' and '-'");
		}
	}
	r = replace(&p->name, name, "name", err);
	if (r == 0)
		p->generation++;
	return r;
}

int sluice_policy_set_cwd(struct sluice_policy *p, const char *path, struct sluice_error *err)
{
	int r;

	if (!path || !*path)
		return fail(err, -EINVAL, "working directory: empty path");
	if (strnlen(path, PATH_MAX) >= PATH_MAX)
		return fail_errno(err, -ENAMETOOLONG, "working directory: %s", path);
	r = replace(&p->cwd, path, "working directory", err);
	if (r == 0)
		p->generation++;
	return r;
}

int sluice_policy_set_random_seed(struct sluice_policy *p, const uint64_t *seed)
{
	p->seeded = seed != NULL;
	p->seed = seed ? *seed : 0;
	p->generation++;
	return 0;
}

int sluice_policy_set_randomize_memory(struct sluice_policy *p, bool on)
{
	p->fixed_addresses = !on;
	p->generation++;
	return 0;
}

int sluice_policy_set_deterministic_dirs(struct sluice_policy *p, bool on)
{
	p->deterministic_dirs = on;
	p->generation++;
	return 0;
}

int sluice_policy_set_time_start(struct sluice_policy *p, const int64_t *seconds,
				 struct sluice_error *err)
{
	if (seconds && (*seconds < 0 || *seconds > SLUICE_TIME_START_MAX)) {
		fail(err, -ERANGE, "time of the start: %" PRId64, *seconds);
		return fail_hint(err, -ERANGE,
				 "seconds since 1970, at most those of the year 2199");
	}
	p->time_start = seconds != NULL;
	p->time_start_s = seconds ? *seconds : 0;
	p->time_start_files = p->time_start_files && seconds;
	p->generation++;
	return 0;
}

int sluice_policy_set_time_start_files(struct sluice_policy *p, bool on, struct sluice_error *err)
{
	if (on && !p->time_start) {
		fail(err, -EINVAL, "times of files: the time of day is the host's");
		return fail_hint(err, -EINVAL, "set its start first: sluice_policy_set_time_start");
	}
	p->time_start_files = on;
	p->generation++;
	return 0;
}

int sluice_policy_set_default_devices(struct sluice_policy *p, bool on)
{
	p->default_devices = on;
	p->generation++;
	return 0;
}

int sluice_policy_set_proc(struct sluice_policy *p, enum sluice_proc which)
{
	switch (which) {
	case SLUICE_PROC_OWN:
	case SLUICE_PROC_HOST:
		p->proc = which;
		p->proc_set = true;
		p->generation++;
		return 0;
	}
	return -EINVAL;
}

bool policy_has_root(const struct sluice_policy *p)
{
	return p->root && p->root[strspn(p->root, "/")];
}

bool policy_has_tree(const struct sluice_policy *p)
{
	return policy_has_root(p) || p->n_mounts || p->n_denials || p->workdir;
}

bool policy_proc_is_own(const struct sluice_policy *p)
{
	return p->proc_set ? p->proc == SLUICE_PROC_OWN
			   : p->num_cpus > 0 || p->root || policy_has_tree(p);
}

int sluice_policy_set_num_cpus(struct sluice_policy *p, unsigned n)
{
	if (n > POLICY_CPUS_MAX)
		return -EINVAL;
	p->num_cpus = n;
	p->generation++;
	return 0;
}

int sluice_policy_set_dispatch(struct sluice_policy *p, enum sluice_dispatch mode)
{
	switch (mode) {
	case SLUICE_DISPATCH_ADAPTIVE:
	case SLUICE_DISPATCH_POOL:
	case SLUICE_DISPATCH_INLINE:
		p->dispatch = mode;
		p->generation++;
		return 0;
	}
	return -EINVAL;
}

int sluice_policy_set_workers(struct sluice_policy *p, unsigned min, unsigned max)
{
	if (!max || max > WORKERS_LIMIT || min > max)
		return -EINVAL;
	p->workers_min = min;
	p->workers_max = max;
	p->generation++;
	return 0;
}
