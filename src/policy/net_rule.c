/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "policy/net_rule.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "util/fail.h"

#define V4_OFFSET 12u /* of the IPv4 address in its mapped form */
#define PORT_LAST 65535u
#define DNS_PORT 53
/* A host is cut out before it is looked at. */
#define HOST_BYTES (NET_HOST_MAX + 2)

/* What is being read, for errors. */
struct reading {
	const char *text;
	struct sluice_error *err;
};

static int wrong(const struct reading *r, const char *at, int error, const char *why)
{
	return fail(r->err, error, "%s: column %zu: %s", r->text, (size_t)(at - r->text) + 1, why);
}

/* ---- ports ---- */

/* Digits at *@at, moved behind them. */
static int take_port(const struct reading *r, const char **at, uint16_t *ret)
{
	const char *begin = *at;
	unsigned v = 0;

	if (*begin < '0' || *begin > '9')
		return wrong(r, begin, -EINVAL, "not a port");
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		v = v * 10 + (unsigned)(**at - '0');
		if (v > PORT_LAST)
			return wrong(r, begin, -ERANGE, "ports end at 65535");
	}
	*ret = (uint16_t)v;
	return 0;
}

static int take_range(const struct reading *r, const char **at, struct net_range *ret)
{
	const char *begin = *at;
	int e = take_port(r, at, &ret->first);

	ret->last = ret->first;
	if (e == 0 && **at == '-') {
		(*at)++;
		e = take_port(r, at, &ret->last);
	}
	if (e == 0 && ret->last < ret->first)
		e = wrong(r, begin, -EINVAL, "the range ends before it begins");
	return e;
}

static int take_ports(const struct reading *r, const char *at, struct net_ports *ret)
{
	ret->n = 0;
	if (!strcmp(at, "*"))
		return 0;
	for (;;) {
		int e;

		if (ret->n == NET_PORTS_MAX)
			return wrong(r, at, -EINVAL, "more than 64 ranges");
		e = take_range(r, &at, &ret->ranges[ret->n]);
		if (e < 0)
			return e;
		ret->n++;
		if (!*at)
			return 0;
		if (*at != ',')
			return wrong(r, at, -EINVAL, "not a port");
		at++;
	}
}

int net_ports_parse(const char *text, struct net_ports *ret, struct sluice_error *err)
{
	const struct reading r = { text, err };
	struct net_ports p;
	int e = take_ports(&r, text, &p);

	if (e == 0)
		*ret = p;
	return e < 0 ? fail_hint(err, e,
				 "ports are written 8080, 9000-9005 or *, with commas between them")
		     : 0;
}

void net_ports_write(const struct net_ports *p, char buf[NET_PORTS_BYTES])
{
	size_t at = 0;

	strcpy(buf, "*");
	for (size_t i = 0; i < p->n; i++) {
		const struct net_range *r = &p->ranges[i];

		at += (size_t)snprintf(buf + at, NET_PORTS_BYTES - at,
				       r->first == r->last ? "%s%u" : "%s%u-%u", i ? "," : "",
				       r->first, r->last);
	}
}

bool net_ports_have(const struct net_ports *p, uint16_t port)
{
	for (size_t i = 0; i < p->n; i++) {
		if (port >= p->ranges[i].first && port <= p->ranges[i].last)
			return true;
	}
	return !p->n;
}

/* ---- addresses ---- */

static const uint8_t v4_prefix[V4_OFFSET] = { [10] = 0xff, [11] = 0xff };

bool net_address_is_v4(const struct net_address *a)
{
	return !memcmp(a->bytes, v4_prefix, sizeof(v4_prefix));
}

/* @text as an address of either family. */
static bool is_address(const char *text, struct net_address *ret, bool *ret_v4)
{
	if (inet_pton(AF_INET6, text, ret->bytes) == 1) {
		*ret_v4 = net_address_is_v4(
			ret); /* ::ffff:1.2.3.4 is what the kernel sends to 1.2.3.4 */
		return true;
	}
	memcpy(ret->bytes, v4_prefix, sizeof(v4_prefix));
	*ret_v4 = inet_pton(AF_INET, text, ret->bytes + V4_OFFSET) == 1;
	return *ret_v4;
}

/* Is there a bit of @a behind its first @bits? */
static bool has_bits_behind(const struct net_address *a, unsigned bits)
{
	for (unsigned i = bits; i < NET_ADDRESS_BITS; i++) {
		if (a->bytes[i / 8] & 0x80u >> i % 8)
			return true;
	}
	return false;
}

static bool is_unspecified(const struct net_address *a)
{
	return !has_bits_behind(a, net_address_is_v4(a) ? NET_ADDRESS_BITS - 32 : 0);
}

