/* SPDX-License-Identifier: Apache-2.0 */
#include "builtin/builtin.h"

#include "builtin/metadata/metadata.h"
#include "builtin/uname/uname.h"

int builtin_register_all(struct dispatch *d, struct sluice_policy *p)
{
	int r = builtin_uname_register(d); /* every sandbox has a name */

	return r < 0 ? r : builtin_metadata_register(d, p);
}
