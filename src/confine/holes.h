/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places that the command is granted nothing of, whatever is granted above them: each procfs that is mounted, and the firmware's tables in sysfs.
 *
 * Landlock can only allow. So a grant on a directory that leads to such a place becomes one on each of its entries, and the directory itself, which then
 * cannot be granted, is one whose opens are carried out on behalf. What appears in such a directory later is not granted to the command itself.
 * Made by the thread that compiles a policy; constant afterwards.
 */
#ifndef SLUICE_CONFINE_HOLES_H
#define SLUICE_CONFINE_HOLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <sluice/error.h>

struct holes;

/* The places as they are now. -ENOMEM, -EACCES (no mountinfo) ... */
int holes_new(struct holes **ret, struct sluice_error *err);
struct holes *holes_free(struct holes *h);

/* landlock_allow of @rights (of a directory's or a file's) beneath @fd, but for the places. -errno. */
int holes_allow(struct holes *h, int ruleset, uint64_t rights, int fd, const struct stat *st);
/* Would everything come out the same today? Asked by one thread at a time. */
bool holes_current(const struct holes *h);

/* Is the file behind @fd one of the places, or in one? Any thread. */
bool holes_have(const struct holes *h, int fd, const struct stat *st);
/* Could it be, by its device alone? Cheap. */
bool holes_may_have(const struct holes *h, const struct stat *st);
/* Is it a directory that could not be granted as a whole? Any thread. */
bool holes_broken(const struct holes *h, const struct stat *st);
/* Was writing granted on one, so that what is made in it later must be opened on behalf too? */
bool holes_broken_for_writing(const struct holes *h);

#endif