bool net_prefix_covers(const struct net_address *prefix, unsigned bits, bool v4,
		       const struct net_address *a)
{
	unsigned whole = bits / 8, rest = bits % 8;
	unsigned mask = (0xff00u >> rest) & 0xffu;

	if (net_address_is_v4(a) != v4)
		return false;
	return !memcmp(prefix->bytes, a->bytes, whole) &&
	       (!rest || ((prefix->bytes[whole] ^ a->bytes[whole]) & mask) == 0);
}

bool net_target_covers(const struct net_target *t, const struct net_address *a)
{
	return t->kind == NET_ANY ||
	       (t->kind == NET_PREFIX && net_prefix_covers(&t->address, t->bits, t->v4, a));
}

/* ---- hosts ---- */

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

/* Labels of 1 to 63 bytes; one that is all digits at the end would be an address that is not one. */
static int check_name(const struct reading *r, const char *at, const char *host)
{
	const char *label = host;
	bool digits = true;

	for (const char *c = host;; c++) {
		if (*c && *c != '.') {
			digits &= *c >= '0' && *c <= '9';
			if (!is_name_byte(*c))
				return wrong(r, at + (c - host), -EINVAL,
					     *c == '*' ? "a name can't have a wildcard"
						       : "not a name, an address or a prefix");
			continue;
		}
		if (c == label || c - label > 63)
			return wrong(r, at + (label - host), -EINVAL, "a label has 1 to 63 bytes");
		if (!*c || !c[1])
			break;
		label = c + 1;
		digits = true;
	}
	return digits ? wrong(r, at, -EINVAL, "not an address") : 0;
}

static int take_name(const struct reading *r, const char *at, const char *host,
		     struct net_target *ret)
{
	size_t n = strlen(host);
	int e = check_name(r, at, host);

	if (e < 0)
		return e;
	n -= host[n - 1] == '.';
	if (n > NET_HOST_MAX)
		return wrong(r, at, -EINVAL, "a name has at most 253 bytes");
	for (size_t i = 0; i < n; i++)
		ret->name[i] =
			(char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] - 'A' + 'a' : host[i]);
	ret->name[n] = '\0';
	ret->kind = NET_NAME;
	return 0;
}

/* Digits behind the slash at @at. */
static int take_bits(const struct reading *r, const char *at, const char *digits, bool v4,
		     const struct net_address *address, unsigned *ret)
{
	unsigned max = v4 ? 32 : 128, v = 0;

	if (!*digits || strspn(digits, "0123456789") != strlen(digits))
		return wrong(r, at, -EINVAL, "not a number of bits");
	for (; *digits && v <= max; digits++)
		v = v * 10 + (unsigned)(*digits - '0');
	if (v > max)
		return wrong(r, at, -ERANGE,
			     v4 ? "an IPv4 prefix has at most 32 bits"
				: "a prefix has at most 128 bits");
	*ret = v4 ? v + NET_ADDRESS_BITS - 32 : v;
	return has_bits_behind(address, *ret)
		       ? wrong(r, at, -EINVAL, "the address has bits behind its prefix")
		       : 0;
}

/* @host, which begins at @at of the rule. @bracketed: it stood in brackets, so it is an IPv6 address. */
static int take_host(const struct reading *r, const char *at, char *host, bool bracketed,
		     struct net_target *ret)
{
	char *slash = strchr(host, '/');

	if (!strcmp(host, "*") && !bracketed) {
		ret->kind = NET_ANY;
		return 0;
	}
	if (!*host)
		return wrong(r, at, -EINVAL, "no host");
	if (slash)
		*slash = '\0';
	if (is_address(host, &ret->address, &ret->v4)) {
		ret->kind = NET_PREFIX;
		ret->bits = NET_ADDRESS_BITS;
		if (bracketed && !strchr(host, ':'))
			return wrong(r, at, -EINVAL, "brackets are for IPv6 addresses");
		if (slash)
			return take_bits(r, at + (slash - host) + 1, slash + 1,
					 ret->v4 && !strchr(host, ':'), &ret->address, &ret->bits);
		return is_unspecified(&ret->address)
			       ? wrong(r, at, -EINVAL,
				       "the kernel takes it for the loopback address: write that, or *")
			       : 0;
	}
	if (bracketed || slash || strchr(host, ':'))
		return wrong(r, at, -EINVAL, "not an address");
	return take_name(r, at, host, ret);
}

/* ---- targets ---- */

static const char *take_protocol(const char *text, unsigned *ret)
{
	static const struct {
		const char *word;
		enum net_protocol protocol;
	} protocols[] = { { "tcp://", NET_TCP }, { "udp://", NET_UDP }, { "icmp://", NET_ICMP } };

	*ret = 0;
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		size_t n = strlen(protocols[i].word);

		if (!strncasecmp(text, protocols[i].word, n)) {
			*ret = protocols[i].protocol;
			return text + n;
		}
	}
	return text;
}

