/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/hosts.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/network/hosts_file.h"
#include "builtin/network/rules.h"
#include "builtin/network/watched.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "sys/fd.h"
#include "tree/tree.h"
#include "util/cleanup.h"

#define HOSTS_PATH "/etc/hosts"

struct hosts {
	const struct network *network; /* constant */
	const struct tree *tree;       /* constant */
	/* constant: the last name of what HOSTS_PATH leads to, which is another one where that is a symbolic link */
	char name[NAME_MAX + 1];
	pthread_mutex_t lock;
	/* guarded by lock */
	int file;	 /* for reading, what was made last; -1 */
	struct stat own; /* of the tree's own file at that time; all 0: there was none to be read */
	uint64_t generation; /* of the names in it */
};

static void hosts_free(void *hosts)
{
	struct hosts *h = hosts;

	if (h->file >= 0)
		close(h->file);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

/* ---- the text ---- */

static bool text_says(const char *text, const char *name, const struct net_address *address)
{
	struct net_address a;

	while (hosts_file_next(&text, name, &a)) {
		if (!memcmp(&a, address, sizeof(a)))
			return true;
	}
	return false;
}

struct saying {
	FILE *to;
	const char *
		own; /* what the tree says itself: not said twice, for then it would be tried twice */
};

static void say(void *saying, const char *name, const struct net_address *address)
{
	const struct saying *s = saying;
	char text[NET_ADDRESS_BYTES];

	if (text_says(s->own, name, address))
		return;
	net_address_write(address, text);
	fprintf(s->to, "%s\t%s\n", text, name);
}

/* The names come first: resolvers that know a name by more than one line begin with those that may be reached. */
static int hosts_text(const struct network *n, const char *own, char **ret, size_t *ret_size)
{
	struct saying s = { open_memstream(ret, ret_size), own };

	if (!s.to)
		return -ENOMEM;
	network_each_name(n, say, &s);
	fputs(own, s.to);
	return fclose(s.to) ? -ENOMEM : 0;
}

/* ---- the file ---- */

static bool is_as_it_was(const struct hosts *h, const struct stat *own)
{
	return h->file >= 0 && h->generation == network_generation(h->network) &&
	       watched_is_same(&h->own, own);
}

static int make_text(const struct hosts *h, int fd, const struct stat *own, char **ret,
		     size_t *ret_size)
{
	char *text;
	int r;

	if (own->st_size > (off_t)WATCHED_BYTES_MAX)
		return -EFBIG;
	text = watched_read(fd, fd < 0 ? 0 : (size_t)own->st_size);
	if (!text)
		return -EIO;
	r = hosts_text(h->network, text, ret, ret_size);
	free(text);
	return r;
}

/* @fd: the tree's own file, for reading; -1: there is none. */
static int make(struct hosts *h, int fd, const struct stat *own)
{
	const uint64_t generation = network_generation(h->network); /* of this or of older names */
	_cleanup_free_ char *all = NULL;
	size_t size;
	int r = make_text(h, fd, own, &all, &size);

	if (r == 0)
		r = fd_sealed("hosts", all, size);
	if (r < 0)
		return r;
	if (fchmod(r, 0644) < 0) {
		close(r);
		return -errno;
	}
	if (h->file >= 0)
		close(h->file);
	h->file = r;
	h->own = *own;
	h->generation = generation;
	if (fd >= 0)
		watched_settle(&h->own);
	return 0;
}

/* A descriptor of its own for each who opens it. @path_fd: O_PATH, of the tree's own file; -1. */
static int hosts_open(struct hosts *h, int path_fd)
{
	_cleanup_close_ int fd = -1;
	char link[FD_LINK_BYTES];
	struct stat own = { 0 };
	int r = 0;

	if (path_fd >= 0)
		fd = open(fd_link(path_fd, link), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (path_fd >= 0 && fd < 0 && (errno == EMFILE || errno == ENFILE))
		return -ENFILE; /* our limit, not the task's */
	if (fd >= 0 && fstat(fd, &own) < 0)
		return -errno;
	pthread_mutex_lock(&h->lock);
	if (!is_as_it_was(h, &own))
		r = make(h, fd, &own);
	if (r == 0) {
		r = open(fd_link(h->file, link), O_RDONLY | O_CLOEXEC);
		r = r < 0 ? -errno : r;
	}
	pthread_mutex_unlock(&h->lock);
	return r == -EMFILE ? -ENFILE : r;
}

/* ---- whether it is meant ---- */

static int find(const struct tree *tree, struct walk_end *ret)
{
	const struct walk_from from = {
		.view = tree->view,
		.dirfd = AT_FDCWD,
		.base = tree->here,
		.path = HOSTS_PATH,
		.flags = WALK_NAME | WALK_PROC,
	};

	return walk(NULL, &from, ret);
}

static bool is_same(int a, int b)
{
	struct stat x, y;

	return a >= 0 && b >= 0 && fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* Is what is at the end of a task's path what HOSTS_PATH names? By its place, where it has one: the file may be another one each time. */
static bool is_hosts(const struct hosts *h, const struct walk_end *end)
{
	struct walk_end own;
	bool is;

	if (end->slash || (end->fd >= 0 && !S_ISREG(end->st.st_mode)) ||
	    (end->dir >= 0 && strcmp(end->name, h->name) != 0) || find(h->tree, &own) < 0)
		return false;
	is = end->dir >= 0 ? is_same(end->dir, own.dir) && !strcmp(end->name, own.name)
			   : is_same(end->fd, own.fd);
	walk_end_close(&own);
	return is;
}

/* For reading, and nothing else. */
static bool reads(uint64_t flags)
{
	return (flags & O_ACCMODE) == O_RDONLY && !(flags & (O_PATH | O_CREAT | O_TRUNC)) &&
	       !(flags & O_DIRECTORY);
}

static struct sluice_verdict open_handle(struct sluice_request *req, void *hosts)
{
	struct hosts *h = hosts;
	struct sluice_open_args how;
	struct walk_end end;
	const char *path;
	int r = sluice_request_open_args(req, &how), fd = -1;
	bool is;

	if (r < 0 || !reads(how.flags) || sluice_request_path(req, 0, &path) < 0)
		return sluice_continue();
	r = tree_walk(h->tree, request_task(req), sluice_request_dirfd(req, 0), path,
		      WALK_NAME | (how.flags & O_NOFOLLOW ? WALK_NOFOLLOW : 0u), how.resolve, &end);
	/* a tree without /etc, which is no place then */
	is = r == 0 ? is_hosts(h, &end) : r == -ENOENT && !strcmp(path, HOSTS_PATH);
	if (is)
		fd = hosts_open(h, r == 0 ? end.fd : -1);
	if (r == 0)
		walk_end_close(&end);
	if (!is)
		return sluice_continue();
	return fd < 0 ? sluice_errno(-fd) : sluice_inject_fd(fd, (uint32_t)(how.flags & O_CLOEXEC));
}

/* ---- registration ---- */

int builtin_hosts_register(struct dispatch *d, const struct network *network,
			   const struct tree *tree)
{
	static const int calls[] = {
#ifdef SYS_open
		SYS_open,
#endif
		SYS_openat,
		SYS_openat2,
	};
	struct hosts *h;
	struct walk_end end;
	int r;

	if (!network_has_names(network))
		return 0;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	*h = (struct hosts){ .network = network, .tree = tree, .name = "hosts", .file = -1 };
	pthread_mutex_init(&h->lock, NULL);
	if (find(tree, &end) == 0) {
		if (end.dir >= 0)
			snprintf(h->name, sizeof(h->name), "%s", end.name);
		walk_end_close(&end);
	}
	r = dispatch_own(d, h, hosts_free);
	for (size_t i = 0; r == 0 && i < sizeof(calls) / sizeof(calls[0]); i++) {
		const struct sluice_handler handler =
			sluice_handler_make("hosts", calls[i], open_handle, h);

		r = dispatch_add(d, &handler, true);
	}
	return r;
}
