/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "builtin/network/loopback.h"

#define FOREVER 0xffffffffu

/*
 * Its addresses. The second of each family is loopback, too, but not the one that glibc takes for a sign that the family can't be used (AI_ADDRCONFIG): whether it can is
 * for the rules to say.
 */
static const struct {
	int family;
	uint8_t bits, address[16];
} addresses[] = {
	{ AF_INET, LOOPBACK_V4_BITS, LOOPBACK_V4_FIRST },
	{ AF_INET, LOOPBACK_V4_BITS, LOOPBACK_V4_SECOND },
	{ AF_INET6, 128, { [15] = 1 } },
	{ AF_INET6, 128, { [10] = 0xff, 0xff, 127, 0, 0, 1 } },
};

static const struct {
	int family;
	uint8_t bits, destination[16];
} routes[] = {
	{ AF_INET, 8, { 127 } },
	{ AF_INET6, 128, { [15] = 1 } },
};

/* An answer while it is written. Everything that is ever written fits. */
struct answer {
	struct nlmsghdr question;
	uint32_t port;
	unsigned char *to;
	size_t n, at; /* bytes so far; where the message begins that is being written */
};

static void *put(struct answer *a, const void *data, size_t size)
{
	void *to = a->to + a->n;

	memset(to, 0, NLMSG_ALIGN(size));
	if (size)
		memcpy(to, data, size);
	a->n += NLMSG_ALIGN(size);
	return to;
}

static void begin(struct answer *a, int type, int flags, const void *body, size_t size)
{
	const struct nlmsghdr head = {
		.nlmsg_type = (uint16_t)type,
		.nlmsg_flags = (uint16_t)flags,
		.nlmsg_seq = a->question.nlmsg_seq,
		.nlmsg_pid = a->port,
	};

	a->at = a->n;
	put(a, &head, sizeof(head));
	put(a, body, size);
}

static void end(struct answer *a)
{
	uint32_t length = (uint32_t)(a->n - a->at);

	memcpy(a->to + a->at + offsetof(struct nlmsghdr, nlmsg_len), &length, sizeof(length));
}

static void attribute(struct answer *a, int type, const void *data, size_t size)
{
	const struct rtattr head = { .rta_len = (uint16_t)RTA_LENGTH(size),
				     .rta_type = (uint16_t)type };

	put(a, &head, sizeof(head));
	put(a, data, size);
}

static void number(struct answer *a, int type, uint32_t value)
{
	attribute(a, type, &value, sizeof(value));
}

static size_t address_bytes(int family)
{
	return family == AF_INET ? 4 : 16;
}

/* ---- what there is ---- */

static void say_link(struct answer *a, int flags)
{
	const struct ifinfomsg body = {
		.ifi_type = ARPHRD_LOOPBACK,
		.ifi_index = LOOPBACK_INDEX,
		.ifi_flags = LOOPBACK_FLAGS | IFF_LOWER_UP,
	};
	static const uint8_t hardware[6];
	static const struct rtnl_link_stats stats;

	begin(a, RTM_NEWLINK, flags, &body, sizeof(body));
	attribute(a, IFLA_IFNAME, LOOPBACK_NAME, sizeof(LOOPBACK_NAME));
	number(a, IFLA_TXQLEN, LOOPBACK_QUEUE_LENGTH);
	number(a, IFLA_MTU, LOOPBACK_MTU);
	attribute(a, IFLA_ADDRESS, hardware, sizeof(hardware));
	attribute(a, IFLA_BROADCAST, hardware, sizeof(hardware));
	attribute(a, IFLA_STATS, &stats, sizeof(stats));
	end(a);
}

static void say_address(struct answer *a, size_t i)
{
	const int family = addresses[i].family;
	const struct ifaddrmsg body = {
		.ifa_family = (uint8_t)family,
		.ifa_prefixlen = addresses[i].bits,
		.ifa_flags = IFA_F_PERMANENT,
		.ifa_scope = RT_SCOPE_HOST,
		.ifa_index = LOOPBACK_INDEX,
	};
	const struct ifa_cacheinfo life = { .ifa_prefered = FOREVER, .ifa_valid = FOREVER };

	begin(a, RTM_NEWADDR, NLM_F_MULTI, &body, sizeof(body));
	attribute(a, IFA_ADDRESS, addresses[i].address, address_bytes(family));
	if (family == AF_INET) {
		attribute(a, IFA_LOCAL, addresses[i].address, address_bytes(family));
		attribute(a, IFA_LABEL, LOOPBACK_NAME, sizeof(LOOPBACK_NAME));
	}
	number(a, IFA_FLAGS, IFA_F_PERMANENT);
	attribute(a, IFA_CACHEINFO, &life, sizeof(life));
	end(a);
}

