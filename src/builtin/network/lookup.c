/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/lookup.h"

#include <ares.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "builtin/network/address.h"
#include "builtin/network/names.h"
#include "builtin/network/resolve.h"
#include "builtin/network/servers.h"
#include "util/clock.h"
#include "util/fail.h"

#define TRY_MS 1000 /* for the first answer of a server; twice as long in each round after */
#define TRIES 3
#define READS_MAX 64u /* of sockets, between two waits */
#define FLOOD_MS 10   /* to wait where that was not enough */
#define V4_AT 12      /* where an IPv4 address stands in a net_address */

struct lookup {
	ares_channel channel;
	unsigned reads; /* since lookup_wait began */
};

struct ask {
	lookup_fn fn;
	void *arg;
};

/* ---- its sockets: c-ares would make them close-on-exec in a second step, and a command may be started in between ---- */

static ares_socket_t make_socket(int domain, int type, int protocol, void *lookup)
{
	(void)lookup;
	return socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
}

static int close_socket(ares_socket_t fd, void *lookup)
{
	(void)lookup;
	return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *addr, ares_socklen_t len,
			  void *lookup)
{
	(void)lookup;
	return connect(fd, addr, len);
}

/* c-ares reads until there is nothing left. */
static ares_ssize_t receive(ares_socket_t fd, void *buf, size_t size, int flags,
			    struct sockaddr *from, ares_socklen_t *len, void *lookup)
{
	struct lookup *l = lookup;

	if (l->reads >= READS_MAX) {
		errno = EWOULDBLOCK;
		return -1;
	}
	l->reads++;
	return recvfrom(fd, buf, size, flags, from, len);
}

static ares_ssize_t transmit(ares_socket_t fd, const struct iovec *iov, int n, void *lookup)
{
	const struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };

	(void)lookup;
	return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static const struct ares_socket_functions sockets = {
	.asocket = make_socket,
	.aclose = close_socket,
	.aconnect = connect_socket,
	.arecvfrom = receive,
	.asendv = transmit,
};

/* ---- making one ---- */

static void init_library(void)
{
	ares_library_init(ARES_LIB_INIT_ALL);
}

static int set_servers(ares_channel channel, const struct servers *servers)
{
	struct ares_addr_port_node nodes[NET_SERVERS_MAX] = { 0 };

	for (size_t i = 0; i < servers->n; i++) {
		const struct net_server *s = &servers->servers[i];
		const bool v4 = net_address_is_v4(&s->address);

		nodes[i].next = i + 1 < servers->n ? &nodes[i + 1] : NULL;
		nodes[i].family = v4 ? AF_INET : AF_INET6;
		nodes[i].udp_port = nodes[i].tcp_port = s->port;
		if (v4)
			memcpy(&nodes[i].addr.addr4, s->address.bytes + V4_AT,
			       sizeof(struct in_addr));
		else
			memcpy(&nodes[i].addr.addr6, s->address.bytes, sizeof(s->address.bytes));
	}
	return ares_set_servers_ports(channel, nodes) == ARES_SUCCESS ? 0 : -ENOMEM;
}

/* All that c-ares would look for in files is given. */
static int make_channel(const struct servers *servers, ares_channel *ret)
{
	struct in_addr one = { 0 }; /* replaced by set_servers, which knows ports and IPv6 */
	char *domains[SERVERS_DOMAINS_MAX];
	struct ares_options o = {
		.flags = ARES_FLAG_NOALIASES,
		.timeout = TRY_MS,
		.tries = TRIES,
		.ndots = (int)servers->ndots,
		.servers = &one,
		.nservers = 1,
		.domains = domains,
		.ndomains = (int)servers->n_domains,
		.lookups = (char[]){ "b" },
	};
	int r;

	for (size_t i = 0; i < servers->n_domains; i++)
		domains[i] = (char *)servers->domains[i];
	r = ares_init_options(ret, &o,
			      ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
				      ARES_OPT_NDOTS | ARES_OPT_SERVERS | ARES_OPT_DOMAINS |
				      ARES_OPT_LOOKUPS | ARES_OPT_SORTLIST | ARES_OPT_NOROTATE);
	return r == ARES_SUCCESS ? 0 : r == ARES_ENOMEM ? -ENOMEM : -EINVAL;
}

int lookup_new(const struct servers *servers, struct lookup **ret)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct lookup *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	pthread_once(&once, init_library);
	r = make_channel(servers, &l->channel);
	if (r < 0) {
		free(l);
		return r;
	}
	ares_set_socket_functions(l->channel, &sockets, l);
	r = set_servers(l->channel, servers);
	if (r < 0)
		lookup_free(l);
	else
		*ret = l;
	return r;
}

void lookup_free(struct lookup *l)
{
	if (!l)
		return;
	ares_destroy(l->channel);
	free(l);
}

/* ---- questions ---- */

static int error_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return 0;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
	case ARES_EBADNAME:
		return -ENOENT;
	case ARES_ETIMEOUT:
		return -ETIMEDOUT;
	case ARES_ENOMEM:
		return -ENOMEM;
	case ARES_EDESTRUCTION:
	case ARES_ECANCELLED:
		return -ECANCELED;
	default:
		return -EAGAIN;
	}
}

