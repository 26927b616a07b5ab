/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/hosts_file.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define V4_AT 12 /* where an IPv4 address stands in a net_address */

/* The @n bytes at @token as an address. */
static bool reads_as(const char *token, size_t n, struct net_address *ret)
{
	struct net_address a = { { [10] = 0xff, 0xff } };
	char text[INET6_ADDRSTRLEN];

	if (n >= sizeof(text))
		return false;
	memcpy(text, token, n);
	text[n] = '\0';
	if (inet_pton(AF_INET, text, a.bytes + V4_AT) != 1 &&
	    inet_pton(AF_INET6, text, a.bytes) != 1)
		return false;
	*ret = a;
	return true;
}

/* Does the line, which ends at @end, give the name an address? Then it. */
static bool line_gives(const char *line, const char *end, const char *name, struct net_address *ret)
{
	const size_t name_bytes = strlen(name);
	bool address = true;

	while (line < end) {
		size_t n = strcspn(line, " \t\r#\n");

		if (n && address && !reads_as(line, n, ret))
			return false;
		if (n && !address && n == name_bytes && !strncasecmp(line, name, n))
			return true;
		if (n)
			address = false;
		if (line[n] == '#')
			return false;
		line += n + 1;
	}
	return false;
}

bool hosts_file_next(const char **at, const char *name, struct net_address *ret)
{
	while (**at) {
		const char *line = *at, *end = line + strcspn(line, "\n");
		struct net_address a;

		*at = *end ? end + 1 : end;
		if (!line_gives(line, end, name, &a))
			continue;
		*ret = a;
		return true;
	}
	return false;
}
