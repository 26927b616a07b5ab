/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System V objects and POSIX message queues: the user's own on the host are out of reach, those that are made inside are as natively.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

#define BYTES 4096
#define QUEUE_MOUNT "/dev/mqueue"

union semun {
	int val;
	struct semid_ds *buf;
};

struct message {
	long type;
	char text[8];
};

/* A number that went wrong, for a role to return: the line. */
#define EXPECT(what)                               \
	do {                                       \
		if (!(what))                       \
			return __LINE__ % 200 + 1; \
	} while (0)

static bool fails(long r, int error)
{
	return r < 0 && errno == error;
}

/* ---- of the host ---- */

/* @arg: numbers of a segment, a set and a queue, and 1 where they are to be reached. */
static int role_numbers(const char *arg)
{
	struct timespec at_once = { 0 };
	struct sembuf up = { 0, 1, IPC_NOWAIT };
	struct message m = { 1, "x" };
	union {
		struct shmid_ds shm;
		struct msqid_ds msg;
		struct semid_ds sem;
	} buf;
	union semun u = { .buf = &buf.sem };
	int shm, sem, msg, reach;
	void *at;

	if (sscanf(arg, "%d %d %d %d", &shm, &sem, &msg, &reach) != 4)
		return GUEST_FAILED;
	at = shmat(shm, NULL, 0);
	EXPECT(reach ? at != (void *)-1 : fails((long)at, EINVAL));
	if (reach)
		strcpy(at, "seen");
	EXPECT(reach ? shmctl(shm, IPC_STAT, &buf.shm) == 0
		     : fails(shmctl(shm, IPC_STAT, &buf.shm), EINVAL));
	EXPECT(reach ? semop(sem, &up, 1) == 0 : fails(semop(sem, &up, 1), EINVAL));
	EXPECT(reach ? semtimedop(sem, &up, 1, &at_once) == 0
		     : fails(semtimedop(sem, &up, 1, &at_once), EINVAL));
	EXPECT(reach ? semctl(sem, 0, GETVAL) == 2 : fails(semctl(sem, 0, GETVAL), EINVAL));
	EXPECT(reach ? semctl(sem, 0, IPC_STAT, u) == 0
		     : fails(semctl(sem, 0, IPC_STAT, u), EINVAL));
	EXPECT(reach ? msgsnd(msg, &m, 1, IPC_NOWAIT) == 0
		     : fails(msgsnd(msg, &m, 1, IPC_NOWAIT), EINVAL));
	EXPECT(reach ? msgrcv(msg, &m, 1, 0, IPC_NOWAIT) == 1
		     : fails(msgrcv(msg, &m, 1, 0, IPC_NOWAIT), EINVAL));
	EXPECT(reach ? msgctl(msg, IPC_STAT, &buf.msg) == 0
		     : fails(msgctl(msg, IPC_STAT, &buf.msg), EINVAL));
	if (reach)
		return 0;
	buf.shm.shm_perm.mode = 0;
	EXPECT(fails(shmctl(shm, IPC_SET, &buf.shm), EINVAL));
	EXPECT(fails(shmctl(shm, SHM_LOCK, NULL), EINVAL));
	EXPECT(fails(shmctl(shm, IPC_RMID, NULL), EINVAL));
	EXPECT(fails(semctl(sem, 0, SETVAL, (union semun){ .val = 7 }), EINVAL));
	EXPECT(fails(semctl(sem, 0, IPC_RMID), EINVAL));
	EXPECT(fails(msgctl(msg, IPC_RMID, NULL), EINVAL));
	return 0;
}

/* @arg: a key that all three kinds have on the host. */
static int role_keys(const char *arg)
{
	key_t key = (key_t)strtol(arg, NULL, 10);

	EXPECT(fails(shmget(key, 1, 0), EACCES));
	EXPECT(fails(shmget(key, 1, IPC_CREAT | 0600), EACCES));
	EXPECT(fails(shmget(key, 1, IPC_CREAT | IPC_EXCL | 0600), EEXIST));
	EXPECT(fails(semget(key, 1, 0), EACCES));
	EXPECT(fails(semget(key, 1, IPC_CREAT | 0600), EACCES));
	EXPECT(fails(semget(key, 1, IPC_CREAT | IPC_EXCL | 0600), EEXIST));
	EXPECT(fails(msgget(key, 0), EACCES));
	EXPECT(fails(msgget(key, IPC_CREAT | 0600), EACCES));
	EXPECT(fails(msgget(key, IPC_CREAT | IPC_EXCL | 0600), EEXIST));
	return 0;
}

