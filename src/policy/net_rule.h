/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of the network as people write them:
 *
 *	target: [tcp://|udp://|icmp://] HOST|ADDRESS[/BITS]|* [:PORTS]	an IPv6 address in brackets where ports follow
 *	ports:  * | PORT[-PORT] {, PORT[-PORT]}
 *	server: ADDRESS[:PORT]						the same brackets
 *
 * Pure: nothing is resolved here. Errors name the column, from 1. Any thread.
 */
#ifndef SLUICE_POLICY_NET_RULE_H
#define SLUICE_POLICY_NET_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/error.h>

#define NET_HOST_MAX 253u /* RFC 1035, without the last dot */
#define NET_PORTS_MAX 64u /* ranges of one rule */
#define NET_ADDRESS_BITS 128u

enum net_protocol {
	NET_TCP = 1u << 0,
	NET_UDP = 1u << 1,
	NET_ICMP = 1u << 2, /* echo sockets */
	NET_ALL = NET_TCP | NET_UDP | NET_ICMP,
};

struct net_range {
	uint16_t first, last;
};

struct net_ports {
	struct net_range ranges[NET_PORTS_MAX]; /* in the order given */
	size_t n;				/* 0: all ports, 0 included */
};

/* IPv4 addresses are kept as IPv6-mapped ones (::ffff:a.b.c.d), and their prefixes count from bit 96 on. */
struct net_address {
	uint8_t bytes[NET_ADDRESS_BITS / 8];
};

enum net_target_kind {
	NET_ANY = 1, /* "*" */
	NET_PREFIX,  /* an address, or all that share its first bits */
	NET_NAME,    /* to be resolved */
};

struct net_target {
	unsigned protocols; /* bits of enum net_protocol; 0: none was named */
	enum net_target_kind kind;
	struct net_address address; /* of NET_PREFIX */
	unsigned bits;
	bool v4;		     /* of NET_PREFIX: IPv4, which an IPv6 prefix never matches */
	char name[NET_HOST_MAX + 1]; /* of NET_NAME: lower case, no last dot */
	struct net_ports ports;
};

/* A name server. */
struct net_server {
	struct net_address address;
	uint16_t port; /* of both protocols, not 0 */
};

/* @text as a target. -EINVAL, -ERANGE (a number that is too large); @err names rule and column. */
int net_target_parse(const char *text, struct net_target *ret, struct sluice_error *err);
/* @text, ADDRESS or ADDRESS:PORT with an IPv6 address in brackets before a port, as a name server; port 53 where there is none. Errors as above. */
int net_server_parse(const char *text, struct net_server *ret, struct sluice_error *err);
/* @text as ports. "*" reads as n 0. */
int net_ports_parse(const char *text, struct net_ports *ret, struct sluice_error *err);

/* What reads as @p. */
#define NET_PORTS_BYTES (NET_PORTS_MAX * sizeof("65535-65535,"))
void net_ports_write(const struct net_ports *p, char buf[NET_PORTS_BYTES]);
/* Whom @t names, without protocols and ports; what is read back as the same. */
#define NET_WHOM_BYTES (NET_HOST_MAX + 1)
void net_target_write(const struct net_target *t, char buf[NET_WHOM_BYTES]);

bool net_ports_have(const struct net_ports *p, uint16_t port);
bool net_address_is_v4(const struct net_address *a);
/* As text; a mapped IPv4 address as the IPv4 address. */
#define NET_ADDRESS_BYTES 46u /* INET6_ADDRSTRLEN */
void net_address_write(const struct net_address *a, char buf[NET_ADDRESS_BYTES]);
/* Is @a among those of the NET_PREFIX or NET_ANY target @t? Protocol and port are not looked at. */
bool net_target_covers(const struct net_target *t, const struct net_address *a);
/* The same for the prefix (@bits of @prefix, @v4 of the family IPv4). */
bool net_prefix_covers(const struct net_address *prefix, unsigned bits, bool v4,
		       const struct net_address *a);

#endif
