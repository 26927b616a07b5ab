/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: one copy of the launcher for each program, a few KB each, made when it is executed for the first time.
 *
 * An image is an inode of its own, and behind the launcher's bytes stands which program it is for. So what a process runs is read from its
 * /proc/PID/exe, also after the image was dropped from the table (which unlinks it): nothing is kept per process, and fork and exec need no help.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "builtin/files/exec_internal.h"
#include "launcher/program.h"
#include "sys/fd.h"

#define IMAGE_MAGIC 0x6567616d69786c73ull

/* The last bytes of an image; the path stands before it. */
struct image_tail {
	uint64_t path_bytes, magic;
};

int images_init(struct exec_images *im, int private_dir)
{
	memset(im, 0, sizeof(*im));
	im->next = 1;
	pthread_mutex_init(&im->lock, NULL);
	if (mkdirat(private_dir, "e", 0755) < 0)
		return im->dir = -errno;
	im->dir = openat(private_dir, "e", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return im->dir < 0 ? -errno : 0;
}

void images_fini(struct exec_images *im)
{
	if (im->dir >= 0)
		close(im->dir);
	pthread_mutex_destroy(&im->lock);
}

static void image_name(uint64_t number, char buf[24])
{
	snprintf(buf, 24, "%llu", (unsigned long long)number);
}

static int image_make(const struct exec_images *im, uint64_t number, const char *path)
{
	struct image_tail tail = { strlen(path), IMAGE_MAGIC };
	char name[24];
	int fd, r;

	image_name(number, name);
	fd = openat(im->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, launcher_program, launcher_program_size);
	if (r == 0)
		r = fd_write_all(fd, path, tail.path_bytes);
	if (r == 0)
		r = fd_write_all(fd, &tail, sizeof(tail));
	close(fd);
	if (r < 0)
		unlinkat(im->dir, name, 0);
	return r;
}

static int key_of(int fd, const char *path, struct exec_image_key *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	memset(ret, 0, sizeof(*ret));
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	ret->size = st.st_size;
	ret->mtime = st.st_mtim;
	ret->ctime = st.st_ctim;
	ret->path_hash = 14695981039346656037u; /* FNV-1a */
	for (; *path; path++)
		ret->path_hash = (ret->path_hash ^ (unsigned char)*path) * 1099511628211u;
	return 0;
}

/* The image of @key, or the one to put it in: unused, or used the longest ago. */
static struct exec_image *image_find(struct exec_images *im, const struct exec_image_key *key,
				     bool *ret_found)
{
	struct exec_image *oldest = &im->images[0];

	for (size_t i = 0; i < EXEC_IMAGES; i++) {
		struct exec_image *at = &im->images[i];

		if (at->number && !memcmp(&at->key, key, sizeof(*key))) {
			*ret_found = true;
			return at;
		}
		if (at->used < oldest->used)
			oldest = at;
		if (!at->number)
			break; /* they are filled in order */
	}
	*ret_found = false;
	return oldest;
}

static int image_replace(struct exec_images *im, struct exec_image *at,
			 const struct exec_image_key *key, const char *path)
{
	char name[24];
	int r = image_make(im, im->next, path);

	if (r < 0)
		return r;
	if (at->number) {
		image_name(at->number, name);
		unlinkat(im->dir, name, 0);
	}
	at->number = im->next++;
	at->key = *key;
	return 0;
}

int images_get(struct exec_images *im, int fd, const char *path, uint64_t *ret_number)
{
	struct exec_image_key key;
	struct exec_image *at;
	int r = key_of(fd, path, &key);
	bool found;

	if (r < 0)
		return r;
	pthread_mutex_lock(&im->lock);
	at = image_find(im, &key, &found);
	if (!found)
		r = image_replace(im, at, &key, path);
	if (r == 0) {
		at->used = ++im->stamp;
		*ret_number = at->number;
	}
	pthread_mutex_unlock(&im->lock);
	return r;
}

/* The kernel gives no write lease on what it executes. */
static bool image_runs(const struct exec_images *im, uint64_t number)
{
	char name[24];
	int fd, r;

	image_name(number, name);
	fd = openat(im->dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	r = exec_lease_take(fd);
	if (r == 0)
		exec_lease_drop(fd);
	close(fd);
	return r == -EAGAIN;
}

bool images_run(struct exec_images *im, const struct stat *st)
{
	bool runs = false;

	pthread_mutex_lock(&im->lock);
	for (size_t i = 0; !runs && i < EXEC_IMAGES && im->images[i].number; i++) {
		const struct exec_image *at = &im->images[i];

		runs = at->key.ino == st->st_ino && at->key.dev == st->st_dev &&
		       image_runs(im, at->number);
	}
	pthread_mutex_unlock(&im->lock);
	return runs;
}

/* ---- which program an image is for ---- */

static ssize_t image_path(int fd, char *buf, size_t size)
{
	struct image_tail tail;
	struct stat st;
	off_t end;

	if (fstat(fd, &st) < 0 || st.st_size < (off_t)(launcher_program_size + sizeof(tail)))
		return -ENOEXEC;
	end = st.st_size - (off_t)sizeof(tail);
	if (pread(fd, &tail, sizeof(tail), end) != sizeof(tail) || tail.magic != IMAGE_MAGIC ||
	    tail.path_bytes != (uint64_t)end - launcher_program_size)
		return -ENOEXEC;
	if (tail.path_bytes >= size)
		return -ENAMETOOLONG;
	if (pread(fd, buf, tail.path_bytes, end - (off_t)tail.path_bytes) !=
	    (ssize_t)tail.path_bytes)
		return -ENOEXEC;
	buf[tail.path_bytes] = '\0';
	return (ssize_t)tail.path_bytes;
}

ssize_t exec_path_of(pid_t pid, char *buf, size_t size)
{
	char link[32];
	ssize_t n;
	int fd;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	fd = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = image_path(fd, buf, size);
	close(fd);
	return n;
}
