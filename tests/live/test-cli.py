#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The sluice command from outside: exit statuses, flags, messages, signals, job control, reports, plugins.

test-cli.py [--as-nobody] SLUICE LIBRARY PLUGIN_DIR... [-- CASE...]

Runs as whoever calls it; --as-nobody copies what is needed and goes on as an ordinary user. Prints a line for each case as cmocka does.
"""
import errno
import fcntl
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback

WAIT = 20  # seconds until something that should come is missed
NOBODY = 65534
SLUICE = LIBRARY = None
PLUGINS = {}
CASES = []


def case(function):
    CASES.append(function)
    return function


def long_case(function):
    """One that runs where it is asked for by its name only."""
    function.long = True
    return case(function)


class Done:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"status {self.status}\nstdout {self.out!r}\nstderr {self.err!r}"


def check(condition, seen=""):
    if not condition:
        raise AssertionError(str(seen))


def bare(*argv, **more):
    p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=WAIT, text=True,
                       **{"stdin": subprocess.DEVNULL, **more})
    return Done(p.returncode, p.stdout, p.stderr)


def sluice(*argv, **more):
    return bare(SLUICE, *argv, **more)


# The host's root by a name that is not taken for that: the same files, in a tree of one's own.
ANOTHER_ROOT = "/usr/.."


def run(*argv, **more):
    return sluice("run", *argv, **more)


def sh(script, *flags, **more):
    return run(*flags, "--", "sh", "-c", script, **more)


def start(*argv, **more):
    return subprocess.Popen([SLUICE, "run", *argv], **{"text": True, "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                                                        "stderr": subprocess.PIPE, **more})


def wait_for(what, message):
    """Poll @what (which has no event of its own to wait for) until it is true."""
    end = time.monotonic() + WAIT
    while not what():
        check(time.monotonic() < end, message)
        time.sleep(0.005)


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rsplit(") ", 1)[1][0]
    except OSError:
        return None


def gone(pid):
    return state_of(pid) in (None, "Z", "X")


def line_of(p):
    line = p.stdout.readline()
    check(line, "no line: " + (p.stderr.read() if p.poll() is not None else ""))
    return line.strip()


def error_is(done, status, text, hint=None):
    """Exactly one line of error, and exactly the hint."""
    lines = done.err.splitlines()
    check(done.status == status and lines, done)
    check(lines[0].startswith("sluice: ") and re.search(text, lines[0]), done)
    check(len(lines) == (2 if hint else 1), done)
    if hint:
        check(lines[1].startswith("sluice: hint: ") and re.search(hint, lines[1]), done)


# ---- exit statuses ----


@case
def exit_status_is_the_commands():
    for n in (0, 1, 2, 42, 124, 125, 126, 127, 128, 200, 255):
        check(sh(f"exit {n}").status == n, n)


@case
def a_signal_is_128_and_its_number():
    for name in ("HUP", "INT", "QUIT", "ILL", "ABRT", "FPE", "KILL", "USR1", "SEGV", "PIPE", "ALRM", "TERM", "RTMAX"):
        n = getattr(signal, "SIG" + name)
        d = sh(f"ulimit -c 0; kill -{n} $$")
        check(d.status == 128 + n and not d.err, (name, d))


@case
def statuses_of_a_failed_exec_are_those_of_env():
    with tempfile.TemporaryDirectory(dir=".") as d:
        plain, script = os.path.abspath(d) + "/plain", os.path.abspath(d) + "/script"
        binary, text = os.path.abspath(d) + "/binary", os.path.abspath(d) + "/text"
        for path, body, mode in ((plain, b"x", 0o644), (script, b"#!/no/such/interpreter\n", 0o755),
                                 (binary, b"\x7fELF\x02junk" + b"\0" * 80, 0o755), (text, b"exit 5\n", 0o755)):
            with open(path, "wb") as f:
                f.write(body)
            os.chmod(path, mode)
        for argv in ([plain], [script], [d], [d + "/none"], ["no-such-program-at-all"], ["/dev/null"], [text]):
            e, s = bare("env", *argv), run("--", *argv)
            check(e.status == s.status, (argv, e, s))
        error_is(run("--", "no-such-program"), 127, "exec: no-such-program: not found in PATH")
        error_is(run("--", plain), 126, "exec: .*/plain: Permission denied", "granted for reading")
        error_is(run("--", ""), 127, 'exec: "": No such file')


@case
def our_own_failures_are_125():
    error_is(run(), 125, "run: no command", r"sluice run \[FLAGS\] -- CMD")
    error_is(run("--"), 125, "run: no command", "CMD")
    error_is(sluice("rum"), 125, "rum: no such command", "sluice run -- rum")
    check(sluice().status == 125)
    error_is(run("--cwd", "/no/such/directory", "--", "true"), 125, "working directory.*: No such file")


# ---- flags ----


@case
def every_message_of_a_bad_flag():
    bad = [
        (["--nmae", "x"], "--nmae: no such flag", "did you mean --name"),
        (["--quux", "x"], "--quux: no such flag", "sluice help run"),
        (["-Z"], "-Z: no such flag", "sluice help run"),
        (["--" + "y" * 300], "--y+: no such flag", "sluice help run"),
        (["--name"], "--name: its value is missing", "write --name NAME"),
        (["--name", "--"], "--name: its value is missing", "write --name NAME"),
        (["--name", "--quiet"], "--name: its value is missing", "--name=NAME"),
        (["-t"], "--timeout: its value is missing", "TIME"),
        (["--quiet=yes"], "--quiet: takes no value, yes was given", None),
        (["--name", "a b"], "--name: name: a b: has a byte", "letters, digits"),
        (["--name="], "--name: name: empty", None),
        (["--name", "n" * 65], "--name: name: n+: longer than 64", None),
        (["--name", "a\nb\x1b[2J"], r"--name: name: a\\x0ab\\x1b\[2J: has a byte", "letters"),
        (["-t", "soon"], "--timeout: soon: not a duration", "2m"),
        (["-t-1"], "--timeout: -1: not a duration", "2m"),
        (["-t", "99999999999999999999"], "--timeout: 9+: too large", None),
        (["-t", "18446744073709551616d"], "--timeout: .*: too large", None),
        (["--max-open-files", "0"], "--max-open-files: 0: ", None),
        (["--max-open-files", "many"], "--max-open-files: many: not a number", None),
        (["--max-open-files", "18446744073709551616"], "--max-open-files: .*: too large", None),
        (["--max-open-files", "4294967296"], "--max-open-files: .*more than any kernel", "ulimit -Hn"),
        (["-m", "lots"], "--max-memory: lots: not a size", None),
        (["-m", "5K"], "--max-memory: memory: 5120 bytes: no program", "1M is the least"),
        (["-P", "x"], "--max-processes: x: not a number", None),
        (["-P", "4194305"], "--max-processes: processes: 4194305: more than any kernel", "0 is no limit"),
        (["-c", "half"], "--cpu: half: not a percentage", None),
        (["-c", "50%%"], "--cpu: 50%%: not a percentage", None),
        (["--cpu", "102401"], "--cpu: CPU: 102401 %: more than any machine", "100 is one"),
        (["--random-seed", "-1"], "--random-seed: its value is missing|--random-seed: -1: not a number", None),
        (["--random-seed=x"], "--random-seed: x: not a number", None),
        (["--cpu-cores", "0,x"], "--cpu-cores: CPU cores: 0,x: column 3", "0-3,6"),
        (["--env", "NOVALUE"], "--env: environment: NOVALUE: no '='", "KEY=VALUE"),
        (["--env", "=x"], "--env: environment: =x: empty key", None),
        (["-r", ""], "--fs-read: read grant: empty path", None),
        (["-w", "/" + "x" * 4096], "write grant: .*File name too long$", None),
        (["--cwd", ""], "--cwd: working directory: empty", None),
        (["--proc", "none"], "--proc: none: not own or host", None),
        (["--num-cpus", "0"], "--num-cpus: 0: a command needs at least one", None),
        (["--num-cpus", "1025"], "--num-cpus: 1025: too large", "1 to 1024"),
        (["--num-cpus", "-1"], "--num-cpus: -1: not a number of CPUs", "1 to 1024"),
        (["--proc", "host", "--num-cpus", "1"], "number of CPUs: the host's /proc", "--proc own"),
        (["--net-resolve", "often"], "--net-resolve: often: not pinned or live", None),
        (["--net-name-server", "dns.test"], "--net-name-server: dns.test: column 1: not the address of a server", "10.0.0.53"),
        (["--net-name-server", "::1:x:y"], "--net-name-server: ::1:x:y: column 1: not the address", "10.0.0.53"),
        (["--net-name-server", "10.0.0.53:0"], "--net-name-server: 10.0.0.53:0: column 11: not a port", "10.0.0.53"),
        (["--net-name-server", "127.0.0.1:1", "--net-allow", "x.test"], "network: x.test: no answer", "--net-name-server"),
        (["--dispatch", "fast"], "--dispatch: fast: no such mode", "adaptive, pool, inline"),
        (["--workers", "4"], "--workers: 4: not MIN:MAX", "0:4"),
        (["--workers", "4:2"], "--workers: 4:2: not MIN:MAX", "MIN <= MAX"),
        (["--workers", "0:0"], "--workers: 0:0", "1 <= MAX"),
        (["--workers", "0:257"], "--workers: 0:257", "256"),
        (["--extra-deny-syscall", "openx"], "system call: openx: no such call", "syscalls"),
        (["--extra-deny-syscall", "@nothing"], "--extra-deny-syscall: .*@nothing", "@io_uring"),
        (["--extra-allow-syscall", "clone3"], "--extra-allow-syscall: .*clone3: can't be allowed", "fall back to clone"),
        (["--allow-degraded", "fs"], "--allow-degraded: feature: fs: not known", "fs-refer"),
        (["--disable", "net"], "--disable: feature: net: not known", "net-tcp"),
        (["--trace="], "--trace: empty file name", None),
        (["--stats="], "--stats: empty file name", None),
        (["--trace", "/no/such/dir/x"], "--trace: /no/such/dir/x: No such file", None),
        (["--stats=/no/such/dir/x"], "--stats: /no/such/dir/x: No such file", None),
        (["--status-fd", "x"], "--status-fd: x: not the number of a descriptor", None),
        (["--status-fd", "99"], "--status-fd: 99: Bad file descriptor", "99>FILE"),
        (["--plugin", ""], "--plugin: : no file name", "FILE.so"),
        (["--plugin", ":x"], "--plugin: :x: no file name", "FILE.so"),
        (["--plugin", "/no/such.so"], "--plugin: /no/such.so: cannot open shared object", None),
        (["-r", "/no/such/tree"], "read grant: /no/such/tree: No such file", "create it first"),
        (["-w", "/no/such/tree"], "write grant: /no/such/tree: No such file", "create it first"),
        (["-e", "true"], "--exec-shell: touch: a command was given too", "drop one"),
    ]
    for flags, text, hint in bad:
        marker = os.path.abspath("ran")
        d = run(*flags, "--", "touch", marker)
        if flags[-1] == "--":
            d = run(*flags)
        error_is(d, 125, text, hint)
        check(not os.path.exists(marker), f"{flags}: the command ran")
    d = run("--quiet", "--nmae", "x")
    check(d.status == 125 and len(d.err.splitlines()) == 1, d)


@case
def spellings_of_flags():
    for flags in (["--name=box"], ["--name", "box"], ["--name", "x", "--name=box"]):
        check(run(*flags, "--", "uname", "-n").out == "box\n", flags)
    for flags in (["-t5"], ["-t", "5"], ["--timeout=5s"], ["--timeout", "5000ms"], ["-t0"]):
        check(run(*flags, "true").status == 0, flags)
    check(run("echo", "--name", "x").out == "--name x\n", "flags of the command")
    check(run("--", "--", "x").status == 127)
    check(run("-e", "echo $0; exit 3").status == 3)
    check(run("-eexit 4").status == 4)


@case
def help_shows_every_flag_and_default():
    text = sluice("help", "run").out
    for spelling in (("run", "--help"), ("run", "-h")):
        check(sluice(*spelling).out == text, spelling)
    entries = re.split(r"\n(?=  (?:-|    --))", text.split("Flags:\n")[1].split("\n\n")[0])
    check(len(entries) == 55, len(entries))
    for e in entries:
        check("(default: " in " ".join(e.split()), e)
    check(max(map(len, text.splitlines())) <= 88, "width")
    top = sluice("--help")
    check(top.status == 0 and " run " in top.out and " check " in top.out, top)
    check(sluice("help").out == top.out)
    check(re.fullmatch(r"sluice \d+\.\d+\.\d+ \(libsluice \d+\.\d+\.\d+\)\n", sluice("--version").out))
    error_is(sluice("help", "rum"), 125, "rum: no such command", "lists them")


@case
def grants_are_what_the_flags_say():
    with tempfile.TemporaryDirectory(dir=".") as d:
        d = os.path.abspath(d)
        os.mkdir(d + "/ro")
        os.mkdir(d + "/rw")
        script = f"(echo x >{d}/ro/x) && echo ro; (echo x >{d}/rw/x) && echo rw"
        check(bare("sh", "-c", script).out == "ro\nrw\n", "bare")
        check(sh(script).out == "ro\nrw\n", "the current directory is granted by default")
        flags = ["-r", "/usr", "-r/bin", "-r/lib", "-r/etc"] + (["-r", "/lib64"] if os.path.exists("/lib64") else [])
        check(sh(script, *flags, "-r", d, "-w", d + "/rw").out == "rw\n", "granted")
        check(sh(f"cat {d}/rw/x", *flags).status == 1, "not granted")
        check(sh(f"cat {d}/rw/x", *flags, f"--fs-read={d}").status == 0)
        check(sh("echo x >/dev/null", *flags).status == 0, "default devices")
        check(sh("echo x >/dev/null", *flags, "--no-default-devices").status != 0, "no default devices")


@case
def a_read_only_place_stays_so_by_default():
    probe = "/usr/sluice-cli-test"
    if os.geteuid() == 0:
        check(bare("sh", "-c", f"touch {probe} && rm {probe}").status == 0, "bare")
    d = sh(f"touch {probe}")
    check(d.status == 1 and "Permission denied" in d.err, d)


@case
def environment_and_directory():
    env = {"PATH": os.environ["PATH"], "A": "1", "B": "2"}
    check("A=1\n" in run("env", env=env).out)
    d = run("--env", "A=3", "--env=C=x=y", "--env", "B=", "env", env=env).out.splitlines()
    check("A=3" in d and "C=x=y" in d and "B=" in d and "A=1" not in d, d)
    d = run("--clean-env", "--env", "Z=9", "env", env=env).out.splitlines()
    check(sorted(x.split("=")[0] for x in d) == ["PATH", "Z"], d)
    check(run("--cwd", "/usr", "pwd").out == "/usr\n")
    check(run("--cwd=/usr/lib", "--cwd", "..", "sh", "-c", "pwd -P", cwd="/usr/lib").out == "/usr\n", "last one, relative")
    check(run("pwd").out.strip() == os.getcwd())


@case
def limit_of_open_files():
    check(sh("ulimit -n", "--max-open-files", "64").out == "64\n")
    check(sh("ulimit -n").out == bare("sh", "-c", "ulimit -n").out)


@case
def system_calls_denied_and_allowed():
    script = "import os; os.sync(); print('synced')"
    check(run("python3", "-c", script).out == "synced\n")
    probe = "import ctypes, sys; l = ctypes.CDLL(None, use_errno=True); r = l.mkdir(b'made', 0o700); print(r, ctypes.get_errno())"
    check(run("python3", "-c", probe).out == "0 0\n")
    os.rmdir("made")
    check(run("--extra-deny-syscall", "mkdir", "python3", "-c", probe).out == f"-1 {errno.EPERM}\n")
    check(run("--extra-deny-syscall", "mkdir", "--extra-allow-syscall=mkdir", "python3", "-c", probe).out == "0 0\n")
    os.rmdir("made")
    probe = "import ctypes; l = ctypes.CDLL(None, use_errno=True); l.ptrace(99, 0, 0, 0); print(ctypes.get_errno())"
    check(run("python3", "-c", probe).out == f"{errno.EPERM}\n")
    if not os.environ.get("SLUICE_TEST_CONTAINER"):  # whose filter refuses it too
        check(run("--extra-allow-syscall", "@ptrace", "python3", "-c", probe).out != f"{errno.EPERM}\n")


@case
def interfaces_and_names_beside_rules_of_the_network():
    if os.environ.get("SLUICE_TEST_CONTAINER"):  # no socket of the command's can be had
        return
    script = "import socket; print(socket.if_nameindex())"
    check(bare("python3", "-c", script).status == 0)
    check("PermissionError" in run("python3", "-c", script).err)
    check(run("--net-allow", "127.0.0.1:1", "python3", "-c", script).out == "[(1, 'lo')]\n")
    os.mkdir("etc")
    with open("etc/nsswitch.conf", "w", encoding="utf-8") as f:
        f.write("hosts: files\n")
    mount = ("--fs-mount", f"/etc:{os.path.abspath('etc')}:ro", "-r", "/")
    script = ("import socket; "
              "print(sorted({a[4][0] for a in socket.getaddrinfo('localhost', 1, socket.AF_INET, 0, 0, socket.AI_ADDRCONFIG)}))")
    check("gaierror" in run(*mount, "--net-allow", "127.0.0.1:1", "python3", "-c", script).err)
    check(run(*mount, "--net-allow", "localhost:1", "python3", "-c", script).out == "['127.0.0.1']\n")
    shutil.rmtree("etc")


@case
def modes_of_dispatch():
    for mode in ("adaptive", "pool", "inline"):
        check(run("--dispatch", mode, "--workers=1:2", "--name", mode, "uname", "-n").out == mode + "\n", mode)
    check(run("--disable", "net-tcp", "--allow-degraded=fs-refer", "true").status == 0)


# ---- as exec does ----


@case
def descriptors_are_inherited():
    r, w = os.pipe()
    os.set_inheritable(w, True)
    d = sh(f"echo through >&{w}", pass_fds=[w])
    os.close(w)
    with os.fdopen(r) as f:
        check(f.read() == "through\n" and d.status == 0, d)
    listing = "import os; print(sorted(int(x) for x in os.listdir('/proc/self/fd')))"
    check(run("python3", "-c", listing).out == bare("python3", "-c", listing).out, "nothing of ours leaks in")
    with open("kept", "w", encoding="utf-8") as kept:
        flags = ["--trace", "t.json", "--stats=s.json", "--status-fd", str(kept.fileno())]
        d = run(*flags, "python3", "-c", listing, pass_fds=[kept.fileno()])
        check(d.out == bare("python3", "-c", listing).out, d)


@case
def closed_standard_descriptors_stay_closed():
    listing = "ls -l /proc/self/fd | wc -l"
    for closed in ("<&-", ">&-", "2>&-", "<&- 2>&-"):
        script = f"exec 3>&1; \"$@\" sh -c 'for n in 0 1 2; do [ -e /proc/self/fd/$n ] && echo $n >&3; done' {closed}; :"
        b = bare("sh", "-c", script, "sh", "env")
        s = bare("sh", "-c", script, "sh", SLUICE, "run", "--trace=t.json", "--stats=s.json", "--")
        check(b.out == s.out, (closed, b, s))
    check(sh(listing).status == 0)


@case
def standard_input_and_pipelines():
    d = run("cat", stdin=None, input="text\n")
    check(d.out == "text\n", d)
    d = bare("sh", "-c", f"printf '%s\\n' b a c | {SLUICE} run sort | {SLUICE} run -- sed s/a/A/")
    check(d.out == "A\nb\nc\n", d)
    d = bare("sh", "-c", f"{SLUICE} run -- yes | head -n 2; printf 'x y' | xargs -n1 {SLUICE} run echo")
    check(d.out == "y\ny\nx\ny\n" and not d.err, d)


@case
def a_closed_pipe_ends_the_command_as_bare():
    script = "set -o pipefail; %s yes | head -n 1 >/dev/null; echo ${PIPESTATUS[0]}"
    check(bare("bash", "-c", script % "").out == bare("bash", "-c", script % f"{SLUICE} run --").out == "141\n")


@case
def umask_group_session_and_ignored_signals():
    script = "umask; ps -o pgid=,sid=,tty= -p $$; grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status"
    python = ("import os, signal, subprocess, sys; os.umask(0o27); signal.signal(signal.SIGHUP, signal.SIG_IGN); "
              "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]); os.execvp(sys.argv[1], sys.argv[1:])")
    b = bare("python3", "-c", python, "sh", "-c", script)
    s = bare("python3", "-c", python, SLUICE, "run", "--", "sh", "-c", script)
    check(b.out == s.out and "0027" in b.out, (b, s))


@case
def in_make_with_its_job_server():
    with open("Makefile.test", "w", encoding="utf-8") as f:
        f.write("all: a b c\na b c:\n\t@%s run -- sh -c 'echo $@'\n" % SLUICE +
                "sub:\n\t+@%s run -- $(MAKE) -f Makefile.test all\n" % SLUICE)
    d = bare("make", "-f", "Makefile.test", "-j2")
    check(sorted(d.out.split()) == ["a", "b", "c"] and d.status == 0, d)
    d = run("make", "-f", "Makefile.plain", "-j2")
    check(d.status == 2, d)


# ---- time and signals ----


def daemons(script_end):
    """A command that leaves double-forked daemons in sessions of their own, and prints their pids."""
    return ["python3", "-c", """
