/* SPDX-License-Identifier: Apache-2.0 */
/*
 * B7: ways around an egress rule, and lengths that lie. Everything happens on loopback: 127.0.0.1 and ::1 are allowed or not, and so are ports.
 *
 * Each role gets "PORT" of a listener of the test (TCP, and UDP of the same number, on both families) and answers 0 or an errno.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

#define FLIPS 3000
#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0x20000000
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* ---- both sides ---- */

static socklen_t v4(struct sockaddr_storage *ret, const char *host, int port)
{
	struct sockaddr_in *sa = (struct sockaddr_in *)ret;

	memset(ret, 0, sizeof(*ret));
	sa->sin_family = AF_INET;
	sa->sin_port = htons((uint16_t)port);
	inet_pton(AF_INET, host, &sa->sin_addr);
	return sizeof(*sa);
}

static socklen_t v6(struct sockaddr_storage *ret, const char *host, int port)
{
	struct sockaddr_in6 *sa = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	sa->sin6_family = AF_INET6;
	sa->sin6_port = htons((uint16_t)port);
	inet_pton(AF_INET6, host, &sa->sin6_addr);
	return sizeof(*sa);
}

static int connect_with(int fd, const struct sockaddr_storage *sa, socklen_t len)
{
	return fd < 0 ? errno : connect(fd, (const struct sockaddr *)sa, len) < 0 ? errno : 0;
}

static int send_with(int fd, const struct sockaddr_storage *sa, socklen_t len)
{
	ssize_t n =
		fd < 0 ? -1 : sendto(fd, "x", 1, MSG_NOSIGNAL, (const struct sockaddr *)sa, len);

	return n < 0 ? errno : 0;
}

static int stream(int domain)
{
	return socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int datagram(int domain)
{
	return socket(domain, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* ---- inside: to the listener, each in its own spelling ---- */

static int guest_tcp4(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v4(&sa, "127.0.0.1", atoi(port));

	return connect_with(stream(AF_INET), &sa, len);
}

static int guest_tcp6(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v6(&sa, "::1", atoi(port));

	return connect_with(stream(AF_INET6), &sa, len);
}

static int guest_tcp_mapped(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v6(&sa, "::ffff:127.0.0.1", atoi(port));

	return connect_with(stream(AF_INET6), &sa, len);
}

static int guest_tcp_any4(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v4(&sa, "0.0.0.0", atoi(port));

	return connect_with(stream(AF_INET), &sa, len);
}

static int guest_tcp_any6(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v6(&sa, "::", atoi(port));

	return connect_with(stream(AF_INET6), &sa, len);
}

static int guest_tcp_nonblocking(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v4(&sa, "127.0.0.1", atoi(port));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), r = connect_with(fd, &sa, len);
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(r);

	if (r != EINPROGRESS)
		return r ? r : 201;
	return poll(&p, 1, 10000) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &r, &size) == 0
		       ? r
		       : 200;
}

static int guest_mptcp(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v4(&sa, "127.0.0.1", atoi(port));

	return connect_with(socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP), &sa, len);
}

static int guest_fastopen(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v4(&sa, "127.0.0.1", atoi(port));
	int fd = stream(AF_INET);

	if (fd < 0)
		return errno;
	return sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&sa, len) < 0
		       ? errno
		       : 0;
}

static int guest_fastopen_message(const char *port)
{
	struct sockaddr_storage sa;
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_name = &sa };
	int fd = stream(AF_INET);

	m.msg_namelen = v4(&sa, "127.0.0.1", atoi(port));
	if (fd < 0)
		return errno;
	return sendmsg(fd, &m, MSG_FASTOPEN | MSG_NOSIGNAL) < 0 ? errno : 0;
}

/* The first write connects. */
static int guest_fastopen_connect(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v4(&sa, "127.0.0.1", atoi(port));
	int fd = stream(AF_INET), one = 1, r;

	if (fd < 0 ||
	    setsockopt(fd, IPPROTO_TCP, 30 /* TCP_FASTOPEN_CONNECT */, &one, sizeof(one)) < 0)
		return errno;
	r = connect_with(fd, &sa, len);
	return r ? r : write(fd, "x", 1) == 1 ? 0 : errno;
}

/* A socket that was connected is disconnected, and connected elsewhere: the second one counts. */
static int guest_unspec(const char *port)
{
	struct sockaddr_storage sa = { .ss_family = AF_UNSPEC };
	int fd = datagram(AF_INET), r = connect_with(fd, &sa, sizeof(struct sockaddr_in));
	socklen_t len;

	if (r)
		return r;
	len = v4(&sa, "127.0.0.1", atoi(port));
	return connect_with(fd, &sa, len);
}

static int guest_udp4(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v4(&sa, "127.0.0.1", atoi(port));

	return send_with(datagram(AF_INET), &sa, len);
}

static int guest_udp6(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v6(&sa, "::1", atoi(port));

	return send_with(datagram(AF_INET6), &sa, len);
}

static int guest_udp_mapped(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v6(&sa, "::ffff:127.0.0.1", atoi(port));

	return send_with(datagram(AF_INET6), &sa, len);
}

/* By a socket of IPv6 to an address of IPv4. */
static int guest_udp_crossed(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v4(&sa, "127.0.0.1", atoi(port));

	return send_with(datagram(AF_INET6), &sa, len);
}

/* The kernel takes it for one of IPv4. */
static int guest_udp_no_family(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v4(&sa, "127.0.0.1", atoi(port));

	sa.ss_family = AF_UNSPEC;
	return send_with(datagram(AF_INET), &sa, len);
}

