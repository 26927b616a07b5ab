/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/port_remap/remap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/sock_diag.h"
#include "sys/sockopt.h"
#include "util/bell.h"
#include "util/clock.h"

#define V4_BYTES 4u
/* Between two looks at which sockets are gone, where nothing but speed depends on it. */
#define SWEEP_NS 1000000000u

struct entry {
	uint64_t cookie; /* 0: free */
	uint64_t inode;	 /* by which /proc/net calls the socket */
	int protocol;
	uint16_t virtual_port, real_port;
	struct in6_addr address; /* that it is bound to; IPv4 in its mapped form, all 0: any */
	bool reaches;		 /* has connected or sent to the machine itself */
};

struct remap {
	/*
	 * May a socket of UDP, or of TCP that reaches others, have another port than it shows? Written under the lock; read without it: who asks before the first
	 * one has its port may be told so.
	 */
	_Atomic bool udp_differs, tcp_differs;
	int bell; /* eventfd, rung when remap_list may give something else */

	pthread_mutex_t lock;  /* guards all below */
	struct entry *entries; /* REMAP_PORTS_MAX, once there is one */
	size_t n;	       /* entries behind it were never used */
	uint64_t swept_ns[2];  /* by remap_peers_differ, last; of TCP, of UDP */
};

struct remap *remap_new(void)
{
	struct remap *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->bell < 0) {
		free(r);
		return NULL;
	}
	pthread_mutex_init(&r->lock, NULL);
	return r;
}

void remap_free(void *remap)
{
	struct remap *r = remap;

	pthread_mutex_destroy(&r->lock);
	close(r->bell);
	free(r->entries);
	free(r);
}

int remap_bell(const struct remap *r)
{
	return r->bell;
}

/* ---- sockets ---- */

static int protocol_of(int sock)
{
	int protocol = sockopt_get(sock, SO_PROTOCOL);

	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP ? protocol : 0;
}

/* Where all families have it. */
static in_port_t *port_in(struct sockaddr_storage *addr)
{
	return &((struct sockaddr_in *)addr)->sin_port;
}

static in_port_t port_of(const struct sockaddr_storage *addr)
{
	struct sockaddr_in v4;

	memcpy(&v4, addr, sizeof(v4));
	return v4.sin_port;
}

static struct in6_addr host_in(const struct sockaddr_storage *addr)
{
	struct in6_addr a = IN6ADDR_ANY_INIT;
	struct sockaddr_in v4;

	if (addr->ss_family == AF_INET6)
		return ((const struct sockaddr_in6 *)addr)->sin6_addr;
	memcpy(&v4, addr, sizeof(v4));
	if (v4.sin_addr.s_addr) {
		a.s6_addr[10] = a.s6_addr[11] = 0xff;
		memcpy(a.s6_addr + 12, &v4.sin_addr, V4_BYTES);
	}
	return a;
}

/* ---- what is there ---- */

/* Do sockets that are bound to @a and to @b get the same packets? */
static bool overlaps(const struct in6_addr *a, const struct in6_addr *b)
{
	return IN6_IS_ADDR_UNSPECIFIED(a) || IN6_IS_ADDR_UNSPECIFIED(b) || IN6_ARE_ADDR_EQUAL(a, b);
}

static struct entry *by_cookie_locked(struct remap *r, uint64_t cookie)
{
	for (size_t i = 0; cookie && i < r->n; i++) {
		if (r->entries[i].cookie == cookie)
			return &r->entries[i];
	}
	return NULL;
}

static bool differs(const struct entry *e)
{
	return e->cookie && e->real_port != e->virtual_port;
}

/* An entry came, went, or began to reach others. */
static void note_change_locked(struct remap *r)
{
	bool udp = false, tcp = false;

	for (size_t i = 0; i < r->n; i++) {
		const struct entry *e = &r->entries[i];

		udp |= differs(e) && e->protocol == IPPROTO_UDP;
		tcp |= differs(e) && e->protocol == IPPROTO_TCP && e->reaches;
	}
	atomic_store(&r->udp_differs, udp);
	atomic_store(&r->tcp_differs, tcp);
	bell_ring(r->bell);
}

/* Cookies that were seen mark their entries. */
struct sweep {
	struct remap *remap;
	bool seen[REMAP_PORTS_MAX];
};

static void see(uint64_t cookie, uint16_t port, void *arg)
{
	struct sweep *s = arg;

	for (size_t i = 0; i < s->remap->n; i++)
		s->seen[i] |= s->remap->entries[i].cookie == cookie &&
			      s->remap->entries[i].real_port == port;
}

/* Forget sockets of @protocol that are gone. Where the kernel does not tell, nothing is forgotten. */
static void sweep_locked(struct remap *r, int protocol)
{
	struct sweep *s = calloc(1, sizeof(*s));
	bool changed = false;

	if (!s)
		return;
	s->remap = r;
	if (sock_diag_each(protocol, see, s) == 0) {
		for (size_t i = 0; i < r->n; i++) {
			if (r->entries[i].protocol != protocol || s->seen[i])
				continue;
			changed |= differs(&r->entries[i]);
			r->entries[i].cookie = 0;
		}
	}
	if (changed)
		note_change_locked(r);
	free(s);
}

