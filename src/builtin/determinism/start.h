/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first call that every program makes before it uses what takes no call: its thread pointer is set (arch_prctl, or set_tid_address where there is none). At that
 * moment its memory can be changed as a debugger does, and no other thread of it runs yet. Any thread.
 */
#ifndef SLUICE_BUILTIN_DETERMINISM_START_H
#define SLUICE_BUILTIN_DETERMINISM_START_H

#include <stdint.h>
#include <sys/syscall.h>

#include <sluice/handler.h>

#ifdef SYS_arch_prctl
#define START_CALL SYS_arch_prctl
#else
#define START_CALL SYS_set_tid_address
#endif

struct start {
	int mem;	 /* its memory, past all protection; -1 */
	uint64_t vdso;	 /* where the vDSO lies in it; 0: it has none */
	uint64_t random; /* the 16 bytes of AT_RANDOM; 0 */
};

/*
 * The task of @req, in its START_CALL, begins a program. 0; -ENOENT: it is in another call of that number. -ESRCH, -EACCES ...
 */
int start_open(struct sluice_request *req, struct start *ret);
void start_close(struct start *s);
/* Exactly @size bytes. 0 or -EIO. */
int start_read(const struct start *s, uint64_t addr, void *to, size_t size);
int start_write(const struct start *s, uint64_t addr, const void *from, size_t size);

#endif
