/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects are made on behalf, so that their numbers are known; a call that names a number is the kernel's once it is known to be one of them. A number is a value and can't change meanwhile, and
 * none comes again before its slot has been used 65536 times over.
 */
#define _GNU_SOURCE
#include "builtin/ipc/sysv.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/dispatch.h"
#include "engine/request.h"

/*
 * The lower 15 bits of a number are the kernel's index, the others count. Booted with ipcmni_extend it has 24 bits of index, and of two objects that meet in a slot the older one is no longer
 * known.
 */
#define SLOTS 32768u
#define TRIES 16
/* Commands that are about all objects, or name one by its index. The same for each kind but for the number. */
#define CMD_IPC_INFO 3

enum kind {
	SHM,
	SEM,
	MSG,
	N_KINDS
};

static const struct {
	int get, ctl, cmd_arg;
	int info, stat, stat_any; /* commands */
} kinds[N_KINDS] = {
	[SHM] = { SYS_shmget, SYS_shmctl, 1, SHM_INFO, SHM_STAT, SHM_STAT_ANY },
	[SEM] = { SYS_semget, SYS_semctl, 2, SEM_INFO, SEM_STAT, SEM_STAT_ANY },
	[MSG] = { SYS_msgget, SYS_msgctl, 1, MSG_INFO, MSG_STAT, MSG_STAT_ANY },
};

/* What handlers of one kind know. */
struct objects {
	enum kind kind;
	atomic_bool any;	       /* has there ever been one? */
	_Atomic uint32_t slots[SLOTS]; /* the number and 1; 0: none */
};

struct sysv {
	struct objects objects[N_KINDS];
};

struct asked {
	struct objects *objects;
	uint64_t key, size; /* of semget: how many; of msgget: unused */
	int flags;
	int id;
};

static bool has(struct objects *o, int id)
{
	return id >= 0 && atomic_load(&o->slots[(uint32_t)id % SLOTS]) == (uint32_t)id + 1;
}

static void keep(struct objects *o, int id)
{
	atomic_store(&o->slots[(uint32_t)id % SLOTS], (uint32_t)id + 1);
	atomic_store(&o->any, true);
}

static void drop(struct objects *o, int id)
{
	uint32_t old = (uint32_t)id + 1;

	atomic_compare_exchange_strong(&o->slots[(uint32_t)id % SLOTS], &old, 0);
}

static int control(enum kind kind, int id, int cmd, void *buf)
{
	long r = kind == SEM ? syscall(SYS_semctl, id, 0, cmd, buf)
			     : syscall(kinds[kind].ctl, id, cmd, buf);

	return r < 0 ? -errno : (int)r;
}

/* ---- making and finding ---- */

static int get(const struct asked *a, int flags)
{
	const enum kind kind = a->objects->kind;
	long r = kind == MSG ? syscall(SYS_msgget, a->key, flags)
			     : syscall(kinds[kind].get, a->key, a->size, flags);

	return r < 0 ? -errno : (int)r;
}

static int make(const struct asked *a)
{
	int id = get(a, a->flags | IPC_CREAT | IPC_EXCL);

	if (id >= 0)
		keep(a->objects, id);
	return id;
}

/* A key that the host has in use is somebody else's. */
static int find(const struct asked *a)
{
	int id = get(a, a->flags & ~(IPC_CREAT | IPC_EXCL));

	return id < 0 || has(a->objects, id) ? id : -EACCES;
}

static struct request_act get_act(struct sluice_request *req, const void *data)
{
	const struct asked *a = data;
	int r = -EEXIST;

	(void)req;
	if ((key_t)a->key == IPC_PRIVATE) {
		r = make(a);
	} else if (!(a->flags & IPC_CREAT)) {
		r = find(a);
	} else {
		/* between the two it may be removed, or made */
		for (int i = 0; i < TRIES && (r == -EEXIST || r == -ENOENT); i++) {
			r = make(a);
			if (r != -EEXIST || a->flags & IPC_EXCL)
				break;
			r = find(a);
		}
	}
	return (struct request_act){ .value = r, .fd = -1 };
}

