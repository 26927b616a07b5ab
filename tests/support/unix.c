/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "unix.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka.h"

socklen_t unix_address(struct sockaddr_un *ret, const char *path)
{
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	snprintf(ret->sun_path, sizeof(ret->sun_path), "%s", path);
	if (path[0] != '@')
		return sizeof(*ret);
	ret->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
}

int unix_listen(const char *path, int type, int backlog)
{
	struct sockaddr_un sa;
	socklen_t len = unix_address(&sa, path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0)
		return -1;
	if (path[0] != '@')
		chmod(path, 0666);
	return type == SOCK_DGRAM || listen(fd, backlog) == 0 ? fd : -1;
}

int unix_listen_outside(const char *path, int type)
{
	int fd = unix_listen(path, type, 64);

	assert_true(fd >= 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

int unix_accepted(int listener)
{
	int n = 0, fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		close(fd);
		n++;
	}
	return n;
}

/* ---- a race ---- */

static struct {
	struct sockaddr_un address;
	const char *paths[2];
	_Atomic bool done;
	pthread_t thread;
} flipping;

static void *flip(void *arg)
{
	(void)arg;
	for (size_t i = 0; !atomic_load(&flipping.done); i++)
		strcpy(flipping.address.sun_path, flipping.paths[i & 1]);
	return NULL;
}

const struct sockaddr_un *unix_flip_begin(const char *one, const char *two)
{
	unix_address(&flipping.address, one);
	flipping.paths[0] = one;
	flipping.paths[1] = two;
	atomic_store(&flipping.done, false);
	return pthread_create(&flipping.thread, NULL, flip, NULL) ? NULL : &flipping.address;
}

void unix_flip_end(void)
{
	atomic_store(&flipping.done, true);
	pthread_join(flipping.thread, NULL);
}
