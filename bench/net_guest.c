/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net_guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "report.h"
#include "stats.h"
#include "util/clock.h"

#define BACKLOG 1024
#define BLACK_HOLE_CONNECTS 64u
#define STREAM_BUFFER_BYTES (128u << 10)
#define GUEST_SECONDS_MAX 300u

static const char http_request[] = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
static const char http_response[] =
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";

/* ---- sockets ---- */

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

/* A socket that is bound to a free port; the caller owns it. -1 after a message. */
static int bound(uint16_t *ret_port)
{
	struct sockaddr_in addr = loopback(0);
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &len) < 0) {
		report_failure("no port on loopback: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*ret_port = ntohs(addr.sin_port);
	return fd;
}

/* The same, listening. */
static int listener(int backlog, uint16_t *ret_port)
{
	int fd = bound(ret_port);

	if (fd >= 0 && listen(fd, backlog) < 0) {
		report_failure("listen: %s", strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

static int stream_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* Both ends of a connection over loopback, without delays. 0 or -1. */
static int connected_pair(int ret[2])
{
	uint16_t port;
	int one = 1, fd = listener(1, &port);
	struct sockaddr_in addr = loopback(port);

	if (fd < 0)
		return -1;
	ret[0] = stream_socket();
	if (ret[0] < 0 || connect(ret[0], (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return report_failure("connect: %s", strerror(errno)), -1;
	ret[1] = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	close(fd);
	if (ret[1] < 0)
		return report_failure("accept: %s", strerror(errno)), -1;
	for (int i = 0; i < 2; i++)
		setsockopt(ret[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}

uint16_t net_free_port(void)
{
	uint16_t port = 0;
	int fd = bound(&port);

	if (fd < 0)
		return 0;
	close(fd);
	return port;
}

/* ---- figures ---- */

static bool start_thread(void *(*fn)(void *), void *arg, pthread_t *ret)
{
	int r = pthread_create(ret, NULL, fn, arg);

	if (r != 0)
		report_failure("thread: %s", strerror(r));
	return r == 0;
}

static int print(double first, double second)
{
	printf("%f %f\n", first, second);
	return fflush(stdout) == 0 ? 0 : 2;
}

static double us_since(uint64_t begin_ns)
{
	return (double)(clock_now_ns() - begin_ns) / 1e3;
}

/* The median of @n times; of @once, which returns microseconds, or less than 0 after a message. */
static int print_median(unsigned n, double (*once)(void *arg), void *arg)
{
	double *us = calloc(n, sizeof(*us));

	if (!us || !n)
		return 2;
	for (unsigned i = 0; i < n; i++) {
		us[i] = once(arg);
		if (us[i] < 0)
			return 3;
	}
	return print(stats_median_of(us, n), 0);
}

/* ---- connect ---- */

struct connecting {
	int listener;
	struct sockaddr_in addr;
};

/* Closed by a reset, so that no port stays in use afterwards. */
static double connect_once(void *arg)
{
	const struct connecting *c = arg;
	const struct linger reset = { .l_onoff = 1 };
	int fd = stream_socket(), other, r;
	uint64_t begin = clock_now_ns();
	double us;

	r = connect(fd, (const struct sockaddr *)&c->addr, sizeof(c->addr));
	us = us_since(begin);
	if (fd < 0 || r < 0)
		return report_failure("connect: %s", strerror(errno)), -1;
	other = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	close(other);
	return us;
}

static int guest_connect(uint16_t unused, unsigned n)
{
	uint16_t port;
	struct connecting c = { .listener = listener(BACKLOG, &port) };

	(void)unused;
	if (c.listener < 0)
		return 2;
	c.addr = loopback(port);
	return print_median(n, connect_once, &c);
}

/* ---- http ---- */

/* Until the other end closes, the buffer is full, or what was read ends with @end. Returns how much there is. */
static size_t read_until(int fd, char *buf, size_t size, const char *end)
{
	size_t n = 0, end_len = strlen(end);

	while (n < size) {
		ssize_t got = read(fd, buf + n, size - n);

		if (got <= 0)
			break;
		n += (size_t)got;
		if (end_len && n >= end_len && !memcmp(buf + n - end_len, end, end_len))
			break;
	}
	return n;
}

static void *serve_http(void *arg)
{
	int listener = (int)(intptr_t)arg;
	char request[1024];

	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		if (read_until(fd, request, sizeof(request), "\r\n\r\n") > 0)
			send(fd, http_response, sizeof(http_response) - 1, MSG_NOSIGNAL);
		close(fd);
	}
	return NULL;
}

uint16_t net_serve_http(void)
{
	uint16_t port = 0;
	int fd = listener(BACKLOG, &port);
	pthread_t thread;

	return fd >= 0 && start_thread(serve_http, (void *)(intptr_t)fd, &thread) ? port : 0;
}

static bool http_get(const struct sockaddr_in *server)
{
	char answer[sizeof(http_response) + 1];
	int fd = stream_socket();
	bool right = fd >= 0 &&
		     connect(fd, (const struct sockaddr *)server, sizeof(*server)) == 0 &&
		     send(fd, http_request, sizeof(http_request) - 1, MSG_NOSIGNAL) > 0 &&
		     read_until(fd, answer, sizeof(answer), "") == sizeof(http_response) - 1 &&
		     !memcmp(answer, http_response, sizeof(http_response) - 1);

	if (!right)
		report_failure("http: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return right;
}

static int guest_http(uint16_t port, unsigned n)
{
	const struct sockaddr_in server = loopback(port);
	uint64_t begin = clock_now_ns();

	for (unsigned i = 0; i < n; i++) {
		if (!http_get(&server))
			return 3;
	}
	return print(us_since(begin) / n, 0);
}

static int guest_http_both(uint16_t unused, unsigned n)
{
	uint16_t port = net_serve_http();

	(void)unused;
	return port ? guest_http(port, n) : 2;
}

/* ---- connected sockets ---- */

struct stream {
	int fd;
	uint64_t left; /* bytes to send */
};

static void *send_stream(void *arg)
{
	static char buffer[STREAM_BUFFER_BYTES];
	struct stream *s = arg;

	while (s->left > 0) {
		size_t want = s->left < sizeof(buffer) ? s->left : sizeof(buffer);
		ssize_t n = write(s->fd, buffer, want);

		if (n <= 0)
			break;
		s->left -= (size_t)n;
	}
	close(s->fd);
	return NULL;
}

static int guest_stream(uint16_t unused, unsigned n)
{
	static char buffer[STREAM_BUFFER_BYTES];
	struct stream s = { .left = (uint64_t)n << 20 };
	const uint64_t whole = s.left;
	uint64_t bytes = 0, begin;
	pthread_t thread;
	ssize_t got;
	int fds[2];

	(void)unused;
	if (connected_pair(fds) < 0)
		return 2;
	s.fd = fds[0];
	begin = clock_now_ns();
	if (!start_thread(send_stream, &s, &thread))
		return 2;
	while ((got = read(fds[1], buffer, sizeof(buffer))) > 0)
		bytes += (size_t)got;
	pthread_join(thread, NULL);
	return bytes == whole ? print(n / (us_since(begin) / 1e6), 0) : 3;
}

static void *send_back(void *arg)
{
	int fd = *(int *)arg;
	char byte;

	while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1)
		;
	return NULL;
}

static int guest_ping_pong(uint16_t unused, unsigned n)
{
	pthread_t thread;
	uint64_t begin;
	char byte = 0;
	int fds[2];

	(void)unused;
	if (connected_pair(fds) < 0 || !start_thread(send_back, &fds[1], &thread))
		return 2;
	begin = clock_now_ns();
	for (unsigned i = 0; i < n; i++) {
		if (write(fds[0], &byte, 1) != 1 || read(fds[0], &byte, 1) != 1)
			return 3;
	}
	return print(n / (us_since(begin) / 1e6), 0);
}

/* ---- a black hole: a listener whose queue is full drops what comes, and says nothing ---- */

struct lost {
	int fd;
	struct sockaddr_in addr;
};

static void *connect_lost(void *arg)
{
	struct lost *l = arg;

	connect(l->fd, (struct sockaddr *)&l->addr, sizeof(l->addr));
	return NULL;
}

static bool is_connecting(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state == TCP_SYN_SENT;
}

static unsigned n_connecting(const struct lost *lost)
{
	unsigned n = 0;

	for (unsigned i = 0; i < BLACK_HOLE_CONNECTS; i++)
		n += is_connecting(lost[i].fd);
	return n;
}

/* @lost: none of them is connected before this returns, and each has a thread that waits for it. */
static bool fall_in(struct lost *lost)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	const struct linger reset = { .l_onoff = 1 };
	pthread_t thread;
	uint16_t port;
	int full = listener(0, &port), fd = stream_socket();
	struct sockaddr_in addr = loopback(port);

	/* the one that there is room for */
	if (full < 0 || fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return report_failure("black hole: %s", strerror(errno)), false;
	for (unsigned i = 0; i < BLACK_HOLE_CONNECTS; i++) {
		lost[i] = (struct lost){ stream_socket(), addr };
		setsockopt(lost[i].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		if (!start_thread(connect_lost, &lost[i], &thread))
			return false;
	}
	for (unsigned i = 0; n_connecting(lost) < BLACK_HOLE_CONNECTS; i++) {
		if (i == 30000)
			return report_failure("black hole: only %u connects wait",
					      n_connecting(lost)),
			       false;
		nanosleep(&ms, NULL);
	}
	return true;
}

static double open_p99_us(unsigned n)
{
	double *us = calloc(n, sizeof(*us)), p99;

	for (unsigned i = 0; us && i < n; i++) {
		uint64_t begin = clock_now_ns();
		int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

		us[i] = us_since(begin);
		if (fd >= 0)
			close(fd);
	}
	p99 = us ? stats_quantile_of(us, n, 0.99) : -1;
	free(us);
	return p99;
}

static int guest_black_hole(uint16_t unused, unsigned n)
{
	struct lost lost[BLACK_HOLE_CONNECTS];
	double idle, busy;

	(void)unused;
	idle = open_p99_us(n);
	if (!fall_in(lost))
		return 2;
	busy = open_p99_us(n);
	if (n_connecting(lost) < BLACK_HOLE_CONNECTS)
		return report_failure("black hole: somebody was answered"), 3;
	return print(busy, idle);
}

/* ---- /proc/self/maps ---- */

static char maps_text[1u << 20];

/* Bytes of it, in maps_text; 0 after a message. */
static size_t read_maps(void)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t n = fd < 0 ? 0 : read_until(fd, maps_text, sizeof(maps_text), "");

	if (fd >= 0)
		close(fd);
	if (!n)
		report_failure("/proc/self/maps: %s", strerror(errno));
	return n;
}

static unsigned count_maps(void)
{
	size_t n = read_maps();
	unsigned lines = 0;

	for (size_t i = 0; i < n; i++)
		lines += maps_text[i] == '\n';
	return lines;
}

static double maps_once(void *unused)
{
	uint64_t begin = clock_now_ns();
	size_t n;

	(void)unused;
	n = read_maps();
	return n ? us_since(begin) : -1;
}

static int guest_maps(uint16_t lines, unsigned n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = 2u * lines + 1;
	char *area = mmap(NULL, pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (area == MAP_FAILED)
		return 2;
	/* a page of other rights parts a mapping in three */
	for (size_t i = 1; count_maps() < lines; i += 2) {
		if (i >= pages || mprotect(area + i * page, page, PROT_READ) < 0)
			return 2;
	}
	return print_median(n, maps_once, NULL);
}

/* ---- which ---- */

int net_be_guest(int argc, char *argv[])
{
	static const struct {
		const char *name;
		int (*run)(uint16_t port, unsigned n);
	} guests[] = {
		{ "connect", guest_connect },	  { "http", guest_http },
		{ "http_both", guest_http_both }, { "stream", guest_stream },
		{ "ping_pong", guest_ping_pong }, { "black_hole", guest_black_hole },
		{ "maps", guest_maps },
	};

	if (argc != 5 || strcmp(argv[1], "--net"))
		return -1;
	alarm(GUEST_SECONDS_MAX);
	for (size_t i = 0; i < sizeof(guests) / sizeof(guests[0]); i++) {
		if (!strcmp(guests[i].name, argv[2]))
			return guests[i].run((uint16_t)strtoul(argv[3], NULL, 10),
					     (unsigned)strtoul(argv[4], NULL, 10));
	}
	return 2;
}
