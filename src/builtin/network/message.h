/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message of a task as private copies: its address, what goes along with it, its bytes piece by piece.
 *
 * Lengths come from the task: each is bounded, and what it asks for beyond is answered as the kernel would. Thread: the runner of the request.
 */
#ifndef SLUICE_BUILTIN_NETWORK_MESSAGE_H
#define SLUICE_BUILTIN_NETWORK_MESSAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct sluice_request;

#define MESSAGE_FDS_MAX 253u /* the kernel's SCM_MAX_FD */

struct message {
	struct sockaddr_storage addr;
	socklen_t addr_len;
	struct iovec *iov; /* addresses of the task's; owned */
	size_t n_iov;
	size_t bytes;  /* of all of it */
	void *control; /* owned; NULL: none */
	size_t control_bytes;
	int fds[MESSAGE_FDS_MAX]; /* ours, that control names in place of the task's; owned */
	size_t n_fds;
};

/* One buffer of @bytes at @addr, to @to (copied). 0. */
int message_of_buffer(struct message *m, uint64_t addr, uint64_t bytes,
		      const struct sockaddr_storage *to, socklen_t len);
/* Where the struct msghdr at @addr leads. *ret_len: 0: to no address of its own. -EFAULT, -EINVAL ... */
int message_address(struct sluice_request *req, uint64_t addr, struct sockaddr_storage *ret,
		    socklen_t *ret_len);
/* The struct msghdr at @addr. -EFAULT, -EINVAL, -EMSGSIZE, -ENOBUFS, -EBADF, -EPERM (a route along with it), -ENOMEM ... */
int message_read(struct sluice_request *req, uint64_t addr, struct message *m);
void message_fini(struct message *m);
/* @size bytes from @offset on. 0 or -EFAULT ... */
int message_bytes(struct sluice_request *req, const struct message *m, size_t offset, void *buf,
		  size_t size);

#endif
