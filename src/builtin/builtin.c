/* SPDX-License-Identifier: Apache-2.0 */
#include "builtin/builtin.h"

#include "builtin/uname/uname.h"

int builtin_register_all(struct dispatch *d, const struct sluice_policy *p)
{
	(void)p; /* uname is always in use: every sandbox has a name */
	return builtin_uname_register(d);
}
