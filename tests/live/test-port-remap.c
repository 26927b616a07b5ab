/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports that are taken: the command gets another one and sees the one that it asked for; nothing of it is left when a socket goes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

#define BINDS (20000 / GUEST_SLOW)

static struct sockaddr_in local(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

/* A socket of @type with that port; -1. */
static int bound(int type, int port)
{
	struct sockaddr_in sa = local(port);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	close(fd);
	return -1;
}

static int port_of(int fd, bool peer)
{
	struct sockaddr_in sa = { 0 };
	socklen_t len = sizeof(sa);
	int r = peer ? getpeername(fd, (struct sockaddr *)&sa, &len)
		     : getsockname(fd, (struct sockaddr *)&sa, &len);

	return r < 0 ? -1 : ntohs(sa.sin_port);
}

static int connected(int port)
{
	struct sockaddr_in sa = local(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -1 : fd;
}

/* ---- inside ---- */

/* A server and its client, which see port PORT everywhere. */
static int guest_serve(const char *arg)
{
	int port = atoi(arg), listener = bound(SOCK_STREAM, port), client, served;
	char buf[4];

	if (listener < 0 || listen(listener, 4) < 0)
		return errno;
	client = connected(port);
	served = accept(listener, NULL, NULL);
	if (client < 0 || served < 0 || write(client, "ping", 4) != 4 || read(served, buf, 4) != 4)
		return 201;
	return port_of(listener, false) == port && port_of(served, false) == port &&
			       port_of(client, true) == port
		       ? 0
		       : 202;
}

static int guest_datagrams(const char *arg)
{
	int port = atoi(arg), receiver = bound(SOCK_DGRAM, port),
	    sender = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in sa = local(port);
	struct pollfd p = { .fd = receiver, .events = POLLIN };
	char byte;

	if (receiver < 0)
		return errno;
	if (sendto(sender, "x", 1, 0, (struct sockaddr *)&sa, sizeof(sa)) != 1 ||
	    poll(&p, 1, 10000) != 1 || recv(receiver, &byte, 1, 0) != 1)
		return 201;
	return port_of(receiver, false) == port ? 0 : 202;
}

/* What the sandbox has itself is in use, whoever has it. */
static int guest_twice(const char *arg)
{
	int first = bound(SOCK_STREAM, atoi(arg)), second;

	if (first < 0 || listen(first, 1) < 0)
		return 200;
	second = bound(SOCK_STREAM, atoi(arg));
	if (second >= 0 || errno != EADDRINUSE)
		return 201;
	close(first);
	second = bound(SOCK_STREAM, atoi(arg));
	return second >= 0 && port_of(second, false) == atoi(arg) ? 0 : 202;
}

/* So is one of the kernel's choice. */
static int guest_chosen(const char *arg)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM };

	(void)arg;
	for (size_t i = 0; i < N_OF(types); i++) {
		int first = bound(types[i], 0), port = port_of(first, false), second;

		if (first < 0 || port <= 0)
			return 200;
		second = bound(types[i], port);
		if (second >= 0 || errno != EADDRINUSE)
			return 201;
		close(first);
		second = bound(types[i], port);
		if (second < 0 || port_of(second, false) != port)
			return 202;
	}
	return 0;
}

/* A connect to one's own server that somebody refuses: nothing comes to it. */
static int guest_refused(const char *arg)
{
	int port = atoi(arg), listener = bound(SOCK_STREAM, port);
	struct pollfd p = { .fd = listener, .events = POLLIN };

	if (listener < 0 || listen(listener, 4) < 0)
		return 200;
	if (connected(port) >= 0)
		return 201;
	return errno == EHOSTDOWN && poll(&p, 1, 0) == 0 ? 0 : 202;
}

/* Far more sockets, one after the other, than are kept; the last one stays until the input ends. */
static int guest_many(const char *arg)
{
	char byte;
	int fd = -1;

	for (int i = 0; i < BINDS; i++) {
		close(fd);
		fd = bound(i % 2 ? SOCK_DGRAM : SOCK_STREAM, atoi(arg));
		if (fd < 0)
			return errno;
		if ((i % 1000 == 0 || i == BINDS - 1) && port_of(fd, false) != atoi(arg))
			return 201;
	}
	return write(1, "!", 1) == 1 && read(0, &byte, 1) == 0 ? 0 : 202;
}

