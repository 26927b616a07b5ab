/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/notif.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

/* Newer than the headers of Debian 12 (kernel 6.1). */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

int notif_recv(int listener, struct seccomp_notif *ret)
{
	memset(ret, 0, sizeof(*ret));
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, ret) < 0 ? -errno : 0;
}

int notif_id_valid(int listener, uint64_t id)
{
	/* interrupted not by signals only: io_uring has work of the thread's to be done */
	while (ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

static int notif_send(int listener, const struct seccomp_notif_resp *resp)
{
	while (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, resp) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int notif_send_reply(int listener, uint64_t id, int error, int64_t value)
{
	struct seccomp_notif_resp resp = {
		.id = id,
		.val = error ? 0 : value,
		.error = -error,
	};

	return notif_send(listener, &resp);
}

int notif_send_continue(int listener, uint64_t id)
{
	/* error and val must be 0 beside CONTINUE, else EINVAL */
	struct seccomp_notif_resp resp = {
		.id = id,
		.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE,
	};

	return notif_send(listener, &resp);
}

int notif_addfd(int listener, uint64_t id, int fd, uint32_t flags)
{
	struct seccomp_notif_addfd add = {
		.id = id,
		.srcfd = (uint32_t)fd,
		.newfd_flags = flags,
	};
	int r;

	do
		r = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

int notif_set_sync_wake_up(int listener)
{
	/* by value, in spite of the _IOW encoding */
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) <
			       0
		       ? -errno
		       : 0;
}

bool notif_hung_up(int listener)
{
	struct pollfd p = { .fd = listener };

	return poll(&p, 1, 0) > 0 && p.revents & POLLHUP;
}
