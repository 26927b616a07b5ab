/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ioctls of interfaces where there are rules of the network: of loopback they say what the kernel says, and of others nothing.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "../support/root.h"

#define LISTED_MAX 64

/* ---- inside ---- */

static int internet(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* The errno of @request about interface @name. */
static int ask(int fd, unsigned long request, const char *name, struct ifreq *ret)
{
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->ifr_name, sizeof(ret->ifr_name), "%s", name);
	return ioctl(fd, request, ret) < 0 ? errno : 0;
}

static const unsigned long questions[] = {
	SIOCGIFINDEX, SIOCGIFFLAGS,   SIOCGIFMTU,     SIOCGIFTXQLEN,  SIOCGIFMETRIC, SIOCGIFMAP,
	SIOCGIFADDR,  SIOCGIFDSTADDR, SIOCGIFBRDADDR, SIOCGIFNETMASK, SIOCGIFHWADDR,
};

/* Answers about loopback, byte by byte, by sockets of the first families, as many as @arg says. */
static int guest_loopback(const char *arg)
{
	static const int families[] = { AF_INET, AF_INET6, AF_UNIX };

	for (int f = 0; f < atoi(arg); f++) {
		int fd = socket(families[f], SOCK_STREAM | SOCK_CLOEXEC, 0);
		struct ifreq io;

		ROOT_CHECK(fd >= 0);
		for (size_t i = 0; i < N_OF(questions); i++) {
			int error = ask(fd, questions[i], "lo", &io);

			printf("%d %#lx %d:", families[f], questions[i], error);
			for (size_t k = 0; !error && k < sizeof(io); k++)
				printf(" %02x", ((unsigned char *)&io)[k]);
			printf("\n");
		}
		io.ifr_ifindex = 1;
		ROOT_CHECK(ioctl(fd, SIOCGIFNAME, &io) == 0);
		printf("%s\n", io.ifr_name);
		close(fd);
	}
	return fflush(stdout) ? 200 : 0;
}

/* Names and addresses that SIOCGIFCONF lists. */
static int guest_list(const char *arg)
{
	struct ifreq list[LISTED_MAX];
	struct ifconf conf = { .ifc_len = sizeof(list), .ifc_req = list };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)arg;
	ROOT_CHECK(ioctl(fd, SIOCGIFCONF, &conf) == 0);
	for (size_t i = 0; i < (size_t)conf.ifc_len / sizeof(list[0]); i++) {
		const struct sockaddr_in *sa = (const struct sockaddr_in *)&list[i].ifr_addr;
		char text[INET_ADDRSTRLEN];

		printf("%s %s\n", list[i].ifr_name,
		       inet_ntop(AF_INET, &sa->sin_addr, text, sizeof(text)));
	}
	return fflush(stdout) ? 200 : 0;
}

/* How many of the numbers from 2 on have a name. */
static int guest_others(const char *arg)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), n = 0;

	(void)arg;
	for (int i = 2; i < 1000; i++) {
		struct ifreq io = { .ifr_ifindex = i };

		if (ioctl(fd, SIOCGIFNAME, &io) < 0) {
			ROOT_CHECK(errno == ENODEV);
			continue;
		}
		printf("%s\n", io.ifr_name);
		n++;
	}
	printf("%d\n", n);
	return fflush(stdout) ? 200 : 0;
}

/* NAME, an interface of the host's. */
static int guest_hidden(const char *name)
{
	int fd = internet();
	struct ifreq io;

	for (size_t i = 0; i < N_OF(questions); i++)
		ROOT_CHECK(ask(fd, questions[i], name, &io) == ENODEV);
	ROOT_CHECK(ask(fd, SIOCETHTOOL, name, &io) == ENODEV);
	ROOT_CHECK(if_nametoindex(name) == 0);
	return 0;
}

static int guest_lengths(const char *arg)
{
	struct ifreq list[4];
	struct ifconf conf = { .ifc_len = -1 };
	int fd = internet();

	(void)arg;
	memset(list, 0xa5, sizeof(list));
	ROOT_CHECK(ioctl(fd, SIOCGIFCONF, &conf) == 0 && conf.ifc_len == 2 * sizeof(list[0]));
	conf.ifc_req = list;
	for (int room = -1; room <= (int)sizeof(list); room++) {
		const size_t n = room < 0 ? 0 : (size_t)room / sizeof(list[0]);
		const size_t whole = (n < 2 ? n : 2) * sizeof(list[0]);

		memset(list, 0xa5, sizeof(list));
		conf.ifc_len = room;
		ROOT_CHECK(ioctl(fd, SIOCGIFCONF, &conf) == 0 && conf.ifc_len == (int)whole);
		for (size_t i = whole; i < sizeof(list); i++)
			ROOT_CHECK(((unsigned char *)list)[i] == 0xa5);
	}
	/* a name without an end */
	memset(list, 'l', sizeof(list));
	ROOT_CHECK(ioctl(fd, SIOCGIFFLAGS, list) < 0 && errno == ENODEV);
	return 0;
}

