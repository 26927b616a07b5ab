/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --net-resolve live: addresses of names come and go while the command runs, and a name server that lies, hangs or is gone does no harm.
 *
 * The command moves the test's name server from step to step by itself. Addresses of 203.0.113.0/24 stand for any of the internet: a datagram socket is connected to them, which
 * sends nothing, and works or fails for want of a route; EACCES it is only by the rules.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builtin/network/names.h"

#include "../support/cmocka.h"
#include "../support/dns.h"
#include "../support/guest.h"
#include "../support/root.h"

#define NAME "changing.test"
#define SOON_MS (15000 * GUEST_SLOW)
#define PAUSE_US 20000
#define QUIET_MS 2500 /* more than two times to live */

/* ---- inside ---- */

static socklen_t address(struct sockaddr_storage *ret, const char *text, int port)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1 ? sizeof(*v6) : 0;
}

/* A connected socket, or -1. */
static int connected(int type, const char *text, int port)
{
	struct sockaddr_storage sa;
	socklen_t len = address(&sa, text, port);
	int fd = socket(sa.ss_family, type | SOCK_CLOEXEC, 0), saved;

	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, len) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static bool allowed(const char *text)
{
	int fd = connected(SOCK_DGRAM, text, 9);

	if (fd < 0)
		return errno != EACCES;
	close(fd);
	return true;
}

static bool hosts_say(const char *text)
{
	char line[80], all[65536];
	int fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, all, sizeof(all) - 1);

	close(fd);
	all[n < 0 ? 0 : n] = '\0';
	snprintf(line, sizeof(line), "%s\t" NAME "\n", text);
	return strstr(all, line);
}

/* Wait until @what says @wanted of @text. */
static bool soon(bool (*what)(const char *text), const char *text, bool wanted, long long most_ms)
{
	const long long until = guest_now_ms() + most_ms;

	while (what(text) != wanted) {
		if (guest_now_ms() > until)
			return false;
		usleep(PAUSE_US);
	}
	return true;
}

/* Wait until the server has been asked @n times in the step. */
static bool is_asked(int port, unsigned step, int n)
{
	const long long until = guest_now_ms() + SOON_MS;

	while (dns_step(port, step) < n) {
		if (guest_now_ms() > until)
			return false;
		usleep(PAUSE_US);
	}
	return true;
}

/* 0: 203.0.113.1; 1: 203.0.113.2 and 2001:db8::2 */
static int guest_gains(const char *port)
{
	ROOT_CHECK(allowed("203.0.113.1") && !allowed("203.0.113.2") && !allowed("2001:db8::2"));
	ROOT_CHECK(hosts_say("203.0.113.1") && !hosts_say("203.0.113.2"));
	ROOT_CHECK(dns_step(atoi(port), 1) == 0);
	ROOT_CHECK(soon(allowed, "203.0.113.2", true, SOON_MS));
	ROOT_CHECK(allowed("203.0.113.1")); /* which has left just now */
	ROOT_CHECK(soon(allowed, "2001:db8::2", true, SOON_MS));
	ROOT_CHECK(hosts_say("203.0.113.2") && hosts_say("2001:db8::2") &&
		   !hosts_say("203.0.113.1"));
	ROOT_CHECK(!allowed("203.0.113.3"));
	return 0;
}

static int guest_gains_nothing(const char *port)
{
	ROOT_CHECK(allowed("203.0.113.1") && dns_step(atoi(port), 1) == 0);
	ROOT_CHECK(!soon(allowed, "203.0.113.2", true, QUIET_MS));
	ROOT_CHECK(hosts_say("203.0.113.1") && !hosts_say("203.0.113.2"));
	ROOT_CHECK(dns_step(atoi(port), 1) == 0);
	return 0;
}

/* A question by TCP, answered. */
static bool talks(int fd)
{
	static const uint8_t question[] = { 0, 19, 1, 2, 1,   0, 0, 1, 0, 0, 0,
					    0, 0,  0, 1, 'x', 0, 0, 1, 0, 1 };
	uint8_t got[2];

	return send(fd, question, sizeof(question), MSG_NOSIGNAL) == sizeof(question) &&
	       recv(fd, got, 2, MSG_WAITALL) == 2 &&
	       recv(fd, (char[512]){ 0 }, (size_t)(got[0] << 8 | got[1]), MSG_WAITALL) > 0;
}

