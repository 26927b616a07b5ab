/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uname(2) shows the sandbox's name as node name, so that build logs say where they come from and not on which host.
 */
#ifndef SLUICE_BUILTIN_UNAME_UNAME_H
#define SLUICE_BUILTIN_UNAME_UNAME_H

struct dispatch;

int builtin_uname_register(struct dispatch *d);

#endif
