#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Any test suite that has a command for each case: bare and inside, compared line by line.

each-case.py [--as-nobody] [--way WAY]... [--tree DIR] [--lines REGEX] [--repeat N] [--timeout S] SLUICE COMMAND CASE...

COMMAND is one for sh, with {} for the CASE, and starts in a copy of DIR. It runs bare and once for each WAY of running it inside. Bare means without
capabilities and with no_new_privs, since that is what is promised inside. Compared are the exit status and the lines that match REGEX (of a match with
groups, the groups). What differs runs N times more on both sides: an outcome that was never seen on the other side is a difference. The last line sums up; the exit status is 1 where something differs.
"""
import collections
import re
import sys

import sides


def outcomes(options, status, text):
    """What is compared of one run: lines and how often each came."""
    found = collections.Counter([f"status {status}"])
    for line in text.splitlines() if options.lines else []:
        match = options.lines.search(line)
        if match:
            found[" ".join(g or "" for g in match.groups()) or match.group()] += 1
    return found


def near(text, line):
    """Where @line is in what was printed, with what came before it."""
    lines = text.splitlines()
    at = next((i for i, l in enumerate(lines) if line in l), len(lines))
    return lines[max(0, at - 12):at + 6]


def compare(options, both, way, case, bare, expected):
    """Lines that differ, each with its counts."""
    seen = [both.run(both.inside(way), ["sh", "-c", options.command.replace("{}", case)], options.tree)]
    n = [outcomes(options, *seen[0])]
    if n[0] in expected:
        return []
    for _ in range(options.repeat):
        expected.append(outcomes(options, *both.run(both.bare, bare, options.tree)))
        seen.append(both.run(both.inside(way), bare, options.tree))
        n.append(outcomes(options, *seen[-1]))
        if n[-1] in expected or n[0] in expected:
            print(f"  flickers {way} {case}")
            return []
    apart = [line for line in dict.fromkeys([*expected[0], *n[0]])
             if not {e[line] for e in expected} & {i[line] for i in n}]
    print(f"  {'DIFFERS' if apart else 'flickers'} {way} {case}", flush=True)
    for line in apart[:options.most]:
        print(f"    {line}: bare {[e[line] for e in expected]}, inside {[i[line] for i in n]}")
    for line in near(seen[0][1], next((line for line in apart if n[0][line]), "")) if apart else []:
        print(f"    | {line[:200]}")
    return apart


def main():
    parser = sides.parser(__doc__)
    parser.add_argument("--tree")
    parser.add_argument("--lines", type=re.compile)
    parser.add_argument("--most", type=int, default=12)
    parser.add_argument("command")
    parser.add_argument("cases", nargs="+")
    options = parser.parse_args()
    both = sides.Sides(options)
    same, differ, ways = 0, 0, options.way or sides.WAYS
    try:
        for case in options.cases:
            argv = ["sh", "-c", options.command.replace("{}", case)]
            first = both.run(both.bare, argv, options.tree)
            expected = [outcomes(options, *first)]
            print(f"{case}: {len(expected[0])} lines, {first[0]}", flush=True)
            for way in ways:
                apart = compare(options, both, way, case, argv, expected)
                differ += len(apart)
                same += len(expected[0]) - min(len(apart), len(expected[0]))
    finally:
        both.end()
    print(f"{same} same, {differ} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
