/* SPDX-License-Identifier: Apache-2.0 */
#include "builtin/builtin.h"

#include "builtin/files/files.h"
#include "builtin/metadata/metadata.h"
#include "builtin/network/bind.h"
#include "builtin/network/unix.h"
#include "builtin/quota/quota.h"
#include "builtin/uname/uname.h"
#include "engine/dispatch.h"
#include "tree/writable.h"

int builtin_register_all(struct dispatch *d, struct sluice_policy *p, const struct tree *tree)
{
	int r = builtin_uname_register(d); /* every sandbox has a name */
	struct writable *w = r < 0 ? NULL : writable_get(p, tree, &r);

	if (!w)
		return r;
	r = dispatch_own(d, w, writable_unref);
	if (r == 0 && tree)
		r = builtin_files_register(d, tree);
	if (r == 0)
		r = builtin_metadata_register(d, w, tree);
	if (r == 0 && tree)
		r = builtin_bind_register(d, tree);
	if (r == 0 && tree)
		r = builtin_quota_register(d, tree);
	return r < 0 ? r : builtin_unix_register(d, w, tree);
}
