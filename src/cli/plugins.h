/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugins of --plugin: loaded in order, their handlers as one array. Main thread.
 */
#ifndef SLUICE_CLI_PLUGINS_H
#define SLUICE_CLI_PLUGINS_H

#include <stddef.h>

#include <sluice/error.h>
#include <sluice/handler.h>

struct plugin;

struct plugins {
	struct plugin *list; /* owned */
	size_t n;
	struct sluice_handler *handlers; /* owned; names and userdata are the plugins' */
	size_t n_handlers;
};

/*
 * Load FILE[:ARGS]; @spec must live until plugins_fini. A file name without '/' is one in the working directory. Returns 0, or a negative errno: -ELIBACC (can't be loaded), -ELIBBAD (no
 * plugin, or of another ABI), -ENOMEM, or what its init refused with. Plugins loaded before stay.
 */
int plugins_load(struct plugins *p, const char *spec, struct sluice_error *err);
/* Call each fini, newest first, and unload. Zeroed memory is fine. */
void plugins_fini(struct plugins *p);

#endif
