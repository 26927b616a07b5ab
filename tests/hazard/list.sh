#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# list.sh [--write]: the table at the end of docs/hazards.md, from the names of the tests; --write puts it there.
set -eu
cd "$(dirname "$0")"
page=../../docs/hazards.md

table() {
	echo '| hazard | test |'
	echo '|---|---|'
	grep -oE '\bhazard_[A-Z][0-9]+_[a-z0-9_]+' test-*.c | LC_ALL=C sort -u -t: -k2,2V |
		sed -E 's/^test-(.*)\.c:(hazard_([A-Z][0-9]+)_.*)$/| \3 | `\2` (hazard\/\1) |/'
}

if [ "${1-}" = --write ]; then
	text=$(grep -v '^|' "$page"; table)
	printf '%s\n' "$text" >"$page"
else
	table
fi