import os, signal, sys, time
r, w = os.pipe()
for i in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(w, b"%d\\n" % os.getpid())
            time.sleep(1000)
        os._exit(0)
pids = b""
while pids.count(b"\\n") < 3:
    pids += os.read(r, 100)
print(pids.decode().replace("\\n", " "), os.getpid(), flush=True)
""" + script_end]


@case
def a_timeout_kills_the_whole_tree():
    p = start("-t", "1.5", "--", *daemons("time.sleep(1000)"))
    pids = line_of(p).split()
    check(len(pids) == 4 and not any(map(gone, pids)), pids)
    check(p.wait(WAIT) == 124)
    check(all(map(gone, pids)), pids)
    err = p.stderr.read()
    check(err == "sluice: timeout: python3: not done within 1.5: killed\n", err)
    check(run("-t", "100ms", "--quiet", "sleep", "100").err == "")


@case
def what_the_command_leaves_is_killed():
    p = start(*daemons("sys.exit(7)"))
    pids = line_of(p).split()
    check(p.wait(WAIT) == 7)
    check(all(map(gone, pids)), pids)


@case
def signals_are_forwarded():
    for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "ALRM", "WINCH", "CONT"):
        p = start("--", "python3", "-c", f"""
import signal, sys, os, time
signal.signal(signal.SIG{name}, lambda n, f: (os.write(1, b"got %d\\n" % n), os._exit(9)))
print("ready", flush=True)
while True: time.sleep(0.05)""")
        check(line_of(p) == "ready")
        p.send_signal(getattr(signal, "SIG" + name))
        check(p.wait(WAIT) == 9, name)
        check(line_of(p) == f"got {getattr(signal, 'SIG' + name)}")


@case
def an_unhandled_signal_ends_command_and_us():
    for name in ("TERM", "INT", "HUP", "USR1"):
        p = start("--", "sh", "-c", "echo ready; exec sleep 1000")
        check(line_of(p) == "ready")
        p.send_signal(getattr(signal, "SIG" + name))
        check(p.wait(WAIT) == 128 + getattr(signal, "SIG" + name), name)


STUBBORN = ["python3", "-c", """
import signal, os, time
def note(n, f): os.write(1, b"got\\n")
for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(s, note)
os.write(1, b"ready %d\\n" % os.getpid())
while True: time.sleep(0.05)"""]


@case
def a_second_signal_kills_the_tree():
    p = start("--status-fd", "2", "--", *STUBBORN)
    pid = line_of(p).split()[1]
    p.send_signal(signal.SIGTERM)
    check(line_of(p) == "got")
    time.sleep(0.15)  # longer than what counts as the same wish
    p.send_signal(signal.SIGINT)
    check(p.wait(3) == 137, "before the grace period is over")
    check(gone(pid))
    check(json.loads(p.stderr.read())["end"] == "killed")


@case
def a_grace_period_kills_the_tree():
    p = start("--", *STUBBORN)
    line_of(p)
    begin = time.monotonic()
    p.send_signal(signal.SIGHUP)
    check(p.wait(WAIT) == 137)
    check(4.5 < time.monotonic() - begin < 12, time.monotonic() - begin)


@case
def the_same_signal_to_process_and_group_is_one():
    p = start("--", *STUBBORN, start_new_session=True)
    line_of(p)
    os.kill(p.pid, signal.SIGTERM)
    os.killpg(p.pid, signal.SIGTERM)
    check(line_of(p) == "got")
    time.sleep(0.3)
    check(p.poll() is None, "was killed at once")
    time.sleep(0.1)
    p.send_signal(signal.SIGTERM)
    check(p.wait(3) == 137)


@case
def under_timeout_of_coreutils():
    check(bare("timeout", "0.5", SLUICE, "run", "sleep", "1000").status == 124)
    check(bare("timeout", "-s", "INT", "--preserve-status", "0.5", SLUICE, "run", "--", "sleep", "1000").status == 130)


@case
def killed_outright_nothing_is_left():
    p = start("--", *daemons("time.sleep(1000)"))
    pids = line_of(p).split()
    check(not any(map(gone, pids)), pids)
    p.kill()
    check(p.wait(WAIT) == -signal.SIGKILL)
    wait_for(lambda: all(map(gone, pids)), "left behind")


# ---- terminals ----


class Terminal:
    """A shell of the test's own on a pseudo terminal: a session leader that runs what it is told."""

    def __init__(self, *argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a runner in the background ignores them
            signal.signal(signal.SIGQUIT, signal.SIG_DFL)
            os.execvp(argv[0], argv)
        self.seen = ""

    def expect(self, pattern):
        end = time.monotonic() + WAIT
        while True:
            m = re.search(pattern, self.seen)
            if m:
                self.seen = self.seen[m.end():]
                return m
            left = end - time.monotonic()
            check(left > 0 and select.select([self.fd], [], [], left)[0], f"no {pattern!r} in {self.seen!r}")
            try:
                text = os.read(self.fd, 4096).decode(errors="replace")
            except OSError:
                text = ""
            check(text, f"closed, no {pattern!r} in {self.seen!r}")
            self.seen += text

    def send(self, text):
        os.write(self.fd, text.encode())

    def close(self):
        os.close(self.fd)
        end = time.monotonic() + WAIT
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.01)


