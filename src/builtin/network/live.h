/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of rules, asked for again when their time to live is over, by a thread of their own.
 *
 * It is made by live_start with the rights of the thread that calls it, outside of the sandbox's Landlock domain: it talks to name servers, which the rules need not allow, and reads the
 * host's /etc/hosts and /etc/resolv.conf, nothing of the command's. At most LIVE_QUESTIONS_MAX questions are open at a time, and each is asked once a second at most. What it makes of the answers is in names.h.
 */
#ifndef SLUICE_BUILTIN_NETWORK_LIVE_H
#define SLUICE_BUILTIN_NETWORK_LIVE_H

#include <stddef.h>

#include "policy/net_rule.h"

#define LIVE_QUESTIONS_MAX 16u
#define LIVE_HOSTS_TTL_S 10u /* of what /etc/hosts says */

struct live;
struct names;

/*
 * Ask for @names (borrowed; from now on the thread writes them) until live_stop. @servers (copied): whom to ask; none: what the host's files say. -ENOMEM, -errno of a thread or descriptor.
 */
int live_start(struct names *names, const struct net_server *servers, size_t n_servers,
	       struct live **ret);
/* Ask nothing more. Any thread; waits for nothing. */
void live_stop(struct live *live);
/* And wait for the thread. */
void live_free(struct live *live);

#endif
