#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run tests of a build directory and count their cases.

A program of cmocka counts case by case, any other one as one. Exit code 77 is a skip. What is skipped is listed with its reason, what failed with
the end of its output; the last line is "N passed, N failed, N skipped". Exit status 0 when nothing failed.
"""
import argparse
import json
import os
import re
import signal
import subprocess
import sys

CASE = re.compile(r"\[\s*(OK|FAILED|SKIPPED|ERROR)\s*\] (\S+)\s*$")
SHOWN_LINES = 80


def introspect(build):
    out = subprocess.check_output(["meson", "introspect", build, "--tests"])
    tests = []
    for t in json.loads(out):
        suite = t["suite"][0].split(":")[-1] if t["suite"] else ""
        tests.append((suite, t["name"]))
    return tests


def select(tests, wanted):
    """Tests that a wanted word names: suite, name, suite/name, or part of a name."""
    chosen = []
    for word in wanted:
        hits = [t for t in tests if word in (t[0], t[1], "/".join(t))]
        hits = hits or [t for t in tests if word in t[1]]
        if not hits:
            sys.exit(f"test: {word}: no such suite or test")
        chosen += [t for t in hits if t not in chosen]
    return chosen


class Counts:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []

    def add(self, entry):
        name = entry["name"].split(" / ")[-1]
        text = entry.get("stdout", "") + "\n" + entry.get("stderr", "")
        lines = text.splitlines()
        before = len(self.failed)
        n = self.cases(name, lines)
        result = entry["result"]
        if result == "SKIP":
            self.skipped.append((name, self.reason(lines, len(lines))))
        elif result in ("OK", "EXPECTEDFAIL"):
            self.passed += n == 0
        elif len(self.failed) == before:
            self.failed.append((name, f"{result} (exit status {entry.get('returncode')})", text))
            return
        if len(self.failed) > before:
            case, why, _ = self.failed[before]
            self.failed[before] = (case, why, text)

    def cases(self, name, lines):
        """Count the case lines of one program. A case that failed is named twice: at its place and in the summary."""
        seen = set()
        for i, line in enumerate(lines):
            m = CASE.search(line)
            if not m or m.group(2) in seen or not re.match(r"[A-Za-z_]", m.group(2)):
                continue
            state, case = m.groups()
            seen.add(case)
            full = f"{name}: {case}"
            if state == "OK":
                self.passed += 1
            elif state == "SKIPPED":
                self.skipped.append((full, self.reason(lines, i)))
            else:
                self.failed.append((full, "failed", ""))
        return len(seen)

    @staticmethod
    def reason(lines, end):
        """The nearest line before @end that is not cmocka's own."""
        for line in reversed(lines[:end]):
            line = line.strip()
            if line and not line.startswith("["):
                return re.sub(r"^skip(ped)?:\s*", "", line)
            if CASE.search(line):
                break
        return "no reason given"


def parse(argv):
    p = argparse.ArgumentParser(prog="./dev test")
    p.add_argument("build")
    p.add_argument("wanted", nargs="*", metavar="NAME")
    p.add_argument("--slow", type=int, default=1, help="stretch time-outs by this factor")
    p.add_argument("--wrap", help="run each test under this command")
    p.add_argument("--repeat", type=int, default=1)
    p.add_argument("--verbose", action="store_true")
    p.add_argument("--list", action="store_true")
    return p.parse_intermixed_args(argv)


def main(argv):
    args = parse(argv)
    tests = introspect(args.build)
    chosen = select(tests, args.wanted) if args.wanted else tests
    if args.list:
        print("\n".join("/".join(t) for t in chosen))
        return 0
    log = os.path.join(args.build, "meson-logs", "testlog.json")
    if args.wrap:
        log = log.replace("testlog", "testlog-" + args.wrap.split()[0])
    if os.path.exists(log):
        os.unlink(log)
    command = ["meson", "test", "-C", args.build, "--no-rebuild", "-t", str(args.slow)]
    command += ["--repeat", str(args.repeat)] if args.repeat > 1 else []
    command += ["--wrapper", args.wrap] if args.wrap else []
    command += [t[1] for t in chosen] if args.wanted else []
    # a shell that started us in the background ignores these two, and so would every command that a test starts
    for s in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(s) == signal.SIG_IGN:
            signal.signal(s, signal.SIG_DFL)
    quiet = None if args.verbose else subprocess.PIPE
    run = subprocess.run(command, stdout=quiet, stderr=subprocess.STDOUT if quiet else None)
    counts = Counts()
    if os.path.exists(log):
        with open(log, encoding="utf-8", errors="replace") as f:
            for line in f:
                counts.add(json.loads(line))
    elif chosen:
        sys.stdout.write((run.stdout or b"").decode(errors="replace"))
        counts.failed.append(("meson test", f"exit status {run.returncode}", ""))
    report(counts)
    return 1 if counts.failed else 0


def report(counts):
    for name, why, text in counts.failed:
        print(f"FAILED  {name}: {why}")
        for line in text.rstrip().splitlines()[-SHOWN_LINES:]:
            print(f"        {line}")
    for name, why in counts.skipped:
        print(f"skipped {name}: {why}")
    print(f"{counts.passed} passed, {len(counts.failed)} failed, {len(counts.skipped)} skipped")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
