/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/PID/net: the loopback device, and the sockets that processes of the sandbox have open.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builtin/procfs/internal.h"
#include "sys/dir.h"
#include "util/cleanup.h"
#include "util/grow.h"

#define SOCKETS_MAX (1u << 20)

/* Inodes of sockets, as many as there are descriptors of them. */
struct inodes {
	const struct ownproc *o;
	uint64_t *list;
	size_t n, room;
};

static int add_inode(struct inodes *in, uint64_t inode)
{
	uint64_t *grown =
		in->n == SOCKETS_MAX ? NULL : grow_list(in->list, in->n, &in->room, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	in->list = grown;
	in->list[in->n++] = inode;
	return 0;
}

/* One descriptor: its link says "socket:[INODE]". */
static int add_link(struct inodes *in, int dir, const char *name)
{
	static const char socket[] = "socket:[";
	char text[64];
	ssize_t n = readlinkat(dir, name, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	if (strncmp(text, socket, sizeof(socket) - 1) != 0)
		return 0;
	return add_inode(in, strtoull(text + sizeof(socket) - 1, NULL, 10));
}

static int add_process(pid_t pid, void *arg)
{
	struct inodes *in = arg;
	char name[32];
	struct dirent *e;
	DIR *d;
	int r = 0;

	snprintf(name, sizeof(name), "%d/fd", (int)pid);
	if (dir_open(in->o->view.root, name, 0, &d) < 0)
		return 0; /* it is gone, or nobody may look into it */
	while (r == 0 && (e = readdir(d)))
		r = add_link(in, dirfd(d), e->d_name);
	closedir(d);
	return r;
}

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* @protocol: of the table, where ports of it may be others; 0. */
static int sockets(const struct ownproc *o, const char *native, unsigned column, int protocol,
		   FILE *out)
{
	const struct render_ports ports = { o->ports.shown, o->ports.arg, protocol };
	struct inodes in = { .o = o };
	int r = procfs_each_process(&o->view, add_process, &in);

	if (r == 0) {
		if (in.n)
			qsort(in.list, in.n, sizeof(*in.list), compare);
		render_sockets(out, native, column, in.list, in.n,
			       protocol && ports.shown ? &ports : NULL);
	}
	free(in.list);
	return r;
}

static const struct {
	const char *name;
	enum {
		SOCKETS,
		LOOPBACK,
		AS_IT_IS
	} kind;
	unsigned number; /* the inode's field, or lines of header */
	int protocol;	 /* whose ports it shows; 0: ports of none that are ever others */
} tables[] = {
	{ "tcp", SOCKETS, 9, IPPROTO_TCP }, { "tcp6", SOCKETS, 9, IPPROTO_TCP },
	{ "udp", SOCKETS, 9, IPPROTO_UDP }, { "udp6", SOCKETS, 9, IPPROTO_UDP },
	{ "udplite", SOCKETS, 9, 0 },	    { "udplite6", SOCKETS, 9, 0 },
	{ "raw", SOCKETS, 9, 0 },	    { "raw6", SOCKETS, 9, 0 },
	{ "icmp", SOCKETS, 9, 0 },	    { "icmp6", SOCKETS, 9, 0 },
	{ "unix", SOCKETS, 6, 0 },	    { "dev", LOOPBACK, 2, 0 },
	{ "if_inet6", LOOPBACK, 0, 0 },	    { "ipv6_route", LOOPBACK, 0, 0 },
	{ "route", LOOPBACK, 1, 0 },	    { "arp", LOOPBACK, 1, 0 },
	{ "protocols", AS_IT_IS, 0, 0 },
};

int content_net_table(const struct content *c, FILE *out)
{
	const char *name = c->part.rest + strlen("net/");
	_cleanup_free_ char *native = NULL;
	size_t i = 0;
	int r;

	while (i < sizeof(tables) / sizeof(tables[0]) && strcmp(tables[i].name, name) != 0)
		i++;
	if (i == sizeof(tables) / sizeof(tables[0]))
		return -ENOENT;
	r = content_read(c->fd, &native);
	if (r < 0)
		return r;
	if (tables[i].kind == SOCKETS)
		return sockets(c->o, native, tables[i].number, tables[i].protocol, out);
	if (tables[i].kind == LOOPBACK)
		render_loopback(out, native, tables[i].number);
	else
		fputs(native, out);
	return 0;
}
