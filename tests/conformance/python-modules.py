#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Python's own tests (Debian's libpython3-testsuite) bare and inside, compared test by test.

python-modules.py [--as-nobody] [--way WAY]... [--repeat N] [--timeout S] SLUICE [MODULE]...

Each module runs bare and once for each WAY of running it inside. Bare means without capabilities and with no_new_privs, since that is what is promised
inside. Tests with another outcome are run alone, on both sides, N times more: who is then never the same is a difference. The last line sums up; the exit
status is 1 where something differs. What docs/differences.md names is counted as known.
"""
import argparse
import collections
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

NOBODY = 65534
PYTHON = "/usr/bin/python3"  # whose tests the package has
NET = ["--net-allow", "*", "--net-allow", "udp://*", "--net-allow", "icmp://*", "--net-allow-bind", "*"]
# BRANCHES stands for a directory that is made for the run, WHERE for the one that the tests run in.
WAYS = {
    "plain": ["-w", "/", *NET],
    "proc": ["-w", "/", "--proc", "own", *NET],
    "chroot": ["--chroot", "/", "-w", "/", *NET],
    "cow": ["--workdir", "/", "--cwd", "WHERE", "--fs-storage", "BRANCHES", "--on-exit", "abort", *NET],
    "cow-dir": ["--workdir", "WHERE", "--fs-storage", "BRANCHES", "-w", "/", "--on-exit", "abort", *NET],
    "remap": ["-w", "/", "--port-remap", *NET],
}
MODULES = ["test_socket", "test_asyncio", "test_subprocess", "test_os", "test_posix", "test_urllib"]
WHOLE = " as a whole"
# Parts of the names of tests, and the line of docs/differences.md that they meet.
KNOWN = {
    "UDPLITE": "UDP-Lite",
    "GeneralModuleTests.testHostnameRes": "uname node name",
    "GeneralModuleTests.testSockName": "uname node name",
    **{f"test_epoll.TestEPoll.{name}": "connect of a TCP socket that does not block"
       for name in ("test_add", "test_control_and_wait", "test_fromfd", "test_unregister_closed")},
    "test_ip_getnode": "netlink",
}


def probe(module, out, patterns):
    """In the process that is compared: run the tests and write a line for each when it starts and when its outcome is known."""
    import unittest

    from test import support

    support.use_resources = ["subprocess", "walltime", "cpu"]
    report = open(out, "w", buffering=1)

    def say(test, outcome, why=""):
        print(json.dumps([test.id(), outcome, str(why)[-2000:]]), file=report)

    class Result(unittest.TextTestResult):
        def startTest(self, test):
            say(test, "started")
            super().startTest(test)

        def addSuccess(self, test):
            say(test, "ok")
            super().addSuccess(test)

        def addFailure(self, test, err):
            say(test, "FAIL", self._exc_info_to_string(err, test))
            super().addFailure(test, err)

        def addError(self, test, err):
            say(test, "ERROR", self._exc_info_to_string(err, test))
            super().addError(test, err)

        def addSkip(self, test, reason):
            say(test, "skipped", reason)
            super().addSkip(test, reason)

        def addExpectedFailure(self, test, err):
            say(test, "expected failure")
            super().addExpectedFailure(test, err)

        def addUnexpectedSuccess(self, test):
            say(test, "unexpected success")
            super().addUnexpectedSuccess(test)

        def addSubTest(self, test, subtest, err):
            if err is not None:
                say(test, "FAIL", f"{subtest}: {self._exc_info_to_string(err, test)}")
            super().addSubTest(test, subtest, err)

    loader = unittest.TestLoader()
    loader.testNamePatterns = patterns or None
    try:
        suite = loader.loadTestsFromName("test." + module)
    except unittest.SkipTest as skip:
        print(json.dumps([module, "skipped", str(skip)]), file=report)
        suite = unittest.TestSuite()
    unittest.TextTestRunner(verbosity=2, resultclass=Result).run(suite)
    print(json.dumps(["end", "end", ""]), file=report)
    report.close()
    return 0


def read_report(path):
    """Outcomes by test: a test that was begun and has none has `died`."""
    outcomes, why = collections.OrderedDict(), {}
    ended = False
    with open(path) as lines:
        for line in lines:
            test, outcome, text = json.loads(line)
            if outcome == "end":
                ended = True
            elif outcome == "started":
                outcomes.setdefault(test, "died")
            elif outcomes.get(test, "died") in ("died", "ok"):
                outcomes[test] = outcome
                why[test] = text
    return outcomes, why, ended


def run(options, prefix, module, patterns):
    """One run of a module: outcomes by test, and reasons by test."""
    where = tempfile.mkdtemp(prefix="run-", dir=options.scratch)
    branches = tempfile.mkdtemp(prefix="branches-", dir=options.scratch)
    os.mkdir(os.path.join(where, "tmp"))
    env = dict(os.environ, HOME=where, TMPDIR=os.path.join(where, "tmp"), LC_ALL="C.UTF-8", PYTHONDONTWRITEBYTECODE="1")
    prefix = [{"WHERE": where, "BRANCHES": branches}.get(word, word) for word in prefix]
    # A descriptor from outside: no branch takes the report, and no tree hides it.
    with tempfile.NamedTemporaryFile(dir=options.scratch) as report, \
            tempfile.TemporaryFile("w+", dir=options.scratch, errors="replace") as printed:
        argv = [*prefix, PYTHON, options.probe, "--probe", str(report.fileno()), module, *patterns]
        child = subprocess.Popen(argv, cwd=where, env=env, stdin=subprocess.DEVNULL, stdout=printed,
                                 stderr=subprocess.STDOUT, pass_fds=[report.fileno()], process_group=0)
        try:
            child.wait(options.timeout)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        outcomes, why, ended = read_report(report.name)
        printed.seek(0)
        if not ended:
            whole = f"test.{module}{WHOLE}"
            outcomes[whole] = f"ended early with {child.returncode}"
            why[whole] = printed.read()
    shutil.rmtree(where, ignore_errors=True)
    shutil.rmtree(branches, ignore_errors=True)
    return outcomes, why


def compare(options, bare, module, way, expected):
    """A module inside, one WAY. Returns how many tests there were, and those that differ."""
    inside = [options.sluice, "run", *WAYS[way], "--quiet", "--"]
    seen, why = run(options, inside, module, [])
    apart = [t for t in dict.fromkeys([*expected, *seen]) if expected.get(t) != seen.get(t)]
    known = [t for t in apart if any(part in t for part in KNOWN)]
    apart = [t for t in apart if t not in known]
    rounds = {t: [] for t in apart}
    for _ in range(options.repeat if apart else 0):
        names = ["*" + t.split()[-1].strip("()") + "*" for t in apart]
        again, inner = run(options, bare, module, names)[0], run(options, inside, module, names)
        for t in apart:
            rounds[t].append((again.get(t), inner[0].get(t)))
            why[t] = inner[1].get(t) or why.get(t, "")
    differing = [t for t in apart if t.endswith(WHOLE) or not any(a == b for a, b in rounds[t])]
    for t in apart:
        word = "DIFFERS" if t in differing else "flickers"
        print(f"  {word} {t}: bare {expected.get(t)}, inside {seen.get(t)}; alone {rounds[t]}")
        print("    " + "\n    ".join(why.get(t, "").strip().split("\n")[-8:]))
    print(f"  {way}: {len(seen)} tests, {len(known)} known, {len(differing)} differ", flush=True)
    return len(seen), differing


def as_nobody(options):
    """What is needed goes to where an ordinary user reaches it; the rest of the run is that user's."""
    for name in ("sluice", "probe"):
        setattr(options, name, shutil.copy(getattr(options, name), options.scratch))
    os.chown(options.scratch, NOBODY, NOBODY)
    os.chmod(options.scratch, 0o755)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def main():
    if sys.argv[1:2] == ["--probe"]:
        return probe(sys.argv[3], int(sys.argv[2]), sys.argv[4:])
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--as-nobody", action="store_true")
    parser.add_argument("--way", action="append", choices=WAYS)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--timeout", type=int, default=600)
    parser.add_argument("sluice", type=os.path.abspath)
    parser.add_argument("modules", nargs="*", default=MODULES)
    options = parser.parse_args()
    options.probe = os.path.abspath(__file__)
    options.scratch = tempfile.mkdtemp(prefix="sluice-python.")
    bare = ["setpriv", "--no-new-privs"]
    same = differ = 0
    try:
        if os.getuid() == 0:
            if options.as_nobody:
                as_nobody(options)
            else:
                bare += ["--bounding-set=-all", "--inh-caps=-all"]
        for module in options.modules:
            expected, _ = run(options, bare, module, [])
            print(f"{module}: bare {dict(collections.Counter(expected.values()))}", flush=True)
            for way in options.way or WAYS:
                n, differing = compare(options, bare, module, way, expected)
                same += n - len(differing)
                differ += len(differing)
    finally:
        shutil.rmtree(options.scratch, ignore_errors=True)
    print(f"{same} same, {differ} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
