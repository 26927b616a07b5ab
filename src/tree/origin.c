/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File handles of lower files in the form of overlayfs's origin attribute: what a copied-up file was copied from, and the name of a hard-linked one
 * in the index. No lock; any thread.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree/branch_internal.h"

#define FB_VERSION 0
#define FB_MAGIC 0xfb
#define FB_LITTLE_ENDIAN 0
#define FB_BIG_ENDIAN 1

/* FS_IOC_GETFSUUID of linux 6.9. */
struct fs_uuid {
	uint8_t len;
	uint8_t uuid[FS_UUID_BYTES];
};
#define GET_FS_UUID _IOR(0x15, 0, struct fs_uuid)

void origins_learn(struct branch *b)
{
	for (size_t i = 0; i < b->n_lowers; i++) {
		struct fs_uuid id = { 0 };
		struct stat st = { 0 };
		int fd = openat(b->lower_fds[i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			continue;
		if (ioctl(fd, GET_FS_UUID, &id) == 0 && id.len == FS_UUID_BYTES)
			memcpy(b->lower_fs[i].uuid, id.uuid, FS_UUID_BYTES);
		if (fstat(fd, &st) == 0)
			b->lower_fs[i].dev = st.st_dev;
		close(fd);
	}
}

static const uint8_t *uuid_of(const struct branch *b, dev_t dev)
{
	for (size_t i = 0; i < b->n_lowers; i++) {
		if (b->lower_fs[i].dev == dev)
			return b->lower_fs[i].uuid;
	}
	return NULL; /* another file system that is mounted below */
}

size_t origin_of(const struct branch *b, int fd, dev_t dev, struct origin *o)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + FB_HANDLE_BYTES];
	} u = { .h.handle_bytes = FB_HANDLE_BYTES };
	const uint8_t *uuid = uuid_of(b, dev);
	int mount_id;

	if (!uuid || name_to_handle_at(fd, "", &u.h, &mount_id, AT_EMPTY_PATH) < 0)
		return 0;
	*o = (struct origin){
		.version = FB_VERSION,
		.magic = FB_MAGIC,
		.len = (uint8_t)(offsetof(struct origin, handle) + u.h.handle_bytes),
		.flags = __BYTE_ORDER == __BIG_ENDIAN ? FB_BIG_ENDIAN : FB_LITTLE_ENDIAN,
		.type = (uint8_t)u.h.handle_type,
	};
	memcpy(o->uuid, uuid, sizeof(o->uuid));
	memcpy(o->handle, u.h.f_handle, u.h.handle_bytes);
	return o->len;
}