def bash():
    t = Terminal("bash", "--norc", "--noprofile", "-i")
    t.send("PS1='out''> '; PS2=; stty -echo\n")
    t.expect("out> ")
    return t


@case
def the_terminal_is_inherited():
    t = bash()
    t.send(f"{SLUICE} run -- sh -c 'tty; ps -o tpgid=,pgid= -p $$; stty size' ; tty\n")
    name, front, group = t.expect(r"(/dev/pts/\d+)\s+(\d+)\s+(\d+)").groups()
    check(front == group, (front, group))
    t.expect(r"\d+ \d+\s+" + name)
    t.close()


@case
def control_c_reaches_the_command_once_and_no_more():
    t = bash()
    # waits on the wake-up descriptor too: a signal that comes just before a read would only be seen after it
    program = """import os, select, signal
n = 0
def note(s, f):
    global n
    n += 1
    os.write(1, b"int %d\\n" % n)
r, w = os.pipe()
os.set_blocking(w, False)
signal.set_wakeup_fd(w)
signal.signal(signal.SIGINT, note)
os.write(1, b"ready\\n")
while True:
    fds = select.select([0, r], [], [])[0]
    if r in fds:
        os.read(r, 100)
    if 0 in fds:
        if not os.read(0, 100):
            break
        os.write(1, b"line %d\\n" % n)
"""
    with open("ints.py", "w", encoding="utf-8") as f:
        f.write(program)
    t.send(f"{SLUICE} run -- python3 ints.py; echo status $?\n")
    t.expect("ready")
    for i in (1, 2, 3):
        t.send("\x03")
        t.expect(f"int {i}")
        time.sleep(0.15)
    t.send("x\n")
    t.expect("line 3")
    t.send("\x04")
    t.expect("status 0")
    t.expect("out> ")
    t.send(f"{SLUICE} run -- sh -c 'echo ready; exec sleep 1000'\n")
    t.expect("ready")
    t.send("\x03")
    t.expect("out> ")
    t.send("echo status $?\n")
    t.expect("status 130")
    t.close()


@case
def a_shell_inside_has_job_control():
    t = bash()
    t.send(f"{SLUICE} run -- bash --norc --noprofile -i; echo status $?\n")
    t.expect(r"bash[^\n]*[$#] ")
    check("no job control" not in t.seen, t.seen)
    t.send("PS1='in''> '\n")
    t.expect("in> ")
    t.send("stty -echo; cat\n")
    t.send("one\n")  # comes back once cat has the terminal
    t.expect("one\r\n")
    t.send("\x1a")
    t.expect(r"Stopped\s+cat")
    t.expect("in> ")
    t.send("fg\n")
    t.send("two\n")
    t.expect("two\r\n")
    t.send("\x03")
    t.expect("in> ")
    t.send("exit 5\n")
    t.expect(r"status 5")
    t.expect("out> ")
    t.close()


@case
def control_z_stops_and_fg_goes_on():
    t = bash()
    with open("stops.py", "w", encoding="utf-8") as f:
        f.write("import signal, os, sys\nsignal.signal(signal.SIGCONT, lambda s, f: os.write(1, b'continued\\n'))\n"
                "os.write(1, b'ready %d\\n' % os.getpid())\n"
                "for line in sys.stdin: os.write(1, b'got ' + line.encode())\n")
    t.send(f"{SLUICE} run -- python3 stops.py; echo status $?\n")
    pid = t.expect(r"ready (\d+)").group(1)
    t.send("\x1a")
    t.expect(r"Stopped")
    t.expect("out> ")
    check(state_of(pid) == "T", state_of(pid))
    t.send("fg\n")
    t.expect("continued")
    t.send("hello\n")
    check("continued" not in t.expect("(?s)(.*)got hello").group(1), "continued twice")
    t.send("\x04")
    t.expect("out> ")
    t.close()


@case
def a_command_that_stops_itself_stops_the_job():
    t = bash()
    t.send(f"{SLUICE} run -- sh -c 'echo here; kill -STOP $$; echo again; exit 3'\n")
    t.expect("here")
    t.expect("Stopped")
    t.send("fg\n")
    t.expect("again")
    t.expect("out> ")
    t.send("echo status $?\n")
    t.expect("status 3")
    t.send("true\n")
    t.close()


@case
def a_dead_groups_terminal_is_given_back():
    program = ("import os, signal; os.setpgid(0, 0); signal.signal(signal.SIGTTOU, signal.SIG_IGN); "
               "os.tcsetpgrp(0, os.getpid()); os.kill(os.getpid(), 9)")
    front = "import os; print('front', os.tcgetpgrp(0) == os.getpgrp())"
    # the shell of a script has no job control and does not take the terminal back itself
    t = Terminal("sh", "-c", f"{SLUICE} run -- python3 -c '{program.replace(chr(39), '')}'; python3 -c \"{front}\"")
    t.expect("front True")
    t.close()


@case
def a_hang_up_ends_a_session_leaders_command():
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(SLUICE, [SLUICE, "run", "--", "sh", "-c", "echo ready $$; exec sleep 1000"])
    text = b""
    while b"\n" not in text:
        text += os.read(fd, 100)
    command = re.search(rb"ready (\d+)", text).group(1).decode()
    os.close(fd)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    check(status == 129, status)
    check(gone(command))


@case
def forwarded_stop_without_a_terminal():
    p = start("--", "sh", "-c", "echo ready; read x; echo $x", stdin=subprocess.PIPE,
              process_group=0)  # the kernel stops nobody in an orphaned group
    check(line_of(p) == "ready")
    p.send_signal(signal.SIGTSTP)
    wait_for(lambda: state_of(p.pid) == "T", "not stopped")
    p.send_signal(signal.SIGCONT)
    p.stdin.write("on\n")
    p.stdin.flush()
    check(line_of(p) == "on" and p.wait(WAIT) == 0)


@case
def stop_and_continue_inside_leaves_us_running():
    d = sh("(sleep 0.2; kill -CONT $$) & kill -STOP $$; uname -n", "--name", "box")
    check(d.out == "box\n", d)


# ---- reports ----


def with_status(*argv):
    r, w = os.pipe()
    d = run("--status-fd", str(w), *argv, pass_fds=[w])
    os.close(w)
    with os.fdopen(r) as f:
        text = f.read()
    check(text.endswith("\n") and text.count("\n") == 1, text)
    return d, json.loads(text)


@case
def status_line_of_every_end():
    d, s = with_status("--name", "box", "--", "sh", "-c", "uname; exit 4")
    check(d.status == 4 and s["end"] == "exit" and s["exit_code"] == 4 and s["name"] == "box" and s["signal"] == 0, s)
    check(s["notifications"] == 1 and s["denied"] == 0 and 0 < s["wall_ms"] < 20000 and s["max_rss_kib"] > 100, s)
    _, s = with_status("--", "sh", "-c", "kill -9 $$")
    check(s["end"] == "signal" and s["exit_code"] == 137 and s["signal"] == 9, s)
    _, s = with_status("--quiet", "-t", "0.1", "sleep", "100")
    check(s["end"] == "timeout" and s["exit_code"] == 124 and s["wall_ms"] >= 100, s)
    for argv, status, text in ((["--", "/none"], 127, "exec: /none"), (["-r", "/none", "true"], 125, "read grant"),
                               (["--name", "box"], 125, "no command"), (["--name", "box", "--nope"], 125, "no such flag"),
                               (["--", "/dev/null"], 126, "exec")):
        d, s = with_status(*argv)
        check(d.status == status and s["end"] == "failed" and s["exit_code"] == status and text in s["error"], s)
    d, s = with_status("--name", "box", "--", "/no/\x1b\"quote\\\n")
    check(d.status == 127 and s["name"] == "box" and "quote" in s["error"], s)


@case
def status_descriptor_is_not_the_commands():
    r, w = os.pipe()
    d = sh(f"echo forged >&{w}", "--status-fd", str(w), pass_fds=[w])
    os.close(w)
    with os.fdopen(r) as f:
        check("forged" not in f.read() and d.status != 0, d)
    d = sh("echo out", "--status-fd", "1")
    check(d.out.splitlines()[0] == "out" and json.loads(d.out.splitlines()[1])["end"] == "exit", d)


@case
def statistics():
    d = sh("uname; uname; exit 6", "--stats")
    check(d.status == 6 and d.out == "Linux\nLinux\n", d)
    check(re.search(r"^sluice: \S+: 5 calls supervised, 0 denied, in [\d.]+ of [\d.]+ ms \([\d.]+ %\)$", d.err, re.M), d)
    row = re.search(r"^uname +2 +0 +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)%$", d.err, re.M)
    check(row and 0 < float(row.group(1)) <= float(row.group(2)) <= float(row.group(3)) * 1.13, d)
    row = re.search(r"^uname +\d+ +\d+ +[\d.]+ +([\d.]+) +[\d.]+ +[\d.]+ +2 +[\d.]+$", d.err, re.M)  # uname and its exit
    check(row and float(row.group(1)) > 0, d)
    check(not re.search(r"^chmod ", d.err, re.M), d)
    check(run("--stats=s.json", "uname").err == "")
    with open("s.json", encoding="utf-8") as f:
        s = json.load(f)
    check(s["run"]["end"] == "exit" and s["notifications"] == 2, s)
    calls = {c["name"]: c for c in s["calls"]}
    check(calls["uname"]["count"] == 1 and calls["uname"]["p50_us"] > 0 and calls["uname"]["supervised_us"] > 0, s)
    check(next(h for h in s["handlers"] if h["name"] == "uname")["builtin"], s)
    check([(p["name"], p["calls"], p["whole"]) for p in s["processes"]] == [("uname", 2, True)], s)
    check(sh("uname", "--stats", "s.txt").err == "")
    with open("s.txt", encoding="utf-8") as f:
        check(re.search(r"^uname +1 ", f.read(), re.M))
    d = run("--stats", "echo", "s.txt")
    check(d.out == "s.txt\n" and "calls supervised" in d.err, d)


@case
def traces():
    d = run("--trace", "-", "uname")
    check(re.search(r"^\d+ uname .*= 0 \(continue by sluice, [\d.]+ us\)$", d.err, re.M), d)
    check(sh("uname; uname", "--trace=t.json").err == "")
    with open("t.json", encoding="utf-8") as f:
        events = json.load(f)
    calls = [e for e in events if e["ph"] == "X"]
    check([e["name"] for e in calls] == ["uname", "uname"], events)
    check(all(e["dur"] > 0 and e["ts"] > 0 and e["tid"] > 0 and e["args"]["verdict"] for e in calls), calls)
    check(calls[0]["ts"] + calls[0]["dur"] <= calls[1]["ts"], calls)


@case
def verbose_says_start_and_end():
    d = run("--verbose", "--name", "box", "true")
    check(re.fullmatch(r"sluice: box: true: process \d+\n"
                       r"sluice: box: exit, exit status 0, after [\d.]+ s, \d+ calls supervised, \d+ denied\n", d.err), d)


