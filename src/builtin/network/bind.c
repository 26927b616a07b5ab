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
#include "sys/landlock.h"
#include "task/task.h"
#include "tree/tree.h"
#include "util/cleanup.h"

#define PATH_AT offsetof(struct sockaddr_un, sun_path)
#define TEXT_BYTES BIND_TEXT_BYTES

/*
 * Addresses that tasks gave, where the kernel can't be given them as they are. The kernel's text of such a socket says which one is its: "./" and then one "/"
 * for each 0 and one "./" for each 1 of a number leads to the same file as the name alone. When there are more sockets than places, the oldest address is
 * forgotten; such a socket shows its name without a directory.
 */
#define NAMES 4096u
#define NUMBER_BITS 16u
#define NUMBER_MARK "./"

struct name {
	uint32_t number;
	char text[TEXT_BYTES + 1];
};

struct bind_names {
	pthread_mutex_t lock;
	const struct tree *tree; /* constant */
	uint32_t next;		 /* guarded by lock, as what follows; 0: none was given yet */
	struct name names[];	 /* NAMES of them; none for the host's tree */
};

static uint32_t names_add(struct bind_names *n, const char *text)
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
static bool names_find(struct bind_names *n, uint32_t number, char text[TEXT_BYTES + 1])
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

bool bind_names_given(struct bind_names *n, const char *text, char given[TEXT_BYTES + 1])
{
	const char *name;
	uint32_t number;

	return decode(text, &number, &name) && names_find(n, number, given);
}

/* ---- bind ---- */

/* What the plan carries. The directory is the plan's first one. */
struct binding {
	struct bind_names *names;
	int sock; /* owned; -1 */
	int mount;
	mode_t umask;
	char name[NAME_MAX + 1];
	char text[TEXT_BYTES + 1]; /* as the task gave it */
	int cwd; /* while it is carried out: O_PATH descriptor of the task's working directory; -1 */
};
_Static_assert(sizeof(struct binding) <= REQUEST_PLAN_BYTES, "a plan holds an address");

static int bind_text(const struct binding *b, const char *text)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t n = strnlen(text, TEXT_BYTES);

	memcpy(sun.sun_path, text, n);
	return bind(b->sock, (const struct sockaddr *)&sun, (socklen_t)(PATH_AT + n)) < 0 ? -errno
											  : 0;
}

