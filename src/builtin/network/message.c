/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/message.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/request.h"
#include "task/task.h"

#define CONTROL_BYTES_MAX (128u << 10) /* more than any net.core.optmem_max by default */

/* struct user_msghdr of the kernel, which on 64 bits is struct msghdr. */
_Static_assert(sizeof(struct msghdr) == 56, "what the task's memory holds");

int message_of_buffer(struct message *m, uint64_t addr, uint64_t bytes,
		      const struct sockaddr_storage *to, socklen_t len)
{
	memset(m, 0, sizeof(*m));
	m->iov = malloc(sizeof(*m->iov));
	if (!m->iov)
		return -ENOMEM;
	m->n_iov = 1;
	m->bytes = request_iov_cap(bytes);
	*m->iov = (struct iovec){ (void *)(uintptr_t)addr, m->bytes };
	m->addr = *to;
	m->addr_len = len;
	return 0;
}

static int read_address(struct sluice_request *req, const struct msghdr *h,
			struct sockaddr_storage *ret, socklen_t *ret_len)
{
	int len = (int)h->msg_namelen;

	*ret_len = 0;
	if (!h->msg_name || !len)
		return 0;
	if (len < 0)
		return -EINVAL;
	*ret_len = (size_t)len > sizeof(*ret) ? sizeof(*ret) : (socklen_t)len;
	return sluice_request_read(req, (uintptr_t)h->msg_name, ret, *ret_len);
}

int message_address(struct sluice_request *req, uint64_t addr, struct sockaddr_storage *ret,
		    socklen_t *ret_len)
{
	struct msghdr h;
	int r = sluice_request_read(req, addr, &h, sizeof(h));

	return r < 0 ? r : read_address(req, &h, ret, ret_len);
}

static int read_iov(struct sluice_request *req, const struct msghdr *h, struct message *m)
{
	int r = request_read_iov(req, (uintptr_t)h->msg_iov, h->msg_iovlen, &m->iov, &m->bytes);

	m->n_iov = r < 0 ? 0 : h->msg_iovlen;
	return r;
}

/* ---- what goes along ---- */

/* Would the message take another way than to its address? */
static bool is_route(const struct cmsghdr *c)
{
	return (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RETOPTS) ||
	       (c->cmsg_level == IPPROTO_IPV6 &&
		(c->cmsg_type == IPV6_RTHDR || c->cmsg_type == IPV6_2292RTHDR));
}

/* Put our duplicates in place of the task's descriptors. */
static int take_fds(struct sluice_request *req, struct cmsghdr *c, struct message *m)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	if (n > MESSAGE_FDS_MAX - m->n_fds)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
		fd = fd < 0 ? -EBADF : task_get_fd(request_task(req), fd);
		if (fd < 0)
			return fd;
		m->fds[m->n_fds++] = fd;
		memcpy(CMSG_DATA(c) + i * sizeof(fd), &fd, sizeof(fd));
	}
	return 0;
}

/* The kernel takes credentials of the sender only, which we are now; user and group stay and are checked. */
static void take_credentials(struct cmsghdr *c)
{
	struct ucred cred;

	if (c->cmsg_len != CMSG_LEN(sizeof(cred)))
		return;
	memcpy(&cred, CMSG_DATA(c), sizeof(cred));
	cred.pid = getpid();
	memcpy(CMSG_DATA(c), &cred, sizeof(cred));
}

static int take_control(struct sluice_request *req, struct message *m)
{
	struct msghdr h = { .msg_control = m->control, .msg_controllen = m->control_bytes };
	int r = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); r == 0 && c; c = CMSG_NXTHDR(&h, c)) {
		if (c->cmsg_len < CMSG_LEN(0) ||
		    c->cmsg_len > m->control_bytes - (size_t)((char *)c - (char *)m->control))
			return -EINVAL;
		if (is_route(c))
			return -EPERM;
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			r = take_fds(req, c, m);
		else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
			take_credentials(c);
	}
	return r;
}

static int read_control(struct sluice_request *req, const struct msghdr *h, struct message *m)
{
	int r;

	if (h->msg_controllen > INT_MAX)
		return -ENOBUFS;
	if (!h->msg_control || h->msg_controllen < sizeof(struct cmsghdr))
		return 0;
	if (h->msg_controllen > CONTROL_BYTES_MAX)
		return -ENOBUFS;
	m->control_bytes = h->msg_controllen;
	m->control = malloc(m->control_bytes);
	if (!m->control)
		return -ENOMEM;
	r = sluice_request_read(req, (uintptr_t)h->msg_control, m->control, m->control_bytes);
	return r < 0 ? r : take_control(req, m);
}

int message_read(struct sluice_request *req, uint64_t addr, struct message *m)
{
	struct msghdr h;
	int r = sluice_request_read(req, addr, &h, sizeof(h));

	memset(m, 0, sizeof(*m));
	if (r == 0)
		r = read_address(req, &h, &m->addr, &m->addr_len);
	if (r == 0)
		r = read_iov(req, &h, m);
	if (r == 0)
		r = read_control(req, &h, m);
	if (r < 0)
		message_fini(m);
	return r;
}

void message_fini(struct message *m)
{
	while (m->n_fds)
		close(m->fds[--m->n_fds]);
	free(m->iov);
	free(m->control);
	m->iov = NULL;
	m->control = NULL;
}

int message_bytes(struct sluice_request *req, const struct message *m, size_t offset, void *buf,
		  size_t size)
{
	return request_copy_iov(req, m->iov, m->n_iov, offset, buf, size, false);
}
