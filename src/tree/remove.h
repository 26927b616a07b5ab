/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking away all of a directory, whatever a command has left in it. Any thread.
 */
#ifndef SLUICE_TREE_REMOVE_H
#define SLUICE_TREE_REMOVE_H

/* Remove @name in @dir_fd, whatever it is, with all below it and no link followed. What can't be removed stays, and so does what is above it. */
void remove_tree(int dir_fd, const char *name);

#endif