/* Does the task's text lead us, too, to name @name in directory @dir_fd? From the thread's working directory, which is the task's. */
static bool leads_to(const char *text, int dir_fd, const char *name)
{
	const char *slash = strrchr(text, '/');
	char parent[TEXT_BYTES + 1] = "/";
	struct stat a, b;

	if (!slash || strcmp(slash + 1, name) != 0)
		return false;
	if (slash != text)
		snprintf(parent, sizeof(parent), "%.*s", (int)(slash - text), text);
	return stat(parent, &a) == 0 && fstat(dir_fd, &b) == 0 && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

/* From here on the calling thread makes sockets below @dir_fd and nowhere else. */
static int make_only_below(int dir_fd)
{
	const struct landlock_ruleset attr = { .fs = LL_FS_MAKE_SOCK };
	_cleanup_close_ int rules = landlock_create(&attr, 1);
	int r = rules < 0 ? rules : landlock_allow(rules, LL_FS_MAKE_SOCK, dir_fd);

	return r < 0 ? r : landlock_enter(rules);
}

/* Where a socket is to be made. */
struct bind_place {
	const struct binding *binding;
	int dir_fd;
	const char *name;
	int result;
};

/*
 * What the kernel keeps as the address is the text that it was given. The task's own, where that is the name alone or leads to the directory by the host's paths,
 * too: then the kernel walks it again, and may end in no other directory. Else a text that tells which one is meant.
 */
static int bind_in_place(const struct bind_place *p)
{
	const struct binding *b = p->binding;
	char text[TEXT_BYTES + 1];
	int r;

	if (unshare(CLONE_FS) < 0)
		return -errno;
	umask(b->umask);
	if (b->cwd >= 0 && fchdir(b->cwd) == 0 && leads_to(b->text, p->dir_fd, p->name)) {
		r = make_only_below(p->dir_fd);
		return r < 0 ? r : bind_text(b, b->text);
	}
	if (fchdir(p->dir_fd) < 0)
		return -errno;
	if (!strcmp(b->text, p->name) || !b->names->tree->view)
		return bind_text(b, p->name);
	encode(names_add(b->names, b->text), p->name, text);
	return bind_text(b, text);
}

/* A thread's main. */
static void *bind_main(void *place)
{
	struct bind_place *p = place;

	p->result = bind_in_place(p);
	return NULL;
}

/*
 * A branch_make_fn. The kernel takes the umask, the working directory and the Landlock domain of the thread: so one is made for it.
 */
static int bind_here(int dir_fd, const char *name, void *binding)
{
	struct bind_place p = { .binding = binding, .dir_fd = dir_fd, .name = name };
	pthread_t thread;
	int r = pthread_create(&thread, NULL, bind_main, &p);

	if (r)
		return -ENOMEM;
	pthread_join(thread, NULL);
	return p.result;
}

static struct request_act bind_act(struct sluice_request *req, const void *data)
{
	struct binding b = *(const struct binding *)data;
	_cleanup_close_ int cwd = tree_cwd(b.names->tree, request_task(req));
	int dir = request_plan_dir(req, 0), r;
	char path[PATH_MAX];
	struct branch *branch;

	r = tree_branch_of(b.names->tree, b.mount, dir, b.name, -1, &branch, path);
	b.cwd = branch ? -1 : cwd;
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
	r = request_umask(req);
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

/* Is it a path of the file system? */
static bool is_named(const struct sockaddr_storage *addr, ssize_t n)
{
	const struct sockaddr_un *sun = (const struct sockaddr_un *)addr;

	return n > (ssize_t)PATH_AT && n <= (ssize_t)sizeof(*sun) && sun->sun_family == AF_UNIX &&
	       sun->sun_path[0];
}

/* @sock is consumed. */
static int plan_named(struct sluice_request *req, struct bind_names *names, int sock,
		      const struct sockaddr_un *sun, size_t n)
{
	struct binding b = { .names = names, .sock = sock, .cwd = -1 };
	struct walk_end end = { .fd = -1, .dir = -1 };
	int r;

	memcpy(b.text, sun->sun_path, n - PATH_AT);
	r = find_place(req, &b, &end);
	if (r == 0)
		return plan(req, &b, &end);
	walk_end_close(&end);
	bind_drop(&b);
	return r;
}

/* What the plan carries for an address that is no path. */
struct plain {
	int sock; /* owned */
	socklen_t len;
	struct sockaddr_storage addr;
};

static struct request_act plain_act(struct sluice_request *req, const void *data)
{
	const struct plain *p = data;
	int r = bind(p->sock, (const struct sockaddr *)&p->addr, p->len);

	(void)req;
	return (struct request_act){ .value = r < 0 ? -errno : 0, .fd = -1 };
}

static void plain_drop(const void *data)
{
	close(((const struct plain *)data)->sock);
}

/* @sock is consumed. */
static int plan_plain(struct sluice_request *req, int sock, const struct sockaddr_storage *addr,
		      ssize_t n)
{
	const struct plain p = { .sock = sock, .len = (socklen_t)n, .addr = *addr };
	const struct request_plan plan = {
		.builtin = "bind",
		.act = plain_act,
		.drop = plain_drop,
		.layer = SLUICE_LAYER_NONE,
		REQUEST_PLAN_NO_FILES,
		.address = &p.addr,
		.address_bytes = p.len,
		.data = &p,
		.size = sizeof(p),
	};

	if (n >= 0 && (n > 0 || !(int)sluice_request_arg(req, 2)))
		return request_plan_act(req, &plan);
	close(sock);
	return n < 0 ? (int)n : -EFAULT; /* of a length, but nowhere */
}

struct sluice_verdict bind_plan(struct sluice_request *req, struct bind_names *names, int sock)
{
	struct sockaddr_storage addr;
	ssize_t n = sluice_request_sockaddr(req, &addr);
	int r = sock;

	if (r >= 0 && is_named(&addr, n))
		r = plan_named(req, names, sock, (const struct sockaddr_un *)&addr, (size_t)n);
	else if (r >= 0)
		r = plan_plain(req, sock, &addr, n);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

/* For an extra that says AS_SEEN. */
static struct sluice_verdict bind_as_seen(struct sluice_request *req, void *names)
{
	return bind_plan(req, names,
			 task_get_fd(request_task(req), (int)sluice_request_arg(req, 0)));
}

static struct sluice_verdict bind_handle(struct sluice_request *req, void *names)
{
	struct sockaddr_storage addr;
	ssize_t n = sluice_request_sockaddr(req, &addr);

	/* every other address is the kernel's: should it become a name meanwhile, Landlock grants none */
	return is_named(&addr, n) ? bind_as_seen(req, names) : sluice_continue();
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
static bool translate(struct sluice_request *req, struct bind_names *n, struct shown *s)
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
	struct bind_names *n = userdata;
	struct shown s = { .addr = sluice_request_arg(req, 1), .len = sluice_request_arg(req, 2) };
	const struct request_plan p = {
		.builtin = "bind",
		.act = show_act,
		.layer = SLUICE_LAYER_HOST,
		REQUEST_PLAN_NO_FILES,
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
	struct bind_names *n = names;

	pthread_mutex_destroy(&n->lock);
	free(n);
}

int builtin_bind_register(struct dispatch *d, const struct tree *tree, bool trap,
			  struct bind_names **ret)
{
	struct bind_names *n =
		calloc(1, sizeof(*n) + (tree->view ? NAMES * sizeof(n->names[0]) : 0));
	const struct sluice_handler handlers[] = {
		sluice_handler_make("bind", SYS_getsockname, show_handle, n),
		sluice_handler_make("bind", SYS_getpeername, show_handle, n),
		sluice_handler_make("bind", SYS_bind, bind_handle, n),
	};
	size_t count = tree->view ? sizeof(handlers) / sizeof(handlers[0]) - !trap : 0;
	int r;

	if (!n)
		return -ENOMEM;
	pthread_mutex_init(&n->lock, NULL);
	n->tree = tree;
	*ret = n;
	r = dispatch_own(d, n, names_free);
	if (r == 0)
		r = dispatch_add_planner(d, SYS_bind, bind_as_seen, n);
	return r < 0 ? r : dispatch_add_builtins(d, handlers, count);
}
