#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Python's own tests (Debian's libpython3-testsuite) bare and inside, compared test by test.

python-modules.py [--as-nobody] [--way WAY]... [--repeat N] [--timeout S] SLUICE [MODULE]...

Each module runs bare and once for each WAY of running it inside. Bare means without capabilities and with no_new_privs, since that is what is promised
inside. Tests with another outcome are run alone, on both sides, N times more: who is then never the same is a difference. The last line sums up; the exit
status is 1 where something differs. What docs/differences.md names is counted as known.
"""
import collections
import json
import os
import sys
import tempfile

import sides

PYTHON = "/usr/bin/python3"  # whose tests the package has
MODULES = ["test_socket", "test_asyncio", "test_subprocess", "test_os", "test_posix", "test_urllib"]
WHOLE = " as a whole"
TREES = {"chroot", "cow", "cow-dir", "both"}
# Parts of the names of tests, the line of docs/differences.md that they meet, and the ways where they do.
KNOWN = [
    ("UDPLITE", "UDP-Lite", sides.WAYS),
    ("GeneralModuleTests.testHostnameRes", "uname node name", sides.WAYS),
    ("GeneralModuleTests.testSockName", "uname node name", sides.WAYS),
    ("test_ip_getnode", "netlink", sides.WAYS),
    ("test_create_datagram_endpoint_existing_sock_unix", "datagram sockets", TREES),
    ("test_create_datagram_endpoint_sock_unix", "datagram sockets", TREES),
    ("test_create_unix_server_path_dgram", "datagram sockets", TREES),
]


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


def run(both, prefix, module, patterns):
    """One run of a module: outcomes by test, and reasons by test."""
    # A descriptor from outside: no branch takes the report, and no tree hides it.
    with tempfile.NamedTemporaryFile(dir=both.scratch) as report:
        probe_here = [PYTHON, both.files[0], "--probe", str(report.fileno()), module, *patterns]
        status, printed = both.run(prefix, probe_here, pass_fds=[report.fileno()])
        outcomes, why, ended = read_report(report.name)
    if not ended:
        whole = f"test.{module}{WHOLE}"
        outcomes[whole] = f"ended early with {status}"
        why[whole] = printed
    return outcomes, why


def compare(options, both, module, way, expected):
    """A module inside, one WAY. Returns how many tests there were, and those that differ."""
    inside = both.inside(way)
    seen, why = run(both, inside, module, [])
    apart = [t for t in dict.fromkeys([*expected, *seen]) if expected.get(t) != seen.get(t)]
    known = [t for t in apart if any(part in t and way in ways for part, _, ways in KNOWN)]
    apart = [t for t in apart if t not in known]
    rounds = {t: [] for t in apart}
    for _ in range(options.repeat if apart else 0):
        names = ["*" + t.split()[-1].strip("()") + "*" for t in apart]
        again, inner = run(both, both.bare, module, names)[0], run(both, inside, module, names)
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


def main():
    if sys.argv[1:2] == ["--probe"]:
        return probe(sys.argv[3], int(sys.argv[2]), sys.argv[4:])
    parser = sides.parser(__doc__)
    parser.add_argument("modules", nargs="*", default=MODULES)
    options = parser.parse_args()
    both = sides.Sides(options, os.path.abspath(__file__), sides.__file__)
    same = differ = 0
    try:
        for module in options.modules:
            expected, _ = run(both, both.bare, module, [])
            print(f"{module}: bare {dict(collections.Counter(expected.values()))}", flush=True)
            for way in options.way or sides.WAYS:
                n, differing = compare(options, both, module, way, expected)
                same += n - len(differing)
                differ += len(differing)
    finally:
        both.end()
    print(f"{same} same, {differ} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
