/* SPDX-License-Identifier: Apache-2.0 */
#include "builtin/builtin.h"

#include <errno.h>
#include <stdlib.h>

#include "builtin/determinism/determinism.h"
#include "builtin/files/files.h"
#include "builtin/ledger/ledger.h"
#include "builtin/metadata/metadata.h"
#include "builtin/network/bind.h"
#include "builtin/network/unix.h"
#include "builtin/process/process.h"
#include "builtin/quota/quota.h"
#include "builtin/resource/cores.h"
#include "builtin/resource/memfds.h"
#include "builtin/resource/processes.h"
#include "builtin/uname/uname.h"
#include "engine/dispatch.h"
#include "policy/policy.h"
#include "tree/tree.h"
#include "tree/writable.h"

/* What can be done for a task in the host's own tree, where an extra asks for it. */
static int plan_on_host(struct dispatch *d)
{
	struct tree *host = calloc(1, sizeof(*host));
	struct bind_names *names;
	int r;

	if (!host)
		return -ENOMEM;
	/* Landlock bounds what is opened, and none of these opens anything: looking at procfs takes no grant */
	host->proc_granted = true;
	r = dispatch_own(d, host, free);
	if (r == 0)
		r = builtin_files_plan_on_host(d, host);
	return r < 0 ? r : builtin_bind_register(d, host, &names);
}

int builtin_register_all(struct dispatch *d, struct sluice_policy *p, const struct tree *tree,
			 bool extras, const struct builtin_sandbox *sandbox)
{
	struct bind_names *names = NULL;
	int r = builtin_uname_register(d); /* every sandbox has a name */
	struct writable *w = r < 0 ? NULL : writable_get(p, tree, &r);

	if (!w)
		return r;
	r = dispatch_own(d, w, writable_unref);
	if (r == 0 && tree)
		r = builtin_files_register(d, tree);
	if (r == 0 && !tree && extras)
		r = plan_on_host(d);
	if (r == 0 && p->seeded)
		r = builtin_random_register(d, p->seed, tree != NULL);
	if (r == 0 && p->deterministic_dirs)
		r = builtin_directories_register(d);
	if (r == 0)
		r = builtin_metadata_register(d, w, tree);
	if (r == 0 && tree)
		r = builtin_bind_register(d, tree, &names);
	if (r == 0 && tree)
		r = builtin_quota_register(d, tree);
	if (r == 0)
		r = builtin_unix_register(d, w, tree, names);
	if (r == 0)
		r = builtin_process_register(d, p, tree);
	if (r == 0)
		r = builtin_processes_register(d, p->max_processes, sandbox->init);
	if (r == 0 && p->max_memory)
		r = builtin_memfds_register(d, sandbox->memfds_made);
	if (r == 0)
		r = builtin_ledger_register(d, sandbox->ledger);
	return r < 0 ? r : builtin_cores_register(d, p->cores, sandbox->init);
}