# ---- the machine ----


def has(program):
    return shutil.which(program) is not None


@case
def programs_see_one_machine():
    for flags in ([], ["--chroot", ANOTHER_ROOT, "--fs-mount", "/sys:/sys:ro"]):
        flags = [*flags, "--name", "box", "--num-cpus", "3"]  # and with it --proc own
        check(sh("nproc", *flags).out == "3\n")
        check(sh("cat /etc/hostname /proc/sys/kernel/hostname; uname -n", *flags).out == "box\n" * 3)
        d = run(*flags, "python3", "-c", "import os; print(os.cpu_count(), len(os.sched_getaffinity(0)))")
        check(d.out == "3 3\n", d)
        if has("lscpu"):
            d = run(*flags, "lscpu")
            check(re.search(r"^CPU\(s\): +3$", d.out, re.M), d)
        if has("make"):
            check(sh("echo 'all: ; @echo $(MAKEFLAGS)' > m; make -s -f m -j$(nproc)", *flags).out.split()[:2] == ["s", "-j3"])
        if has("ps"):
            d = sh("sleep 100 & ps -e -o comm=; kill $!", *flags)
            check(sorted(d.out.split()) == ["ps", "sh", "sleep"], d)
            d = sh("top -b -n1 | tail -n +8", *flags)
            check(sorted(line.split()[-1] for line in d.out.splitlines()) == ["sh", "tail", "top"], d)
            d = sh("sleep 100 & pgrep -x sleep; echo $!; kill $!", *flags)
            check(len(set(d.out.split())) == 1, d)
        if has("free"):
            total = sh("free -k | awk '/Mem:/ { print $2 }'; awk '/MemTotal/ { print $2 }' /proc/meminfo", *flags).out.split()
            check(len(total) == 2 and total[0] == total[1], total)


@case
def names_in_proc_are_those_of_the_sandbox():
    hosts = sorted(n for n in os.listdir("/proc") if not n.isdigit())
    d = sh("ls /proc", "--proc", "host")
    check(str(os.getpid()) in d.out.split(), d)
    check(str(os.getpid()) in sh("ls /proc").out.split())
    for flags in (["--proc", "own"], ["--proc", "own", "--chroot", "/"], ["--chroot", ANOTHER_ROOT]):
        d = sh("ls -U /proc; echo $$", *flags)
        numbers = [int(n) for n in d.out.split() if n.isdigit()]
        names = [n for n in d.out.split() if not n.isdigit()]
        check(len(numbers) == 3 and numbers.count(numbers[-1]) == 2 and str(os.getpid()) not in d.out.split(), d)
        check(set(names) < set(hosts) and {"self", "meminfo", "sys", "net"} < set(names), d)
        check(not {"kcore", "kallsyms", "keys", "kmsg", "modules"} & set(names), d)
        d = sh("find /proc -maxdepth 1 -name meminfo; head -c 9 /etc/mtab >/dev/null && echo read", *flags)
        check(d.out == "/proc/meminfo\nread\n", d)


# ---- plugins ----


@case
def a_removed_directory_has_no_name():
    script = "import os; os.chdir('b'); os.rmdir('../b'); {}\ntry: print(os.getcwd())\nexcept OSError as e: print(e.errno)"
    if no_descriptors():
        return
    for more in ("", "os.mkdir('../b')"):  # another one of its name is not the same
        os.makedirs("gone/b")
        argv = ["python3", "-c", script.format(more)]
        d = run("--workdir", "gone", "--fs-storage", ".", "--on-exit", "abort", "--", *argv)
        check(d.out == "2\n", d)
        d = bare(*argv, cwd="gone")
        check(d.out == "2\n", d)
        shutil.rmtree("gone")


@case
def runs_that_can_be_repeated():
    flags = ["--random-seed", "7", "--no-randomize-memory", "--deterministic-dirs"]
    script = "python3 -c 'import os; print(os.urandom(8), hash(\"a\"), id(object()), os.listdir(\"/usr/bin\"))'; head -c 8 /dev/urandom | od"
    d = [sh(script, *flags), sh(script, *flags), sh(script, *flags, "--random-seed=8")]
    check(d[0].status == 0 and d[0].out == d[1].out and d[0].out != d[2].out, d[0])
    check(sh(script).out != sh(script).out)