static int guest_udp_connected(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v4(&sa, "127.0.0.1", atoi(port));
	int fd = datagram(AF_INET), r = connect_with(fd, &sa, len);

	return r ? r : send(fd, "x", 1, 0) == 1 ? 0 : errno;
}

/* One allowed message (to port 9 of 127.0.0.2), and behind it one to the listener: 0 when the second went out too. */
static int guest_udp_second(const char *port)
{
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };
	struct sockaddr_storage sa[2];
	struct mmsghdr m[2] = { 0 };
	int fd = datagram(AF_INET);

	m[0].msg_hdr.msg_namelen = v4(&sa[0], "127.0.0.2", 9);
	m[1].msg_hdr.msg_namelen = v4(&sa[1], "127.0.0.1", atoi(port));
	for (int i = 0; i < 2; i++) {
		m[i].msg_hdr.msg_name = &sa[i];
		m[i].msg_hdr.msg_iov = &iov;
		m[i].msg_hdr.msg_iovlen = 1;
	}
	switch (fd < 0 ? -1 : sendmmsg(fd, m, 2, 0)) {
	case 2:
		return m[0].msg_len == 1 && m[1].msg_len == 1 ? 0 : 201;
	case 1:
		return EACCES;
	default:
		return errno == EACCES ? 202 : errno;
	}
}

/* The same, one after the other, however many the kernel takes at a time. */
static int guest_udp_all(const char *port)
{
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };
	struct sockaddr_storage sa[2];
	struct mmsghdr m[2] = { 0 };
	int fd = datagram(AF_INET), n;

	m[0].msg_hdr.msg_namelen = v4(&sa[0], "127.0.0.2", 9);
	m[1].msg_hdr.msg_namelen = v4(&sa[1], "127.0.0.1", atoi(port));
	for (int i = 0; i < 2; i++) {
		m[i].msg_hdr.msg_name = &sa[i];
		m[i].msg_hdr.msg_iov = &iov;
		m[i].msg_hdr.msg_iovlen = 1;
	}
	for (int done = 0; done < 2; done += n) {
		n = fd < 0 ? -1 : sendmmsg(fd, m + done, (unsigned)(2 - done), 0);
		if (n <= 0 || m[done].msg_len != 1)
			return n < 0 ? errno : 201;
	}
	return sendmmsg(fd, m, 0, 0) == 0 ? 0 : 202;
}

static int guest_udp_message(const char *port)
{
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };
	struct sockaddr_storage sa;
	struct msghdr m = { .msg_name = &sa, .msg_iov = &iov, .msg_iovlen = 1 };
	int fd = datagram(AF_INET);

	m.msg_namelen = v4(&sa, "127.0.0.1", atoi(port));
	return fd < 0 || sendmsg(fd, &m, 0) != 1 ? errno : 0;
}

/* A message whose route leads by way of the listener's address. */
static int guest_route(const char *port)
{
	static const unsigned char route[] = { 131, 7, 4, 127, 0, 0, 1, 0 }; /* LSRR */
	int fd = datagram(AF_INET);

	(void)port;
	return setsockopt(fd, IPPROTO_IP, IP_OPTIONS, route, sizeof(route)) < 0 ? errno : 0;
}

static int guest_route_message(const char *port)
{
	static const unsigned char route[] = { 131, 7, 4, 127, 0, 0, 1, 0 };
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(route))];
	} control = { .head = { .cmsg_len = CMSG_LEN(sizeof(route)),
				.cmsg_level = IPPROTO_IP,
				.cmsg_type = IP_RETOPTS } };
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };
	struct sockaddr_storage sa;
	struct msghdr m = { .msg_name = &sa,
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	int fd = datagram(AF_INET);

	m.msg_namelen = v4(&sa, "127.0.0.1", atoi(port));
	memcpy(CMSG_DATA(&control.head), route, sizeof(route));
	return fd < 0 || sendmsg(fd, &m, 0) < 0 ? errno : 0;
}

static int guest_raw(const char *port)
{
	(void)port;
	return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) < 0 ? errno : 0;
}

static int guest_bind(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v4(&sa, "127.0.0.3", atoi(port));
	int fd = stream(AF_INET);

	return fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0 ? errno : 0;
}

static int guest_bind_datagram(const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = v4(&sa, "127.0.0.3", atoi(port));
	int fd = datagram(AF_INET);

	return fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0 ? errno : 0;
}

/* The kernel finds a port for it. */
static int guest_listen(const char *port)
{
	int fd = stream(AF_INET);

	(void)port;
	return fd < 0 || listen(fd, 4) < 0 ? errno : 0;
}

/* Any but the one of routes, which is none of the kernel's: live/test-netlink. */
static int guest_netlink(const char *port)
{
	(void)port;
	for (int protocol = 1; protocol < 32; protocol++) {
		if (socket(AF_NETLINK, SOCK_RAW, protocol) >= 0 || errno != EACCES)
			return errno ? errno : 200;
	}
	return EACCES;
}

/* ---- inside: what can't be addresses ---- */

