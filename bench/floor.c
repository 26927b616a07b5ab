/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests under hand-written supervisors. Thread: the bench's main thread, but for the supervisors' loops.
 *
 * A loop ends when its guest has gone.
 */
#include "floor.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <liburing.h>

#include "report.h"
#include "stats.h"

/* Newer than the headers of Debian 12 (kernel 6.1). */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

#define BATCH_MAX 64u
#define PATH_READ_BYTES 256u
#define PAGE_BYTES 4096u

struct floor {
	enum floor_kind kind;
	struct area *area;
	int area_fd;
	int listener; /* -1: none */
	pid_t guest;
	pthread_t thread;
	bool supervised; /* the thread exists */
};

/* The calling thread, and those that it makes from now on. */
static void pin_to_first_cpu(void)
{
	cpu_set_t all, one;

	if (sched_getaffinity(0, sizeof(all), &all) < 0)
		return;
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &all)) {
			CPU_SET(cpu, &one);
			break;
		}
	}
	sched_setaffinity(0, sizeof(one), &one);
}

/* ---- the guest's part ---- */

static int filter_load(const struct sock_fprog *prog, unsigned flags)
{
	long r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, prog);
	return r < 0 ? -errno : (int)r;
}

static int send_fd(int channel, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return sendmsg(channel, &msg, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* Put the filter of @kind on and send its listener (if it has one) to @channel. 0 or -errno. */
static int confine(enum floor_kind kind, int channel)
{
	struct sock_filter trap[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AREA_NR_PROMPT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog trapping = { sizeof(trap) / sizeof(trap[0]), trap };
	struct sock_fprog empty = { 1, &trap[3] };
	int r;

	if (kind == FLOOR_BARE)
		return 0;
	if (kind == FLOOR_PINNED)
		pin_to_first_cpu();
	if (kind == FLOOR_EMPTY)
		return filter_load(&empty, 0);
	if (kind == FLOOR_READ)
		trap[1].k = SYS_openat;
	r = filter_load(&trapping,
			SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
	if (r < 0)
		return r;
	channel = send_fd(channel, r);
	close(r);
	return channel;
}

void floor_be_guest(int argc, char *argv[])
{
	if (argc < 5 || strcmp(argv[1], "--guest"))
		return;
	if (argc > 6) {
		int channel = atoi(argv[6]);

		if (confine(atoi(argv[5]), channel) < 0)
			exit(1);
		close(channel);
	}
	exit(area_guest(atoi(argv[2]), (uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4])));
}

/* ---- supervisors ---- */

/* 0, or -ENOENT (one was withdrawn), or another error at the end. */
static int recv_one(int listener, struct seccomp_notif *n)
{
	memset(n, 0, sizeof(*n));
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, n) < 0 ? -errno : 0;
}

static void send_one(int listener, uint64_t id)
{
	struct seccomp_notif_resp resp = { .id = id, .val = AREA_ANSWER };

	/* ENOENT: the guest was killed meanwhile */
	while (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp) < 0 && errno == EINTR)
		;
}

static void send_error(int listener, uint64_t id, int error)
{
	struct seccomp_notif_resp resp = { .id = id, .error = -error };

	while (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp) < 0 && errno == EINTR)
		;
}

static short listener_poll(int listener, int timeout_ms)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };

	return poll(&p, 1, timeout_ms) > 0 ? p.revents : 0;
}

static void loop_raw(int listener)
{
	struct seccomp_notif n;

	for (;;) {
		int r = recv_one(listener, &n);

		if (r == 0)
			send_one(listener, n.id);
		else if (listener_poll(listener, 0) & POLLHUP)
			return;
	}
}

/* The path as any supervisor must read it: up to a page's end, and not believed before the task is known to be still there. */
static void answer_path(int listener, const struct seccomp_notif *n)
{
	uint64_t addr = n->data.args[1], id = n->id;
	char path[PATH_READ_BYTES];
	size_t room = PAGE_BYTES - addr % PAGE_BYTES;
	struct iovec local = { path, room < sizeof(path) ? room : sizeof(path) };
	struct iovec remote = { (void *)(uintptr_t)addr, local.iov_len };
	ssize_t got = process_vm_readv((pid_t)n->pid, &local, 1, &remote, 1, 0);

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) < 0)
		return;
	send_error(listener, id, got > 0 && memchr(path, '\0', (size_t)got) ? EDOM : EFAULT);
}

static void loop_read(int listener)
{
	struct seccomp_notif n;

	for (;;) {
		if (recv_one(listener, &n) == 0)
			answer_path(listener, &n);
		else if (listener_poll(listener, 0) & POLLHUP)
			return;
	}
}

static void loop_batch(int listener)
{
	uint64_t ids[BATCH_MAX];
	struct seccomp_notif n;

	for (;;) {
		short events = listener_poll(listener, -1);
		unsigned count = 0;

		if (!(events & POLLIN)) {
			if (events & POLLHUP)
				return;
			continue;
		}
		do {
			if (recv_one(listener, &n) == 0)
				ids[count++] = n.id;
		} while (count < BATCH_MAX && listener_poll(listener, 0) & POLLIN);
		for (unsigned i = 0; i < count; i++)
			send_one(listener, ids[i]);
	}
}

/* Returns false when the guest has gone. */
static bool uring_turn(struct io_uring *ring, int listener, bool *armed)
{
	struct io_uring_cqe *cqe;
	struct seccomp_notif n;
	unsigned events;

	if (!*armed) {
		io_uring_prep_poll_multishot(io_uring_get_sqe(ring), listener, POLLIN);
		*armed = true;
	}
	if (io_uring_submit_and_wait(ring, 1) < 0 || io_uring_peek_cqe(ring, &cqe) < 0)
		return true;
	events = cqe->res < 0 ? 0 : (unsigned)cqe->res;
	*armed = cqe->flags & IORING_CQE_F_MORE;
	io_uring_cqe_seen(ring, cqe);
	if (events & POLLHUP)
		return false;
	/* several may stand behind one completion, and several completions for one */
	while (listener_poll(listener, 0) & POLLIN) {
		if (recv_one(listener, &n) == 0)
			send_one(listener, n.id);
	}
	return true;
}

