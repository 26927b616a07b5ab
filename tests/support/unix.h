/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets of tests, inside and outside.
 */
#ifndef SLUICE_TESTS_SUPPORT_UNIX_H
#define SLUICE_TESTS_SUPPORT_UNIX_H

#include <sys/socket.h>
#include <sys/un.h>

/* The address of @path; "@name" is abstract. Returns its length. */
socklen_t unix_address(struct sockaddr_un *ret, const char *path);
/* A socket of @type at @path, which anybody may reach, and which listens where its type does. Close-on-exec. -1. */
int unix_listen(const char *path, int type, int backlog);
/* The same for a test's own side: it must be there, and does not block. */
int unix_listen_outside(const char *path, int type);
/* How many connections wait to be accepted; they are. */
int unix_accepted(int listener);
/*
 * An address that a thread exchanges between two paths, which differ in one byte, until unix_flip_end; one at a time. NULL: no thread.
 */
const struct sockaddr_un *unix_flip_begin(const char *one, const char *two);
void unix_flip_end(void);

#endif
