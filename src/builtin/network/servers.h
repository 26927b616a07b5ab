/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which name servers are asked, and how names are completed. Pure; any thread.
 */
#ifndef SLUICE_BUILTIN_NETWORK_SERVERS_H
#define SLUICE_BUILTIN_NETWORK_SERVERS_H

#include <stddef.h>

#include "policy/policy.h"

#define SERVERS_DOMAINS_MAX 6u
#define SERVERS_NDOTS_MAX 15u /* as the C library has it */

struct servers {
	struct net_server servers[NET_SERVERS_MAX];
	size_t n;
	char domains[SERVERS_DOMAINS_MAX][NET_HOST_MAX + 1]; /* that names are looked for in */
	size_t n_domains;
	unsigned ndots; /* a name with so many dots is first looked for as it is */
};

/* These @n (at most NET_SERVERS_MAX), and names as they are. */
void servers_given(const struct net_server *servers, size_t n, struct servers *ret);
/*
 * What the text of a resolv.conf(5) says; what can't be read of it is passed over. Without a server that can be asked it is the one on this machine, as for the C
 * library. A server of a link (fe80::1%eth0) can't.
 */
void servers_read(const char *text, struct servers *ret);

#endif
