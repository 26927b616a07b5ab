/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "confine/holes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/dir.h"
#include "sys/fd.h"
#include "sys/landlock.h"
#include "util/cleanup.h"
#include "util/fail.h"

#define MOUNTS "/proc/self/mountinfo"
#define FIRMWARE "/sys/firmware"
/* Rights on entries of a directory, which lead to the content of none. */
#define NAME_RIGHTS \
	(LL_FS_ALL_V1 & ~(LL_FS_EXECUTE | LL_FS_WRITE_FILE | LL_FS_READ_FILE | LL_FS_READ_DIR))
#define WRITING (LL_FS_WRITE_FILE | LL_FS_TRUNCATE | LL_FS_REFER | NAME_RIGHTS)

struct place {
	dev_t dev;
	ino_t ino;
};

struct broken {
	struct place place;
	struct timespec mtime; /* of the list of its entries that was granted */
	char *path;
};

struct holes {
	int mounts;   /* /proc/self/mountinfo, which says when mounts have changed; -1 */
	char **paths; /* of the places, as the kernel prints them */
	struct place *places;
	size_t n;
	struct place *above; /* directories that lead there */
	size_t n_above;
	struct broken *broken;
	size_t n_broken;
	bool written;
};

static struct place place_of(const struct stat *st)
{
	return (struct place){ st->st_dev, st->st_ino };
}

static bool is_among(const struct place *list, size_t n, const struct stat *st)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i].ino == st->st_ino && list[i].dev == st->st_dev)
			return true;
	}
	return false;
}

/* ---- what there is ---- */

