/* SPDX-License-Identifier: Apache-2.0 */
#include "builtin/builtin.h"

#include "builtin/files/files.h"
#include "builtin/metadata/metadata.h"
#include "builtin/uname/uname.h"

#include <stddef.h>

int builtin_register_all(struct dispatch *d, const struct sluice_policy *p, const struct tree *tree)
{
	int r = builtin_uname_register(d); /* every sandbox has a name */

	if (r == 0 && tree)
		r = builtin_files_register(d, tree);
	return r < 0 ? r : builtin_metadata_register(d, p, tree);
}