@case
def the_time_of_day_begins_where_it_is_told_to():
    ask = "date -u +%F; python3 -c 'import time; print(int(time.time()) // 3600)'"
    check("2001-02-03" not in sh(ask).out)
    for time, hour in ("2001-02-03T04:05:06Z", 981173106 // 3600), ("981173106", 981173106 // 3600):
        d = sh(ask, "--time-start", time)
        check(d.out == f"2001-02-03\n{hour}\n", d)
    for bad in "", "x", "-1", "1.5", "2001-02-03", "2001-02-30T00:00:00Z", "2001-02-03T04:05:06", "2300-01-01T00:00:00Z", "9" * 30:
        d = run("--time-start", bad, "--", "true")
        check(d.status == 125 and d.err.startswith("sluice: --time-start: "), d)


@case
def times_of_files_go_with_the_time_of_day():
    with tempfile.TemporaryDirectory(dir=".") as d:
        d = os.path.abspath(d)
        flags = ["-r", "/", "-w", d, "--cwd", d, "--time-start", "2001-02-03T04:05:06Z"]
        with open(d + "/Makefile", "w", encoding="utf-8") as f:
            f.write("out: in\n\tcp in out\n")
        for name, age in ("in", 20), ("Makefile", 30):
            open(f"{d}/{name}", "a", encoding="utf-8").close()
            os.utime(f"{d}/{name}", (time.time() - age,) * 2)

        future = "find . -newermt 2001-02-04"
        check(sh(future, *flags).out and "future" in sh("make; rm -f out", *flags).err, "without it")
        flags[-1] += ",files"
        check(sh(future, *flags).out == "", sh(future, *flags))
        made = sh("make && make -q && test out -nt in && ! test in -nt out && find out -newermt 2001-02-03T04:05:06 -newer in", *flags)
        check(made.status == 0 and made.out == "cp in out\nout\n" and not made.err, made)
        # what is made in another run is newer, and the host's times are real
        check(sh("make", *flags).out == "make: 'out' is up to date.\n", sh("make", *flags))
        check(time.time() - os.stat(d + "/out").st_mtime < 1000, os.stat(d + "/out"))
        with open(d + "/in", "a", encoding="utf-8") as f:
            f.write("more")
        made = sh("make; make", *flags)
        check(made.out == "cp in out\nmake: 'out' is up to date.\n" and not made.err, made)

        tar = sh("touch new; tar cf t.tar in new Makefile && mkdir x && tar xpf t.tar -C x && tar tvf t.tar && tar df t.tar && cd x && "
                 "tar df ../t.tar", *flags)
        check(tar.status == 0 and not tar.err and tar.out.count(" 2001-02-03 04:05") == 3, tar)
        stat_it = "import os, time; s = os.stat('x/new'); print(0 <= time.time() - s.st_ctime < 1000, time.gmtime(s.st_mtime)[:3])"
        d1 = sh(f"cp -p new y && python3 -c \"{stat_it}\" && test y -ef y -a ! y -nt new -a ! new -nt y && ls -l --time-style=+%F y", *flags)
        check(d1.status == 0 and d1.out.startswith("True (2001, 2, 3)\n") and "2001-02-03" in d1.out, d1)
        if shutil.which("git"):
            git = "git -c user.name=a -c user.email=a@b -c safe.directory=*"
            made = sh(f"HOME={d} && {git} init -q r && cd r && echo 1 >a && {git} add a && {git} commit -qm 1 && {git} log --format=%cs", *flags)
            check(made.out == "2001-02-03\n", made)
            made = sh(f"HOME={d} && cd r && {git} status --porcelain && echo 2 >a && {git} status --porcelain", *flags)
            check(made.status == 0 and made.out == " M a\n", made)
    for bad in "2001-02-03T04:05:06Z,", "1,file", "1,files,files", ",files":
        d = run("--time-start", bad, "--", "true")
        check(d.status == 125 and d.err.startswith("sluice: --time-start: "), d)


@case
def limits_are_told_about():
    big = "x = bytearray(1 << 28); x[::4096] = b'1' * len(x[::4096])"
    d = run("--", "python3", "-c", big)
    check(d.status == 0, d)
    d = run("-m", "64M", "--", "python3", "-c", big)
    check(d.status == 128 + signal.SIGKILL, d)
    check(re.fullmatch(r"sluice: --max-memory: python3: 1 killed: together its processes had \d+ MiB\n", d.err), d)
    d = sh("for i in 1 2 3 4 5 6 7 8; do sleep 100 & done; wait", "-P", "5")
    check(d.status == 2 and "fork" in d.err, d)
    d = sh("nproc", "--cpu-cores", "0")
    check(d.out == "1\n", d)


@case
def a_plugin_counts_calls():
    d = sh("uname; uname", "--plugin", PLUGINS["plugin_count"] + ":uname")
    check("plugin_count: uname: 2 calls, 0 refused\n" in d.err and d.status == 0, d)
    out = os.path.abspath("counts")
    d = sh("cat /etc/passwd", "--plugin", f"{PLUGINS['plugin_count']}:{out}=openat", "-r/", "--plugin",
           PLUGINS["bad_plugin"] + ":deny:uname")
    check(d.status == 0 and not d.err, d)
    with open(out, encoding="utf-8") as f:
        m = re.fullmatch(r"plugin_count: openat: (\d+) calls, 0 refused\n", f.read())
    check(m and int(m.group(1)) > 2)
    shutil.copy(PLUGINS["plugin_count"], "here.so")
    check("uname: 1 calls" in run("--plugin", "here.so:uname", "uname").err, "a name without a slash")


@case
def handlers_of_a_plugin_decide():
    probe = "import os; print(os.mkdir('made'))"
    check(run("python3", "-c", probe).status == 0)
    os.rmdir("made")
    d = run("--plugin", PLUGINS["bad_plugin"] + ":deny:mkdir", "python3", "-c", probe)
    check(d.status == 1 and os.strerror(errno.EDOM) in d.err, d)


@case
def refused_plugins():
    bad = PLUGINS["bad_plugin"]
    for spec, text, hint in (
            (PLUGINS["bad_abi"], "--plugin: .*bad_abi.so: plugin ABI 2, this sluice has 1", "this version's headers"),
            (PLUGINS["bad_symbol"], "--plugin: .*: no plugin: sluice_plugin_init is not defined", "sluice/plugin.h"),
            (LIBRARY, "no plugin: sluice_plugin_abi is not defined", "sluice/plugin.h"),
            ("/etc/passwd", "--plugin: /etc/passwd: ", None),
            ("/", "--plugin: /: ", None),
            (bad + ":refuse", "--plugin: .*: refused: not today", "try tomorrow"),
            (bad + ":silent", "--plugin: .*: refused: Permission denied", None),
            (bad + ":positive", "sluice_plugin_init returned 7", None),
            (bad + ":null", "1 handlers at NULL", None),
            (bad + ":close", r"handler 1 \(bad\): close: programs never retry", "SLUICE_INSIST"),
            (bad + ":nonsense", r"handler 1 \(bad\): system call number -22", None),
            (bad + ":ptrace", r"handler 1 \(bad\): ptrace: the policy denies", "allow"),
            (PLUGINS["plugin_count"], "refused: no call is named", "plugin_count.so:openat"),
            (PLUGINS["plugin_count"] + ":openx", "refused: openx: no such system call", "plugin_count.so"),
            (PLUGINS["plugin_count"] + ":/no/such/x=openat", "refused: /no/such/x: No such file", None)):
        error_is(run("--plugin", spec, "touch", "ran"), 125, text, hint)
        check(not os.path.exists("ran"), spec)


# ---- check ----

FEATURES = ["fs-refer", "fs-truncate", "net-tcp", "fs-ioctl-dev", "signal-scope", "abstract-unix-socket-scope"]


def checked(d, status):
    check(d.status == status and not d.err, d)
    c = json.loads(d.out)
    check(c["ok"] is (status == 0) and re.fullmatch(r"\d+\.\d+\.\d+", c["version"]), c)
    names = [p["name"] for p in c["probes"]]
    check(len(set(names)) == len(names) == 18 and all(f in names for f in FEATURES), names)
    for p in c["probes"]:
        check(set(p) == {"name", "state", "detail", "remedy"} and p["detail"], p)
        check(p["state"] in ("yes", "no", "required") and (p["remedy"] == "") == (p["state"] == "yes"), p)
    check(c["ok"] is all(p["state"] != "required" for p in c["probes"]), c)
    return {p["name"]: p for p in c["probes"]}


@case
def check_says_what_is_there():
    p = checked(sluice("check", "--json"), 0)
    check(all(p[f]["state"] == "yes" for f in FEATURES + ["landlock", "sync-wake-up", "wait-killable", "addfd", "pidfd"]), p)
    if os.environ.get("SLUICE_TEST_CONTAINER"):
        check(p["io_uring"]["state"] == "no" and p["overlayfs"]["state"] == "no", p)
        check("/proc/PID/mem" in p["memory-access"]["detail"], p)
    else:
        check(p["io_uring"]["state"] == p["user-namespaces"]["state"] == p["overlayfs"]["state"] == "yes", p)
        check(p["memory-access"]["detail"] == "process_vm_readv", p)
    d = sluice("check")
    check(d.status == 0 and d.out.endswith("\nsandboxes can run\n"), d)
    for name, probe in p.items():
        word = "ok" if probe["state"] == "yes" else "missing"
        check(re.search(rf"^{word} +{name} ", d.out, re.M), (name, d))
    check(not [f for f in os.listdir(os.environ.get("TMPDIR", "/tmp")) if f.startswith("sluice-check.")], "left behind")


@case
def check_says_what_is_missing_inside_a_sandbox():
    # the leak sanitizer traces its own process, which is refused inside
    unseen = "--env=ASAN_OPTIONS=detect_leaks=0"
    d = run("-r", "/", "-w", os.getcwd(), unseen, "--", SLUICE, "check", "--json", env={**os.environ, "TMPDIR": os.getcwd()})
    p = checked(d, 1)
    check(p["seccomp-notify"]["state"] == "required" and "already" in p["seccomp-notify"]["detail"], p)
    check(p["user-namespaces"]["state"] == "no" and p["user-namespaces"]["remedy"], p)
    text = run("-r", "/", unseen, "--", SLUICE, "check")
    check(text.status == 1 and re.search(r"^MISSING +seccomp-notify .*\n +-> Linux", text.out, re.M), text)
    check(text.out.endswith("\nsandboxes can't run without what is MISSING\n"), text)


@case
def check_refuses_what_it_does_not_know():
    error_is(sluice("check", "all"), 125, "check: all: takes no arguments", r"sluice check \[--json\]")
    error_is(sluice("check", "--jsn"), 125, "--jsn: no such flag", "did you mean --json")
    check("--json" in sluice("check", "--help").out)


# ---- the runner ----


def as_nobody(argv, wanted):
    """Copy everything to where an ordinary user can reach it and go on as that user."""
    d = tempfile.mkdtemp(prefix="sluice-nobody.")
    os.chmod(d, 0o755)
    os.mkdir(d + "/tmp")
    os.chown(d + "/tmp", NOBODY, NOBODY)
    copied = [shutil.copy(a, d) for a in [__file__] + argv]
    for path in copied:  # the name that the loader looks for
        if ".so." in path:
            os.symlink(path, path[:path.index(".so.") + 5])
    env = {**os.environ, "TMPDIR": d + "/tmp", "HOME": d + "/tmp"}
    status = subprocess.call(["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--inh-caps=-all",
                              sys.executable, "-B", *copied, "--", *wanted], env=env, cwd=d + "/tmp")
    shutil.rmtree(d)
    return status


class Branches:
    """A directory with files and a storage of its own, and sluice with them."""

    def __enter__(self):
        self.top = tempfile.TemporaryDirectory(dir=".")
        top = os.path.abspath(self.top.name)
        self.dir, self.storage = top + "/d", top + "/s"
        os.makedirs(self.dir + "/sub")
        os.mkdir(self.storage)
        for name in ("a", "b", "sub/c"):
            self.write(name, name + "\n")
        return self

    def __exit__(self, *_):
        self.top.cleanup()

    def write(self, name, text):
        with open(f"{self.dir}/{name}", "w", encoding="ascii") as f:
            f.write(text)

    def files(self):
        found = {}
        for at, _, names in os.walk(self.dir):
            for name in names:
                with open(f"{at}/{name}", encoding="ascii") as f:
                    found[os.path.relpath(f"{at}/{name}", self.dir)] = f.read()
        return found

    def run(self, script, *flags, **more):
        return run("-r", "/", "--workdir", self.dir, "--fs-storage", self.storage, *flags, "--", "sh", "-c", script, **more)

    def cow(self, verb, *words):
        return sluice("cow", verb, "--fs-storage", self.storage, *words)

    def names(self):
        return [line.split()[0] for line in self.cow("list").out.splitlines()]


BEFORE = {"a": "a\n", "b": "b\n", "sub/c": "sub/c\n"}
CHANGES = "echo new >a; rm b; mkdir n; echo x >'n/odd\nname'; ls"
LISTING = "M a\nD b\nA n\nA n/odd\\x0aname\n"
AFTER = {"a": "new\n", "n/odd\nname": "x\n", "sub/c": "sub/c\n"}


def no_descriptors():
    """A container's profile that refuses pidfd_getfd: then copy-on-write is refused, and says why."""
    with Branches() as w:
        d = w.run("true")
        return d.status == 125 and "pidfd_getfd" in d.err


@case
def copy_on_write_commits_drops_and_keeps():
    if no_descriptors():
        return
    with Branches() as w:
        check(w.files() == BEFORE)
        d = w.run(CHANGES, "--dry-run")
        check(d.status == 0 and d.out == "a\nn\nsub\n" + LISTING, d)
        check(w.files() == BEFORE and not w.names(), "a dry run keeps nothing")
        d = w.run(CHANGES + "; exit 3")
        check(d.status == 3 and w.files() == BEFORE and not w.names(), d)
        d = w.run(CHANGES + "; exit 3", "--on-error", "keep", "--name", "kept")
        check(d.status == 3 and w.files() == BEFORE and w.names() == ["kept"], d)
        check(w.cow("abort", "kept").status == 0 and not w.names())
        d = w.run(CHANGES)
        check(d.status == 0 and w.files() == AFTER and not w.names(), d)


@case
def copy_on_write_in_other_forms():
    if no_descriptors():
        return
    with Branches() as w:
        d = w.run("exec >/dev/null; " + CHANGES, "--dry-run", "-z")
        check(d.out == "M a\0D b\0A n\0A n/odd\nname\0", d)
        d = w.run("exec >/dev/null; " + CHANGES, "--dry-run", "--json")
        found = json.loads(d.out)
        check([(c["change"], c["path"], c["type"]) for c in found] ==
              [("M", "a", "file"), ("D", "b", "file"), ("A", "n", "directory"), ("A", "n/odd\nname", "file")], d)
        error_is(run("--dry-run", "--", "true"), 125, "--dry-run: without --workdir", "--workdir")
        error_is(w.run("true", "--on-exit", "later"), 125, "later: not commit, abort or keep")
        error_is(run("--workdir", "/no/such", "--", "true"), 125, "No such file")
        error_is(run("--durability", "maybe", "--", "true"), 125, "--durability: maybe: not commit or none")
        error_is(run("--workdir", w.dir, "--fs-storage", "/no/such", "--", "true"), 125, "No such file")


@case
def the_hosts_own_root():
    """Also where it is a tree of one's own is it carried out on behalf, and what a script names runs."""
    for root in ("/", "//", ANOTHER_ROOT):
        d = run("--chroot", root, "--cwd", "/", "--", "sh", "-c", "pwd; ls -d /bin; readlink /proc/self/exe; touch /x || echo refused")
        check(d.status == 0 and d.out.splitlines()[:2] == ["/", "/bin"] and d.out.endswith("refused\n"), d)


@case
def the_hosts_own_root_is_no_tree():
    """As without --chroot, so no path is trapped; but all may be read, and /proc is the command's own."""
    with tempfile.TemporaryDirectory(dir=".") as d:
        os.chmod(d, 0o755)
        text = os.path.join(os.path.abspath(d), "text")
        stats = os.path.join(d, "stats.json")
        with open(text, "w", encoding="utf-8") as f:
            f.write("hello")
        script = f"cat {text}; cat /proc/{os.getpid()}/stat 2>/dev/null || echo none"
        check(sh(script, "-r", "/usr", "-r", "/lib", "-r", "/bin").out == "none\n")
        for root, trapped in (("/", False), ("///", False), (ANOTHER_ROOT, True)):
            got = sh(script, "--chroot", root, "-w", "/dev/null", f"--stats={stats}")
            check(got.out == "hellonone\n", got)
            with open(stats, encoding="utf-8") as f:
                names = {call["name"] for call in json.load(f)["calls"]}
            check(("newfstatat" in names) == trapped and ("execve" in names) == trapped and "openat" in names, names)
        if no_descriptors():
            return
        got = sh(f"echo x >{text}; [ -d /mnt/bin ] && cat {text}; mkdir {d}/new; ls {d}", "--chroot", "/", "--fs-mount", "/mnt:/usr:ro",
                 "--workdir", d, "--cwd", os.getcwd(), "--on-exit", "abort")
        check(got.out.split() == ["x", "new", "stats.json", "text"], got)
        with open(text, encoding="utf-8") as f:
            check(f.read() == "hello")


MAPPINGS = """
import mmap, time
maps = []
for i in range(200):
    f = open(str(i), "w+b")
    f.truncate(1 << 20)
    maps.append(mmap.mmap(f.fileno(), 1 << 20))
    f.close()
for m in maps:
    m.write(bytes(1 << 20))
    time.sleep(0.01)
"""


@case
def what_is_denied():
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o777)
        for name in ("keys", "src"):
            os.mkdir(f"{top}/{name}")
            with open(f"{top}/{name}/f", "w") as f:
                f.write(name)
        cat = ("--cwd", top, "-r", "/", "-w", top, "--", "sh", "-c", "cat src/f keys/f; ls; echo x >keys/new")
        check(run(*cat[:-1], "cat src/f keys/f").out == "srckeys", "without a denial")
        d = run("--fs-deny", f"{top}/keys", *cat)
        check(d.status != 0 and d.out == "srckeys\nsrc\n" and d.err.count("ermission denied") == 2, d)
        check(os.listdir(f"{top}/keys") == ["f"], "made")
        error_is(run("--fs-deny", "/", "--", "true"), 125, "denial: /", "nothing is granted")
        error_is(run("--fs-deny", f"{top}/keys", "-r", f"{top}/keys", "--", "true"), 125, "keys is denied", "drop one")


@case
def a_branch_has_its_quota():
    if no_descriptors():
        return
    write = "dd if=/dev/zero bs=64k count={} of={} status=none 2>/dev/null && echo {}; "
    script = write.format(16, "one", "one") + write.format(1, "two", "two")
    with Branches() as w:
        check(w.run(script, "--on-exit", "abort").out == "one\ntwo\n", "without a quota")
        d = w.run(script, "--on-exit", "abort", "--on-error", "abort", "--max-disk", "512K")
        check("one" not in d.out, d)
        d = w.run("for i in 1 2 3 4 5 6 7 8 9; do " + write.format(1, "f$i", "$i") + "done", "--max-disk", "256K", "--on-error", "abort",
                  "--on-exit", "abort")
        check("1\n2\n3\n" in d.out and "6" not in d.out, d)
        # a write that is refused fails and does not kill; who writes by mappings is ended
        d = w.run("exec 3>one; head -c 64M /dev/zero >&3; echo status $?", "--max-disk", "1M", "--on-exit", "abort")
        check(d.out == "status 1\n" and "too large" in d.err, d)
        python = next((p for p in (sys.executable, "/usr/bin/python3") if os.access(p, os.X_OK)), None)
        if python:  # not all may execute the one that runs this
            d = w.run(f"exec {python} -c '{MAPPINGS}'", "--max-disk", "1M", "--on-exit", "abort")
            error_is(d, 137, "^sluice: --max-disk: .*: went on writing past it: killed")