/* 0: 127.0.0.1; 1: 203.0.113.2. By TCP the first is allowed for the name's sake only. */
static int guest_loses(const char *port)
{
	int fd = connected(SOCK_STREAM, "127.0.0.1", atoi(port)), again = -1;
	long long since;

	ROOT_CHECK(fd >= 0 && talks(fd));
	ROOT_CHECK(dns_step(atoi(port), 1) == 0);
	ROOT_CHECK(soon(allowed, "203.0.113.2", true, SOON_MS));
	since = guest_now_ms();
	do {
		close(again);
		again = connected(SOCK_STREAM, "127.0.0.1", atoi(port));
		usleep(10 * PAUSE_US);
	} while (again >= 0 && guest_now_ms() - since < NAMES_GRACE_S * 1000 + SOON_MS);
	ROOT_CHECK(again < 0 && errno == EACCES);
	ROOT_CHECK(guest_now_ms() - since > NAMES_GRACE_S * 1000 - 2000);
	ROOT_CHECK(talks(fd)); /* what is connected stays so */
	ROOT_CHECK(allowed("203.0.113.2"));
	return 0;
}

/* 0: 203.0.113.1; 1: what must not be gained, and 203.0.113.2 and 2001:db8::2 */
static int guest_bound_again(const char *port)
{
	static const char *const refused[] = {
		"127.0.0.1",  "127.0.0.2",	  "10.0.0.1",  "192.168.1.1",
		"100.64.1.1", "169.254.169.254",  "::1",       "fe80::1",
		"fd00::1",    "::ffff:127.0.0.1", "224.0.0.1", "64:ff9b::a00:1",
	};

	ROOT_CHECK(dns_step(atoi(port), 1) == 0);
	ROOT_CHECK(soon(allowed, "203.0.113.2", true, SOON_MS));
	ROOT_CHECK(soon(allowed, "2001:db8::2", true, SOON_MS));
	for (size_t i = 0; i < N_OF(refused); i++) {
		if (allowed(refused[i]) || hosts_say(refused[i])) {
			fprintf(stderr, "%s was gained\n", refused[i]);
			return 1;
		}
	}
	return 0;
}

/* 0: 203.0.113.1; 1: OWN and 203.0.113.2 */
static int guest_own(const char *port_and_own)
{
	const char *own = strchr(port_and_own, ' ') + 1;

	ROOT_CHECK(dns_step(atoi(port_and_own), 1) == 0);
	ROOT_CHECK(soon(allowed, "203.0.113.2", true, SOON_MS));
	ROOT_CHECK(!allowed(own) && !hosts_say(own));
	return 0;
}

/* 0: 10.0.0.1; 1: 10.0.0.2 and 127.0.0.1 */
static int guest_private(const char *port)
{
	ROOT_CHECK(allowed("10.0.0.1") && !allowed("10.0.0.2"));
	ROOT_CHECK(dns_step(atoi(port), 1) == 0);
	ROOT_CHECK(soon(allowed, "10.0.0.2", true, SOON_MS));
	ROOT_CHECK(!allowed("127.0.0.1"));
	return 0;
}

/* 0: 203.0.113.1; 1: harm; 2: 203.0.113.2 */
static int guest_harm(const char *port)
{
	ROOT_CHECK(dns_step(atoi(port), 1) == 0);
	ROOT_CHECK(is_asked(atoi(port), 1, 1));
	ROOT_CHECK(allowed("203.0.113.1") && !allowed("203.0.113.2") && hosts_say("203.0.113.1"));
	ROOT_CHECK(dns_step(atoi(port), 2) == 0);
	ROOT_CHECK(soon(allowed, "203.0.113.2", true, SOON_MS));
	return 0;
}

/* 0: 203.0.113.1; 1: thousands */
static int guest_huge(const char *port)
{
	ROOT_CHECK(dns_step(atoi(port), 1) == 0);
	ROOT_CHECK(soon(allowed, "198.18.0.1", true, SOON_MS));
	ROOT_CHECK(allowed("198.18.0.64") && hosts_say("198.18.0.64"));
	ROOT_CHECK(!allowed("198.18.0.65") && !hosts_say("198.18.0.65"));
	ROOT_CHECK(allowed("203.0.113.1"));
	return 0;
}

/* Wait for 203.0.113.1 to be joined by ADDRESS. */
static int guest_joined_by(const char *text)
{
	ROOT_CHECK(allowed("203.0.113.1") && !allowed(text));
	puts("begun");
	ROOT_CHECK(fflush(stdout) == 0);
	ROOT_CHECK(soon(allowed, text, true, SOON_MS));
	ROOT_CHECK(hosts_say(text));
	return 0;
}

