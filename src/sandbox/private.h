/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory on disk that a sandbox with a tree of its own needs while it runs: sluice-UID/XXXXXX in XDG_RUNTIME_DIR, the user's cache, TMPDIR, /tmp, /var/tmp
 * or /dev/shm: the first where programs may be executed and files be leased.
 *
 * Whoever uses it holds a lock on it, which ends with the process however it ends. So what a killed process left is told from what is in use, and
 * removed by the next start of the same user. Called by the thread that starts the sandbox and the one that frees it; nobody waits.
 */
#ifndef SLUICE_SANDBOX_PRIVATE_H
#define SLUICE_SANDBOX_PRIVATE_H

struct private_dir {
	char *path; /* NULL: none */
	int fd;	    /* open for reading, and locked */
};

/* -EACCES: nowhere; -ENOMEM. */
int private_dir_make(struct private_dir *ret);
/* With all that is in it. Fine on one that was never made, whose path is NULL. */
void private_dir_remove(struct private_dir *d);

#endif