static void answered(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
	struct net_address addresses[NAMES_ANSWER_MAX];
	struct ask *ask = arg;
	int ttl = INT32_MAX, error = error_of(status);
	size_t n = 0;
	uint16_t port;

	(void)timeouts;
	for (const struct ares_addrinfo_cname *c = found ? found->cnames : NULL; c; c = c->next)
		ttl = c->ttl < ttl ? c->ttl : ttl;
	for (const struct ares_addrinfo_node *a = found ? found->nodes : NULL;
	     a && n < NAMES_ANSWER_MAX; a = a->ai_next) {
		ttl = a->ai_ttl < ttl ? a->ai_ttl : ttl;
		n += address_of(a->ai_addr, a->ai_addrlen, &addresses[n], &port);
	}
	if (found)
		ares_freeaddrinfo(found);
	if (error == 0 && !n)
		error = -ENOENT;
	ask->fn(ask->arg, error, addresses, n, ttl > 0 ? (uint32_t)ttl : 0);
	free(ask);
}

void lookup_ask(struct lookup *l, const char *name, bool v6, lookup_fn fn, void *arg)
{
	const struct ares_addrinfo_hints hints = {
		.ai_flags = ARES_AI_NOSORT,
		.ai_family = v6 ? AF_INET6 : AF_INET,
	};
	struct ask *ask = malloc(sizeof(*ask));

	if (!ask) {
		fn(arg, -ENOMEM, NULL, 0, 0);
		return;
	}
	*ask = (struct ask){ fn, arg };
	ares_getaddrinfo(l->channel, name, NULL, &hints, answered, ask);
}

/* ---- waiting ---- */

/* For poll: until @until, or until c-ares wants to look at the time. */
static int timeout_ms(const struct lookup *l, uint64_t until)
{
	const uint64_t now = clock_now_ns();
	uint64_t wait = until > now ? until - now : 0, own;
	struct timeval tv;

	if (ares_timeout(l->channel, NULL, &tv)) {
		own = (uint64_t)tv.tv_sec * 1000000000u + (uint64_t)tv.tv_usec * 1000u;
		wait = own < wait ? own : wait;
	}
	wait = wait / 1000000u + (wait % 1000000u != 0);
	return wait < INT32_MAX ? (int)wait : until == UINT64_MAX ? -1 : INT32_MAX;
}

static nfds_t list(const struct lookup *l, struct pollfd polled[ARES_GETSOCK_MAXNUM])
{
	ares_socket_t fds[ARES_GETSOCK_MAXNUM];
	/* the lower half: which are to be read from; the upper: written to. c-ares' own macros shift into the sign. */
	const unsigned bits = (unsigned)ares_getsock(l->channel, fds, ARES_GETSOCK_MAXNUM);
	nfds_t n = 0;

	for (unsigned i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
		const bool in = bits >> i & 1, out = bits >> (ARES_GETSOCK_MAXNUM + i) & 1;

		if (in || out)
			polled[n++] = (struct pollfd){
				.fd = fds[i],
				.events = (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0)),
			};
	}
	return n;
}

static bool is_rung(int bell, int timeout)
{
	struct pollfd polled = { .fd = bell, .events = POLLIN };

	return poll(&polled, 1, timeout) > 0;
}

bool lookup_wait(struct lookup *l, int bell, uint64_t until)
{
	struct pollfd polled[ARES_GETSOCK_MAXNUM + 1];
	nfds_t n = list(l, polled);

	polled[n] = (struct pollfd){ .fd = bell, .events = POLLIN };
	l->reads = 0;
	if (poll(polled, n + 1, timeout_ms(l, until)) > 0 && polled[n].revents)
		return true;
	for (nfds_t i = 0; i < n; i++) {
		const short r = polled[i].revents;

		if (r)
			ares_process_fd(l->channel, r & ~POLLOUT ? polled[i].fd : ARES_SOCKET_BAD,
					r & POLLOUT ? polled[i].fd : ARES_SOCKET_BAD);
	}
	ares_process_fd(l->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* what is too late */
	return l->reads >= READS_MAX && is_rung(bell, FLOOD_MS);
}

/* ---- one name, at once ---- */

struct both {
	struct net_address *found;
	size_t n;
	unsigned open;
	int error;
};

static void take(void *arg, int error, const struct net_address *found, size_t n, uint32_t ttl_s)
{
	struct both *b = arg;

	(void)ttl_s;
	for (size_t i = 0; i < n && b->n < RESOLVE_MAX; i++)
		b->found[b->n++] = found[i];
	if (error && (!b->error || b->error == -ENOENT)) /* what may be mended says more */
		b->error = error;
	b->open--;
}

static int failed(const char *name, int r, struct sluice_error *err)
{
	fail(err, r, "network: %s: %s", name,
	     r == -ENOENT   ? "no such name"
	     : r == -ENOMEM ? "out of memory"
			    : "no answer of the name servers");
	return fail_hint(err, r, "who was asked is what --net-name-server says");
}

int lookup_name(const struct servers *servers, const char *name, struct net_address *ret,
		struct sluice_error *err)
{
	const uint64_t until = clock_now_ns() + RESOLVE_TIMEOUT_MS * 1000000ull;
	struct both b = { .found = ret, .open = 2 };
	struct lookup *l;
	int r = lookup_new(servers, &l);

	if (r < 0)
		return fail_errno(err, r, "network: %s", name);
	for (int v6 = 0; v6 < 2; v6++)
		lookup_ask(l, name, v6, take, &b);
	while (b.open && clock_now_ns() < until)
		lookup_wait(l, -1, until);
	if (b.open)
		r = -ETIMEDOUT;
	lookup_free(l);
	if (b.n)
		return (int)b.n;
	return failed(name, r < 0 ? r : b.error, err);
}
