/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy built from any bytes: each line is a setter (its first byte) and what it is given. Whatever was accepted can be compiled into a deny
 * list and an environment; what was not has an error for people. See fuzz.h.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "confine/calls.h"
#include "fuzz.h"
#include "policy/policy.h"
#include "util/parse.h"

#define LINE_MAX_BYTES 5000

static void check_error(int r, const struct sluice_error *err)
{
	if (r == 0)
		return;
	CHECK(r == -EINVAL || r == -ENAMETOOLONG || r == -EPERM);
	CHECK(err->code == -r && err->text[0]);
	for (const char *c = err->text; *c; c++)
		CHECK(*c >= 0x20 && *c < 0x7f);
}

static int set_number(struct sluice_policy *p, char what, const char *text)
{
	uint64_t v = 0;

	if (parse_u64(text, &v) < 0)
		return 0;
	switch (what) {
	case 't':
		CHECK(sluice_policy_set_timeout_ms(p, v) == 0 || v > INT64_MAX / 1000000);
		break;
	case 'D':
		CHECK((sluice_policy_set_dispatch(p, (enum sluice_dispatch)(v % 256)) == 0) ==
		      (v % 256 >= 1 && v % 256 <= 3));
		break;
	default:
		sluice_policy_set_workers(p, (unsigned)(v >> 8), (unsigned)v);
		CHECK(p->workers_min <= p->workers_max && p->workers_max <= 256);
	}
	return 0;
}

static int apply(struct sluice_policy *p, const char *line, struct sluice_error *err)
{
	const char *arg = line + 1;
	uint64_t n = 0;

	switch (line[0]) {
	case 'r':
		return sluice_policy_allow_read(p, arg, err);
	case 'w':
		return sluice_policy_allow_write(p, arg, err);
	case 'p':
		return sluice_policy_deny_path(p, arg, err);
	case 's':
		return sluice_policy_allow_system(p, err);
	case 'n':
		return sluice_policy_set_name(p, arg, err);
	case 'c':
		return sluice_policy_set_cwd(p, arg, err);
	case 'e':
		return sluice_policy_set_env(p, arg, err);
	case 'E':
		return sluice_policy_set_clean_env(p, *arg);
	case 'd':
		return sluice_policy_deny_syscall(p, arg, err);
	case 'a':
		return sluice_policy_allow_syscall(p, arg, err);
	case 'g':
		return sluice_policy_allow_degraded(p, arg, err);
	case 'x':
		return sluice_policy_disable(p, arg, err);
	case 'f':
		return parse_u64(arg, &n) < 0 ? 0 : sluice_policy_set_max_open_files(p, n, err);
	default:
		return set_number(p, line[0], arg);
	}
}

static void check_environment(const struct sluice_policy *p)
{
	static char a[] = "A=1", path[] = "PATH=/x", odd[] = "no-equals", empty[] = "";
	char *const base[] = { a, path, odd, empty, NULL };
	char **env = policy_build_env(p, base);
	size_t n = 0;

	CHECK(env);
	for (; env[n]; n++)
		continue;
	CHECK(n >= p->n_env && n <= p->n_env + 4);
	for (size_t i = 0; i < p->n_env; i++) {
		size_t key = strcspn(p->env[i], "=") + 1, same = 0;

		CHECK(p->env[i][key - 1] == '=' && key > 1);
		for (size_t k = 0; k < n; k++)
			same += !strncmp(env[k], p->env[i], key);
		CHECK(same == 1); /* the last setting of a key, once */
	}
	free(env);
}

static void check_policy(const struct sluice_policy *p)
{
	struct call_deny deny[CALL_MAX];
	struct sluice_error err = { 0 };
	int r = calls_deny_list(p, deny, &err);

	check_error(r, &err);
	for (int nr = 0; r == 0 && nr < CALL_MAX; nr++)
		CHECK(deny[nr].error >= 0 && deny[nr].error < 4096);
	for (size_t i = 0; i < p->n_grants; i++)
		CHECK(p->grants[i].path[0] && strlen(p->grants[i].path) < PATH_MAX);
	CHECK(!p->name || (p->name[0] && strlen(p->name) <= 64));
	CHECK(!p->cwd || (p->cwd[0] && strlen(p->cwd) < PATH_MAX));
	check_environment(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sluice_policy *p = sluice_policy_new();
	char line[LINE_MAX_BYTES];

	CHECK(p);
	for (size_t at = 0; at < size;) {
		const uint8_t *end = memchr(data + at, '\n', size - at);
		size_t n = end ? (size_t)(end - (data + at)) : size - at;
		struct sluice_error err = { 0 };

		if (n > 0 && n < sizeof(line)) {
			memcpy(line, data + at, n);
			line[n] = '\0';
			if (line[0])
				check_error(apply(p, line, &err), &err);
		}
		at += n + 1;
	}
	check_policy(p);
	sluice_policy_unref(p);
	return 0;
}
