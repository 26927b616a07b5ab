/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sandbox/port_map.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "builtin/port_remap/remap.h"
#include "util/fail.h"
#include "util/thread.h"

#define LOOK_MS 1000		 /* for sockets that have gone */
#define STACK_BYTES (256u << 10) /* answers of sock_diag take 32 KiB */

struct port_map {
	struct remap *remap;
	int dir; /* O_PATH descriptor of where the file is: the working directory may become another */
	char *name; /* in it */
	int stop;   /* eventfd */
	pthread_t thread;
	bool started;

	/* the thread's, once it is there */
	struct sluice_port *ports; /* REMAP_PORTS_MAX */
	struct sluice_port *last;  /* as they were written; the same */
	size_t n_last;
};

/* ---- the file ---- */

static int write_lines(int fd, const struct sluice_port *ports, size_t n)
{
	FILE *f = fdopen(fd, "w");

	if (!f) {
		close(fd);
		return -errno;
	}
	for (size_t i = 0; i < n; i++)
		fprintf(f, "%s %u %u\n", ports[i].protocol == IPPROTO_UDP ? "udp" : "tcp",
			ports[i].virtual_port, ports[i].real_port);
	return fclose(f) == 0 ? 0 : -errno;
}

/* A name that nobody has, beside the file, which is then put in its place. */
static int replace(const struct port_map *m, const struct sluice_port *ports, size_t n)
{
	char name[40];
	uint64_t number;
	int fd, r;

	do {
		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			return -EIO;
		snprintf(name, sizeof(name), ".sluice-ports-%016llx", (unsigned long long)number);
		fd = openat(m->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	} while (fd < 0 && errno == EEXIST);
	if (fd < 0)
		return -errno;
	r = write_lines(fd, ports, n);
	if (r == 0 && renameat(m->dir, name, m->dir, m->name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(m->dir, name, 0);
	return r;
}

/* Returns how many there are. */
static size_t refresh(struct port_map *m)
{
	size_t n = remap_list(m->remap, m->ports, REMAP_PORTS_MAX);

	if (n == m->n_last && !memcmp(m->ports, m->last, n * sizeof(*m->ports)))
		return n;
	if (replace(m, m->ports, n) < 0)
		return n;
	memcpy(m->last, m->ports, n * sizeof(*m->ports));
	m->n_last = n;
	return n;
}

/* ---- the thread ---- */

static void *watch(void *port_map)
{
	struct port_map *m = port_map;
	struct pollfd p[2] = { { .fd = remap_bell(m->remap), .events = POLLIN },
			       { .fd = m->stop, .events = POLLIN } };
	size_t n = 0;

	while (poll(p, 2, n ? LOOK_MS : -1) >= 0 && !p[1].revents) {
		uint64_t rings;

		if (p[0].revents && read(p[0].fd, &rings, sizeof(rings)) < 0)
			break;
		n = refresh(m);
	}
	return NULL;
}

static int start(struct port_map *m)
{
	pthread_attr_t attr;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	r = thread_start(&m->thread, &attr, watch, m);
	pthread_attr_destroy(&attr);
	m->started = r == 0;
	return r;
}

/* ---- life ---- */

static int open_place(struct port_map *m, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir;
	int r;

	m->name = strdup(slash ? slash + 1 : path);
	if (!m->name)
		return -ENOMEM;
	if (!*m->name)
		return -EISDIR;
	dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	if (!dir)
		return -ENOMEM;
	m->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = m->dir < 0 ? -errno : 0;
	free(dir);
	return r;
}

static int make(struct port_map *m, const char *path)
{
	int r = open_place(m, path);

	if (r < 0)
		return r;
	m->ports = calloc(2 * REMAP_PORTS_MAX, sizeof(*m->ports));
	m->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!m->ports || m->stop < 0)
		return m->ports ? -errno : -ENOMEM;
	m->last = m->ports + REMAP_PORTS_MAX;
	r = replace(m, NULL, 0);
	return r < 0 ? r : start(m);
}

int port_map_new(const char *path, struct remap *r, struct port_map **ret, struct sluice_error *err)
{
	struct port_map *m = calloc(1, sizeof(*m));
	int e;

	if (!m)
		return fail_errno(err, -ENOMEM, "port map");
	m->remap = r;
	m->dir = m->stop = -1;
	e = make(m, path);
	if (e < 0) {
		fail_errno(err, e, "port map: %s", path);
		fail_hint(err, e,
			  "a file that can be made anew, in a directory that can be written");
		port_map_free(m);
		return e;
	}
	*ret = m;
	return 0;
}

void port_map_free(struct port_map *m)
{
	const uint64_t one = 1;

	if (!m)
		return;
	if (m->started && write(m->stop, &one, sizeof(one)) == sizeof(one)) {
		pthread_join(m->thread, NULL);
		refresh(m);
	}
	if (m->stop >= 0)
		close(m->stop);
	if (m->dir >= 0)
		close(m->dir);
	free(m->ports);
	free(m->name);
	free(m);
}