@case
def kept_branches():
    if no_descriptors():
        return
    with Branches() as w:
        w.run(CHANGES, "--on-exit", "keep", "--name", "kept")
        check(w.files() == BEFORE and w.cow("show", "kept").out == LISTING, w.cow("show", "kept"))
        check([b["name"] for b in json.loads(w.cow("list", "--json").out)] == ["kept"])
        check("-a\n+new\n" in w.cow("diff", "kept").out, w.cow("diff", "kept"))
        # a name neither adds lines to a patch nor reaches the terminal as it is
        odd = "printf 1 >\"$(printf 'x\\n+++ y\\033')\"; mkdir \"$(printf 'd\\033')\""
        check("\n+++ y" in bare("sh", "-c", "cd $(mktemp -d) && " + odd + "; ls; rm -r \"$PWD\"").out, "there are such names")
        w.run(odd, "--on-exit", "keep", "--name", "odd")
        d = w.cow("diff", "odd")
        check("+++ \"b/x\\012+++ y\\033\"\n" in d.out and "A d\\x1b\n" in d.out and "\033" not in d.out, d)
        check(w.cow("abort", "odd").status == 0)
        for form in ("tar", "oci"):
            one, two = f"{w.storage}/1.{form}", f"{w.storage}/2.{form}"
            for file in (one, two):
                d = w.cow("export", "--format", form, "--mtime", "1000", "-o", file, "kept")
                check(d.status == 0, d)
            check(bare("cmp", one, two).status == 0, "the same bytes")
            names = bare("tar", "tf", one).out.split()
            check("a" in names and ((".wh.b" in names) == (form == "oci")), names)
            os.unlink(one)
            os.unlink(two)
        w.write("a", "somebody else\n")
        error_is(w.cow("commit", "--durability", "all", "kept"), 125, "--durability: all: not commit or none")
        d = w.cow("commit", "--durability", "none", "kept")
        check(d.status == 125 and "a: changed by somebody else" in d.err, d)
        check(w.files()["a"] == "somebody else\n" and w.names() == ["kept"], "kept")
        w.write("a", "a\n")
        check(w.cow("abort", "kept").status == 0 and not w.names())
        error_is(w.cow("show", "kept"), 125, "kept")
        error_is(w.cow("what"), 125, "what: not list", "sluice cow list")
        error_is(w.cow("show"), 125, "which branch?", "sluice cow list")


def tree_of(top):
    found = {}
    for at, _, names in os.walk(top):
        for name in names:
            path = os.path.join(at, name)
            with open(path, encoding="ascii") as f:
                found[os.path.relpath(path, top)] = f.read()
    return found


@case
def several_lower_trees():
    if no_descriptors():
        return
    program = '#include "one.h"\n#include "two.h"\nint main(void) { return ONE + TWO; }\n'
    lowers = [{"h/one.h": "#define ONE 1\n", "sub/d": "d\n"},
              {"h/one.h": "#error hidden\n", "h/two.h": "#define TWO 2\n", "main.c": program, "sub/c": "hidden\n"}]
    cc = shutil.which("cc")
    with Branches() as w, tempfile.TemporaryDirectory() as top:
        tops = [f"{top}/l{i}" for i in range(len(lowers))]
        for at, files in zip(tops, lowers):
            for name, text in files.items():
                os.makedirs(os.path.dirname(f"{at}/{name}"), exist_ok=True)
                with open(f"{at}/{name}", "w", encoding="ascii") as f:
                    f.write(text)
        flags = [f for t in tops for f in ("--fs-lower", t)]
        look = f"cat h/one.h sub/c sub/d; ls sub; ls -A {tops[1]} | wc -l; cat {tops[1]}/main.c"
        check(w.run(f"cat {tops[1]}/main.c").out == program, "seen at its own place")
        d = w.run(look, *flags, "--on-error", "abort")
        check(d.out == "#define ONE 1\nsub/c\nd\nc\nd\n0\n" and d.status == 1 and "No such file" in d.err, d)
        build = f"TMPDIR=. {cc} -Ih -o prog main.c && ./prog; echo $?; echo built >prog" if cc else "cat main.c >prog; echo 3"
        d = w.run(f"{build}; echo '#define X' >>h/two.h; rm main.c; readlink /proc/self/fd/9 9<h/one.h", *flags, "--on-exit", "keep", "--name", "k")
        check(d.out == f"3\n{w.dir}/h/one.h\n" and w.files() == BEFORE, d)
        check(w.cow("show", "k").out == "M h/two.h\nD main.c\nA prog\n", w.cow("show", "k"))
        d = w.cow("diff", "k")
        check(" #define TWO 2\n+#define X\n" in d.out and "-#include" in d.out, d)
        d = w.cow("export", "-o", f"{top}/tar", "k")
        check(d.status == 0 and bare("tar", "tf", f"{top}/tar").out.split() == ["h/", "h/two.h", "prog"], d)
        d = w.cow("commit", "k")
        check(d.status == 0 and not w.names() and [tree_of(t) for t in tops] == lowers, d)
        d = w.run("ls; cat h/two.h", *flags, "--on-exit", "abort")
        check(d.out == "a\nb\nh\nprog\nsub\n#define TWO 2\n#define X\n", d)
        error_is(run("--fs-lower", top, "--", "true"), 125, "lower tree: .*: without a working directory", "--workdir")
        error_is(w.run("true", "--fs-lower", "/no/such"), 125, "lower tree: /no/such: No such file")
        error_is(w.run("true", "--fs-lower", tops[0], "--fs-lower", tops[0]), 125, "lower tree: .*/l0: it and another one", "lie apart")
        error_is(w.run("true", "--fs-lower", os.path.dirname(w.dir)), 125, "lower tree: .*: it and another one", "lie apart")
        error_is(w.run("true", "--fs-lower", tops[0], "--fs-mount", f"/x:{tops[0]}"), 125, "lower tree: .*/l0: it and another one", "lie apart")
        error_is(w.run("true", *16 * ["--fs-lower", top]), 125, "at most 15")
        # what is denied there is denied by its path in the working directory, whichever tree has it
        reads = "for f in sub/c sub/d h/one.h; do cat $f >/dev/null 2>&1 && echo $f; done; exit 1"
        for denied, seen in ((), "sub/c sub/d h/one.h"), (("sub/d",), "sub/c h/one.h"), (("sub",), "h/one.h"), (("h", "sub/c"), "sub/d"):
            d = w.run(reads, *flags, *(f for path in denied for f in ("--fs-deny", f"{w.dir}/{path}")))
            check(d.out.split() == seen.split(), (denied, d))
        for denied in (tops[1], tops[1] + "/h", top):
            error_is(w.run("true", *flags, "--fs-deny", denied), 125, "denial: .*: the lower tree .* lies there", "in the working directory")
        check(not w.names(), "nothing is left of those")


@case
def a_branch_is_taken_up_again():
    if no_descriptors():
        return
    with Branches() as w, tempfile.TemporaryDirectory() as top:
        taken = ("--fs-branch", "on")
        d = w.run("echo new >a; rm b; mkdir n; echo x >n/x; ln n/x n/y; mkfifo p; mv sub/c sub/d; ls -i n sub", *taken)
        check(d.status == 0 and w.files() == BEFORE and w.names() == ["on"], d)
        again = w.run("ls -i n sub; cat a n/y sub/d; ls; stat -c %h n/x; echo more >>n/x; exit 3", *taken)
        check(again.status == 3 and again.out == d.out + "new\nx\nsub/c\na\nn\np\nsub\n2\n", again)
        check(w.run("cat n/y; chmod 700 sub", *taken).out == "x\nmore\n", "what failed is kept too")
        check(w.run("stat -c %a sub sub/d; cd sub; ls", *taken).out == "700\n644\nd\n")
        check(w.cow("show", "on").out == "M a\nD b\nA n\nA n/x\nA n/y\nA p\nM sub\nD sub/c\nA sub/d\n", w.cow("show", "on"))
        check(w.run("rm p; ls", *taken).out == "a\nn\nsub\n")
        # whose lower trees are others
        other, lower = f"{top}/other", f"{top}/lower"
        for at in (other, lower):
            os.mkdir(at)
        storage = ("--fs-storage", w.storage)
        error_is(run("-r", "/", "--workdir", other, *storage, *taken, "--", "true"), 125, f"branch on: it was made from {w.dir}, not from .*/other")
        error_is(w.run("true", "--fs-lower", lower, *taken), 125, "branch on: it was made from 1 lower directories, not 2")
        check(w.run("echo 1 >f", "--fs-lower", lower, "--fs-branch", "two").status == 0)
        error_is(w.run("true", "--fs-lower", other, "--fs-branch", "two"), 125, "branch two: it was made from .*/lower, not from .*/other")
        check(w.run("cat f", "--fs-lower", lower, "--fs-branch", "two").out == "1\n" and w.cow("abort", "two").status == 0)
        # a directory that was moved is the same one
        moved = w.dir + "2"
        os.rename(w.dir, moved)
        d = run("-r", "/", "--workdir", moved, *storage, *taken, "--", "cat", "sub/d")
        check(d.out == "sub/c\n", d)
        check(moved in w.cow("list").out, w.cow("list"))
        os.rename(moved, w.dir)
        check(w.run("cat sub/d", *taken).out == "sub/c\n")
        # names, and what does not go together
        for name in ("", ".x", "a/b", "..", 201 * "n"):
            error_is(w.run("true", "--fs-branch", name), 125, "fs-branch: .*branch: .*name", "without a slash" if name else None)
        error_is(run("--fs-branch", "on", "--", "true"), 125, "branch: on: without a working directory", "--workdir")
        error_is(w.run("true", "--dry-run", *taken), 125, "--dry-run: with --fs-branch", "sluice cow show")
        # what does not start leaves it as it was, and no new one
        for name in ("on", "fresh"):
            d = run("-r", "/", "--workdir", w.dir, *storage, "--fs-branch", name, "--", "/no/such")
            check(d.status == 127 and w.names() == ["on"], d)
            d = w.run("true", "--fs-branch", name, "--fs-deny", w.dir)
            check(d.status == 125 and w.names() == ["on"], d)
        # a conflict leaves a commit that is gone on with elsewhere
        w.write("a", "somebody else\n")
        d = w.run("true", *taken, "--on-exit", "commit")
        check(d.status == 125 and "changed by somebody else" in d.err, d)
        error_is(w.run("true", *taken), 125, "branch on: its commit was begun", "sluice cow commit")
        w.write("a", "a\n")
        check(w.cow("commit", "on").status == 125 and w.cow("abort", "on").status == 0)
        check(w.files() == {"a": "a\n", "n/x": "x\nmore\n", "n/y": "x\nmore\n", "sub/d": "sub/c\n"}, w.files())
        w.run("rm a", *taken)
        check(w.run("ls", *taken, "--on-exit", "commit").out == "n\nsub\n" and "a" not in w.files() and not w.names())
        w.run("rm -r n", *taken)
        check(w.run("false", *taken, "--on-error", "abort").status == 1 and "n/x" in w.files() and not w.names())


@case
def a_branch_is_open_once():
    if no_descriptors():
        return
    with Branches() as w:
        flags = ("-r", "/", "--workdir", w.dir, "--fs-storage", w.storage, "--fs-branch", "on")
        script = "echo $$ >mine; echo up; read line; echo late >>mine"
        p = start(*flags, "--", "sh", "-c", script, stdin=subprocess.PIPE)
        check(line_of(p) == "up")
        error_is(run(*flags, "--", "true"), 125, "branch on: in use", "one sandbox at a time")
        error_is(w.cow("commit", "on"), 125, "branch on: in use")
        p.communicate("\n", timeout=WAIT)
        check(run(*flags, "--", "cat", "mine").out.splitlines()[1:] == ["late"])
        # and after the end of a supervisor that could not let go of it; it is free once its processes are gone
        p = start(*flags, "--", "sh", "-c", script, stdin=subprocess.PIPE)
        check(line_of(p) == "up")
        p.kill()
        p.communicate(timeout=WAIT)
        wait_for(lambda: run(*flags, "--", "true").status == 0, "the branch is in use")
        check(run(*flags, "--", "wc", "-l", "mine").out == "1 mine\n" and w.names() == ["on"])


@case
def the_quota_of_a_branch_counts_what_is_there():
    if no_descriptors():
        return
    with Branches() as w:
        make = "dd if=/dev/zero of={} bs=64k count={} 2>/dev/null; echo $?; wc -c <{}"
        taken = ("--fs-branch", "on", "--max-disk")
        check(w.run(make.format("one", 48, "one"), *taken, "8M").out == f"0\n{48 << 16}\n")
        check(w.run(make.format("two", 16, "two"), *taken, "8M").out == f"0\n{16 << 16}\n", "there is room for it")
        d = w.run("ln one again && echo linked; echo x >three; echo x >>two; cat one | wc -c", *taken, "2M")
        check(d.out == f"linked\n{48 << 16}\n" and d.err.count("No space left") == 2, d)
        d = w.run(f"rm -f one again two three; {make.format('four', 16, 'four')}", *taken, "2M")
        check(d.out == f"0\n{16 << 16}\n", d)