/* Says when it has the port, and, once it is told to, when it has it no more. */
static int guest_for_a_while(const char *arg)
{
	int fd = bound(SOCK_DGRAM, atoi(arg));
	char byte;

	if (fd < 0 || write(1, "!", 1) != 1 || read(0, &byte, 1) != 1)
		return 200;
	close(fd);
	return write(1, ".", 1) == 1 && read(0, &byte, 1) == 0 ? 0 : 201;
}

/* Says so, and serves until its input ends: one byte a connection. */
static int guest_stay(const char *arg)
{
	int listener = bound(SOCK_STREAM, atoi(arg)), fd;
	struct pollfd p[2] = { { .fd = listener, .events = POLLIN },
			       { .fd = 0, .events = POLLIN } };

	if (listener < 0 || listen(listener, 4) < 0 || write(1, "!", 1) != 1)
		return 200;
	while (poll(p, 2, -1) > 0 && !p[1].revents) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0 || write(fd, "s", 1) != 1)
			return 201;
		close(fd);
	}
	return 0;
}

/* ---- inside: addresses of peers ---- */

/* A client with port @port, connected to @listener, which leaves nothing behind when it is closed. */
static int client_of(int listener, int port)
{
	const struct linger at_once = { .l_onoff = 1 };
	struct sockaddr_in sa = local(port_of(listener, false));
	int fd = bound(SOCK_STREAM, port);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) < 0 ||
	    connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -1;
	return fd;
}

/* What accept4(2) says of a client with port @port: that port, and descriptors as they were asked for. */
static int accepts(int listener, int port, int flags)
{
	struct sockaddr_in sa = { 0 };
	socklen_t len = sizeof(sa);
	int client = client_of(listener, port), fd;

	if (client < 0)
		return errno;
	fd = flags ? accept4(listener, (struct sockaddr *)&sa, &len, flags)
		   : accept(listener, (struct sockaddr *)&sa, &len);
	if (fd < 0 || len != sizeof(sa) || sa.sin_addr.s_addr != htonl(INADDR_LOOPBACK))
		return 210;
	if (ntohs(sa.sin_port) != port || port_of(fd, true) != port)
		return 211;
	if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC) != !(flags & SOCK_CLOEXEC) ||
	    !(fcntl(fd, F_GETFL) & O_NONBLOCK) != !(flags & SOCK_NONBLOCK))
		return 212;
	if (write(client, "p", 1) != 1 || (fcntl(fd, F_SETFL, 0), read(fd, &sa, 1)) != 1)
		return 213;
	close(client);
	close(fd);
	return 0;
}

/* Where the address does not fit, and where it cannot be written. */
static int accepts_badly(int listener, int port)
{
	struct sockaddr_in sa = { .sin_addr.s_addr = 1 };
	socklen_t len = 4;
	int client = client_of(listener, port), fd;

	fd = accept(listener, (struct sockaddr *)&sa, &len);
	if (client < 0 || fd < 0 || len != sizeof(sa) || ntohs(sa.sin_port) != port ||
	    sa.sin_addr.s_addr != 1)
		return 220;
	close(fd);
	close(client);
	client = client_of(listener, port);
	/* by number: sanitizers look at what they are given themselves */
	if (client < 0 || syscall(SYS_accept, listener, &sa, 8) >= 0 || errno != EFAULT)
		return 221;
	close(client);
	return 0;
}

/* Nothing is taken for which there is no number, nor waited for where that is not asked. */
static int accepts_nothing(int listener, int port)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	struct rlimit old, none;
	int client, fd;

	fcntl(listener, F_SETFL, O_NONBLOCK);
	if (accept(listener, (struct sockaddr *)&sa, &len) >= 0 || errno != EAGAIN)
		return 230;
	client = client_of(listener, port);
	getrlimit(RLIMIT_NOFILE, &old);
	none = (struct rlimit){ (rlim_t)client + 1, old.rlim_max };
	if (client < 0 || setrlimit(RLIMIT_NOFILE, &none) < 0 ||
	    accept(listener, (struct sockaddr *)&sa, &len) >= 0 || errno != EMFILE)
		return 231;
	setrlimit(RLIMIT_NOFILE, &old);
	fd = accept(listener, (struct sockaddr *)&sa, &len);
	if (fd < 0 || ntohs(sa.sin_port) != port)
		return 232;
	close(fd);
	close(client);
	return fcntl(listener, F_SETFL, 0);
}

