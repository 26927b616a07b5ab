/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that tells which ports of a sandbox are others: a line "PROTOCOL VIRTUAL REAL" for each, nothing where there are none.
 *
 * Engine threads may write nowhere but where the policy lets them, so a thread of its own, which is not confined, makes a new file and puts it in the old one's place,
 * when a socket gets such a port, and, while there are some, each second when one has gone. Whoever reads finds the whole of one state. A failure once the command
 * runs (the disk is full, the directory gone) leaves the old file, until the next change.
 */
#ifndef SLUICE_SANDBOX_PORT_MAP_H
#define SLUICE_SANDBOX_PORT_MAP_H

#include <sluice/error.h>

struct port_map;
struct remap;

/*
 * Write the file at @path, which is empty so far, and go on with it. @r is borrowed until port_map_free. Thread: the one that starts the sandbox. -errno; @err names the
 * file.
 */
int port_map_new(const char *path, struct remap *r, struct port_map **ret,
		 struct sluice_error *err);
/* With a last look: where no socket is left, the file is empty again. NULL is fine. */
void port_map_free(struct port_map *m);

#endif
