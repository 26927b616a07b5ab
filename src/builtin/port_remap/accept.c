/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accept and accept4 with room for an address.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/port_remap/peers.h"
#include "builtin/port_remap/remap.h"
#include "task/task.h"

#define ACCEPT_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)

/* accept has no flags, and that register may hold anything. */
static int flags_of(const struct sluice_request *req)
{
	return sluice_request_nr(req) == SYS_accept4 ? (int)sluice_request_arg(req, 3) : 0;
}

/*
 * Is there no number for one more descriptor? The kernel says so before it takes a connection, and afterwards it would be lost. How many there are procfs tells from
 * Linux 6.2 on.
 */
static bool is_full(const struct task *t)
{
	struct rlimit limit;
	struct stat st;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)t->tid);
	return stat(path, &st) == 0 && prlimit(t->tid, RLIMIT_NOFILE, NULL, &limit) == 0 &&
	       (rlim_t)st.st_size >= limit.rlim_cur;
}

/* The connection, with its peer's address given to the task. A descriptor, or -errno. */
static int take(struct sluice_request *req, const struct peers *p)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t size = sizeof(addr);
	int fd = request_accept(req, p->sock, &addr, &size,
				(flags_of(req) & SOCK_NONBLOCK) | SOCK_CLOEXEC);
	int r;

	if (fd < 0)
		return fd;
	remap_show(p->remap, fd, true, &addr, size);
	r = request_give_address(req, sluice_request_arg(req, 1), sluice_request_arg(req, 2), &addr,
				 size);
	if (r == 0)
		return fd;
	close(fd); /* as the kernel does */
	return r;
}

static struct request_act accept_act(struct sluice_request *req, const void *peers)
{
	const struct peers *p = peers;
	struct request_act done = { .fd = -1 };
	int r = peers_wait(req, p->sock, 0);

	if (r < 0) {
		done.value = r;
		return done;
	}
	if (r == PEERS_KERNEL || is_full(request_task(req)))
		return peers_go_on();
	r = take(req, p);
	/* somebody else was quicker, or it can't be tried without waiting, or there is no room here */
	if (r == -EAGAIN || r == -EACCES || r == -EMFILE || r == -ENFILE)
		return peers_go_on();
	done.value = done.fd = r;
	done.fd_flags = flags_of(req) & SOCK_CLOEXEC ? O_CLOEXEC : 0;
	return done;
}

struct sluice_verdict accept_handle(struct sluice_request *req, void *remap)
{
	if (!sluice_request_arg(req, 1) || flags_of(req) & ~ACCEPT_FLAGS)
		return sluice_continue();
	return peers_plan(req, remap, IPPROTO_TCP, accept_act);
}
