/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sys/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/dir.h"
#include "util/cleanup.h"

#define CGROUP2_MAGIC 0x63677270
#define TEXT_BYTES 4096
#define GROUP_PREFIX "sluice-"
#define LEAF "sluice-supervisor" /* no number follows the prefix */

/* ---- files ---- */

/* The start of it, NUL-terminated. */
static int read_text(int dir, const char *name, char text[TEXT_BYTES])
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, TEXT_BYTES - 1);

	text[n > 0 ? n : 0] = '\0';
	return n < 0 ? -errno : 0;
}

static int write_text(int dir, const char *name, const char *value)
{
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

static bool has_word(const char *text, const char *word)
{
	const size_t n = strlen(word);

	for (text += strspn(text, " \n"); *text; text += strspn(text, " \n")) {
		size_t length = strcspn(text, " \n");

		if (length == n && !strncmp(text, word, n))
			return true;
		text += length;
	}
	return false;
}

static bool file_has_word(int dir, const char *name, const char *word)
{
	char text[TEXT_BYTES];

	return read_text(dir, name, text) == 0 && has_word(text, word);
}

int cgroup_set(const struct cgroup *c, const char *file, const char *value)
{
	return write_text(c->dir, file, value);
}

int cgroup_open(const struct cgroup *c, const char *file, int flags)
{
	int fd = openat(c->dir, file, flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

uint64_t cgroup_number(int file, const char *key)
{
	char text[TEXT_BYTES], *at = text, *rest;
	const size_t n = key ? strlen(key) : 0;
	ssize_t got = pread(file, text, sizeof(text) - 1, 0);

	text[got > 0 ? got : 0] = '\0';
	if (!key)
		return strtoull(text, NULL, 10);
	while ((at = strtok_r(at, "\n", &rest))) {
		if (!strncmp(at, key, n) && at[n] == ' ')
			return strtoull(at + n, NULL, 10);
		at = NULL;
	}
	return 0;
}

/* ---- where ---- */

bool cgroup_own(char *ret, size_t size)
{
	static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
	char text[TEXT_BYTES], *at, *leaf;
	struct statfs fs;

	if (read_text(AT_FDCWD, "/proc/self/cgroup", text) < 0)
		return false;
	at = strncmp(text, "0::", 3) != 0 ? strstr(text, "\n0::") : text;
	at = at ? strchr(at, '/') : NULL;
	if (!at)
		return false;
	at[strcspn(at, "\n")] = '\0';
	leaf = strrchr(at, '/');
	if (!strcmp(leaf + 1, LEAF))
		*leaf = '\0';
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		if (statfs(mounts[i], &fs) < 0 || fs.f_type != CGROUP2_MAGIC)
			continue;
		return snprintf(ret, size, "%s%s", mounts[i], at) < (int)size;
	}
	return false;
}

static bool is_one(int dir, const char *attribute)
{
	char value = 0;

	return fgetxattr(dir, attribute, &value, 1) == 1 && value == '1';
}

/* The group's, by whoever manages the hierarchy: an ordinary user's by owner, root's by systemd's mark. */
static bool is_delegated(int own)
{
	struct stat st;

	if (geteuid() != 0)
		return fstat(own, &st) == 0 && st.st_uid == geteuid();
	return is_one(own, "user.delegate") || is_one(own, "trusted.delegate");
}

/* Are we the only ones in it? Its processes elsewhere show as 0. */
static bool is_alone(int own)
{
	char text[TEXT_BYTES], *end;

	return read_text(own, "cgroup.procs", text) == 0 && strtol(text, &end, 10) == getpid() &&
	       end[strspn(end, "\n")] == '\0';
}

static int move_down(int own)
{
	if (!is_alone(own))
		return -EBUSY;
	if (mkdirat(own, LEAF, 0755) < 0 && errno != EEXIST)
		return -errno;
	return write_text(own, LEAF "/cgroup.procs", "0");
}

static int hand_down(int own, const char *controller)
{
	char text[64];
	int r;

	if (file_has_word(own, "cgroup.subtree_control", controller))
		return 0;
	if (!file_has_word(own, "cgroup.controllers", controller))
		return -EOPNOTSUPP;
	if (!is_delegated(own))
		return -EPERM;
	snprintf(text, sizeof(text), "+%s", controller);
	r = write_text(own, "cgroup.subtree_control", text);
	if (r != -EBUSY)
		return r;
	r = move_down(own);
	return r < 0 ? r : write_text(own, "cgroup.subtree_control", text);
}

/* ---- groups ---- */

/* Groups of processes that are gone: who runs has its number in the name, and may be about to put somebody in. */
static void sweep(int own)
{
	struct dirent *e;
	DIR *d;

	if (dir_open(own, ".", 0, &d) < 0)
		return;
	while ((e = readdir(d))) {
		pid_t pid;

		if (strncmp(e->d_name, GROUP_PREFIX, sizeof(GROUP_PREFIX) - 1) != 0)
			continue;
		pid = (pid_t)strtol(e->d_name + sizeof(GROUP_PREFIX) - 1, NULL, 10);
		if (pid > 0 && kill(pid, 0) < 0 && errno == ESRCH)
			unlinkat(own, e->d_name, AT_REMOVEDIR);
	}
	closedir(d);
}

int cgroup_make(struct cgroup *c, const char *own, const char *controller)
{
	static _Atomic unsigned number;
	int r;

	*c = (struct cgroup)CGROUP_NONE;
	c->parent = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->parent < 0)
		return -errno;
	r = hand_down(c->parent, controller);
	/* who goes from one group to another needs this right at what both are in */
	if (r == 0 && faccessat(c->parent, "cgroup.procs", W_OK, AT_EACCESS) < 0)
		r = -errno;
	if (r == 0) {
		sweep(c->parent);
		snprintf(c->name, sizeof(c->name), GROUP_PREFIX "%d-%u", (int)getpid(),
			 atomic_fetch_add_explicit(&number, 1, memory_order_relaxed));
		r = mkdirat(c->parent, c->name, 0755) < 0 ? -errno : 0;
	}
	if (r == 0) {
		c->dir = openat(c->parent, c->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = c->dir < 0 ? -errno : 0;
	}
	if (r < 0)
		cgroup_drop(c);
	return r;
}

void cgroup_drop(struct cgroup *c)
{
	if (c->dir >= 0)
		close(c->dir);
	if (c->parent >= 0) {
		if (c->name[0])
			unlinkat(c->parent, c->name, AT_REMOVEDIR);
		close(c->parent);
	}
	*c = (struct cgroup)CGROUP_NONE;
}
