/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one interface that there is beside rules of the network, by whatever way it is asked for.
 */
#ifndef SLUICE_BUILTIN_NETWORK_LOOPBACK_H
#define SLUICE_BUILTIN_NETWORK_LOOPBACK_H

#define LOOPBACK_INDEX 1 /* in every namespace */
#define LOOPBACK_NAME "lo"
#define LOOPBACK_MTU 65536u
#define LOOPBACK_QUEUE_LENGTH 1000u
#define LOOPBACK_FLAGS (IFF_UP | IFF_LOOPBACK | IFF_RUNNING)
#define LOOPBACK_V4_BITS 8
/* Its addresses of IPv4; why there are two is said in route.c. */
#define LOOPBACK_V4_FIRST    \
	{                    \
		127, 0, 0, 1 \
	}
#define LOOPBACK_V4_SECOND   \
	{                    \
		127, 0, 0, 2 \
	}

#endif
