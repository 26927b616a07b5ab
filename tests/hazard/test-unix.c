/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets: those with a name are reached below a write grant and nowhere else (by datagrams: test-datagrams.c); errors are as bare; a listener that
 * is full holds up nobody but who connects to it.
 *
 * Under a container's profile, which refuses pidfd_getfd, a connect that would be carried out is EACCES instead.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "../support/unix.h"

#define PATH_AT offsetof(struct sockaddr_un, sun_path)
#define FLIPS 20000

/* ---- both sides ---- */

static int new_socket(int type)
{
	return socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
}

static int connect_to(int fd, const char *path)
{
	struct sockaddr_un sa;
	socklen_t len = unix_address(&sa, path);

	return connect(fd, (struct sockaddr *)&sa, len) < 0 ? errno : 0;
}

/* ---- inside ---- */

static int guest_connect(const char *path)
{
	int fd = new_socket(SOCK_STREAM);

	return fd < 0 ? 200 : connect_to(fd, path);
}

static int guest_connect_seqpacket(const char *path)
{
	int fd = new_socket(SOCK_SEQPACKET);

	return fd < 0 ? 200 : connect_to(fd, path);
}

/* Directory of @path, then its last component alone. */
static int guest_connect_relative(const char *path)
{
	char dir[4096];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	*slash = '\0';
	return chdir(dir) < 0 ? 201 : guest_connect(slash + 1);
}

/* Through the task's own directory in /proc. */
static int guest_connect_proc(const char *path)
{
	char other[4096];

	if (chdir("/") < 0)
		return 201;
	snprintf(other, sizeof(other), "/proc/self/cwd%s", path);
	return guest_connect(other);
}

/* By a descriptor of the socket's file. */
static int guest_connect_descriptor(const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	char other[64];

	snprintf(other, sizeof(other), "/proc/self/fd/%d", fd);
	return fd < 0 ? 201 : guest_connect(other);
}

/* Server and client of one sandbox. */
static int guest_pair(const char *path)
{
	int listener = unix_listen(path, SOCK_STREAM, 4), fd = new_socket(SOCK_STREAM);
	char buf[4] = "";
	int r, peer;

	if (listener < 0 || fd < 0)
		return 200;
	r = connect_to(fd, path);
	if (r)
		return r;
	peer = accept(listener, NULL, NULL);
	if (peer < 0 || write(fd, "ping", 4) != 4 || read(peer, buf, 4) != 4 ||
	    memcmp(buf, "ping", 4) != 0)
		return 201;
	return write(peer, "pong", 4) == 4 && read(fd, buf, 4) == 4 ? 0 : 202;
}

static int guest_bind(const char *path)
{
	struct sockaddr_un sa;
	socklen_t len = unix_address(&sa, path);
	int fd = new_socket(SOCK_STREAM);

	return bind(fd, (struct sockaddr *)&sa, len) < 0 ? errno : 0;
}

/* ---- inside: errors ---- */

struct address {
	struct sockaddr_un sa;
	char beyond[32];
};

static int try_length(int fd, const char *path, int family, long len)
{
	struct address a;

	memset(&a, 'x', sizeof(a));
	a.sa.sun_family = (sa_family_t)family;
	memcpy(a.sa.sun_path, path, strlen(path) + 1);
	return syscall(SYS_connect, fd, &a, len) < 0 ? errno : 0;
}

/* Each line: what a connect in directory @dir gives. Printed, and compared with the same of a bare run. */
static void say(const char *what, int error)
{
	printf("%s: %d\n", what, error);
}

static void errors_of_lengths(const char *path)
{
	static const long lengths[] = { 0, 1, 2, 3, 4, 108, 109, 110, 111, 128, 129, 1 << 20, -1 };
	char what[64];

	for (size_t i = 0; i < N_OF(lengths); i++) {
		for (int family = 0; family < 3; family++) {
			int fd = new_socket(SOCK_STREAM);

			snprintf(what, sizeof(what), "length %ld family %d", lengths[i], family);
			say(what, try_length(fd, path, family, lengths[i]));
			close(fd);
		}
	}
}

