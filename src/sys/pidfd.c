/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From the kernel's pidfd.h, newer than the headers of Debian 12. */
#define PIDFD_THREAD_FLAG O_EXCL
struct pidfd_info_v0 {
	uint64_t mask;
	uint64_t cgroupid;
	uint32_t pid;
	uint32_t tgid;
	uint32_t ppid;
	uint32_t ids[8];
	int32_t exit_code;
};
#define PIDFD_GET_INFO_V0 _IOWR(0xFF, 11, struct pidfd_info_v0)
#define PIDFD_INFO_PID_BIT (1ULL << 0)

static int pidfd_open(pid_t tid, int flags)
{
	int fd = (int)syscall(SYS_pidfd_open, tid, flags);

	return fd < 0 ? -errno : fd;
}

int pidfd_open_thread_only(pid_t tid)
{
	return pidfd_open(tid, PIDFD_THREAD_FLAG);
}

int pidfd_open_thread(pid_t tid)
{
	int fd = pidfd_open_thread_only(tid);

	return fd == -EINVAL ? pidfd_open(tid, 0) : fd;
}

int pidfd_get_fd(int pidfd, int fd)
{
	int got = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	return got < 0 ? -errno : got;
}

int pidfd_kill(int pidfd, int sig)
{
	return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

bool thread_is_of(pid_t tid, pid_t process)
{
	/* that the ids fit together is looked at before permission is: EPERM is a yes */
	return syscall(SYS_tgkill, process, tid, 0) == 0 || errno == EPERM;
}

pid_t pidfd_tgid(int pidfd)
{
	struct pidfd_info_v0 info;

	memset(&info, 0, sizeof(info));
	info.mask = PIDFD_INFO_PID_BIT;
	if (ioctl(pidfd, PIDFD_GET_INFO_V0, &info) < 0)
		return -errno;
	return (pid_t)info.tgid;
}
