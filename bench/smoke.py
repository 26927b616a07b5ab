#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A bench runs and its JSON has the keys that docs/benchmarks.md names.

usage: smoke.py PROGRAM BENCH. Figures are not judged here, but each must be a number that a measurement could give.
"""
import json
import os
import subprocess
import sys
import tempfile

META = {"bench", "kernel", "cpu", "cpus", "commit", "options", "date", "rounds", "quick"}
BENCHES = {
    "notify_latency": (
        ["--only", "noop"],
        {"name", "mode", "clients", "sandboxes", "chain", "handler_us", "blocking_pct", "p50_us", "p90_us", "p99_us",
         "p999_us", "max_us", "ops_s", "cpu_us_per_call", "floor_p50_us", "floor_ops_s", "ratio", "ops_ratio"},
        {("noop", "adaptive"), ("noop", "pool"), ("noop", "inline"), ("noop", "recv-send"), ("noop", "pinned")},
    ),
    "idle": ([], {"name", "sandboxes"}, {("memory", ""), ("neighbour", "")}),
    "files": (["--only", "stat,open,open_copied,readlink,access,copy_up,commit,rm"],
              {"name", "bare_us", "chroot_us", "cow_us", "floor_us", "ratio", "cow_ratio"},
              {("stat", ""), ("open", ""), ("open_copied", ""), ("readlink", ""), ("access", ""), ("copy_up", ""),
               ("commit", ""), ("rm", "")}),
    "net": (["--only", "connect,connect_all,http,http_both,stream,ping_pong,black_hole,maps,python"],
            {"name", "unit", "bare", "inside", "floor_us", "cost"},
            {(name, "") for name in ("connect", "connect_all", "http", "http_both", "stream", "ping_pong", "black_hole", "maps",
                                     "python")}),
    "startup": ([], {"name", "p50_us", "p90_us", "max_us", "ratio"},
                {("posix_spawn", ""), ("library_cold", ""), ("library_warm", "")}),
}


# of files: what copy-on-write does at a time
DEED = {"name", "reference_ms", "cow_ms", "ratio", "idle_p99_us", "busy_p99_us"}


def check(condition, what):
    if not condition:
        sys.exit(f"smoke: {what}")


def check_row(row, keys):
    check(keys <= row.keys(), f"row {row} lacks {keys - row.keys()}")
    for key in keys - {"name", "mode", "unit"}:
        check(isinstance(row[key], (int, float)) and row[key] >= 0, f"{key} is {row[key]}")
    if "unit" in keys:
        check(row["bare"] > 0 and row["inside"] > 0, f"row {row} was not measured")
    if "p999_us" in keys:
        order = [row[k] for k in ("p50_us", "p90_us", "p99_us", "p999_us", "max_us")]
        check(order == sorted(order) and order[0] > 0, f"percentiles out of order: {order}")
        check(row["ops_s"] > 0 and row["floor_ops_s"] > 0, "nothing was counted")


def main(program, bench):
    args, keys, expected = BENCHES[bench]
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "out.json")
        run = subprocess.run([program, "--quick", "--rounds", "1", "--json", path, *args])
        check(run.returncode == 0, f"exit status {run.returncode}")
        with open(path, encoding="utf-8") as f:
            out = json.load(f)
    check(META <= out["meta"].keys(), f"meta lacks {META - out['meta'].keys()}")
    check(out["meta"]["rounds"] == 1 and out["meta"]["quick"] is True, "options are not in meta")
    for row in out["rows"]:
        if "skipped" not in row:
            check_row(row, DEED if "reference_ms" in row else keys)
    got = {(r["name"], r.get("mode", "")) for r in out["rows"] if "skipped" not in r}
    check(expected <= got, f"rows {sorted(expected - got)} are missing")
    # what is not there can't be measured, and says so
    bad = subprocess.run([program, "--no-such-option"], capture_output=True)
    check(bad.returncode == 2 and b"usage" in bad.stderr, "an unknown option was taken")


if __name__ == "__main__":
    main(*sys.argv[1:])
