/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line made ready for exec, so that nothing is left to allocate after the fork: private copies of argv and environment, and
 * the paths that execvp(3) would try, in its order.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/policy.h"
#include "sandbox/sandbox.h"
#include "util/fail.h"

/* What execvp uses where PATH is not set. */
#define PATH_DEFAULT "/bin:/usr/bin"

static char **strings_copy(const char *const *list)
{
	size_t n = 0, bytes = 0;
	char **copy, *at;

	for (; list[n]; n++)
		bytes += strlen(list[n]) + 1;
	copy = malloc((n + 1) * sizeof(*copy) + bytes);
	if (!copy)
		return NULL;
	at = (char *)(copy + n + 1);
	for (size_t i = 0; i < n; i++) {
		copy[i] = at;
		at = stpcpy(at, list[i]) + 1;
	}
	copy[n] = NULL;
	return copy;
}

static const char *env_get(char *const *envp, const char *key)
{
	size_t n = strlen(key);

	for (; *envp; envp++) {
		if (!strncmp(*envp, key, n) && (*envp)[n] == '=')
			return *envp + n + 1;
	}
	return NULL;
}

/* @file in each directory of @path; an empty element is the working directory. One heap block. */
static char **path_candidates(const char *file, const char *path)
{
	size_t n = 1, bytes = 0, file_len = strlen(file);
	const char *p = path;
	char **list, *at;
	size_t i = 0;

	for (const char *c = path; *c; c++)
		n += *c == ':';
	bytes = strlen(path) + n * (file_len + 2) + 1;
	list = malloc((n + 1) * sizeof(*list) + bytes);
	if (!list)
		return NULL;
	at = (char *)(list + n + 1);
	for (;;) {
		size_t len = strcspn(p, ":");

		list[i++] = at;
		if (len) {
			at = mempcpy(at, p, len);
			*at++ = '/';
		}
		at = stpcpy(at, file) + 1;
		if (!p[len])
			break;
		p += len + 1;
	}
	list[i] = NULL;
	return list;
}

static char **command_candidates(const struct command *c)
{
	const char *const alone[] = { c->argv[0], NULL };
	const char *path = env_get(c->envp, "PATH");

	if (strchr(c->argv[0], '/'))
		return strings_copy(alone);
	return path_candidates(c->argv[0], path ? path : PATH_DEFAULT);
}

int command_init(struct command *c, const struct sluice_policy *p, const char *const argv[],
		 struct sluice_error *err)
{
	memset(c, 0, sizeof(*c));
	if (!argv || !argv[0])
		return fail(err, -EINVAL, "command: nothing to run");
	if (!argv[0][0])
		return fail_errno(err, -ENOENT, "exec: \"\"");
	c->argv = strings_copy(argv);
	c->envp = policy_build_env(p, environ);
	c->candidates = c->argv && c->envp ? command_candidates(c) : NULL;
	c->cwd = p->cwd ? strdup(p->cwd) : NULL;
	if (!c->candidates || (p->cwd && !c->cwd)) {
		command_fini(c);
		return fail_errno(err, -ENOMEM, "command");
	}
	return 0;
}

void command_fini(struct command *c)
{
	free(c->argv);
	free(c->envp);
	free(c->candidates);
	free(c->cwd);
	memset(c, 0, sizeof(*c));
}
