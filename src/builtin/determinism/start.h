/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program's random numbers that take no call: the 16 bytes that the kernel gives it at its start (AT_RANDOM), and getrandom in the vDSO.
 */
#ifndef SLUICE_BUILTIN_DETERMINISM_START_H
#define SLUICE_BUILTIN_DETERMINISM_START_H

struct sluice_request;
struct streams;

/*
 * The first call that every program makes, before it uses either: its thread pointer is set (arch_prctl, or set_tid_address where there is none). Puts bytes of the stream
 * in place of AT_RANDOM, and a plain system call in place of the vDSO's getrandom. Once for each program; 0, or -errno: it is left as it was.
 */
int start_prepare(struct sluice_request *req, struct streams *streams);

#endif
