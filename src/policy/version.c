/* SPDX-License-Identifier: Apache-2.0 */
#include <sluice/sluice.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *sluice_version(void)
{
	return TEXT(SLUICE_VERSION_MAJOR) "." TEXT(SLUICE_VERSION_MINOR) "." TEXT(
		SLUICE_VERSION_PATCH);
}