/* The path ends with the length, with or without a NUL. */
static void errors_of_ends(const char *path)
{
	long n = (long)(PATH_AT + strlen(path));

	for (long len = n - 1; len <= n + 2; len++) {
		int fd = new_socket(SOCK_STREAM);
		char what[32];

		snprintf(what, sizeof(what), "end %ld", len - n);
		say(what, try_length(fd, path, AF_UNIX, len));
		close(fd);
	}
}

static void errors_of_descriptors(const char *path)
{
	int closed = dup(0), fds[2], file = open("file", O_RDWR | O_CREAT, 0600);
	int path_only = open("file", O_PATH), fd = new_socket(SOCK_STREAM);

	close(closed);
	say("closed", connect_to(closed, path));
	say("negative", connect_to(-1, path));
	say("closed, no such file", connect_to(closed, "none"));
	say("file", connect_to(file, path));
	say("O_PATH", connect_to(path_only, path));
	socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
	say("of a pair", connect_to(fds[0], path));
	say("first", connect_to(fd, path));
	say("second", connect_to(fd, path));
	say("second to none", connect_to(fd, "none"));
	say("bad address", syscall(SYS_connect, new_socket(SOCK_STREAM), 8, 20) < 0 ? errno : 0);
	say("no address", syscall(SYS_connect, new_socket(SOCK_STREAM), NULL, 20) < 0 ? errno : 0);
	say("listening", connect_to(unix_listen("own", SOCK_STREAM, 1), path));
}

static void errors_of_paths(const char *path)
{
	static const char *const paths[] = { "none", "file",	  "file/x", "none/x",	"loop",
					     "link", "dangling",  "dir",    "dir/../l", "./l",
					     "dead", "seqpacket", "l/",	    "@nobody",	"mode" };

	for (size_t i = 0; i < N_OF(paths); i++) {
		say(paths[i], guest_connect(paths[i]));
		say("  seqpacket", guest_connect_seqpacket(paths[i]));
	}
	(void)path;
}

static int make_places(void)
{
	int fd = open("file", O_RDWR | O_CREAT, 0600);

	close(fd);
	if (unix_listen("l", SOCK_STREAM, 64) < 0 ||
	    unix_listen("seqpacket", SOCK_SEQPACKET, 64) < 0 ||
	    unix_listen("mode", SOCK_STREAM, 64) < 0)
		return -1;
	close(unix_listen("dead", SOCK_STREAM, 1));
	if (geteuid() != 0) /* whom modes do not stop, bare */
		chmod("mode", 0);
	return symlink("loop", "loop") + symlink("l", "link") + symlink("none", "dangling") +
	       mkdir("dir", 0700);
}

/* In directory @dir: its listener is at "l" there. */
static int guest_errors(const char *dir)
{
	if (chdir(dir) < 0 || make_places() < 0)
		return 200;
	errors_of_lengths("l");
	errors_of_ends("l");
	errors_of_descriptors("l");
	errors_of_paths("l");
	return fflush(stdout) ? 201 : 0;
}

/* ---- inside: the race ---- */

/* "GRANTED REFUSED": a thread exchanges them. Returns 0 if both answers came. */
static int guest_race(const char *arg)
{
	static char paths[2][200];
	const struct sockaddr_un *to;
	int seen[2] = { 0, 0 };

	sscanf(arg, "%199s %199s", paths[0], paths[1]);
	to = unix_flip_begin(paths[0], paths[1]);
	if (!to)
		return 200;
	for (int i = 0; i < FLIPS; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		int r = connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 ? errno : 0;

		seen[0] += r == 0 || r == EAGAIN;
		seen[1] += r == EACCES;
		close(fd);
	}
	unix_flip_end();
	return seen[0] && seen[1] ? 0 : seen[1] ? 201 : 202;
}

/* ---- inside: waiting ---- */

static int fill(const char *path)
{
	int r;

	do
		r = connect_to(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), path);
	while (r == 0);
	return r;
}

/* @path's backlog is full: without waiting EAGAIN, and flags stay. */
static int guest_full(const char *path)
{
	int fd = new_socket(SOCK_STREAM | SOCK_NONBLOCK), r;

	if (fill(path) != EAGAIN)
		return 200;
	r = connect_to(fd, path);
	return fcntl(fd, F_GETFL) & O_NONBLOCK ? r : 201;
}

