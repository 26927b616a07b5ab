/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times of files as a command sees them whose time of day is not the host's.
 *
 * What is kept on disk is always the host's time. A time in which the command has run is moved as its clock is; one from before is shown as it is, or, where the command's clock has not come so far, as
 * one just before the command began. So nothing lies in the future, what is older is never shown as newer, and times of old files are the same in every run.
 *
 * Without state beside when it began; constant then, any thread. Fails never.
 */
#ifndef SLUICE_TREE_FILE_TIMES_H
#define SLUICE_TREE_FILE_TIMES_H

#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

/* Nanoseconds since 1970 but for shift_ns. */
struct file_times {
	int64_t start_ns; /* when the command was told to begin */
	int64_t begin_ns; /* when it began, by its own clock: start_ns, or somewhat more */
	int64_t host_ns;  /* ... and by the host's; no file was written in the run before that */
	int64_t shift_ns; /* begin_ns - host_ns */
	int64_t monotonic_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC of the host, then */
};

/* It begins now, at @start_s seconds after 1970. */
void file_times_begin(struct file_times *t, int64_t start_s);
/* The command's time of day - CLOCK_MONOTONIC. */
int64_t file_times_clock_shift_ns(const struct file_times *t);

/* From what is on disk to what the command sees. */
void file_times_show_stat(const struct file_times *t, struct stat *st);
void file_times_show_statx(const struct file_times *t, struct statx *stx);
/* From what the command gives a file to what is kept of it. Not for UTIME_NOW, UTIME_OMIT; what is no time stays as it is. */
void file_times_keep(const struct file_times *t, struct timespec *ts);

/* The same of one time, when it is @now_ns by the host's clock. */
int64_t file_times_shown_ns(const struct file_times *t, int64_t now_ns, int64_t kept_ns);
int64_t file_times_kept_ns(const struct file_times *t, int64_t now_ns, int64_t shown_ns);

#endif
