/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "builtin/network/address.h"
#include "builtin/network/bind.h"
#include "builtin/network/rules.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "sys/fd.h"
#include "task/resolve.h"
#include "task/task.h"
#include "tree/tree.h"
#include "tree/writable.h"

#define PATH_AT offsetof(struct sockaddr_un, sun_path)

/* What the plan carries: the address as it was seen, and our duplicate of the task's socket. The file that the address names is the plan's first one. */
struct target {
	int sock; /* owned; -1 */
	socklen_t len;
	struct sockaddr_storage addr;
};
_Static_assert(sizeof(struct target) <= REQUEST_PLAN_BYTES, "a plan holds an address");

static int address(struct sluice_request *req, struct target *t)
{
	ssize_t n = sluice_request_sockaddr(req, &t->addr);

	if (n == 0 && (int)sluice_request_arg(req, 2)) /* of a length, but nowhere */
		return -EFAULT;
	t->len = n < 0 ? 0 : (socklen_t)n;
	return n < 0 ? (int)n : 0;
}

/* The path of a named Unix address, which may end without a NUL; false for every other address, which the kernel judges on what was copied. */
static bool is_named(const struct target *t, char path[sizeof(struct sockaddr_un)])
{
	const struct sockaddr_un *sun = (const struct sockaddr_un *)&t->addr;

	if (t->len <= PATH_AT || t->len > sizeof(*sun) || sun->sun_family != AF_UNIX ||
	    !sun->sun_path[0])
		return false;
	memset(path, 0, sizeof(*sun));
	memcpy(path, sun->sun_path, t->len - PATH_AT);
	return true;
}

/* A peer's address that a task has from the kernel may be the text that bind gave the kernel in the place of another task's. */
static int open_in_tree(struct sluice_request *req, const struct connect_bounds *b,
			const char *path)
{
	char given[BIND_TEXT_BYTES + 1];
	struct walk_end end;
	int r;

	if (bind_names_given(b->names, path, given))
		path = given;
	r = tree_walk(b->tree, request_task(req), AT_FDCWD, path, 0, 0, &end);

	return r < 0 ? r : end.fd;
}

static int open_on_host(struct sluice_request *req, const char *path)
{
	struct resolve_open how = {
		.dirfd = AT_FDCWD,
		.path = path,
		.flags = O_PATH,
		.proc_granted = request_proc_granted(req),
	};
	struct stat st;

	return resolve_open(request_task(req), &how, &st);
}

/* The file at @path if it may be connected to, as a descriptor. */
static int open_named(struct sluice_request *req, const struct connect_bounds *b, const char *path)
{
	int fd = b->tree ? open_in_tree(req, b, path) : open_on_host(req, path);

	if (fd < 0)
		return fd == -EMFILE ? -ENFILE : fd; /* our limit, not the task's */
	if (writable_has(b->writable, fd))
		return fd;
	close(fd);
	return -EACCES;
}

static int connect_as(struct sluice_request *req, const struct target *t)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int file = request_plan_fd(req, 0);

	if (file < 0)
		return request_connect(req, t->sock, (const struct sockaddr *)&t->addr, t->len);
	fd_link(file, sun.sun_path);
	return request_connect(req, t->sock, (const struct sockaddr *)&sun, sizeof(sun));
}

/* A request_act_fn. */
static struct request_act carry_out(struct sluice_request *req, const void *target)
{
	return (struct request_act){ .value = connect_as(req, target), .fd = -1 };
}

/* A request_drop_fn. */
static void drop(const void *target)
{
	const struct target *t = target;

	if (t->sock >= 0)
		close(t->sock);
}

/* May @t, whose address is one of the internet's, be connected to? What a short or strange address says is the kernel's to say. */
static int check_internet(const struct network *n, struct target *t)
{
	const unsigned protocol = socket_protocol(t->sock);
	struct net_address address;
	uint16_t port;

	if (!n || !socket_is_internet(t->sock))
		return 0;
	address_specify(t->sock, &t->addr, t->len);
	if (!address_of((const struct sockaddr *)&t->addr, t->len, &address, &port))
		return 0;
	return protocol && network_may_reach(n, (enum net_protocol)protocol, &address, port)
		       ? 0
		       : -EACCES;
}

/* Fill in @t, and *ret_file if the address names one. */
static int look(struct sluice_request *req, const struct connect_bounds *b, struct target *t,
		int *ret_file)
{
	const struct task *task = request_task(req);
	char path[sizeof(struct sockaddr_un)];
	int r;

	t->sock = task_get_fd(task, (int)sluice_request_arg(req, 0));
	if (t->sock < 0 && t->sock != -EACCES)
		return t->sock;
	r = address(req, t);
	if (r == 0)
		r = request_compare_credentials(req);
	if (r == 0 && is_named(t, path))
		r = *ret_file = open_named(req, b, path);
	if (r < 0)
		return r;
	/* refused, after what the address alone says */
	return t->sock < 0 ? t->sock : check_internet(b->network, t);
}

static struct sluice_verdict connect_handle(struct sluice_request *req, void *userdata)
{
	struct target t = { .sock = -1 };
	struct request_plan p = {
		.builtin = "connect",
		.act = carry_out,
		.drop = drop,
		.layer = SLUICE_LAYER_HOST,
		.fds = { -1, -1 },
		.dirs = { -1, -1 },
		.data = &t,
		.size = sizeof(t),
	};
	int r = look(req, userdata, &t, &p.fds[0]);

	if (r == 0) {
		r = request_plan_act(req, &p);
	} else {
		drop(&t);
		if (p.fds[0] >= 0)
			close(p.fds[0]);
	}
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

int builtin_connect_register(struct dispatch *d, const struct connect_bounds *bounds)
{
	const bool trapped = !writable_is_all(bounds->writable) || bounds->tree || bounds->network;
	struct connect_bounds *b = malloc(sizeof(*b));
	struct sluice_handler h = sluice_handler_make("connect", SYS_connect, connect_handle, b);
	int r;

	if (!b)
		return -ENOMEM;
	*b = *bounds;
	r = dispatch_own(d, b, free);
	if (r == 0)
		r = dispatch_add_planner(d, SYS_connect, connect_handle, b);
	return r < 0 || !trapped ? r : dispatch_add(d, &h, true);
}
