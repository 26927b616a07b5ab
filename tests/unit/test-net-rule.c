/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of the network: what is read from them, and where what is wrong stands.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/net_rule.h"

#include "../support/cmocka.h"

static struct net_target parsed(const char *text)
{
	struct sluice_error err = { 0 };
	struct net_target t;

	memset(&t, 0xa5, sizeof(t));
	if (net_target_parse(text, &t, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return t;
}

static struct net_address address(const char *text)
{
	struct net_address a = { { [10] = 0xff, [11] = 0xff } };

	if (!strchr(text, ':'))
		assert_int_equal(inet_pton(AF_INET, text, a.bytes + 12), 1);
	else
		assert_int_equal(inet_pton(AF_INET6, text, a.bytes), 1);
	return a;
}

static void test_protocols_and_kinds(void **state)
{
	static const struct {
		const char *text;
		unsigned protocols;
		enum net_target_kind kind;
		size_t n_ports;
	} samples[] = {
		{ "example.org", 0, NET_NAME, 0 },
		{ "tcp://example.org:443", NET_TCP, NET_NAME, 1 },
		{ "UDP://Example.ORG.:53,5353", NET_UDP, NET_NAME, 2 },
		{ "icmp://192.0.2.1", NET_ICMP, NET_PREFIX, 0 },
		{ "*", 0, NET_ANY, 0 },
		{ "*:*", 0, NET_ANY, 0 },
		{ "udp://*:53", NET_UDP, NET_ANY, 1 },
		{ "10.0.0.0/8:1-65535", 0, NET_PREFIX, 1 },
		{ "::1", 0, NET_PREFIX, 0 },
		{ "[::1]", 0, NET_PREFIX, 0 },
		{ "[fd00::/8]:80,443", 0, NET_PREFIX, 2 },
		{ "fd00::/8", 0, NET_PREFIX, 0 },
		{ "0.0.0.0/0", 0, NET_PREFIX, 0 },
		{ "::/0", 0, NET_PREFIX, 0 },
		{ "localhost:0", 0, NET_NAME, 1 },
		{ "_srv.a-b.example:1", 0, NET_NAME, 1 },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(samples); i++) {
		struct net_target t = parsed(samples[i].text);

		if (t.protocols != samples[i].protocols || t.kind != samples[i].kind ||
		    t.ports.n != samples[i].n_ports)
			fail_msg("%s: %u, %d, %zu", samples[i].text, t.protocols, (int)t.kind,
				 t.ports.n);
	}
	assert_string_equal(parsed("Example.ORG.:1").name, "example.org");
}

static void test_ports(void **state)
{
	struct net_target t = parsed("h:80,8000-8002,65535");

	(void)state;
	assert_true(net_ports_have(&t.ports, 80));
	assert_true(net_ports_have(&t.ports, 8000));
	assert_true(net_ports_have(&t.ports, 8002));
	assert_true(net_ports_have(&t.ports, 65535));
	assert_false(net_ports_have(&t.ports, 0));
	assert_false(net_ports_have(&t.ports, 79));
	assert_false(net_ports_have(&t.ports, 8003));
	t = parsed("h");
	assert_true(net_ports_have(&t.ports, 0));
	assert_true(net_ports_have(&t.ports, 65535));
}

/* A prefix of one family never covers an address of the other, and the mapped form is IPv4 in every place. */
static void test_prefixes(void **state)
{
	static const struct {
		const char *rule, *address;
		bool covered;
	} samples[] = {
		{ "10.0.0.0/8", "10.255.1.2", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.0.0.0/8", "::ffff:10.1.1.1", true },
		{ "10.0.0.0/8", "a00::", false },
		{ "192.168.4.0/22", "192.168.7.255", true },
		{ "192.168.4.0/22", "192.168.8.0", false },
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "0.0.0.0/0", "8.8.8.8", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "8.8.8.8", false },
		{ "::ffff:192.0.2.1", "192.0.2.1", true },
		{ "[::ffff:192.0.2.0/120]", "192.0.2.77", true },
		{ "fe80::/10", "febf::1", true },
		{ "fe80::/10", "fec0::1", false },
		{ "2001:db8::/33", "2001:db8:7fff::", true },
		{ "2001:db8::/33", "2001:db8:8000::", false },
		{ "*", "8.8.8.8", true },
		{ "*", "2001:db8::1", true },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(samples); i++) {
		struct net_target t = parsed(samples[i].rule);
		struct net_address a = address(samples[i].address);

		if (net_target_covers(&t, &a) != samples[i].covered)
			fail_msg("%s: %s", samples[i].rule, samples[i].address);
	}
}

/* What is written of a rule reads as the same rule. */
static void test_written_rules(void **state)
{
	static const struct {
		const char *rule, *whom, *ports;
	} samples[] = {
		{ "example.org", "example.org", "*" },
		{ "*:53,80-81,8080", "*", "53,80-81,8080" },
		{ "10.0.0.0/8:1-65535", "10.0.0.0/8", "1-65535" },
		{ "192.0.2.1", "192.0.2.1", "*" },
		{ "0.0.0.0/0:0", "0.0.0.0/0", "0" },
		{ "::ffff:192.0.2.1", "192.0.2.1", "*" },
		{ "fe80::/10", "fe80::/10", "*" },
		{ "[2001:db8::1]:443", "2001:db8::1", "443" },
		{ "::/0", "::/0", "*" },
	};
	char whom[NET_WHOM_BYTES], ports[NET_PORTS_BYTES], longest[NET_PORTS_BYTES] = "";
	struct net_ports all;

	(void)state;
	for (size_t i = 0; i < N_OF(samples); i++) {
		struct net_target t = parsed(samples[i].rule);

		net_target_write(&t, whom);
		net_ports_write(&t.ports, ports);
		assert_string_equal(whom, samples[i].whom);
		assert_string_equal(ports, samples[i].ports);
	}
	for (size_t i = 0; i < NET_PORTS_MAX; i++)
		strcat(longest, i ? ",65534-65535" : "65534-65535");
	assert_int_equal(net_ports_parse(longest, &all, NULL), 0);
	net_ports_write(&all, ports);
	assert_string_equal(ports, longest);
}

/* Each is refused, and the error says at which column. */
static void test_what_is_wrong(void **state)
{
	static const struct {
		const char *text;
		int result;
		unsigned column;
	} samples[] = {
		{ "", -EINVAL, 1 },
		{ ":80", -EINVAL, 1 },
		{ "tcp://", -EINVAL, 7 },
		{ "http://h", -EINVAL, 1 },
		{ "h:", -EINVAL, 3 },
		{ "h:65536", -ERANGE, 3 },
		{ "h:18446744073709551616", -ERANGE, 3 },
		{ "h:80,", -EINVAL, 6 },
		{ "h:80,,81", -EINVAL, 6 },
		{ "h:90-80", -EINVAL, 3 },
		{ "h:80x", -EINVAL, 5 },
		{ "h:-1", -EINVAL, 3 },
		{ "h:80 ", -EINVAL, 5 },
		{ "icmp://h:1", -EINVAL, 10 },
		{ "[::1", -EINVAL, 1 },
		{ "[::1]80", -EINVAL, 6 },
		{ "[192.0.2.1]:80", -EINVAL, 2 },
		{ "[example.org]:80", -EINVAL, 2 },
		{ "256.1.1.1", -EINVAL, 1 },
		{ "1.2.3", -EINVAL, 1 },
		{ "10.0.0.0/33", -ERANGE, 10 },
		{ "10.0.0.1/8", -EINVAL, 10 },
		{ "10.0.0.0/", -EINVAL, 10 },
		{ "10.0.0.0/8x", -EINVAL, 10 },
		{ "[::/129]", -ERANGE, 5 },
		{ "fd00::1/8", -EINVAL, 9 },
		{ "example.org/8", -EINVAL, 1 },
		{ "*.example.org", -EINVAL, 1 },
		{ "a..b", -EINVAL, 3 },
		{ ".", -EINVAL, 1 },
		{ "h\n", -EINVAL, 2 },
		{ "h\xc3\xa9", -EINVAL, 2 },
		{ "0.0.0.0", -EINVAL, 1 },
		{ "[::]:80", -EINVAL, 2 },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(samples); i++) {
		struct sluice_error err = { 0 };
		struct net_target t;
		char column[32];
		int r = net_target_parse(samples[i].text, &t, &err);

		snprintf(column, sizeof(column), "column %u:", samples[i].column);
		if (r != samples[i].result || !strstr(err.text, column) || !*err.hint)
			fail_msg("%s: %d, %s", samples[i].text, r, err.text);
	}
}

static void test_bind_ports(void **state)
{
	struct net_ports p;

	(void)state;
	assert_int_equal(net_ports_parse("8080,9000-9005", &p, NULL), 0);
	assert_true(net_ports_have(&p, 9005));
	assert_false(net_ports_have(&p, 9006));
	assert_int_equal(net_ports_parse("*", &p, NULL), 0);
	assert_true(net_ports_have(&p, 0));
	assert_int_equal(net_ports_parse("", &p, NULL), -EINVAL);
	assert_int_equal(net_ports_parse("*,80", &p, NULL), -EINVAL);
	assert_int_equal(net_ports_parse("70000", &p, NULL), -ERANGE);
}

/* A name of 253 bytes is the longest, a label of 63, and 64 ranges the most. */
static void test_bounds(void **state)
{
	char name[300], label[80], ports[400] = "h:";
	struct net_target t;

	(void)state;
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 2 ? '.' : 'a';
	name[253] = '\0';
	assert_int_equal(net_target_parse(name, &t, NULL), 0);
	name[253] = '.';
	name[254] = 'a';
	name[255] = '\0';
	assert_int_equal(net_target_parse(name, &t, NULL), -EINVAL);
	memset(label, 'a', sizeof(label));
	label[63] = '\0';
	assert_int_equal(net_target_parse(label, &t, NULL), 0);
	label[63] = 'a';
	label[64] = '\0';
	assert_int_equal(net_target_parse(label, &t, NULL), -EINVAL);
	for (unsigned i = 0; i < 64; i++)
		sprintf(ports + strlen(ports), "%s%u", i ? "," : "", i);
	assert_int_equal(net_target_parse(ports, &t, NULL), 0);
	strcat(ports, ",64");
	assert_int_equal(net_target_parse(ports, &t, NULL), -EINVAL);
}

static void test_servers(void **state)
{
	static const struct {
		const char *text, *address;
		uint16_t port;
		int error, column;
	} samples[] = {
		{ "10.0.0.53", "10.0.0.53", 53, 0, 0 },
		{ "10.0.0.53:5353", "10.0.0.53", 5353, 0, 0 },
		{ "2001:db8::53", "2001:db8::53", 53, 0, 0 },
		{ "[::1]:5353", "::1", 5353, 0, 0 },
		{ "[::1]", "::1", 53, 0, 0 },
		{ "dns.example.org", NULL, 0, -EINVAL, 1 },
		{ "10.0.0.0/8", NULL, 0, -EINVAL, 1 },
		{ "0.0.0.0", NULL, 0, -EINVAL, 1 },
		{ "10.0.0.53:0", NULL, 0, -EINVAL, 11 },
		{ "10.0.0.53:1-2", NULL, 0, -EINVAL, 11 },
		{ "10.0.0.53:", NULL, 0, -EINVAL, 11 },
		{ "10.0.0.53:65536", NULL, 0, -ERANGE, 11 },
		{ "[::1]5353", NULL, 0, -EINVAL, 6 },
		{ "[::1", NULL, 0, -EINVAL, 1 },
		{ "*", NULL, 0, -EINVAL, 1 },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(samples); i++) {
		struct sluice_error err = { 0 };
		struct net_server s = { 0 };
		char column[32];

		assert_int_equal(net_server_parse(samples[i].text, &s, &err), samples[i].error);
		if (samples[i].address) {
			const struct net_address a = address(samples[i].address);

			assert_memory_equal(&s.address, &a, sizeof(a));
			assert_int_equal(s.port, samples[i].port);
			continue;
		}
		snprintf(column, sizeof(column), "column %d:", samples[i].column);
		if (!strstr(err.text, column) || !*err.hint)
			fail_msg("%s: %s", samples[i].text, err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_protocols_and_kinds),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_written_rules),
		cmocka_unit_test(test_what_is_wrong),
		cmocka_unit_test(test_bind_ports),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
