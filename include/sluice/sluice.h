/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All of libsluice's public interface. See sluice-extension-handlers in the documentation, and libsluice(3).
 */
#ifndef SLUICE_SLUICE_H
#define SLUICE_SLUICE_H

#include <sluice/check.h>
#include <sluice/cow.h>
#include <sluice/error.h>
#include <sluice/export.h>
#include <sluice/handler.h>
#include <sluice/policy.h>
#include <sluice/sandbox.h>
#include <sluice/supervisor.h>

SLUICE_BEGIN_DECLS

#define SLUICE_VERSION_MAJOR 0
#define SLUICE_VERSION_MINOR 1
#define SLUICE_VERSION_PATCH 0

/* "MAJOR.MINOR.PATCH" of the library in use. */
SLUICE_API const char *sluice_version(void);

SLUICE_END_DECLS

#endif
