/* SPDX-License-Identifier: Apache-2.0 */
#include <sluice/supervisor.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "sandbox/sandbox.h"
#include "util/fail.h"

#define SANDBOXES_DEFAULT 4096u

struct sluice_supervisor {
	atomic_uint refs;
	unsigned max;
	pthread_mutex_t lock;
	struct sluice_totals totals; /* guarded by lock */
};

struct sluice_supervisor *sluice_supervisor_new(unsigned max_sandboxes)
{
	struct sluice_supervisor *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	atomic_init(&v->refs, 1);
	v->max = max_sandboxes ? max_sandboxes : SANDBOXES_DEFAULT;
	pthread_mutex_init(&v->lock, NULL);
	return v;
}

struct sluice_supervisor *sluice_supervisor_ref(struct sluice_supervisor *v)
{
	atomic_fetch_add(&v->refs, 1);
	return v;
}

struct sluice_supervisor *sluice_supervisor_unref(struct sluice_supervisor *v)
{
	if (v && atomic_fetch_sub(&v->refs, 1) == 1) {
		pthread_mutex_destroy(&v->lock);
		free(v);
	}
	return NULL;
}

int supervisor_enter(struct sluice_supervisor *v, struct sluice_error *err)
{
	int r = 0;

	pthread_mutex_lock(&v->lock);
	if (v->totals.running >= v->max) {
		r = -EAGAIN;
	} else {
		v->totals.running++;
		v->totals.started++;
	}
	pthread_mutex_unlock(&v->lock);
	return r < 0 ? fail(err, r, "supervisor: %u sandboxes run already", v->max) : 0;
}

void supervisor_leave(struct sluice_supervisor *v, const struct sluice_result *r)
{
	pthread_mutex_lock(&v->lock);
	v->totals.running--;
	v->totals.notifications += r->notifications;
	v->totals.denied += r->denied;
	pthread_mutex_unlock(&v->lock);
}

void sluice_supervisor_totals(struct sluice_supervisor *v, struct sluice_totals *ret)
{
	pthread_mutex_lock(&v->lock);
	*ret = v->totals;
	pthread_mutex_unlock(&v->lock);
}
