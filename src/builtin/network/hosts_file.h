/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of a hosts(5) file. Pure; any thread.
 */
#ifndef SLUICE_BUILTIN_NETWORK_HOSTS_FILE_H
#define SLUICE_BUILTIN_NETWORK_HOSTS_FILE_H

#include <stdbool.h>

#include "policy/net_rule.h"

/* The address of the next line at or behind *@at that gives @name one, in whatever case; *@at is moved behind that line. False: there is none. */
bool hosts_file_next(const char **at, const char *name, struct net_address *ret);

#endif