static int guest_accepted(const char *arg)
{
	static const int flags[] = { 0, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC };
	int port = atoi(arg), listener = bound(SOCK_STREAM, 0), r = 0;

	if (listener < 0 || listen(listener, 4) < 0)
		return 200;
	for (size_t i = 0; r == 0 && i < N_OF(flags); i++)
		r = accepts(listener, port, flags[i]);
	if (r == 0)
		r = accepts_badly(listener, port);
	return r ? r : accepts_nothing(listener, port);
}

/* A socket that sends from the port, and one to which that is sent. */
struct pair {
	int port, from, to;
};

static int pair_make(struct pair *p, const char *arg)
{
	struct sockaddr_in sa;

	p->port = atoi(arg);
	p->from = bound(SOCK_DGRAM, p->port);
	if (p->from < 0)
		return errno;
	p->to = bound(SOCK_DGRAM, 0);
	sa = local(port_of(p->to, false));
	return p->to < 0 || connect(p->from, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? 200 : 0;
}

static int receives_from(const struct pair *p)
{
	static const int flags[] = { 0, MSG_PEEK, MSG_TRUNC, MSG_DONTWAIT, 0 };
	char buf[4] = "";

	for (size_t i = 0; i < N_OF(flags); i++) {
		struct sockaddr_in sa = { 0 };
		socklen_t len = sizeof(sa);
		ssize_t n;

		if (i != 2 && write(p->from, "datagram", 8) != 8)
			return 210;
		if (flags[i] & MSG_DONTWAIT)
			poll(&(struct pollfd){ .fd = p->to, .events = POLLIN }, 1, 10000);
		n = recvfrom(p->to, buf, 3, flags[i], (struct sockaddr *)&sa, &len);
		if (n != (flags[i] & MSG_TRUNC ? 8 : 3) || memcmp(buf, "dat", 4) != 0)
			return 211;
		if (len != sizeof(sa) || ntohs(sa.sin_port) != p->port)
			return 212;
	}
	return recvfrom(p->to, buf, 3, MSG_DONTWAIT, NULL, NULL) < 0 && errno == EAGAIN ? 0 : 213;
}

/* In pieces, with what the kernel tells of it, and what does not fit. */
static int receives_msg(const struct pair *p)
{
	char control[CMSG_SPACE(sizeof(struct in_pktinfo))], buf[2][3] = { "", "" };
	struct iovec iov[2] = { { buf[0], 2 }, { buf[1], 2 } };
	struct sockaddr_in sa = { 0 };
	struct msghdr h = { &sa, sizeof(sa), iov, 2, control, sizeof(control), 0 };
	const int on = 1;

	setsockopt(p->to, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	if (write(p->from, "datagram", 8) != 8 || recvmsg(p->to, &h, MSG_CMSG_CLOEXEC) != 4)
		return 220;
	if (strcmp(buf[0], "da") || strcmp(buf[1], "ta") || h.msg_namelen != sizeof(sa) ||
	    ntohs(sa.sin_port) != p->port)
		return 221;
	if (h.msg_flags != (MSG_TRUNC | MSG_CMSG_CLOEXEC) || !CMSG_FIRSTHDR(&h) ||
	    CMSG_FIRSTHDR(&h)->cmsg_type != IP_PKTINFO)
		return 222;
	h.msg_controllen = 4;
	if (write(p->from, "x", 1) != 1 || recvmsg(p->to, &h, 0) != 1 ||
	    h.msg_flags != MSG_CTRUNC || h.msg_controllen != 0)
		return 223;
	h.msg_iov = (struct iovec *)8;
	if (write(p->from, "x", 1) != 1 || syscall(SYS_recvmsg, p->to, &h, 0) >= 0 ||
	    errno != EFAULT)
		return 224;
	h = (struct msghdr){ .msg_iov = iov, .msg_iovlen = 1 };
	return recvmsg(p->to, &h, 0) == 1 ? 0 : 225; /* which is there still */
}

/* Several at once, of which one comes from elsewhere. */
static int receives_mmsg(const struct pair *p)
{
	struct timespec patience = { 100, 0 };
	struct sockaddr_in to = local(port_of(p->to, false)), sa[4];
	struct mmsghdr m[4];
	struct iovec iov[4];
	char buf[4];
	int other = bound(SOCK_DGRAM, 0);

	for (int i = 0; i < 4; i++) {
		iov[i] = (struct iovec){ &buf[i], 1 };
		m[i] = (struct mmsghdr){ .msg_hdr = { &sa[i], sizeof(sa[i]), &iov[i], 1 } };
	}
	if (sendto(other, "0", 1, 0, (struct sockaddr *)&to, sizeof(to)) != 1 ||
	    write(p->from, "1", 1) != 1 || write(p->from, "2", 1) != 1)
		return 230;
	if (recvmmsg(p->to, m, 4, MSG_WAITFORONE, NULL) != 3 || memcmp(buf, "012", 3) != 0)
		return 231;
	if (ntohs(sa[0].sin_port) != port_of(other, false) || ntohs(sa[1].sin_port) != p->port ||
	    ntohs(sa[2].sin_port) != p->port || m[2].msg_len != 1)
		return 232;
	if (write(p->from, "3", 1) != 1 || write(p->from, "4", 1) != 1 ||
	    recvmmsg(p->to, m, 2, 0, &patience) != 2 || patience.tv_sec != 99)
		return 233;
	patience = (struct timespec){ 0, -1 };
	if (recvmmsg(p->to, m, 2, 0, &patience) >= 0 || errno != EINVAL)
		return 234;
	close(other);
	return recvmmsg(p->to, m, 4, MSG_DONTWAIT, NULL) < 0 && errno == EAGAIN ? 0 : 235;
}

static int guest_sources(const char *arg)
{
	struct pair p;
	int r = pair_make(&p, arg);

	if (r == 0)
		r = receives_from(&p);
	if (r == 0)
		r = receives_msg(&p);
	return r ? r : receives_mmsg(&p);
}

/* What the next signal does: a byte by the one, or a connection of the other to the port. -1: nothing. */
static int alarm_writes = -1, alarm_connects = -1, alarm_port;

static void on_alarm(int signal)
{
	struct sockaddr_in sa = local(alarm_port);

	(void)signal;
	if (alarm_writes >= 0 && write(alarm_writes, "s", 1) < 0)
		_exit(240);
	if (alarm_connects >= 0 && connect(alarm_connects, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		_exit(241);
}

static void in_a_moment(int flags)
{
	const struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = flags };
	const struct itimerval it = { .it_value.tv_usec = 50000 };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
}

/* What a call that takes an address by @fd fails with; 0: it does not. *ret_port: where that came from. */
static int taken_from(int fd, int *ret_port)
{
	struct sockaddr_in sa = { 0 };
	socklen_t len = sizeof(sa);
	int type = SOCK_DGRAM;
	char byte;
	ssize_t r;

	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &(socklen_t){ sizeof(type) });
	if (type == SOCK_DGRAM)
		r = recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&sa, &len);
	else
		r = accept(fd, (struct sockaddr *)&sa, &len);
	*ret_port = ntohs(sa.sin_port);
	return r < 0 ? errno : 0;
}

/* What waits at @fd ends in time, by a signal, and by what a handler makes come, from @port. */
static int ends(int fd, int writes, int connects, int port)
{
	const struct timeval moment = { .tv_usec = 50000 }, never = { 0 };
	int got;

	alarm_writes = alarm_connects = -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof(moment));
	if (taken_from(fd, &got) != EAGAIN)
		return 230;
	in_a_moment(SA_RESTART);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ .tv_sec = 100 }, sizeof(moment));
	if (taken_from(fd, &got) != EINTR) /* whose time would begin anew */
		return 231;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof(never));
	in_a_moment(0);
	if (taken_from(fd, &got) != EINTR)
		return 232;
	alarm_writes = writes;
	alarm_connects = connects;
	in_a_moment(SA_RESTART);
	return taken_from(fd, &got) == 0 && (!port || got == port) ? 0 : 233;
}