/* Which segments are there? @arg: the number of the host's. 1: that one too, 2: others. */
static int role_indices(const char *arg)
{
	int host = atoi(arg), own = shmget(IPC_PRIVATE, BYTES, 0600), seen = 0, own_seen = 0;
	struct shmid_ds buf;
	int last = shmctl(0, SHM_INFO, &buf);

	EXPECT(own >= 0 && last >= 0);
	for (int i = 0; i <= last; i++) {
		for (int cmd = SHM_STAT; cmd <= SHM_STAT_ANY; cmd += SHM_STAT_ANY - SHM_STAT) {
			int id = shmctl(i, cmd, &buf);

			if (id < 0)
				continue;
			own_seen |= id == own;
			seen |= id == host ? 1 : id != own ? 2 : 0;
		}
	}
	shmctl(own, IPC_RMID, NULL);
	return own_seen ? seen : GUEST_FAILED - 1;
}

/* ---- of one's own ---- */

/* A child finds them by the key @arg, wakes its parent by a semaphore, writes and sends. */
static int child(key_t key)
{
	int shm = shmget(key, BYTES, 0), sem = semget(key, 2, 0), msg = msgget(key, 0);
	struct message m = { 3, "sent" };
	struct sembuf up = { 1, 1, SEM_UNDO };
	char *at = shmat(shm, NULL, 0);

	EXPECT(shm >= 0 && sem >= 0 && msg >= 0 && at != (void *)-1);
	strcpy(at, "written");
	up.sem_flg = 0;
	EXPECT(semop(sem, &up, 1) == 0);
	EXPECT(msgsnd(msg, &m, sizeof(m.text), 0) == 0);
	return 0;
}

