/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sys/sockopt.h"

#include <sys/socket.h>

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif

int sockopt_get(int fd, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &size) < 0 ? -1 : value;
}

uint64_t sockopt_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) < 0 ? 0 : cookie;
}