static int guest_waits(const char *arg)
{
	int listener = bound(SOCK_STREAM, 0), client, unbound, gone, got, r;
	struct sockaddr_in sa;
	struct pair p;

	r = pair_make(&p, arg);
	if (r == 0)
		r = ends(p.to, p.from, -1, p.port);
	if (r)
		return r;
	/* an error that waits for the next call is that call's */
	gone = bound(SOCK_DGRAM, 0);
	sa = local(port_of(gone, false));
	close(gone);
	if (connect(p.to, (struct sockaddr *)&sa, sizeof(sa)) < 0 || write(p.to, "x", 1) != 1 ||
	    taken_from(p.to, &got) != ECONNREFUSED)
		return 210;
	if (listen(listener, 4) < 0 || (client = client_of(listener, p.port)) < 0 ||
	    taken_from(listener, &got) != 0 || got != p.port)
		return 211;
	alarm_port = port_of(listener, false);
	unbound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	r = ends(listener, -1, unbound, 0);
	close(client);
	return r;
}

/* A server with the port, and clients that wait for its answers, each with a look at where they come from. */
static int guest_answers(const char *arg)
{
	int port = atoi(arg), server = bound(SOCK_DGRAM, port);
	struct sockaddr_in sa = local(port);
	socklen_t len = sizeof(sa);
	pid_t child;
	char buf[8];

	if (server < 0)
		return errno;
	child = fork();
	if (child == 0) {
		ssize_t n;

		while ((n = recvfrom(server, buf, sizeof(buf), 0, (struct sockaddr *)&sa, &len)) >
		       0) {
			if (sendto(server, buf, (size_t)n, 0, (struct sockaddr *)&sa, len) != n)
				_exit(1);
		}
		_exit(n < 0);
	}
	for (int i = 0; i < 100; i++) {
		int client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		sa = local(port);
		if (sendto(client, "question", 8, 0, (struct sockaddr *)&sa, sizeof(sa)) != 8)
			return 210;
		sa = local(0);
		if (recvfrom(client, buf, 8, 0, (struct sockaddr *)&sa, &len) != 8 ||
		    ntohs(sa.sin_port) != port)
			return 211;
		close(client);
	}
	sa = local(port);
	if (sendto(socket(AF_INET, SOCK_DGRAM, 0), "", 0, 0, (struct sockaddr *)&sa, sizeof(sa)) <
	    0)
		return 212;
	return waitpid(child, NULL, 0) == child ? 0 : 213;
}

