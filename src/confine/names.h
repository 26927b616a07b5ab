/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls whose numbers differ between architectures: sorted by name; written by names.py. In one piece, so that nothing has to be relocated when
 * a program starts.
 */
#ifndef SLUICE_CONFINE_NAMES_H
#define SLUICE_CONFINE_NAMES_H

#include <stddef.h>
#include <stdint.h>

struct call_name {
	uint16_t nr;
	char name[26];
};

extern const struct call_name call_names[];
extern const size_t n_call_names;

#endif