/* Waits for a place, which comes only after others were served meanwhile. */
static int guest_waits(const char *path)
{
	int listener = unix_listen(path, SOCK_STREAM, 0), status;
	pid_t waiter;

	if (listener < 0 || fill(path) != EAGAIN)
		return 200;
	waiter = fork();
	if (waiter == 0)
		_exit(connect_to(new_socket(SOCK_STREAM), path));
	for (int i = 0; i < 200; i++) { /* trapped calls go on */
		if (guest_connect("none") != ENOENT || waitpid(waiter, NULL, WNOHANG) != 0)
			return 201;
		usleep(500);
	}
	/* one place for each that is taken out */
	for (int i = 0; i < 2; i++)
		close(accept(listener, NULL, NULL));
	return waitpid(waiter, &status, 0) == waiter && WIFEXITED(status) ? WEXITSTATUS(status)
									  : 202;
}

/* Many wait, and are killed. */
static int guest_killed(const char *path)
{
	int listener = unix_listen(path, SOCK_STREAM, 0), status;
	pid_t waiters[100];

	if (listener < 0 || fill(path) != EAGAIN)
		return 200;
	for (size_t i = 0; i < N_OF(waiters); i++) {
		waiters[i] = fork();
		if (waiters[i] == 0)
			_exit(connect_to(new_socket(SOCK_STREAM), path));
	}
	usleep(50000);
	for (size_t i = 0; i < N_OF(waiters); i++) {
		kill(waiters[i], SIGKILL);
		if (waitpid(waiters[i], &status, 0) != waiters[i])
			return 201;
		/* beyond what may wait at a time */
		if (!WIFSIGNALED(status) && WEXITSTATUS(status) != EAGAIN)
			return 202;
	}
	return guest_connect("none") == ENOENT ? 0 : 203;
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* A signal each 30 ms, whose handler has @flags; a place after some of them. */
static int signalled(const char *path, int flags)
{
	struct sigaction act = { .sa_handler = on_alarm, .sa_flags = flags };
	int listener = unix_listen(path, SOCK_STREAM, 0), status;
	struct itimerval every = { { 0, 30000 }, { 0, 30000 } };
	bool ended = false;
	pid_t waiter;

	if (listener < 0 || fill(path) != EAGAIN)
		return 200;
	waiter = fork();
	if (waiter == 0) {
		sigaction(SIGALRM, &act, NULL);
		setitimer(ITIMER_REAL, &every, NULL);
		_exit(connect_to(new_socket(SOCK_STREAM), path));
	}
	/* who is not restarted ends by himself, on a busy machine not at once */
	for (unsigned i = 0; i < (flags ? 1 : 100) && !ended; i++) {
		usleep(200000);
		ended = waitpid(waiter, &status, WNOHANG) == waiter;
	}
	if (!ended) {
		close(accept(listener, NULL, NULL));
		waitpid(waiter, &status, 0);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 201;
}

static int guest_signalled(const char *path)
{
	return signalled(path, 0);
}

static int guest_restarted(const char *path)
{
	return signalled(path, SA_RESTART);
}

/* Stopped and continued while it waits. */
static int guest_stopped(const char *path)
{
	int listener = unix_listen(path, SOCK_STREAM, 0), status;
	pid_t waiter;

	if (listener < 0 || fill(path) != EAGAIN)
		return 200;
	waiter = fork();
	if (waiter == 0)
		_exit(connect_to(new_socket(SOCK_STREAM), path));
	usleep(20000);
	kill(waiter, SIGSTOP);
	if (waitpid(waiter, &status, WUNTRACED) != waiter || !WIFSTOPPED(status))
		return 201;
	close(accept(listener, NULL, NULL));
	kill(waiter, SIGCONT);
	return waitpid(waiter, &status, 0) == waiter && WIFEXITED(status) ? WEXITSTATUS(status)
									  : 202;
}

/* "PORT FLAGS": of TCP, where a policy lets it be. */
static int guest_tcp(const char *arg)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int port = 0, flags = 0, fd;

	sscanf(arg, "%d %d", &port, &flags);
	sa.sin_port = htons((uint16_t)port);
	fd = socket(AF_INET, SOCK_STREAM | flags, 0);
	return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? errno : 0;
}

/* Waits when the sandbox ends. */
static int guest_left(const char *path)
{
	int ready[2];
	char c;

	if (unix_listen(path, SOCK_STREAM, 0) < 0 || fill(path) != EAGAIN || pipe(ready) < 0)
		return 200;
	if (fork() == 0) {
		if (write(ready[1], "x", 1) == 1)
			connect_to(new_socket(SOCK_STREAM), path);
		_exit(0);
	}
	return read(ready[0], &c, 1) == 1 ? 0 : 201;
}

static const struct guest_role roles[] = {
	{ "connect", guest_connect },
	{ "seqpacket", guest_connect_seqpacket },
	{ "relative", guest_connect_relative },
	{ "proc", guest_connect_proc },
	{ "descriptor", guest_connect_descriptor },
	{ "pair", guest_pair },
	{ "bind", guest_bind },
	{ "errors", guest_errors },
	{ "race", guest_race },
	{ "full", guest_full },
	{ "waits", guest_waits },
	{ "killed", guest_killed },
	{ "left", guest_left },
	{ "signalled", guest_signalled },
	{ "restarted", guest_restarted },
	{ "stopped", guest_stopped },
	{ "tcp", guest_tcp },
	{ NULL, NULL },
};

/* ---- outside ---- */

/* All may be read; writing below @write, if it is not NULL. */
static int inside(const char *write, const char *role, const char *arg)
{
	struct sluice_policy *p = guest_policy();
	int r;

	if (write)
		assert_int_equal(sluice_policy_allow_write(p, write, NULL), 0);
	r = guest_inside(p, role, arg);
	sluice_policy_unref(p);
	return r;
}

static void hazard_B7_named_sockets_outside_the_grants(void **state)
{
	static const char *const ways[] = { "connect", "relative", "proc", "descriptor" };
	const char *dir = guest_dir(), *other = guest_dir();
	const char *path = guest_in(dir, "l");
	int fd = unix_listen_outside(path, SOCK_STREAM);

	(void)state;
	for (size_t i = 0; i < N_OF(ways); i++) {
		assert_int_equal(guest_bare(ways[i], path), 0);
		assert_int_equal(unix_accepted(fd), 1);
		assert_int_equal(inside(NULL, ways[i], path), EACCES);
		assert_int_equal(inside(other, ways[i], path), EACCES);
		assert_int_equal(unix_accepted(fd), 0);
		assert_int_equal(inside(dir, ways[i], path), guest_carried_out(0));
		assert_int_equal(unix_accepted(fd), guest_carried_out(0) == 0);
		assert_int_equal(inside("/", ways[i], path), 0);
		assert_int_equal(unix_accepted(fd), 1);
	}
	close(fd);
	guest_remove(dir);
	guest_remove(other);
}

static void hazard_B7_seqpacket_sockets_too(void **state)
{
	const char *dir = guest_dir(), *path = guest_in(dir, "l");
	int fd = unix_listen_outside(path, SOCK_SEQPACKET);

	(void)state;
	assert_int_equal(guest_bare("seqpacket", path), 0);
	assert_int_equal(inside(NULL, "seqpacket", path), EACCES);
	assert_int_equal(unix_accepted(fd), 1);
	assert_int_equal(inside(dir, "seqpacket", path), guest_carried_out(0));
	close(fd);
	guest_remove(dir);
}

/* A link in a granted directory leads out of it, and one outside leads in. */
static void hazard_B7_links_to_sockets(void **state)
{
	const char *dir = guest_dir(), *granted = guest_dir();
	const char *out = guest_in(dir, "l"), *to_out = guest_in(granted, "to-out");
	const char *own = guest_in(granted, "l"), *to_own = guest_in(dir, "to-own");
	int fd = unix_listen_outside(out, SOCK_STREAM),
	    own_fd = unix_listen_outside(own, SOCK_STREAM);

	(void)state;
	assert_int_equal(symlink(out, to_out), 0);
	assert_int_equal(symlink(own, to_own), 0);
	assert_int_equal(guest_bare("connect", to_out), 0);
	assert_int_equal(inside(granted, "connect", to_out), EACCES);
	assert_int_equal(unix_accepted(fd), 1);
	assert_int_equal(inside(granted, "connect", to_own), guest_carried_out(0));
	close(fd);
	close(own_fd);
	guest_remove(dir);
	guest_remove(granted);
}

/* The file was removed while its listener lives on: what a descriptor still reaches is as much outside as before. */
static void hazard_B7_removed_sockets(void **state)
{
	const char *dir = guest_dir(), *path = guest_in(dir, "l");
	int fd = unix_listen_outside(path, SOCK_STREAM), file = open(path, O_PATH);
	char other[64];

	(void)state;
	assert_int_equal(unlink(path), 0);
	snprintf(other, sizeof(other), "/proc/%d/fd/%d", getpid(), file);
	assert_int_equal(guest_bare("connect", other), 0);
	assert_int_equal(unix_accepted(fd), 1);
	snprintf(other, sizeof(other), "/proc/self/fd/%d", file);
	assert_int_equal(inside(NULL, "connect", other), EACCES);
	assert_int_equal(unix_accepted(fd), 0);
	close(file);
	close(fd);
	guest_remove(dir);
}

static void hazard_B7_abstract_names(void **state)
{
	char path[64];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "@sluice-unix-%d", getpid());
	fd = unix_listen_outside(path, SOCK_STREAM);
	assert_int_equal(guest_bare("connect", path), 0);
	assert_int_equal(inside(NULL, "connect", path), guest_carried_out(EPERM));
	assert_int_equal(unix_accepted(fd), 1);
	close(fd);
	assert_int_equal(guest_bare("pair", path), 0);
	assert_int_equal(inside(NULL, "pair", path), guest_carried_out(0));
}