/* Is there a line of table @name with these two ports ("*": any)? */
static bool is_listed(const char *name, const char *own, const char *peer)
{
	char path[32], line[256], is_own[8], is_peer[8];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/net/%s", name);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, " %*d: %*[0-9A-F]:%7[0-9A-F] %*[0-9A-F]:%7[0-9A-F]", is_own,
			       is_peer) == 2 &&
			!strcmp(is_own, own) && (peer[0] == '*' || !strcmp(is_peer, peer));
	if (f)
		fclose(f);
	return found;
}

static int guest_listed(const char *arg)
{
	int port = atoi(arg), listener = bound(SOCK_STREAM, port),
	    receiver = bound(SOCK_DGRAM, port), client, served;
	char own[8], peer[8];

	if (listener < 0 || receiver < 0)
		return errno;
	snprintf(own, sizeof(own), "%04X", (unsigned)port);
	if (listen(listener, 1) < 0)
		return 200;
	client = connected(port);
	served = accept(listener, NULL, NULL);
	snprintf(peer, sizeof(peer), "%04X", (unsigned)port_of(client, false));
	if (served < 0 || !is_listed("udp", own, "0000") || !is_listed("tcp", own, "0000"))
		return 210;
	if (!is_listed("tcp", own, peer) || !is_listed("tcp", peer, own))
		return 211;
	close(receiver);
	return is_listed("udp", own, "*") ? 212 : 0;
}

static const struct guest_role roles[] = {
	{ "serve", guest_serve },
	{ "datagrams", guest_datagrams },
	{ "twice", guest_twice },
	{ "refused", guest_refused },
	{ "many", guest_many },
	{ "stay", guest_stay },
	{ "chosen", guest_chosen },
	{ "accepted", guest_accepted },
	{ "sources", guest_sources },
	{ "waits", guest_waits },
	{ "answers", guest_answers },
	{ "listed", guest_listed },
	{ "for_a_while", guest_for_a_while },
	{ NULL, NULL },
};

/* ---- the test's side ---- */

