/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "task/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"

bool credentials_are_fixed(void)
{
	uid_t ru, eu, su;
	gid_t rg, eg, sg;

	return getresuid(&ru, &eu, &su) == 0 && getresgid(&rg, &eg, &sg) == 0 && ru == eu &&
	       ru == su && rg == eg && rg == sg;
}

/* The fourth number of the line that begins with @key: the id that files are checked with. */
static long fs_id(const char *status, const char *key)
{
	const char *at = strstr(status, key);
	long ids[4];

	if (!at ||
	    sscanf(at + strlen(key), "%ld %ld %ld %ld", &ids[0], &ids[1], &ids[2], &ids[3]) != 4)
		return -1;
	return ids[3];
}

/* The line of groups, which must lie within the text as a whole. */
static const char *groups(const char *status, size_t *ret_length)
{
	const char *at = strstr(status, "\nGroups:");
	const char *end = at ? strchr(at + 1, '\n') : NULL;

	*ret_length = end ? (size_t)(end - at) : 0;
	return end ? at : NULL;
}

static bool same(const char *a, const char *b)
{
	size_t n, m;
	const char *in_a = groups(a, &n), *in_b = groups(b, &m);

	return fs_id(a, "\nUid:") >= 0 && fs_id(a, "\nUid:") == fs_id(b, "\nUid:") &&
	       fs_id(a, "\nGid:") >= 0 && fs_id(a, "\nGid:") == fs_id(b, "\nGid:") && in_a &&
	       in_b && n == m && !memcmp(in_a, in_b, n);
}

int credentials_compare(const struct task *t)
{
	_cleanup_close_ int fd = open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC);
	char ours[4096], theirs[4096];
	ssize_t n = fd < 0 ? -1 : read(fd, ours, sizeof(ours) - 1);

	if (n < 0)
		return -EACCES;
	ours[n] = '\0';
	n = task_status(t, theirs, sizeof(theirs));
	if (n < 0)
		return (int)n;
	return same(ours, theirs) ? 0 : -EACCES;
}
