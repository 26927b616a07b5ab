/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Priorities, schedulers and limits of the caller's own process, where it names itself or one of its threads by number (pthread_setschedparam does), and the processors of any of the sandbox's.
 *
 * The filter lets number 0 pass, which is the caller, and would refuse all others, since they may be outside: it can't know whose number it is. So
 * these calls are trapped where they would be refused, and only there.
 */
#ifndef SLUICE_BUILTIN_PROCESS_PROCESS_H
#define SLUICE_BUILTIN_PROCESS_PROCESS_H

#include <sys/types.h>

struct dispatch;
struct sluice_policy;

/* @top: the process above all of the sandbox's, borrowed. A call that @p allows for all arguments, or for none, is left alone. */
int builtin_process_register(struct dispatch *d, const struct sluice_policy *p, const pid_t *top);

#endif