static struct sluice_policy *policy(bool remap)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_allow_net(p, "127.0.0.1", NULL), 0);
	assert_int_equal(sluice_policy_allow_net(p, "udp://127.0.0.1", NULL), 0);
	assert_int_equal(sluice_policy_allow_bind(p, "*", NULL), 0);
	assert_int_equal(sluice_policy_set_port_remap(p, remap), 0);
	return p;
}

/* A port that the test has itself, for streams and datagrams. */
struct taken {
	int stream, datagram, port;
	char text[16];
};

static struct taken take(void)
{
	struct taken t;

	do {
		t.stream = bound(SOCK_STREAM, 0);
		assert_true(t.stream >= 0);
		t.port = port_of(t.stream, false);
		t.datagram = bound(SOCK_DGRAM, t.port);
		if (t.datagram < 0)
			close(t.stream);
	} while (t.datagram < 0);
	snprintf(t.text, sizeof(t.text), "%d", t.port);
	return t;
}

static void give(struct taken *t)
{
	close(t->stream);
	close(t->datagram);
}

/* Each act fails without, where somebody has the port, and does what it says with, and with a port that nobody has in both. */
static void act(const char *const *acts, size_t n, enum sluice_proc proc)
{
	struct sluice_policy *with = policy(true), *without = policy(false);
	struct taken t = take();

	sluice_policy_set_proc(with, proc);
	sluice_policy_set_proc(without, proc);
	for (size_t i = 0; i < n; i++) {
		int refused = guest_inside(without, acts[i], t.text), inside;

		if (refused != (strcmp(acts[i], "twice") ? EADDRINUSE : 200))
			fail_msg("%s without: %d", acts[i], refused);
		inside = guest_inside(with, acts[i], t.text);
		if (inside)
			fail_msg("%s: %d", acts[i], inside);
	}
	give(&t);
	/* each time another port, since connections that ended keep theirs for a while */
	for (size_t i = 0; i < 2 * n; i++) {
		int inside;

		t = take();
		give(&t);
		inside = guest_inside(i % 2 ? with : without, acts[i / 2], t.text);
		if (inside)
			fail_msg("%s, a free port, %s: %d", acts[i / 2], i % 2 ? "with" : "without",
				 inside);
	}
	sluice_policy_unref(with);
	sluice_policy_unref(without);
}

static void test_a_taken_port_becomes_another(void **state)
{
	static const char *const acts[] = { "serve", "datagrams", "twice" };

	(void)state;
	act(acts, N_OF(acts), SLUICE_PROC_HOST);
}

static void test_peers_have_the_port_that_they_asked_for(void **state)
{
	static const char *const acts[] = { "accepted", "sources", "answers" };

	(void)state;
	act(acts, N_OF(acts), SLUICE_PROC_HOST);
}

/* The thread sanitizer puts handlers off until a call returns, and these wait for what a handler does. */
#ifndef __SANITIZE_THREAD__
static void test_waits_for_peers_end_as_they_should(void **state)
{
	static const char *const acts[] = { "waits" };

	(void)state;
	act(acts, N_OF(acts), SLUICE_PROC_HOST);
}
#endif

static void test_proc_lists_the_port_that_was_asked_for(void **state)
{
	static const char *const acts[] = { "listed" };

	(void)state;
	act(acts, N_OF(acts), SLUICE_PROC_OWN);
}

static void test_a_port_that_the_kernel_chose_is_in_use(void **state)
{
	struct sluice_policy *p = policy(true);

	(void)state;
	assert_int_equal(guest_bare("chosen", ""), 0);
	assert_int_equal(guest_inside(p, "chosen", ""), 0);
	sluice_policy_unref(p);
}

/* What an extra on connect was told. */
struct told {
	struct sluice_verdict verdict;
	_Atomic int port;
};

static struct sluice_verdict tell(struct sluice_request *req, void *userdata)
{
	struct told *t = userdata;
	struct sockaddr_storage asked;
	struct sluice_plan plan;

	sluice_request_plan(req, &plan);
	sluice_request_sockaddr(req, &asked);
	if (plan.kind == SLUICE_PLAN_ACT && plan.size == sizeof(struct sockaddr_in) &&
	    ((struct sockaddr_in *)&asked)->sin_port !=
		    ((const struct sockaddr_in *)plan.data)->sin_port)
		atomic_store(&t->port, ntohs(((const struct sockaddr_in *)plan.data)->sin_port));
	return t->verdict;
}

