/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/scope.h"

#include <string.h>

#define V4_AT 12 /* where an IPv4 address stands in a net_address */
#define BITS_OF_V4(bits) (96 + (bits))

/* The first that covers an address says it. IPv4 ones never cover IPv6 addresses, and the other way about. */
static const struct {
	struct net_address prefix;
	unsigned bits;
	bool v4;
	enum scope scope;
} scopes[] = {
#define V4(a, b, c, bits, scope)                                                                   \
	{                                                                                          \
		{ { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c } }, BITS_OF_V4(bits), true, \
			scope                                                                      \
	}
#define V6(a, b, bits, scope)                    \
	{                                        \
		{ { a, b } }, bits, false, scope \
	}
	V4(0, 0, 0, 8, SCOPE_NONE),
	V4(127, 0, 0, 8, SCOPE_NEAR),
	V4(169, 254, 0, 16, SCOPE_NEAR),
	V4(10, 0, 0, 8, SCOPE_PRIVATE),
	V4(172, 16, 0, 12, SCOPE_PRIVATE),
	V4(192, 168, 0, 16, SCOPE_PRIVATE),
	V4(100, 64, 0, 10, SCOPE_PRIVATE),
	V4(224, 0, 0, 3, SCOPE_NONE), /* multicast, and what is reserved */
	{ { { [15] = 1 } }, 128, false, SCOPE_NEAR },
	V6(0, 0, 96, SCOPE_NONE), /* unspecified, and what once held IPv4 addresses */
	V6(0xfe, 0x80, 10, SCOPE_NEAR),
	V6(0xfe, 0xc0, 10, SCOPE_PRIVATE),
	V6(0xfc, 0, 7, SCOPE_PRIVATE),
	V6(0xff, 0, 8, SCOPE_NONE),
	{ { { 0, 0x64, 0xff, 0x9b, 0, 1 } }, 48, false, SCOPE_PRIVATE }, /* RFC 8215 */
};

/* IPv6 prefixes behind which an IPv4 address stands. */
static const struct {
	struct net_address prefix;
	unsigned bits, at;
} translated[] = {
	{ { { 0, 0x64, 0xff, 0x9b } }, 96, 12 },
	{ { { 0x20, 0x02 } }, 16, 2 },
};

static enum scope look_up(const struct net_address *a)
{
	for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++) {
		if (net_prefix_covers(&scopes[i].prefix, scopes[i].bits, scopes[i].v4, a))
			return scopes[i].scope;
	}
	return SCOPE_GLOBAL;
}

enum scope scope_of(const struct net_address *a)
{
	for (size_t i = 0; i < sizeof(translated) / sizeof(translated[0]); i++) {
		struct net_address v4 = { { [10] = 0xff, [11] = 0xff } };

		if (!net_prefix_covers(&translated[i].prefix, translated[i].bits, false, a))
			continue;
		memcpy(v4.bytes + V4_AT, a->bytes + translated[i].at, 4);
		return look_up(&v4);
	}
	return look_up(a);
}
