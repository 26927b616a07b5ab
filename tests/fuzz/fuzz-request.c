/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding of a call: a number and six arguments of any value. The task is ourselves, stopped in no notification, so that what lies in memory is
 * read and then never believed (-ESRCH). See fuzz.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/chain.h"
#include "engine/engine_internal.h"
#include "fuzz.h"
#include "task/family.h"

static void check_path(struct sluice_request *req, const struct family_call *f, unsigned which)
{
	const char *path = "untouched";
	ssize_t n = sluice_request_path(req, which, &path);
	int dirfd = sluice_request_dirfd(req, which);
	int has = f && which < 2 && (which ? f->path2 : f->path) >= 0;

	CHECK(has ? n == -ESRCH : n == -EINVAL);
	CHECK(!strcmp(path, "untouched"));
	CHECK(has ? dirfd >= 0 || dirfd == AT_FDCWD || dirfd == -EBADF : dirfd == -EINVAL);
}

static void check_open_args(struct sluice_request *req)
{
	struct sluice_open_args a;
	int r = sluice_request_open_args(req, &a), nr = sluice_request_nr(req);

	switch (nr) {
#ifdef SYS_open
	case SYS_open:
	case SYS_creat:
#endif
	case SYS_openat:
		CHECK(r == 0 && !a.openat2 && !a.resolve);
		CHECK(a.flags <= UINT32_MAX && a.mode <= 0xffff);
		break;
	case SYS_openat2:
		CHECK(r == -ESRCH || r == -EINVAL || r == -E2BIG);
		break;
	default:
		CHECK(r == -EINVAL);
	}
}

static void check_sockaddr(struct sluice_request *req)
{
	struct sockaddr_storage address;
	ssize_t n = sluice_request_sockaddr(req, &address);

	CHECK(n == 0 || n == -EINVAL || n == -ESRCH);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sluice_request *req;
	static struct engine *e;
	uint16_t nr = 0;
	struct chain chain = { .nr = 0 };

	if (!req) {
		req = calloc(1, sizeof(*req));
		e = calloc(1, sizeof(*e));
		CHECK(req && e);
	}
	if (size < sizeof(nr))
		return 0;
	memcpy(&nr, data, sizeof(nr));
	data += sizeof(nr);
	size -= sizeof(nr);
	memset(&req->notif, 0, sizeof(req->notif));
	memcpy(req->notif.data.args, data, size < 48 ? size : 48);
	nr %= 512;
	req->notif.data.nr = nr;
	chain.nr = nr;
	chain.family = family_of(nr);
	req->engine = e;
	req->chain = &chain;
	req->task = (struct task){ .listener = -1, .tid = gettid(), .id = 1 };
	req->decoded[0].done = req->decoded[1].done = false;
	for (unsigned which = 0; which < 3; which++)
		check_path(req, chain.family, which);
	check_open_args(req);
	check_sockaddr(req);
	for (unsigned i = 0; i < 8; i++)
		CHECK(sluice_request_arg(req, i) == (i < 6 ? req->notif.data.args[i] : 0));
	return 0;
}