static struct sluice_verdict plan(struct sluice_request *req, request_act_fn act,
				  const struct asked *a)
{
	const struct request_plan p = {
		.builtin = "sysv",
		.act = act,
		REQUEST_PLAN_NO_FILES,
		.data = a,
		.size = sizeof(*a),
	};

	return request_plan_or_errno(req, &p, request_compare_credentials(req));
}

static struct sluice_verdict get_handle(struct sluice_request *req, void *objects)
{
	struct asked a = {
		.objects = objects,
		.key = sluice_request_arg(req, 0),
		.size = sluice_request_arg(req, 1),
	};

	a.flags = (int)sluice_request_arg(req, a.objects->kind == MSG ? 1 : 2);
	return plan(req, get_act, &a);
}

/* ---- using ---- */

static struct sluice_verdict use_handle(struct sluice_request *req, void *objects)
{
	return has(objects, (int)sluice_request_arg(req, 0)) ? sluice_continue()
							     : sluice_errno(EINVAL);
}

static struct request_act remove_act(struct sluice_request *req, const void *data)
{
	const struct asked *a = data;
	int r = control(a->objects->kind, a->id, IPC_RMID, NULL);

	(void)req;
	if (r == 0)
		drop(a->objects, a->id);
	return (struct request_act){ .value = r, .fd = -1 };
}

/* The number of the object that has @index. */
static int id_at(enum kind kind, int index)
{
	union {
		struct shmid_ds shm;
		struct semid_ds sem;
		struct msqid_ds msg;
	} unused;

	return control(kind, index, kinds[kind].stat, &unused);
}

static struct sluice_verdict ctl_handle(struct sluice_request *req, void *objects)
{
	struct objects *o = objects;
	const enum kind kind = o->kind;
	const int cmd = (int)sluice_request_arg(req, (unsigned)kinds[kind].cmd_arg);
	struct asked a = { .objects = o, .id = (int)sluice_request_arg(req, 0) };
	int id = a.id;

	if (cmd == CMD_IPC_INFO || cmd == kinds[kind].info)
		return sluice_continue();
	if (cmd == kinds[kind].stat || cmd == kinds[kind].stat_any)
		id = id_at(kind, a.id);
	if (!has(o, id))
		return sluice_errno(EINVAL);
	return cmd == IPC_RMID ? plan(req, remove_act, &a) : sluice_continue();
}

/* ---- registration ---- */

static void remove_all(struct objects *o)
{
	for (size_t i = 0; atomic_load(&o->any) && i < SLOTS; i++) {
		uint32_t is = atomic_load(&o->slots[i]);

		if (is)
			control(o->kind, (int)(is - 1), IPC_RMID, NULL);
	}
}

static void sysv_free(void *sysv)
{
	struct sysv *s = sysv;

	for (size_t i = 0; i < N_KINDS; i++)
		remove_all(&s->objects[i]);
	free(s);
}

int builtin_sysv_register(struct dispatch *d)
{
	static const struct {
		int nr;
		enum kind kind;
		sluice_handler_fn fn;
	} calls[] = {
		{ SYS_shmget, SHM, get_handle },     { SYS_semget, SEM, get_handle },
		{ SYS_msgget, MSG, get_handle },     { SYS_shmctl, SHM, ctl_handle },
		{ SYS_semctl, SEM, ctl_handle },     { SYS_msgctl, MSG, ctl_handle },
		{ SYS_shmat, SHM, use_handle },	     { SYS_semop, SEM, use_handle },
		{ SYS_semtimedop, SEM, use_handle }, { SYS_msgsnd, MSG, use_handle },
		{ SYS_msgrcv, MSG, use_handle },
	};
	struct sysv *s =
		calloc(1, sizeof(*s)); /* large and untouched: no memory until it is used */
	int r = s ? dispatch_own(d, s, sysv_free) : -ENOMEM;

	for (size_t i = 0; s && i < N_KINDS; i++)
		s->objects[i].kind = (enum kind)i;
	for (size_t i = 0; r == 0 && i < sizeof(calls) / sizeof(calls[0]); i++) {
		const struct sluice_handler h = sluice_handler_make(
			"sysv", calls[i].nr, calls[i].fn, &s->objects[calls[i].kind]);

		r = dispatch_add(d, &h, true);
	}
	return r;
}
