/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Built-in: ioctls of interfaces know of loopback only, as netlink does (netlink.h). What would change something is refused.
 *
 * Requests 0x8900 to 0x89ff and 0x8b00 to 0x8bff are trapped, which are those of sockets and interfaces; no other ioctl is looked at by a handler. What is no matter
 * of interfaces among them (owners, marks and times of a socket) goes to the kernel.
 */
#ifndef SLUICE_BUILTIN_NETWORK_INTERFACES_H
#define SLUICE_BUILTIN_NETWORK_INTERFACES_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dispatch;

#define INTERFACES_LIST_MAX 2u /* addresses of loopback */

/* Is it about interfaces? Others are the kernel's. */
bool interfaces_are_meant(uint32_t request);
/*
 * The answer to @request about @io, which it is written to; @v4: by a socket of AF_INET, which alone has addresses. 0; -ENODEV: about another interface; -ENOTTY; -EPERM: it would change something;
 * -EOPNOTSUPP. SIOCGIFCONF is not among them: interfaces_list. Pure; any thread.
 */
int interfaces_answer(uint32_t request, bool v4, struct ifreq *io);
/* What SIOCGIFCONF lists. Returns how many. */
size_t interfaces_list(struct ifreq ret[INTERFACES_LIST_MAX]);

/* -ENOMEM. */
int builtin_interfaces_register(struct dispatch *d);

#endif
