/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher's ELF file, as bytes: it is built together with the library and kept in it. Constant.
 */
#ifndef SLUICE_LAUNCHER_PROGRAM_H
#define SLUICE_LAUNCHER_PROGRAM_H

#include <stddef.h>

extern const unsigned char launcher_program[];
extern const size_t launcher_program_size;

#endif
