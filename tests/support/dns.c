/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dns.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmocka.h"
#include "guest.h"

#define LOOPBACK "127.0.0.1"
#define MESSAGE_BYTES 65535
#define HEADER_BYTES 12
#define TYPE_A 1
#define TYPE_CNAME 5
#define TYPE_AAAA 28
#define CLASS_IN 1
#define RCODE_FAILS 2
#define RCODE_NO_NAME 3
#define FLAG_ANSWER 0x8180
#define FLAG_TRUNCATED 0x0200
#define POINTER_TO_NAME 0xc00c
#define FLOOD 100
#define STEP_WAIT_MS 5000
#define CLIENTS 8

struct dns {
	const struct dns_step *steps;
	unsigned n;
	int udp, tcp, bell, port;
	pthread_t thread;
	_Atomic unsigned asked;
	/* the thread's */
	unsigned step, asked_in_step;
	int clients[CLIENTS]; /* of TCP; -1 */
};

/* ---- messages ---- */

struct message {
	uint8_t bytes[MESSAGE_BYTES];
	size_t n;
};

static void put16(struct message *m, unsigned v)
{
	m->bytes[m->n++] = (uint8_t)(v >> 8);
	m->bytes[m->n++] = (uint8_t)v;
}

static void set16(struct message *m, size_t at, unsigned v)
{
	m->bytes[at] = (uint8_t)(v >> 8);
	m->bytes[at + 1] = (uint8_t)v;
}

/* A record of the name that was asked for. */
static void put_record(struct message *m, unsigned type, uint32_t ttl_s, const void *data,
		       unsigned size)
{
	put16(m, POINTER_TO_NAME);
	put16(m, type);
	put16(m, CLASS_IN);
	put16(m, ttl_s >> 16);
	put16(m, ttl_s & 0xffff);
	put16(m, size);
	memcpy(m->bytes + m->n, data, size);
	m->n += size;
	set16(m, 6, (m->bytes[6] << 8 | m->bytes[7]) + 1u); /* of answers */
}

static void put_addresses(struct message *m, const struct dns_step *s, unsigned type)
{
	const char *list = type == TYPE_A ? s->v4 : type == TYPE_AAAA ? s->v6 : NULL;
	char *copy = strdup(list ? list : ""), *rest, *word;

	for (word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		uint8_t address[16];

		if (inet_pton(type == TYPE_A ? AF_INET : AF_INET6, word, address) == 1)
			put_record(m, type, s->ttl_s, address, type == TYPE_A ? 4 : 16);
	}
	free(copy);
}

static void put_many(struct message *m, uint32_t ttl_s, unsigned n)
{
	for (unsigned i = 1; i <= n; i++) {
		uint32_t address = htonl(0xc6120000u + i); /* 198.18.0.0 */

		put_record(m, TYPE_A, ttl_s, &address, sizeof(address));
	}
}

/* Two names that are each other's: the one asked for, and "x" before it. */
static void put_loop(struct message *m, uint32_t ttl_s)
{
	const uint8_t longer[] = { 1, 'x', 0xc0, 0x0c }, back[] = { 0xc0, 0x0c };
	size_t name_at;

	put_record(m, TYPE_CNAME, ttl_s, longer, sizeof(longer));
	name_at = m->n - sizeof(longer);
	put_record(m, TYPE_CNAME, ttl_s, back, sizeof(back));
	set16(m, m->n - sizeof(back) - 12,
	      0xc000u | (unsigned)name_at); /* the second one's own name */
}

/* The end of the question's first name in the @size bytes at @q; 0: it is no question. */
static size_t question_end(const uint8_t *q, size_t size)
{
	size_t at = HEADER_BYTES;

	while (at < size && q[at])
		at += q[at] + 1u;
	return at + 5 <= size ? at + 5 : 0;
}