/*
 * Where the host at @at ends and, behind a colon, its ports begin (NULL: none). Without brackets a host with several colons is an IPv6 address, and all of
 * it the host.
 */
static int split(const struct reading *r, const char *at, const char **ret_end,
		 const char **ret_ports)
{
	const char *end = at + strcspn(at, ":");

	*ret_ports = NULL;
	if (*at == '[') {
		end = strchr(at, ']');
		if (!end)
			return wrong(r, at, -EINVAL, "the bracket is not closed");
		if (end[1] && end[1] != ':')
			return wrong(r, end + 1, -EINVAL,
				     "a colon and ports go behind the bracket");
		*ret_ports = end[1] ? end + 2 : NULL;
	} else if (*end && strchr(end + 1, ':')) {
		end += strlen(end);
	} else if (*end) {
		*ret_ports = end + 1;
	}
	*ret_end = end;
	return 0;
}

static int parse_target(const struct reading *r, struct net_target *ret)
{
	const char *at = take_protocol(r->text, &ret->protocols), *end = at, *ports = NULL;
	char host[HOST_BYTES];
	int e;

	if (strstr(at, "://"))
		return wrong(r, r->text, -EINVAL, "not tcp://, udp:// or icmp://");
	e = split(r, at, &end, &ports);
	if (e < 0)
		return e;
	at += *at == '[';
	if ((size_t)(end - at) >= sizeof(host))
		return wrong(r, at, -EINVAL, "a name has at most 253 bytes");
	snprintf(host, sizeof(host), "%.*s", (int)(end - at), at);
	e = take_host(r, at, host, at > r->text && at[-1] == '[', ret);
	if (e < 0 || !ports)
		return e;
	if (ret->protocols == NET_ICMP)
		return wrong(r, ports, -EINVAL, "icmp has no ports");
	return take_ports(r, ports, &ret->ports);
}

int net_target_parse(const char *text, struct net_target *ret, struct sluice_error *err)
{
	const struct reading r = { text, err };
	struct net_target t;
	int e;

	memset(&t, 0, sizeof(t));
	e = parse_target(&r, &t);
	if (e < 0)
		return fail_hint(
			err, e,
			"a target is written [tcp://|udp://|icmp://]HOST[:PORTS], e.g. example.org:443, "
			"10.0.0.0/8, [::1]:8000-8010, udp://*:53");
	*ret = t;
	return 0;
}

/* ---- name servers ---- */

static int parse_server(const struct reading *r, struct net_server *ret)
{
	const char *at = r->text, *end = at, *ports = NULL;
	char host[HOST_BYTES];
	bool v4;
	int e = split(r, at, &end, &ports);

	if (e < 0)
		return e;
	at += *at == '[';
	if ((size_t)(end - at) >= sizeof(host))
		return wrong(r, at, -EINVAL, "not an address");
	snprintf(host, sizeof(host), "%.*s", (int)(end - at), at);
	if (!is_address(host, &ret->address, &v4) || is_unspecified(&ret->address))
		return wrong(r, at, -EINVAL, "not the address of a server");
	ret->port = DNS_PORT;
	if (!ports)
		return 0;
	at = ports;
	e = take_port(r, &at, &ret->port);
	if (e == 0 && (*at || !ret->port))
		e = wrong(r, ports, -EINVAL, "not a port");
	return e;
}

int net_server_parse(const char *text, struct net_server *ret, struct sluice_error *err)
{
	const struct reading r = { text, err };
	struct net_server s;
	int e = parse_server(&r, &s);

	if (e < 0)
		return fail_hint(
			err, e,
			"a name server is written ADDRESS[:PORT], e.g. 10.0.0.53, [::1]:5353");
	*ret = s;
	return 0;
}

static void write_address(const struct net_address *a, bool v4, char buf[NET_ADDRESS_BYTES])
{
	inet_ntop(v4 ? AF_INET : AF_INET6, a->bytes + (v4 ? V4_OFFSET : 0), buf, NET_ADDRESS_BYTES);
}

void net_address_write(const struct net_address *a, char buf[NET_ADDRESS_BYTES])
{
	write_address(a, net_address_is_v4(a), buf);
}

void net_target_write(const struct net_target *t, char buf[NET_WHOM_BYTES])
{
	size_t n;

	if (t->kind != NET_PREFIX) {
		strcpy(buf, t->kind == NET_ANY ? "*" : t->name);
		return;
	}
	write_address(&t->address, t->v4, buf);
	n = strlen(buf);
	if (t->bits < NET_ADDRESS_BITS)
		snprintf(buf + n, NET_WHOM_BYTES - n, "/%u", t->bits - (t->v4 ? 8 * V4_OFFSET : 0));
}