static void loop_uring(int listener)
{
	struct io_uring ring;
	bool armed = false;

	if (io_uring_queue_init(64, &ring, 0) < 0) {
		/* io_uring is refused here: floor_start has said so already */
		return;
	}
	while (uring_turn(&ring, listener, &armed))
		;
	io_uring_queue_exit(&ring);
}

static void *supervise(void *arg)
{
	struct floor *f = arg;

	switch (f->kind) {
	case FLOOR_URING:
		loop_uring(f->listener);
		break;
	case FLOOR_BATCH:
		loop_batch(f->listener);
		break;
	case FLOOR_READ:
		loop_read(f->listener);
		break;
	case FLOOR_PINNED:
		pin_to_first_cpu();
		loop_raw(f->listener);
		break;
	default:
		loop_raw(f->listener);
	}
	return NULL;
}

/* ---- life ---- */

static int receive_fd(int channel)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))), byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(channel, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n == 1 ? CMSG_FIRSTHDR(&msg) : NULL;
	int fd;

	if (!c || c->cmsg_type != SCM_RIGHTS)
		return n < 0 ? -errno : -ECHILD;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* The bench's own program as `--guest AREA FIRST COUNT KIND CHANNEL`. */
static int spawn_guest(struct floor *f, uint32_t clients, int channel)
{
	char area[12], count[12], kind[12], sock[12];
	char program[] = "/proc/self/exe", flag[] = "--guest", first[] = "0";
	char *argv[] = { program, flag, area, first, count, kind, sock, NULL };
	posix_spawn_file_actions_t actions;
	int r;

	snprintf(area, sizeof(area), "%d", f->area_fd);
	snprintf(count, sizeof(count), "%u", clients);
	snprintf(kind, sizeof(kind), "%d", (int)f->kind);
	snprintf(sock, sizeof(sock), "%d", channel);
	posix_spawn_file_actions_init(&actions);
	/* onto itself: takes CLOEXEC away, in the child alone */
	posix_spawn_file_actions_adddup2(&actions, f->area_fd, f->area_fd);
	posix_spawn_file_actions_adddup2(&actions, channel, channel);
	r = posix_spawn(&f->guest, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int start_guest(struct floor *f, uint32_t clients)
{
	bool supervised = f->kind != FLOOR_EMPTY && f->kind != FLOOR_BARE;
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	r = spawn_guest(f, clients, ends[1]);
	close(ends[1]);
	if (r == 0 && supervised) {
		r = receive_fd(ends[0]);
		f->listener = r;
	}
	close(ends[0]);
	if (r < 0 || !supervised)
		return r;
	/* by value, in spite of the _IOW encoding; kernels before 6.6 do without */
	ioctl(f->listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
	r = pthread_create(&f->thread, NULL, supervise, f);
	f->supervised = r == 0;
	return -r;
}

static int check_uring(void)
{
	struct io_uring ring;
	int r = io_uring_queue_init(4, &ring, 0);

	if (r == 0)
		io_uring_queue_exit(&ring);
	return r;
}

int floor_start(enum floor_kind kind, uint32_t clients, struct floor **ret)
{
	struct floor *f = calloc(1, sizeof(*f));
	int r = kind == FLOOR_URING ? check_uring() : 0;

	if (!f || r < 0) {
		free(f);
		return r < 0 ? r : -ENOMEM;
	}
	f->kind = kind;
	f->listener = -1;
	f->area_fd = area_new(&f->area);
	if (f->area_fd < 0) {
		r = f->area_fd;
		free(f);
		return r;
	}
	r = start_guest(f, clients);
	if (r == 0)
		r = area_wait_ready(f->area, clients);
	if (r < 0) {
		floor_stop(f);
		return r;
	}
	*ret = f;
	return 0;
}

static void on_signal(int sig)
{
	(void)sig;
}

/* Kernels before 6.11 leave a RECV blocked when its filter's last task has gone: a signal makes the loop look. */
static void join_supervisor(struct floor *f)
{
	struct sigaction interrupt = { .sa_handler = on_signal };
	struct timespec until;

	sigaction(SIGUSR1, &interrupt, NULL);
	do {
		pthread_kill(f->thread, SIGUSR1);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 10000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
	} while (pthread_timedjoin_np(f->thread, NULL, &until) == ETIMEDOUT);
}

struct area *floor_area(struct floor *f)
{
	return f->area;
}

void floor_stop(struct floor *f)
{
	if (!f)
		return;
	if (f->guest > 0) {
		kill(f->guest, SIGKILL);
		waitpid(f->guest, NULL, 0);
	}
	if (f->supervised)
		join_supervisor(f);
	if (f->listener >= 0)
		close(f->listener);
	area_free(f->area, f->area_fd);
	free(f);
}

int floor_p50_us(uint64_t duration_ns, double *ret)
{
	struct floor *f;
	struct area *a;
	int r = floor_start(FLOOR_RAW, 1, &f);

	if (r < 0)
		return report_failure("floor: %s", strerror(-r)), -1;
	a = floor_area(f);
	a->op = AREA_PROMPT;
	a->duration_ns = duration_ns;
	r = area_round(a, 1);
	if (r == 0)
		*ret = stats_round(a, 0).p50_us;
	floor_stop(f);
	return r < 0 ? report_failure("floor: %s", strerror(-r)), -1 : 0;
}
