/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports that are taken: the command gets another one and sees the one that it asked for; nothing of it is left when a socket goes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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

/* Far more sockets, one after the other, than are kept. */
static int guest_many(const char *arg)
{
	for (int i = 0; i < BINDS; i++) {
		int fd = bound(i % 2 ? SOCK_DGRAM : SOCK_STREAM, atoi(arg));

		if (fd < 0)
			return errno;
		if (i % 1000 == 0 && port_of(fd, false) != atoi(arg))
			return 201;
		close(fd);
	}
	return 0;
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

static const struct guest_role roles[] = {
	{ "serve", guest_serve }, { "datagrams", guest_datagrams },
	{ "twice", guest_twice }, { "refused", guest_refused },
	{ "many", guest_many },	  { "stay", guest_stay },
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

static void test_a_taken_port_becomes_another(void **state)
{
	static const char *const acts[] = { "serve", "datagrams", "twice" };
	struct sluice_policy *with = policy(true), *without = policy(false);
	struct taken t = take();

	(void)state;
	for (size_t i = 0; i < N_OF(acts); i++) {
		int refused = guest_inside(without, acts[i], t.text);

		if (refused != (i == 2 ? 200 : EADDRINUSE))
			fail_msg("%s without: %d", acts[i], refused);
		assert_int_equal(guest_inside(with, acts[i], t.text), 0);
	}
	give(&t);
	/* and with a port that nobody has, all is as without; each time another, since connections that ended keep theirs for a while */
	for (size_t i = 0; i < 2 * N_OF(acts); i++) {
		t = take();
		give(&t);
		assert_int_equal(guest_inside(i % 2 ? with : without, acts[i / 2], t.text), 0);
	}
	sluice_policy_unref(with);
	sluice_policy_unref(without);
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

static void hazard_C12_sockets_that_go_leave_nothing(void **state)
{
	struct sluice_policy *p = policy(true);
	struct taken t = take();

	(void)state;
	assert_int_equal(guest_inside(p, "many", t.text), 0);
	sluice_policy_unref(p);
	give(&t);
}

static struct sluice_sandbox *serving(struct sluice_policy *p, const char *port)
{
	struct sluice_spawn_options o = { .size = sizeof(o),
					  .stdio = { SLUICE_STDIO_PIPE, SLUICE_STDIO_PIPE } };
	struct sluice_sandbox *s = guest_spawn(p, &o, "stay", port);
	char byte;

	assert_int_equal(read(sluice_sandbox_pipe(s, 1), &byte, 1), 1);
	return s;
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
	first = serving(p, t.text);
	second = serving(p, t.text);
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
		cmocka_unit_test(test_an_extra_sees_the_real_port),
		cmocka_unit_test(hazard_C12_sockets_that_go_leave_nothing),
		cmocka_unit_test(test_two_sandboxes_and_one_port),
		cmocka_unit_test(test_without_a_port_to_bind),
	};
	const struct CMUnitTest without_sockets[] = {
		cmocka_unit_test(test_without_a_port_to_bind),
	};

	guest_begin(argc, argv, roles);
	/* sockets of a command can't be had under every profile: then no port is bound at all, which hazard/network holds */
	if (!guest_descriptors_can_be_got())
		return cmocka_run_group_tests_name("port-remap", without_sockets, NULL, NULL);
	return cmocka_run_group_tests_name("port-remap", tests, NULL, NULL);
}