CRASH_SETUP = """set -e; mkdir -p gone/deep/deeper hard dir; echo 1 >gone/1; echo 2 >gone/deep/2; echo 3 >gone/deep/deeper/3; echo h >hard/1; ln hard/1 hard/2; echo f >dir/f; echo s >swap; echo k >kept"""
CRASH_CHANGES = """set -e; echo new >a; rm b; mkdir -p n/deep; echo x >n/deep/x; ln n/deep/x n/y; ln -s nowhere link; mv sub/c sub/moved; rm -r gone
chmod 750 sub; rm swap; mkdir swap; echo s >swap/s; rm -r dir; echo file >dir; echo more >>hard/1; mkfifo fifo; echo done"""


def state_of_tree(top):
    """What each path is; names of one file count as such."""
    found, names = {}, {}
    for at, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(at, name)
            st = os.lstat(path)
            what = stat.S_IFMT(st.st_mode), stat.S_IMODE(st.st_mode)
            if stat.S_ISREG(st.st_mode):
                with open(path, encoding="ascii") as f:
                    what += (f.read(),)
                names.setdefault(st.st_ino, []).append(os.path.relpath(path, top))
            elif stat.S_ISLNK(st.st_mode):
                what += (os.readlink(path),)
            found[os.path.relpath(path, top)] = what
    return found, sorted(sorted(n) for n in names.values() if len(n) > 1)


def only_old_or_new(now, old, new):
    """A crash leaves no third thing; nothing at all where another kind of thing comes, or something goes."""
    for path in sorted(set(now) | set(old) | set(new)):
        allowed = [old.get(path), new.get(path)]
        if None in allowed or allowed[0][0] != allowed[1][0]:
            allowed.append(None)
            if path in new and stat.S_ISDIR(new[path][0]):  # it gets its mode when all in it is there
                allowed.append((stat.S_IFDIR, 0o700))
        check(now.get(path) in allowed, (path, now.get(path), allowed))


CRASH_STEP = int(os.environ.get("SLUICE_CRASH_STEP", "4"))  # 1: each change; else one of so many, others each time


class Crashes:
    """The command is killed before each call that changes something; what there is afterwards can be looked at, gone on with and dropped."""

    def __init__(self, flags, script, storage=None):
        self.flags, self.script, self.storage = flags, script, storage
        self.seen = set()

    def begin(self, w):
        if self.storage:
            w.storage = tempfile.mkdtemp(dir=self.storage)
        check(bare("sh", "-c", CRASH_SETUP, cwd=w.dir).status == 0)
        self.old, self.old_names = state_of_tree(w.dir)
        if "on" in self.flags:  # the changes are there already
            d = w.run(CRASH_CHANGES, *self.flags)
            check(d.out == "done\n", d)

    def run(self, w, at):
        """False: it was not killed any more."""
        env = {**os.environ, "LD_PRELOAD": PLUGINS["kill_at"], "SLUICE_KILL_AT": str(at)}
        d = w.run(self.script, *self.flags, "--clean-env", "--on-exit", "commit", env=env)
        check(d.status in (0, -signal.SIGKILL), d)
        self.ran = "done" in d.out or "on" in self.flags
        return d.status != 0

    def branch(self, w):
        """Its state, once its processes are gone; None: there is none."""
        for _ in range(int(WAIT / 0.005)):
            all_of_them = json.loads(w.cow("list", "--json").out)
            check(len(all_of_them) < 2, all_of_them)
            if not all_of_them:
                return None
            if all_of_them[0]["state"] != "in use":
                return all_of_them[0]["state"]
            time.sleep(0.005)
        raise AssertionError("the branch stays in use")

    def end(self, w, abort):
        """What a crash left, and what becomes of it."""
        state = self.branch(w)
        now, _ = state_of_tree(w.dir)
        # what is beside a file for a moment, and in a directory that is being removed
        now = {p: v for p, v in now.items() if not re.search(r"(^|/)\.sluice-commit\.[0-9a-f]{16}$|^(gone|dir)/#x", p)}
        only_old_or_new(now, self.old, self.new)
        self.seen.add((self.ran, state))
        check(self.ran or now == self.old, "nothing is committed before the end of the command")
        check(state in (None, "kept", "committing"), state)
        if state is None:
            check(now in ([self.old, self.new] if not self.ran else [self.new]), "no branch, and not all of it")
            return
        name = w.names()[0]
        check(w.cow("show", name).status == 0)
        if state == "committing":
            error_is(w.run("true", "--fs-branch", name), 125, "its commit was begun", "sluice cow commit")
        if abort or not self.ran:
            check(w.cow("abort", name).status == 0 and not w.names())
            check(state_of_tree(w.dir)[0] == now or state == "committing", "an abort changes nothing")
            only_old_or_new({p: v for p, v in state_of_tree(w.dir)[0].items() if p in self.old or p in self.new}, self.old, self.new)
            return
        d = w.cow("commit", name)
        check(d.status == 0 and not w.names(), d)
        after, names = state_of_tree(w.dir)
        check(after == self.new, (after, self.new))
        check(names == self.new_names or self.storage, names)

    def sweep(self, abort):
        with Branches() as w:
            self.begin(w)
            check(not self.run(w, 0) and self.branch(w) is None)
            self.new, self.new_names = state_of_tree(w.dir)
            check(self.new != self.old and ["n/deep/x", "n/y"] in self.new_names, self.new_names)
        at, killed = 1 + random.randrange(CRASH_STEP), True
        while killed:
            with Branches() as w:
                self.begin(w)
                killed = self.run(w, at)
                try:
                    self.end(w, abort)
                    self.nothing_is_left(w)
                except AssertionError as e:
                    raise AssertionError(f"killed before change {at}: {e}") from e
                finally:
                    if self.storage:
                        shutil.rmtree(w.storage)
            at += CRASH_STEP
        return at

    def all_were_seen(self, n, least, states):
        check(n > least and (states <= self.seen if CRASH_STEP == 1 else (True, "committing") in self.seen), (n, self.seen))

    def nothing_is_left(self, w):
        """The next one that makes a branch removes what is no branch."""
        check(w.run("true", "--on-exit", "abort").status == 0)
        check(not os.listdir(w.storage), os.listdir(w.storage))


@long_case
def killed_before_each_change_of_a_run():
    if no_descriptors():
        return
    c = Crashes((), CRASH_CHANGES)
    n = c.sweep(abort=False)
    c.all_were_seen(n, 100, {(False, None), (False, "kept"), (True, "kept"), (True, "committing"), (True, None)})


@long_case
def killed_before_each_change_of_a_commit_at_exit():
    if no_descriptors():
        return
    for abort in (False, True):
        c = Crashes(("--fs-branch", "on"), "true")
        n = c.sweep(abort)
        c.all_were_seen(n, 40, {(True, "kept"), (True, "committing"), (True, None)})


@long_case
def killed_before_each_change_of_a_commit_to_another_disk():
    if no_descriptors() or not os.access("/dev/shm", os.W_OK) or os.stat("/dev/shm").st_dev == os.stat(".").st_dev:
        return
    c = Crashes(("--fs-branch", "on"), "true", "/dev/shm")
    n = c.sweep(abort=False)
    c.all_were_seen(n, 60, {(True, "kept"), (True, "committing"), (True, None)})


# ---- ps, inspect, kill ----

WAITS = "echo up; exec sleep 100"


def own(name):
    """One that no other run of these tests has at the same time."""
    return f"{name}-{os.getpid()}"


class Running:
    """A sandbox that runs until the end of a with."""

    def __init__(self, *flags, script=WAITS, **more):
        self.p = start(*flags, "--", "sh", "-c", script, **more)
        line_of(self.p)
        wait_for(lambda: self.p.pid in listed(), "it is not listed")

    def __enter__(self):
        return self.p

    def __exit__(self, *_):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGCONT)
            self.p.kill()
        self.p.communicate()


def listed():
    """What `sluice ps` lists, by the supervisor's number. Others of this user may run as well."""
    d = sluice("ps", "--json")
    check(d.status == 0, d)
    return {s["pid"]: s for s in json.loads(d.out)["sandboxes"]}


def inspected(name):
    d = sluice("inspect", "--json", str(name))
    check(d.status == 0 and not d.err, d)
    return json.loads(d.out)


@case
def ps_lists_what_runs():
    with Running("--name", own("listed")) as p:
        one = listed()[p.pid]
        check(one["name"] == own("listed") and one["command"] == ["sh", "-c", WAITS], one)
        check(abs(one["since"] - time.time()) < 60 and one["running_ms"] < 60000, one)
        check(state_of(one["command_pid"]), one)
        d = sluice("ps")
        lines = d.out.splitlines()
        check(lines[0].split() == ["NAME", "PID", "COMMAND", "SINCE", "COMMAND", "LINE"], d)
        line = [x for x in lines if f" {p.pid} " in x]
        check(len(line) == 1 and line[0].startswith(own("listed") + " ") and line[0].endswith(" sh -c " + WAITS), d)
    check(p.pid not in listed(), "it has ended")
    error_is(sluice("ps", "x"), 125, "ps: x: takes no arguments", "inspect")
    with open("/dev/full", "w", encoding="ascii") as full:
        for argv in (["ps"], ["ps", "--json"]):
            d = sluice_to(full, *argv)
            check(d.status == 125 and "No space left" in d.err, d)


def sluice_to(out, *argv):
    p = subprocess.run([SLUICE, *argv], stdout=out, stderr=subprocess.PIPE, timeout=WAIT, text=True, check=False)
    return Done(p.returncode, "", p.stderr)


@case
def ps_prints_any_bytes_on_one_line():
    words = ["a\nb", "\x1b[31m", "", b"\xff".decode("utf-8", "surrogateescape"), "x" * 40000, "last"]
    with Running(script=WAITS.replace("exec", ":;exec")) as first:
        p = start("--", "sh", "-c", WAITS, *words)
        line_of(p)
        wait_for(lambda: p.pid in listed(), "it is not listed")
        one = listed()[p.pid]
        check(one["command"][3:5] == ["a\nb", "\x1b[31m"] and one["command"][6:] == [r"\xff", "..."], one["command"][3:])
        d = sluice("ps")
        line = [x for x in d.out.split("\n") if f" {p.pid} " in x]
        check(len(line) == 1 and r"a\x0ab \x1b[31m" in line[0], line)
        check(all(x == "\n" or " " <= x <= "~" for x in d.out), "nothing that a terminal acts upon")
        check(first.pid in listed())
        p.kill()
        p.communicate()


@case
def what_was_killed_is_not_listed():
    with Running("--name", own("killed")) as p:
        command = listed()[p.pid]["command_pid"]
        p.kill()
        p.wait()
        check(p.pid not in listed())
        d = sluice("inspect", own("killed"))
        check(d.status == 125 and d.err.startswith(f"sluice: inspect: {own('killed')}: no such sandbox runs\nsluice: hint: "), d)
        wait_for(lambda: gone(command), "the command goes on")


@case
def inspect_says_what_it_may_and_does():
    with Running("--name", own("seen"), "-t", "100", "-m", "300M", "-P", "50", "-r", "/", "-w", "/tmp", "--env", "TOKEN=secret", "--net-allow",
                 "tcp://192.0.2.0/24:443", script="sleep 99 & uname -n; wait") as p:
        all_ = inspected(own("seen"))
        check(all_["pid"] == p.pid and all_["directory"] == os.getcwd(), all_)
        check(90000 < all_["time_left_ms"] <= 100000, all_["time_left_ms"])
        policy = all_["policy"]
        check({"path": "/tmp", "access": "write", "optional": False} in policy["grants"], policy)
        check(policy["limits"]["memory"] == 300 << 20 and policy["limits"]["processes"] == 50, policy)
        check(policy["network"]["targets"] == [{"protocols": ["tcp"], "host": "192.0.2.0/24", "ports": "443"}], policy)
        check(policy["env"] == ["TOKEN"] and "secret" not in json.dumps(all_), policy)
        wait_for(lambda: sorted(x["name"] for x in inspected(own("seen"))["processes"]) == ["sh", "sleep"], "two processes")
        top = [x for x in inspected(own("seen"))["processes"] if x["name"] == "sh"][0]
        check(top["pid"] == all_["command_pid"] and top["resident_bytes"] > 0 and top["threads"] == 1, top)
        calls = {c["name"]: c["count"] for c in all_["stats"]["calls"]}
        check(calls["uname"] == 1 and all_["stats"]["notifications"] >= 1, all_["stats"])
        text = sluice("inspect", str(p.pid)).out
        for line in ("name +" + own("seen"), rf"supervisor +process {p.pid}", r"command +process \d+: sh -c sleep 99 ", r"time left +(9\d|100)\.\d s",
                     r"calls +[1-9]\d* supervised, 0 denied", r"write +/tmp", r"network +tcp 192\.0\.2\.0/24, ports 443: allowed",
                     r"limits +300 MiB of memory, 50 processes, 100 s", r" +\d+ +\d+ S +1 +\d\.\d\d +\d+\.\d sleep"):
            check(re.search("^" + line, text, re.M), (line, text))
    with Running("--name", own("seen")) as p:
        all_ = inspected(own("seen"))
        check(all_["time_left_ms"] is None and all_["policy"]["network"] is None and all_["ports"] == [], all_)


