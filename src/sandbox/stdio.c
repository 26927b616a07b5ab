/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command's standard descriptors. Everything made here is CLOEXEC.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sandbox/sandbox.h"
#include "util/fail.h"

static const char *const stdio_names[3] = { "stdin", "stdout", "stderr" };

static int stdio_pipe(struct stdio_plan *s, int which)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	s->child[which] = ends[which ? 1 : 0];
	s->ours[which] = ends[which ? 0 : 1];
	s->close_child[which] = true;
	return 0;
}

static int stdio_null(struct stdio_plan *s, int which)
{
	int fd = open("/dev/null", (which ? O_WRONLY : O_RDONLY) | O_CLOEXEC);

	s->child[which] = fd;
	s->close_child[which] = fd >= 0;
	return fd < 0 ? -errno : 0;
}

static int stdio_one(struct stdio_plan *s, const struct sluice_spawn_options *o, int which)
{
	switch (o->stdio[which]) {
	case SLUICE_STDIO_INHERIT:
		return 0;
	case SLUICE_STDIO_NULL:
		return stdio_null(s, which);
	case SLUICE_STDIO_PIPE:
		return stdio_pipe(s, which);
	case SLUICE_STDIO_FD:
		s->child[which] = o->stdio_fd[which];
		return fcntl(o->stdio_fd[which], F_GETFD) < 0 ? -EBADF : 0;
	case SLUICE_STDIO_STDOUT:
		s->child[which] = s->child[1] >= 0 ? s->child[1] : 1;
		return which == 2 ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
}

int stdio_init(struct stdio_plan *s, const struct sluice_spawn_options *o, struct sluice_error *err)
{
	for (int i = 0; i < 3; i++) {
		s->child[i] = s->ours[i] = -1;
		s->close_child[i] = false;
	}
	for (int i = 0; i < 3; i++) {
		int r = stdio_one(s, o, i);

		if (r < 0) {
			stdio_fini(s);
			return fail_errno(err, r, "%s: option %u", stdio_names[i], o->stdio[i]);
		}
	}
	return 0;
}

void stdio_close_child(struct stdio_plan *s)
{
	for (int i = 0; i < 3; i++) {
		if (s->close_child[i])
			close(s->child[i]);
		s->close_child[i] = false;
	}
}

void stdio_fini(struct stdio_plan *s)
{
	stdio_close_child(s);
	for (int i = 0; i < 3; i++) {
		if (s->ours[i] >= 0)
			close(s->ours[i]);
		s->ours[i] = -1;
	}
}
