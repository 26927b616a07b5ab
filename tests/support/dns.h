/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A name server on loopback, UDP and TCP on one port of 127.0.0.1, that says what a test wants, and lies where it wants that.
 *
 * It follows a script of steps, each with one answer for all names. Who sends it the datagram "step N" moves it there, and gets one back: so a task inside a sandbox can.
 */
#ifndef SLUICE_TESTS_SUPPORT_DNS_H
#define SLUICE_TESTS_SUPPORT_DNS_H

#include <stdint.h>

enum dns_manner {
	DNS_ANSWERS = 0, /* what `v4` and `v6` say; no data where they are NULL */
	DNS_NO_NAME,	 /* NXDOMAIN */
	DNS_FAILS,	 /* SERVFAIL */
	DNS_SILENT,
	DNS_GARBAGE, /* bytes behind the right identifier */
	DNS_LOOPS,   /* CNAMEs that lead back, and no address */
	DNS_HUGE,    /* truncated; by TCP DNS_HUGE_ADDRESSES of 198.18.0.0/15, from 198.18.0.1 on */
	DNS_FLOODS,  /* a hundred answers to nobody's question, then the right one */
};
#define DNS_HUGE_ADDRESSES 4000u

struct dns_step {
	enum dns_manner manner;
	const char *v4, *v6; /* addresses with blanks in between */
	uint32_t ttl_s;
};

struct dns;

/* @steps: borrowed, ended by the @n th. The first is the one it begins with. The test fails when it can't be started. */
struct dns *dns_start(const struct dns_step *steps, unsigned n);
/* The same at @host and @port; NULL: they can't be had. */
struct dns *dns_start_at(const char *host, int port, const struct dns_step *steps, unsigned n);
void dns_stop(struct dns *d);
int dns_port(const struct dns *d);
/* Questions so far. */
unsigned dns_asked(struct dns *d);

/* Move the server at @port of 127.0.0.1 to @step, from whatever process. Returns the number of questions that were asked in it, 0 when it is new; -1: no answer. */
int dns_step(int port, unsigned step);

#endif
