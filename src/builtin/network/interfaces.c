/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/interfaces.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "builtin/network/loopback.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "sys/sockopt.h"
#include "task/task.h"
#include "util/cleanup.h"

#define SOCKET_REQUESTS 0x8900u
#define ROUTE_REQUESTS 0x890bu /* before it: owners, the urgent mark, times */
#define WIRELESS_REQUESTS 0x8b00u
#ifndef SIOCOUTQNSD
#define SIOCOUTQNSD 0x894B
#endif

/* ---- answers ---- */

bool interfaces_are_meant(uint32_t request)
{
	const uint32_t group = request & ~0xffu;

	return (group == SOCKET_REQUESTS && request >= ROUTE_REQUESTS && request != SIOCOUTQNSD) ||
	       group == WIRELESS_REQUESTS;
}

static void put_v4(struct ifreq *io, const uint8_t address[4])
{
	struct sockaddr_in sa = { .sin_family = AF_INET };

	memcpy(&sa.sin_addr, address, sizeof(sa.sin_addr));
	memcpy(&io->ifr_addr, &sa, sizeof(sa));
}

/* Of the interface's addresses of IPv4. */
static int answer_v4(uint32_t request, struct ifreq *io)
{
	static const uint8_t first[] = LOOPBACK_V4_FIRST, mask[4] = { 255 }, none[4];
	_Static_assert(LOOPBACK_V4_BITS == 8, "that is the mask");

	switch (request) {
	case SIOCGIFADDR:
	case SIOCGIFDSTADDR:
		put_v4(io, first);
		return 0;
	case SIOCGIFNETMASK:
		put_v4(io, mask);
		return 0;
	default: /* SIOCGIFBRDADDR */
		put_v4(io, none);
		return 0;
	}
}

