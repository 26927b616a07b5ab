#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test-install.sh SOURCE BUILD: install into a temporary prefix, then use what is there as an embedder does: pkg-config, a C and a C++ compiler.
set -u
source=$1
failed=0
dir=$(mktemp -d "${TMPDIR:-/tmp}/sluice-install.XXXXXX")
trap 'rm -rf "$dir"' EXIT
prefix=$dir/prefix
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
unset LD_LIBRARY_PATH
cd "$dir" || exit 1

check() {
	if "$@"; then
		echo "[       OK ] $*" | tr ' ' _ | sed 's/^\[_*OK_\]_/[       OK ] /'
	else
		echo "[  FAILED  ] $*" | tr ' ' _ | sed 's/^\[__FAILED__\]_/[  FAILED  ] /'
		failed=1
	fi
}

install_into_prefix() {
	SLUICE_BUILD=$2/abi "$source/dev" install "$1" >log 2>&1 || { tail -n 40 log; return 1; }
	[ "$(tail -n 1 log)" = "$1" ]
}

flags() {
	pkg-config "$@" sluice
}

# consumer LANGUAGE LINKING
consumer() {
	local cc=(cc -std=c99 -pedantic) link=() out=consumer-$1-$2

	[ "$1" = c ] || cc=(c++ -std=c++11 -pedantic -x c++)
	[ "$2" = static ] && link=(--static)
	# POSIX names of the system's own headers, which strict ISO modes hide
	"${cc[@]}" -D_DEFAULT_SOURCE -Wall -Wextra -Werror $(flags --cflags) -c -o "$out.o" "$source/tests/abi/consumer.c" || return 1
	if [ "$2" = static ]; then
		# libsluice.a itself, other libraries as the system has them
		c++ -o "$out" "$out.o" -L"$prefix/lib" -Wl,-Bstatic -lsluice -Wl,-Bdynamic \
			$(flags --libs "${link[@]}" | sed 's/-lsluice//') || return 1
		readelf -d "$out" | grep -q 'NEEDED.*libsluice' && return 1
	else
		c++ -o "$out" "$out.o" $(flags --libs) -Wl,-rpath,"$prefix/lib" || return 1
		readelf -d "$out" | grep -q 'NEEDED.*libsluice.so.0' || return 1
	fi
	"./$out" >out 2>&1 || { echo "$out: exit status $?"; cat out; return 1; }
	grep -qx consumer out
}

headers_stand_alone() {
	local header bad=0

	for header in "$prefix"/include/sluice/*.h; do
		printf '#include <sluice/%s>\nextern int alone;\n' "$(basename "$header")" >alone.c
		cp alone.c alone.cc
		cc -std=c99 -pedantic -D_DEFAULT_SOURCE -Wall -Wextra -Werror $(flags --cflags) -fsyntax-only alone.c || bad=1
		c++ -std=c++11 -pedantic -Wall -Wextra -Werror $(flags --cflags) -fsyntax-only alone.cc || bad=1
	done
	return $bad
}

headers_are_all_there() {
	diff <(cd "$source/include/sluice" && ls ./*.h) <(cd "$prefix/include/sluice" && ls ./*.h)
}

# Each public function, and nothing else.
shared_library_exports() {
	"$source/tests/support/public-functions.sh" "$prefix"/include/sluice/*.h >declared
	nm -D --defined-only "$prefix/lib/libsluice.so" | awk '$2 != "A" { print $3 }' | sed 's/@.*//' | LC_ALL=C sort >exported
	diff declared exported
}

static_library_exports() {
	nm -g --defined-only "$prefix/lib/libsluice.a" | awk 'NF == 3 { print $3 }' | LC_ALL=C sort >static
	diff declared static
}

shared_library_has_soname() {
	readelf -d "$prefix/lib/libsluice.so" | grep -q 'SONAME.*\[libsluice\.so\.0\]'
}

manual_is_installed() {
	local f bad=0

	for f in libsluice $(cat declared); do
		man -M "$prefix/share/man" -w 3 "$f" >/dev/null 2>&1 || [ -s "$prefix/share/man/man3/$f.3" ] ||
			{ echo "no manual page of $f"; bad=1; }
	done
	[ -s "$prefix/share/man/man1/sluice.1" ] && return $bad
}

command_runs_from_prefix() {
	[ "$("$prefix/bin/sluice" run --name installed -- uname -n)" = installed ] || return 1
	! readelf -d "$prefix/bin/sluice" "$prefix/lib/libsluice.so" | grep -F "$2/"
}

examples_build() {
	local f

	for f in openat_audit deny_path many; do
		cc -Wall -Wextra -Werror "$source/examples/$f.c" $(flags --cflags --libs) -Wl,-rpath,"$prefix/lib" -o "$f" || return 1
	done
	./many 4 | grep -q '^4 of 4 good'
}

# The program in the README is what a newcomer tries first.
readme_program_runs() {
	awk '/^```c$/ { f = 1; next } /^```$/ { f = 0 } f' "$source/README.md" >readme.c
	cc -Wall -Werror readme.c $(flags --cflags --libs) -Wl,-rpath,"$prefix/lib" -o readme || return 1
	./readme >out && grep -qx '127.0.0.1 localhost' out && grep -qx 'open /etc/hosts' out
}

check install_into_prefix "$prefix" "$2" | sed 's/into_prefix.*/into_prefix/' | tee state
grep -q OK state || exit 1
for language in c c++; do
	for linking in shared static; do
		check consumer $language $linking
	done
done
for name in headers_stand_alone headers_are_all_there shared_library_exports static_library_exports shared_library_has_soname \
	manual_is_installed examples_build readme_program_runs; do
	check $name
done
check command_runs_from_prefix "$1" "$2" | sed 's/from_prefix.*/from_prefix/' | tee state
grep -q OK state || failed=1
exit $failed
