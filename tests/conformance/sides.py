# SPDX-License-Identifier: Apache-2.0
"""The two sides of a comparison by hand: a command bare, and inside in several ways. For the programs beside this file."""
import argparse
import os
import shutil
import signal
import subprocess
import tempfile

NOBODY = 65534
NET = ["--net-allow", "*", "--net-allow", "udp://*", "--net-allow", "icmp://*", "--net-allow-bind", "*"]
# The host's root by a name that is not taken for that: the same files, in a tree of one's own.
ANOTHER_ROOT = "/usr/.."
# BRANCHES stands for a directory that is made for the run, WHERE for the one that the command starts in.
WAYS = {
    "plain": ["-w", "/", *NET],
    "proc": ["-w", "/", "--proc", "own", *NET],
    "chroot": ["--chroot", ANOTHER_ROOT, "-w", "/", "--cwd", "WHERE", *NET],
    "cow": ["--workdir", "/", "--cwd", "WHERE", "--fs-storage", "BRANCHES", "--on-exit", "abort", *NET],
    "cow-dir": ["--workdir", "WHERE", "--fs-storage", "BRANCHES", "-w", "/", "--on-exit", "abort", *NET],
    "both": ["--chroot", ANOTHER_ROOT, "--workdir", "WHERE", "--fs-storage", "BRANCHES", "-w", "/", "--on-exit", "abort", *NET],
    "remap": ["-w", "/", "--port-remap", *NET],
}


def add_options(parser):
    parser.add_argument("--as-nobody", action="store_true")
    parser.add_argument("--way", action="append", choices=WAYS)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--timeout", type=int, default=600)
    parser.add_argument("sluice", type=os.path.abspath)


def remove(*directories):
    """By rm, since a suite may leave a tree that is too deep for Python."""
    subprocess.run(["rm", "-rf", *directories], stderr=subprocess.DEVNULL, check=False)


class Sides:
    """Makes the scratch directory, and becomes nobody where that is asked for."""

    def __init__(self, options, *files):
        """@files are copied to where an ordinary user reaches them; `files` has their names then."""
        self.timeout = options.timeout
        self.sluice = options.sluice
        self.files = list(files)
        self.bare = ["setpriv", "--no-new-privs"]
        self.scratch = tempfile.mkdtemp(prefix="sluice-sides.")
        if os.getuid() == 0:
            if options.as_nobody:
                self._become_nobody()
            else:
                self.bare += ["--bounding-set=-all", "--inh-caps=-all"]

    def _become_nobody(self):
        self.sluice, *self.files = [shutil.copy(name, self.scratch) for name in (self.sluice, *self.files)]
        os.chown(self.scratch, NOBODY, NOBODY)
        os.chmod(self.scratch, 0o755)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)

    def inside(self, way):
        return [self.sluice, "run", *WAYS[way], "--quiet", "--"]

    def run(self, prefix, argv, tree=None, pass_fds=()):
        """One run in a directory of its own, which is a copy of @tree if that is given. Returns (status, what it printed)."""
        where = tempfile.mkdtemp(prefix="run-", dir=self.scratch)
        branches = tempfile.mkdtemp(prefix="branches-", dir=self.scratch)
        if tree:
            subprocess.run(["cp", "-a", "--no-preserve=ownership", tree + "/.", where], check=True)
        os.makedirs(os.path.join(where, "tmp"), exist_ok=True)
        env = dict(os.environ, HOME=where, TMPDIR=os.path.join(where, "tmp"), LC_ALL="C.UTF-8",
                   PYTHONDONTWRITEBYTECODE="1")
        prefix = [{"WHERE": where, "BRANCHES": branches}.get(word, word) for word in prefix]
        with tempfile.TemporaryFile("w+", dir=self.scratch, errors="replace") as printed:
            child = subprocess.Popen([*prefix, *argv], cwd=where, env=env, stdin=subprocess.DEVNULL, stdout=printed,
                                     stderr=subprocess.STDOUT, pass_fds=pass_fds, process_group=0)
            try:
                child.wait(self.timeout)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            printed.seek(0)
            text = printed.read().replace(where, "WHERE")
        subprocess.run(["chmod", "-R", "u+rwx", where], stderr=subprocess.DEVNULL, check=False)
        remove(where, branches)
        return child.returncode, text

    def end(self):
        remove(self.scratch)


def parser(usage):
    made = argparse.ArgumentParser(usage=usage)
    add_options(made)
    return made
