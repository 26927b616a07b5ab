/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mode, owner, times and extended attributes of files.
 *
 * Landlock bounds what is opened, made and removed, and not these: an owner may change them on any file that it can name, or has open for reading.
 * So each call that changes one is looked at here, by every spelling: the file is found once, must lie below a write grant, and is then changed
 * by the descriptor that was found. Below a write grant on "/" nothing is trapped.
 */
#ifndef SLUICE_BUILTIN_METADATA_METADATA_H
#define SLUICE_BUILTIN_METADATA_METADATA_H

struct dispatch;
struct file_times;
struct writable;
struct tree;

/* @w is the table's, or lives as long. @tree: the command's own; NULL: the host's; @times: what the command gives files are of them, NULL: as they are; both borrowed until @d is freed. -ENOMEM. */
int builtin_metadata_register(struct dispatch *d, struct writable *w, const struct tree *tree,
			      const struct file_times *times);

#endif
