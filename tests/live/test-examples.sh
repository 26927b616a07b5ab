#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test-examples.sh LIBRARY PROGRAM...: each example does what its first lines say, as whoever runs this and as an ordinary user.
set -u
failed=0
export PATH=/usr/local/bin:/usr/bin:/bin # where the system trees that the examples grant have programs

# check NAME CMD...: one case.
check() {
	local name=$1

	shift
	if "$@"; then
		echo "[       OK ] $name"
	else
		echo "[  FAILED  ] $name"
		failed=1
	fi
}

run() {
	local program=$1

	shift
	"$bin/$program" "$@" >out 2>err
	status=$?
}

# what the last run printed, for whoever reads the log
show() {
	echo "status $status"
	tail -n 5 out err
	return 1
}

audit_python() {
	run openat_audit -o log -- python3 -c 'import json; print(json.dumps([1]))'
	[ "$status" -eq 0 ] && [ "$(cat out)" = '[1]' ] || { show; return 1; }
	grep -Eq '^opened openat "[^"]*/json/[^"]*\.py[^"]*" O_RDONLY\|O_CLOEXEC -> fd [0-9]+ by carry-out, [0-9]+ /[^ ]*python3' log ||
		{ tail -n 5 log; return 1; }
}

# A file that is open to everybody but not granted. Outside it can be read.
audit_refused() {
	local file=/var/lib/dpkg/status

	cat "$file" >/dev/null || return 1
	run openat_audit -o log cat "$file"
	[ "$status" -eq 1 ] && grep -q "^failed openat \"$file\" O_RDONLY -> EACCES by carry-out" log || { show; return 1; }
}

audit_escapes() {
	run openat_audit -o log cat "$(printf 'a\nopened \033[31m')"
	grep -q '^failed openat "a\\x0aopened\\x20\\x1b\[31m"' log || { show; return 1; }
}

audit_no_command() {
	run openat_audit /nonexistent/command
	[ "$status" -eq 125 ] && grep -q '^openat_audit: exec: /nonexistent/command' err || { show; return 1; }
}

deny_matching() {
	echo text >secret.txt
	run deny_path 'other*' -- cat secret.txt
	[ "$status" -eq 0 ] && [ "$(cat out)" = text ] || { show; return 1; }
	run deny_path 'secret*' -- cat secret.txt
	[ "$status" -eq 1 ] && grep -q 'Permission denied' err && [ ! -s out ] || { show; return 1; }
	run deny_path "$PWD/secret.*" -- cat "$PWD/secret.txt"
	[ "$status" -eq 1 ] && grep -q 'Permission denied' err || { show; return 1; }
}

# Refused before the file exists, and made by an allowed open with the mode that the program's umask asks for.
deny_creation() {
	run deny_path 'new*' -- sh -c 'umask 027; echo x >new.txt; echo x >made.txt'
	[ ! -e new.txt ] && [ "$(stat -c %a made.txt)" = 640 ] || { show; return 1; }
}

harvest_outputs() {
	rm -rf src && mkdir src && echo in >src/in
	export XDG_STATE_HOME=$PWD/state
	run harvest src sh -c 'tr a-z A-Z <in >out'
	[ "$status" -eq 0 ] && grep -q '^1 outputs, 3 bytes$' out && [ "$(ls src)" = in ] || { show; return 1; }
	[ "$(tar xOf harvest.tar out 2>/dev/null)" = IN ] || { show; return 1; }
	run harvest src sh -c 'rm in'
	[ "$status" -eq 1 ] && grep -q '^D .* in$' out && [ -e src/in ] || { show; return 1; }
	run harvest src sh -c 'echo x >out; exit 7'
	[ "$status" -eq 7 ] && [ "$(ls src)" = in ] || { show; return 1; }
}

many_collects() {
	run many 64
	[ "$status" -eq 0 ] && grep -q '^64 of 64 good, 0 running, 64 notifications, 64 calls of uname$' out || { show; return 1; }
}

many_nonsense() {
	local n

	for n in 0 1001 x 4x -1 99999999999999999999; do
		run many "$n"
		[ "$status" -eq 125 ] && grep -q '^usage: ' err || { show; return 1; }
	done
}

cases() {
	local who=$1 name

	for name in audit_python audit_refused audit_escapes audit_no_command deny_matching deny_creation harvest_outputs many_collects \
		many_nonsense; do
		check "$name$who" "$name"
	done
}

if [ "${1-}" = --as-nobody ]; then
	bin=$2
	cases _unprivileged
	exit $failed
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/sluice-examples.XXXXXX")
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/bin" "$dir/work" "$dir/nobody"
chmod 755 "$dir" "$dir/bin"
cp "$1" "$dir/bin/$(basename "$1" | sed 's/\.so\..*/.so.0/')"
shift
cp "$@" "$dir/bin/"
cp "$0" "$dir/bin/cases.sh"
export LD_LIBRARY_PATH=$dir/bin
bin=$dir/bin
cd "$dir/work" || exit 1
cases ''
if [ "$(id -u)" -eq 0 ]; then
	chown 65534:65534 "$dir/nobody"
	cd "$dir/nobody" || exit 1
	HOME=$dir/nobody setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \
		bash "$bin/cases.sh" --as-nobody "$bin" || failed=1
fi
exit $failed
