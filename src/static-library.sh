#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# static-library.sh INTERNAL.a OUTPUT.a SCRATCH-DIR: one object with its hidden symbols made local.
set -eu
mkdir -p "$3"
rm -f "$2" "$3/sluice.o"
"${LD:-ld}" -r --whole-archive "$1" -o "$3/sluice.o"
"${OBJCOPY:-objcopy}" --localize-hidden "$3/sluice.o"
"${AR:-ar}" rcsD "$2" "$3/sluice.o"