@case
def inspect_tells_remapped_ports():
    if no_descriptors():
        return
    serve = "import socket,sys\ns=socket.socket()\ns.bind(('127.0.0.1',int(sys.argv[1])))\ns.listen()\nprint('up',flush=True)\nsys.stdin.read()"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        p = start("--net-allow-bind", "*", "--port-remap", "--", "python3", "-c", serve, str(port), stdin=subprocess.PIPE)
        check(line_of(p) == "up")
        wait_for(lambda: p.pid in listed(), "it is not listed")
        ports = inspected(p.pid)["ports"]
        check(len(ports) == 1 and ports[0]["protocol"] == "tcp" and ports[0]["virtual"] == port, ports)
        with socket.create_connection(("127.0.0.1", ports[0]["real"]), timeout=WAIT):
            pass
        text = sluice("inspect", str(p.pid)).out
        check(f"tcp {port} is {ports[0]['real']} outside" in text, text)
        p.communicate()
        check(p.returncode == 0)


@case
def kill_ends_the_whole_tree_as_a_signal_would():
    for flags, status in (((), 143), (("-s", "INT"), 130), (("--signal", "sighup"), 129), (("-s", "9"), 137)):
        with Running("--name", own("ended"), script="sleep 98 & echo up; exec sleep 99") as p:
            pids = [x["pid"] for x in inspected(p.pid)["processes"]]
            d = sluice("kill", *flags, own("ended"))
            check(d.status == 0 and not d.out and not d.err, d)
            check(state_of(p.pid) in (None, "Z"), "kill waits for the end")
            check(p.wait() == status, (flags, p.returncode))
            wait_for(lambda: all(gone(x) for x in pids), "the tree goes on")
    with Running("--name", own("ended"), script="trap '' TERM; echo up; while :; do sleep 1; done") as p:
        check(sluice("kill", "-s", "TERM", own("ended")).status == 0, "what it ignores is killed in the end")
        check(p.wait() == 137, p.returncode)


@case
def other_signals_go_to_the_command():
    with Running(script="trap 'echo usr1' USR1; echo up; while :; do sleep 0.05; done") as p:
        check(sluice("kill", "-s", "USR1", str(p.pid)).status == 0)
        check(line_of(p) == "usr1")
        command = listed()[p.pid]["command_pid"]
        for name, state in (("STOP", "T"), ("CONT", "S")):  # its supervisor goes on, and can be told to go on with it
            check(sluice("kill", "-s", name, str(p.pid)).status == 0)
            wait_for(lambda s=state: state_of(command) == s, name)
        check(p.pid in listed())
    for bad in ("", "0", "-1", "65", "SIG", "NOSUCH", "99999999999999999999"):
        error_is(sluice("kill", "--signal=" + bad, "x"), 125, "--signal: .*no such signal", "kill -l")


@case
def a_name_that_two_have_is_told_by_the_process():
    with Running("--name", own("twin")) as a, Running("--name", own("twin")) as b:
        for command in ("inspect", "kill"):
            d = sluice(command, own("twin"))
            error_is(d, 125, rf"{command}: {own('twin')}: 2 sandboxes: processes {min(a.pid, b.pid)}, {max(a.pid, b.pid)}$", "number of the process")
        check(inspected(b.pid)["pid"] == b.pid)
        check(sluice("kill", str(a.pid)).status == 0 and a.wait() == 143)
        check(inspected(own("twin"))["pid"] == b.pid, "one is left")


@case
def names_that_nothing_has():
    for name in ("nosuch", "../x", "/", "a/b", ".", "", "x" * 300, "\n", b"\xff", "1", "0", "-0x1", "4194305", str(os.getpid()), "9" * 40):
        for command in ("inspect", "kill"):
            d = bare(SLUICE, command, "--", name)
            check(d.status == 125 and re.match(rf"sluice: {command}: .*: no such sandbox runs\n", d.err), (name, d))
            check(all(x == "\n" or " " <= x <= "~" for x in d.err), d.err)
    for command in ("inspect", "kill"):
        error_is(sluice(command), 125, f"{command}: which sandbox", "sluice ps")
        error_is(sluice(command, "a", "b"), 125, f"{command}: b: one NAME", "sluice ps")


@case
def a_stopped_supervisor_is_told_of():
    with Running("--name", own("stopped")) as p:
        p.send_signal(signal.SIGSTOP)
        wait_for(lambda: state_of(p.pid) == "T", "it does not stop")
        d = sluice("ps")
        check(d.status == 0 and f" {p.pid} " not in d.out, d)
        check(re.search(rf"^sluice: process {p.pid} .* does not answer: it is stopped$", d.err, re.M), d)
        check({"pid": p.pid, "state": "T"} in json.loads(sluice("ps", "--json").out)["silent"])
        d = sluice("kill", own("stopped"))
        error_is(d, 125, own("stopped") + ": no such sandbox runs", rf"{p.pid}.* does not answer")
        with open(mark_of(p.pid), "wb", buffering=0) as pipe:  # somebody who is gone by the time it is read
            r, w = os.pipe()
            pipe.write(struct.pack("=IIiiiIQ", 0x736c7131, 3, 9, os.getpid(), w, 0, os.fstat(w).st_ino))
            os.close(r)
            os.close(w)
        p.send_signal(signal.SIGCONT)
        wait_for(lambda: p.pid in listed(), "it goes on")
        check(state_of(listed()[p.pid]["command_pid"]) == "S", "what was asked for meanwhile is not done later")
        check(sluice("kill", own("stopped")).status == 0 and p.wait() == 143)


def mark_of(pid):
    """The pipe of a supervisor, as a path."""
    for n in os.listdir(f"/proc/{pid}/fd"):
        link = os.readlink(f"/proc/{pid}/fd/{n}")
        if link.startswith("/memfd:sluice-running-"):
            return f"/proc/{pid}/fd/" + re.search(r"-(\d+) ", link)[1]
    raise AssertionError("no mark")


@case
def who_asks_and_does_not_read_holds_up_nobody():
    with Running("--name", own("patient"), script="trap 'echo usr1' USR1; echo up; while :; do sleep 0.05; done") as p:
        fd = os.open(mark_of(p.pid), os.O_WRONLY | os.O_NONBLOCK)
        ends = []
        for _ in range(12):  # more than can be waited for
            r, w = os.pipe()
            ends += [r, w]
            fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)
            os.write(fd, struct.pack("=IIiiiIQ", 0x736c7131, 2, 0, os.getpid(), w, 0, os.fstat(w).st_ino))
        p.send_signal(signal.SIGUSR1)
        check(line_of(p) == "usr1", "signals are passed on")
        wait_for(lambda: p.pid in listed(), "and it answers again")
        check(state_of(listed()[p.pid]["command_pid"]), "the command runs")
        for e in ends + [fd]:
            os.close(e)


@case
def nonsense_is_not_answered():
    with Running("--name", own("calm")) as p:
        command = listed()[p.pid]["command_pid"]
        path = mark_of(p.pid)
        r, w = os.pipe()
        ino = os.fstat(w).st_ino
        with open("plain", "wb") as plain:
            requests = [struct.pack("=IIiiiIQ", *x) for x in (
                (0x736c7131, 3, 9, 0, w, 0, ino), (0x736c7131, 3, 9, -1, w, 0, ino), (0x736c7131, 3, 9, os.getpid(), -1, 0, ino),
                (0x736c7131, 3, 9, os.getpid(), w, 0, ino + 1), (0x736c7131, 3, 9, os.getpid(), w, 0, 0),
                (0x736c7131, 3, 9, os.getpid(), plain.fileno(), 0, os.fstat(plain.fileno()).st_ino),
                (0x736c7131, 3, 9, 1 << 30, w, 0, ino), (0x736c7131, 9, 9, os.getpid(), w, 0, ino), (0x736c7131, 3, 0, os.getpid(), w, 0, ino),
                (0x736c7131, 3, 999, os.getpid(), w, 0, ino), (0x736c7130, 3, 9, os.getpid(), w, 0, ino))]
            generator = random.Random(7)
            for text in requests + [x[:n] for x in requests for n in (1, 31)] + [generator.randbytes(n) for n in (1, 32, 33, 512, 4096)]:
                fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
                try:
                    os.write(fd, text)
                except BlockingIOError:
                    pass
                os.close(fd)
            wait_for(lambda: p.pid in listed(), "it still answers")
            check(listed()[p.pid]["command_pid"] == command and not gone(command), "nothing was done")
        check(os.path.getsize("plain") == 0, "only pipes are written to")
        os.set_blocking(r, False)
        told = os.read(r, 65536)
        check(told.count(b'"error"') == 2 and told.count(b"Invalid argument") == 2, told)
        os.close(r)
        os.close(w)


@case
def ps_while_others_come_and_go():
    over = threading.Event()
    bad = []

    def churn():
        while not over.is_set():
            d = run("--", "true")
            if d.status != 0:
                bad.append(d)

    threads = [threading.Thread(target=churn) for _ in range(2)]
    with Running("--name", own("steady")) as p:
        for t in threads:
            t.start()
        try:
            for _ in range(30):
                check(p.pid in listed(), "it is always there")
        finally:
            over.set()
            for t in threads:
                t.join()
    check(not bad, bad[:1])


@long_case
def it_runs_when_it_can_not_be_found():
    without = {"env": {**os.environ, "LD_PRELOAD": PLUGINS["no_memfd"]}}
    mine = "--env", "LD_PRELOAD="  # what CMD would load may lie where nothing is granted
    d = run("--verbose", "--name", own("hidden"), *mine, "--", "sh", "-c", "exit 3", **without)
    check(d.status == 3 and f"sluice: {own('hidden')}: `sluice ps` won't show it: Operation not permitted\n" in d.err, d)
    d = sh("exit 3", *mine, **without)
    check(d.status == 3 and not d.err, d)
    p = start("--name", own("hidden"), *mine, "--", "sh", "-c", WAITS, **without)
    line_of(p)
    check(p.pid not in listed())
    p.terminate()
    p.communicate()
    check(p.returncode == 143, p.returncode)


@case
def standard_descriptors_that_are_closed():
    for closed in ("<&-", ">&- 2>&-", "<&- >&- 2>&-"):
        d = bare("sh", "-c", f"exec {SLUICE} run -- sh -c 'for n in 0 1 2; do [ ! -e /proc/self/fd/$n ] || echo $n; done >x; exit 3' {closed}")
        check(d.status == 3, d)
    p = subprocess.Popen(["sh", "-c", f"exec {SLUICE} run --name {own('closed')} -- sh -c 'exec sleep 100' <&- >&- 2>&-"])
    wait_for(lambda: p.pid in listed(), "it is listed")
    check(all(not os.path.exists(f"/proc/{p.pid}/fd/{n}") or "memfd" not in os.readlink(f"/proc/{p.pid}/fd/{n}") for n in range(3)))
    check(sluice("kill", own("closed")).status == 0 and p.wait() == 143)


def main(argv):
    global SLUICE, LIBRARY
    wanted = argv[argv.index("--") + 1:] if "--" in argv else []
    argv = argv[:argv.index("--")] if "--" in argv else argv
    if argv[0] == "--as-nobody":
        argv = argv[1:]
        if os.geteuid() == 0:
            return as_nobody(argv, wanted)
    argv = list(map(os.path.abspath, argv))
    SLUICE, LIBRARY = argv[0], argv[1]
    for path in argv[2:]:
        PLUGINS[os.path.basename(path)[:-3]] = path
    os.environ["PATH"] = "/usr/local/bin:/usr/bin:/bin"
    os.environ["LC_ALL"] = "C"
    for n in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):  # what the runner ignores, the commands would
        signal.signal(n, signal.SIG_DFL)
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        os.environ.pop(name, None)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="sluice-cli.") as work:
        os.chdir(work)
        for c in CASES:
            if c.__name__ not in wanted if wanted else hasattr(c, "long"):
                continue
            try:
                c()
                print(f"[       OK ] {c.__name__}", flush=True)
            except Exception:
                traceback.print_exc(file=sys.stdout)
                print(f"[  FAILED  ] {c.__name__}", flush=True)
                failed += 1
        os.chdir("/")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