static void hazard_B7_bind_is_bounded_too(void **state)
{
	const char *dir = guest_dir(), *granted = guest_dir();

	(void)state;
	assert_int_equal(guest_bare("bind", guest_in(dir, "bare")), 0);
	assert_int_equal(inside(granted, "bind", guest_in(dir, "l")), EACCES);
	assert_int_equal(access(guest_in(dir, "l"), F_OK), -1);
	assert_int_equal(inside(granted, "bind", guest_in(granted, "l")), 0);
	assert_int_equal(inside(granted, "pair", guest_in(granted, "pair")), guest_carried_out(0));
	guest_remove(dir);
	guest_remove(granted);
}

/* ---- errors ---- */

static char *said(const char *dir, bool bare)
{
	int out = memfd_create("out", MFD_CLOEXEC), saved;
	char *text;
	off_t size;
	int r;

	fflush(stdout);
	saved = dup(1);
	dup2(out, 1);
	r = bare ? guest_bare("errors", dir) : inside(dir, "errors", dir);
	dup2(saved, 1);
	close(saved);
	assert_int_equal(r, 0);
	size = lseek(out, 0, SEEK_END);
	text = calloc(1, (size_t)size + 1);
	assert_int_equal(pread(out, text, (size_t)size, 0), size);
	close(out);
	return text;
}

