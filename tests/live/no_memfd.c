/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded: there is no memfd to be had.
 */
#include <errno.h>

int memfd_create(const char *name, unsigned flags);

int memfd_create(const char *name, unsigned flags)
{
	(void)name;
	(void)flags;
	errno = EPERM;
	return -1;
}
