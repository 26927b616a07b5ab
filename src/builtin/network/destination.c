/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/destination.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "builtin/network/address.h"
#include "builtin/network/bind.h"
#include "builtin/network/rules.h"
#include "engine/request.h"
#include "sys/fd.h"
#include "sys/sockopt.h"
#include "task/resolve.h"
#include "task/task.h"
#include "tree/tree.h"
#include "tree/writable.h"

#define PATH_AT offsetof(struct sockaddr_un, sun_path)

/* ---- Unix sockets with a name ---- */

/* The path of a named Unix address, which may end without a NUL; false for every other address, which the kernel judges on what was copied. */
static bool is_named(const struct sockaddr_storage *addr, socklen_t len,
		     char path[sizeof(struct sockaddr_un)])
{
	const struct sockaddr_un *sun = (const struct sockaddr_un *)addr;

	if (len <= PATH_AT || len > sizeof(*sun) || sun->sun_family != AF_UNIX || !sun->sun_path[0])
		return false;
	memset(path, 0, sizeof(*sun));
	memcpy(path, sun->sun_path, len - PATH_AT);
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

int destination_file(struct sluice_request *req, const struct connect_bounds *b,
		     const struct sockaddr_storage *addr, socklen_t len, int *ret_file)
{
	char path[sizeof(struct sockaddr_un)];
	int fd;

	*ret_file = -1;
	if (!is_named(addr, len, path))
		return 0;
	fd = open_named(req, b, path);
	if (fd < 0)
		return fd;
	*ret_file = fd;
	return 0;
}

socklen_t destination_of_file(int file, struct sockaddr_storage *ret)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	fd_link(file, sun.sun_path);
	memset(ret, 0, sizeof(*ret));
	memcpy(ret, &sun, sizeof(sun));
	return sizeof(sun);
}

/* ---- the internet ---- */

/*
 * A send to no family goes, by a socket of AF_INET, where one to AF_INET does, and by one of AF_INET6 where that is connected to.
 */
static void name_family(int sock, struct sockaddr_storage *addr, socklen_t *len)
{
	if (addr->ss_family != AF_UNSPEC || *len < sizeof(addr->ss_family))
		return;
	if (sockopt_get(sock, SO_DOMAIN) == AF_INET)
		addr->ss_family = AF_INET;
	else
		*len = 0;
}

int destination_check(const struct connect_bounds *b, int sock, struct sockaddr_storage *addr,
		      socklen_t *len, bool sends)
{
	const unsigned protocol = socket_protocol(sock);
	struct net_address address;
	uint16_t port;

	if (!b->network || (!protocol && !socket_is_internet(sock)) ||
	    (sends && protocol == NET_TCP)) /* which ignores it */
		return 0;
	if (sends)
		name_family(sock, addr, len);
	address_specify(sock, addr, *len);
	if (!address_of((const struct sockaddr *)addr, *len, &address, &port))
		return 0;
	if (!protocol ||
	    !network_may_reach(b->network, (enum net_protocol)protocol, &address, port))
		return -EACCES;
	if (b->hooks.redirect)
		b->hooks.redirect(b->hooks.arg, sock, addr, *len);
	return 0;
}