/* Each line that differs; without pidfd_getfd only those that say EACCES may. */
static void compare(char *bare, char *inside)
{
	char *save[2], *a = strtok_r(bare, "\n", &save[0]), *b = strtok_r(inside, "\n", &save[1]);
	int differ = 0, lines = 0;

	for (; a && b; lines++) {
		bool refused = !guest_descriptors_can_be_got() && strstr(b, ": 13");

		if (strcmp(a, b) != 0 && !refused) {
			differ++;
			print_error("bare %s, inside %s\n", a, b);
		}
		a = strtok_r(NULL, "\n", &save[0]);
		b = strtok_r(NULL, "\n", &save[1]);
	}
	assert_null(a);
	assert_null(b);
	assert_true(lines > 80);
	assert_int_equal(differ, 0);
}

static void hazard_A3_errors_are_as_bare(void **state)
{
	const char *dirs[2] = { guest_dir(), guest_dir() };
	char *bare = said(dirs[0], true), *sandboxed = said(dirs[1], false);

	(void)state;
	assert_non_null(strstr(bare, "second: 106")); /* the guest does say something */
	compare(bare, sandboxed);
	free(bare);
	free(sandboxed);
	guest_remove(dirs[0]);
	guest_remove(dirs[1]);
}

/* ---- the race ---- */

static void *accept_all(void *arg)
{
	const int *fds = arg;
	struct pollfd p[2] = { { .fd = fds[0], .events = POLLIN },
			       { .fd = fds[1], .events = POLLIN } };

	while (poll(p, 2, -1) > 0 && !p[1].revents)
		unix_accepted(fds[0]);
	return NULL;
}