static int guest_shown(const char *text)
{
	ROOT_CHECK(!hosts_say(text));
	puts("begun");
	ROOT_CHECK(fflush(stdout) == 0);
	ROOT_CHECK(soon(hosts_say, text, true, SOON_MS));
	return 0;
}

static int guest_nothing(const char *arg)
{
	(void)arg;
	return 0;
}

/* ---- outside ---- */

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* Of its own: the network, which has loopback alone, and what @resolv_conf and @hosts say. False: this machine lets nobody have that. */
static bool enter_host(const char *resolv_conf, const char *hosts)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	char map[64];
	int fd;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) < 0)
		return false;
	put("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	put("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "0 %u 1", gid);
	put("/proc/self/gid_map", map);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	close(fd);
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount(resolv_conf, "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0 &&
	       mount(hosts, "/etc/hosts", NULL, MS_BIND, NULL) == 0;
}

/* Run "@role @text" in @p, and call @change once it says that it has begun. Its exit code. */
static int run_and_change(struct sluice_policy *p, const char *role, const char *text,
			  void (*change)(void *arg), void *arg)
{
	struct sluice_spawn_options o = { .size = sizeof(o) };
	struct sluice_sandbox *s;
	struct sluice_result result;
	char begun[8];
	int fd;

	o.stdio[1] = SLUICE_STDIO_PIPE;
	s = guest_spawn(p, &o, role, text);
	fd = sluice_sandbox_pipe(s, 1);
	if (read(fd, begun, sizeof(begun)) > 0)
		change(arg);
	assert_int_equal(sluice_sandbox_wait(s, -1, &result), 0);
	close(fd);
	sluice_sandbox_free(s);
	return result.exit_code;
}

struct writing {
	const char *path, *text;
};

static void write_it(void *writing)
{
	const struct writing *w = writing;

	put(w->path, w->text);
}

/* Run "joined_by @text", and change @path to @to once it has begun. */
static int join_by(const char *text, const char *path, const char *to)
{
	struct writing w = { path, to };
	struct sluice_policy *p = guest_policy();
	int r;

	assert_int_equal(sluice_policy_allow_net(p, "udp://" NAME, NULL), 0);
	assert_int_equal(sluice_policy_set_net_resolve(p, SLUICE_NET_RESOLVE_LIVE), 0);
	r = run_and_change(p, "joined_by", text, write_it, &w);
	sluice_policy_unref(p);
	return r;
}

/*
 * In a process of its own, DIR holding the files: names and servers are those that the host's files say at the moment. 77: no such host can be had.
 */
static int host_side(const char *dir)
{
	static const struct dns_step one = { .v4 = "203.0.113.1", .ttl_s = 1 };
	static const struct dns_step two = { .v4 = "203.0.113.1 203.0.113.2", .ttl_s = 1 };
	char resolv_conf[4200], hosts[4200];
	struct dns *a, *b;
	int r;

	snprintf(resolv_conf, sizeof(resolv_conf), "%s/resolv.conf", dir);
	snprintf(hosts, sizeof(hosts), "%s/hosts", dir);
	put(resolv_conf, "nameserver 127.0.0.1\n");
	put(hosts, "127.0.0.1 localhost\n");
	if (!enter_host(resolv_conf, hosts))
		return 77;
	a = dns_start_at("127.0.0.1", 53, &one, 1);
	b = dns_start_at("127.0.0.2", 53, &two, 1);
	assert_true(a && b);
	r = join_by("203.0.113.3", hosts, "203.0.113.3\t" NAME "\n");
	put(hosts, "127.0.0.1 localhost\n");
	if (r == 0)
		r = join_by("203.0.113.2", resolv_conf, "nameserver 127.0.0.2\n");
	dns_stop(a);
	dns_stop(b);
	return r;
}

/* May talk to @d itself, and to NAME by any protocol and port. */
static struct sluice_policy *policy(const struct dns *d, enum sluice_net_resolve how)
{
	struct sluice_policy *p = guest_policy();
	char text[64];

	snprintf(text, sizeof(text), "udp://127.0.0.1:%d", dns_port(d));
	assert_int_equal(sluice_policy_allow_net(p, text, NULL), 0);
	assert_int_equal(sluice_policy_allow_net(p, "udp://" NAME, NULL), 0);
	assert_int_equal(sluice_policy_allow_net(p, "tcp://" NAME, NULL), 0);
	assert_int_equal(sluice_policy_add_name_server(p, text + strlen("udp://"), NULL), 0);
	assert_int_equal(sluice_policy_set_net_resolve(p, how), 0);
	return p;
}

