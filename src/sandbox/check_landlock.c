/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes of Landlock: the child enters a domain and tries what it must refuse. See check.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sandbox/check.h"
#include "sys/landlock.h"

/* Enter a domain that handles @attr and grants nothing. */
static int enter(const struct landlock_ruleset *attr)
{
	int fd = landlock_create(attr, LL_ABI_SCOPE), r;

	/* a kernel whose structure is shorter takes the longer one as long as what it does not know is 0 */
	if (fd < 0)
		return fd;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	r = landlock_enter(fd);
	close(fd);
	return r;
}

static bool entered(struct report *r, const struct landlock_ruleset *attr)
{
	int e = enter(attr);

	if (e < 0)
		check_no(r, "refused", -e);
	return e == 0;
}

/* The act gave @result and errno, where the domain should give @expected. */
static void expect_refusal(struct report *r, long result, int expected, const char *what)
{
	if (result < 0 && errno == expected)
		check_yes(r, "%s was refused", what);
	else
		check_no(r, "accepted, but not enforced", result < 0 ? errno : 0);
}

void check_landlock(struct report *r)
{
	static const struct landlock_ruleset attr = { .fs = LL_FS_ALL_V1 };
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), abi = landlock_abi();

	if (fd < 0) {
		check_no(&r[PROBE_LANDLOCK], "/", errno);
		return;
	}
	if (!entered(&r[PROBE_LANDLOCK], &attr))
		return;
	fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	expect_refusal(&r[PROBE_LANDLOCK], fd, EACCES, "reading /");
	if (r[PROBE_LANDLOCK].found == 1)
		check_yes(&r[PROBE_LANDLOCK], "ABI %d, reading / was refused", abi);
}

/* A directory of our own with files a/f and b/, as descriptors relative to which everything is done. */
struct scratch {
	char path[256];
	int fd;
};

static int scratch_make(struct scratch *s)
{
	const char *tmp = getenv("TMPDIR");
	int fd;

	snprintf(s->path, sizeof(s->path), "%s/sluice-check.%d", tmp && *tmp ? tmp : "/tmp",
		 (int)getpid());
	if (mkdir(s->path, 0700) < 0)
		return -errno;
	s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->fd < 0 || mkdirat(s->fd, "a", 0700) < 0 || mkdirat(s->fd, "b", 0700) < 0)
		return -errno;
	fd = openat(s->fd, "a/f", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static void scratch_remove(const struct scratch *s)
{
	unlinkat(s->fd, "a/f", 0);
	unlinkat(s->fd, "b/f", 0);
	unlinkat(s->fd, "a", AT_REMOVEDIR);
	unlinkat(s->fd, "b", AT_REMOVEDIR);
	rmdir(s->path);
}

void check_refer(struct report *r)
{
	static const struct landlock_ruleset attr = { .fs = LL_FS_REFER };
	struct scratch s = { .fd = -1 };
	int e = scratch_make(&s);

	if (e < 0) {
		check_no(&r[PROBE_REFER], "no temporary directory to try it in", -e);
	} else if (renameat(s.fd, "a/f", s.fd, "b/f") < 0) {
		check_no(&r[PROBE_REFER], "rename", errno);
	} else if (entered(&r[PROBE_REFER], &attr)) {
		e = renameat(s.fd, "b/f", s.fd, "a/f");
		expect_refusal(&r[PROBE_REFER], e, EXDEV, "a move between directories");
	}
	scratch_remove(&s);
}

void check_truncate(struct report *r)
{
	static const struct landlock_ruleset attr = { .fs = LL_FS_TRUNCATE };
	struct scratch s = { .fd = -1 };
	int e = scratch_make(&s);

	if (e == 0 && (fchdir(s.fd) < 0 || truncate("a/f", 1) < 0))
		e = -errno;
	if (e < 0) {
		check_no(&r[PROBE_TRUNCATE], "no temporary directory to try it in", -e);
	} else if (entered(&r[PROBE_TRUNCATE], &attr)) {
		e = truncate("a/f", 0);
		expect_refusal(&r[PROBE_TRUNCATE], e, EACCES, "truncate");
	}
	scratch_remove(&s);
}

static int bind_loopback(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof(address));
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return r;
}

void check_net(struct report *r)
{
	static const struct landlock_ruleset attr = { .net = LL_NET_BIND_TCP | LL_NET_CONNECT_TCP };

	if (bind_loopback() < 0)
		check_no(&r[PROBE_NET], "bind to 127.0.0.1 fails without it too", errno);
	else if (entered(&r[PROBE_NET], &attr))
		expect_refusal(&r[PROBE_NET], bind_loopback(), EACCES, "bind");
}

void check_ioctl(struct report *r)
{
	static const struct landlock_ruleset attr = { .fs = LL_FS_IOCTL_DEV };
	struct winsize size;
	int fd, e;

	if (!entered(&r[PROBE_IOCTL], &attr))
		return;
	/* what /dev/null itself would say is ENOTTY */
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	e = fd < 0 ? -1 : ioctl(fd, TIOCGWINSZ, &size);
	expect_refusal(&r[PROBE_IOCTL], e, EACCES, "an ioctl on a device");
}

void check_signal(struct report *r)
{
	static const struct landlock_ruleset attr = { .scoped = LL_SCOPE_SIGNAL };
	pid_t parent = getppid();

	if (kill(parent, 0) < 0)
		check_no(&r[PROBE_SIGNAL], "signals to our parent fail without it too", errno);
	else if (entered(&r[PROBE_SIGNAL], &attr))
		expect_refusal(&r[PROBE_SIGNAL], kill(parent, 0), EPERM, "a signal outwards");
}

static int connect_to(const struct sockaddr_un *address, socklen_t size)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -1 : connect(fd, (const struct sockaddr *)address, size);
}

void check_abstract(struct report *r)
{
	static const struct landlock_ruleset attr = { .scoped = LL_SCOPE_ABSTRACT_UNIX };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(address);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* the kernel chooses an abstract name */
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address.sun_family)) < 0 ||
	    listen(fd, 4) < 0 || getsockname(fd, (struct sockaddr *)&address, &size) < 0 ||
	    connect_to(&address, size) < 0)
		check_no(&r[PROBE_ABSTRACT], "fails without it too", errno);
	else if (entered(&r[PROBE_ABSTRACT], &attr))
		expect_refusal(&r[PROBE_ABSTRACT], connect_to(&address, size), EPERM,
			       "a connection outwards");
}
