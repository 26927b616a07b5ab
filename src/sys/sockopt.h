/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a socket is: options of SOL_SOCKET that are asked for. Any thread.
 */
#ifndef SLUICE_SYS_SOCKOPT_H
#define SLUICE_SYS_SOCKOPT_H

#include <stdint.h>

/* The value of option @name (SO_*), an int; -1: @fd is no socket, or has no such option. */
int sockopt_get(int fd, int name);
/* The number by which the kernel knows the socket (SO_COOKIE), the same for each descriptor of it; 0: there is none. */
uint64_t sockopt_cookie(int fd);

#endif