/* @role gets the server's port, and @more. */
static void run_with(const struct dns_step *steps, unsigned n, const char *role, const char *more,
		     enum sluice_net_resolve how)
{
	struct dns *d = dns_start(steps, n);
	struct sluice_policy *p = policy(d, how);
	char arg[80];

	snprintf(arg, sizeof(arg), "%d%s", dns_port(d), more);
	assert_int_equal(guest_inside(p, role, arg), 0);
	sluice_policy_unref(p);
	dns_stop(d);
}

static void run(const struct dns_step *steps, unsigned n, const char *role,
		enum sluice_net_resolve how)
{
	run_with(steps, n, role, "", how);
}

static const struct dns_step gain[] = {
	{ .v4 = "203.0.113.1", .ttl_s = 1 },
	{ .v4 = "203.0.113.2", .v6 = "2001:db8::2", .ttl_s = 1 },
};

static void test_gains(void **state)
{
	(void)state;
	run(gain, N_OF(gain), "gains", SLUICE_NET_RESOLVE_LIVE);
}

static void to_step_1(void *dns)
{
	assert_int_equal(dns_step(dns_port(dns), 1), 0);
}

/* Also where no socket can be had. */
static void test_shown(void **state)
{
	struct dns *d = dns_start(gain, N_OF(gain));
	struct sluice_policy *p = policy(d, SLUICE_NET_RESOLVE_LIVE);

	(void)state;
	assert_int_equal(run_and_change(p, "shown", "203.0.113.2", to_step_1, d), 0);
	sluice_policy_unref(p);
	dns_stop(d);
}

/* Nobody asks again, and there is no thread that could. */
static void test_pinned(void **state)
{
	(void)state;
	run(gain, N_OF(gain), "gains_nothing", SLUICE_NET_RESOLVE_PINNED);
}

static void test_loses(void **state)
{
	static const struct dns_step steps[] = {
		{ .v4 = "127.0.0.1", .ttl_s = 1 },
		{ .v4 = "203.0.113.2", .ttl_s = 1 },
	};

	(void)state;
	run(steps, N_OF(steps), "loses", SLUICE_NET_RESOLVE_LIVE);
}

static void test_bound_again(void **state)
{
	static const struct dns_step steps[] = {
		{ .v4 = "203.0.113.1", .ttl_s = 1 },
		{ .v4 = "127.0.0.1 127.0.0.2 10.0.0.1 192.168.1.1 100.64.1.1 169.254.169.254 "
			"224.0.0.1 203.0.113.2",
		  .v6 = "::1 fe80::1 fd00::1 ::ffff:127.0.0.1 64:ff9b::a00:1 2001:db8::2",
		  .ttl_s = 1 },
	};

	(void)state;
	run(steps, N_OF(steps), "bound_again", SLUICE_NET_RESOLVE_LIVE);
}

/* An IPv4 address of this machine that is not loopback's. */
static bool own_address(char ret[INET_ADDRSTRLEN])
{
	struct ifaddrs *all = NULL;
	bool found = false;

	assert_int_equal(getifaddrs(&all), 0);
	for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
		found = i->ifa_addr && i->ifa_addr->sa_family == AF_INET &&
			!(i->ifa_flags & IFF_LOOPBACK);
		if (found)
			inet_ntop(AF_INET, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, ret,
				  INET_ADDRSTRLEN);
	}
	freeifaddrs(all);
	return found;
}

static void test_own(void **state)
{
	char own[INET_ADDRSTRLEN], both[64], more[INET_ADDRSTRLEN + 1];
	const struct dns_step steps[] = {
		{ .v4 = "203.0.113.1", .ttl_s = 1 },
		{ .v4 = both, .ttl_s = 1 },
	};

	(void)state;
	if (!own_address(own))
		skip_because("no address but those of loopback");
	snprintf(both, sizeof(both), "%s 203.0.113.2", own);
	snprintf(more, sizeof(more), " %s", own);
	run_with(steps, N_OF(steps), "own", more, SLUICE_NET_RESOLVE_LIVE);
}

static void test_private(void **state)
{
	static const struct dns_step steps[] = {
		{ .v4 = "10.0.0.1", .ttl_s = 1 },
		{ .v4 = "127.0.0.1 10.0.0.2", .ttl_s = 1 },
	};

	(void)state;
	run(steps, N_OF(steps), "private", SLUICE_NET_RESOLVE_LIVE);
}

