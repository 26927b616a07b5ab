/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NETLINK_ROUTE where there are rules of the network: the C library's ways to list interfaces and addresses find loopback, and nothing that is asked by hand gets past
 * that. Each role answers 0, an errno, or the line of what does not hold.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "../support/root.h"

#define SOCKETS 256 /* as many as a sandbox may have */
#define ROUNDS 200

/* ---- inside ---- */

static int open_route(int flags)
{
	return socket(AF_NETLINK, SOCK_RAW | flags, NETLINK_ROUTE);
}

static int guest_open(const char *arg)
{
	int fd = open_route(SOCK_CLOEXEC);

	(void)arg;
	return fd < 0 ? errno : fcntl(fd, F_GETFD) == FD_CLOEXEC ? 0 : 200;
}

/* What getifaddrs lists, one line each. */
static int guest_addresses(const char *arg)
{
	struct ifaddrs *all;

	(void)arg;
	if (getifaddrs(&all) < 0)
		return errno;
	for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
		const struct sockaddr *sa = a->ifa_addr;
		char text[INET6_ADDRSTRLEN] = "link";

		if (sa && sa->sa_family == AF_INET)
			inet_ntop(AF_INET, &((const struct sockaddr_in *)sa)->sin_addr, text,
				  sizeof(text));
		else if (sa && sa->sa_family == AF_INET6)
			inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)sa)->sin6_addr, text,
				  sizeof(text));
		printf("%s %s %d\n", a->ifa_name, text,
		       (a->ifa_flags & (IFF_UP | IFF_LOOPBACK)) == (IFF_UP | IFF_LOOPBACK));
	}
	freeifaddrs(all);
	return fflush(stdout) ? 200 : 0;
}

/* Again and again: no socket is left, and none of the answers is another one's. */
static int guest_index(const char *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		struct if_nameindex *n = if_nameindex();

		ROOT_CHECK(n && n[0].if_index == 1 && !strcmp(n[0].if_name, "lo") && !n[1].if_name);
		if_freenameindex(n);
	}
	return 0;
}

/* Addresses that are written as numbers, of each family, where only those are wanted that can be used. */
static int guest_configured(const char *arg)
{
	static const struct {
		int family;
		const char *address;
	} cases[] = { { AF_INET, "127.0.0.1" }, { AF_INET6, "::1" }, { AF_UNSPEC, "::1" } };

	(void)arg;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct addrinfo hints = { .ai_family = cases[i].family,
						.ai_flags = AI_ADDRCONFIG };
		struct addrinfo *found;

		ROOT_CHECK(getaddrinfo(cases[i].address, "80", &hints, &found) == 0);
		freeaddrinfo(found);
	}
	return 0;
}

/* A socket keeps the number that it was bound to, tells it, and its answers carry it. */
static int guest_number(const char *arg)
{
	struct {
		struct nlmsghdr head;
		struct rtgenmsg body;
	} q = { { sizeof(q), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 77, 0 }, { AF_UNSPEC } };
	struct sockaddr_nl own = { .nl_family = AF_NETLINK }, from;
	socklen_t size = sizeof(own);
	unsigned char answer[8192];
	struct iovec iov = { answer, sizeof(answer) };
	struct msghdr m = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1
	};
	const struct nlmsghdr *head = (const struct nlmsghdr *)answer;
	int fd = open_route(0);

	(void)arg;
	ROOT_CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&own, sizeof(own)) == 0);
	ROOT_CHECK(getsockname(fd, (struct sockaddr *)&own, &size) == 0 && size == sizeof(own) &&
		   own.nl_family == AF_NETLINK && own.nl_pid == (uint32_t)getpid());
	own.nl_pid = 12345;
	ROOT_CHECK(bind(fd, (struct sockaddr *)&own, sizeof(own)) == 0);
	ROOT_CHECK(bind(fd, (struct sockaddr *)&own, 8) < 0 && errno == EINVAL);
	own.nl_pid = 0;
	ROOT_CHECK(getsockname(fd, (struct sockaddr *)&own, &size) == 0 && own.nl_pid == 12345);
	own.nl_pid = 0;
	memset(&from, 0xff, sizeof(from));
	ROOT_CHECK(sendto(fd, &q, sizeof(q), 0, (struct sockaddr *)&own, sizeof(own)) ==
		   (ssize_t)sizeof(q));
	ROOT_CHECK(recvmsg(fd, &m, 0) > 0 && head->nlmsg_type == RTM_NEWLINK &&
		   head->nlmsg_seq == 77 && head->nlmsg_pid == 12345);
	ROOT_CHECK(m.msg_namelen == sizeof(from) && from.nl_pid == 0);
	return 0;
}

/* The error that is answered to @size bytes at @q; -1: no error. */
static int error_of(int fd, const void *q, size_t size)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		unsigned char rest[8192];
	} a;

	if (send(fd, q, size, 0) != (ssize_t)size || recv(fd, &a, sizeof(a), 0) < 0)
		return -errno - 1000;
	return a.head.nlmsg_type == NLMSG_ERROR ? -a.error.error : -1;
}

