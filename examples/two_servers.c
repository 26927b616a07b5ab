/* SPDX-License-Identifier: Apache-2.0 */
/*
 * two_servers PORT CMD [ARGS...]: run CMD twice at a time, each of which binds PORT.
 *
 * Each of the two has it, as far as it can see: it binds PORT, connects to it over loopback and reaches itself. From outside they are reached by the ports that are printed,
 * a line for each server as soon as it has bound its own:
 *
 *	cc two_servers.c $(pkg-config --cflags --libs sluice) -o two_servers
 *	./two_servers 8080 python3 -m http.server 8080 --bind 127.0.0.1
 *	1: port 8080 is port 38041
 *	2: port 8080 is port 46255
 *
 * The exit status is the larger one of both.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sluice/sluice.h>

#define SERVERS 2
#define LOOK_MS 20

/* Somebody has the port: we, or whoever had it before. Else the first server would get it, and nothing would be remapped for that one. */
static void occupy(uint16_t port)
{
	const struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		close(fd);
}

/* Until it has bound @port, and say so; or until it has ended. */
static void tell_port(struct sluice_sandbox *s, int number, uint16_t port)
{
	struct pollfd end = { .fd = sluice_sandbox_fd(s), .events = POLLIN };
	struct sluice_port ports[16];

	do {
		size_t n = sluice_sandbox_ports(s, ports, sizeof(ports) / sizeof(ports[0]));

		for (size_t i = 0; i < n && i < sizeof(ports) / sizeof(ports[0]); i++) {
			if (ports[i].virtual_port != port)
				continue;
			printf("%d: port %u is port %u\n", number, port, ports[i].real_port);
			fflush(stdout);
			return;
		}
	} while (poll(&end, 1, LOOK_MS) == 0);
}

static int make_policy(const char *port, struct sluice_policy **ret, struct sluice_error *err)
{
	struct sluice_policy *p = sluice_policy_new();
	char self[32];
	int r = p ? sluice_policy_allow_system(p, err) : -1;

	*ret = p;
	snprintf(self, sizeof(self), "127.0.0.1:%s", port);
	if (r == 0)
		r = sluice_policy_allow_bind(p, port, err);
	if (r == 0)
		r = sluice_policy_allow_net(p, self, err);
	return r < 0 ? r : sluice_policy_set_port_remap(p, true);
}

int main(int argc, char *argv[])
{
	struct sluice_spawn_options options = { .size = sizeof(options) };
	struct sluice_sandbox *servers[SERVERS] = { NULL };
	struct sluice_policy *policy = NULL;
	struct sluice_error err = { 0 };
	struct sluice_result result;
	unsigned long port = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	int r, status = 0;

	if (argc < 3 || !port || port > UINT16_MAX) {
		fputs("usage: two_servers PORT CMD [ARGS...]\n", stderr);
		return 125;
	}
	occupy((uint16_t)port);
	r = make_policy(argv[1], &policy, &err);
	for (int i = 0; r == 0 && i < SERVERS; i++)
		r = sluice_spawn(policy, (const char *const *)argv + 2, &options, &servers[i],
				 &err);
	if (r < 0) {
		fprintf(stderr, "two_servers: %s\n%s\n", err.text, err.hint);
		status = 125;
	}
	for (int i = 0; r == 0 && i < SERVERS; i++)
		tell_port(servers[i], i + 1, (uint16_t)port);
	for (int i = 0; i < SERVERS; i++) {
		if (r == 0 && sluice_sandbox_wait(servers[i], -1, &result) == 0 &&
		    result.exit_code > status)
			status = result.exit_code;
		sluice_sandbox_free(servers[i]);
	}
	sluice_policy_unref(policy);
	return status;
}
