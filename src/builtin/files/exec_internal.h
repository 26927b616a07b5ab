/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files of exec: images, flights, slots.
 */
#ifndef SLUICE_BUILTIN_FILES_EXEC_INTERNAL_H
#define SLUICE_BUILTIN_FILES_EXEC_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "builtin/files/exec.h"
#include "launcher/image.h"
#include "launcher/plan.h"
#include "launcher/protocol.h"

struct task;

/* Execs that are under way at a time: as many as there are names of one byte from '!' up, without ".", "/" and "e", where the images are. */
#define EXEC_SLOTS (0x100u - '!' - 3u)
#define EXEC_IMAGES 1024u

/* ---- exec_flight.c: what one exec is about ---- */

/* From the look at the call until the launcher has its answer. */
struct exec_flight {
	_Atomic unsigned refs;
	int exe, loader; /* owned; -1 */
	bool native;	 /* all of it is the kernel's to execute */
	uint64_t image;
	pid_t process, thread;
	struct plan_strings strings;
	char execfn[PATH_MAX];
	char path[PATH_MAX];  /* virtual, of what runs */
	char *first_argument; /* heap; NULL: a script, which has none of its own */
	const char *prefix[LAUNCHER_PREFIX_MAX];
	struct image images[IMAGE_SCRIPTS_MAX + 1];
};

/* The call's arguments, execve's and execveat's alike. */
struct exec_args {
	int dirfd; /* AT_FDCWD: none, or none that counts */
	uint64_t path, argv;
	int flags;
};

/*
 * Look at everything that the call of @req names: path @path (a copy) and what is in @args. Returns 0 or the errno that exec gives.
 */
int flight_new(struct sluice_request *req, exec_resolve_fn resolve, void *ctx, const char *path,
	       const struct exec_args *args, struct exec_flight **ret);
void flight_unref(struct exec_flight *f);

/* ---- exec_image.c ---- */

struct exec_image_key {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
	uint64_t path_hash;
};

struct exec_image {
	uint64_t number; /* 0: unused */
	uint64_t used;	 /* stamp of the last use */
	struct exec_image_key key;
};

struct exec_images {
	pthread_mutex_t lock;
	int dir; /* "e" */
	uint64_t next, stamp;
	struct exec_image images[EXEC_IMAGES];
};

int images_init(struct exec_images *im, int private_dir);
void images_fini(struct exec_images *im);
/* Number of the image for program @fd of virtual path @path. Negative errno in *ret_error's place: returns 0 or -errno. */
int images_get(struct exec_images *im, int fd, const char *path, uint64_t *ret_number);
/* Does the kernel execute an image of program @st? */
bool images_run(struct exec_images *im, const struct stat *st);

/* ---- exec_slot.c ---- */

/* Made when it is needed for the first time, so there are files and descriptors only for as many as were ever under way together. */
struct exec_slot {
	char name; /* constant */
	int fd; /* read-only: a program that somebody has open for writing can't be executed; -1: not made yet */
	uint64_t image;		    /* that the file names; 0: none yet */
	struct exec_flight *flight; /* NULL: free; guarded by slots->lock, as all below */
	uint64_t since_ns;
	bool window; /* two bytes at address are changed */
	uint64_t address;
};

struct exec_slots {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a window was closed, or a slot is free */
	int private_dir;
	struct exec_slot slots[EXEC_SLOTS];
};

/*
 * A write lease on @fd, which is open for reading, whose break is told to the calling thread alone by a signal that it has blocked. -EAGAIN: the file is being
 * executed, or open somewhere, as by the kernel for an exec that has not come far enough. Whoever opens it waits until it is dropped.
 */
int exec_lease_take(int fd);
void exec_lease_drop(int fd);

void slots_init(struct exec_slots *s, int private_dir);
void slots_fini(struct exec_slots *s);
/*
 * Let the kernel execute @f's image: answers the notification of @req. Takes a reference of @f until the launcher asks. Returns 0 once it was answered,
 * or the errno that the call must fail with, nothing left changed.
 */
int slots_send(struct exec_slots *s, struct sluice_request *req, struct exec_flight *f,
	       uint64_t address);
/* The flight of @process by slot @name, now the caller's reference; NULL: there is none. */
struct exec_flight *slots_take(struct exec_slots *s, pid_t process, char name);
/* Put a flight back that slots_take gave: the launcher will ask again. */
void slots_put_back(struct exec_slots *s, char name, struct exec_flight *f);
/* Read the path at @address again, at a moment when no window covers it. As task_read_string. */
ssize_t slots_read_path(struct exec_slots *s, const struct task *t, uint64_t address, char *buf,
			size_t size);

#endif