/* False: nothing is said. */
static bool answer(struct dns *d, const uint8_t *q, size_t size, bool by_tcp, struct message *m)
{
	const struct dns_step *s = &d->steps[d->step];
	const size_t end = question_end(q, size);
	unsigned type, flags = FLAG_ANSWER;

	if (!end || s->manner == DNS_SILENT)
		return false;
	type = (unsigned)(q[end - 4] << 8 | q[end - 3]);
	memcpy(m->bytes, q, end);
	m->n = end;
	set16(m, 6, 0);
	set16(m, 8, 0);
	set16(m, 10, 0);
	flags |= s->manner == DNS_NO_NAME ? RCODE_NO_NAME
		 : s->manner == DNS_FAILS ? RCODE_FAILS
					  : 0;
	if (s->manner == DNS_HUGE && !by_tcp)
		flags |= FLAG_TRUNCATED;
	set16(m, 2, flags);
	if (s->manner == DNS_GARBAGE) {
		memset(m->bytes + HEADER_BYTES, 0xa5, 40);
		set16(m, 6, 0xa5a5);
		m->n = HEADER_BYTES + 40;
	} else if (s->manner == DNS_LOOPS) {
		put_loop(m, s->ttl_s);
	} else if (s->manner == DNS_HUGE && by_tcp && type == TYPE_A) {
		put_many(m, s->ttl_s, DNS_HUGE_ADDRESSES);
	} else if (s->manner == DNS_ANSWERS || s->manner == DNS_FLOODS) {
		put_addresses(m, s, type);
	}
	return true;
}

/* ---- the thread ---- */

static void count(struct dns *d)
{
	d->asked_in_step++;
	atomic_fetch_add(&d->asked, 1);
}

static void move(struct dns *d, const char *to, const struct sockaddr_in *who)
{
	const unsigned step = (unsigned)atoi(to);
	char text[16];

	if (step < d->n && step != d->step) {
		d->step = step;
		d->asked_in_step = 0;
	}
	snprintf(text, sizeof(text), "%u", d->asked_in_step);
	sendto(d->udp, text, strlen(text) + 1, 0, (const struct sockaddr *)who, sizeof(*who));
}

static void serve_udp(struct dns *d, struct message *m)
{
	uint8_t q[1500];
	struct sockaddr_in who;
	socklen_t len = sizeof(who);
	ssize_t size =
		recvfrom(d->udp, q, sizeof(q) - 1, MSG_DONTWAIT, (struct sockaddr *)&who, &len);
	unsigned false_ones;

	if (size <= 0)
		return;
	q[size] = '\0';
	if (!strncmp((char *)q, "step ", 5)) {
		move(d, (char *)q + 5, &who);
		return;
	}
	count(d);
	if (!answer(d, q, (size_t)size, false, m))
		return;
	false_ones = d->steps[d->step].manner == DNS_FLOODS ? FLOOD : 0;
	m->bytes[0] ^= 0x5a;
	for (unsigned i = 0; i < false_ones; i++)
		sendto(d->udp, m->bytes, m->n, 0, (struct sockaddr *)&who, len);
	m->bytes[0] ^= 0x5a;
	sendto(d->udp, m->bytes, m->n, 0, (struct sockaddr *)&who, len);
}

static bool read_whole(int fd, void *buf, size_t size)
{
	return recv(fd, buf, size, MSG_WAITALL) == (ssize_t)size;
}

/* One question; false: the client is gone, or says nothing of sense. */
static bool serve_tcp(struct dns *d, int fd, struct message *m)
{
	uint8_t q[1500], length[2];
	size_t size;

	if (!read_whole(fd, length, 2))
		return false;
	size = (size_t)(length[0] << 8 | length[1]);
	if (size > sizeof(q) || !read_whole(fd, q, size))
		return false;
	count(d);
	if (!answer(d, q, size, true, m))
		return true;
	length[0] = (uint8_t)(m->n >> 8);
	length[1] = (uint8_t)m->n;
	return send(fd, length, 2, MSG_NOSIGNAL | MSG_MORE) == 2 &&
	       send(fd, m->bytes, m->n, MSG_NOSIGNAL) == (ssize_t)m->n;
}

