/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `net` measures with programs of its own: the same code bare and inside, which times itself and prints its figures.
 */
#ifndef SLUICE_BENCH_NET_GUEST_H
#define SLUICE_BENCH_NET_GUEST_H

#include <stdint.h>

/*
 * `--net NAME PORT N`: its exit status, or -1 where main was not started so. NAMEs, with what they print for N:
 *
 *	connect		N connects over loopback to a listener of its own: the median in us
 *	http		N requests one after the other to PORT, each with a connection of its own: us a request
 *	http_both	the same to a server of its own
 *	stream		N MB through a connection between two of its threads: MB/s
 *	ping_pong	N times one byte there and back: round trips/s
 *	black_hole	N opens before, and N while 64 connects get no answer: p99 of both in us
 *	maps		N reads of a /proc/self/maps of PORT lines, from open to close: the median in us
 */
int net_be_guest(int argc, char *argv[]);

/* A server of http on a thread of its own, for as long as the process lives. Returns its port on loopback, or 0 after a message. */
uint16_t net_serve_http(void);
/* A port of loopback that nobody has; 0 after a message. */
uint16_t net_free_port(void);

#endif
