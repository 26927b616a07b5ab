/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory on disk that sandboxes need while they run: sluice-UID/XXXXXX in XDG_RUNTIME_DIR, the user's cache, TMPDIR, /tmp, /var/tmp
 * or /dev/shm: the first where that which it is for can be done. For a tree of its own programs must be executed from there, and files leased; for
 * listings memory is best, so /dev/shm comes second then.
 *
 * Whoever uses it holds a lock on it, which ends with the process however it ends. So what a killed process left is told from what is in use, and
 * removed by the next start of the same user. Called by the thread that starts the sandbox and the one that frees it; nobody waits.
 */
#ifndef SLUICE_TREE_PRIVATE_H
#define SLUICE_TREE_PRIVATE_H

struct private_dir {
	char *path; /* NULL: none */
	int fd;	    /* open for reading, and locked */
	int parent; /* the directory that it lies in */
};

enum private_use {
	PRIVATE_PROGRAMS,
	PRIVATE_LISTINGS, /* of names alone */
};

/* -EACCES: nowhere; -ENOMEM. */
int private_dir_make(enum private_use use, struct private_dir *ret);
/* With all that is in it. Fine on one that was never made, whose path is NULL. */
void private_dir_remove(struct private_dir *d);

#endif
