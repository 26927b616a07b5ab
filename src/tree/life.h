/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of a branch's life.
 */
#ifndef SLUICE_TREE_LIFE_H
#define SLUICE_TREE_LIFE_H

#include "tree/branch_internal.h"

/* branch.json, whole or as it was. */
int branch_write_meta(const struct branch *b);
/* Nodes, identities and used bytes of an upper directory that exists. */
int branch_scan(struct branch *b);

#endif
