/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/bind.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/dispatch.h"
#include "engine/request.h"
#include "task/task.h"
#include "tree/tree.h"
#include "util/cleanup.h"

#define PATH_AT offsetof(struct sockaddr_un, sun_path)
#define TEXT_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

/*
 * Addresses that tasks gave. The kernel's text of a socket says which one is its: "./" and then one "/" for each 0 and one "./" for each 1 of a
 * number leads to the same file as the name alone. When there are more sockets than places, the oldest address is forgotten; such a socket
 * shows its name without a directory.
 */
#define NAMES 4096u
#define NUMBER_BITS 16u
#define NUMBER_MARK "./"

struct name {
	uint32_t number;
	char text[TEXT_BYTES + 1];
};

struct names {
	pthread_mutex_t lock;
	const struct tree *tree; /* constant */
	uint32_t next;		 /* guarded by lock, as what follows; 0: none was given yet */
	struct name names[NAMES];
};

static uint32_t names_add(struct names *n, const char *text)
{
	struct name *name;
	uint32_t number;

	pthread_mutex_lock(&n->lock);
	number = n->next++ & ((1u << NUMBER_BITS) - 1);
	name = &n->names[number % NAMES];
	name->number = number;
	snprintf(name->text, sizeof(name->text), "%s", text);
	pthread_mutex_unlock(&n->lock);
	return number;
}

/* The task's text for @number, in @text; false: forgotten, or never given. */
static bool names_find(struct names *n, uint32_t number, char text[TEXT_BYTES + 1])
{
	const struct name *name = &n->names[number % NAMES];
	bool found;

	pthread_mutex_lock(&n->lock);
	found = number < n->next && name->number == number;
	if (found)
		memcpy(text, name->text, sizeof(name->text));
	pthread_mutex_unlock(&n->lock);
	return found;
}

/* The kernel's text for @name. false: the name leaves no room for a number. */
static bool encode(uint32_t number, const char *name, char out[TEXT_BYTES + 1])
{
	size_t at = (size_t)snprintf(out, TEXT_BYTES + 1, NUMBER_MARK);

	for (unsigned bit = NUMBER_BITS; bit-- > 0;)
		at += (size_t)snprintf(out + at, TEXT_BYTES + 1 - at, "%s",
				       number >> bit & 1 ? "./" : "/");
	if (at + strlen(name) <= TEXT_BYTES) {
		strcpy(out + at, name);
		return true;
	}
	snprintf(out, TEXT_BYTES + 1, "%.*s", (int)TEXT_BYTES, name);
	return false;
}

/* Is @text one that encode made? *ret_name: the name behind the number. */
static bool decode(const char *text, uint32_t *ret_number, const char **ret_name)
{
	uint32_t number = 0;

	if (strncmp(text, NUMBER_MARK, strlen(NUMBER_MARK)) != 0)
		return false;
	text += strlen(NUMBER_MARK);
	for (unsigned bit = 0; bit < NUMBER_BITS; bit++) {
		bool one = *text == '.';

		if (text[one] != '/')
			return false;
		text += 1 + one;
		number = number << 1 | one;
	}
	*ret_number = number;
	*ret_name = text;
	return *text && *text != '/';
}

/* ---- bind ---- */

/* What the plan carries. The directory is the plan's first one. */
struct binding {
	struct names *names;
	int sock; /* owned; -1 */
	int mount;
	mode_t umask;
	char name[NAME_MAX + 1];
	char text[TEXT_BYTES + 1]; /* as the task gave it */
	uint32_t number;
};
_Static_assert(sizeof(struct binding) <= REQUEST_PLAN_BYTES, "a plan holds an address");

/*
 * A branch_make_fn. The kernel takes the umask and the working directory of the thread: this one has them for itself while it is here.
 */
static int bind_here(int dir_fd, const char *name, void *binding)
{
	const struct binding *b = binding;
	_cleanup_close_ int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char text[TEXT_BYTES + 1];
	mode_t mask;
	int r;

	if (before < 0 || unshare(CLONE_FS) < 0 || fchdir(dir_fd) < 0)
		return -errno;
	encode(b->number, name, text);
	memcpy(sun.sun_path, text, TEXT_BYTES);
	mask = umask(b->umask);
	r = bind(b->sock, (const struct sockaddr *)&sun,
		 (socklen_t)(PATH_AT + strnlen(text, TEXT_BYTES)));
	r = r < 0 ? -errno : 0;
	umask(mask);
	if (fchdir(before) < 0) /* nothing here depends on it */
		return r;
	return r;
}

static struct request_act bind_act(struct sluice_request *req, const void *data)
{
	struct binding b = *(const struct binding *)data;
	int dir = request_plan_dir(req, 0), r;
	char path[PATH_MAX];
	struct branch *branch;

	b.number = names_add(b.names, b.text);
	r = tree_branch_of(b.names->tree, b.mount, dir, b.name, -1, &branch, path);
	if (r == 0)
		r = branch ? branch_make(branch, path, bind_here, &b) : bind_here(dir, b.name, &b);
	return (struct request_act){ .value = r == -EEXIST ? -EADDRINUSE : r, .fd = -1 };
}

static void bind_drop(const void *data)
{
	const struct binding *b = data;

	if (b->sock >= 0)
		close(b->sock);
}

