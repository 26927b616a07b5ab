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

# A server at the port that is its argument, which answers with the name of its machine and says what it gets from itself.
serve_name='import http.server, os, sys, threading, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.uname().nodename.encode())
    def log_message(self, *args):
        pass
port = int(sys.argv[1])
server = http.server.HTTPServer(("127.0.0.1", port), Handler)
threading.Thread(target=server.serve_forever).start()
itself = urllib.request.urlopen("http://127.0.0.1:%d/" % server.server_port).read().decode()
# in one write, beside others that do the same
os.write(1, f"inside {os.uname().nodename} {itself} {server.server_port}\n".encode())'

# What a server at the port that is its argument answers.
get='import sys, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:%s/" % sys.argv[1]).read().decode())'

free_port='import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'

# wait_for COUNT PATTERN PID: until the output has so many such lines; fails when PID has ended without.
wait_for() {
	until [ "$(grep -c "$2" out)" -ge "$1" ]; do
		kill -0 "$3" 2>/dev/null || return 1
		sleep 0.05
	done
}

# Each sees the port that both asked for and reaches itself by it; from outside there are two others.
two_servers_one_port() {
	local port pid names outside r=1

	port=$(python3 -c "$free_port")
	"$bin/two_servers" "$port" python3 -c "$serve_name" "$port" >out 2>err &
	pid=$! status=running
	if wait_for 2 "^[12]: port $port is port " $pid && wait_for 2 '^inside ' $pid; then
		names=$(awk -v "port=$port" '$1 == "inside" && $2 == $3 && $4 == port { print $2 }' out | sort -u)
		outside=$(sed -n 's/^[12]: .* //p' out | while read -r real; do
			[ "$real" != "$port" ] && python3 -c "$get" "$real"
		done | sort -u)
		[ "$(echo "$names" | wc -l)" -eq 2 ] && [ "$names" = "$outside" ] && r=0
	fi
	kill $pid
	wait $pid 2>/dev/null
	[ $r -eq 0 ] || show
}

# A server that knows nothing of us; redis-tools has it under another name, without the package that starts a service.
two_servers_redis() {
	local port pid real r=1

	port=$(python3 -c "$free_port")
	ln -sf "$(command -v redis-check-rdb)" redis-server
	"$bin/two_servers" "$port" sh -c './redis-server --port "$0" --bind 127.0.0.1 --save "" >&2 &
		until redis-cli -p "$0" set name "$(uname -n)" >/dev/null 2>&1; do sleep 0.05; done
		echo "inside $(uname -n) $(redis-cli -p "$0" get name) $(redis-cli -p "$0" config get port | tail -n 1)"
		wait' "$port" >out 2>err &
	pid=$! status=running
	if wait_for 2 "^[12]: port $port is port " $pid && wait_for 2 '^inside ' $pid; then
		for real in $(sed -n 's/^[12]: .* //p' out); do
			[ "$real" != "$port" ] && redis-cli -p "$real" get name
		done >outside
		r=$(awk -v "port=$port" 'NR == FNR { seen[$1] = 1; next }
			$1 == "inside" && $2 == $3 && $4 == port && seen[$2]++ == 1 { n++ } END { print n != 2 }' outside out)
	fi
	kill $pid
	wait $pid 2>/dev/null
	[ "$r" -eq 0 ] || show
}

two_servers_end() {
	run two_servers 8080 sh -c 'exit 3'
	[ "$status" -eq 3 ] && [ ! -s out ] || { show; return 1; }
	run two_servers 80800 true
	[ "$status" -eq 125 ] && grep -q '^usage: ' err || { show; return 1; }
}

# Two servers outside: the one of the rule is reached, the other one, which could be without it, is not.
registry_alone() {
	local registry other pids r=1

	status=running
	: >out
	python3 -c "$serve_name" 0 >>out 2>err &
	pids=$!
	python3 -c "$serve_name" 0 >>out 2>>err &
	pids="$pids $!"
	if wait_for 2 '^inside ' $!; then
		# shellcheck disable=SC2046
		set -- $(awk '{ print $4 }' out)
		registry=$1 other=$2
		python3 -c "$get" "$other" >/dev/null || show
		run registry_job "$registry" python3 -c "$get" "$registry"
		[ "$status" -eq 0 ] && [ "$(cat out)" = "$(uname -n)" ] && [ ! -s err ] && r=0
		run registry_job "$registry" python3 -c "$get" "$other"
		[ "$status" -eq 1 ] && grep -q "^registry_job: refused: 127.0.0.1 port $other (python3" err || r=1
	fi
	# shellcheck disable=SC2086
	kill $pids
	# shellcheck disable=SC2086
	wait $pids 2>/dev/null
	[ $r -eq 0 ] || show
}

cases() {
	local who=$1 name

	for name in audit_python audit_refused audit_escapes audit_no_command deny_matching deny_creation harvest_outputs many_collects \
		many_nonsense two_servers_one_port two_servers_redis two_servers_end registry_alone; do
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