static void hazard_A1_an_address_that_flips(void **state)
{
	const char *granted = guest_dir(), *dir = guest_dir();
	int fd = unix_listen_outside(guest_in(dir, "l"), SOCK_STREAM), stop[2], fds[2];
	pthread_t thread;
	char arg[9000];

	(void)state;
	fds[0] = unix_listen_outside(guest_in(granted, "l"), SOCK_STREAM);
	assert_int_equal(pipe2(stop, O_CLOEXEC), 0);
	fds[1] = stop[0];
	snprintf(arg, sizeof(arg), "%s/l %s/l", granted, dir);
	assert_int_equal(strlen(granted), strlen(dir));
	assert_int_equal(pthread_create(&thread, NULL, accept_all, fds), 0);
	assert_int_equal(inside(granted, "race", arg), guest_descriptors_can_be_got() ? 0 : 201);
	assert_int_equal(unix_accepted(fd), 0);
	/* it is there, and would have seen one */
	assert_int_equal(guest_bare("connect", guest_in(dir, "l")), 0);
	assert_int_equal(unix_accepted(fd), 1);
	close(stop[1]);
	pthread_join(thread, NULL);
	close(stop[0]);
	close(fds[0]);
	close(fd);
	guest_remove(granted);
	guest_remove(dir);
}

/* ---- waiting ---- */

static void hazard_C7_a_full_listener_without_waiting(void **state)
{
	const char *dir = guest_dir(), *path = guest_in(dir, "l");
	int fd = unix_listen_outside(path, SOCK_STREAM);

	(void)state;
	assert_int_equal(guest_bare("full", path), EAGAIN);
	unix_accepted(fd);
	if (guest_descriptors_can_be_got())
		assert_int_equal(inside(dir, "full", path), EAGAIN);
	close(fd);
	guest_remove(dir);
}

static void wait_test(const char *role)
{
	const char *dir = guest_dir(), *bare = guest_dir();

	assert_int_equal(guest_bare(role, guest_in(bare, "l")), 0);
	if (guest_descriptors_can_be_got())
		assert_int_equal(inside(dir, role, guest_in(dir, "l")), 0);
	guest_remove(dir);
	guest_remove(bare);
}

static void hazard_C4_waiting_for_a_listener_holds_up_nobody(void **state)
{
	(void)state;
	wait_test("waits");
}

static void hazard_D7_those_that_wait_are_bounded_and_can_be_killed(void **state)
{
	(void)state;
	wait_test("killed");
}

static void hazard_C7_signals_while_one_waits(void **state)
{
	const char *dir = guest_dir(), *path = guest_in(dir, "l");

	(void)state;
	wait_test("restarted");
	wait_test("stopped");
	assert_int_equal(guest_bare("signalled", path), EINTR);
	assert_int_equal(unlink(path), 0);
	if (guest_descriptors_can_be_got())
		assert_int_equal(inside(dir, "signalled", path), EINTR);
	guest_remove(dir);
}

static int tcp(bool bare, int port, int flags)
{
	struct sluice_policy *p = guest_policy();
	char arg[32];
	int r;

	assert_int_equal(sluice_policy_allow_syscall(p, "socket", NULL), 0);
	assert_int_equal(sluice_policy_disable(p, "net-tcp", NULL), 0);
	snprintf(arg, sizeof(arg), "%d %d", port, flags);
	r = bare ? guest_bare("tcp", arg) : guest_inside(p, "tcp", arg);
	sluice_policy_unref(p);
	return r;
}

/* Other sockets that a policy lets through connect as they would. */
static void hazard_C7_other_sockets(void **state)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port;
	socklen_t size = sizeof(sa);
	int filling[8];
	long long start;

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &size), 0);
	port = ntohs(sa.sin_port);
	assert_int_equal(tcp(true, port, 0), ECONNREFUSED);
	assert_int_equal(tcp(false, port, 0), guest_carried_out(ECONNREFUSED));
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(tcp(true, port, 0), 0);
	assert_int_equal(tcp(false, port, 0), guest_carried_out(0));
	/* a full one, which answers nothing: who waits for it would wait for minutes */
	assert_int_equal(listen(fd, 0), 0);
	for (int i = 0; i < 8; i++) {
		int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		connect(full, (struct sockaddr *)&sa, sizeof(sa));
		filling[i] = full;
	}
	assert_int_equal(tcp(true, port, SOCK_NONBLOCK), EINPROGRESS);
	start = guest_now_ms();
	assert_int_equal(tcp(false, port, SOCK_NONBLOCK), guest_carried_out(EINPROGRESS));
	assert_true(guest_now_ms() - start < 5000);
	for (int i = 0; i < 8; i++)
		close(filling[i]);
	close(fd);
}