static int guest_lengths(const char *port)
{
	static const long lengths[] = { 0, 1, 2, 8, 15, 16, 23, 24, 28, 128, 129, 1L << 31, -1 };
	struct sockaddr_storage sa;

	v4(&sa, "127.0.0.1", atoi(port));
	for (size_t i = 0; i < N_OF(lengths); i++) {
		int fd = stream(AF_INET), udp = datagram(AF_INET), udp6 = datagram(AF_INET6);

		printf("%ld: %d", lengths[i],
		       syscall(SYS_connect, fd, &sa, lengths[i]) < 0 ? errno : 0);
		printf(" %d", syscall(SYS_connect, udp, &sa, lengths[i]) < 0 ? errno : 0);
		printf(" %d", syscall(SYS_sendto, datagram(AF_INET), "x", 1, 0, &sa, lengths[i]) < 0
				      ? errno
				      : 0);
		printf(" %d",
		       syscall(SYS_sendto, udp6, "x", 1, 0, &sa, lengths[i]) < 0 ? errno : 0);
		printf(" %d\n", syscall(SYS_bind, stream(AF_INET), &sa,
					lengths[i] == 16 ? 1 : lengths[i]) < 0
					? errno
					: 0);
		close(fd);
		close(udp);
		close(udp6);
	}
	printf("nowhere: %d %d %d\n", syscall(SYS_connect, stream(AF_INET), 8, 16) < 0 ? errno : 0,
	       syscall(SYS_sendto, datagram(AF_INET), "x", 1, 0, 8, 16) < 0 ? errno : 0,
	       syscall(SYS_bind, stream(AF_INET), NULL, 16) < 0 ? errno : 0);
	return fflush(stdout) ? 200 : 0;
}

/* What messages give that are not as they should be. */
static void say_message(const char *what, int fd, struct msghdr *m)
{
	ssize_t n = sendmsg(fd, m, MSG_NOSIGNAL);

	printf("%s: %zd %d\n", what, n, n < 0 ? errno : 0);
}

