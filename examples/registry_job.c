/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_job PORT CMD [ARGS...]: a test job that may reach the package registry at PORT of this machine, and nothing else of any network.
 *
 * The rule is one line. Beside it an observer prints whom the job tried to reach and could not, so that a build that fails for a download says which:
 *
 *	cc registry_job.c $(pkg-config --cflags --libs sluice) -o registry_job
 *	./registry_job 4873 npm test
 *	registry_job: refused: 104.16.24.34 port 443 (node, process 4711)
 *
 * The exit status is CMD's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <sluice/sluice.h>

/* The address as text; false for those of no internet. */
static bool address_text(const struct sockaddr_storage *addr, char *text, socklen_t size,
			 unsigned *ret_port)
{
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;

	if (addr->ss_family == AF_INET) {
		memcpy(&v4, addr, sizeof(v4));
		*ret_port = ntohs(v4.sin_port);
		return inet_ntop(AF_INET, &v4.sin_addr, text, size);
	}
	memcpy(&v6, addr, sizeof(v6));
	*ret_port = ntohs(v6.sin6_port);
	return addr->ss_family == AF_INET6 && inet_ntop(AF_INET6, &v6.sin6_addr, text, size);
}

/* An observer: called when the answer is known, on a thread of the sandbox's engine. */
static struct sluice_verdict print_refused(struct sluice_request *req, void *userdata)
{
	char text[INET6_ADDRSTRLEN], exe[PATH_MAX] = "?";
	struct sockaddr_storage addr;
	struct sluice_outcome outcome;
	unsigned port;

	(void)userdata;
	sluice_request_outcome(req, &outcome);
	if (outcome.result == -EACCES && sluice_request_sockaddr(req, &addr) > 0 &&
	    address_text(&addr, text, sizeof(text), &port)) {
		if (sluice_request_exe(req, exe, sizeof(exe)) < 0)
			strcpy(exe, "?");
		fprintf(stderr, "registry_job: refused: %s port %u (%s, process %d)\n", text, port,
			strrchr(exe, '/') ? strrchr(exe, '/') + 1 : exe,
			(int)sluice_request_tgid(req));
	}
	return sluice_continue();
}

int main(int argc, char *argv[])
{
	struct sluice_handler observer = {
		.name = "refused",
		.nr = sluice_syscall_number("connect"),
		.flags = SLUICE_OBSERVER,
		.fn = print_refused,
	};
	struct sluice_policy *policy = sluice_policy_new();
	struct sluice_error err = { 0 };
	struct sluice_result result;
	char registry[64];
	int r;

	if (argc < 3) {
		fputs("usage: registry_job PORT CMD [ARGS...]\n", stderr);
		return 125;
	}
	snprintf(registry, sizeof(registry), "tcp://127.0.0.1:%s", argv[1]);
	r = policy ? sluice_policy_allow_system(policy, &err) : -ENOMEM;
	if (r == 0)
		r = sluice_policy_allow_net(policy, registry, &err);
	if (r == 0)
		r = sluice_run_with_extra_handlers(policy, (const char *const *)argv + 2, &observer,
						   1, &result, &err);
	sluice_policy_unref(policy);
	if (r < 0) {
		fprintf(stderr, "registry_job: %s\n%s\n", err.text, err.hint);
		return 125;
	}
	return result.exit_code;
}