static void greet(struct dns *d)
{
	int fd = accept4(d->tcp, NULL, NULL, SOCK_CLOEXEC);

	for (unsigned i = 0; fd >= 0 && i < CLIENTS; i++) {
		if (d->clients[i] < 0) {
			d->clients[i] = fd;
			return;
		}
	}
	if (fd >= 0)
		close(fd);
}

static void *serve(void *dns)
{
	struct message *m = malloc(sizeof(*m));
	struct dns *d = dns;

	while (m) {
		struct pollfd p[3 + CLIENTS] = {
			{ .fd = d->bell, .events = POLLIN },
			{ .fd = d->udp, .events = POLLIN },
			{ .fd = d->tcp, .events = POLLIN },
		};

		for (unsigned i = 0; i < CLIENTS; i++)
			p[3 + i] = (struct pollfd){ .fd = d->clients[i], .events = POLLIN };
		if (poll(p, 3 + CLIENTS, -1) < 0 || p[0].revents)
			break;
		if (p[1].revents)
			serve_udp(d, m);
		if (p[2].revents)
			greet(d);
		for (unsigned i = 0; i < CLIENTS; i++) {
			if (!p[3 + i].revents || serve_tcp(d, d->clients[i], m))
				continue;
			close(d->clients[i]);
			d->clients[i] = -1;
		}
	}
	free(m);
	return NULL;
}

/* ---- outside of it ---- */

static void address(struct sockaddr_in *ret, const char *host, int port)
{
	*ret = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
	};
	inet_pton(AF_INET, host, &ret->sin_addr);
}

/* A socket of @type at @port, or at one that is free: *@port then. -1: it can't be had. */
static int listener(int type, const char *host, int *port)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);

	assert_true(fd >= 0);
	address(&sa, host, *port);
	if (bind(fd, (struct sockaddr *)&sa, len) < 0) {
		close(fd);
		return -1;
	}
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

struct dns *dns_start_at(const char *host, int port, const struct dns_step *steps, unsigned n)
{
	struct dns *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	d->steps = steps;
	d->n = n;
	d->port = port;
	for (unsigned i = 0; i < CLIENTS; i++)
		d->clients[i] = -1;
	d->udp = listener(SOCK_DGRAM, host, &d->port);
	d->tcp = d->udp < 0 ? -1 : listener(SOCK_STREAM, host, &d->port);
	if (d->tcp < 0) {
		if (d->udp >= 0)
			close(d->udp);
		free(d);
		return NULL;
	}
	assert_int_equal(listen(d->tcp, CLIENTS), 0);
	d->bell = eventfd(0, EFD_CLOEXEC);
	assert_true(d->bell >= 0);
	assert_int_equal(pthread_create(&d->thread, NULL, serve, d), 0);
	return d;
}

struct dns *dns_start(const struct dns_step *steps, unsigned n)
{
	struct dns *d = NULL;

	/* the port that one protocol has free is another one's now and then */
	for (int i = 0; !d && i < 100; i++)
		d = dns_start_at(LOOPBACK, 0, steps, n);
	assert_non_null(d);
	return d;
}

void dns_stop(struct dns *d)
{
	assert_int_equal(eventfd_write(d->bell, 1), 0);
	pthread_join(d->thread, NULL);
	for (unsigned i = 0; i < CLIENTS; i++) {
		if (d->clients[i] >= 0)
			close(d->clients[i]);
	}
	close(d->udp);
	close(d->tcp);
	close(d->bell);
	free(d);
}

int dns_port(const struct dns *d)
{
	return d->port;
}

unsigned dns_asked(struct dns *d)
{
	return atomic_load(&d->asked);
}

int dns_step(int port, unsigned step)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), asked = -1;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct sockaddr_in sa;
	char text[32] = "";

	address(&sa, LOOPBACK, port);
	snprintf(text, sizeof(text), "step %u", step);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 &&
	    send(fd, text, strlen(text) + 1, 0) > 0 &&
	    poll(&p, 1, STEP_WAIT_MS * GUEST_SLOW) == 1 && recv(fd, text, sizeof(text) - 1, 0) > 0)
		asked = atoi(text);
	if (fd >= 0)
		close(fd);
	return asked;
}