/* An extra sees the real port, and what it refuses has not happened. */
static void test_an_extra_sees_the_real_port(void **state)
{
	static const char *const acts[] = { "serve", "refused" };
	struct sluice_policy *p = policy(true);
	struct taken t = take();

	(void)state;
	for (size_t i = 0; i < N_OF(acts); i++) {
		struct told told = { .verdict = i ? sluice_errno(EHOSTDOWN) : sluice_continue() };
		struct sluice_handler h = sluice_handler_make("tell", SYS_connect, tell, &told);

		assert_int_equal(guest_run(p, &h, 1, acts[i], t.text).exit_code, 0);
		assert_int_not_equal(atomic_load(&told.port), 0);
		assert_int_not_equal(atomic_load(&told.port), t.port);
	}
	sluice_policy_unref(p);
	give(&t);
}

/* A sandbox in which @role has said that it is ready. *ret_out: what else it says, the caller's; NULL: nobody wants to know. */
static struct sluice_sandbox *spawned(struct sluice_policy *p, const char *role, const char *port,
				      int *ret_out)
{
	struct sluice_spawn_options o = { .size = sizeof(o),
					  .stdio = { SLUICE_STDIO_PIPE, SLUICE_STDIO_PIPE } };
	struct sluice_sandbox *s = guest_spawn(p, &o, role, port);
	int out = sluice_sandbox_pipe(s, 1);
	char byte = 0;

	assert_int_equal(read(out, &byte, 1), 1);
	assert_int_equal(byte, '!');
	if (ret_out)
		*ret_out = out;
	else
		close(out);
	return s;
}

static void hazard_C12_sockets_that_go_leave_nothing(void **state)
{
	struct sluice_policy *p = policy(true);
	struct taken t = take();
	struct sluice_result result;
	struct sluice_sandbox *s;
	struct sluice_port port;

	(void)state;
	s = spawned(p, "many", t.text, NULL);
	assert_int_equal(sluice_sandbox_ports(s, &port, 1), 1);
	assert_int_equal(port.virtual_port, t.port);
	close(sluice_sandbox_pipe(s, 0));
	assert_int_equal(sluice_sandbox_wait(s, -1, &result), 0);
	assert_int_equal(result.exit_code, 0);
	assert_int_equal(sluice_sandbox_ports(s, &port, 1), 0);
	sluice_sandbox_free(s);
	sluice_policy_unref(p);
	give(&t);
}

static void reached(int port)
{
	char byte = 0;
	int fd = connected(port);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, &byte, 1), 1);
	assert_int_equal(byte, 's');
	close(fd);
}

/* Two servers that ask for one port: both serve, and the library tells where. */
static void test_two_sandboxes_and_one_port(void **state)
{
	struct sluice_policy *p = policy(true);
	struct taken t = take();
	struct sluice_sandbox *first, *second;
	struct sluice_port port;

	(void)state;
	give(&t);
	first = spawned(p, "stay", t.text, NULL);
	second = spawned(p, "stay", t.text, NULL);
	assert_int_equal(sluice_sandbox_ports(first, &port, 1), 0);
	assert_int_equal(sluice_sandbox_ports(second, &port, 1), 1);
	assert_int_equal(port.protocol, IPPROTO_TCP);
	assert_int_equal(port.virtual_port, t.port);
	assert_int_not_equal(port.real_port, t.port);
	reached(t.port);
	reached(port.real_port);
	sluice_sandbox_free(first);
	sluice_sandbox_free(second);
	sluice_policy_unref(p);
}

/* Wait until the file that @watch tells of holds @text. */
static void becomes(int watch, const char *path, const char *text)
{
	struct pollfd p = { .fd = watch, .events = POLLIN };
	char events[4096], got[256];

	for (;;) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, got, sizeof(got) - 1);

		assert_true(n >= 0);
		close(fd);
		got[n] = '\0';
		if (!strcmp(got, text))
			return;
		if (poll(&p, 1, 20000) != 1)
			fail_msg("\"%s\" does not become \"%s\"", got, text);
		assert_true(read(watch, events, sizeof(events)) > 0);
	}
}

