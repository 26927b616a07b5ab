#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# public-functions.sh HEADER...: the functions that the public headers declare with SLUICE_API, one a line, sorted.
set -eu
cat "$@" | tr '\n' ' ' | sed 's/;/;\n/g' |
	sed -n 's/.*SLUICE_API[^(;]*[ *]\(sluice_[a-z0-9_]*\)(.*/\1/p' | LC_ALL=C sort -u
