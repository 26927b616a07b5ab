/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Environment of the command: settings of the policy laid over the caller's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "util/fail.h"

/* A clean environment has this and nothing else. */
#define CLEAN_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Do two KEY=VALUE strings have the same key? A string without '=' has none. */
static bool same_key(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return a[n] && !strncmp(a, b, n + 1);
}

/* The setting of @p that replaces @entry, or NULL. */
static char **env_find(const struct sluice_policy *p, const char *entry)
{
	for (size_t i = 0; i < p->n_env; i++) {
		if (same_key(p->env[i], entry))
			return &p->env[i];
	}
	return NULL;
}

int sluice_policy_set_clean_env(struct sluice_policy *p, bool on)
{
	p->clean_env = on;
	p->generation++;
	return 0;
}

static int env_append(struct sluice_policy *p, char *copy)
{
	char **env = policy_grow(p->env, p->n_env, sizeof(*env));

	if (!env)
		return -ENOMEM;
	p->env = env;
	p->env[p->n_env++] = copy;
	return 0;
}

int sluice_policy_set_env(struct sluice_policy *p, const char *key_value, struct sluice_error *err)
{
	char *copy, **old;

	if (!key_value || !strchr(key_value, '=')) {
		fail(err, -EINVAL, "environment: %s: no '='", key_value ? key_value : "(none)");
		return fail_hint(err, -EINVAL, "write KEY=VALUE");
	}
	if (*key_value == '=')
		return fail(err, -EINVAL, "environment: %s: empty key", key_value);
	copy = strdup(key_value);
	old = env_find(p, key_value);
	if (!copy || (!old && env_append(p, copy) < 0)) {
		free(copy);
		return fail_errno(err, -ENOMEM, "environment");
	}
	if (old) {
		free(*old);
		*old = copy;
	}
	p->generation++;
	return 0;
}

/* Where the next string and its pointer go; with list NULL the sizes are only counted. */
struct env_block {
	char **list, *text;
	size_t n, bytes;
};

static void block_add(struct env_block *b, const char *entry)
{
	size_t size = strlen(entry) + 1;

	if (b->list)
		b->list[b->n] = memcpy(b->text + b->bytes, entry, size);
	b->n++;
	b->bytes += size;
}

static void block_fill(struct env_block *b, const struct sluice_policy *p, char *const *base)
{
	b->n = 0;
	b->bytes = 0;
	for (; base && *base; base++) {
		if (!env_find(p, *base))
			block_add(b, *base);
	}
	for (size_t i = 0; i < p->n_env; i++)
		block_add(b, p->env[i]);
}

char **policy_build_env(const struct sluice_policy *p, char *const *base)
{
	static char path[] = CLEAN_PATH;
	static char *const clean[] = { path, NULL };
	struct env_block b = { .list = NULL };

	if (p->clean_env)
		base = clean;
	block_fill(&b, p, base);
	b.list = malloc((b.n + 1) * sizeof(*b.list) + b.bytes);
	if (!b.list)
		return NULL;
	b.text = (char *)(b.list + b.n + 1);
	block_fill(&b, p, base);
	b.list[b.n] = NULL;
	return b.list;
}
