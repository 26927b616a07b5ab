/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "builtin/determinism/determinism.h"
#include "builtin/determinism/feeder.h"
#include "builtin/determinism/start.h"
#include "builtin/determinism/streams.h"
#include "builtin/determinism/vdso.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "sys/fd.h"
#include "task/task.h"

#define GRND_INSECURE_BIT 4u
#define AT_RANDOM_BYTES 16
/* A call may give fewer than it is asked for, if that is more than 256. */
#define CALL_BYTES 4096u

/* Numbers of the memory devices: drivers/char/mem.c. */
#define MEMORY_MAJOR 1u
#define RANDOM_MINOR 8u
#define URANDOM_MINOR 9u

struct random {
	struct streams *streams;
	struct feeder *feeder;
	bool tree;
};

/* ---- getrandom ---- */

static struct sluice_verdict getrandom_handle(struct sluice_request *req, void *userdata)
{
	const struct random *c = userdata;
	uint64_t size = sluice_request_arg(req, 1);
	unsigned flags = (unsigned)sluice_request_arg(req, 2);
	unsigned char bytes[CALL_BYTES];
	int r;

	if (flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE_BIT) ||
	    (flags & (GRND_RANDOM | GRND_INSECURE_BIT)) == (GRND_RANDOM | GRND_INSECURE_BIT))
		return sluice_errno(EINVAL);
	if (size > sizeof(bytes))
		size = sizeof(bytes);
	r = streams_take(c->streams, req, bytes, size);
	if (r == 0)
		r = request_plan_reply(req, "random", (int64_t)size, sluice_request_arg(req, 0),
				       bytes, size);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

/* ---- devices ---- */

static bool is_random_device(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && major(st.st_rdev) == MEMORY_MAJOR &&
	       (minor(st.st_rdev) == RANDOM_MINOR || minor(st.st_rdev) == URANDOM_MINOR);
}

/* May it be read, too? */
static bool is_granted(int fd)
{
	char link[FD_LINK_BYTES];
	int readable = open(fd_link(fd, link), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (readable >= 0)
		close(readable);
	return readable >= 0;
}

/* What the path names in the host's tree; -1. */
static int find_on_host(struct sluice_request *req, uint64_t flags)
{
	const char *path;
	int dir = AT_FDCWD, fd;

	if (sluice_request_path(req, 0, &path) < 0)
		return -1;
	if (*path != '/')
		dir = task_open_dirfd(request_task(req), sluice_request_dirfd(req, 0));
	if (*path != '/' && dir < 0)
		return -1;
	fd = openat(dir, path, O_PATH | O_CLOEXEC | (flags & O_NOFOLLOW ? O_NOFOLLOW : 0));
	if (dir >= 0)
		close(dir);
	return fd;
}

/* A sandbox with a tree of its own has resolved the path already. */
static bool opens_random(struct sluice_request *req, const struct random *c, uint64_t flags)
{
	int fd = c->tree ? request_plan_fd(req, 0) : find_on_host(req, flags);
	bool is = fd >= 0 && is_random_device(fd) && is_granted(fd);

	if (!c->tree && fd >= 0)
		close(fd);
	return is;
}

static struct sluice_verdict open_handle(struct sluice_request *req, void *userdata)
{
	const struct random *c = userdata;
	struct sluice_open_args how;
	uint64_t key;
	int fd, r = sluice_request_open_args(req, &how);

	/* to write is to stir: nothing comes of it */
	if (r < 0 || (how.flags & O_ACCMODE) == O_WRONLY || how.flags & O_PATH ||
	    !opens_random(req, c, how.flags))
		return sluice_continue();
	r = streams_take(c->streams, req, &key, sizeof(key));
	if (r < 0)
		return sluice_errno(-r);
	fd = feeder_open(c->feeder, key);
	return fd < 0 ? sluice_errno(-fd) : sluice_inject_fd(fd, (uint32_t)(how.flags & O_CLOEXEC));
}

/* ---- the start of programs ---- */

/* A plain system call in place of the vDSO's getrandom. 1: it is there already. */
static int replace_getrandom(const struct start *s)
{
	struct vdso_function f = vdso_find("getrandom");
	unsigned char code[VDSO_CALL_BYTES_MAX];
	size_t size = vdso_call(SYS_getrandom, code);

	return s->vdso && f.size >= size ? vdso_put(s, f.offset, code, size) : 0;
}

/* Once for each program: it is known by what was replaced. */
static struct sluice_verdict start_handle(struct sluice_request *req, void *userdata)
{
	const struct random *c = userdata;
	unsigned char bytes[AT_RANDOM_BYTES];
	struct start s;
	int r = start_open(req, &s);

	if (r < 0)
		return r == -ENOENT ? sluice_continue() : sluice_errno(-r);
	r = replace_getrandom(&s);
	if (r == 0 && s.random)
		r = streams_take(c->streams, req, bytes, sizeof(bytes));
	if (r == 0 && s.random)
		r = start_write(&s, s.random, bytes, sizeof(bytes));
	start_close(&s);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

/* ---- registration ---- */

static void random_free(void *data)
{
	struct random *c = data;

	streams_free(c->streams);
	feeder_free(c->feeder);
	free(c);
}

int builtin_random_register(struct dispatch *d, uint64_t seed, bool tree)
{
	struct random *c = calloc(1, sizeof(*c));
	const struct sluice_handler handlers[] = {
		sluice_handler_make("random", SYS_getrandom, getrandom_handle, c),
		sluice_handler_make("random", START_CALL, start_handle, c),
#ifdef SYS_open
		sluice_handler_make("random", SYS_open, open_handle, c),
#endif
		sluice_handler_make("random", SYS_openat, open_handle, c),
		sluice_handler_make("random", SYS_openat2, open_handle, c),
	};
	int r;

	if (!c)
		return -ENOMEM;
	c->tree = tree;
	c->streams = streams_new(seed);
	c->feeder = feeder_new();
	r = dispatch_own(d, c, random_free);
	if (r == 0 && (!c->streams || !c->feeder))
		r = -ENOMEM;
	return r < 0 ? r
		     : dispatch_add_builtins(d, handlers, sizeof(handlers) / sizeof(handlers[0]));
}