/* Nothing can be changed, and what is not known is said to be so; what is no message is not answered. */
static int guest_by_hand(const char *arg)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg body;
	} q = { { sizeof(q), RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0 }, { .ifi_index = 1 } };
	int fd = open_route(SOCK_NONBLOCK), answers = open_route(0);
	unsigned char junk[65536];

	(void)arg;
	ROOT_CHECK(fd >= 0 && answers >= 0 && recv(fd, junk, 1, 0) < 0 && errno == EAGAIN);
	ROOT_CHECK(error_of(answers, &q, sizeof(q)) == EPERM);
	q.head.nlmsg_type = RTM_DELADDR;
	ROOT_CHECK(error_of(answers, &q, sizeof(q)) == EPERM);
	q.head.nlmsg_type = RTM_GETNEIGH;
	q.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	ROOT_CHECK(error_of(answers, &q, sizeof(q)) == EOPNOTSUPP);
	q.head.nlmsg_type = RTM_GETLINK;
	q.head.nlmsg_flags = NLM_F_REQUEST;
	ROOT_CHECK(error_of(answers, &q, sizeof(q)) == -1);
	q.body.ifi_index = 2;
	ROOT_CHECK(error_of(answers, &q, sizeof(q)) == ENODEV);
	/* lengths that lie, and no message at all: the next question is answered */
	memset(junk, 0xff, sizeof(junk));
	for (size_t size = 0; size <= sizeof(q); size++)
		send(answers, junk, size, 0);
	send(answers, junk, sizeof(junk), 0);
	q.head.nlmsg_len = sizeof(q) + 1;
	send(answers, &q, sizeof(q), 0);
	q.head.nlmsg_len = sizeof(q);
	ROOT_CHECK(error_of(answers, &q, sizeof(q)) == ENODEV);
	/* who asks and does not listen holds up nobody: until his own buffer is full */
	q.head.nlmsg_type = RTM_NEWLINK;
	for (int i = 0; i < 100000 && send(fd, &q, sizeof(q), 0) > 0; i++)
		;
	ROOT_CHECK(error_of(answers, &q, sizeof(q)) == EPERM);
	return 0;
}

/* There is a bound, and a socket that is closed counts no more. */
static int guest_bound(const char *arg)
{
	int fds[SOCKETS], fd;

	(void)arg;
	for (int i = 0; i < SOCKETS; i++)
		ROOT_CHECK((fds[i] = open_route(0)) >= 0);
	ROOT_CHECK(open_route(0) < 0 && errno == ENFILE);
	for (int i = 0; i < SOCKETS; i++)
		close(fds[i]);
	/* which is noticed a moment later */
	do
		fd = open_route(0);
	while (fd < 0 && errno == ENFILE);
	ROOT_CHECK(fd >= 0);
	return 0;
}

static const struct guest_role roles[] = {
	{ "open", guest_open },	    { "addresses", guest_addresses },
	{ "index", guest_index },   { "configured", guest_configured },
	{ "number", guest_number }, { "by-hand", guest_by_hand },
	{ "bound", guest_bound },   { NULL, NULL },
};

/* ---- outside ---- */

static struct sluice_policy *policy(const char *target)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_allow_net(p, target, NULL), 0);
	return p;
}

/* Without a rule there is no such socket. */
static void test_only_with_a_rule(void **state)
{
	struct sluice_policy *p = policy("127.0.0.1:1");

	(void)state;
	assert_int_equal(guest_bare("open", ""), 0);
	assert_int_equal(guest_inside(NULL, "open", ""), EACCES);
	assert_int_equal(guest_inside(p, "open", ""), 0);
	sluice_policy_unref(p);
}

static void test_addresses(void **state)
{
	struct sluice_policy *p;
	char *text;

	(void)state;
	if (!guest_descriptors_can_be_got())
		return;
	p = policy("127.0.0.1:1");
	text = guest_text(p, NULL, 0, "addresses", "");
	assert_string_equal(text, "lo link 1\nlo 127.0.0.1 1\nlo 127.0.0.2 1\nlo ::1 1\n"
				  "lo ::ffff:127.0.0.1 1\n");
	free(text);
	sluice_policy_unref(p);
}

/* @role, with sends that are trapped and such that are not. */
static void holds(const char *role)
{
	static const char *const targets[] = { "127.0.0.1:1", "udp://127.0.0.1:1" };

	for (size_t i = 0; i < 2; i++) {
		struct sluice_policy *p = policy(targets[i]);

		assert_int_equal(guest_inside(p, role, ""), 0);
		sluice_policy_unref(p);
	}
}

static void test_index(void **state)
{
	(void)state;
	if (guest_descriptors_can_be_got())
		holds("index");
}

static void test_configured(void **state)
{
	(void)state;
	holds("configured");
}

static void test_number(void **state)
{
	(void)state;
	if (guest_descriptors_can_be_got())
		holds("number");
}

static void test_by_hand(void **state)
{
	(void)state;
	holds("by-hand");
}

static void test_bound(void **state)
{
	(void)state;
	holds("bound");
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_with_a_rule),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_configured),
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_by_hand),
		cmocka_unit_test(test_bound),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