static int guest_messages(const char *port)
{
	static struct iovec many[1025];
	static char control[2048], big[70000];
	struct iovec one = { (void *)(uintptr_t) "x", 1 }, large = { big, sizeof(big) };
	struct sockaddr_storage sa;
	struct msghdr m = { .msg_name = &sa, .msg_iov = &one, .msg_iovlen = 1 }, good;
	struct cmsghdr *c = (struct cmsghdr *)control;
	int fd = datagram(AF_INET), pair[2];

	m.msg_namelen = v4(&sa, "127.0.0.1", atoi(port));
	good = m;
	if (fd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return 200;
	for (size_t i = 0; i < N_OF(many); i++)
		many[i] = (struct iovec){ big + i, 1 };
	say_message("good", fd, &m);
	m.msg_iov = many;
	m.msg_iovlen = 1024;
	say_message("1024 pieces", fd, &m);
	m.msg_iovlen = 1025;
	say_message("1025 pieces", fd, &m);
	m = good;
	m.msg_iovlen = 0;
	say_message("empty", fd, &m);
	m = good;
	m.msg_iov = &large;
	say_message("too large", fd, &m);
	m = good;
	m.msg_iov = (void *)8;
	say_message("pieces nowhere", fd, &m);
	m = good;
	one.iov_base = (void *)8;
	say_message("piece nowhere", fd, &m);
	one = (struct iovec){ big, (size_t)-1 };
	say_message("piece of no size", fd, &m);
	one = (struct iovec){ (void *)(uintptr_t) "x", 1 };
	m.msg_namelen = (socklen_t)-1;
	say_message("name of a negative length", fd, &m);
	m = good;
	m.msg_name = NULL;
	say_message("no name", fd, &m);
	m = good;
	m.msg_control = control;
	m.msg_controllen = sizeof(control);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = sizeof(control) + 1;
	say_message("control that is longer than there is", pair[0], &m);
	c->cmsg_len = 1;
	say_message("control that is shorter than its head", pair[0], &m);
	c->cmsg_len = CMSG_LEN(sizeof(int));
	m.msg_controllen = CMSG_SPACE(sizeof(int));
	m.msg_name = NULL;
	m.msg_namelen = 0;
	memcpy(CMSG_DATA(c), &(int){ 999 }, sizeof(int));
	say_message("a descriptor that is not there", pair[0], &m);
	memcpy(CMSG_DATA(c), &(int){ -1 }, sizeof(int));
	say_message("a negative descriptor", pair[0], &m);
	printf("message nowhere: %ld\n", syscall(SYS_sendmsg, fd, 8, 0) < 0 ? (long)errno : 0);
	printf("messages nowhere: %ld\n", syscall(SYS_sendmmsg, fd, 8, 3, 0) < 0 ? (long)errno : 0);
	printf("closed: %ld\n", syscall(SYS_sendmsg, 999, &good, 0) < 0 ? (long)errno : 0);
	return fflush(stdout) ? 201 : 0;
}

/* ---- inside: the race ---- */

static struct sockaddr_in flipping;
static _Atomic int flip_done;

static void *flip(void *other)
{
	const uint32_t a = flipping.sin_addr.s_addr, b = *(const uint32_t *)other;

	for (size_t i = 0; !atomic_load(&flip_done); i++)
		*(volatile uint32_t *)&flipping.sin_addr.s_addr = i % 2 ? a : b;
	return NULL;
}

/* The address of a connect is 127.0.0.2 (allowed) and 127.0.0.1 (not) by turns: 0 when the latter was never connected to. */
static int guest_race(const char *port)
{
	uint32_t other = htonl(0x7f000001);
	pthread_t thread;
	int bad = 0;

	flipping = (struct sockaddr_in){ .sin_family = AF_INET,
					 .sin_port = htons((uint16_t)atoi(port)) };
	flipping.sin_addr.s_addr = htonl(0x7f000002);
	if (pthread_create(&thread, NULL, flip, &other))
		return 200;
	for (int i = 0; i < FLIPS && !bad; i++) {
		struct sockaddr_in peer;
		socklen_t len = sizeof(peer);
		int fd = datagram(AF_INET);

		if (connect(fd, (struct sockaddr *)&flipping, sizeof(flipping)) == 0 &&
		    getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
			bad = peer.sin_addr.s_addr == other;
		close(fd);
	}
	atomic_store(&flip_done, 1);
	pthread_join(thread, NULL);
	return bad;
}

/* A descriptor is a Unix socket and a datagram socket by turns, while messages with an address are sent by it. */
static int swapped[3];

static void *swap(void *arg)
{
	(void)arg;
	for (size_t i = 0; !atomic_load(&flip_done); i++)
		dup2(swapped[1 + i % 2], swapped[0]);
	return NULL;
}

static int guest_swap(const char *port)
{
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };
	struct sockaddr_storage sa;
	struct msghdr m = { .msg_name = &sa, .msg_iov = &iov, .msg_iovlen = 1 };
	pthread_t thread;
	int pair[2];

	m.msg_namelen = v4(&sa, "127.0.0.1", atoi(port));
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return 200;
	swapped[1] = pair[0];
	swapped[2] = datagram(AF_INET);
	swapped[0] = dup(pair[0]);
	if (swapped[2] < 0 || pthread_create(&thread, NULL, swap, NULL))
		return 201;
	for (int i = 0; i < FLIPS; i++)
		sendmsg(swapped[0], &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	atomic_store(&flip_done, 1);
	pthread_join(thread, NULL);
	return 0;
}

/* The same while it is bound to a port: 0 when the datagram socket never got it. */
static int guest_swap_bind(const char *port)
{
	struct sockaddr_storage sa, own = { 0 };
	socklen_t len = v4(&sa, "127.0.0.3", atoi(port)), size = sizeof(own);
	pthread_t thread;
	bool got = false;

	swapped[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	swapped[2] = datagram(AF_INET);
	swapped[0] = dup(swapped[1]);
	if (swapped[1] < 0 || swapped[2] < 0 || pthread_create(&thread, NULL, swap, NULL))
		return 200;
	for (int i = 0; i < FLIPS && !got; i++) {
		bind(swapped[0], (struct sockaddr *)&sa, len);
		size = sizeof(own);
		if (getsockname(swapped[2], (struct sockaddr *)&own, &size) == 0)
			got = ((struct sockaddr_in *)&own)->sin_port != 0;
	}
	atomic_store(&flip_done, 1);
	pthread_join(thread, NULL);
	return got;
}

/* ---- inside: beside it ---- */

/* A Unix socket with a name in DIR, an abstract one and one that gets its name from the kernel, bound and connected to. */
static int guest_unix(const char *dir)
{
	struct sockaddr_un named = { .sun_family = AF_UNIX }, own;
	struct sockaddr_un abstract = { .sun_family = AF_UNIX };
	const struct {
		const struct sockaddr_un *sun;
		socklen_t len;
	} names[] = { { &named, sizeof(named) },
		      { &abstract, offsetof(struct sockaddr_un, sun_path) + 9 },
		      { &abstract, sizeof(sa_family_t) } };
	char byte = 'x';

	snprintf(named.sun_path, sizeof(named.sun_path), "%s/s", dir);
	snprintf(abstract.sun_path + 1, sizeof(abstract.sun_path) - 1, "%08d", getpid());
	for (size_t i = 0; i < N_OF(names); i++) {
		int listener = stream(AF_UNIX), client = stream(AF_UNIX), served;
		socklen_t len = sizeof(own);

		if (bind(listener, (const struct sockaddr *)names[i].sun, names[i].len) < 0 ||
		    listen(listener, 4) < 0 ||
		    getsockname(listener, (struct sockaddr *)&own, &len) < 0 ||
		    connect(client, (struct sockaddr *)&own, len) < 0)
			return errno;
		if (i == 0 && strcmp(own.sun_path, named.sun_path) != 0)
			return 200;
		served = accept(listener, NULL, NULL);
		if (write(client, &byte, 1) != 1 || read(served, &byte, 1) != 1)
			return 201;
		close(listener);
		close(client);
		close(served);
	}
	return unlink(named.sun_path) < 0 ? errno : 0;
}

/* ---- inside: as the kernel ---- */

/* A write to a stream that was shut down: the signal of it, or (MSG_NOSIGNAL) none. */
static int guest_pipe_signal(const char *flags)
{
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return 200;
	close(pair[1]);
	return sendmsg(pair[0], &m, atoi(flags)) < 0 ? errno : 0;
}

/* Descriptors and bytes go along as they would. */
static int guest_rights(const char *arg)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control = { .head = { .cmsg_len = CMSG_LEN(2 * sizeof(int)),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS } };
	char bytes[6] = "";
	struct iovec iov[2] = { { (void *)(uintptr_t) "two", 3 }, { (void *)(uintptr_t) "1", 1 } },
		     to = { bytes, sizeof(bytes) };
	struct msghdr m = { .msg_iov = iov,
			    .msg_iovlen = 2,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	int pair[2], ends[2], got[2];

	(void)arg;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0 || pipe(ends) < 0)
		return 200;
	memcpy(CMSG_DATA(&control.head), ends, sizeof(ends));
	if (sendmsg(pair[0], &m, 0) != 4)
		return errno;
	m.msg_iov = &to;
	m.msg_iovlen = 1;
	if (recvmsg(pair[1], &m, 0) != 4 || strcmp(bytes, "two1") != 0 ||
	    m.msg_controllen < CMSG_LEN(sizeof(got)))
		return 201;
	memcpy(got, CMSG_DATA(&control.head), sizeof(got));
	return write(got[1], "!", 1) == 1 && read(ends[0], bytes, 1) == 1 ? 0 : 202;
}

/* A stream that is full takes the rest once somebody reads: 4 MiB in one call. */
static void *drain(void *fd)
{
	static char buf[65536];
	size_t all = 0;
	ssize_t n;

	while ((n = read(*(int *)fd, buf, sizeof(buf))) > 0)
		all += (size_t)n;
	return (void *)(uintptr_t)all;
}

static int guest_long_stream(const char *arg)
{
	const size_t size = 4 << 20;
	struct iovec iov = { calloc(1, size), size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	pthread_t thread;
	void *all;
	int pair[2];

	(void)arg;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 ||
	    pthread_create(&thread, NULL, drain, &pair[1]))
		return 200;
	if (sendmsg(pair[0], &m, 0) != (ssize_t)size)
		return 201;
	close(pair[0]);
	pthread_join(thread, &all);
	return (uintptr_t)all == size ? 0 : 202;
}

/* A connect that nobody answers ends after SO_SNDTIMEO, with what the kernel says then. */
static int guest_timeout(const char *port)
{
	const struct timeval tv = { .tv_usec = 100000 };
	struct sockaddr_storage sa;
	socklen_t len = v4(&sa, "127.0.0.1", atoi(port));
	int fd = stream(AF_INET);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		return 200;
	return connect_with(fd, &sa, len);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* It ends with a signal: EINTR without SA_RESTART. */
static int guest_interrupted(const char *port)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct sockaddr_storage sa;
	socklen_t len = v4(&sa, "127.0.0.1", atoi(port));

	sigaction(SIGALRM, &action, NULL);
	ualarm(100000, 0);
	return connect_with(stream(AF_INET), &sa, len);
}

static const struct guest_role roles[] = {
	{ "tcp4", guest_tcp4 },
	{ "tcp6", guest_tcp6 },
	{ "tcp-mapped", guest_tcp_mapped },
	{ "tcp-any4", guest_tcp_any4 },
	{ "tcp-any6", guest_tcp_any6 },
	{ "tcp-nonblocking", guest_tcp_nonblocking },
	{ "mptcp", guest_mptcp },
	{ "fastopen", guest_fastopen },
	{ "fastopen-message", guest_fastopen_message },
	{ "fastopen-connect", guest_fastopen_connect },
	{ "unspec", guest_unspec },
	{ "udp4", guest_udp4 },
	{ "udp6", guest_udp6 },
	{ "udp-mapped", guest_udp_mapped },
	{ "udp-crossed", guest_udp_crossed },
	{ "udp-no-family", guest_udp_no_family },
	{ "udp-connected", guest_udp_connected },
	{ "udp-second", guest_udp_second },
	{ "udp-all", guest_udp_all },
	{ "udp-message", guest_udp_message },
	{ "route", guest_route },
	{ "route-message", guest_route_message },
	{ "raw", guest_raw },
	{ "bind", guest_bind },
	{ "bind-datagram", guest_bind_datagram },
	{ "listen", guest_listen },
	{ "netlink", guest_netlink },
	{ "lengths", guest_lengths },
	{ "messages", guest_messages },
	{ "race", guest_race },
	{ "swap", guest_swap },
	{ "swap-bind", guest_swap_bind },
	{ "unix", guest_unix },
	{ "pipe-signal", guest_pipe_signal },
	{ "rights", guest_rights },
	{ "long-stream", guest_long_stream },
	{ "timeout", guest_timeout },
	{ "interrupted", guest_interrupted },
	{ NULL, NULL },
};

/* ---- the test's side ---- */

/* Listeners and datagram sockets of one number on all local addresses of both families. */
struct place {
	int tcp, udp, port;
	char text[16];
};

/* "::" with both families. */
static int bound(int type, int port)
{
	struct sockaddr_storage sa;
	socklen_t len = v6(&sa, "::", port);
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), zero = 0;

	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (fd >= 0 && bind(fd, (struct sockaddr *)&sa, len) == 0)
		return fd;
	close(fd);
	return -1;
}

static struct place place_open(void)
{
	for (int tries = 0; tries < 100; tries++) {
		struct place p = { .tcp = bound(SOCK_STREAM, 0) };
		struct sockaddr_in6 sa;
		socklen_t len = sizeof(sa);

		assert_true(p.tcp >= 0);
		assert_int_equal(getsockname(p.tcp, (struct sockaddr *)&sa, &len), 0);
		p.port = ntohs(sa.sin6_port);
		p.udp = bound(SOCK_DGRAM, p.port);
		if (p.udp >= 0 && listen(p.tcp, 64) == 0) {
			snprintf(p.text, sizeof(p.text), "%d", p.port);
			return p;
		}
		close(p.tcp);
	}
	fail_msg("no port that is free for tcp and udp");
	return (struct place){ 0 };
}

/* Did anything reach it? Taken out. */
static bool place_was_reached(const struct place *p)
{
	bool reached = false;
	char buf[8];
	int fd;

	while ((fd = accept(p->tcp, NULL, NULL)) >= 0) {
		reached = true;
		close(fd);
	}
	while (recv(p->udp, buf, sizeof(buf), MSG_DONTWAIT) >= 0)
		reached = true;
	return reached;
}

static void place_close(struct place *p)
{
	close(p->tcp);
	close(p->udp);
}

/* A policy with these rules, NULL at the end. */
static struct sluice_policy *rules(const char *const *targets, const char *binds)
{
	struct sluice_policy *p = guest_policy();

	for (; *targets; targets++)
		assert_int_equal(sluice_policy_allow_net(p, *targets, NULL), 0);
	if (binds)
		assert_int_equal(sluice_policy_allow_bind(p, binds, NULL), 0);
	return p;
}

static const char *const everything[] = { "tcp://*", "udp://*", "icmp://*", NULL };
/* All protocols may be used, but not to where the listener is. */
static const char *const elsewhere[] = { "tcp://127.0.0.2", "udp://127.0.0.2", "tcp://10.0.0.0/8",
					 "udp://2001:db8::/32", NULL };

/* Each way, where it is allowed, and where not. */
static const struct way {
	const char *role;
	int allowed, refused;
	bool reaches; /* the listener, where it is allowed */
} ways[] = {
	{ "tcp4", 0, EACCES, true },
	{ "tcp6", 0, EACCES, true },
	{ "tcp-mapped", 0, EACCES, true },
	{ "tcp-any4", 0, EACCES, true },
	{ "tcp-any6", 0, EACCES, true },
	{ "tcp-nonblocking", 0, EACCES, true },
	{ "mptcp", EPROTONOSUPPORT, EPROTONOSUPPORT, false },
	{ "fastopen", EOPNOTSUPP, EOPNOTSUPP, false },
	{ "fastopen-message", EOPNOTSUPP, EOPNOTSUPP, false },
	{ "fastopen-connect", 0, EACCES, true },
	{ "unspec", 0, EACCES, false },
	{ "udp4", 0, EACCES, true },
	{ "udp6", 0, EACCES, true },
	{ "udp-mapped", 0, EACCES, true },
	{ "udp-crossed", 0, EACCES, true },
	{ "udp-no-family", 0, EACCES, true },
	{ "udp-connected", 0, EACCES, true },
	{ "udp-second", 0, EACCES, true },
	{ "udp-all", 0, EACCES, true },
	{ "udp-message", 0, EACCES, true },
	{ "route", EPERM, EPERM, false },
	{ "route-message", EPERM, EPERM, false },
	{ "raw", EPERM, EPERM, false },
	{ "netlink", EACCES, EACCES, false },
};

/* What is carried out takes the task's socket. */
static bool needs_socket(const char *role)
{
	return strcmp(role, "mptcp") != 0 && strcmp(role, "fastopen") != 0 &&
	       strcmp(role, "fastopen-message") != 0 && strcmp(role, "route") != 0 &&
	       strcmp(role, "raw") != 0 && strcmp(role, "netlink") != 0;
}

static void judged(const struct way *w, const struct place *p, bool tree)
{
	struct sluice_policy *open = rules(everything, NULL), *shut = rules(elsewhere, NULL);
	bool can = guest_descriptors_can_be_got() || !needs_socket(w->role);
	int allowed, refused;

	if (tree) {
		assert_int_equal(sluice_policy_set_chroot(open, ROOT_BY_ANOTHER_NAME, NULL), 0);
		assert_int_equal(sluice_policy_set_chroot(shut, ROOT_BY_ANOTHER_NAME, NULL), 0);
	}
	allowed = guest_inside(open, w->role, p->text);
	if (can && allowed != w->allowed)
		fail_msg("%s where it is allowed: %d", w->role, allowed);
	if (can && place_was_reached(p) != w->reaches)
		fail_msg("%s where it is allowed: the listener says otherwise", w->role);
	refused = guest_inside(shut, w->role, p->text);
	if (can && refused != w->refused)
		fail_msg("%s where it is not: %d", w->role, refused);
	if (place_was_reached(p))
		fail_msg("%s where it is not: it reached the listener", w->role);
	sluice_policy_unref(open);
	sluice_policy_unref(shut);
}

/* In the host's tree, and with a root of one's own. */
static void hazard_B7_every_way_is_judged(void **state)
{
	struct place p = place_open();

	(void)state;
	for (size_t i = 0; i < 2 * N_OF(ways); i++)
		judged(&ways[i / 2], &p, i % 2);
	place_close(&p);
}

/* Without a rule there is no network, and with one on ports alone nobody may be connected to. */
static void hazard_B7_nothing_without_a_rule(void **state)
{
	static const char *const none[] = { NULL };
	struct place p = place_open();

	(void)state;
	assert_int_equal(guest_bare("tcp4", p.text), 0);
	assert_int_equal(guest_bare("udp4", p.text), 0);
	assert_true(place_was_reached(&p));
	for (size_t i = 0; i < 2; i++) {
		struct sluice_policy *policy = rules(none, i ? "0" : NULL);

		assert_int_equal(guest_inside(policy, "tcp4", p.text), EACCES);
		assert_int_equal(guest_inside(policy, "udp4", p.text), EACCES);
		sluice_policy_unref(policy);
	}
	assert_false(place_was_reached(&p));
	place_close(&p);
}

/* A protocol that is not named has no sockets; one that is, by its own rule only. */
static void hazard_B7_protocols_are_apart(void **state)
{
	static const char *const tcp[] = { "tcp://127.0.0.1", NULL };
	static const char *const both[] = { "tcp://127.0.0.1", "udp://127.0.0.2", NULL };
	struct place p = place_open();
	struct sluice_policy *one = rules(tcp, NULL), *two = rules(both, NULL);

	(void)state;
	if (guest_descriptors_can_be_got()) {
		assert_int_equal(guest_inside(one, "tcp4", p.text), 0);
		assert_int_equal(guest_inside(two, "tcp4", p.text), 0);
	}
	assert_true(place_was_reached(&p) == guest_descriptors_can_be_got());
	assert_int_equal(guest_inside(one, "udp4", p.text), EACCES);
	assert_int_equal(guest_inside(two, "udp4", p.text), EACCES);
	assert_false(place_was_reached(&p));
	sluice_policy_unref(one);
	sluice_policy_unref(two);
	place_close(&p);
}

static void hazard_B7_ports(void **state)
{
	struct place p = place_open();
	char right[64], wrong[64];
	const char *const rule_right[] = { right, NULL }, *const rule_wrong[] = { wrong, NULL };
	struct sluice_policy *open, *shut;

	(void)state;
	snprintf(right, sizeof(right), "127.0.0.1:1,%d", p.port);
	snprintf(wrong, sizeof(wrong), "127.0.0.1:1-%d,%d-65535", p.port - 1, p.port + 1);
	open = rules(rule_right, NULL);
	shut = rules(rule_wrong, NULL);
	if (guest_descriptors_can_be_got())
		assert_int_equal(guest_inside(open, "tcp4", p.text), 0);
	assert_true(place_was_reached(&p) == guest_descriptors_can_be_got());
	assert_int_equal(guest_inside(shut, "tcp4", p.text), EACCES);
	assert_false(place_was_reached(&p));
	sluice_policy_unref(open);
	sluice_policy_unref(shut);
	place_close(&p);
}

/* All but what is denied. */
static void hazard_B7_denied_addresses(void **state)
{
	struct sluice_policy *policy = guest_policy();
	struct place p = place_open();

	(void)state;
	assert_int_equal(sluice_policy_deny_net(policy, "10.0.0.0/8", NULL), 0);
	if (guest_descriptors_can_be_got()) {
		assert_int_equal(guest_inside(policy, "tcp4", p.text), 0);
		assert_int_equal(guest_inside(policy, "udp6", p.text), 0);
	}
	place_was_reached(&p);
	assert_int_equal(sluice_policy_deny_net(policy, "127.0.0.0/8", NULL), 0);
	assert_int_equal(guest_inside(policy, "tcp4", p.text), EACCES);
	assert_int_equal(guest_inside(policy, "tcp-mapped", p.text), EACCES);
	assert_int_equal(guest_inside(policy, "udp-no-family", p.text), EACCES);
	assert_false(place_was_reached(&p));
	assert_int_equal(sluice_policy_allow_net(policy, "10.0.0.1", NULL), -EINVAL);
	assert_int_equal(sluice_policy_deny_net(policy, "example.org", NULL), -EINVAL);
	sluice_policy_unref(policy);
	place_close(&p);
}

static void hazard_B7_bound_ports(void **state)
{
	static const char *const udp[] = { "udp://127.0.0.2", "tcp://127.0.0.2", NULL };
	static const char *const calls[] = { "bind", "bind-datagram" };
	struct sluice_policy *none = rules(udp, NULL), *all = rules(udp, "*"),
			     *free_ones = rules(udp, "0");
	struct place p = place_open();
	int port = p.port;
	char text[16];

	(void)state;
	place_close(&p); /* nobody has it now */
	snprintf(text, sizeof(text), "%d", port);
	for (size_t i = 0; i < N_OF(calls); i++) {
		assert_int_equal(guest_bare(calls[i], text), 0);
		if (guest_descriptors_can_be_got()) {
			assert_int_equal(guest_inside(all, calls[i], text), 0);
			assert_int_equal(guest_inside(free_ones, calls[i], "0"), 0);
		}
		assert_int_equal(guest_inside(none, calls[i], text), EACCES);
		assert_int_equal(guest_inside(none, calls[i], "0"), EACCES);
		assert_int_equal(guest_inside(free_ones, calls[i], text), EACCES);
	}
	if (guest_descriptors_can_be_got()) {
		assert_int_equal(guest_inside(free_ones, "listen", ""), 0);
		assert_int_equal(guest_inside(all, "listen", ""), 0);
	}
	assert_int_equal(guest_inside(none, "listen", ""), EACCES);
	sluice_policy_unref(none);
	sluice_policy_unref(all);
	sluice_policy_unref(free_ones);
}

/* ---- the rest ---- */

static void hazard_A3_lengths_and_messages_as_bare(void **state)
{
	static const char *const printing[] = { "lengths", "messages" };
	struct sluice_policy *policy = rules(everything, "*");
	struct place p = place_open();

	(void)state;
	for (size_t i = 0; guest_descriptors_can_be_got() && i < N_OF(printing); i++) {
		char *bare = guest_text(NULL, NULL, 0, printing[i], p.text),
		     *inside = guest_text(policy, NULL, 0, printing[i], p.text);

		assert_string_equal(inside, bare);
		free(bare);
		free(inside);
	}
	sluice_policy_unref(policy);
	place_close(&p);
}

static void hazard_A1_an_address_that_changes(void **state)
{
	struct sluice_policy *policy = rules(elsewhere, NULL);
	struct place p = place_open();

	(void)state;
	assert_int_equal(guest_inside(policy, "race", p.text), 0);
	assert_int_equal(guest_inside(policy, "swap", p.text), 0);
	assert_false(place_was_reached(&p));
	place_close(&p); /* nobody has the port now, and nobody may */
	assert_int_equal(guest_inside(policy, "swap-bind", p.text), 0);
	sluice_policy_unref(policy);
}

/* Rules of the network leave Unix sockets what they are, in either tree. */
static void hazard_C7_unix_sockets_beside_rules(void **state)
{
	const char *dir = guest_dir();

	(void)state;
	assert_int_equal(guest_bare("unix", dir), 0);
	for (int tree = 0; guest_descriptors_can_be_got() && tree < 2; tree++) {
		struct sluice_policy *policy = rules(everything, "*");

		assert_int_equal(guest_inside(policy, "unix", dir), EACCES);
		assert_int_equal(sluice_policy_allow_write(policy, dir, NULL), 0);
		if (tree)
			assert_int_equal(
				sluice_policy_set_chroot(policy, ROOT_BY_ANOTHER_NAME, NULL), 0);
		assert_int_equal(guest_inside(policy, "unix", dir), 0);
		sluice_policy_unref(policy);
	}
	guest_remove(dir);
}

/* ---- what an extra is told ---- */

struct listener_extra {
	int port;
	struct sluice_verdict verdict; /* on what leads to the listener */
	_Atomic int asked, others;
};

/* Whom the plan leads to. */
static struct sluice_verdict extra_handle(struct sluice_request *req, void *userdata)
{
	struct listener_extra *e = userdata;
	const struct sockaddr_in *sa;
	struct sluice_plan plan;

	sluice_request_plan(req, &plan);
	sa = plan.data;
	if (plan.kind == SLUICE_PLAN_ACT && plan.size == sizeof(*sa) && sa->sin_family == AF_INET &&
	    sa->sin_port == htons((uint16_t)e->port) &&
	    sa->sin_addr.s_addr == htonl(INADDR_LOOPBACK)) {
		atomic_fetch_add(&e->asked, 1);
		return e->verdict;
	}
	atomic_fetch_add(&e->others, 1);
	return sluice_continue();
}

static void an_extra_sees_where_it_leads(void **state)
{
	static const char *const calls[] = { "tcp4",	      "tcp-any4",    "udp4",
					     "udp-no-family", "udp-message", "udp-all" };
	struct sluice_policy *policy = rules(everything, NULL);
	struct place p = place_open();

	(void)state;
	for (size_t i = 0; guest_descriptors_can_be_got() && i < 2 * N_OF(calls); i++) {
		const char *role = calls[i / 2];
		const bool refused = i % 2;
		struct listener_extra e = {
			.port = p.port,
			.verdict = refused ? sluice_errno(EHOSTDOWN) : sluice_continue(),
		};
		const struct sluice_handler h[] = {
			sluice_handler_make("e", SYS_connect, extra_handle, &e),
			sluice_handler_make("e", SYS_sendto, extra_handle, &e),
			sluice_handler_make("e", SYS_sendmsg, extra_handle, &e),
			sluice_handler_make("e", SYS_sendmmsg, extra_handle, &e),
		};
		int r = guest_run(policy, h, N_OF(h), role, p.text).exit_code;

		if (r != (refused ? EHOSTDOWN : 0) || atomic_load(&e.asked) != 1)
			fail_msg("%s: %d, asked %d", role, r, atomic_load(&e.asked));
		assert_int_equal(place_was_reached(&p), !refused);
	}
	sluice_policy_unref(policy);
	place_close(&p);
}

static void hazard_C7_sends_as_the_kernel(void **state)
{
	static const char *const cases[][2] = { { "pipe-signal", "0" },
						{ "pipe-signal", "16384" },
						{ "rights", "" },
						{ "long-stream", "" } };
	struct sluice_policy *policy = rules(everything, NULL);

	(void)state;
	for (size_t i = 0; guest_descriptors_can_be_got() && i < N_OF(cases); i++)
		assert_int_equal(guest_inside(policy, cases[i][0], cases[i][1]),
				 guest_bare(cases[i][0], cases[i][1]));
	sluice_policy_unref(policy);
}

/* A listener whose backlog is full drops what comes: a connect waits. */
static void hazard_C4_a_connect_that_waits(void **state)
{
	struct sluice_policy *policy = rules(everything, NULL);
	struct place p = place_open();
	struct sockaddr_storage sa;
	socklen_t len = v4(&sa, "127.0.0.1", p.port);
	int full[8];

	(void)state;
	assert_int_equal(listen(p.tcp, 0), 0);
	for (size_t i = 0; i < N_OF(full); i++) {
		full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect_with(full[i], &sa, len);
	}
	if (guest_descriptors_can_be_got()) {
		assert_int_equal(guest_bare("timeout", p.text), EINPROGRESS);
		assert_int_equal(guest_inside(policy, "timeout", p.text), EINPROGRESS);
		assert_int_equal(guest_bare("interrupted", p.text), EINTR);
		assert_int_equal(guest_inside(policy, "interrupted", p.text), EINTR);
	}
	for (size_t i = 0; i < N_OF(full); i++)
		close(full[i]);
	sluice_policy_unref(policy);
	place_close(&p);
}

static void names_are_resolved_at_the_start(void **state)
{
	static const char *const local[] = { "localhost", NULL };
	struct sluice_policy *policy = rules(local, NULL), *nowhere = guest_policy();
	const char *const argv[] = { guest_program(), "--inside", "raw", "", NULL };
	struct sluice_error err = { 0 };
	struct place p = place_open();

	(void)state;
	if (guest_descriptors_can_be_got())
		assert_int_equal(guest_inside(policy, "tcp4", p.text), 0);
	assert_int_equal(sluice_policy_allow_net(nowhere, "no-such-name.invalid:80", NULL), 0);
	assert_true(sluice_run(nowhere, argv, NULL, &err) < 0);
	assert_non_null(strstr(err.text, "no-such-name.invalid"));
	sluice_policy_unref(policy);
	sluice_policy_unref(nowhere);
	place_close(&p);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_B7_every_way_is_judged),
		cmocka_unit_test(hazard_B7_nothing_without_a_rule),
		cmocka_unit_test(hazard_B7_protocols_are_apart),
		cmocka_unit_test(hazard_B7_ports),
		cmocka_unit_test(hazard_B7_denied_addresses),
		cmocka_unit_test(hazard_B7_bound_ports),
		cmocka_unit_test(hazard_A3_lengths_and_messages_as_bare),
		cmocka_unit_test(hazard_A1_an_address_that_changes),
		cmocka_unit_test(hazard_C7_unix_sockets_beside_rules),
		cmocka_unit_test(an_extra_sees_where_it_leads),
		cmocka_unit_test(hazard_C7_sends_as_the_kernel),
		cmocka_unit_test(hazard_C4_a_connect_that_waits),
		cmocka_unit_test(names_are_resolved_at_the_start),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