static void test_a_file_tells_of_ports(void **state)
{
	char dir[] = "/tmp/sluice-ports-XXXXXX", path[64], text[64];
	struct sluice_policy *p = policy(true);
	struct taken t = take();
	int watch = inotify_init1(IN_CLOEXEC), out, in;
	struct sluice_sandbox *s;
	struct sluice_port port;
	char byte;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/ports", dir);
	assert_true(inotify_add_watch(watch, dir, IN_MOVED_TO) >= 0);
	assert_int_equal(sluice_policy_set_port_map(p, path, NULL), 0);
	s = spawned(p, "for_a_while", t.text, &out);
	in = sluice_sandbox_pipe(s, 0);
	assert_int_equal(sluice_sandbox_ports(s, &port, 1), 1);
	snprintf(text, sizeof(text), "udp %d %d\n", t.port, port.real_port);
	becomes(watch, path, text);
	assert_int_equal(write(in, "c", 1), 1);
	assert_int_equal(read(out, &byte, 1), 1);
	becomes(watch, path, "");
	close(in);
	close(out);
	sluice_sandbox_free(s);
	/* one that still has it when the sandbox is freed */
	s = spawned(p, "for_a_while", t.text, NULL);
	assert_int_equal(sluice_sandbox_ports(s, &port, 1), 1);
	snprintf(text, sizeof(text), "udp %d %d\n", t.port, port.real_port);
	becomes(watch, path, text);
	sluice_sandbox_free(s);
	becomes(watch, path, "");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0); /* nothing else was left there */
	close(watch);
	sluice_policy_unref(p);
	give(&t);
}

static void test_a_file_that_cannot_be_made(void **state)
{
	const char *const argv[] = { guest_program(), "--inside", "serve", "0", NULL };
	struct sluice_policy *p = policy(true), *without = policy(false);
	struct sluice_error err = { 0 };

	(void)state;
	sluice_policy_set_port_map(p, "/nowhere/ports", NULL);
	assert_int_equal(sluice_run(p, argv, NULL, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nowhere/ports"));
	sluice_policy_set_port_map(p, "/", NULL);
	assert_int_equal(sluice_run(p, argv, NULL, &err), -EISDIR);
	sluice_policy_set_port_map(without, "/tmp/ports", NULL);
	assert_int_equal(sluice_run(without, argv, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.hint, "--port-remap"));
	sluice_policy_unref(p);
	sluice_policy_unref(without);
}

static void test_without_a_port_to_bind(void **state)
{
	const char *const argv[] = { guest_program(), "--inside", "serve", "0", NULL };
	struct sluice_policy *p = guest_policy();
	struct sluice_error err = { 0 };

	(void)state;
	sluice_policy_set_port_remap(p, true);
	assert_int_equal(sluice_run(p, argv, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.hint, "--net-allow-bind"));
	sluice_policy_unref(p);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_taken_port_becomes_another),
		cmocka_unit_test(test_peers_have_the_port_that_they_asked_for),
#ifndef __SANITIZE_THREAD__
		cmocka_unit_test(test_waits_for_peers_end_as_they_should),
#endif
		cmocka_unit_test(test_proc_lists_the_port_that_was_asked_for),
		cmocka_unit_test(test_a_port_that_the_kernel_chose_is_in_use),
		cmocka_unit_test(test_an_extra_sees_the_real_port),
		cmocka_unit_test(hazard_C12_sockets_that_go_leave_nothing),
		cmocka_unit_test(test_two_sandboxes_and_one_port),
		cmocka_unit_test(test_a_file_tells_of_ports),
		cmocka_unit_test(test_a_file_that_cannot_be_made),
		cmocka_unit_test(test_without_a_port_to_bind),
	};
	const struct CMUnitTest without_sockets[] = {
		cmocka_unit_test(test_a_file_that_cannot_be_made),
		cmocka_unit_test(test_without_a_port_to_bind),
	};

	guest_begin(argc, argv, roles);
	/* sockets of a command can't be had under every profile: then no port is bound at all, which hazard/network holds */
	if (!guest_descriptors_can_be_got())
		return cmocka_run_group_tests_name("port-remap", without_sockets, NULL, NULL);
	return cmocka_run_group_tests_name("port-remap", tests, NULL, NULL);
}