static struct entry *free_one_locked(struct remap *r)
{
	for (size_t i = 0; i < r->n; i++) {
		if (!r->entries[i].cookie)
			return &r->entries[i];
	}
	return r->entries && r->n < REMAP_PORTS_MAX ? &r->entries[r->n++] : NULL;
}

/* A place for one more; NULL: all are in use. */
static struct entry *place_locked(struct remap *r)
{
	struct entry *e;

	if (!r->entries)
		r->entries = calloc(REMAP_PORTS_MAX, sizeof(*r->entries));
	e = free_one_locked(r);
	if (e || !r->entries)
		return e;
	sweep_locked(r, IPPROTO_TCP);
	sweep_locked(r, IPPROTO_UDP);
	return free_one_locked(r);
}

/* The sandbox's own socket with virtual port @port that gets what is sent to @host. */
static struct entry *own_locked(struct remap *r, int protocol, const struct in6_addr *host,
				uint16_t port)
{
	for (size_t i = 0; i < r->n; i++) {
		struct entry *e = &r->entries[i];

		if (e->cookie && e->protocol == protocol && e->virtual_port == port &&
		    overlaps(&e->address, host))
			return e;
	}
	return NULL;
}

/* ---- bind ---- */

static int bind_at(int sock, const struct sockaddr_storage *addr, socklen_t len, uint16_t port)
{
	struct sockaddr_storage at = *addr;

	*port_in(&at) = htons(port);
	return bind(sock, (const struct sockaddr *)&at, len) < 0 ? -errno : 0;
}

/* @virtual_port 0: the real one. In the place of @old, where that is not NULL. */
static void remember_locked(struct remap *r, int sock, int protocol, uint16_t virtual_port,
			    struct entry *old)
{
	struct sockaddr_storage own = { 0 };
	socklen_t size = sizeof(own);
	struct entry *e = old ? old : place_locked(r);
	struct stat st;
	bool changes;
	uint16_t port;

	if (!e || getsockname(sock, (struct sockaddr *)&own, &size) < 0 || fstat(sock, &st) < 0)
		return;
	changes = differs(e);
	port = ntohs(port_of(&own));
	*e = (struct entry){
		.cookie = sockopt_cookie(sock),
		.inode = st.st_ino,
		.protocol = protocol,
		.virtual_port = virtual_port ? virtual_port : port,
		.real_port = port,
		.address = host_in(&own),
	};
	if (changes || differs(e))
		note_change_locked(r);
}

/* A socket that shares its port with nobody has it alone. */
static bool shares(int sock)
{
	return sockopt_get(sock, SO_REUSEADDR) || sockopt_get(sock, SO_REUSEPORT);
}

/*
 * A port that the sandbox has itself is the real one of who has it: in use, but for who shares it. One that somebody else has becomes any that is free. One of the
 * kernel's choice (0) is remembered as well: who asks for it next finds it in use.
 */
static int bind_locked(struct remap *r, int sock, int protocol, const struct sockaddr_storage *addr,
		       socklen_t len)
{
	const struct in6_addr host = host_in(addr);
	const uint16_t port = ntohs(port_of(addr));
	struct entry *own = port ? own_locked(r, protocol, &host, port) : NULL;
	int e = bind_at(sock, addr, len, own ? own->real_port : port);

	if (e == -EADDRINUSE && own) {
		sweep_locked(r, protocol); /* is it the sandbox that has it still? */
		own = own_locked(r, protocol, &host, port);
		if (own)
			return e;
		e = bind_at(sock, addr, len, port);
	}
	if (e == -EADDRINUSE && port)
		e = bind_at(sock, addr, len, 0);
	if (e == 0)
		remember_locked(r, sock, protocol, port, own && !shares(sock) ? own : NULL);
	return e;
}

int remap_bind(struct remap *r, int sock, const struct sockaddr_storage *addr, socklen_t len)
{
	int protocol = protocol_of(sock), e;

	if (!protocol || len < sizeof(struct sockaddr_in))
		return bind(sock, (const struct sockaddr *)addr, len) < 0 ? -errno : 0;
	pthread_mutex_lock(&r->lock);
	e = bind_locked(r, sock, protocol, addr, len);
	pthread_mutex_unlock(&r->lock);
	return e;
}

/* ---- destinations ---- */

/* Is it the kernel's own machine that @host names, so that a socket of the sandbox may be meant? */
static bool is_loopback(const struct in6_addr *host)
{
	return IN6_IS_ADDR_LOOPBACK(host) ||
	       (IN6_IS_ADDR_V4MAPPED(host) && host->s6_addr[12] == 127);
}

