/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "builtin/network/rules.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "sys/fd.h"
#include "tree/tree.h"
#include "util/cleanup.h"

#define HOSTS_PATH "/etc/hosts"
#define OWN_BYTES_MAX (4u << 20) /* of the tree's own file; a larger one is EFBIG */
#define SETTLED_S \
	2 /* a file that was written so long ago shows by its time that it is written again */
#define V4_AT 12 /* where an IPv4 address stands in a net_address */

struct hosts {
	const struct network *network; /* constant */
	const struct tree *tree;       /* constant */
	/* constant: the last name of what HOSTS_PATH leads to, which is another one where that is a symbolic link */
	char name[NAME_MAX + 1];
	pthread_mutex_t lock;
	/* guarded by lock */
	int file;	 /* for reading, what was made last; -1 */
	struct stat own; /* of the tree's own file at that time; all 0: there was none to be read */
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

/* Do the @n bytes at @token spell @address? */
static bool spells(const char *token, size_t n, const struct net_address *address)
{
	struct net_address a = { { [10] = 0xff, 0xff } };
	char text[INET6_ADDRSTRLEN];

	if (n >= sizeof(text))
		return false;
	memcpy(text, token, n);
	text[n] = '\0';
	return (inet_pton(AF_INET, text, a.bytes + V4_AT) == 1 ||
		inet_pton(AF_INET6, text, a.bytes) == 1) &&
	       !memcmp(&a, address, sizeof(a));
}

/* Does the line, which ends at @end, give the name that address? */
static bool line_says(const char *line, const char *end, const struct network_name *name)
{
	bool address = true;

	while (line < end) {
		size_t n = strcspn(line, " \t\r#\n");

		if (n && address && !spells(line, n, &name->address))
			return false;
		if (n && !address && n == strlen(name->name) && !strncasecmp(line, name->name, n))
			return true;
		if (n)
			address = false;
		if (line[n] == '#')
			return false;
		line += n + 1;
	}
	return false;
}

static bool text_says(const char *text, const struct network_name *name)
{
	while (*text) {
		const char *end = text + strcspn(text, "\n");

		if (line_says(text, end, name))
			return true;
		text = *end ? end + 1 : end;
	}
	return false;
}

static void say(FILE *to, const struct network_name *name)
{
	const bool v4 = net_address_is_v4(&name->address);
	char text[INET6_ADDRSTRLEN];

	inet_ntop(v4 ? AF_INET : AF_INET6, name->address.bytes + (v4 ? V4_AT : 0), text,
		  sizeof(text));
	fprintf(to, "%s\t%s\n", text, name->name);
}

/*
 * The names come first: resolvers that know a name by more than one line begin with those that may be reached. What the tree says itself is not said twice, for then
 * it would be tried twice.
 */
static int hosts_text(const struct network *n, const char *own, char **ret, size_t *ret_size)
{
	size_t count;
	const struct network_name *names = network_names(n, &count);
	FILE *to = open_memstream(ret, ret_size);

	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (!text_says(own, &names[i]))
			say(to, &names[i]);
	}
	fputs(own, to);
	return fclose(to) ? -ENOMEM : 0;
}

/* All of @fd, with a NUL behind it, the caller's; NULL: it can't be had. */
static char *read_all(int fd, size_t size)
{
	char *text = malloc(size + 1);
	size_t done = 0;
	ssize_t n = 1;

	while (text && done < size && n > 0) {
		n = read(fd, text + done, size - done);
		done += n > 0 ? (size_t)n : 0;
	}
	if (text && n >= 0) {
		text[done] = '\0';
		return text;
	}
	free(text);
	return NULL;
}

/* ---- the file ---- */

static bool is_as_it_was(const struct hosts *h, const struct stat *own)
{
	return h->file >= 0 && h->own.st_dev == own->st_dev && h->own.st_ino == own->st_ino &&
	       h->own.st_size == own->st_size && h->own.st_mtim.tv_sec == own->st_mtim.tv_sec &&
	       h->own.st_mtim.tv_nsec == own->st_mtim.tv_nsec;
}

static int make_text(const struct hosts *h, int fd, const struct stat *own, char **ret,
		     size_t *ret_size)
{
	char *text;
	int r;

	if (own->st_size > OWN_BYTES_MAX)
		return -EFBIG;
	text = read_all(fd, fd < 0 ? 0 : (size_t)own->st_size);
	if (!text)
		return -EIO;
	r = hosts_text(h->network, text, ret, ret_size);
	free(text);
	return r;
}

/* @fd: the tree's own file, for reading; -1: there is none. */
static int make(struct hosts *h, int fd, const struct stat *own)
{
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
	if (fd >= 0 && time(NULL) - own->st_mtim.tv_sec < SETTLED_S)
		h->own.st_ino = 0; /* which no file has: read again next time */
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
	size_t names;
	int r;

	network_names(network, &names);
	if (!names)
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