/* Where the file is to be made; errors in the kernel's order. */
static int find_place(struct sluice_request *req, struct binding *b, struct walk_end *end)
{
	const struct tree *tree = b->names->tree;
	int r = request_compare_credentials(req);

	if (r == 0)
		r = tree_walk(tree, request_task(req), AT_FDCWD, b->text, WALK_LAST, 0, end);
	if (r < 0)
		return r;
	if (end->dir < 0 || end->fd >= 0)
		return -EADDRINUSE;
	if (end->slash)
		return -ENOENT;
	if (tree_is_read_only(tree, end))
		return -EROFS;
	b->mount = end->mount;
	memcpy(b->name, end->name, sizeof(b->name));
	r = task_umask(request_task(req));
	b->umask = r < 0 ? 0 : (mode_t)r;
	return r < 0 ? r : 0;
}

static int plan(struct sluice_request *req, struct binding *b, struct walk_end *end)
{
	const struct request_plan p = {
		.builtin = "bind",
		.act = bind_act,
		.drop = bind_drop,
		.layer = tree_layer(b->names->tree, end->mount, end->dir, -1),
		.fds = { end->fd, -1 },
		.dirs = { end->dir, -1 },
		.names = { b->name },
		.data = b,
		.size = sizeof(*b),
	};

	return request_plan_act(req, &p);
}

static struct sluice_verdict bind_handle(struct sluice_request *req, void *names)
{
	struct binding b = { .names = names };
	struct walk_end end = { .fd = -1, .dir = -1 };
	struct sockaddr_storage addr;
	const struct sockaddr_un *sun = (const struct sockaddr_un *)&addr;
	ssize_t n = sluice_request_sockaddr(req, &addr);
	int r;

	/* every other address is the kernel's: should it become a name meanwhile, Landlock grants none */
	if (n <= (ssize_t)PATH_AT || n > (ssize_t)sizeof(*sun) || sun->sun_family != AF_UNIX ||
	    !sun->sun_path[0])
		return sluice_continue();
	memcpy(b.text, sun->sun_path, (size_t)n - PATH_AT);
	b.sock = task_get_fd(request_task(req), (int)sluice_request_arg(req, 0));
	if (b.sock < 0)
		return sluice_errno(-b.sock);
	r = find_place(req, &b, &end);
	if (r == 0)
		r = plan(req, &b, &end);
	else {
		walk_end_close(&end);
		bind_drop(&b);
	}
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

/* ---- getsockname, getpeername ---- */

struct shown {
	uint64_t addr, len;
	socklen_t size;
	struct sockaddr_un sun;
};

static struct request_act show_act(struct sluice_request *req, const void *data)
{
	const struct shown *s = data;
	int r = request_give_address(req, s->addr, s->len, &s->sun, s->size);

	return (struct request_act){ .value = r, .fd = -1 };
}

/* The kernel's answer; false where it is right as it is. */
static bool translate(struct sluice_request *req, struct names *n, struct shown *s)
{
	_cleanup_close_ int fd = task_get_fd(request_task(req), (int)sluice_request_arg(req, 0));
	char kernel[TEXT_BYTES + 1] = "", text[TEXT_BYTES + 1];
	const char *name;
	uint32_t number;
	int r;

	s->size = sizeof(s->sun);
	if (fd < 0)
		return false;
	r = sluice_request_nr(req) == SYS_getsockname
		    ? getsockname(fd, (struct sockaddr *)&s->sun, &s->size)
		    : getpeername(fd, (struct sockaddr *)&s->sun, &s->size);
	if (r < 0 || s->sun.sun_family != AF_UNIX || s->size <= PATH_AT)
		return false;
	memcpy(kernel, s->sun.sun_path, TEXT_BYTES);
	if (!decode(kernel, &number, &name))
		return false;
	if (!names_find(n, number, text))
		snprintf(text, sizeof(text), "%s", name);
	memset(s->sun.sun_path, 0, TEXT_BYTES);
	memcpy(s->sun.sun_path, text, strnlen(text, TEXT_BYTES));
	s->size = (socklen_t)(PATH_AT + strlen(text) + 1);
	return true;
}

static struct sluice_verdict show_handle(struct sluice_request *req, void *userdata)
{
	struct names *n = userdata;
	struct shown s = { .addr = sluice_request_arg(req, 1), .len = sluice_request_arg(req, 2) };
	const struct request_plan p = {
		.builtin = "bind",
		.act = show_act,
		.layer = SLUICE_LAYER_HOST,
		.fds = { -1, -1 },
		.dirs = { -1, -1 },
		.data = &s,
		.size = sizeof(s),
	};
	bool none;
	int r;

	pthread_mutex_lock(&n->lock);
	none = !n->next;
	pthread_mutex_unlock(&n->lock);
	if (none || !translate(req, n, &s))
		return sluice_continue();
	r = request_plan_act(req, &p);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

/* ---- registration ---- */

static void names_free(void *names)
{
	struct names *n = names;

	pthread_mutex_destroy(&n->lock);
	free(n);
}

int builtin_bind_register(struct dispatch *d, const struct tree *tree)
{
	struct names *n = calloc(1, sizeof(*n));
	const struct sluice_handler handlers[] = {
		sluice_handler_make("bind", SYS_bind, bind_handle, n),
		sluice_handler_make("bind", SYS_getsockname, show_handle, n),
		sluice_handler_make("bind", SYS_getpeername, show_handle, n),
	};
	int r;

	if (!n)
		return -ENOMEM;
	pthread_mutex_init(&n->lock, NULL);
	n->tree = tree;
	r = dispatch_own(d, n, names_free);
	for (size_t i = 0; r == 0 && i < sizeof(handlers) / sizeof(handlers[0]); i++)
		r = dispatch_add(d, &handlers[i], true);
	return r;
}