static void hazard_D8_one_waits_at_the_end(void **state)
{
	long long start = guest_now_ms();
	const char *dir = guest_dir();

	(void)state;
	if (guest_descriptors_can_be_got())
		assert_int_equal(inside(dir, "left", guest_in(dir, "l")), 0);
	assert_true(guest_now_ms() - start < 5000);
	guest_remove(dir);
}

/* ---- extras ---- */

struct seen {
	struct sluice_verdict verdict;
	char path[4096];
	_Atomic int kind;
};

static struct sluice_verdict look(struct sluice_request *req, void *userdata)
{
	struct seen *s = userdata;
	struct sluice_plan plan;

	sluice_request_plan(req, &plan);
	snprintf(s->path, sizeof(s->path), "%s", plan.host_path ? plan.host_path : "");
	atomic_store(&s->kind, plan.host_path2 ? -1 : (int)plan.kind);
	return s->verdict;
}

static int with_extra(const char *write, struct seen *s, const char *path)
{
	struct sluice_handler extra = sluice_handler_make("look", SYS_connect, look, s);
	struct sluice_policy *p = guest_policy();
	int r;

	assert_int_equal(sluice_policy_allow_write(p, write, NULL), 0);
	r = guest_run(p, &extra, 1, "connect", path).exit_code;
	sluice_policy_unref(p);
	return r;
}

static void test_an_extra_sees_the_file_and_may_refuse(void **state)
{
	struct seen s = { .verdict = sluice_errno(EDOM) };
	const char *dir = guest_dir(), *path = guest_in(dir, "l");
	int fd = unix_listen_outside(path, SOCK_STREAM);

	(void)state;
	if (guest_descriptors_can_be_got()) {
		assert_int_equal(with_extra(dir, &s, path), EDOM);
		assert_int_equal(s.kind, SLUICE_PLAN_ACT);
		assert_string_equal(s.path, path);
		assert_int_equal(unix_accepted(fd), 0);
		s.verdict = sluice_continue();
		assert_int_equal(with_extra(dir, &s, path), 0);
		assert_int_equal(unix_accepted(fd), 1);
	}
	/* trapped for the extra alone */
	s.verdict = sluice_as_seen();
	assert_int_equal(with_extra("/", &s, path), guest_carried_out(0));
	assert_int_equal(s.kind, SLUICE_PLAN_KERNEL);
	assert_int_equal(unix_accepted(fd), guest_carried_out(0) == 0);
	close(fd);
	guest_remove(dir);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_B7_named_sockets_outside_the_grants),
		cmocka_unit_test(hazard_B7_seqpacket_sockets_too),
		cmocka_unit_test(hazard_B7_links_to_sockets),
		cmocka_unit_test(hazard_B7_removed_sockets),
		cmocka_unit_test(hazard_B7_abstract_names),
		cmocka_unit_test(hazard_B7_bind_is_bounded_too),
		cmocka_unit_test(hazard_A3_errors_are_as_bare),
		cmocka_unit_test(hazard_A1_an_address_that_flips),
		cmocka_unit_test(hazard_C7_a_full_listener_without_waiting),
		cmocka_unit_test(hazard_C4_waiting_for_a_listener_holds_up_nobody),
		cmocka_unit_test(hazard_D7_those_that_wait_are_bounded_and_can_be_killed),
		cmocka_unit_test(hazard_C7_signals_while_one_waits),
		cmocka_unit_test(hazard_C7_other_sockets),
		cmocka_unit_test(hazard_D8_one_waits_at_the_end),
		cmocka_unit_test(test_an_extra_sees_the_file_and_may_refuse),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("unix", tests, NULL, NULL);
}
