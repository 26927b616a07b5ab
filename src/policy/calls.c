/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings of single system calls, beside the built-in deny list. Kept in the order given; what a group holds, and whether a
 * name is a call at all, is known to the one who compiles the filter.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "util/fail.h"

#define CALL_NAME_MAX 64

static bool is_call_name(const char *name)
{
	size_t n = strnlen(name, CALL_NAME_MAX);

	return n > 0 && n < CALL_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

static bool is_group(const char *name)
{
	static const char *const groups[] = { "@io_uring", "@keyring",	"@mount", "@module",
					      "@ptrace",   "@bpf",	"@swap",  "@reboot",
					      "@clock",	   "@namespace" };

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (!strcmp(name, groups[i]))
			return true;
	}
	return false;
}

static int check(const char *name, bool deny, struct sluice_error *err)
{
	if (!name || !*name)
		return fail(err, -EINVAL, "system call: empty name");
	if (*name == '@' && !is_group(name)) {
		fail(err, -EINVAL, "system call: %s: no such group", name);
		return fail_hint(err, -EINVAL,
				 "groups: @io_uring @keyring @mount @module @ptrace @bpf @swap "
				 "@reboot @clock @namespace");
	}
	if (*name != '@' && !is_call_name(name)) {
		fail(err, -EINVAL, "system call: %s: not a name", name);
		return fail_hint(err, -EINVAL, "write it as the kernel does, e.g. ptrace");
	}
	if (!deny && !strcmp(name, "clone3")) {
		fail(err, -EPERM,
		     "system call: clone3: can't be allowed: its flags are out of a "
		     "filter's sight");
		return fail_hint(err, -EPERM, "programs fall back to clone, which is allowed");
	}
	return 0;
}

static int add_rule(struct sluice_policy *p, const char *name, bool deny, struct sluice_error *err)
{
	struct policy_call_rule *rules;
	int r = check(name, deny, err);
	char *copy;

	if (r < 0)
		return r;
	rules = policy_grow(p->call_rules, p->n_call_rules, sizeof(*rules));
	if (rules)
		p->call_rules = rules;
	copy = rules ? strdup(name) : NULL;
	if (!copy)
		return fail_errno(err, -ENOMEM, "system call: %s", name);
	p->call_rules[p->n_call_rules++] = (struct policy_call_rule){ copy, deny };
	p->generation++;
	return 0;
}

int sluice_policy_deny_syscall(struct sluice_policy *p, const char *name, struct sluice_error *err)
{
	return add_rule(p, name, true, err);
}

int sluice_policy_allow_syscall(struct sluice_policy *p, const char *name, struct sluice_error *err)
{
	return add_rule(p, name, false, err);
}