static int role_own(const char *arg)
{
	key_t key = (key_t)strtol(arg, NULL, 10);
	int shm = shmget(key, BYTES, IPC_CREAT | IPC_EXCL | 0600);
	int sem = semget(key, 2, IPC_CREAT | 0600), msg = msgget(key, IPC_CREAT | 0600);
	struct sembuf down = { 1, -1, 0 };
	struct shmid_ds info;
	struct message m;
	int status;
	char *at;
	pid_t pid;

	EXPECT(shm >= 0 && sem >= 0 && msg >= 0);
	EXPECT(fails(shmget(key, BYTES, IPC_CREAT | IPC_EXCL | 0600), EEXIST));
	EXPECT(fails(shmget(key, 2 * BYTES, 0), EINVAL));
	EXPECT(shmget(key, BYTES, IPC_CREAT | 0600) == shm);
	EXPECT(shmget(IPC_PRIVATE, BYTES, 0600) != shmget(IPC_PRIVATE, BYTES, 0600));
	EXPECT(fails(shmget(key + 1, BYTES, 0), ENOENT));
	pid = fork();
	if (pid == 0)
		_exit(child(key));
	EXPECT(semop(sem, &down, 1) == 0);
	at = shmat(shm, NULL, SHM_RDONLY);
	EXPECT(at != (void *)-1 && !strcmp(at, "written"));
	EXPECT(msgrcv(msg, &m, sizeof(m.text), 3, 0) == sizeof(m.text) && !strcmp(m.text, "sent"));
	EXPECT(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	if (WEXITSTATUS(status))
		return WEXITSTATUS(status);
	EXPECT(shmctl(shm, IPC_STAT, &info) == 0 && info.shm_segsz == BYTES);
	EXPECT(info.shm_perm.__key == key && (info.shm_perm.mode & 0777) == 0600);
	EXPECT(info.shm_nattch == 1 && info.shm_perm.uid == geteuid());
	/* removed while it is attached: there until nobody has it */
	EXPECT(shmctl(shm, IPC_RMID, NULL) == 0 && !strcmp(at, "written"));
	EXPECT(fails(shmget(key, BYTES, 0), ENOENT));
	EXPECT(shmdt(at) == 0);
	EXPECT(semctl(sem, 0, IPC_RMID) == 0 && fails(semop(sem, &down, 1), EINVAL));
	EXPECT(msgctl(msg, IPC_RMID, NULL) == 0 && fails(msgsnd(msg, &m, 1, 0), EINVAL));
	/* and left behind */
	EXPECT(shmget(key, BYTES, IPC_CREAT | 0600) >= 0);
	EXPECT(semget(key, 1, IPC_CREAT | 0600) >= 0);
	EXPECT(msgget(key, IPC_CREAT | 0600) >= 0);
	return 0;
}

/* ---- POSIX message queues ---- */

/* @arg: the name of a queue that the host has. 0: nothing of that kind can be had, 1: all can. */
static int role_queues(const char *arg)
{
	char other[64];
	mqd_t old = mq_open(arg, O_RDWR), new;

	snprintf(other, sizeof(other), "%s-new", arg);
	if (old < 0) {
		EXPECT(errno == EACCES);
		EXPECT(fails(mq_open(other, O_RDWR | O_CREAT, 0600, NULL), EACCES));
		EXPECT(fails(mq_unlink(arg), EACCES));
		return 0;
	}
	new = mq_open(other, O_RDWR | O_CREAT, 0600, NULL);
	EXPECT(new >= 0 && mq_send(new, "x", 1, 0) == 0);
	EXPECT(mq_unlink(other) == 0);
	return 1;
}

static const struct guest_role roles[] = {
	{ "numbers", role_numbers }, { "keys", role_keys },	{ "indices", role_indices },
	{ "own", role_own },	     { "queues", role_queues }, { NULL, NULL },
};

/* ---- outside ---- */

static struct {
	key_t key;
	int shm, sem, msg;
	char *at; /* of the segment */
	char queue[64];
} host;

static int make_host(void **state)
{
	(void)state;
	/* a key that nobody has, and the next one neither */
	host.key = (key_t)(getpid() * 2 + 0x510c0000);
	host.shm = shmget(host.key, BYTES, IPC_CREAT | IPC_EXCL | 0600);
	host.sem = semget(host.key, 1, IPC_CREAT | IPC_EXCL | 0600);
	host.msg = msgget(host.key, IPC_CREAT | IPC_EXCL | 0600);
	host.at = shmat(host.shm, NULL, 0);
	snprintf(host.queue, sizeof(host.queue), "/sluice-test-%d", (int)getpid());
	mq_close(mq_open(host.queue, O_CREAT | O_EXCL | O_RDWR, 0600, NULL));
	return host.shm < 0 || host.sem < 0 || host.msg < 0 || host.at == (void *)-1;
}

static int remove_host(void **state)
{
	(void)state;
	shmctl(host.shm, IPC_RMID, NULL);
	semctl(host.sem, 0, IPC_RMID);
	msgctl(host.msg, IPC_RMID, NULL);
	mq_unlink(host.queue);
	return 0;
}

static const char *text(const char *format, ...)
{
	static char buf[96];
	va_list args;

	va_start(args, format);
	vsnprintf(buf, sizeof(buf), format, args);
	va_end(args);
	return buf;
}

static const char *numbers(bool reach)
{
	return text("%d %d %d %d", host.shm, host.sem, host.msg, reach);
}

static void hazard_G2_ipc_objects_of_the_host(void **state)
{
	struct shmid_ds before, after;

	(void)state;
	assert_int_equal(guest_bare("numbers", numbers(true)), 0);
	assert_string_equal(host.at, "seen");
	assert_int_equal(shmctl(host.shm, IPC_STAT, &before), 0);
	assert_int_equal(guest_inside(NULL, "numbers", numbers(false)), 0);
	assert_int_equal(shmctl(host.shm, IPC_STAT, &after), 0);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(semctl(host.sem, 0, GETVAL), 2);
	assert_int_equal(guest_inside(NULL, "keys", text("%d", host.key)), 0);
}

static void hazard_G2_ipc_objects_are_not_listed(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("indices", text("%d", host.shm)) & 1, 1);
	assert_int_equal(guest_inside(NULL, "indices", text("%d", host.shm)), 0);
}

