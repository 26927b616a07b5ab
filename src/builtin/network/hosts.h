/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Built-in: the names of the rules are in /etc/hosts.
 *
 * Who opens that file of the command's tree for reading, by whatever path, gets one in memory: a line for each address that a name was found to have, and then the
 * tree's own text as far as the command may read it. So resolvers find the very addresses that the rules allow, and need no name server for them. Only where a rule
 * names a host: then opens are trapped.
 */
#ifndef SLUICE_BUILTIN_NETWORK_HOSTS_H
#define SLUICE_BUILTIN_NETWORK_HOSTS_H

struct dispatch;
struct network;
struct tree;

/* Both borrowed until @d is freed. Before the built-ins that open: where the tree has no such file it is there all the same. -ENOMEM. */
int builtin_hosts_register(struct dispatch *d, const struct network *network,
			   const struct tree *tree);

#endif
