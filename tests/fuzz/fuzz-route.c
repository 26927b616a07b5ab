/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions of netlink: whatever is asked, the answer is made of whole messages, which carry the number of the question and of the socket, and fits. See fuzz.h.
 */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "builtin/network/route.h"
#include "fuzz.h"

#define PORT 4711

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char answer[ROUTE_ANSWER_BYTES];
	uint8_t *question = malloc(size + 1); /* its end is the heap's business */
	struct nlmsghdr asked, head;
	size_t n;

	CHECK(question);
	memcpy(question, data, size);
	n = route_answer(question, size, PORT, answer);
	CHECK(n <= sizeof(answer));
	CHECK(n == 0 || size >= sizeof(asked));
	for (size_t at = 0; at < n; at += NLMSG_ALIGN(head.nlmsg_len)) {
		CHECK(n - at >= sizeof(head));
		memcpy(&head, answer + at, sizeof(head));
		memcpy(&asked, question, sizeof(asked));
		CHECK(head.nlmsg_len >= sizeof(head) && head.nlmsg_len <= n - at);
		CHECK(head.nlmsg_seq == asked.nlmsg_seq && head.nlmsg_pid == PORT);
		/* nobody is told that a change was made */
		CHECK(head.nlmsg_type == NLMSG_ERROR || asked.nlmsg_type == RTM_GETLINK ||
		      asked.nlmsg_type == RTM_GETADDR || asked.nlmsg_type == RTM_GETROUTE);
	}
	free(question);
	return 0;
}
