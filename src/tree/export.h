/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A branch's changes as an archive, so that who takes them needs no look at a tree.
 *
 * TAR holds what is new or changed, and the directories above it; what was deleted cannot be told in it. OCI is an image layer: besides, a whiteout ".wh.NAME" for what was deleted and
 * ".wh..wh..opq" first in a directory that replaced another. Entries come parents first and siblings by byte order, with numeric owners, no access or change times, and with
 * the further names of a file as hard links to its first: two exports of one branch are the same bytes. Extended attributes are kept but for overlayfs's own. TAR keeps holes (in the
 * form of GNU sparse 1.0); in a layer they are zeros, since where they are depends on the file system. Sockets are left out, as tar does.
 *
 * libarchive is loaded by the first export (-ENOSYS where it is not installed), so that nobody else pays for the libraries it needs. Any thread; changes of the branch wait meanwhile.
 */
#ifndef SLUICE_TREE_EXPORT_H
#define SLUICE_TREE_EXPORT_H

#include <time.h>

#include <sluice/error.h>

struct branch;

enum branch_export_format {
	BRANCH_EXPORT_TAR = 1,
	BRANCH_EXPORT_OCI
};

struct branch_export_spec {
	enum branch_export_format format;
	int fd;			      /* borrowed; written from its position on, may be a pipe */
	const struct timespec *mtime; /* of every entry; NULL: its own */
};

/* 0 or a negative errno; what was written then is no whole archive. */
int branch_export(struct branch *b, const struct branch_export_spec *spec,
		  struct sluice_error *err);

#endif
