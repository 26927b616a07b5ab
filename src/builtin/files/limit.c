/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resource limit that carries a process's working directory and umask (src/tree/cwd.h): it is shown as what it would be without that, and stays so.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "builtin/files/internal.h"
#include "tree/cwd.h"

/* Limits of process @pid: asked for at address @set, the present ones go to @get; 0: not so. */
static int64_t limit(struct sluice_request *req, const struct tree *tree, pid_t pid, uint64_t set,
		     uint64_t get)
{
	struct rlimit asked, is;
	int r = set ? sluice_request_read(req, set, &asked, sizeof(asked)) : 0;

	if (r == 0)
		r = request_compare_credentials(req);
	if (r == 0)
		r = cwd_limit(tree->cwds, pid, &is);
	if (r == 0 && set && (asked.rlim_cur != is.rlim_cur || asked.rlim_max != is.rlim_max))
		r = -EINVAL;
	if (r == 0 && get)
		r = sluice_request_write(req, get, &is, sizeof(is));
	return r;
}

static struct sluice_verdict answer(int64_t r)
{
	return r < 0 ? files_errno((int)r) : sluice_value(0);
}

static struct sluice_verdict getrlimit_handle(struct sluice_request *req, void *tree)
{
	const uint64_t addr = sluice_request_arg(req, 1);

	if ((uint32_t)sluice_request_arg(req, 0) != RLIMIT_RTTIME)
		return sluice_continue();
	return addr ? answer(limit(req, tree, sluice_request_tid(req), 0, addr))
		    : sluice_errno(EFAULT);
}

static struct sluice_verdict setrlimit_handle(struct sluice_request *req, void *tree)
{
	const uint64_t addr = sluice_request_arg(req, 1);

	if ((uint32_t)sluice_request_arg(req, 0) != RLIMIT_RTTIME)
		return sluice_continue();
	return addr ? answer(limit(req, tree, sluice_request_tid(req), addr, 0))
		    : sluice_errno(EFAULT);
}

static struct sluice_verdict prlimit_handle(struct sluice_request *req, void *tree)
{
	const pid_t pid = (pid_t)sluice_request_arg(req, 0);

	if ((uint32_t)sluice_request_arg(req, 1) != RLIMIT_RTTIME)
		return sluice_continue();
	if (pid < 0)
		return sluice_errno(ESRCH);
	return answer(limit(req, tree, pid ? pid : sluice_request_tid(req),
			    sluice_request_arg(req, 2), sluice_request_arg(req, 3)));
}

const struct files_call files_limit_calls[] = {
#ifdef SYS_getrlimit
	{ SYS_getrlimit, getrlimit_handle },
	{ SYS_setrlimit, setrlimit_handle },
#endif
	{ SYS_prlimit64, prlimit_handle },
	{ -1, NULL },
};