static void test_harm(void **state)
{
	static const enum dns_manner manners[] = { DNS_NO_NAME, DNS_FAILS, DNS_SILENT,
						   DNS_GARBAGE, DNS_LOOPS, DNS_FLOODS };

	(void)state;
	for (size_t i = 0; i < N_OF(manners); i++) {
		const struct dns_step steps[] = {
			{ .v4 = "203.0.113.1", .ttl_s = 1 },
			{ .v4 = "203.0.113.1", .ttl_s = 1, .manner = manners[i] },
			{ .v4 = "203.0.113.2", .ttl_s = 1 },
		};

		run(steps, N_OF(steps), "harm", SLUICE_NET_RESOLVE_LIVE);
	}
}

static void test_huge(void **state)
{
	static const struct dns_step steps[] = {
		{ .v4 = "203.0.113.1", .ttl_s = 1 },
		{ .manner = DNS_HUGE, .ttl_s = 1 },
	};

	(void)state;
	run(steps, N_OF(steps), "huge", SLUICE_NET_RESOLVE_LIVE);
}

static void test_host(void **state)
{
	const char *dir = guest_dir(), *const argv[] = { guest_program(), "--inside", "host_side",
							 dir, NULL };
	int status = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(posix_spawn(&pid, argv[0], NULL, NULL, (char **)argv, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	guest_remove(dir);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip_because("no network of one's own can be had");
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* The thread ends with the command, not with the sandbox object. */
static void test_threads(void **state)
{
	static const struct dns_step steps[] = { { .v4 = "203.0.113.1", .ttl_s = 0 } };
	struct dns *d = dns_start(steps, N_OF(steps));
	const int before = guest_threads_left(INT_MAX);

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct sluice_policy *p = policy(d, SLUICE_NET_RESOLVE_LIVE);
		struct sluice_sandbox *s = guest_spawn(p, NULL, "nothing", "");

		assert_int_equal(sluice_sandbox_wait(s, -1, NULL), 0);
		assert_int_equal(guest_threads_left(before), before);
		sluice_sandbox_free(s);
		sluice_policy_unref(p);
	}
	dns_stop(d);
}

static void test_start_errors(void **state)
{
	static const struct {
		enum dns_manner manner;
		int error;
	} cases[] = { { DNS_NO_NAME, -ENOENT },
		      { DNS_ANSWERS, -ENOENT },
		      { DNS_FAILS, -EAGAIN },
		      { DNS_GARBAGE, -ETIMEDOUT },
		      { DNS_SILENT, -ETIMEDOUT } };

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		const struct dns_step step = { .manner = cases[i].manner };
		const char *const argv[] = { guest_program(), "--inside", "nothing", NULL };
		struct dns *d = dns_start(&step, 1);
		struct sluice_policy *p = policy(d, SLUICE_NET_RESOLVE_LIVE);
		struct sluice_error err = { 0 };

		assert_int_equal(sluice_run(p, argv, NULL, &err), cases[i].error);
		assert_non_null(strstr(err.text, NAME));
		sluice_policy_unref(p);
		dns_stop(d);
	}
}

static const struct guest_role roles[] = {
	{ "gains", guest_gains },
	{ "gains_nothing", guest_gains_nothing },
	{ "loses", guest_loses },
	{ "bound_again", guest_bound_again },
	{ "own", guest_own },
	{ "private", guest_private },
	{ "harm", guest_harm },
	{ "huge", guest_huge },
	{ "joined_by", guest_joined_by },
	{ "shown", guest_shown },
	{ "host_side", host_side },
	{ "nothing", guest_nothing },
	{ NULL, NULL },
};

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads), /* first: nobody's is still ending */
		cmocka_unit_test(test_shown),
		cmocka_unit_test(test_start_errors),
	};
	const struct CMUnitTest tests_of_sockets[] = {
		cmocka_unit_test(test_gains),	cmocka_unit_test(test_pinned),
		cmocka_unit_test(test_loses),	cmocka_unit_test(test_bound_again),
		cmocka_unit_test(test_private), cmocka_unit_test(test_own),
		cmocka_unit_test(test_harm),	cmocka_unit_test(test_huge),
		cmocka_unit_test(test_host),
	};
	int failed;

	guest_begin(argc, argv, roles);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (guest_descriptors_can_be_got()) /* else nothing can be connected */
		failed += cmocka_run_group_tests(tests_of_sockets, NULL, NULL);
	return failed;
}