static int guest_faults(const char *arg)
{
	const long page = sysconf(_SC_PAGESIZE);
	char *two = mmap(NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ifconf conf = { .ifc_len = 80, .ifc_buf = (char *)1 };
	struct ifreq *io;
	int fd = internet();

	(void)arg;
	ROOT_CHECK(two != MAP_FAILED && munmap(two + page, (size_t)page) == 0);
	ROOT_CHECK(ioctl(fd, SIOCGIFFLAGS, NULL) < 0 && errno == EFAULT);
	ROOT_CHECK(ioctl(fd, SIOCGIFCONF, &conf) < 0 && errno == EFAULT);
	ROOT_CHECK(ioctl(fd, SIOCGIFCONF, 8) < 0 && errno == EFAULT);
	io = (struct ifreq *)(two + page - sizeof(*io));
	strcpy(io->ifr_name, "lo");
	ROOT_CHECK(ioctl(fd, SIOCGIFFLAGS, io) == 0 && io->ifr_flags & IFF_LOOPBACK);
	strcpy(two + page - sizeof(*io) + 1, "lo");
	ROOT_CHECK(ioctl(fd, SIOCGIFFLAGS, two + page - sizeof(*io) + 1) < 0 && errno == EFAULT);
	return 0;
}

static int guest_not_sockets(const char *arg)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct ifreq io;

	(void)arg;
	ROOT_CHECK(ask(-1, SIOCGIFFLAGS, "lo", &io) == EBADF);
	ROOT_CHECK(ask(1000, SIOCGIFFLAGS, "lo", &io) == EBADF);
	ROOT_CHECK(ask(fd, SIOCGIFFLAGS, "lo", &io) == ENOTTY);
	return 0;
}

/* What would change something, also for who might. */
static int guest_changes(const char *arg)
{
	static const unsigned long requests[] = {
		SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFMTU,	SIOCSIFHWADDR, SIOCSIFNAME, SIOCADDRT,
		SIOCDELRT,    SIOCSARP,	   SIOCDIFADDR, SIOCBRADDBR,   0x89ff,
	};
	int fd = internet();
	struct ifreq io;

	(void)arg;
	for (size_t i = 0; i < N_OF(requests); i++)
		ROOT_CHECK(ask(fd, requests[i], "lo", &io) == EPERM);
	ROOT_CHECK(ask(fd, 0x8b01, "lo", &io) == EOPNOTSUPP);
	return 0;
}

/* Of the same numbers, but of the socket itself. */
static int guest_of_the_socket(const char *arg)
{
	int fd = internet(), value = -1;

	(void)arg;
	value = getpid();
	ROOT_CHECK(ioctl(fd, SIOCSPGRP, &value) == 0);
	value = 0;
	ROOT_CHECK(ioctl(fd, SIOCGPGRP, &value) == 0 && value == getpid());
	ROOT_CHECK(ioctl(fd, SIOCATMARK, &value) == 0);
	ROOT_CHECK(ioctl(fd, FIONREAD, &value) < 0 || value == 0);
	return 0;
}

static const struct guest_role roles[] = {
	{ "loopback", guest_loopback },
	{ "list", guest_list },
	{ "others", guest_others },
	{ "hidden", guest_hidden },
	{ "lengths", guest_lengths },
	{ "faults", guest_faults },
	{ "not_sockets", guest_not_sockets },
	{ "changes", guest_changes },
	{ "of_the_socket", guest_of_the_socket },
	{ NULL, NULL },
};

/* ---- outside ---- */

static struct sluice_policy *with_rule(void)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_allow_net(p, "127.0.0.1:1", NULL), 0);
	return p;
}

static void assert_inside(const char *role, const char *arg)
{
	struct sluice_policy *p = with_rule();

	assert_int_equal(guest_inside(p, role, arg), 0);
	sluice_policy_unref(p);
}

static char *text_inside(const char *role)
{
	struct sluice_policy *p = with_rule();
	char *text = guest_text(p, NULL, 0, role, "");

	sluice_policy_unref(p);
	return text;
}

static void test_loopback_as_bare(void **state)
{
	/* a family that can't be told is taken for the first */
	const char *families = guest_descriptors_can_be_got() ? "3" : "1";
	struct sluice_policy *p = with_rule();
	char *bare = guest_text(NULL, NULL, 0, "loopback", families),
	     *inside = guest_text(p, NULL, 0, "loopback", families);

	(void)state;
	assert_int_equal(guest_text_differences("loopback", bare, inside), 0);
	free(bare);
	free(inside);
	sluice_policy_unref(p);
}

/* Without a rule all that the host has is seen. */
static void test_others_are_hidden(void **state)
{
	struct sluice_policy *p = guest_policy();
	char *bare = guest_text(NULL, NULL, 0, "others", ""),
	     *without = guest_text(p, NULL, 0, "others", ""), *inside = text_inside("others");
	char *name, *rest;

	(void)state;
	assert_string_equal(bare, without);
	assert_string_equal(inside, "0\n");
	for (name = strtok_r(bare, "\n", &rest); name && rest && *rest;
	     name = strtok_r(NULL, "\n", &rest)) {
		assert_int_not_equal(guest_bare("hidden", name), 0);
		assert_inside("hidden", name);
	}
	free(bare);
	free(without);
	free(inside);
	sluice_policy_unref(p);
}

static void test_list(void **state)
{
	struct sluice_policy *p = guest_policy();
	char *bare = guest_text(NULL, NULL, 0, "list", ""),
	     *without = guest_text(p, NULL, 0, "list", ""), *inside = text_inside("list");

	(void)state;
	assert_string_equal(bare, without);
	assert_string_equal(inside, "lo 127.0.0.1\nlo 127.0.0.2\n");
	free(bare);
	free(without);
	free(inside);
	sluice_policy_unref(p);
}

static void test_lengths(void **state)
{
	(void)state;
	assert_inside("lengths", "");
}

static void test_faults(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("faults", ""), 0);
	assert_inside("faults", "");
}

static void test_not_sockets(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("not_sockets", ""), 0);
	assert_inside("not_sockets", "");
}

static void test_changes(void **state)
{
	(void)state;
	assert_inside("changes", "");
}

static void test_of_the_socket(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("of_the_socket", ""), 0);
	assert_inside("of_the_socket", "");
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loopback_as_bare),
		cmocka_unit_test(test_others_are_hidden),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_not_sockets),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_of_the_socket),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
