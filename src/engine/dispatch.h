/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dispatch[nr]: the chain of handlers of each call, built-ins in their order, then extras in theirs.
 *
 * Built before fork by sandbox/, constant afterwards but for the statistics in its entries.
 */
#ifndef SLUICE_ENGINE_DISPATCH_H
#define SLUICE_ENGINE_DISPATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/handler.h>

#define DISPATCH_MAX_NR 512 /* numbers of all native ABIs lie below; kernel 6.18 ends at 470 */
#define DISPATCH_MAX_CHAIN 64

struct dispatch;

struct dispatch *dispatch_new(void);
struct dispatch *dispatch_free(struct dispatch *d);

/*
 * Append @h to the chain of its number. Built-ins (@builtin true) must all come before the first extra. The name is copied.
 * -EINVAL bad number, NULL fn, unknown flags, deadline out of range; -E2BIG chain full; -ENOMEM.
 * A built-in registers through the same call that an extra does.
 */
int dispatch_add(struct dispatch *d, const struct sluice_handler *h, bool builtin);
/* Each of a built-in's @n handlers; the first error ends it. */
int dispatch_add_builtins(struct dispatch *d, const struct sluice_handler *handlers, size_t n);

/*
 * The same for a built-in that wants no more of the call than the filter would refuse for its arguments. It refuses by itself what is not to be. Where another
 * handler wants the call too, it is asked about all that are trapped. Errors as above.
 */
int dispatch_add_where_refused(struct dispatch *d, const struct sluice_handler *h);

/*
 * Call @fn when an extra answers AS_SEEN to call @nr and no built-in has made a plan: it makes one and returns CONTINUE, or an errno. CONTINUE without a
 * plan: the kernel runs the call, which reads nothing that could change. Traps nothing; one a call. -ENOMEM.
 */
int dispatch_add_planner(struct dispatch *d, int nr, sluice_handler_fn fn, void *userdata);
/* Free @data with @fn when the table is freed: what built-ins keep for their handlers. On failure (-ENOMEM) it is freed at once. */
int dispatch_own(struct dispatch *d, void *data, void (*fn)(void *data));

/*
 * The one handler that call @nr has so far wants it only where argument @arg is not 0. Who adds another one gets all calls, and so does the first.
 */
void dispatch_trap_only_with(struct dispatch *d, int nr, int arg);

/*
 * The numbers that have a chain, sorted, some with NOTIF_WITH, those with NOTIF_WHERE_REFUSED behind the others; at most @max are written. Returns how many
 * there are.
 */
size_t dispatch_numbers(const struct dispatch *d, int *ret, size_t max);

#endif
