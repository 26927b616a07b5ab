#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every call that takes a name, on every kind of thing that a name of a union tree can be: bare and inside, compared case by case.

name-matrix.py [--as-nobody] [--way WAY]... [--calls REGEX] SLUICE

A case is one call on one name, or on a pair of them, in a directory of its own. What the name is was there before the run, was made, changed, moved or
removed in it. Compared are the result or errno, then the whole directory: types, modes, contents, link counts, what readdir says of each entry, and
whether things kept their device and inode number. What docs/differences.md names is counted apart. The last line sums up; the exit status is 1 where something differs.
"""
import ctypes
import errno
import itertools
import os
import re
import shutil
import socket
import stat
import sys

import sides

AT_FDCWD, AT_SYMLINK_FOLLOW, NOREPLACE, EXCHANGE = -100, 0x400, 1, 2
LIBC = ctypes.CDLL(None, use_errno=True)
CASES_A_FOLDER = 500


def write(path, text="xyz"):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def populate(path):
    os.mkdir(path)
    write(path + "/a", "a")
    os.mkdir(path + "/s")
    write(path + "/s/b", "b")
    os.symlink("a", path + "/l")


def link_to(make, end=""):
    """Makes a symbolic link to what @make makes beside it."""
    def both(path):
        make(path + ".t")
        os.symlink(os.path.basename(path) + ".t" + end, path)
    return both


def twice(path):
    write(path)
    os.link(path, path + ".h")


def read_only(path):
    populate(path)
    os.chmod(path, 0o555)


def empty(path):
    for name in ("a", "l", "s/b"):
        os.unlink(f"{path}/{name}")
    os.rmdir(path + "/s")


def in_turn(*steps):
    def all_of(path):
        for step in steps:
            step(path)
    return all_of


def nothing(_path):
    pass


MADE = {
    "file": write, "empty": os.mkdir, "dir": populate, "read-only": read_only, "names": twice, "fifo": os.mkfifo,
    "to-file": link_to(write), "to-file/": link_to(write, "/"), "to-dir": link_to(populate), "to-dir/": link_to(populate, "/s/"),
    "to-nothing": lambda path: os.symlink("nowhere", path), "to-itself": lambda path: os.symlink(os.path.basename(path), path),
    "to-link": link_to(link_to(write)),
}
# What happens in the run to what was there before.
CHANGED = {
    "file chmod": ("file", lambda path: os.chmod(path, 0o600)),
    "dir with-new": ("dir", lambda path: write(path + "/new")),
    "names chmod": ("names", lambda path: os.chmod(path + ".h", 0o600)),
    "names one-gone": ("names", lambda path: os.unlink(path + ".h")),
    "file gone": ("file", os.unlink),
    "dir gone": ("dir", shutil.rmtree),
    "dir anew": ("dir", in_turn(shutil.rmtree, os.mkdir, lambda path: write(path + "/z", "z"))),
    "dir emptied": ("dir", empty),
    "dir thinned": ("dir", lambda path: os.unlink(path + "/a")),
    "file now-dir": ("file", in_turn(os.unlink, os.mkdir)),
    "dir now-file": ("dir", in_turn(shutil.rmtree, write)),
    "to-dir now-file": ("to-dir", in_turn(os.unlink, write)),
    "file moved": ("file", lambda path: os.rename(path, path + ".m")),
    "file back": ("file", in_turn(lambda path: os.rename(path, path + ".m"), lambda path: os.rename(path + ".m", path))),
}
# Kind of thing: (what is made before the run, what is done in it).
KINDS = {
    "none": (nothing, nothing),
    **{kind: (make, nothing) for kind, make in MADE.items()},
    **{"new " + kind: (nothing, make) for kind, make in MADE.items()},
    **{kind: (MADE[before], change) for kind, (before, change) in CHANGED.items()},
}
FLAGS = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR, "creat": os.O_CREAT, "excl": os.O_EXCL, "trunc": os.O_TRUNC,
         "append": os.O_APPEND, "dir": os.O_DIRECTORY, "nofollow": os.O_NOFOLLOW}
OPENS = ["r", "w", "rw", "r trunc", "w trunc", "w append", "r creat", "w creat", "r creat excl", "w creat excl", "w creat trunc", "r dir",
         "r creat dir", "r nofollow", "w nofollow", "r nofollow dir", "r nofollow creat", "w creat excl nofollow trunc"]


STAYS = {"empty", "dir", "read-only", "dir with-new", "dir emptied", "dir thinned"}
TWO_NAMES = {"names", "names one-gone"}


def opened(words):
    flags = os.O_NONBLOCK
    for word in words.split():
        flags |= FLAGS[word]

    def act(path):
        fd = os.open(path, flags, 0o664)
        try:
            kind = stat.S_IFMT(os.fstat(fd).st_mode)
            if kind == stat.S_IFDIR:
                return sorted(os.listdir(fd))
            if kind == stat.S_IFREG:
                return os.write(fd, b"W") if flags & os.O_ACCMODE else os.read(fd, 9)
            return oct(kind)
        finally:
            os.close(fd)
    return act


def entered(path):
    """chdir, and what the directory and the one above it look like from there."""
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path)
        return os.path.basename(os.getcwd()), sorted(os.listdir(".")), sorted(os.listdir(".."))
    finally:
        os.fchdir(before)
        os.close(before)


def bound(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path)


def checked(result):
    if result:
        raise OSError(ctypes.get_errno(), "")


def renamed(flags):
    return lambda a, b: checked(LIBC.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), flags))


def linked(flags):
    return lambda a, b: checked(LIBC.linkat(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), flags))


ONE = {
    **{"open " + words: opened(words) for words in OPENS},
    "mkdir": os.mkdir, "rmdir": os.rmdir, "unlink": os.unlink, "readlink": os.readlink, "mkfifo": os.mkfifo, "bind": bound,
    "symlink": lambda path: os.symlink("target", path), "chmod": lambda path: os.chmod(path, 0o711), "chdir": entered,
    "truncate": lambda path: os.truncate(path, 1), "extend": lambda path: os.truncate(path, 5),
    "utimens": lambda path: os.utime(path, (1, 2)), "lutimens": lambda path: os.utime(path, (1, 2), follow_symlinks=False),
    "stat": lambda path: oct(os.stat(path).st_mode), "lstat": lambda path: oct(os.lstat(path).st_mode),
    "access": lambda path: [os.access(path, mode) for mode in (os.F_OK, os.R_OK, os.W_OK, os.X_OK)],
    "setxattr": lambda path: os.setxattr(path, "user.x", b"1"), "listxattr": os.listxattr,
    "rmdir .": lambda path: os.rmdir(path + "/."), "rmdir ..": lambda path: os.rmdir(path + "/.."),
    "mkdir below": lambda path: os.mkdir(path + "/new/"), "creat below": lambda path: write(path + "/new"),
    "list ..": lambda path: sorted(os.listdir(path + "/..")),
}
TWO = {"rename": os.rename, "link": linked(0)}
TWO_BARE = {"rename noreplace": renamed(NOREPLACE), "rename exchange": renamed(EXCHANGE), "link follow": linked(AT_SYMLINK_FOLLOW)}
ODD = {"itself": "./x", "below": "x/in", "above": "../."}


def all_cases():
    """(call, kind of x, kind of y or None, arguments)"""
    for call, kind, end in itertools.product(ONE, KINDS, ("", "/")):
        yield call, kind, None, ("x" + end,)
    for call, kind, other in itertools.product({**TWO, **TWO_BARE}, KINDS, KINDS):
        for one, two in itertools.product(("", "/"), repeat=2) if call in TWO else [("", "")]:
            yield call, kind, other, ("x" + one, "y" + two)
    for call, kind, to in itertools.product(TWO, KINDS, ODD.values()):
        yield call, kind, None, ("x", to)


def cases(wanted):
    """Those of calls that match @wanted, numbered."""
    return enumerate(case for case in all_cases() if re.match(wanted, case[0]))


def folder(top, number):
    return os.path.join(top, str(number // CASES_A_FOLDER), f"c{number}")


def make_before(top, wanted):
    for number, (_, kind, other, _) in cases(wanted):
        where = folder(top, number)
        os.makedirs(where)
        KINDS[kind][0](where + "/x")
        if other:
            KINDS[other][0](where + "/y")


def content(path, what):
    if stat.S_ISLNK(what.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(what.st_mode):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()


def look():
    """All that is below the working directory: (lines, path -> (device, inode))."""
    lines, identity = [], {}
    for top, folders, _ in os.walk("."):
        folders.sort()
        for entry in sorted(os.scandir(top), key=lambda entry: entry.name):
            what = os.lstat(entry.path)
            identity[entry.path] = (what.st_dev, what.st_ino)
            said = (entry.inode() == what.st_ino and entry.is_symlink() == stat.S_ISLNK(what.st_mode)
                    and entry.is_dir(follow_symlinks=False) == stat.S_ISDIR(what.st_mode))
            n_links = 0 if stat.S_ISDIR(what.st_mode) else what.st_nlink
            lines.append(f"{entry.path} {what.st_mode:o} {content(entry.path, what)} links={n_links}{'' if said else ' readdir-differs'}")
    return lines, identity


def outcome(call, arguments):
    try:
        return f"= {call(*arguments)}"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))


def run(top, wanted):
    calls = {**ONE, **TWO, **TWO_BARE}
    for number, (call, kind, other, arguments) in cases(wanted):
        os.chdir(folder(top, number))
        KINDS[kind][1]("x")
        if other:
            KINDS[other][1]("y")
        _, before = look()
        result = outcome(calls[call], arguments)
        lines, after = look()
        kept = sum(identity in after.values() for identity in before.values())
        print(" | ".join([f"{call}({', '.join(arguments)}) x: {kind}, y: {other}", result, f"kept={kept}", *lines]))


def named(call, bare, inside):
    """Whether docs/differences.md names it: directories that were there before do not move, nor are links counted of what was not copied."""
    kinds = set(call.split(") x: ")[1].split(", y: "))
    if inside[0] == "EXDEV" and call.startswith("rename"):
        return bool(kinds & STAYS)
    return bool(kinds & TWO_NAMES) and [field.split(" links=")[0] for field in bare] == [field.split(" links=")[0] for field in inside]


def main():
    if sys.argv[1:2] == ["--run"]:
        os.umask(0o022)
        run(sys.argv[2], sys.argv[3])
        return 0
    parser = sides.parser(__doc__)
    parser.add_argument("--calls", default="")
    options = parser.parse_args()
    both = sides.Sides(options, os.path.abspath(__file__), os.path.abspath(sides.__file__))
    same = differ = known = 0
    try:
        tree = os.path.join(both.scratch, "tree")
        make_before(tree, options.calls)
        argv = ["sh", "-c", 'exec python3 "$0" --run "$PWD" "$1"', both.files[0], options.calls]
        expected = both.run(both.bare, argv, tree)[1].splitlines()
        for way in options.way or ["cow-dir", "both", "chroot"]:
            got = both.run(both.inside(way), argv, tree)[1].splitlines()
            for bare, inside in itertools.zip_longest(expected, got, fillvalue=""):
                call, *there = bare.split(" | ")
                again, *here = inside.split(" | ")
                if bare == inside:
                    same += 1
                elif call == again and named(call, there, here):
                    known += 1
                else:
                    differ += 1
                    print(f"  DIFFERS {way}\n    bare   {bare}\n    inside {inside}")
    finally:
        both.end()
    print(f"{same} same, {known} named, {differ} differ")
    return 1 if differ or not same else 0


if __name__ == "__main__":
    sys.exit(main())
