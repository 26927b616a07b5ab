/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel with nothing but loopback says to a message of NETLINK_ROUTE. Pure; any thread.
 */
#ifndef SLUICE_BUILTIN_NETWORK_ROUTE_H
#define SLUICE_BUILTIN_NETWORK_ROUTE_H

#include <stddef.h>
#include <stdint.h>

#define ROUTE_ANSWER_BYTES 2048u /* the longest answer is some 500 */

/*
 * The answer to the first message in the @size bytes at @question (which may be anything), to the socket of number @port. Returns its bytes in @ret; 0: none is due.
 */
size_t route_answer(const void *question, size_t size, uint32_t port,
		    unsigned char ret[ROUTE_ANSWER_BYTES]);

#endif