static void say_route(struct answer *a, size_t i)
{
	const int family = routes[i].family;
	const struct rtmsg body = {
		.rtm_family = (unsigned char)family,
		.rtm_dst_len = routes[i].bits,
		.rtm_table = RT_TABLE_LOCAL,
		.rtm_protocol = RTPROT_KERNEL,
		.rtm_scope = RT_SCOPE_HOST,
		.rtm_type = RTN_LOCAL,
	};

	begin(a, RTM_NEWROUTE, NLM_F_MULTI, &body, sizeof(body));
	number(a, RTA_TABLE, RT_TABLE_LOCAL);
	attribute(a, RTA_DST, routes[i].destination, address_bytes(family));
	number(a, RTA_OIF, LOOPBACK_INDEX);
	end(a);
}

/* ---- answers ---- */

static void say_error(struct answer *a, int error)
{
	const struct nlmsgerr body = { .error = -error, .msg = a->question };

	begin(a, NLMSG_ERROR, 0, &body, sizeof(body));
	end(a);
}

static bool is_wanted(int family, int of)
{
	return family == AF_UNSPEC || family == of;
}

static void dump(struct answer *a, int type, int family)
{
	const int done = 0;

	if (type == RTM_GETLINK)
		say_link(a, NLM_F_MULTI);
	for (size_t i = 0; type == RTM_GETADDR && i < sizeof(addresses) / sizeof(addresses[0]);
	     i++) {
		if (is_wanted(family, addresses[i].family))
			say_address(a, i);
	}
	for (size_t i = 0; type == RTM_GETROUTE && i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (is_wanted(family, routes[i].family))
			say_route(a, i);
	}
	begin(a, NLMSG_DONE, NLM_F_MULTI, &done, sizeof(done));
	end(a);
}

/* Does the question for one link, of @size bytes with its head, name loopback by index or name? */
static bool asks_loopback(const unsigned char *question, size_t size)
{
	size_t at = NLMSG_SPACE(sizeof(struct ifinfomsg));
	struct ifinfomsg body;
	struct rtattr head;

	if (size < NLMSG_LENGTH(sizeof(body)))
		return false;
	memcpy(&body, question + NLMSG_HDRLEN, sizeof(body));
	if (body.ifi_index)
		return body.ifi_index == LOOPBACK_INDEX;
	for (; at + sizeof(head) <= size; at += RTA_ALIGN(head.rta_len)) {
		memcpy(&head, question + at, sizeof(head));
		if (head.rta_len < sizeof(head) || head.rta_len > size - at)
			return false;
		if (head.rta_type == IFLA_IFNAME)
			return !strncmp((const char *)question + at + sizeof(head), LOOPBACK_NAME,
					head.rta_len - sizeof(head));
	}
	return false;
}

static bool is_listed(int type)
{
	return type == RTM_GETLINK || type == RTM_GETADDR || type == RTM_GETROUTE;
}

/* Of the four kinds of each thing (new, del, get, set) one asks. */
static bool is_question(int type)
{
	return (type & 3) == 2;
}

size_t route_answer(const void *question, size_t size, uint32_t port,
		    unsigned char ret[ROUTE_ANSWER_BYTES])
{
	struct answer a = { .port = port, .to = ret };
	struct nlmsghdr *q = &a.question;
	uint8_t family = AF_UNSPEC;

	if (size < sizeof(*q))
		return 0;
	memcpy(q, question, sizeof(*q));
	if (q->nlmsg_len < sizeof(*q) || q->nlmsg_len > size || q->nlmsg_type < NLMSG_MIN_TYPE ||
	    !(q->nlmsg_flags & NLM_F_REQUEST))
		return 0;
	if (q->nlmsg_len > NLMSG_HDRLEN)
		family = ((const uint8_t *)question)[NLMSG_HDRLEN];
	if (!is_question(q->nlmsg_type))
		say_error(&a, EPERM);
	else if (is_listed(q->nlmsg_type) && (q->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP)
		dump(&a, q->nlmsg_type, family);
	else if (q->nlmsg_type != RTM_GETLINK || q->nlmsg_flags & NLM_F_DUMP)
		say_error(&a, EOPNOTSUPP);
	else if (asks_loopback(question, q->nlmsg_len))
		say_link(&a, 0);
	else
		say_error(&a, ENODEV);
	return a.n;
}