/* Who gets what @sock sends, or its connection, will ask where that comes from. */
static void note_reach_locked(struct remap *r, int sock)
{
	struct entry *e = by_cookie_locked(r, sockopt_cookie(sock));

	if (!e || e->reaches)
		return;
	e->reaches = true;
	if (differs(e))
		note_change_locked(r);
}

void remap_destination(struct remap *r, int sock, struct sockaddr_storage *addr, socklen_t len)
{
	const struct in6_addr host = host_in(addr);
	int protocol = protocol_of(sock);
	struct entry *e;

	if (!protocol || len < sizeof(struct sockaddr_in) || !is_loopback(&host))
		return;
	pthread_mutex_lock(&r->lock);
	note_reach_locked(r, sock);
	e = own_locked(r, protocol, &host, ntohs(port_of(addr)));
	if (e && differs(e)) {
		if (sock_diag_serves(protocol, &e->address, e->real_port, e->cookie) > 0)
			*port_in(addr) = htons(e->real_port);
	}
	pthread_mutex_unlock(&r->lock);
}

/* ---- what is shown ---- */

/* The socket of the sandbox that has real port @port, which is another one than it shows, at @host. */
static const struct entry *differing_locked(const struct remap *r, int protocol,
					    const struct in6_addr *host, uint16_t port)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct entry *e = &r->entries[i];

		if (differs(e) && e->protocol == protocol && e->real_port == port &&
		    overlaps(&e->address, host))
			return e;
	}
	return NULL;
}

/*
 * Whose port @addr has: @own, which is of the socket itself, or one that is there: of a peer, or of the listener of a connection that was accepted. NULL: it is shown as
 * it is.
 */
static const struct entry *shown_locked(const struct remap *r, const struct entry *own,
					int protocol, bool peer, const struct in6_addr *host,
					uint16_t port)
{
	if (!peer && own)
		return own;
	return peer && !is_loopback(host) ? NULL : differing_locked(r, protocol, host, port);
}

void remap_show(struct remap *r, int sock, bool peer, struct sockaddr_storage *addr, socklen_t len)
{
	struct in6_addr host;
	const struct entry *e;

	if (len < sizeof(struct sockaddr_in) ||
	    (addr->ss_family != AF_INET && addr->ss_family != AF_INET6))
		return;
	host = host_in(addr);
	pthread_mutex_lock(&r->lock);
	e = shown_locked(r, peer ? NULL : by_cookie_locked(r, sockopt_cookie(sock)),
			 protocol_of(sock), peer, &host, ntohs(port_of(addr)));
	if (e)
		*port_in(addr) = htons(e->virtual_port);
	pthread_mutex_unlock(&r->lock);
}

uint16_t remap_port_of_inode(struct remap *r, int protocol, uint64_t inode, bool peer,
			     const struct in6_addr *host, uint16_t port)
{
	const struct entry *e, *own = NULL;

	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; !peer && i < r->n; i++) {
		e = &r->entries[i];
		if (e->cookie && e->inode == inode && e->protocol == protocol &&
		    e->real_port == port)
			own = e;
	}
	e = shown_locked(r, own, protocol, peer, host, port);
	port = e ? e->virtual_port : port;
	pthread_mutex_unlock(&r->lock);
	return port;
}

/* ---- peers ---- */

static _Atomic bool *hint(struct remap *r, int protocol)
{
	return protocol == IPPROTO_UDP ? &r->udp_differs : &r->tcp_differs;
}

bool remap_peers_may_differ(struct remap *r, int protocol)
{
	return atomic_load(hint(r, protocol));
}

bool remap_peers_differ(struct remap *r, int protocol, int sock)
{
	const uint64_t cookie = sockopt_cookie(sock), now_ns = clock_now_ns();
	uint64_t *swept_ns = &r->swept_ns[protocol == IPPROTO_UDP];
	bool found = false;

	pthread_mutex_lock(&r->lock);
	if (now_ns - *swept_ns >= SWEEP_NS) {
		*swept_ns = now_ns;
		sweep_locked(r, protocol);
	}
	for (size_t i = 0; !found && i < r->n; i++) {
		const struct entry *e = &r->entries[i];

		found = differs(e) && e->protocol == protocol && e->cookie != cookie &&
			(protocol == IPPROTO_UDP || e->reaches);
	}
	pthread_mutex_unlock(&r->lock);
	return found;
}

/* ---- all of it ---- */

size_t remap_list(struct remap *r, struct sluice_port *ret, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&r->lock);
	sweep_locked(r, IPPROTO_TCP);
	sweep_locked(r, IPPROTO_UDP);
	for (size_t i = 0; i < r->n; i++) {
		const struct entry *e = &r->entries[i];

		if (!differs(e))
			continue;
		if (n < max)
			ret[n] = (struct sluice_port){ e->protocol, e->virtual_port, e->real_port };
		n++;
	}
	pthread_mutex_unlock(&r->lock);
	return n;
}
