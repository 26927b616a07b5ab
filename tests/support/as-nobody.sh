#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# as-nobody.sh PROGRAM ARGS...: run a test as an ordinary user. The program, and each argument that names a file, is copied to where that user can
# reach it.
set -eu
program=$1
shift
if [ "$(id -u)" -ne 0 ]; then
	exec "$program" "$@"
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/sluice-nobody.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cp "$program" "$dir/"
mkdir "$dir/tmp"
for argument in "$@"; do
	shift
	if [ -f "$argument" ]; then
		cp "$argument" "$dir/"
		argument=$dir/$(basename "$argument")
	fi
	set -- "$@" "$argument"
done
chmod 755 "$dir"
chown 65534:65534 "$dir/tmp"
cd "$dir/tmp"
status=0
TMPDIR=$dir/tmp HOME=$dir/tmp setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \
	"$dir/$(basename "$program")" "$@" || status=$?
exit $status