/* What it leaves is taken away at its end: a key that it used is free. */
static void hazard_G2_ipc_objects_of_ones_own(void **state)
{
	const key_t key = host.key + 1;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(guest_inside(NULL, "own", text("%d", key)), 0);
		assert_true(fails(shmget(key, 1, 0), ENOENT));
		assert_true(fails(semget(key, 1, 0), ENOENT));
		assert_true(fails(msgget(key, 0), ENOENT));
	}
}

static struct sluice_verdict refuse(struct sluice_request *req, void *userdata)
{
	(void)req;
	(void)userdata;
	return sluice_errno(ENOSPC);
}

/* An extra may still refuse, and then nothing was made; and it can't give what is not the sandbox's. */
static void hazard_G2_ipc_objects_and_extras(void **state)
{
	const struct sluice_handler extras[] = {
		sluice_handler_make("extra", SYS_shmget, refuse, NULL),
	};
	const int expected = guest_bare("own", text("%d", host.key + 1));
	struct sluice_policy *p = guest_policy();

	(void)state;
	assert_int_equal(expected, 0);
	shmctl(shmget(host.key + 1, 1, 0), IPC_RMID, NULL);
	semctl(semget(host.key + 1, 1, 0), 0, IPC_RMID);
	msgctl(msgget(host.key + 1, 0), IPC_RMID, NULL);
	assert_true(guest_run(p, extras, 1, "own", text("%d", host.key + 1)).exit_code);
	sluice_policy_unref(p);
	assert_true(fails(shmget(host.key + 1, 1, 0), ENOENT));
}

static bool has_queue(const char *name)
{
	mqd_t q = mq_open(name, O_RDONLY);

	if (q >= 0)
		mq_close(q);
	return q >= 0;
}

static void hazard_G2_message_queues_of_the_host(void **state)
{
	struct sluice_policy *all = guest_policy();

	(void)state;
	assert_int_equal(guest_bare("queues", host.queue), 1);
	assert_int_equal(guest_inside(NULL, "queues", host.queue), 0);
	if (access(QUEUE_MOUNT, F_OK) < 0) {
		assert_int_equal(sluice_policy_allow_write(all, "/", NULL), 0);
		assert_int_equal(guest_inside(all, "queues", host.queue), 0);
	}
	sluice_policy_unref(all);
	assert_true(has_queue(host.queue));
	assert_false(has_queue(text("%s-new", host.queue)));
}

/* Where they are mounted. @granted: what may be written. */
static int mounted(const char *const granted[], size_t n)
{
	if (guest_unshare(CLONE_NEWNS | CLONE_NEWIPC) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/dev", "tmpfs", 0, NULL) < 0 || mkdir(QUEUE_MOUNT, 0755) < 0 ||
	    mount("none", QUEUE_MOUNT, "mqueue", 0, NULL) < 0)
		return 77;
	mq_close(mq_open(host.queue, O_CREAT | O_EXCL | O_RDWR, 0600, NULL));
	if (guest_bare("queues", host.queue) != 1)
		return 1;
	if (guest_inside(NULL, "queues", host.queue) != 0)
		return 2;
	for (size_t i = 0; i < n; i++) {
		struct sluice_policy *p = guest_policy();

		if (sluice_policy_allow_write(p, granted[i], NULL) < 0 ||
		    guest_inside(p, "queues", host.queue) != 1)
			return 3 + (int)i;
	}
	return 0;
}

static void hazard_G2_message_queues_that_are_granted(void **state)
{
	static const char *const granted[] = { QUEUE_MOUNT, "/dev", "/" };
	pid_t pid = guest_fork_one();
	int status;

	(void)state;
	if (!pid)
		_exit(mounted(granted, 3));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		return; /* a container's profile: nobody may mount here */
	assert_int_equal(status, 0);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_G2_ipc_objects_of_the_host),
		cmocka_unit_test(hazard_G2_ipc_objects_are_not_listed),
		cmocka_unit_test(hazard_G2_ipc_objects_of_ones_own),
		cmocka_unit_test(hazard_G2_ipc_objects_and_extras),
		cmocka_unit_test(hazard_G2_message_queues_of_the_host),
		cmocka_unit_test(hazard_G2_message_queues_that_are_granted),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, make_host, remove_host);
}
