#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""names.py OUTPUT.c FIRST COMPILER...: the definitions of names.h, the system calls of the compiler's target whose number is below FIRST, in the order of their names.

The numbers are those of the kernel's header as the compiler sees it. Below FIRST (the first number that all architectures share) nothing is ever
added, so any header will do.
"""

import re
import subprocess
import sys

output, first, compiler = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
NO_CALLS = {"syscalls", "arch_specific_syscall"}


def preprocess(text, *options):
    return subprocess.run(
        [*compiler, "-E", "-P", *options, "-x", "c", "-"],
        input=text, stdout=subprocess.PIPE, check=True, encoding="ascii",
    ).stdout


include = "#include <asm/unistd.h>\n"
macros = preprocess(include, "-dM")
names = sorted(set(re.findall(r"^#define __NR_(\w+)\s", macros, re.M)) - NO_CALLS)
values = preprocess(include + "".join(f'"{name}" __NR_{name}\n' for name in names))
calls = [(m[1], int(m[2])) for m in re.finditer(r'^"(\w+)" (\d+)$', values, re.M)]
calls = [(name, nr) for name, nr in calls if nr < first]
if len(calls) < 200:
    sys.exit(f"names.py: {len(calls)} system calls in <asm/unistd.h>: that can't be all")
with open(output, "w", encoding="ascii") as out:
    out.write('#include "confine/names.h"\nconst struct call_name call_names[] = {\n')
    out.writelines(f'{{ {nr}, "{name}" }},\n' for name, nr in calls)
    out.write(f"}};\nconst size_t n_call_names = {len(calls)};\n")
