/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of the network, and the host's files about it: any text is a rule or an error with a column inside of it, and a rule written out is read back as itself; whatever
 * stands in resolv.conf and hosts, there is somebody to ask, and reading comes to an end. See fuzz.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "builtin/network/hosts_file.h"
#include "builtin/network/servers.h"
#include "fuzz.h"
#include "policy/net_rule.h"

#define TEXT_MAX 2048

static void write_host(const struct net_target *t, char *out)
{
	char address[INET6_ADDRSTRLEN];

	switch (t->kind) {
	case NET_ANY:
		strcat(out, "*");
		break;
	case NET_NAME:
		strcat(out, t->name);
		break;
	case NET_PREFIX:
		inet_ntop(AF_INET6, t->address.bytes, address, sizeof(address));
		sprintf(out + strlen(out), "[%s/%u]", address, t->bits);
		break;
	}
}

static void write_rule(const struct net_target *t, char *out)
{
	static const char *const schemes[] = {
		[0] = "", [NET_TCP] = "tcp://", [NET_UDP] = "udp://", [NET_ICMP] = "icmp://"
	};

	sprintf(out, "%s", schemes[t->protocols]);
	write_host(t, out);
	for (size_t i = 0; i < t->ports.n; i++)
		sprintf(out + strlen(out), "%c%u-%u", i ? ',' : ':', t->ports.ranges[i].first,
			t->ports.ranges[i].last);
}

static void check_error(const char *text, int r, const struct sluice_error *err)
{
	const char *column = strstr(err->text, "column ");

	CHECK(r == -EINVAL || r == -ERANGE);
	CHECK(err->code == -r && *err->hint);
	/* text that is long is cut, with the column */
	CHECK(strlen(text) > 100 ||
	      (column && (size_t)atoi(column + strlen("column ")) <= strlen(text) + 1));
}

static void check_target(const char *text)
{
	struct net_target t, again;
	struct sluice_error err = { 0 };
	char written[TEXT_MAX] = "";
	int r = net_target_parse(text, &t, &err);

	if (r < 0) {
		check_error(text, r, &err);
		return;
	}
	CHECK(t.kind >= NET_ANY && t.kind <= NET_NAME && t.ports.n <= NET_PORTS_MAX);
	CHECK(t.bits <= NET_ADDRESS_BITS && strlen(t.name) <= NET_HOST_MAX);
	for (size_t i = 0; i < t.ports.n; i++)
		CHECK(t.ports.ranges[i].first <= t.ports.ranges[i].last);
	CHECK(t.kind != NET_PREFIX || net_target_covers(&t, &t.address));
	write_rule(&t, written);
	CHECK(net_target_parse(written, &again, NULL) == 0);
	CHECK(!memcmp(&t, &again, sizeof(t)));
}

static void check_server(const char *text)
{
	struct net_server s = { 0 };
	struct sluice_error err = { 0 };
	int r = net_server_parse(text, &s, &err);

	CHECK(r < 0 || s.port);
	if (r < 0)
		check_error(text, r, &err);
}

static void check_files(const char *text)
{
	const char *at = text, *before = text;
	struct net_address a;
	struct servers s;

	servers_read(text, &s);
	CHECK(s.n && s.n <= NET_SERVERS_MAX && s.n_domains <= SERVERS_DOMAINS_MAX);
	CHECK(s.ndots <= SERVERS_NDOTS_MAX);
	while (hosts_file_next(&at, "localhost", &a)) {
		CHECK(at > before && at <= text + strlen(text));
		before = at;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[512];
	struct net_ports p;

	size = size < sizeof(text) ? size : sizeof(text) - 1;
	memcpy(text, data, size);
	text[size] = '\0';
	check_target(text);
	net_ports_parse(text, &p, NULL);
	check_server(text);
	check_files(text);
	return 0;
}
