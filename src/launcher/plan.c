/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/plan.h"

#include <errno.h>
#include <string.h>

#include "launcher/protocol.h"

static size_t prefix_bytes(const struct plan_strings *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_prefix; i++)
		n += strlen(s->prefix[i]) + 1;
	return n;
}

static char *append(char *at, const char *string)
{
	size_t n = strlen(string) + 1;

	memcpy(at, string, n);
	return at + n;
}

ssize_t plan_write(const struct plan_strings *s, void *buf, size_t size)
{
	struct launcher_plan p = { .version = LAUNCHER_VERSION, .exe_fd = -1, .loader_fd = -1 };
	size_t need, prefix;
	char *at;

	if (s->n_prefix > LAUNCHER_PREFIX_MAX)
		return -E2BIG;
	prefix = prefix_bytes(s);
	need = sizeof(p) + prefix + strlen(s->execfn) + 1;
	if (need > LAUNCHER_PLAN_MAX)
		return -E2BIG;
	if (need > size)
		return (ssize_t)need;
	p.size = (uint32_t)need;
	p.prefix = sizeof(p);
	p.prefix_size = (uint32_t)prefix;
	p.n_prefix = (uint32_t)s->n_prefix;
	p.execfn = (uint32_t)(sizeof(p) + prefix);
	strncpy(p.comm, s->comm, sizeof(p.comm) - 1);
	memcpy(buf, &p, sizeof(p));
	at = (char *)buf + sizeof(p);
	for (size_t i = 0; i < s->n_prefix; i++)
		at = append(at, s->prefix[i]);
	append(at, s->execfn);
	return (ssize_t)need;
}