/* Of the interface itself. */
static int answer_link(uint32_t request, struct ifreq *io)
{
	switch (request) {
	case SIOCGIFINDEX:
		io->ifr_ifindex = LOOPBACK_INDEX;
		return 0;
	case SIOCGIFFLAGS:
		io->ifr_flags = LOOPBACK_FLAGS;
		return 0;
	case SIOCGIFMTU:
		io->ifr_mtu = LOOPBACK_MTU;
		return 0;
	case SIOCGIFTXQLEN:
		io->ifr_qlen = LOOPBACK_QUEUE_LENGTH;
		return 0;
	case SIOCGIFMETRIC:
		io->ifr_metric = 0;
		return 0;
	case SIOCGIFMAP:
		memset(&io->ifr_map, 0, sizeof(io->ifr_map));
		return 0;
	case SIOCGIFHWADDR:
		memset(&io->ifr_hwaddr, 0, sizeof(io->ifr_hwaddr));
		io->ifr_hwaddr.sa_family = ARPHRD_LOOPBACK;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static int answer_name(struct ifreq *io)
{
	if (io->ifr_ifindex != LOOPBACK_INDEX)
		return -ENODEV;
	memset(io->ifr_name, 0, sizeof(io->ifr_name));
	memcpy(io->ifr_name, LOOPBACK_NAME, sizeof(LOOPBACK_NAME));
	return 0;
}

static bool is_loopback(const struct ifreq *io)
{
	return !strncmp(io->ifr_name, LOOPBACK_NAME, sizeof(io->ifr_name) - 1);
}

int interfaces_answer(uint32_t request, bool v4, struct ifreq *io)
{
	switch (request) {
	case SIOCGIFNAME:
		return answer_name(io);
	case SIOCGIFADDR:
	case SIOCGIFDSTADDR:
	case SIOCGIFBRDADDR:
	case SIOCGIFNETMASK:
		return !v4 ? -ENOTTY : is_loopback(io) ? answer_v4(request, io) : -ENODEV;
	case SIOCGIFINDEX:
	case SIOCGIFFLAGS:
	case SIOCGIFMTU:
	case SIOCGIFTXQLEN:
	case SIOCGIFMETRIC:
	case SIOCGIFMAP:
	case SIOCGIFHWADDR:
	case SIOCETHTOOL:
	case SIOCGMIIPHY:
	case SIOCGMIIREG:
		return is_loopback(io) ? answer_link(request, io) : -ENODEV;
	default:
		return request >= WIRELESS_REQUESTS ? -EOPNOTSUPP : -EPERM;
	}
}

size_t interfaces_list(struct ifreq ret[INTERFACES_LIST_MAX])
{
	static const uint8_t addresses[][4] = { LOOPBACK_V4_FIRST, LOOPBACK_V4_SECOND };
	_Static_assert(sizeof(addresses) / sizeof(addresses[0]) == INTERFACES_LIST_MAX, "all");

	memset(ret, 0, INTERFACES_LIST_MAX * sizeof(*ret));
	for (size_t i = 0; i < INTERFACES_LIST_MAX; i++) {
		memcpy(ret[i].ifr_name, LOOPBACK_NAME, sizeof(LOOPBACK_NAME));
		put_v4(&ret[i], addresses[i]);
	}
	return INTERFACES_LIST_MAX;
}

/* ---- the call ---- */

/* What is written to the caller's memory. */
struct gift {
	uint64_t at[2];
	size_t size[2];
	struct ifconf conf;
	struct ifreq requests[INTERFACES_LIST_MAX];
};
_Static_assert(sizeof(struct gift) <= REQUEST_PLAN_BYTES, "a plan holds it");

/* As many as there is room for; where there is no room at all, only how much they would take. */
static int list(struct sluice_request *req, uint64_t arg, struct gift *g)
{
	const size_t all = interfaces_list(g->requests) * sizeof(*g->requests),
		     each = all / INTERFACES_LIST_MAX;
	int r = sluice_request_read(req, arg, &g->conf, sizeof(g->conf));
	size_t room;

	if (r < 0)
		return r;
	room = g->conf.ifc_len > 0 ? (size_t)g->conf.ifc_len / each * each : 0;
	g->at[0] = (uint64_t)(uintptr_t)g->conf.ifc_buf;
	g->size[0] = !g->at[0] ? 0 : room < all ? room : all;
	g->conf.ifc_len = (int)(g->at[0] ? g->size[0] : all);
	g->at[1] = arg;
	g->size[1] = sizeof(g->conf.ifc_len); /* which it begins with */
	return 0;
}

static int ask_one(struct sluice_request *req, uint32_t request, bool v4, uint64_t arg,
		   struct gift *g)
{
	int r = sluice_request_read(req, arg, g->requests, sizeof(*g->requests));

	if (r == 0)
		r = interfaces_answer(request, v4, g->requests);
	g->at[0] = arg;
	g->size[0] = sizeof(*g->requests);
	return r;
}

/* A request_act_fn. */
static struct request_act give(struct sluice_request *req, const void *gift)
{
	const struct gift *g = gift;
	int r = 0;

	if (g->size[0])
		r = sluice_request_write(req, g->at[0], g->requests, g->size[0]);
	if (r == 0 && g->size[1])
		r = sluice_request_write(req, g->at[1], &g->conf.ifc_len, g->size[1]);
	return (struct request_act){ .value = r, .fd = -1 };
}

/* Of a descriptor that can't be had: a socket is taken for one of AF_INET, the answer being nobody's secret. */
static int is_socket(struct sluice_request *req, int number)
{
	_cleanup_close_ int fd = task_open_dirfd(request_task(req), number);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) ? 1 : -ENOTTY;
}

/* Is it a socket of AF_INET? -errno: it is none. */
static int is_v4(struct sluice_request *req)
{
	const int number = (int)sluice_request_arg(req, 0);
	_cleanup_close_ int fd = task_get_fd(request_task(req), number);
	int domain;

	if (fd < 0)
		return fd == -EACCES ? is_socket(req, number) : fd;
	domain = sockopt_get(fd, SO_DOMAIN);
	return domain < 0 ? -ENOTTY : domain == AF_INET;
}

static struct sluice_verdict ioctl_handle(struct sluice_request *req, void *unused)
{
	const uint32_t request = (uint32_t)sluice_request_arg(req, 1);
	const uint64_t arg = sluice_request_arg(req, 2);
	struct gift g = { .at = { 0 } };
	const struct request_plan p = {
		.builtin = "interfaces",
		.act = give,
		REQUEST_PLAN_NO_FILES,
		.data = &g,
		.size = sizeof(g),
	};
	int r;

	(void)unused;
	if (!interfaces_are_meant(request)) /* an extra may want all there are */
		return sluice_continue();
	r = is_v4(req);
	if (r >= 0)
		r = request == SIOCGIFCONF ? list(req, arg, &g) : ask_one(req, request, r, arg, &g);
	return request_plan_or_errno(req, &p, r);
}

int builtin_interfaces_register(struct dispatch *d)
{
	const struct sluice_handler h =
		sluice_handler_make("interfaces", SYS_ioctl, ioctl_handle, NULL);

	return dispatch_add_where_refused(d, &h);
}