static int add_above(struct holes *h, const char *path)
{
	struct place *grown;
	struct stat st;

	if (stat(path, &st) < 0 || is_among(h->above, h->n_above, &st))
		return 0;
	grown = reallocarray(h->above, h->n_above + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	h->above = grown;
	h->above[h->n_above++] = place_of(&st);
	return 0;
}

static int add_all_above(struct holes *h, const char *path)
{
	char part[PATH_MAX];
	int r = add_above(h, "/");

	for (const char *at = strchr(path + 1, '/'); r == 0 && at; at = strchr(at + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(at - path), path);
		r = add_above(h, part);
	}
	return r;
}

static int add_place(struct holes *h, const char *path)
{
	struct place *places;
	char **paths;
	struct stat st;

	if (stat(path, &st) < 0) /* nobody gets there then */
		return 0;
	places = reallocarray(h->places, h->n + 1, sizeof(*places));
	if (places)
		h->places = places;
	paths = reallocarray(h->paths, h->n + 1, sizeof(*paths));
	if (paths)
		h->paths = paths;
	if (!places || !paths)
		return -ENOMEM;
	h->paths[h->n] = strdup(path);
	if (!h->paths[h->n])
		return -ENOMEM;
	h->places[h->n++] = place_of(&st);
	return add_all_above(h, path);
}

/* Blanks, tabs, newlines and backslashes are written as three octal digits. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *c = text; *c; to++) {
		if (c[0] == '\\' && strspn(c + 1, "01234567") >= 3) {
			*to = (char)((c[1] - '0') << 6 | (c[2] - '0') << 3 | (c[3] - '0'));
			c += 4;
		} else {
			*to = *c++;
		}
	}
	*to = '\0';
}

/* A line of mountinfo: ID PARENT MAJOR:MINOR ROOT MOUNT-POINT OPTIONS ... - TYPE SOURCE ... */
static int add_mount(struct holes *h, char *line)
{
	const char *type = strstr(line, " - ");
	char *at = line, *end;

	if (!type || strncmp(type + 3, "proc ", 5) != 0)
		return 0;
	for (int field = 0; at && field < 4; field++) {
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	end = at ? strchr(at, ' ') : NULL;
	if (!end)
		return -EIO;
	*end = '\0';
	unescape(at);
	return *at == '/' ? add_place(h, at) : -EIO;
}

static int read_mounts(struct holes *h)
{
	char *line = NULL;
	size_t size = 0;
	FILE *f;
	int r = 0;

	h->mounts = open(MOUNTS, O_RDONLY | O_CLOEXEC);
	if (h->mounts < 0)
		return -errno;
	f = fopen(MOUNTS, "re");
	if (!f)
		return -errno;
	while (r == 0 && getline(&line, &size, f) > 0)
		r = add_mount(h, line);
	free(line);
	fclose(f);
	return r;
}

int holes_new(struct holes **ret, struct sluice_error *err)
{
	struct holes *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return fail_errno(err, -ENOMEM, "mounts");
	h->mounts = -1;
	r = read_mounts(h);
	if (r == 0)
		r = add_place(h, FIRMWARE);
	if (r < 0) {
		holes_free(h);
		return fail_errno(err, r, MOUNTS);
	}
	*ret = h;
	return 0;
}

struct holes *holes_free(struct holes *h)
{
	if (!h)
		return NULL;
	for (size_t i = 0; i < h->n; i++)
		free(h->paths[i]);
	for (size_t i = 0; i < h->n_broken; i++)
		free(h->broken[i].path);
	free(h->paths);
	free(h->places);
	free(h->above);
	free(h->broken);
	if (h->mounts >= 0)
		close(h->mounts);
	free(h);
	return NULL;
}

/* ---- granting ---- */

/* Does the file behind @fd lie in one of the places? */
static bool is_in_place(const struct holes *h, int fd)
{
	char path[PATH_MAX];

	if (fd_path(fd, path, sizeof(path)) < 0)
		return false;
	for (size_t i = 0; i < h->n; i++) {
		size_t n = strlen(h->paths[i]);

		if (!strncmp(path, h->paths[i], n) && path[n] == '/')
			return true;
	}
	return false;
}

static int note_broken(struct holes *h, int fd, const struct stat *st)
{
	char path[PATH_MAX];
	struct broken *grown;
	ssize_t n;

	if (holes_broken(h, st))
		return 0;
	n = fd_path(fd, path, sizeof(path));
	if (n < 0)
		return (int)n;
	grown = reallocarray(h->broken, h->n_broken + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	h->broken = grown;
	grown[h->n_broken] = (struct broken){ place_of(st), st->st_mtim, strdup(path) };
	return grown[h->n_broken].path ? (h->n_broken++, 0) : -ENOMEM;
}

static int allow_entry(struct holes *h, int ruleset, uint64_t rights, int dir, const char *name)
{
	_cleanup_close_ int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	/* gone, or nobody's to see; and what a link leads to is granted where that lies */
	if (fd < 0 || fstat(fd, &st) < 0 || S_ISLNK(st.st_mode))
		return 0;
	return holes_allow(h, ruleset, rights, fd, &st);
}

/* A depth of directories as mount points have it. */
static int allow_entries(struct holes *h, int ruleset, uint64_t rights, int fd)
{
	const struct dirent *e;
	DIR *d;
	int r = dir_open(fd, ".", 0, &d);

	if (r < 0)
		return r;
	while (r == 0 && (e = dir_next(d)))
		r = allow_entry(h, ruleset, rights, dirfd(d), e->d_name);
	closedir(d);
	return r;
}

int holes_allow(struct holes *h, int ruleset, uint64_t rights, int fd, const struct stat *st)
{
	const uint64_t names = rights & (NAME_RIGHTS | LL_FS_REFER);
	int r;

	if (is_among(h->places, h->n, st))
		return 0;
	if (!S_ISDIR(st->st_mode))
		rights &= LL_FS_FILE_RIGHTS;
	if (!rights)
		return 0;
	if (!S_ISDIR(st->st_mode) || !is_among(h->above, h->n_above, st))
		return holes_may_have(h, st) && is_in_place(h, fd)
			       ? 0
			       : landlock_allow(ruleset, rights, fd);
	h->written |= (rights & WRITING) != 0;
	r = note_broken(h, fd, st);
	if (r == 0 && names)
		r = landlock_allow(ruleset, names, fd);
	return r < 0 ? r : allow_entries(h, ruleset, rights, fd);
}

bool holes_have(const struct holes *h, int fd, const struct stat *st)
{
	return is_among(h->places, h->n, st) || is_in_place(h, fd);
}

bool holes_may_have(const struct holes *h, const struct stat *st)
{
	for (size_t i = 0; i < h->n; i++) {
		if (h->places[i].dev == st->st_dev)
			return true;
	}
	return false;
}

bool holes_current(const struct holes *h)
{
	struct pollfd p = { .fd = h->mounts, .events = POLLPRI };

	if (poll(&p, 1, 0) != 0)
		return false;
	for (size_t i = 0; i < h->n_broken; i++) {
		const struct broken *b = &h->broken[i];
		struct stat st;

		if (stat(b->path, &st) < 0 || st.st_ino != b->place.ino ||
		    st.st_dev != b->place.dev || st.st_mtim.tv_sec != b->mtime.tv_sec ||
		    st.st_mtim.tv_nsec != b->mtime.tv_nsec)
			return false;
	}
	return true;
}

bool holes_broken(const struct holes *h, const struct stat *st)
{
	for (size_t i = 0; i < h->n_broken; i++) {
		if (h->broken[i].place.ino == st->st_ino && h->broken[i].place.dev == st->st_dev)
			return true;
	}
	return false;
}

bool holes_broken_for_writing(const struct holes *h)
{
	return h->written;
}
